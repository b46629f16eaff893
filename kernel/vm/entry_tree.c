/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/entry_tree.c: a persistent treap of map entries.
 *
 * Purpose. Faults look up an entry with no lock while mutators change the map.
 *
 * Structure. A treap: a binary search tree by start address whose shape is that
 * of random insertion, because each node's priority is a hash of its address
 * and a secret, and no child's priority is above its parent's. Without the secret a
 * program could choose addresses that make the tree a list, whose depth no kernel
 * stack has room for. Published nodes never change.
 * A mutator builds a new version: it copies the nodes on the paths it touches
 * and shares all others with the old version, then stores one root pointer.
 * A reader that loaded the old root walks the old version to its end.
 *
 *      old root --> [m]            [m'] <-- new root
 *                  /   \          /   \
 *                [f]   [t] <------+    [f']     (t is shared, f was replaced)
 *
 * Split and join do all the work: cutting a range out is split, split, join;
 * putting an entry in is split, join, join. Each costs expected O(log n) nodes.
 * A node made in this transaction is changed in place rather than copied again.
 *
 * Invariants.
 *  1. Ranges in order, disjoint: all of left end before the entry starts.
 *  2. prio(child) <= prio(parent).
 *  3. low is the smallest floor, high the largest end, gap the largest free
 *     stretch between neighbours in the subtree (floors count as taken).
 *  4. A node is reachable from the published root iff it is not on a
 *     transaction's made list and has not been retired.
 *
 * Locking. Only the owner of a transaction writes nodes, and only those it made.
 * lock guards root against a second transaction.
 *
 * Memory order. commit's seq_cst store of root pairs with the readers' seq_cst
 * load (the epoch protocol needs it, see sync/epoch.c); everything in the nodes
 * is written before it.
 *
 * Failure. Without memory a transaction turns failed; abort frees what it made
 * and the published version has never been touched.
 *
 * Sources: C. Aragon and R. Seidel, Randomized search trees (1989); J. Driscoll
 * et al., Making data structures persistent (1989); G. Blelloch et al., Just
 * join for parallel ordered sets (2016).
 */
#include "vm/entry_tree.h"

#include "base/assert.h"

struct tree_node {
	struct vm_entry *entry;
	struct tree_node *left, *right;
	uint64_t prio;
	uint64_t low, high, gap;      /* invariant 3 */
	struct tree_txn *maker;       /* the transaction that may still change it; NULL once published */
	struct tree_node *link;       /* made or replaced list of a transaction */
	struct epoch_item retire;
	struct zone *zone;
};

static uint64_t prio_of(const struct vm *vm, uint64_t start)
{
	uint64_t z = (start >> PAGE_SHIFT) + vm->tree_secret; /* then splitmix64's mixing steps, the secret once more between */

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	z = (z ^ (z >> 31)) + vm->tree_secret;
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	return z ^ (z >> 31);
}

static uint64_t max64(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* Free stretch between an end and a following floor, which may overlap when growth room was mapped over. */
static uint64_t stretch(uint64_t end, uint64_t floor) { return floor > end ? floor - end : 0; }

static void update(struct tree_node *n)
{
	const struct vm_entry *e = n->entry;

	n->low = e->floor;
	n->high = e->range.end.va;
	n->gap = 0;
	if (n->left) {
		n->gap = max64(n->left->gap, stretch(n->left->high, e->floor));
		n->low = n->left->low;
	}
	if (n->right) {
		n->gap = max64(n->gap, max64(n->right->gap, stretch(e->range.end.va, n->right->low)));
		n->high = n->right->high;
	}
}

static struct tree_node *node_new(struct tree_txn *x, struct vm_entry *e)
{
	struct tree_node *n = x->failed ? NULL : zone_alloc(x->tree->vm->tree_node_zone);

	if (!n) {
		x->failed = true;
		return NULL;
	}
	*n = (struct tree_node){ .entry = e, .prio = prio_of(x->tree->vm, e->range.start.va), .maker = x, .link = x->made,
				 .zone = x->tree->vm->tree_node_zone };
	x->made = n;
	update(n);
	return n;
}

/* Leaves a published node behind, to be retired at commit. */
static void node_replaced(struct tree_txn *x, struct tree_node *n)
{
	if (n->maker == x)
		return; /* stays on made with entry NULL: freed at the end */
	n->link = x->replaced;
	x->replaced = n;
}

/* A node that this transaction may write: n itself or a copy of it. NULL only when failed. */
static struct tree_node *node_own(struct tree_txn *x, struct tree_node *n)
{
	struct tree_node *c;

	if (n->maker == x)
		return n;
	c = node_new(x, n->entry);
	if (!c)
		return NULL;
	c->left = n->left;
	c->right = n->right;
	node_replaced(x, n);
	return c;
}

/* Entries that start before key to *l, the others to *r. */
static void split(struct tree_txn *x, struct tree_node *n, uint64_t key, struct tree_node **l, struct tree_node **r)
{
	*l = *r = NULL;
	if (!n || x->failed)
		return;
	n = node_own(x, n);
	if (!n)
		return;
	if (n->entry->range.start.va < key) {
		split(x, n->right, key, &n->right, r);
		*l = n;
	} else {
		split(x, n->left, key, l, &n->left);
		*r = n;
	}
	update(n);
}

static struct tree_node *join(struct tree_txn *x, struct tree_node *l, struct tree_node *r)
{
	struct tree_node *n;

	if (x->failed)
		return NULL;
	if (!l || !r)
		return l ? l : r;
	n = node_own(x, l->prio >= r->prio ? l : r);
	if (!n)
		return NULL;
	if (l->prio >= r->prio)
		n->right = join(x, n->right, r);
	else
		n->left = join(x, l, n->left);
	update(n);
	return n;
}

void entry_tree_init(struct entry_tree *t, struct vm *vm)
{
	t->vm = vm;
	atomic_store_relaxed(&t->root, NULL);
	spin_init(&t->lock);
	atomic_store_relaxed(&t->entries, UINT64_C(0));
}

void entry_tree_begin(struct tree_txn *x, struct entry_tree *t, bool lock)
{
	*x = (struct tree_txn){ .tree = t, .locked = lock };
	if (lock)
		spin_lock(&t->lock, RANK_TREE);
	x->root = atomic_load_acquire(&t->root); /* pairs with commit */
}

/* Everything below n leaves the tree: nodes only. */
static void drop_all(struct tree_txn *x, struct tree_node *n)
{
	if (!n)
		return;
	drop_all(x, n->left);
	drop_all(x, n->right);
	x->entries--;
	if (n->maker == x)
		n->entry = NULL; /* freed at commit: entry NULL marks it unused */
	else
		node_replaced(x, n);
}

void entry_tree_cut(struct tree_txn *x, uint64_t start, uint64_t end)
{
	struct tree_node *l, *m, *r;

	if (x->root && start <= x->root->low && x->root->high <= end) { /* all of it: nothing to copy */
		drop_all(x, x->root);
		x->root = NULL;
		return;
	}
	split(x, x->root, start, &l, &r);
	split(x, r, end, &m, &r);
	if (x->failed)
		return;
	drop_all(x, m);
	x->root = join(x, l, r);
}

void entry_tree_put(struct tree_txn *x, struct vm_entry *e)
{
	struct tree_node *l = x->root, *r = NULL, *n;

	if (l && l->high > e->range.start.va) /* else behind all others, as in a fork: nothing to split */
		split(x, x->root, e->range.start.va, &l, &r);
	n = node_new(x, e);
	if (!n)
		return;
	x->entries++;
	x->root = join(x, join(x, l, n), r);
}

enum error entry_tree_ready(const struct tree_txn *x) { return x->failed ? ERR_NOMEM : OK; }

static void node_free_late(struct epoch_item *item)
{
	struct tree_node *n = CONTAINER_OF(item, struct tree_node, retire);

	zone_free(n->zone, n);
}

void entry_tree_commit(struct tree_txn *x)
{
	struct entry_tree *t = x->tree;
	struct tree_node *next;

	ASSERT(!x->failed);
	for (struct tree_node *n = x->made, *prev = NULL; n; n = next) {
		next = n->link;
		n->maker = NULL;
		if (n->entry) {
			prev = n;
			continue;
		}
		if (prev)
			prev->link = next;
		zone_free(n->zone, n); /* made and dropped again: nobody saw it */
	}
	/* seq_cst: pairs with the readers' load of root; publishes all made nodes */
	atomic_store_seq_cst(&t->root, x->root);
	atomic_bump(&t->entries, (uint64_t)x->entries);
	if (x->locked)
		spin_unlock(&t->lock);
	for (struct tree_node *n = x->replaced; n; n = next) {
		next = n->link;
		epoch_retire(&t->vm->epoch, &n->retire, node_free_late);
	}
}

void entry_tree_abort(struct tree_txn *x)
{
	struct tree_node *next;

	if (x->locked)
		spin_unlock(&x->tree->lock);
	for (struct tree_node *n = x->made; n; n = next) {
		next = n->link;
		zone_free(n->zone, n);
	}
}

void entry_tree_clear(struct entry_tree *t)
{
	struct tree_txn x;

	entry_tree_begin(&x, t, false);
	drop_all(&x, x.root);
	x.root = NULL;
	entry_tree_commit(&x);
}

/* acquire: pairs with commit */
bool entry_tree_is_empty(const struct entry_tree *t) { return !atomic_load_acquire(&t->root); }

struct vm_entry *entry_tree_find(const struct entry_tree *t, uint64_t va)
{
	/* seq_cst: the first pointer load of an epoch section */
	const struct tree_node *n = atomic_load_seq_cst(&t->root);
	struct vm_entry *best = NULL;

	while (n) {
		if (n->entry->range.end.va > va) {
			best = n->entry;
			if (best->range.start.va <= va)
				break;
			n = n->left;
		} else {
			n = n->right;
		}
	}
	return best;
}

struct vm_entry *entry_tree_before(const struct entry_tree *t, uint64_t va)
{
	const struct tree_node *n = atomic_load_seq_cst(&t->root); /* seq_cst: as in entry_tree_find */
	struct vm_entry *best = NULL;

	while (n) {
		if (n->entry->range.start.va < va) {
			best = n->entry;
			n = n->right;
		} else {
			n = n->left;
		}
	}
	return best;
}

/* Highest free stretch of size within [lo, hi), the room left and right of n's subtree included. */
static bool gap_below(const struct tree_node *n, uint64_t lo, uint64_t hi, uint64_t size, uint64_t *addr)
{
	while (n) {
		uint64_t best = max64(n->gap, max64(stretch(lo, n->low), stretch(n->high, hi)));
		uint64_t right_lo = max64(lo, n->entry->range.end.va);

		if (best < size || hi <= lo)
			return false;
		if (right_lo < hi && gap_below(n->right, right_lo, hi, size, addr))
			return true;
		if (n->entry->floor < hi)
			hi = n->entry->floor;
		n = n->left;
	}
	if (hi <= lo || hi - lo < size)
		return false;
	*addr = hi - size;
	return true;
}

bool entry_tree_gap(const struct entry_tree *t, struct vrange bounds, uint64_t size, uint64_t *addr)
{
	/* seq_cst: as in entry_tree_find */
	return gap_below(atomic_load_seq_cst(&t->root), bounds.start.va, bounds.end.va, size, addr);
}

static uint64_t check_node(const struct vm *vm, const struct tree_node *n, uint64_t *end)
{
	struct tree_node again;
	uint64_t count = 1;

	if (!n)
		return 0;
	ASSERT(!n->maker && n->entry && n->prio == prio_of(vm, n->entry->range.start.va));
	ASSERT(!n->left || n->left->prio <= n->prio);
	ASSERT(!n->right || n->right->prio <= n->prio);
	count += check_node(vm, n->left, end);
	ASSERT(n->entry->range.start.va >= *end && n->entry->range.end.va > n->entry->range.start.va);
	ASSERT(entry_live(n->entry));
	*end = n->entry->range.end.va;
	count += check_node(vm, n->right, end);
	again = *n;
	update(&again);
	ASSERT(again.low == n->low && again.high == n->high && again.gap == n->gap);
	return count;
}

void entry_tree_check(const struct entry_tree *t)
{
	uint64_t end = 0, count = check_node(t->vm, atomic_load_acquire(&t->root), &end); /* acquire: pairs with commit */

	ASSERT(count == atomic_load_relaxed(&t->entries)); /* quiet point: nobody writes */
}

enum error entry_tree_module_init(struct vm *vm)
{
	machine_random(&vm->tree_secret, sizeof vm->tree_secret);
	vm->tree_node_zone = zone_create(&vm->zones, "tree_node", sizeof(struct tree_node), 8, NULL, NULL, 0);
	return vm->tree_node_zone ? OK : ERR_NOMEM;
}
