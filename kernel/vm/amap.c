/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/amap.c: trees of anons, shared node by node.
 *
 * Purpose. Private memory that fork copies by taking one reference, and that
 * the first write afterwards copies along one path only. There are no shadow
 * chains to collapse and no needs-copy flag: whether a page may be written in
 * place is read off the reference counts.
 *
 * Structure. A node covers an aligned window of addresses: a leaf 64 pages
 * (256 KiB, so never more than one 2 MiB leaf table), a node of level k 64 nodes
 * of level k-1. A node says itself which window it covers, so a tree grows by
 * putting a new root above the old one. Slots follow the virtual address.
 *
 *     parent's amap ---> [root, refs 2] <--- child's amap          after fork
 *                          /        \
 *                     [leaf A]    [leaf B]     refs 1 each
 *
 *     parent's amap ---> [root', 1]   [root, 1] <--- child's amap  after a write by
 *                          |     \     /    |                      the parent in A
 *                      [A', 1]    [B, 2]   [A, 1]                  (anons of A: refs 2,
 *                                                                   the written one 1)
 * Invariants.
 *  1. A node's refs is the number of slots and amaps that lead to it; an anon's
 *     the number of leaf slots that hold it, plus copiers under way.
 *  2. A node is changed only through a path on which every node, itself
 *     included, is at reference 1: then one amap leads to it. Exception:
 *     a fork may raise the root's count at any moment, but it has marked the
 *     entries dead before. Who found the path exclusive and, under the leaf's lock, its entry
 *     live may change the leaf even after that: the change is the child's too, as if it had come before the fork. Nobody
 *     has come by the child's amap and held the leaf's lock until then, or the entry would have been seen dead. So
 *     whoever counts on a slot takes that lock (fork.c, Late faults).
 *  3. Interior slots and root change under the amap's lock; leaf slots under the
 *     leaf's lock. A leaf is copied, and the amap led to the copy, in one hold of
 *     the leaf's lock: a writer that comes later finds that the amap leads
 *     elsewhere. That the leaf was shared when the copy began does not keep
 *     writers out: its other owner may leave at any moment.
 *  4. A node or anon taken out of the tree is dropped only after the flush of
 *     what mapped it: amap_trim hands back detached trash.
 *
 *  5. A node's used says which slots hold something, so that copying and dropping
 *     it costs what is there. A free node's slots are NULL: the zone constructs them.
 *
 *  6. shape counts up after every change under the amap's lock of where its nodes hang and who else leads to them. A node
 *     that was found exclusive after shape was read is so while shape stays, for nobody gains a reference to it
 *     but through this amap. A change comes before its own count, and the count before its maker takes, or lets go of, the lock
 *     of each leaf, or leaf table of a live entry, that is concerned: so who holds both and sees the old count comes before
 *     whatever the maker does under them. Three times it is something else that protects: slots of a leaf that a trim
 *     leaves in place move under its lock, and who fills one looks at it; a trim where no entry is live has nobody to
 *     meet; and fork takes no such lock: the first that its child takes stands for it (2).
 *
 * Locking. amap lock (RANK_AMAP) before leaf lock (RANK_NODE) before the leaf
 * table's. fork, trim and copy_range are called under the map's range lock.
 *
 * Memory order. Slots and root are stored release after what they lead to is
 * complete; readers load acquire inside an epoch section and check again under
 * the leaf lock. Reference counts: base/atomic.h.
 *
 * Failure. Structural steps take nodes from a stock. A path that stops half-way
 * for lack of stock is a right tree all the same: each copied node stands by
 * itself.
 *
 * Sources: C. Cranor, The design and implementation of the UVM virtual memory
 * system (1998), for amaps and anons; the tree of shared nodes is the usual
 * persistent radix tree (P. Bagwell, 2001; J. Rodeh, B-trees, shadowing, and
 * clones, 2008, for reference counts by node).
 */
#include "base/assert.h"
#include "vm/amap_private.h"
#include "vm/zone_cache.h"

/* --- nodes --- */

/* The lock of a node is initialised here although a late reader may hold the memory: nodes are freed by epoch, so none does. */
static struct amap_node *node_begin(struct vm *vm, struct amap_node *n)
{
	if (!n)
		return NULL;
	n->vm = vm;
	ref_init(&n->refs, 1);
	spin_init(&n->lock);
	return n;
}

struct amap_node *amap_node_alloc(struct vm *vm) { return node_begin(vm, zone_alloc(vm->node_zone)); }

static void node_construct(void *object)
{
	struct amap_node *n = object;

	n->used = 0;
	__builtin_memset(n->slot, 0, sizeof n->slot); /* not published yet */
}

/* Late readers found their way down until now; nobody is left. dead: the slots whose anons go with it. */
static void node_free_late(struct epoch_item *item)
{
	struct amap_node *n = CONTAINER_OF(item, struct amap_node, retire);

	for (; n->used; n->used &= n->used - 1) {
		unsigned i = bit_lowest(n->used);

		if (n->dead & BIT(i))
			anon_free(slot_get(n, i));
		atomic_store_relaxed(&n->slot[i], NULL); /* as in node_construct */
	}
	zone_free(n->vm->node_zone, n);
}

/*
 * Drops a reference; the last one drops everything below. A late faulter may
 * still hold the leaf's lock with a check of the path that it made before the
 * node was taken out: what it put in a slot is dropped here, after it. Who takes
 * the lock later finds that no amap leads here.
 */
void amap_node_put(struct amap_node *n)
{
	uint64_t used, dead = 0;
	uint32_t deaths = 0;

	if (!ref_put(&n->refs))
		return;
	spin_lock(&n->lock, RANK_NODE);
	used = n->used;
	spin_unlock(&n->lock);
	for (; used; used &= used - 1) {
		void *p = slot_get(n, bit_lowest(used));

		if (n->level > 0) {
			amap_node_put(p);
		} else if (anon_put_late(p)) {
			dead |= used & -used;
			deaths++; /* not by bit_count: as in frame_stats.c */
		}
	}
	n->dead = dead;
	epoch_retire_with(&n->vm->epoch, &n->retire, node_free_late, deaths);
}

enum error amap_stock_fill(struct vm *vm, struct amap_stock *s, uint32_t n)
{
	ASSERT(n <= AMAP_STOCK_MAX);
	while (s->count < n) {
		struct amap_node *node = amap_node_alloc(vm);

		if (!node)
			return ERR_NOMEM;
		s->node[s->count++] = node;
	}
	return OK;
}

void amap_stock_empty(struct vm *vm, struct amap_stock *s)
{
	while (s->count > 0)
		zone_free(vm->node_zone, s->node[--s->count]);
}

struct amap_node *amap_stock_take(struct amap_stock *s, uint32_t level, uint64_t va)
{
	struct amap_node *n;

	if (s->count == 0)
		return NULL;
	n = s->node[--s->count];
	n->level = (uint16_t)level;
	n->shift = (uint16_t)(PAGE_SHIFT + AMAP_FANOUT_SHIFT * level);
	n->base = round_down(va, node_span(n));
	return n;
}

/* --- amaps --- */

struct amap *amap_new(struct vm *vm)
{
	struct amap *a = zone_alloc(vm->amap_zone);

	if (!a)
		return NULL;
	a->vm = vm;
	ref_init(&a->refs, 1);
	spin_init(&a->lock);
	atomic_store_relaxed(&a->root, NULL); /* not published yet */
	atomic_store_relaxed(&a->zeros, 0u);
	atomic_store_relaxed(&a->shape, 0u);
	atomic_store_relaxed(&a->untrimmed, 0u);
	a->forked = NULL;
	return a;
}

void amap_reference(struct amap *a) { ref_get(&a->refs); }

static void amap_free_late(struct epoch_item *item)
{
	struct amap *a = CONTAINER_OF(item, struct amap, retire);

	zone_free(a->vm->amap_zone, a);
}

void amap_release(struct amap *a)
{
	struct amap_node *root;

	if (!ref_put(&a->refs))
		return;
	spin_lock(&a->lock, RANK_AMAP);
	root = atomic_load_relaxed(&a->root); /* under the lock */
	amap_relink_locked(a, NULL, 0, NULL); /* late faulters find no way to the leaf any more */
	spin_unlock(&a->lock);
	if (root)
		amap_node_put(root);
	epoch_retire(&a->vm->epoch, &a->retire, amap_free_late);
}

void amap_end(struct amap *a)
{
	struct amap_node *root;

	if (!ref_put(&a->refs))
		return;
	root = atomic_load_relaxed(&a->root); /* nobody else knows a */
	if (root)
		amap_node_put(root); /* others may know what it shared */
	zone_free(a->vm->amap_zone, a);
}

struct amap_node *amap_find(const struct amap *a, uint64_t va, bool *exclusive)
{
	struct amap_node *n = atomic_load_acquire(&a->root); /* pairs with the store that published it */

	*exclusive = true;
	if (!n || !node_covers(n, va))
		return NULL;
	for (;;) {
		if (ref_count(&n->refs) != 1)
			*exclusive = false;
		if (n->level == 0)
			return n;
		n = slot_get(n, slot_of(n, va));
		if (!n)
			return NULL;
	}
}

void amap_slot_set_locked(struct amap_node *leaf, uint64_t va, struct anon *anon)
{
	ASSERT_CHECKED(spin_held(&leaf->lock));
	slot_put(leaf, amap_index(va), anon);
}

void amap_relink_locked(struct amap *a, struct amap_node *parent, unsigned i, struct amap_node *n)
{
	if (parent)
		slot_put(parent, i, n);
	else
		atomic_store_seq_cst(&a->root, n); /* pairs with amap_find's acquire, and with amap_untouched */
	amap_reshaped_locked(a);
}

/*
 * Fills to, unpublished, with from's slots, one more reference each, and leads
 * the amap to it in place of from. A leaf's lock is held over both: if from's
 * other owner has left meanwhile, a fault may find the path exclusive, and what
 * it puts into from must be either in the copy or refused (invariant 3).
 */
void amap_replace_locked(struct amap *a, struct amap_node *parent, unsigned i, struct amap_node *from,
			   struct amap_node *to)
{
	if (from->level == 0)
		spin_lock(&from->lock, RANK_NODE);
	for (uint64_t used = from->used; used; used &= used - 1) {
		unsigned k = bit_lowest(used);
		void *p = slot_get(from, k);

		if (from->level > 0)
			ref_get(&((struct amap_node *)p)->refs);
		else
			ref_get(&((struct anon *)p)->refs);
		slot_put(to, k, p);
	}
	amap_relink_locked(a, parent, i, to);
	if (from->level == 0)
		spin_unlock(&from->lock);
}

static enum error lacks(struct amap_stock *s, uint32_t n)
{
	s->missing = n;
	return ERR_STOCK;
}

/* Puts roots above until va is covered by one of level bottom or above. ERR_STOCK as in amap_own_path. */
static ALWAYS_INLINE enum error grow_locked(struct amap *a, uint64_t va, uint32_t bottom, struct amap_stock *stock)
{
	struct amap_node *root = atomic_load_relaxed(&a->root), *n; /* under the lock */

	if (!root) {
		n = amap_stock_take(stock, bottom, va);
		if (!n)
			return lacks(stock, 1);
		amap_relink_locked(a, NULL, 0, n);
		return OK;
	}
	while (!node_covers(root, va) || root->level < bottom) {
		n = amap_stock_take(stock, root->level + 1, root->base);
		if (!n) /* this root, and a path below it; perhaps more roots */
			return lacks(stock, root->level + 2);
		slot_put(n, slot_of(n, root->base), root); /* the reference moves along */
		amap_relink_locked(a, NULL, 0, n);
		root = n;
	}
	return OK;
}

/* amap_own_path down to a node of level bottom. */
static ALWAYS_INLINE enum error own_path_locked(struct amap *a, uint64_t va, uint32_t bottom, struct amap_stock *stock, struct amap_way *w)
{
	struct amap_node *parent = NULL, *n, *c;
	unsigned i = 0;
	enum error e;

	w->olds = 0;
	/* An amap on its way out must gain no node: amap_release took the root under this lock, or will. */
	e = ref_count(&a->refs) == 0 ? ERR_STALE : grow_locked(a, va, bottom, stock);
	n = e == OK ? atomic_load_relaxed(&a->root) : NULL; /* under the lock */
	while (n) {
		if (ref_count(&n->refs) != 1) {
			c = amap_stock_take(stock, n->level, n->base);
			if (!c) {
				e = lacks(stock, n->level + 1);
				break;
			}
			amap_replace_locked(a, parent, i, n, c);
			w->old[w->olds++] = n; /* our reference */
			n = c;
		}
		if (n->level == bottom)
			break;
		parent = n;
		i = slot_of(n, va);
		n = slot_get(n, i);
		if (!n) {
			n = amap_stock_take(stock, parent->level - 1, va);
			if (!n) {
				e = lacks(stock, parent->level);
				break;
			}
			amap_relink_locked(a, parent, i, n);
		}
	}
	w->bottom = n;
	return e;
}

/*
 * If the other owners left meanwhile, this drops the last reference of a
 * copied node. Its anons have the copy's references, so no frame is freed
 * that a TLB of this map leads to.
 */
static inline void way_drop(struct amap_way *w)
{
	while (w->olds > 0)
		amap_node_put(w->old[--w->olds]);
}

enum error amap_own_path(struct amap *a, uint64_t va, struct amap_stock *stock)
{
	enum error e;
	struct amap_way w;

	spin_lock(&a->lock, RANK_AMAP);
	e = own_path_locked(a, va, 0, stock, &w);
	spin_unlock(&a->lock);
	way_drop(&w);
	return e;
}

/* --- blocks --- */

/* Whether the nodes for va's block are missing in n, of level 1. */
static bool block_room(const struct amap_node *n, uint64_t va)
{
	unsigned first = slot_of(n, round_down(va, BLOCK_SIZE));

	for (unsigned i = 0; i < AMAP_BLOCK_NODES; i++)
		if (slot_get(n, first + i))
			return false;
	return true;
}

bool amap_block_room(const struct amap *a, uint64_t va)
{
	const struct amap_node *n = atomic_load_acquire(&a->root); /* as in amap_find */

	while (n && node_covers(n, va)) {
		if (n->level == 1)
			return block_room(n, va);
		if (n->level == 0)
			return false;
		n = slot_get(n, slot_of(n, va));
	}
	/* a leaf for a root, elsewhere in the block */
	return !n || n->level > 0 || (n->base ^ va) >= BLOCK_SIZE;
}

struct amap_node *amap_block_node(struct vm *vm, uint64_t va)
{
	struct amap_stock s = { .count = 0 };

	return amap_stock_fill(vm, &s, 1) == OK ? amap_stock_take(&s, 0, va) : NULL;
}

void amap_block_node_fill(struct amap_node *n, unsigned i, struct anon *anon) { slot_put(n, i, anon); }

enum error amap_block_begin(struct amap *a, uint64_t va, struct amap_stock *stock, struct amap_way *w)
{
	enum error e;

	spin_lock(&a->lock, RANK_AMAP);
	e = own_path_locked(a, va, 1, stock, w);
	if (e == OK && !block_room(w->bottom, va))
		e = ERR_EXISTS;
	if (e != OK)
		amap_block_end(a, w);
	return e;
}

void amap_block_put_locked(struct amap *a, uint64_t va, struct amap_node *const *node, struct amap_way *w)
{
	unsigned first = slot_of(w->bottom, round_down(va, BLOCK_SIZE));

	for (unsigned i = 0; i < AMAP_BLOCK_NODES; i++)
		slot_put(w->bottom, first + i, node[i]);
	amap_reshaped_locked(a);
}

void amap_block_end(struct amap *a, struct amap_way *w)
{
	spin_unlock(&a->lock);
	way_drop(w);
}

/* How many nodes amap_own_path takes for va, seen without a lock; of a tree that has to grow, some of them. */
static uint32_t nodes_lacking(const struct amap *a, uint64_t va)
{
	const struct amap_node *n = atomic_load_acquire(&a->root); /* as in amap_find */
	uint32_t lacking = 0;

	if (!n || !node_covers(n, va))
		return 1;
	for (bool shared = false; n; n = slot_get(n, slot_of(n, va))) {
		shared |= ref_count(&n->refs) != 1;
		lacking += shared;
		if (n->level == 0)
			return lacking;
		if (!slot_get(n, slot_of(n, va)))
			return lacking + n->level;
	}
	return lacking; /* it has changed meanwhile */
}

static bool stock_fill_near(struct vm *vm, struct amap_stock *s, uint32_t n)
{
	while (s->count < n) {
		struct amap_node *node = zone_alloc_cached(vm->node_zone);

		if (!node && !(node = cache_take_near(vm->node_zone)))
			return false;
		s->node[s->count++] = node_begin(vm, node);
	}
	return true;
}

bool amap_own_path_near(struct amap *a, uint64_t va)
{
	struct amap_stock stock;
	enum error e = ERR_STOCK;

	stock.count = 0;
	if (stock_fill_near(a->vm, &stock, nodes_lacking(a, va)))
		e = amap_own_path(a, va, &stock);
	amap_stock_empty(a->vm, &stock);
	return e == OK;
}

void amap_share(struct amap *child, struct amap *parent)
{
	struct amap_node *root;

	spin_lock(&parent->lock, RANK_AMAP);
	root = atomic_load_relaxed(&parent->root); /* under the lock */
	if (root)
		ref_get(&root->refs);
	amap_reshaped_locked(parent);
	spin_unlock(&parent->lock);
	atomic_store_release(&child->root, root); /* pairs with amap_find; the child is not published yet */
}

/* --- walking --- */

static uint64_t next_below(const struct amap_node *n, uint64_t va, uint64_t end)
{
	uint64_t step = node_span(n) >> AMAP_FANOUT_SHIFT;

	if (va < n->base)
		va = n->base;
	for (unsigned k = node_covers(n, va) ? slot_of(n, va) : AMAP_FANOUT; k < AMAP_FANOUT; k++) {
		uint64_t lo = n->base + k * step, found;
		void *p;

		if (lo >= end)
			break;
		p = slot_get(n, k);
		if (!p)
			continue;
		if (n->level == 0)
			return lo > va ? lo : va;
		found = next_below(p, lo > va ? lo : va, end);
		if (found < end)
			return found;
	}
	return end;
}

uint64_t amap_next(const struct amap *a, uint64_t va, uint64_t end)
{
	const struct amap_node *root = atomic_load_acquire(&a->root); /* pairs with the store that published it */
	uint64_t found = root ? next_below(root, va, end) : end;

	return found < end ? found : end;
}

/*
 * What the slot holds, with a reference. Nobody of this map changes from any more, but a late fault of the parent may change a
 * leaf that is shared since fork (2).
 */
static struct anon *reference_slot(struct amap_node *leaf, uint64_t va)
{
	struct anon *anon;

	spin_lock(&leaf->lock, RANK_NODE);
	anon = amap_slot(leaf, va);
	if (anon)
		ref_get(&anon->refs); /* the slot's reference keeps it */
	spin_unlock(&leaf->lock);
	return anon;
}

enum error amap_copy_range(struct amap *to, struct amap *from, uint64_t start, uint64_t end, int64_t delta)
{
	struct amap_stock stock = { .count = 0 };
	enum error e = OK;

	for (uint64_t va = start; e == OK; va += PAGE_SIZE) {
		struct amap_node *leaf;
		struct anon *anon;
		bool exclusive;

		epoch_enter(&from->vm->epoch);
		va = amap_next(from, va, end);
		leaf = va < end ? amap_find(from, va, &exclusive) : NULL;
		anon = leaf ? reference_slot(leaf, va) : NULL;
		epoch_leave(&from->vm->epoch);
		if (va >= end)
			break;
		do {
			epoch_enter(&to->vm->epoch);
			e = amap_own_path(to, va + (uint64_t)delta, &stock);
			if (e == OK) {
				leaf = amap_find(to, va + (uint64_t)delta, &exclusive);
				spin_lock(&leaf->lock, RANK_NODE);
				ASSERT(!amap_slot(leaf, va + (uint64_t)delta));
				amap_slot_set_locked(leaf, va + (uint64_t)delta, anon);
				spin_unlock(&leaf->lock);
			}
			epoch_leave(&to->vm->epoch);
			if (e == ERR_STOCK && amap_stock_fill(to->vm, &stock, AMAP_LEVELS) != OK) {
				anon_put(anon);
				e = ERR_NOMEM;
			}
		} while (e == ERR_STOCK);
	}
	amap_stock_empty(to->vm, &stock);
	return e;
}

enum error amap_module_init(struct vm *vm)
{
	vm->amap_zone = zone_create(&vm->zones, "amap", sizeof(struct amap), CACHE_LINE, NULL, NULL, 0);
	vm->node_zone = zone_create(&vm->zones, "amap_node", sizeof(struct amap_node), CACHE_LINE, node_construct, NULL,
				    0);
	return vm->amap_zone && vm->node_zone ? OK : ERR_NOMEM;
}
