/* The FUSE protocol: messages, flags and the requests of /dev/fuse. */
#include <sys/ioctl.h>
#include <linux/fuse.h>

#include "fuse_newer.h"
