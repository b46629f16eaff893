/* SPDX-License-Identifier: BSD-2-Clause */
#include "proc/errno.h"

long errno_of(enum error e)
{
	switch (e) {
	case OK:
		return 0;
	case ERR_NOMEM:
		return -ENOMEM;
	case ERR_INVAL:
		return -EINVAL;
	case ERR_NOSPACE:
		return -ENOMEM; /* mmap(2) and mremap(2): no room in the address space */
	case ERR_EXISTS:
		return -EEXIST;
	case ERR_NOENT:
		return -ENOENT;
	case ERR_ACCESS:
		return -EACCES;
	case ERR_FAULT:
		return -EFAULT;
	case ERR_BUS:
		return -EFAULT; /* a user copy that met SIGBUS's case */
	case ERR_STALE:
		return -EAGAIN;
	case ERR_BUSY:
		return -EAGAIN;
	case ERR_STOCK:
		return -ENOMEM;
	case ERR_INTR:
		return -ERESTARTSYS;
	case ERR_LIMIT:
		return -ENOMEM;
	case ERR_IO:
		return -EIO;
	case ERR_NOEXEC:
		return -ENOEXEC;
	case ERR_TIMEOUT:
		return -ETIMEDOUT;
	}
	return -EINVAL;
}
