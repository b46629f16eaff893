/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm/entry.h"

#include "base/assert.h"
#include "vm/amap.h"
#include "vm/object.h"

struct vm_entry *entry_alloc(struct vm *vm, struct vrange r)
{
	struct vm_entry *e = zone_alloc(vm->entry_zone);

	if (UNLIKELY(!e))
		return NULL;
	e->range = r;
	e->floor = r.start.va;
	atomic_store_relaxed(&e->life, 0u); /* not published yet */
	e->height = 0;
	e->edit_next = NULL;
	return e;
}

struct vm_entry *entry_new(struct vm *vm, const struct vm_entry *model, struct vrange r, struct amap *amap)
{
	struct vm_entry *e = entry_alloc(vm, r);

	if (UNLIKELY(!e))
		return NULL;
	/* Only the piece that keeps the lowest address can go on growing. */
	if (r.start.va == model->range.start.va) {
		e->floor = model->floor;
		e->height = model->height; /* in any list it has the same */
	}
	entry_be_like(e, model);
	e->offset = model->offset + (r.start.va - model->range.start.va);
	e->amap = amap;
	if (e->object)
		object_reference(e->object);
	if (amap)
		amap_reference(amap);
	return e;
}

static void drop_references(struct vm_entry *e)
{
	if (e->amap)
		amap_release(e->amap);
	if (e->object)
		object_release(e->object);
}

void entry_free(struct vm *vm, struct vm_entry *e)
{
	drop_references(e);
	zone_free(vm->entry_zone, e);
}

void entry_end(struct vm *vm, struct vm_entry *e)
{
	if (e->amap)
		amap_end(e->amap);
	if (e->object)
		object_release(e->object);
	zone_free(vm->entry_zone, e);
}

void entry_kill(struct vm_entry *e)
{
	/*
	 * seq_cst: before the mutator's loads of table pointers; pairs with
	 * entry_lives_on after the faulter linked a table (hal/pmap.h).
	 */
	atomic_store_seq_cst(&e->life, atomic_load_relaxed(&e->life) | 1); /* relaxed: only who holds the range lock changes it */
}

void entry_revive(struct vm_entry *e)
{
	/* seq_cst: pairs with entry_life and entry_lives_on; what has been done to its amap is seen by who finds it live. relaxed: as above */
	atomic_store_seq_cst(&e->life, atomic_load_relaxed(&e->life) + 1);
}

static void entry_free_late(struct epoch_item *item)
{
	struct vm_entry *e = CONTAINER_OF(item, struct vm_entry, retire);

	zone_free(e->home->entry_zone, e);
}

void entry_retire(struct vm *vm, struct vm_entry *e)
{
	drop_references(e);
	entry_retire_only(vm, e);
}

void entry_retire_only(struct vm *vm, struct vm_entry *e)
{
	ASSERT_CHECKED(!entry_live(e));
	e->home = vm;
	epoch_retire(&vm->epoch, &e->retire, entry_free_late);
}

bool entry_mergeable(const struct vm_entry *a, const struct vm_entry *b)
{
	if (a->range.end.va != b->range.start.va || a->prot != b->prot || a->max != b->max ||
	    a->manner != b->manner || a->wired != b->wired || a->name != b->name || a->object != b->object || a->grows_down)
		return false;
	if (a->object && a->offset + vrange_size(a->range) != b->offset)
		return false;
	if (a->amap != b->amap && a->amap && b->amap)
		return false;
	/* An amap that still holds anons of ranges given back must not come to cover them again. */
	if ((a->amap && atomic_load_relaxed(&a->amap->untrimmed)) || (b->amap && atomic_load_relaxed(&b->amap->untrimmed)))
		return false; /* relaxed: set under a range lock over the amap's neighbours */
	return true;
}

enum error entry_module_init(struct vm *vm)
{
	vm->entry_zone = zone_create(&vm->zones, "entry", sizeof(struct vm_entry), CACHE_LINE, NULL, NULL, 0);
	return vm->entry_zone ? OK : ERR_NOMEM;
}
