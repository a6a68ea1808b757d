/* Virtqueues, feature bits and the file system device of the Linux headers; the vhost-user protocol of our own. */
#include <linux/virtio_config.h>
#include <linux/virtio_fs.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <linux/vhost_types.h>

#include "vhost_user.h"

/* Feature bits of the virtio standard, section 6, that the Linux 6.1 header of Debian 12 lacks. */
#ifndef VIRTIO_F_IN_ORDER
#define VIRTIO_F_IN_ORDER 35
#endif
#ifndef VIRTIO_F_NOTIFICATION_DATA
#define VIRTIO_F_NOTIFICATION_DATA 38
#endif
#ifndef VIRTIO_F_NOTIF_CONFIG_DATA
#define VIRTIO_F_NOTIF_CONFIG_DATA 39
#endif

/* Section 5.11.3: the device has a notification queue, and the configuration space a notify_buf_size after the queue count. */
#define VIRTIO_FS_F_NOTIFICATION 0
