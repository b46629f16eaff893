/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/error.h"

const char *error_name(enum error e)
{
	static const char *const names[] = {
		[OK] = "ok", [ERR_NOMEM] = "no memory", [ERR_INVAL] = "invalid argument",
		[ERR_NOSPACE] = "no address space", [ERR_EXISTS] = "exists already",
		[ERR_NOENT] = "not there", [ERR_ACCESS] = "access denied",
		[ERR_FAULT] = "bad address", [ERR_BUS] = "no such page in the object",
		[ERR_STALE] = "stale", [ERR_BUSY] = "busy", [ERR_STOCK] = "stock too small",
		[ERR_INTR] = "interrupted", [ERR_LIMIT] = "limit reached", [ERR_IO] = "input/output error",
		[ERR_NOEXEC] = "not an executable",
		[ERR_TIMEOUT] = "timed out",
	};

	return (unsigned)e < ARRAY_SIZE(names) && names[e] ? names[e] : "unknown error";
}
