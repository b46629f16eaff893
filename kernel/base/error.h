/* SPDX-License-Identifier: BSD-2-Clause */
/* base/error.h: the one error enum. Functions that can fail return it and are MUST_CHECK. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "base/compiler.h"

enum error {
	OK = 0,
	ERR_NOMEM,   /* no frame or no kernel memory at this moment */
	ERR_INVAL,   /* an argument makes no sense */
	ERR_NOSPACE, /* no address range is free */
	ERR_EXISTS,  /* something is there already */
	ERR_NOENT,   /* nothing is there */
	ERR_ACCESS,  /* protection does not allow it */
	ERR_FAULT,   /* a user address that leads nowhere */
	ERR_BUS,     /* the object has no page there, or its pager failed */
	ERR_STALE,   /* what was looked up has changed since: start over */
	ERR_BUSY,    /* in transit: wait and start over */
	ERR_STOCK,   /* the caller's stock of prepared memory is too small: refill and start over */
	ERR_INTR,    /* a signal ended the wait */
	ERR_LIMIT,   /* a configured limit is reached */
	ERR_IO,      /* a device or pager failed */
	ERR_NOEXEC,  /* not a program that can be run here */
	ERR_TIMEOUT, /* the deadline came first */
};

/* The error's name in lower case, for messages. Any context. */
const char *error_name(enum error e);

#endif
