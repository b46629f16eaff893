/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/futex.c: threads that wait for a word of user memory.
 *
 * Structure. A key names the word: for memory that only one address space sees, the
 * map and the address; for shared memory, the object's oid and the offset in it, so that the
 * same word has one key wherever it is mapped. A hash table of buckets holds the
 * waiters of all keys, first come first served.
 *
 * Invariants.
 *  1. A waiter joins its bucket before it reads the word. Whoever changes the word
 *     and then wakes takes the bucket's lock after its change: either it finds the
 *     waiter, or the waiter's read (after its own turn with the lock) sees the change.
 *     User memory cannot be read under a spinlock, so Linux's order (read under the
 *     lock) is not available.
 *  2. A waiter that finds the word changed leaves with EAGAIN and must not have
 *     swallowed a wake-up: if it was woken in between, it wakes the next one of the
 *     same key in its place (pass_on).
 *  3. For FUTEX_CMP_REQUEUE the word is read without the lock too. `joined` counts
 *     who came to the bucket; if it moved between the read and the lock, the read is
 *     done again: so no waiter is moved that came after the word had changed.
 *  4. A waiter's key and bucket change (requeue) only under both buckets' locks; the
 *     waiter that leaves takes its bucket's lock and looks again.
 *  5. A key names what it means for as long as somebody waits: a waiter keeps its own
 *     map, and ids of objects are given once.
 *
 * Locking. RANK_FUTEX, and RANK_FUTEX2 for the second bucket of a requeue, which has
 * the higher address.
 *
 * PI operations are not here: ENOSYS, and glibc does without.
 *
 * Sources: futex(2); U. Drepper, Futexes are tricky (2011); Linux kernel/futex for
 * the robust list's layout and limits.
 */
#include "proc/futex.h"

#include "base/assert.h"
#include "hal/uaccess.h"
#include "proc/linux_abi.h"
#include "proc/sched.h"
#include "vm/map.h"

#define BUCKETS 256
#define ROBUST_MAX 2048 /* locks on a robust list, as Linux: a list may be a circle */

struct futex_key {
	uint64_t space;  /* the vm_map's address, compared only; or the object's port */
	uint64_t id;     /* 0 for a map; the object's id */
	uint64_t offset; /* address in the map, or offset in the object */
};

struct bucket {
	struct spinlock lock; /* RANK_FUTEX, RANK_FUTEX2 */
	struct list waiters;  /* b: oldest first */
	uint64_t joined;      /* b */
} ALIGNED(CACHE_LINE);

struct futex_table {
	struct bucket bucket[BUCKETS];
};

/* b: the lock of its bucket */
struct futex_waiter {
	struct list link;               /* b */
	struct futex_key key;           /* b */
	uint32_t bitset;                /* c */
	ATOMIC(struct bucket *) bucket; /* b: relaxed loads recheck under the lock */
	struct wait_flag woken;         /* set under b */
	struct thread *thread;          /* c */
};

enum error futex_init(struct proc_system *ps)
{
	struct futex_table *table = kmalloc(&ps->vm->kmalloc, sizeof *table);

	if (!table)
		return ERR_NOMEM;
	for (unsigned i = 0; i < BUCKETS; i++) {
		spin_init(&table->bucket[i].lock);
		list_init(&table->bucket[i].waiters);
		table->bucket[i].joined = 0;
	}
	ps->futexes = table;
	return OK;
}

static bool same(const struct futex_key *a, const struct futex_key *b)
{
	return a->space == b->space && a->id == b->id && a->offset == b->offset;
}

static struct bucket *bucket_of(struct proc_system *ps, const struct futex_key *key)
{
	uint64_t h = (key->space >> 6) ^ key->id ^ (key->offset >> 2) * UINT64_C(0x9e3779b97f4a7c15);

	h *= UINT64_C(0x9e3779b97f4a7c15);
	return &ps->futexes->bucket[h >> 56];
}
_Static_assert(BUCKETS == 256, "bucket_of takes 8 bits");

static long make_key(struct thread *t, uint64_t addr, bool private, struct futex_key *key)
{
	struct vm_entry_info info;

	if (addr & 3)
		return -EINVAL;
	if (addr >= USER_END)
		return -EFAULT;
	*key = (struct futex_key){(uintptr_t)t->map, 0, addr};
	if (private)
		return 0;
	if (!vm_map_lookup(t->map, addr, &info) || addr < info.range.start.va)
		return -EFAULT;
	if (info.shared)
		*key = (struct futex_key){info.oid.port, info.oid.id, info.offset + (addr - info.range.start.va)};
	return 0;
}

/* --- the waiter's side --- */

static void join(struct proc_system *ps, struct futex_waiter *w)
{
	struct bucket *b = bucket_of(ps, &w->key);

	atomic_store_relaxed(&w->woken.set, 0u); /* nobody sees w yet */
	atomic_store_relaxed(&w->bucket, b);
	spin_lock(&b->lock, RANK_FUTEX);
	b->joined++;
	list_append(&b->waiters, &w->link);
	spin_unlock(&b->lock);
}

/* Off the list if still on it. True: it was woken. No one touches w afterwards. */
static bool leave(struct futex_waiter *w)
{
	for (;;) {
		struct bucket *b = atomic_load_relaxed(&w->bucket); /* a hint, checked under the lock */
		bool woken;

		spin_lock(&b->lock, RANK_FUTEX);
		if (atomic_load_relaxed(&w->bucket) != b) {
			spin_unlock(&b->lock);
			continue;
		}
		woken = atomic_load_relaxed(&w->woken.set); /* set under this lock */
		if (!woken)
			list_remove(&w->link);
		spin_unlock(&b->lock);
		return woken;
	}
}

/* --- the waker's side; lock of the bucket held --- */

static void wake_locked(struct futex_waiter *w)
{
	struct thread *thread = w->thread;

	list_remove(&w->link);
	/* release: pairs with sched_block's acquire. The waiter takes the bucket's lock, which we hold, before w goes.
	 */
	atomic_store_release(&w->woken.set, 1u);
	sched_wake(thread);
}

static uint32_t wake_bucket_locked(struct bucket *b, const struct futex_key *key, uint32_t count, uint32_t bitset)
{
	uint32_t n = 0;

	LIST_FOR_SAFE(m, next, &b->waiters) {
		struct futex_waiter *w = CONTAINER_OF(m, struct futex_waiter, link);

		if (n >= count)
			break;
		if (!same(&w->key, key) || !(w->bitset & bitset))
			continue;
		wake_locked(w);
		n++;
	}
	return n;
}

static uint32_t wake_key(struct proc_system *ps, const struct futex_key *key, uint32_t count, uint32_t bitset)
{
	struct bucket *b = bucket_of(ps, key);
	uint32_t n;

	spin_lock(&b->lock, RANK_FUTEX);
	n = wake_bucket_locked(b, key, count, bitset);
	spin_unlock(&b->lock);
	return n;
}

/* --- calls --- */

long futex_wait(struct thread *t, uint64_t addr, bool private, uint32_t value, uint32_t bitset, uint64_t deadline)
{
	struct futex_waiter w = {.bitset = bitset, .thread = t};
	uint32_t found;
	enum error e;
	long r;

	if (!bitset)
		return -EINVAL;
	r = make_key(t, addr, private, &w.key);
	if (r < 0)
		return r;
	join(t->ps, &w);
	e = user_load32(vaddr(addr), &found);
	if (e != OK || found != value) {
		if (leave(&w))
			(void)wake_key(t->ps, &w.key, 1, w.bitset); /* pass it on: invariant 2 */
		return e != OK ? -EFAULT : -EAGAIN;
	}
	e = sched_block(&w.woken, WAIT_INTERRUPTIBLE, deadline);
	if (leave(&w))
		return 0;
	return e == ERR_TIMEOUT ? -ETIMEDOUT : -ERESTARTSYS;
}

long futex_wake(struct thread *t, uint64_t addr, bool private, uint32_t count, uint32_t bitset)
{
	struct futex_key key;
	long r;

	if (!bitset)
		return -EINVAL;
	r = make_key(t, addr, private, &key);
	return r < 0 ? r : (long)wake_key(t->ps, &key, count, bitset);
}

static void lock_both(struct bucket *a, struct bucket *b)
{
	spin_lock(a < b ? &a->lock : &b->lock, RANK_FUTEX);
	if (a != b)
		spin_lock(a < b ? &b->lock : &a->lock, RANK_FUTEX2);
}

static void unlock_both(struct bucket *a, struct bucket *b)
{
	spin_unlock(&a->lock);
	if (a != b)
		spin_unlock(&b->lock);
}

static uint32_t move_locked(struct bucket *from, struct bucket *to, const struct futex_key *key,
			    const struct futex_key *key2, uint32_t move)
{
	uint32_t n = 0;

	LIST_FOR_SAFE(m, next, &from->waiters) {
		struct futex_waiter *w = CONTAINER_OF(m, struct futex_waiter, link);

		if (n >= move)
			break;
		if (!same(&w->key, key))
			continue;
		w->key = *key2;
		n++;
		if (from == to)
			continue;
		list_remove(&w->link);
		list_append(&to->waiters, &w->link);
		atomic_store_relaxed(&w->bucket, to); /* under both locks */
		to->joined++;
	}
	return n;
}

long futex_requeue(struct thread *t, uint64_t addr, uint64_t addr2, bool private, uint32_t count, uint32_t move,
		   const uint32_t *expected)
{
	struct futex_key key, key2;
	struct bucket *from, *to;
	uint32_t woken, moved, found;
	uint64_t joined;
	long r = make_key(t, addr, private, &key);

	if (r == 0)
		r = make_key(t, addr2, private, &key2);
	if (r < 0)
		return r;
	from = bucket_of(t->ps, &key);
	to = bucket_of(t->ps, &key2);
	for (;;) {
		spin_lock(&from->lock, RANK_FUTEX);
		joined = from->joined;
		spin_unlock(&from->lock);
		if (expected) {
			if (user_load32(vaddr(addr), &found) != OK)
				return -EFAULT;
			if (found != *expected)
				return -EAGAIN;
		}
		lock_both(from, to);
		if (!expected || from->joined == joined)
			break;
		/* Somebody came since the read: it may have seen another value (invariant 3). Each turn, somebody has
		 * begun to wait. */
		unlock_both(from, to);
		sched_point();
	}
	woken = wake_bucket_locked(from, &key, count, FUTEX_BITSET_ANY);
	moved = same(&key, &key2) ? 0 : move_locked(from, to, &key, &key2, move);
	unlock_both(from, to);
	return (long)woken + (expected ? (long)moved : 0);
}

static int32_t sign_extend12(uint32_t v) { return (int32_t)(v << 20) >> 20; }

/* The arithmetic of FUTEX_WAKE_OP on the word at addr2; => its old value. */
static long operate(uint64_t addr, uint32_t op, uint32_t *old)
{
	uint32_t argument = (uint32_t)sign_extend12(op >> 12 & 0xfff), value;
	bool swapped;

	if (op >> 31)
		argument = 1u << (argument & 31);
	if (user_load32(vaddr(addr), old) != OK)
		return -EFAULT;
	do {
		switch (op >> 28 & 7) {
		case 0:
			value = argument;
			break;
		case 1:
			value = *old + argument;
			break;
		case 2:
			value = *old | argument;
			break;
		case 3:
			value = *old & ~argument;
			break;
		case 4:
			value = *old ^ argument;
			break;
		default:
			return -ENOSYS;
		}
		if (user_cas32(vaddr(addr), old, value, &swapped) != OK)
			return -EFAULT;
	} while (!swapped); /* somebody else got on */
	return 0;
}

static long compare(uint32_t op, uint32_t old)
{
	int32_t argument = sign_extend12(op & 0xfff), v = (int32_t)old;

	switch (op >> 24 & 15) {
	case 0:
		return v == argument;
	case 1:
		return v != argument;
	case 2:
		return v < argument;
	case 3:
		return v <= argument;
	case 4:
		return v > argument;
	case 5:
		return v >= argument;
	default:
		return -ENOSYS;
	}
}

long futex_wake_op(struct thread *t, uint64_t addr, uint64_t addr2, bool private, uint32_t count, uint32_t count2,
		   uint32_t op)
{
	struct futex_key key, key2;
	uint32_t old = 0, n;
	long r = compare(op, 0); /* is there such a comparison at all? */

	if (r >= 0)
		r = make_key(t, addr, private, &key);
	if (r >= 0)
		r = make_key(t, addr2, private, &key2);
	if (r >= 0)
		r = operate(addr2, op, &old);
	if (r < 0)
		return r;
	n = wake_key(t->ps, &key, count, FUTEX_BITSET_ANY);
	if (compare(op, old))
		n += wake_key(t->ps, &key2, count2, FUTEX_BITSET_ANY);
	return n;
}

/* --- the end of a thread --- */

struct robust_head {
	uint64_t next, futex_offset, pending;
};

/* A lock whose owner has died: says so in the word, wakes one who waits. */
static void owner_died(struct thread *t, uint64_t addr, bool pending)
{
	uint32_t word;
	bool swapped = false;

	if (addr & 3 || user_load32(vaddr(addr), &word) != OK)
		return;
	/* It may have been about to unlock: the word is free, but the wake-up did not happen. */
	if (pending && !word) {
		(void)futex_wake(t, addr, false, 1, FUTEX_BITSET_ANY);
		return;
	}
	while (!swapped) {
		uint32_t died = (word & FUTEX_WAITERS) | FUTEX_OWNER_DIED;

		if ((word & FUTEX_TID_MASK) != t->tid || user_cas32(vaddr(addr), &word, died, &swapped) != OK)
			return;
	}
	if (word & FUTEX_WAITERS)
		(void)futex_wake(t, addr, false, 1, FUTEX_BITSET_ANY);
}

static void robust_list(struct thread *t)
{
	struct robust_head head;
	uint64_t at, next;

	if (copy_in(&head, vaddr(t->robust_list), sizeof head) != OK)
		return;
	/* Bit 0 of a pointer marks PI locks, which nobody can have here. */
	at = head.next & ~UINT64_C(1);
	for (unsigned n = 0; at != t->robust_list && n < ROBUST_MAX; n++) {
		/* Before the lock is let go: its memory may be gone then. */
		bool more = copy_in(&next, vaddr(at), sizeof next) == OK;

		if (at != (head.pending & ~UINT64_C(1)))
			owner_died(t, at + head.futex_offset, false);
		if (!more)
			return;
		at = next & ~UINT64_C(1);
		sched_point();
	}
	if (head.pending)
		owner_died(t, (head.pending & ~UINT64_C(1)) + head.futex_offset, true);
}

void futex_thread_leaves(struct thread *t)
{
	uint32_t zero = 0;

	if (t->robust_list)
		robust_list(t);
	t->robust_list = 0;
	if (t->clear_child_tid && copy_out(vaddr(t->clear_child_tid), &zero, sizeof zero) == OK)
		(void)futex_wake(t, t->clear_child_tid, false, 1, FUTEX_BITSET_ANY);
	t->clear_child_tid = 0;
}
