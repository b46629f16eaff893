/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/anon.h"

#include "base/assert.h"

struct anon *anon_new(struct vm *vm, pfn_t f)
{
	struct anon *a = zone_alloc(vm->anon_zone);

	if (!a)
		return NULL;
	a->vm = vm;
	ref_init(&a->refs, 1);
	/* release: pairs with anon_frame; the anon is published by a slot's release store as well */
	atomic_store_release(&a->word, f.fn << 1);
	return a;
}

static void anon_free_late(struct epoch_item *item)
{
	struct anon *a = CONTAINER_OF(item, struct anon, retire);

	zone_free(a->vm->anon_zone, a);
}

void anon_put(struct anon *a)
{
	uint64_t w;

	if (!ref_put(&a->refs))
		return;
	/* Nobody can gain a reference any more; late epoch readers see BUSY and start over. acq_rel: after all users. */
	w = atomic_swap_acq_rel(&a->word, ANON_BUSY);
	ASSERT_CHECKED(!(w & ANON_BUSY));
	frame_put(&a->vm->frames, pfn(w >> 1));
	epoch_retire(&a->vm->epoch, &a->retire, anon_free_late);
}

enum error anon_module_init(struct vm *vm)
{
	vm->anon_zone = zone_create(&vm->zones, "anon", sizeof(struct anon), 8, NULL, NULL, 0);
	return vm->anon_zone ? OK : ERR_NOMEM;
}
