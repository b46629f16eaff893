/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/object.c: memory objects and their resident pages.
 *
 * Purpose. One set of frames for a file or a shared region, however many maps
 * show it, filled on demand by a pager, read by faults without a lock.
 *
 * Structure. A radix tree by page index, 64-way, each node saying which window
 * of indices it covers, so that the tree grows by a new root above the old. A
 * slot is NULL (absent), IN_TRANSIT (a pager is at work), or the page.
 *
 *      absent --fill--> IN_TRANSIT --pager ok--> page --resize, release--> absent
 *                           |
 *                           +-- pager failed --> absent, waiters get to try
 *
 * Invariants.
 *  1. Only one thread fills a slot: the one that made it IN_TRANSIT.
 *  2. A page in a slot is FRAME_OBJECT, its object and index those of the slot.
 *  3. pages = slots that hold pages. No slot at or beyond round_up(size) holds one.
 *  4. Bytes that come into the object when it grows are zeros. Beyond the end the last page holds anything, for who
 *     maps it may write there; so growing wipes what it takes in, and cutting what it leaves out.
 *  5. A page is withdrawn from its slot first, then unmapped everywhere by the
 *     reverse map, then its frame freed. A fault looks at the slot and enters the
 *     reverse map in one hold of the frame's lock (hal/pmap.h, pmap_last_check): the
 *     withdrawer finds it there, or it finds the slot empty.
 *
 * Locking. lock guards the tree's shape, slots, pages and size. Kernel copies
 * of a page's bytes are made with it held, since that keeps the page in its
 * slot. Readers of the tree are in an epoch section; nodes and objects are
 * freed by epoch.
 *
 * Memory order. Slots are stored seq_cst by withdrawal and release otherwise,
 * and loaded acquire; the reverse map's lock orders withdrawal against faults.
 *
 * Failure. A pager's error empties the slot again and reaches the one who
 * asked; the others try for themselves.
 *
 * Sources: Mach's and 4.4BSD's vm_object and busy pages; here without chains.
 */
#include "vm/object.h"

#include <string.h>

#include "base/assert.h"

#define FANOUT (1u << OBJECT_TREE_SHIFT)
#define IN_TRANSIT ((struct vm_page *)1)

struct object_node {
	struct vm *vm;
	uint32_t level;             /* constant; 0: slots hold pages */
	uint64_t base;              /* constant; first index */
	ATOMIC(void *) slot[FANOUT]; /* release stores under the object's lock, acquire loads */
	struct epoch_item retire;
};

static uint64_t span(const struct object_node *n) { return UINT64_C(1) << (OBJECT_TREE_SHIFT * (n->level + 1)); }
static bool covers(const struct object_node *n, uint64_t index) { return index - n->base < span(n); }
static unsigned slot_of(const struct object_node *n, uint64_t index)
{
	return (index >> (OBJECT_TREE_SHIFT * n->level)) & (FANOUT - 1);
}

static void lock(struct vm_object *o) { spin_lock(&o->lock, RANK_OBJECT); }
static void unlock(struct vm_object *o) { spin_unlock(&o->lock); }

enum error object_create(struct vm *vm, struct oid oid, const struct pager_ops *pager, const void *data,
			 uint64_t pager_size, uint64_t size, struct vm_object **out)
{
	struct vm_object *o = zone_alloc(vm->object_zone);

	if (!o)
		return ERR_NOMEM;
	o->vm = vm;
	ref_init(&o->refs, 1);
	o->oid = oid;
	o->pager = pager;
	o->pager_data = data;
	atomic_store_relaxed(&o->pager_size, pager_size); /* not published yet, nor the rest */
	atomic_store_relaxed(&o->size, size);
	spin_init(&o->lock);
	atomic_store_relaxed(&o->root, NULL);
	atomic_store_relaxed(&o->pages, UINT64_C(0));
	waitq_init(&o->busy_wait);
	*out = o;
	return OK;
}

void object_reference(struct vm_object *o) { ref_get(&o->refs); }

/* The leaf slot of index, or NULL. Epoch section or lock. */
static struct object_node *leaf_of(const struct vm_object *o, uint64_t index)
{
	struct object_node *n = atomic_load_acquire(&o->root); /* pairs with make_leaf_locked's stores */

	if (!n || !covers(n, index))
		return NULL;
	while (n && n->level > 0)
		n = atomic_load_acquire(&n->slot[slot_of(n, index)]); /* likewise */
	return n;
}

static struct vm_page *slot_page(const struct vm_object *o, uint64_t index)
{
	const struct object_node *n = leaf_of(o, index);

	/* acquire: pairs with the release that put the filled page there */
	return n ? atomic_load_acquire(&n->slot[slot_of(n, index)]) : NULL;
}

struct vm_page *object_lookup(struct vm_object *o, uint64_t index)
{
	struct vm_page *p = slot_page(o, index);

	return p == IN_TRANSIT ? NULL : p;
}

bool object_page_is(const struct vm_page *p, const struct vm_object *o, uint64_t index)
{
	return slot_page(o, index) == p;
}

static struct object_node *node_new(struct vm *vm, uint32_t level, uint64_t index)
{
	struct object_node *n = zone_alloc(vm->object_node_zone);

	if (!n)
		return NULL;
	n->vm = vm;
	n->level = level;
	n->base = round_down(index, span(n));
	for (unsigned i = 0; i < FANOUT; i++)
		atomic_store_relaxed(&n->slot[i], NULL); /* not published yet */
	return n;
}

/* The leaf for index, made if need be; NULL: no memory (what was made stays, empty). Zones may be used under the lock. */
static struct object_node *make_leaf_locked(struct vm_object *o, uint64_t index)
{
	struct object_node *n = atomic_load_relaxed(&o->root), *c; /* under the lock */

	if (!n) {
		n = node_new(o->vm, 0, index);
		if (!n)
			return NULL;
		atomic_store_release(&o->root, n); /* pairs with leaf_of */
	}
	while (!covers(n, index)) {
		c = node_new(o->vm, n->level + 1, n->base);
		if (!c)
			return NULL;
		atomic_store_relaxed(&c->slot[slot_of(c, n->base)], n); /* published by root's release */
		atomic_store_release(&o->root, c);
		n = c;
	}
	while (n->level > 0) {
		unsigned i = slot_of(n, index);

		c = atomic_load_relaxed(&n->slot[i]); /* under the lock */
		if (!c) {
			c = node_new(o->vm, n->level - 1, index);
			if (!c)
				return NULL;
			atomic_store_release(&n->slot[i], c); /* pairs with leaf_of */
		}
		n = c;
	}
	return n;
}

/* The pager may have filled frame f before the object was cut: bytes from the cut on are zeros, also if it has grown again since. */
static void wipe_cut_locked(struct vm_object *o, uint64_t index, pfn_t f)
{
	uint64_t start = index << PAGE_SHIFT, cut = atomic_load_relaxed(&o->pager_size); /* under the lock */

	cut = cut > start ? cut - start : 0;
	if (cut < PAGE_SIZE)
		memset((char *)frame_bytes(f) + cut, 0, PAGE_SIZE - cut);
}

/* Fills the frame and puts it in the slot that this thread made IN_TRANSIT when the pager had had bytes. */
static enum error bring_in(struct vm_object *o, uint64_t index, struct object_node *leaf, uint64_t had)
{
	struct vm_page *page = NULL;
	pfn_t f = frame_get(&o->vm->frames, FRAME_OBJECT);
	enum error e = pfn_is_none(f) ? ERR_NOMEM : OK;
	bool keep;

	if (e == OK)
		e = o->pager->get(o, index, pfn_to_paddr(f));
	if (e == OK) {
		page = frame_page(&o->vm->frames, f);
		page->object = o;
		page->index = index;
	}
	lock(o);
	/* The object may have become shorter meanwhile: then the page is nobody's. */
	keep = page && index << PAGE_SHIFT < atomic_load_relaxed(&o->size);
	if (keep && atomic_load_relaxed(&o->pager_size) != had) /* under the lock */
		wipe_cut_locked(o, index, f);
	atomic_store_release(&leaf->slot[slot_of(leaf, index)], keep ? page : NULL); /* pairs with slot_page */
	if (keep)
		atomic_bump(&o->pages, 1);
	unlock(o);
	if (!keep && !pfn_is_none(f))
		frame_put(&o->vm->frames, f);
	(void)waitq_wake_all(&o->busy_wait);
	return e == OK && !keep ? ERR_BUS : e;
}

enum error object_fill(struct vm_object *o, uint64_t index)
{
	struct waiter w;

	for (;;) {
		struct object_node *leaf;
		struct vm_page *p;
		uint64_t had;

		/* On the queue before the look, so that no wake-up is lost. */
		wait_prepare(&o->busy_wait, &w);
		lock(o);
		if (index << PAGE_SHIFT >= atomic_load_relaxed(&o->size)) { /* under the lock */
			unlock(o);
			wait_cancel(&o->busy_wait, &w);
			return ERR_BUS;
		}
		leaf = make_leaf_locked(o, index);
		p = leaf ? atomic_load_relaxed(&leaf->slot[slot_of(leaf, index)]) : NULL; /* under the lock */
		if (leaf && !p)
			atomic_store_release(&leaf->slot[slot_of(leaf, index)], IN_TRANSIT); /* pairs with slot_page */
		had = atomic_load_relaxed(&o->pager_size); /* likewise */
		unlock(o);
		if (p == IN_TRANSIT) {
			if (wait_block(&o->busy_wait, &w, false) != OK)
				panic("an uninterruptible wait was interrupted");
			continue;
		}
		wait_cancel(&o->busy_wait, &w);
		if (!leaf)
			return ERR_NOMEM;
		return p ? OK : bring_in(o, index, leaf, had);
	}
}

/* One page's part of a read or write, under the lock; ERR_NOENT: not resident. */
static enum error page_copy(struct vm_object *o, uint64_t index, size_t from, void *bytes, size_t n, bool write)
{
	struct vm_page *p;
	enum error e = ERR_NOENT;

	lock(o);
	p = object_lookup(o, index);
	if (p) {
		char *data = frame_bytes(frame_of(&o->vm->frames, p));

		if (write)
			machine_copy_shared(data + from, bytes, n);
		else
			machine_copy_shared(bytes, data + from, n);
		e = OK;
	}
	unlock(o);
	return e;
}

enum error object_copy_page(struct vm_object *o, uint64_t index, paddr_t to)
{
	return page_copy(o, index, 0, phys_to_virt(to), PAGE_SIZE, false);
}

static enum error transfer(struct vm_object *o, uint64_t offset, void *bytes, size_t n, bool write, size_t *done)
{
	*done = 0;
	while (*done < n) {
		uint64_t at = offset + *done;
		size_t part = PAGE_SIZE - (at & PAGE_MASK);
		enum error e;

		if (part > n - *done)
			part = n - *done;
		do {
			e = page_copy(o, at >> PAGE_SHIFT, at & PAGE_MASK, (char *)bytes + *done, part, write);
			if (e == ERR_NOENT) {
				enum error filled = object_fill(o, at >> PAGE_SHIFT);

				if (filled != OK)
					return filled;
			}
		} while (e == ERR_NOENT); /* withdrawn again meanwhile: only a resize does that, and then fill says ERR_BUS */
		*done += part;
	}
	return OK;
}

enum error object_read(struct vm_object *o, uint64_t offset, void *to, size_t n, size_t *done)
{
	uint64_t size = object_size(o);

	*done = 0;
	if (offset >= size)
		return OK;
	return transfer(o, offset, to, n < size - offset ? n : (size_t)(size - offset), false, done);
}

/* Zeros from start to the end of its page or to end, which may lie far beyond, if the page is resident. */
static void wipe_locked(struct vm_object *o, uint64_t start, uint64_t end)
{
	struct vm_page *p = start & PAGE_MASK ? object_lookup(o, start >> PAGE_SHIFT) : NULL;
	uint64_t stop = round_up(start, PAGE_SIZE);

	if (p)
		machine_zero_shared((char *)frame_bytes(frame_of(&o->vm->frames, p)) + (start & PAGE_MASK),
				    (end < stop ? end : stop) - start);
}

static void grow_locked(struct vm_object *o, uint64_t size)
{
	wipe_locked(o, atomic_load_relaxed(&o->size), size); /* under the lock */
	atomic_store_release(&o->size, size);                /* pairs with object_size */
}

enum error object_write(struct vm_object *o, uint64_t offset, const void *from, size_t n, size_t *done)
{
	*done = 0;
	if (offset + n < offset)
		return ERR_INVAL;
	lock(o);
	if (offset + n > atomic_load_relaxed(&o->size)) /* under the lock */
		grow_locked(o, offset + n);
	unlock(o);
	return transfer(o, offset, (void *)(uintptr_t)from, n, true, done);
}

uint64_t object_size(const struct vm_object *o) { return atomic_load_acquire(&o->size); /* pairs with its stores */ }

/* The resident page with the smallest index >= *index, taken out of its slot; NULL: none. In transit ones are left. */
static struct vm_page *withdraw_below(struct object_node *n, uint64_t *index)
{
	uint64_t step = span(n) >> OBJECT_TREE_SHIFT;

	for (unsigned i = covers(n, *index) ? slot_of(n, *index) : *index < n->base ? 0 : FANOUT; i < FANOUT; i++) {
		void *p = atomic_load_relaxed(&n->slot[i]); /* under the lock */
		struct vm_page *found;

		if (*index < n->base + i * step)
			*index = n->base + i * step;
		if (!p || p == IN_TRANSIT)
			continue;
		if (n->level > 0) {
			found = withdraw_below(p, index);
			if (found)
				return found;
			continue;
		}
		/* seq_cst: before the look at the reverse map; pairs with the fault's look at the slot before it enters it */
		atomic_store_seq_cst(&n->slot[i], NULL);
		return p;
	}
	return NULL;
}

static void free_pages_from(struct vm_object *o, uint64_t index, bool mapped)
{
	for (;;) {
		struct object_node *root;
		struct vm_page *p;
		pfn_t f;

		lock(o);
		root = atomic_load_relaxed(&o->root); /* under the lock */
		p = root ? withdraw_below(root, &index) : NULL;
		if (p)
			atomic_bump(&o->pages, -UINT64_C(1));
		unlock(o);
		if (!p)
			return;
		f = frame_of(&o->vm->frames, p);
		if (mapped)
			pmap_page_remove_all(o->vm->pmaps, f);
		frame_put(&o->vm->frames, f);
		index++;
	}
}

enum error object_resize(struct vm_object *o, uint64_t size)
{
	uint64_t old;

	lock(o);
	old = atomic_load_relaxed(&o->size); /* under the lock */
	if (size > old) {
		grow_locked(o, size);
	} else {
		atomic_store_release(&o->size, size); /* pairs with object_size; a fill under way sees it too */
		wipe_locked(o, size, UINT64_MAX);
	}
	if (size < atomic_load_relaxed(&o->pager_size))
		atomic_store_relaxed(&o->pager_size, size); /* what was cut off does not come back */
	unlock(o);
	if (size < old)
		free_pages_from(o, round_up(size, PAGE_SIZE) >> PAGE_SHIFT, true);
	return OK;
}

static void node_free_late(struct epoch_item *item)
{
	struct object_node *n = CONTAINER_OF(item, struct object_node, retire);

	zone_free(n->vm->object_node_zone, n);
}

static void retire_nodes(struct object_node *n)
{
	if (n->level > 0)
		for (unsigned i = 0; i < FANOUT; i++) {
			struct object_node *c = atomic_load_relaxed(&n->slot[i]); /* last reference: nobody writes */

			if (c)
				retire_nodes(c);
		}
	epoch_retire(&n->vm->epoch, &n->retire, node_free_late);
}

static void object_free_late(struct epoch_item *item)
{
	struct vm_object *o = CONTAINER_OF(item, struct vm_object, retire);

	zone_free(o->vm->object_zone, o);
}

void object_release(struct vm_object *o)
{
	struct object_node *root;

	if (!ref_put(&o->refs))
		return;
	free_pages_from(o, 0, false);
	root = atomic_load_relaxed(&o->root); /* last reference */
	atomic_store_release(&o->root, NULL);  /* late readers find nothing */
	if (root)
		retire_nodes(root);
	if (o->pager->detach)
		o->pager->detach(o);
	epoch_retire(&o->vm->epoch, &o->retire, object_free_late);
}

/* => how many pages are in the slots below n. */
static uint64_t check_below(const struct vm_object *o, const struct object_node *n)
{
	uint64_t pages = 0, end = round_up(atomic_load_relaxed(&o->size), PAGE_SIZE) >> PAGE_SHIFT; /* quiet point */

	for (unsigned i = 0; i < FANOUT; i++) {
		void *p = atomic_load_relaxed(&n->slot[i]); /* likewise */

		ASSERT(p != IN_TRANSIT);
		if (p && n->level > 0) {
			const struct object_node *c = p;

			ASSERT(c->level == n->level - 1 && c->base == n->base + i * span(c));
			pages += check_below(o, c);
		} else if (p) {
			const struct vm_page *page = p;

			ASSERT(page_owner(page) == FRAME_OBJECT && page->object == o);
			ASSERT(page->index == n->base + i && page->index < end);
			pages++;
		}
	}
	return pages;
}

void object_check(const struct vm_object *o)
{
	const struct object_node *root = atomic_load_acquire(&o->root); /* pairs with make_leaf_locked */

	ASSERT((root ? check_below(o, root) : 0) == atomic_load_relaxed(&o->pages)); /* quiet point */
}

enum error object_module_init(struct vm *vm)
{
	vm->object_zone = zone_create(&vm->zones, "object", sizeof(struct vm_object), CACHE_LINE, NULL, NULL, 0);
	vm->object_node_zone =
		zone_create(&vm->zones, "object_node", sizeof(struct object_node), CACHE_LINE, NULL, NULL, 0);
	return vm->object_zone && vm->object_node_zone ? OK : ERR_NOMEM;
}
