/* io_uring: rings, submission and completion entries, registration. */
#include <linux/io_uring.h>
#include <linux/time_types.h>
#include <sys/syscall.h>

#include "io_uring_newer.h"
