/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/amap_trim.c: taking a range out of an amap. Theory of the tree: amap.c.
 *
 * Structure. A node that lies in the range as a whole goes into its parent's
 * trash. One at the range's ends is copied if others use it, and its slots in
 * the range go into a trash node of its own. Nodes for all of that are in the
 * stock before the first step; what the range needs at most is counted under
 * the amap's lock (trim_need) and may be reserved long before (amap_reserve_trim).
 *
 * Failure. ERR_NOMEM, and nothing has changed, when the reserve does not cover
 * what the tree needs by now and there is no memory.
 */
#include "base/assert.h"
#include "vm/amap_private.h"

/* How many stock nodes trimming [start, end) below n takes: a copy of each shared boundary node, a trash node for each. */
static uint32_t trim_need(const struct amap_node *n, bool shared, uint64_t start, uint64_t end)
{
	uint32_t need = 0;

	if (!n || end <= n->base || start >= n->base + node_span(n))
		return 0;
	if (start <= n->base && n->base + node_span(n) <= end)
		return 0; /* goes as a whole into its parent's trash */
	shared = shared || ref_count(&n->refs) != 1;
	need = shared ? 2 : 1;
	if (n->level > 0) {
		unsigned first = slot_of(n, start > n->base ? start : n->base);
		unsigned last = slot_of(n, (end < n->base + node_span(n) ? end : n->base + node_span(n)) - 1);

		need += trim_need(slot_get(n, first), shared, start, end);
		if (last != first)
			need += trim_need(slot_get(n, last), shared, start, end);
	}
	return need;
}

struct trim {
	struct amap *amap;
	uint64_t start, end;
	struct amap_stock stock;
	struct amap_trash *trash;
	struct amap_node *old[2 * AMAP_LEVELS];
	uint32_t olds;
};

static void trim_locked(struct trim *t, struct amap_node *parent, unsigned i, struct amap_node *n)
{
	struct amap_node *trash;
	uint64_t step = node_span(n) >> AMAP_FANOUT_SHIFT;
	bool any = false;

	if (ref_count(&n->refs) != 1) {
		struct amap_node *c = amap_stock_take(&t->stock, n->level, n->base);

		amap_replace_locked(t->amap, parent, i, n, c);
		t->old[t->olds++] = n;
		n = c;
	}
	trash = amap_stock_take(&t->stock, n->level, n->base);
	if (n->level == 0)
		spin_lock(&n->lock, RANK_NODE);
	for (unsigned k = 0; k < AMAP_FANOUT; k++) {
		uint64_t lo = n->base + k * step, hi = lo + step;
		void *p = slot_get(n, k);

		if (!p || hi <= t->start || lo >= t->end)
			continue;
		if (t->start <= lo && hi <= t->end) {
			slot_put(n, k, NULL);
			slot_put(trash, k, p); /* the reference moves along */
			any = true;
		} else {
			trim_locked(t, n, k, p);
		}
	}
	if (n->level == 0)
		spin_unlock(&n->lock);
	if (any)
		t->trash->node[t->trash->count++] = trash;
	else
		t->stock.node[t->stock.count++] = trash;
}

static void reserve_put(struct amap_reserve *r, struct amap_node *n)
{
	atomic_store_relaxed(&n->slot[0], (void *)r->first); /* the caller's own, here and below */
	r->first = n;
}

static struct amap_node *reserve_take(struct amap_reserve *r)
{
	struct amap_node *n = r->first;

	if (n) {
		r->first = atomic_load_relaxed(&n->slot[0]);
		atomic_store_relaxed(&n->slot[0], NULL);
	}
	return n;
}

void amap_reserve_drop(struct vm *vm, struct amap_reserve *r)
{
	for (struct amap_node *n; (n = reserve_take(r));)
		zone_free(vm->node_zone, n);
}

enum error amap_reserve_trim(struct amap *a, uint64_t start, uint64_t end, struct amap_reserve *r)
{
	uint32_t need;

	spin_lock(&a->lock, RANK_AMAP);
	need = trim_need(atomic_load_relaxed(&a->root), false, start, end); /* under the lock */
	spin_unlock(&a->lock);
	for (; need > 0; need--) {
		struct amap_node *n = amap_node_alloc(a->vm);

		if (!n)
			return ERR_NOMEM;
		reserve_put(r, n);
	}
	return OK;
}

enum error amap_trim(struct amap *a, uint64_t start, uint64_t end, struct amap_trash *trash)
{
	struct amap_reserve none = { .first = NULL };
	enum error e = amap_trim_reserved(a, start, end, &none, trash);

	amap_reserve_drop(a->vm, &none);
	return e;
}

enum error amap_trim_reserved(struct amap *a, uint64_t start, uint64_t end, struct amap_reserve *r,
			      struct amap_trash *trash)
{
	struct trim t = { .amap = a, .start = start, .end = end, .trash = trash };
	struct amap_node *root;
	enum error e = OK;

	trash->count = 0;
	while (t.stock.count < AMAP_STOCK_MAX && r->first)
		t.stock.node[t.stock.count++] = reserve_take(r);
	for (;;) {
		uint32_t need;

		spin_lock(&a->lock, RANK_AMAP);
		root = atomic_load_relaxed(&a->root); /* under the lock */
		/* Counts only fall meanwhile: who could raise them (fork) is kept out by the range lock. */
		need = trim_need(root, false, start, end);
		if (need <= t.stock.count)
			break;
		spin_unlock(&a->lock);
		e = amap_stock_fill(a->vm, &t.stock, need);
		if (e != OK) {
			amap_stock_empty(a->vm, &t.stock);
			return e;
		}
	}
	if (root && start < root->base + node_span(root) && end > root->base) {
		if (start <= root->base && root->base + node_span(root) <= end) {
			amap_relink_locked(a, NULL, 0, NULL);
			trash->node[trash->count++] = root;
		} else {
			trim_locked(&t, NULL, 0, root);
			amap_reshaped_locked(a);
		}
	}
	spin_unlock(&a->lock);
	while (t.olds > 0)
		amap_node_put(t.old[--t.olds]);
	while (t.stock.count > 0) /* for the next trim */
		reserve_put(r, t.stock.node[--t.stock.count]);
	return OK;
}

void amap_trash_drop(struct vm *vm, struct amap_trash *trash)
{
	(void)vm;
	while (trash->count > 0)
		amap_node_put(trash->node[--trash->count]);
}
