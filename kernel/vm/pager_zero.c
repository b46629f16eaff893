/* SPDX-License-Identifier: BSD-2-Clause */
/* vm/pager_zero.c: anonymous shared memory and new files: what nobody wrote is zero. */
#include "vm/object.h"

static enum error get(struct vm_object *o, uint64_t index, paddr_t frame)
{
	(void)o;
	(void)index;
	machine_zero_frame(frame);
	return OK;
}

const struct pager_ops pager_zero = { .name = "zero", .get = get };
