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
 * Cutting an entry out joins its node's children; putting one in splits the subtree
 * whose root has to go below it. Each copies the path down to there and, expected, a
 * constant number of nodes more.
 * A node made in this transaction is changed in place rather than copied again.
 *
 * Most changes put one entry in the place of one that starts at the same address:
 * a heap that grows, a protection. They need no version: entry_tree_swap stores the
 * node's entry, and mends low, high and gap above it, under the lock, which gap
 * searches take as well. Readers without it use start, which never changes, and the
 * entry alone. Why a walk through swaps and older versions goes right: let e cover va and
 * be in the tree from the walk's begin to its end. What is or was left of e ends
 * before va, what is right of it ends after va, whichever of a node's
 * entries the walk sees; so it goes the way to e's node, which is in every version it
 * may have. If nothing covers va all the time, both answers were right at some moment of
 * the walk, and who finds an entry that is gone finds it dead.
 *
 * Invariants.
 *  1. Ranges in order, disjoint: all of left end before the entry starts.
 *  2. prio(child) <= prio(parent).
 *  3. low is the smallest floor, high the largest end, gap the largest free
 *     stretch between neighbours in the subtree (floors count as taken).
 *  4. A node is reachable from the published root iff it is not on a
 *     transaction's made list and has not been retired.
 *
 * Locking. The owner of a transaction writes nodes that it made. lock guards root
 * against a second transaction, and what a swap changes. A transaction without the lock has all of the map
 * to itself, swaps included.
 *
 * Memory order. commit's seq_cst store of root pairs with the readers' seq_cst
 * load (the epoch protocol needs it, see sync/epoch.c); everything in the nodes
 * is written before it. A swap's release store of a node's entry pairs with the
 * acquire load of readers; that it is no seq_cst store is enough for the epoch
 * (epoch_retire's own come after it).
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

/*
 * c: constant once published; t: changes under the tree's lock, or while its owner holds all of the map's range lock. The first
 * line is all that readers look at; of the nodes above a change only the second is written.
 */
struct tree_node {
	ATOMIC(struct vm_entry *) entry; /* t: release by entry_tree_swap, acquire by readers without a lock */
	struct tree_node *left, *right;  /* c */
	uint64_t start, prio;            /* c: the entry's first address, and its hash */
	struct epoch_item retire;
	struct zone *zone;
	uint64_t end, floor;             /* t: the entry's */
	uint64_t low, high, gap;         /* t: invariant 3 */
	struct tree_txn *maker;          /* the transaction that may still change it; NULL once published */
	struct tree_node *link;          /* made or replaced list of a transaction */
};
_Static_assert(offsetof(struct tree_node, end) == CACHE_LINE, "what readers look at is the first line");

/* For who keeps other mutators out: the tree's lock or its owner's range lock orders the stores before. */
static inline struct vm_entry *node_entry(const struct tree_node *n) { return atomic_load_relaxed(&n->entry); }

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
	const struct tree_node *l = n->left, *r = n->right;
	uint64_t low = n->floor, high = n->end, gap = 0;

	if (l) {
		gap = max64(l->gap, stretch(l->high, low));
		low = l->low;
	}
	if (r) {
		gap = max64(gap, max64(r->gap, stretch(high, r->low)));
		high = r->high;
	}
	n->low = low;
	n->high = high;
	n->gap = gap;
}

/* Neither its children nor what update says of them. */
static struct tree_node *node_new(struct tree_txn *x)
{
	struct zone *zone = x->tree->vm->tree_node_zone;
	struct tree_node *n = x->failed ? NULL : zone_alloc(zone);

	if (!n) {
		x->failed = true;
		return NULL;
	}
	n->maker = x;
	n->link = x->made;
	n->zone = zone;
	x->made = n;
	return n;
}

static void node_set_entry(struct tree_node *n, struct vm_entry *e)
{
	n->end = e->range.end.va;
	n->floor = e->floor;
	/* release: pairs with the acquire of who looks without a lock; e is complete */
	atomic_store_release(&n->entry, e);
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
	c = node_new(x);
	if (!c)
		return NULL;
	atomic_store_relaxed(&c->entry, node_entry(n)); /* not published yet */
	c->start = n->start;
	c->end = n->end;
	c->floor = n->floor;
	c->prio = n->prio;
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
	if (n->start < key) {
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

/* One at a time: under the tree's lock, or by who has all of the map to himself. */
static void note_change(struct entry_tree *t)
{
	/* release: pairs with entry_tree_changes */
	atomic_store_release(&t->changes, atomic_load_relaxed(&t->changes) + 1);
}

void entry_tree_init(struct entry_tree *t, struct vm *vm)
{
	t->vm = vm;
	atomic_store_relaxed(&t->root, NULL);
	spin_init(&t->lock);
	atomic_store_relaxed(&t->entries, UINT64_C(0));
	atomic_store_relaxed(&t->changes, UINT64_C(0));
}

void entry_tree_begin(struct tree_txn *x, struct entry_tree *t, bool lock)
{
	*x = (struct tree_txn){ .tree = t, .locked = lock };
	if (lock)
		spin_lock(&t->lock, RANK_TREE);
	x->root = atomic_load_acquire(&t->root); /* pairs with commit */
}

static void drop(struct tree_txn *x, struct tree_node *n)
{
	x->entries--;
	if (n->maker == x)
		atomic_store_relaxed(&n->entry, NULL); /* not published; freed at commit: NULL marks it unused */
	else
		node_replaced(x, n);
}

/* n without what starts in [start, end). Only the paths to that are copied. */
static struct tree_node *cut(struct tree_txn *x, struct tree_node *n, uint64_t start, uint64_t end)
{
	struct tree_node *l, *r;

	/* No entry here ends after start, or none starts before end: floors are no higher than starts. */
	if (!n || n->high <= start || n->low >= end || x->failed)
		return n;
	if (n->start >= start && n->start < end) {
		l = cut(x, n->left, start, end);
		r = cut(x, n->right, start, end);
		if (x->failed)
			return NULL;
		drop(x, n);
		return join(x, l, r);
	}
	n = node_own(x, n);
	if (!n)
		return NULL;
	if (n->start < start)
		n->right = cut(x, n->right, start, end);
	else
		n->left = cut(x, n->left, start, end);
	update(n);
	return n;
}

void entry_tree_cut(struct tree_txn *x, uint64_t start, uint64_t end) { x->root = cut(x, x->root, start, end); }

/* n with made, a leaf so far: above the first node on its path that is of lower priority. */
static struct tree_node *put(struct tree_txn *x, struct tree_node *n, struct tree_node *made)
{
	if (!n || n->prio < made->prio) {
		split(x, n, made->start, &made->left, &made->right);
		update(made);
		return made;
	}
	n = node_own(x, n);
	if (!n)
		return NULL;
	if (n->start < made->start)
		n->right = put(x, n->right, made);
	else
		n->left = put(x, n->left, made);
	update(n);
	return n;
}

void entry_tree_put(struct tree_txn *x, struct vm_entry *e)
{
	struct tree_node *n = node_new(x);

	if (!n)
		return;
	n->start = e->range.start.va;
	n->prio = prio_of(x->tree->vm, n->start);
	node_set_entry(n, e);
	x->entries++;
	x->root = put(x, x->root, n);
}

/* n's subtree once more, with the entries from *e on, by edit_next, in the place of its own. */
static struct tree_node *copy(struct tree_txn *x, const struct tree_node *n, struct vm_entry **e)
{
	struct tree_node *left, *c;

	if (!n)
		return NULL;
	left = copy(x, n->left, e);
	c = node_new(x);
	if (!c)
		return NULL;
	ASSERT_CHECKED((*e)->range.start.va == n->start && (*e)->range.end.va == n->end && (*e)->floor == n->floor);
	c->left = left;
	c->start = n->start;
	c->prio = n->prio;
	c->low = n->low;
	c->high = n->high;
	c->gap = n->gap;
	node_set_entry(c, *e);
	*e = (*e)->edit_next;
	c->right = copy(x, n->right, e);
	return c;
}

void entry_tree_copy(struct tree_txn *x, const struct entry_tree *from, struct vm_entry *e)
{
	ASSERT_CHECKED(!x->root);
	x->root = copy(x, atomic_load_acquire(&from->root), &e); /* pairs with commit */
	x->entries = (int64_t)atomic_load_relaxed(&from->entries); /* the range lock keeps it as it is */
}

/* e in the place of the entry below n that starts where it does. */
static struct tree_node *change(struct tree_txn *x, struct tree_node *n, struct vm_entry *e)
{
	n = node_own(x, n);
	if (!n)
		return NULL;
	if (n->start == e->range.start.va)
		node_set_entry(n, e);
	else if (n->start < e->range.start.va)
		n->right = change(x, n->right, e);
	else
		n->left = change(x, n->left, e);
	update(n);
	return n;
}

void entry_tree_change(struct tree_txn *x, struct vm_entry *e)
{
	if (!x->failed)
		x->root = change(x, x->root, e);
}

/* Above the entry that starts at start, where it has changed: invariant 3, in place. */
static void refresh(struct tree_node *n, uint64_t start)
{
	if (n->start != start)
		refresh(n->start < start ? n->right : n->left, start);
	update(n);
}

void entry_tree_swap(struct entry_tree *t, struct vm_entry *e)
{
	uint64_t start = e->range.start.va;
	struct tree_node *root, *n;
	bool same;

	spin_lock(&t->lock, RANK_TREE);
	root = atomic_load_acquire(&t->root); /* pairs with commit */
	for (n = root; n->start != start;)
		n = n->start < start ? n->right : n->left;
	same = n->end == e->range.end.va && n->floor == e->floor;
	node_set_entry(n, e);
	if (!same)
		refresh(root, start);
	note_change(t);
	spin_unlock(&t->lock);
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
		if (node_entry(n)) {
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
	note_change(t);
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

static void destroy(struct vm *vm, struct tree_node *n, void (*each)(struct vm *vm, struct vm_entry *e))
{
	for (struct tree_node *right; n; n = right) {
		destroy(vm, n->left, each);
		right = n->right;
		each(vm, node_entry(n));
		zone_free(n->zone, n);
	}
}

void entry_tree_destroy(struct entry_tree *t, void (*each)(struct vm *vm, struct vm_entry *e))
{
	destroy(t->vm, atomic_load_acquire(&t->root), each); /* pairs with commit */
	atomic_store_relaxed(&t->root, NULL);                /* nobody looks */
}

/* acquire: pairs with commit */
bool entry_tree_is_empty(const struct entry_tree *t) { return !atomic_load_acquire(&t->root); }

struct vm_entry *entry_tree_find(const struct entry_tree *t, uint64_t va)
{
	/* seq_cst: the first pointer load of an epoch section */
	const struct tree_node *n = atomic_load_seq_cst(&t->root);
	struct vm_entry *best = NULL;

	while (n) {
		struct vm_entry *e = atomic_load_acquire(&n->entry); /* pairs with node_set_entry */

		if (e->range.end.va > va) {
			best = e;
			if (n->start <= va)
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
	const struct tree_node *n = atomic_load_seq_cst(&t->root), *best = NULL; /* seq_cst: as in entry_tree_find */

	while (n) {
		if (n->start < va) {
			best = n;
			n = n->right;
		} else {
			n = n->left;
		}
	}
	return best ? atomic_load_acquire(&best->entry) : NULL; /* pairs with node_set_entry */
}

/* Highest free stretch of size within [lo, hi), the room left and right of n's subtree included. */
static bool gap_below(const struct tree_node *n, uint64_t lo, uint64_t hi, uint64_t size, uint64_t *addr)
{
	while (n) {
		uint64_t best = max64(n->gap, max64(stretch(lo, n->low), stretch(n->high, hi)));
		uint64_t right_lo = max64(lo, n->end);

		if (best < size || hi <= lo)
			return false;
		if (right_lo < hi && gap_below(n->right, right_lo, hi, size, addr))
			return true;
		if (n->floor < hi)
			hi = n->floor;
		n = n->left;
	}
	if (hi <= lo || hi - lo < size)
		return false;
	*addr = hi - size;
	return true;
}

bool entry_tree_gap(struct entry_tree *t, struct vrange bounds, uint64_t size, uint64_t *addr)
{
	bool found;

	spin_lock(&t->lock, RANK_TREE); /* keeps swaps out; an unlocked transaction may publish another version meanwhile */
	/* seq_cst: as in entry_tree_find */
	found = gap_below(atomic_load_seq_cst(&t->root), bounds.start.va, bounds.end.va, size, addr);
	spin_unlock(&t->lock);
	return found;
}

static uint64_t check_node(const struct vm *vm, const struct tree_node *n, uint64_t *end)
{
	const struct vm_entry *e;
	struct tree_node again;
	uint64_t count = 1;

	if (!n)
		return 0;
	e = node_entry(n);
	ASSERT(!n->maker && e && n->prio == prio_of(vm, n->start));
	ASSERT(n->start == e->range.start.va && n->end == e->range.end.va && n->floor == e->floor);
	ASSERT(!n->left || n->left->prio <= n->prio);
	ASSERT(!n->right || n->right->prio <= n->prio);
	count += check_node(vm, n->left, end);
	ASSERT(n->start >= *end && n->end > n->start);
	ASSERT(entry_live(e));
	*end = n->end;
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
	vm->tree_node_zone = zone_create(&vm->zones, "tree_node", sizeof(struct tree_node), CACHE_LINE, NULL, NULL, 0);
	return vm->tree_node_zone ? OK : ERR_NOMEM;
}
