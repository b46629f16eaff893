/* SPDX-License-Identifier: BSD-2-Clause */
/* proc/device.h: /dev/null, zero, full, random, urandom: devices that are a few lines each. */
#ifndef PROC_DEVICE_H
#define PROC_DEVICE_H

#include "proc/fs.h"

/* Boot: a device node. data: for its operations. => -ENOMEM and the like. */
long device_make(struct fs *fs, const char *path, unsigned major, unsigned minor, const struct file_ops *ops,
		 void *data) MUST_CHECK;

/* Boot: makes those of this file. */
long devices_make(struct fs *fs) MUST_CHECK;

#endif
