/* SPDX-License-Identifier: BSD-2-Clause */
/* vm/pager_initrd.c: files of the initial RAM disk: bytes that lie in memory, at any alignment. */
#include <string.h>

#include "vm/object.h"

static enum error get(struct vm_object *o, uint64_t index, paddr_t frame)
{
	/* relaxed: what is cut off meanwhile, object.c wipes out of the page */
	uint64_t at = index << PAGE_SHIFT, size = atomic_load_relaxed(&o->pager_size);
	uint64_t n = at < size ? size - at : 0;
	char *to = phys_to_virt(frame);

	if (n > PAGE_SIZE)
		n = PAGE_SIZE;
	memcpy(to, (const char *)o->pager_data + at, n);
	memset(to + n, 0, PAGE_SIZE - n);
	return OK;
}

const struct pager_ops pager_initrd = { .name = "initrd", .get = get };
