/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The operations of test/no_memory.c, which alone includes this: what is done,
 * and what must hold when it worked. The worlds are there.
 */
#ifndef NO_MEMORY_OPERATIONS_H
#define NO_MEMORY_OPERATIONS_H

struct operation {
	const char *name;
	void (*prepare)(void);      /* the world besides; NULL: as it is */
	enum error (*run)(void);    /* OK, or ERR_NOMEM and nothing has changed */
	void (*right)(void);
	unsigned flags;
};

enum { NO_NEED = 1 /* may do without allocations */, KEEPS = 2 /* an amap has pages that no entry shows: the world is so */, ONCE = 4 /* much work: one forked world will do */ };

/* --- map --- */

static enum error map_over(void) { return enter(page(50), 10, &anon, MAP_AT); }
static void mapped_over(void) { window(50, 60, true); }
static enum error map_over_many(void) { return enter(page(90), 60, &anon, MAP_AT); }
static void mapped_over_many(void) { window(90, 150, true); }
static enum error map_anywhere(void) { return enter(0, 10, &anon, 0); }
static void mapped_result(void)
{
	window_whole();
	for (unsigned i = 0; i < 10; i++)
		holds(result + i * PAGE_SIZE, 0);
}
static enum error map_free(void) { return enter(FAR, 10, &anon, MAP_AT_FREE); }
static enum error map_beside(void) { return enter(EMPTY + 70 * PAGE_SIZE, 10, &anon, MAP_AT_FREE); }

static enum error map_object(bool shared, uint64_t at, unsigned flags)
{
	const struct vm_mapping w = { .object = o, .offset = PAGE_SIZE, .shared = shared, .prot = PROT_R | PROT_W,
				      .max = PROT_ALL, .inherit = shared ? INHERIT_SHARE : INHERIT_COPY };

	return enter(at, 4, &w, flags);
}
static enum error map_shared(void) { return map_object(true, page(50), MAP_AT); }
static enum error map_private(void) { return map_object(false, page(50), MAP_AT); }
static enum error map_object_anywhere(void) { return map_object(true, 0, 0); }
static void object_mapped(void)
{
	window(50, 54, false);
	for (unsigned i = 0; i < 4; i++)
		holds(page(50 + i), i < 3 ? i + 501 : 0);
}
static void object_mapped_result(void)
{
	window_whole();
	for (unsigned i = 0; i < 4; i++)
		holds(result + i * PAGE_SIZE, i < 3 ? i + 501 : 0);
}

static enum error create(void)
{
	struct vm_map *c;
	enum error e = vm_map_create(v.vm, &c);

	if (e == OK)
		vm_map_release(c);
	return e;
}

/* --- unmap, protect, inherit, discard, wire --- */

static enum error unmap(void) { return vm_map_remove(m, pages(50, 60)); }
static void unmapped(void)
{
	window(50, 60, false);
	gone(page(50));
	gone(page(59));
}
static enum error unmap_many(void) { return vm_map_remove(m, pages(90, 151)); }
static void unmapped_many(void)
{
	window(90, 151, false);
	gone(page(90));
	gone(page(150));
}
static enum error unmap_object(void)
{
	return vm_map_remove(m, vrange(PRIVATE + PAGE_SIZE, PRIVATE + 3 * PAGE_SIZE));
}
static void private_written(void)
{
	for (unsigned i = 0; i < FILE_PAGES; i++)
		store(PRIVATE + i * PAGE_SIZE, i + 700);
}
static void object_unmapped(void)
{
	window_whole();
	gone(PRIVATE + PAGE_SIZE);
	holds(PRIVATE, 700);
	holds(PRIVATE + 3 * PAGE_SIZE, 703);
	holds(SHARED + PAGE_SIZE, 501);
}
static enum error protect(void) { return vm_map_protect(m, pages(50, 60), PROT_R); }
static void protected(void)
{
	window_whole();
	assert_int_equal(test_store(m, page(50), 1), ERR_ACCESS);
	assert_int_equal(test_store(m, page(59), 1), ERR_ACCESS);
	store(page(49), 50);
}
static enum error protect_many(void) { return vm_map_protect(m, pages(90, 151), PROT_NONE_); }
static void protected_many(void)
{
	window(90, 151, false);
	assert_int_equal(test_load(m, page(90), &result), ERR_ACCESS);
	assert_int_equal(vm_map_protect(m, pages(90, 151), PROT_R), OK);
	window_whole();
}
static enum error inherit(void) { return vm_map_inherit(m, pages(50, 60), INHERIT_NONE); }
static enum error inherit_many(void) { return vm_map_inherit(m, pages(90, 151), INHERIT_ZERO); }
static enum error discard(void) { return vm_map_discard(m, pages(50, 90)); }
static void discarded(void) { window(50, 90, true); }
static enum error discard_many(void) { return vm_map_discard(m, pages(90, 151)); }
static void discarded_many(void) { window(90, 151, true); }
static enum error discard_object(void) { return vm_map_discard(m, vrange(PRIVATE + PAGE_SIZE, PRIVATE + 3 * PAGE_SIZE)); }
static void object_discarded(void)
{
	window_whole();
	holds(PRIVATE, 700);
	holds(PRIVATE + PAGE_SIZE, 501);
}
static enum error wire(void) { return vm_map_wire(m, vrange(EMPTY + PAGE_SIZE, EMPTY + 5 * PAGE_SIZE), true); }
static enum error wire_all(void) { return vm_map_wire_all(m, true); }
static void wired(void) { assert_int_equal(vm_map_wire(m, vrange(EMPTY, EMPTY + 70 * PAGE_SIZE), true), OK); }
static enum error unwire(void) { return vm_map_wire(m, vrange(EMPTY + PAGE_SIZE, EMPTY + 5 * PAGE_SIZE), false); }
static enum error unwire_all(void) { return vm_map_wire_all(m, false); }
static enum error populate(void) { return vm_map_populate(m, vrange(EMPTY, EMPTY + 70 * PAGE_SIZE), PROT_W); }
static enum error populate_object(void) { return vm_map_populate(m, vrange(SHARED, SHARED + FILE_PAGES * PAGE_SIZE), PROT_R); }

/* --- remap, brk --- */

static enum error shrink(void)
{
	result = 0;
	return vm_map_remap(m, pages(0, 60), 20 * PAGE_SIZE, true, false, &result);
}
static void shrunk(void)
{
	window(20, 60, false);
	gone(page(20));
}
static enum error extend(void)
{
	return vm_map_remap(m, vrange(EMPTY, EMPTY + 70 * PAGE_SIZE), 90 * PAGE_SIZE, true, false, &result);
}
static void extended(void)
{
	assert_int_equal(result, EMPTY);
	holds(EMPTY + 89 * PAGE_SIZE, 0);
}
/* The amap holds pages behind its entry: a child's, of an entry that it did not inherit. */
static struct vm_map *heir;
static void inherit_part(void)
{
	struct vm_map *parent = m;

	assert_int_equal(vm_map_inherit(m, pages(20, 30), INHERIT_NONE), OK);
	assert_int_equal(vm_map_fork(m, &heir), OK);
	m = heir;
	heir = parent;
	pmap_activate(&m->pmap);
}
static enum error extend_untrimmed(void) { return vm_map_remap(m, pages(0, 20), 30 * PAGE_SIZE, true, false, &result); }
static void extended_untrimmed(void)
{
	struct vm_map *parent = heir;

	assert_int_equal(result, base);
	window(20, 30, true);
	pmap_activate(&parent->pmap);
	vm_map_check(m);
	vm_map_release(m);
	m = parent;
	window_whole();
}
static enum error move(void)
{
	result = 0;
	return vm_map_remap(m, pages(10, 90), 81 * PAGE_SIZE, true, false, &result);
}
static void moved(void)
{
	window(10, 90, false);
	gone(page(10));
	for (unsigned i = 0; i < 81; i++)
		holds(result + i * PAGE_SIZE, i < 80 ? i + 11 : 0);
}
static enum error move_over(void)
{
	result = PLACE + 5 * PAGE_SIZE;
	return vm_map_remap(m, pages(10, 90), 80 * PAGE_SIZE, true, true, &result);
}
static void moved_over(void)
{
	assert_int_equal(result, PLACE + 5 * PAGE_SIZE);
	window(10, 90, false);
	gone(page(10));
	for (unsigned i = 0; i < PAGES; i++)
		holds(PLACE + i * PAGE_SIZE, i >= 5 && i < 85 ? i + 6 : i + 1);
}
/* Within one entry, from above to below what stays between them. */
static enum error move_within(void)
{
	result = page(10);
	return vm_map_remap(m, pages(60, 80), 30 * PAGE_SIZE, true, true, &result);
}
static void moved_within(void)
{
	for (unsigned i = 0; i < PAGES; i++)
		if (i >= 60 && i < 80)
			gone(page(i));
		else
			holds(page(i), i >= 10 && i < 30 ? i + 51 : i >= 30 && i < 40 ? 0 : i + 1);
}
static enum error move_many(void)
{
	result = page(95);
	return vm_map_remap(m, vrange(PLACE, PLACE + 60 * PAGE_SIZE), 50 * PAGE_SIZE, true, true, &result);
}
static void moved_many(void)
{
	for (unsigned i = 0; i < PAGES; i++)
		holds(page(i), i >= 95 && i < 145 ? i - 94 : i + 1);
	gone(PLACE);
	gone(PLACE + 59 * PAGE_SIZE);
	holds(PLACE + 60 * PAGE_SIZE, 61);
}
static enum error move_object(void)
{
	result = 0;
	return vm_map_remap(m, vrange(SHARED + PAGE_SIZE, SHARED + 3 * PAGE_SIZE), 3 * PAGE_SIZE, true, false, &result);
}
static void object_moved(void)
{
	gone(SHARED + PAGE_SIZE);
	holds(result, 501);
	holds(result + PAGE_SIZE, 502);
	holds(SHARED + 3 * PAGE_SIZE, 503);
}
static enum error move_pages(void)
{
	result = 0;
	return vm_map_move_pages(m, pages(10, 90), false, &result);
}
static void pages_moved(void)
{
	window(10, 90, true);
	for (unsigned i = 0; i < 80; i++)
		holds(result + i * PAGE_SIZE, i + 11);
}
static enum error move_pages_over(void)
{
	result = page(100);
	return vm_map_move_pages(m, pages(10, 90), true, &result);
}
static void pages_moved_over(void)
{
	for (unsigned i = 0; i < PAGES; i++)
		holds(page(i), i >= 10 && i < 90 ? 0 : i >= 100 && i < 180 ? i - 89 : i + 1);
}
static enum error view(void)
{
	result = 0;
	return vm_map_view(m, SHARED + PAGE_SIZE, 2 * PAGE_SIZE, false, &result);
}
static void viewed(void)
{
	holds(result, 501);
	holds(result + PAGE_SIZE, 502);
}
static enum error view_over(void)
{
	result = page(50);
	return vm_map_view(m, SHARED + PAGE_SIZE, 2 * PAGE_SIZE, true, &result);
}
static void viewed_over(void)
{
	window(50, 52, false);
	holds(page(50), 501);
}
static enum error brk_to(unsigned n)
{
	uint64_t want = HEAP + n * PAGE_SIZE - 8;

	return vm_map_brk(m, want) == want ? OK : ERR_NOMEM;
}
static enum error brk_more(void) { return brk_to(40); }
static enum error brk_less(void) { return brk_to(5); }
static void heap_less(void)
{
	gone(HEAP + 5 * PAGE_SIZE);
	holds(HEAP + 4 * PAGE_SIZE, 5);
	assert_int_equal(brk_more(), OK);
	holds(HEAP + 5 * PAGE_SIZE, 0);
}

/* --- fork --- */

static enum error fork_map(void)
{
	struct vm_map *c;
	enum error e = vm_map_fork(m, &c);

	if (e == OK) {
		vm_map_check(c);
		vm_map_release(c);
	}
	return e;
}
static void mixed_inheritance(void)
{
	assert_int_equal(vm_map_inherit(m, pages(30, 40), INHERIT_NONE), OK);
	assert_int_equal(vm_map_inherit(m, pages(50, 60), INHERIT_ZERO), OK);
}

/* --- faults --- */

static enum error touch_first(void) { return test_store(m, EMPTY, 7); }
static void touched(void)
{
	holds(EMPTY, 7);
	holds(EMPTY + PAGE_SIZE, 0);
}
static enum error read_first(void) { return test_load(m, EMPTY, &result); }
static void was_read(void) { holds(EMPTY, 0); }
static enum error touch_next(void) { return test_store(m, EMPTY + 64 * PAGE_SIZE, 7); }
static void next_touched(void) { holds(EMPTY + 64 * PAGE_SIZE, 7); }
static void touched_before(void) { store(EMPTY, 1); }
static void far_mapped(void)
{
	map_at(FAR, 10, &anon);
	map_at(FAR - 10 * PAGE_SIZE, 10, &anon); /* one amap for both, over a boundary of every level */
	store(FAR, 1);
}
static enum error touch_far(void) { return test_store(m, FAR - PAGE_SIZE, 7); }
static void far_touched(void)
{
	holds(FAR - PAGE_SIZE, 7);
	holds(FAR, 1);
}
static enum error write_shared(void) { return test_store(m, page(70), 71); }
static enum error write_shared_each(void)
{
	enum error e = OK;

	for (unsigned i = 0; i < 100 && e == OK; i++)
		e = test_store(m, page(i), i + 1);
	return e;
}
static enum error read_object(void) { return test_load(m, SHARED + PAGE_SIZE, &result); }
static enum error write_object(void) { return test_store(m, SHARED + PAGE_SIZE, 501); }
/* A frame's second mapping needs a chunk of the reverse map. */
static void mapped_once(void) { holds(SHARED + PAGE_SIZE, 501); }
static enum error map_twice(void) { return test_load(m, PRIVATE + PAGE_SIZE, &result); }
static void mapped_twice(void)
{
	holds(SHARED + PAGE_SIZE, 501);
	holds(PRIVATE + PAGE_SIZE, 501);
}
static enum error read_absent(void) { return test_load(m, SHARED + 6 * PAGE_SIZE, &result); }
static enum error write_private(void) { return test_store(m, PRIVATE + PAGE_SIZE, 7); }
static enum error write_private_absent(void) { return test_store(m, PRIVATE + 6 * PAGE_SIZE, 7); }
static void private_was_written(void)
{
	holds(PRIVATE + PAGE_SIZE, 7);
	holds(SHARED + PAGE_SIZE, 501);
}
static void absent_was_written(void)
{
	holds(PRIVATE + 6 * PAGE_SIZE, 7);
	holds(SHARED + 6 * PAGE_SIZE, 0);
}
static enum error grow_stack(void) { return test_store(m, STACK_TOP - 9 * PAGE_SIZE, 7); }
static void stack_grown(void)
{
	holds(STACK_TOP - 9 * PAGE_SIZE, 7);
	holds(STACK_TOP - PAGE_SIZE, 0);
}
/* What growing the entry and filling the page change is two steps: between them the entry has grown. */
static void stack_larger(void) { assert_int_equal(test_load(m, STACK_TOP - 9 * PAGE_SIZE, &result), OK); }

/* Without memory for a block it is a page. */
static void block_wanted(void)
{
	const struct vm_mapping w = { .prot = PROT_R | PROT_W, .max = PROT_ALL, .inherit = INHERIT_COPY, .huge = HUGE_WANTED };

	map_at(WHOLE, BLOCK_SIZE / PAGE_SIZE, &w);
}
static enum error write_block(void) { return test_store(m, WHOLE + 5 * PAGE_SIZE, 9); }
static void block_written(void)
{
	holds(WHOLE + 5 * PAGE_SIZE, 9);
	holds(WHOLE, 0);
}

/* --- objects, and memory of any size --- */

static enum error create_object(void)
{
	struct vm_object *n;
	enum error e = object_create(v.vm, (struct oid){ 0, 2 }, &pager_zero, NULL, 0, PAGE_SIZE, &n);

	if (e == OK)
		object_release(n);
	return e;
}
static enum error object_bytes(uint64_t offset, bool write)
{
	uint64_t value = 77;
	size_t done;

	return write ? object_write(o, offset, &value, sizeof value, &done) : object_read(o, offset, &value, sizeof value, &done);
}
static void larger(void) { assert_int_equal(object_resize(o, UINT64_C(1) << 40), OK); }
static enum error write_absent(void) { return object_bytes(5 * PAGE_SIZE, true); }
static void absent_written(void) { holds(SHARED + 5 * PAGE_SIZE, 77); }
static enum error write_deep(void) { return object_bytes(UINT64_C(1) << 39, true); }
static enum error read_deep(void) { return object_bytes(UINT64_C(1) << 39, false); }
static enum error resize(void) { return object_resize(o, 2 * PAGE_SIZE); }
static void resized(void)
{
	holds(SHARED + PAGE_SIZE, 501);
	assert_int_equal(test_load(m, SHARED + 2 * PAGE_SIZE, &result), ERR_BUS);
}

static enum error make_memory(size_t size)
{
	void *p = kmalloc_zero(&v.vm->kmalloc, size);

	kfree(&v.vm->kmalloc, p);
	return p ? OK : ERR_NOMEM;
}
static enum error memory_small(void) { return make_memory(100); }
static enum error memory_large(void) { return make_memory(100000); }
/* Grows from small to frames, then shrinks, which works without memory as well. */
static enum error memory_resized(void)
{
	struct kmalloc *k = &v.vm->kmalloc;
	uint64_t *p = krealloc(k, NULL, 64), *q, *small;

	if (!p)
		return ERR_NOMEM;
	p[7] = 7;
	q = krealloc(k, p, 50000);
	if (!q) {
		assert_int_equal(p[7], 7);
		kfree(k, p);
		return ERR_NOMEM;
	}
	small = krealloc(k, q, 100);
	assert_non_null(small);
	assert_int_equal(small[7], 7);
	kfree(k, small);
	return OK;
}

static const struct operation operations[] = {
	{ "map over", NULL, map_over, mapped_over, 0 },
	{ "map over many", NULL, map_over_many, mapped_over_many, 0 },
	{ "map anywhere", NULL, map_anywhere, mapped_result, 0 },
	{ "map where it is free", NULL, map_free, mapped_result, 0 },
	{ "map beside another", NULL, map_beside, mapped_result, 0 },
	{ "map an object over", NULL, map_shared, object_mapped, 0 },
	{ "map an object over, private", NULL, map_private, object_mapped, 0 },
	{ "map an object anywhere", NULL, map_object_anywhere, object_mapped_result, 0 },
	{ "create a space", NULL, create, NULL, 0 },
	{ "unmap", NULL, unmap, unmapped, 0 },
	{ "unmap many", NULL, unmap_many, unmapped_many, 0 },
	{ "unmap an object", private_written, unmap_object, object_unmapped, 0 },
	{ "protect", NULL, protect, protected, 0 },
	{ "protect many", NULL, protect_many, protected_many, 0 },
	{ "inherit", NULL, inherit, window_whole, 0 },
	{ "inherit many", NULL, inherit_many, window_whole, 0 },
	{ "discard", NULL, discard, discarded, 0 },
	{ "discard many", NULL, discard_many, discarded_many, 0 },
	{ "discard an object's", private_written, discard_object, object_discarded, 0 },
	{ "wire", NULL, wire, NULL, 0 },
	{ "wire all", NULL, wire_all, window_whole, 0 },
	{ "unwire", wired, unwire, NULL, 0 },
	{ "unwire all", wired, unwire_all, window_whole, 0 },
	{ "populate", NULL, populate, NULL, 0 },
	{ "populate an object", NULL, populate_object, NULL, 0 },
	{ "remap, shrink", NULL, shrink, shrunk, 0 },
	{ "remap, extend", NULL, extend, extended, 0 },
	{ "remap, extend over old pages", inherit_part, extend_untrimmed, extended_untrimmed, KEEPS },
	{ "remap, move", NULL, move, moved, 0 },
	{ "remap, move over", NULL, move_over, moved_over, 0 },
	{ "remap, move within", NULL, move_within, moved_within, 0 },
	{ "remap, move over many", NULL, move_many, moved_many, 0 },
	{ "remap, move an object", NULL, move_object, object_moved, 0 },
	{ "move pages", NULL, move_pages, pages_moved, 0 },
	{ "move pages over many", NULL, move_pages_over, pages_moved_over, 0 },
	{ "view", NULL, view, viewed, 0 },
	{ "view over", NULL, view_over, viewed_over, 0 },
	{ "brk, more", NULL, brk_more, NULL, 0 },
	{ "brk, less", NULL, brk_less, heap_less, 0 },
	{ "fork", NULL, fork_map, window_whole, 0 },
	{ "fork, mixed", mixed_inheritance, fork_map, window_whole, 0 },
	{ "touch first", NULL, touch_first, touched, 0 },
	{ "read first", NULL, read_first, was_read, NO_NEED },
	{ "write what was read", was_read, touch_first, touched, 0 },
	{ "touch the next node's", touched_before, touch_next, next_touched, 0 },
	{ "touch across all levels", far_mapped, touch_far, far_touched, 0 },
	{ "write shared", NULL, write_shared, window_whole, NO_NEED },
	{ "write shared, each", NULL, write_shared_each, window_whole, NO_NEED },
	{ "read an object's page", NULL, read_object, NULL, 0 },
	{ "write an object's page", NULL, write_object, NULL, 0 },
	{ "map an object's page twice", mapped_once, map_twice, mapped_twice, NO_NEED },
	{ "read an absent page", NULL, read_absent, NULL, 0 },
	{ "write a private page", NULL, write_private, private_was_written, 0 },
	{ "write an absent private page", NULL, write_private_absent, absent_was_written, 0 },
	{ "grow a stack", stack_larger, grow_stack, stack_grown, 0 },
	{ "write where a block is wanted", block_wanted, write_block, block_written, NO_NEED | ONCE },
	{ "create an object", NULL, create_object, NULL, 0 },
	{ "write an absent page of an object", NULL, write_absent, absent_written, 0 },
	{ "write an object, deep", larger, write_deep, NULL, 0 },
	{ "read an object, deep", larger, read_deep, NULL, 0 },
	{ "resize an object", NULL, resize, resized, NO_NEED },
	{ "memory, small", NULL, memory_small, NULL, 0 },
	{ "memory, large", NULL, memory_large, NULL, 0 },
	{ "memory, resized", NULL, memory_resized, NULL, 0 },
};

#endif
