/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * limit.pml: fork's limit over a level-2 table against faults, late ones included, that map below it and lift it.
 *
 * Models pmap_limit_writes, pmap_limited, pmap_lift_limit with push_down_upper_locked, and
 * limit_push_down_locked (kernel/hal/armv8/limit.c); of fork: entry_kill, the limit, the
 * new entry published (vm/fork.c); of a fault: lift_limit and the look at the entry under
 * the leaf lock (vm/fault.c), table_link (table.c), the PTE of set_new (pmap_leaf.c).
 *
 * Memory. The store of `dead` and what table_link's cas wrote go through the CPU's store
 * buffer and are seen by others at any later moment; a seq_cst access waits until
 * the CPU's earlier seq_cst stores are seen, and so does the release of a lock, and a
 * read-modify-write of what follows it in the program. Locks are atomic.
 *
 * Abstracted. One GiB with two leaf tables, of which the second is missing at first; one page in
 * each. Tables do not go (liveness.pml), the upper levels are there. TLBs have what the tables give:
 * fork's flush is part of the step that ends it (shootdown.pml). A PTE is named after the
 * entry under which its right was granted.
 *
 * Bounds. 2 faulting CPUs, each of which may write or read (and then be granted the right to
 * write later, with no look at the limit), at either page, for ever; 1 that forks twice.
 *
 * Properties (assertions).
 *  F1 Once a fork is over, nobody can write by a right that was granted under an entry that
 *     it killed: the PTE is restricted, or a limit is over it.
 *  F2 A limit that is lifted is of a fork that is over: its flush is.
 *
 * run: correct                                                     holds
 * run: limit-set-without-lock    -DBUG_SET_UNLOCKED                assertion
 * run: lifted-after-the-look     -DBUG_LIFT_AFTER_LOOK             assertion
 * run: lifted-before-set-below   -DBUG_CLEAR_FIRST                 assertion
 * run: lifted-without-leaf-locks -DBUG_NO_LEAF_LOCKS               assertion
 * run: limit-before-kill         -DBUG_LIMIT_FIRST                 assertion
 * run: lifted-for-a-dead-entry   -DBUG_LIFT_DEAD                   assertion
 * run: lifted-if-live-before     -DBUG_LIVE_EARLY                  assertion
 * run: link-not-seq-cst          -DBUG_LINK_RELEASE                assertion
 * run: dead-loaded-before-link   -DBUG_DEAD_BEFORE_LINK            assertion
 * run: check-before-leaf-lock    -DBUG_CHECK_BEFORE_LOCK           assertion
 * run: no-check-of-dead          -DBUG_NO_DEAD_CHECK               assertion
 * run: limit-not-pushed-to-ptes  -DBUG_PTE_KEPT                    assertion
 */
#define FAULTS 2
#define FORKS 2
#define RO 1
#define RW 2

byte root = 1;            /* the entry that faults find */
bool dead[FORKS + 2];
bool limit;               /* of level 1 */
bool standing;            /* it is of a fork that is over */
bool upper_lock;
bool linked[3] = true;    /* by table, 1 and 2 */
bool leaf_lock[3];
bool ro[3];               /* limit of level 2 */
byte pte[3];
byte grant[3];            /* under which entry */
byte over;                /* forks up to here are over */

byte late_dead;           /* the fork's store buffer: which entry */
bool late_link[FAULTS];   /* the faults': table 2 was linked */

#define can_write(t) (pte[t] == RW && !ro[t] && !limit)
#define F1() assert(!(can_write(1) && grant[1] <= over) && !(can_write(2) && grant[2] <= over))
#define drain_dead() \
	if \
	:: late_dead != 0 -> dead[late_dead] = true; late_dead = 0 \
	:: else \
	fi
#define drain_link(f) \
	if \
	:: late_link[f] -> linked[2] = true; late_link[f] = false \
	:: else \
	fi
#define lock(l) atomic { !l -> l = true }

inline set_below(t)
{
	if
	:: there ->
#ifndef BUG_NO_LEAF_LOCKS
		lock(leaf_lock[t]);
#endif
		if
		:: pte[t] != 0 -> ro[t] = true /* a table with nothing is passed by */
		:: else
		fi;
#ifndef BUG_NO_LEAF_LOCKS
		leaf_lock[t] = false
#endif
	:: else
	fi
}

/* pmap_lift_limit */
inline lift()
{
	lock(upper_lock);
	if
#ifdef BUG_LIFT_DEAD
	:: limit ->
#elif defined(BUG_LIVE_EARLY)
	:: limit && live ->
#else
	:: limit && !dead[e] -> /* no limit comes now */
#endif
#ifdef BUG_CLEAR_FIRST
		d_step { limit = false; F1() };
#endif
		there = true;
		set_below(1);
		there = linked[2]; /* seq_cst */
		set_below(2);
		d_step { assert(standing); /* F2 */ limit = false; F1() }
	:: else -> stale = limit
	fi;
	upper_lock = false
}

proctype fault(byte me)
{
	byte e, t;
	bool write, live, there, stale;
end:
	do
	:: e = root;
		if
		:: t = 1
		:: t = 2
		fi;
		if
		:: write = true
		:: write = false
		fi;
#ifndef BUG_LIFT_AFTER_LOOK
		if
		:: write ->
			if
			:: limit -> /* pmap_limited */
				live = !dead[e];
				lift();
				if
				:: stale -> goto again
				:: else
				fi
			:: else
			fi
		:: else
		fi;
#endif
#ifdef BUG_DEAD_BEFORE_LINK
		live = !dead[e];
#endif
		if
		:: t == 2 && !linked[2] && !late_link[me] -> /* table_link */
			atomic {
				if
				:: !linked[2] && !late_link[0] && !late_link[1] -> late_link[me] = true
				:: else -> goto again
				fi
			};
#ifndef BUG_LINK_RELEASE
			atomic { drain_link(me) }
#endif
		:: else
		fi;
#ifdef BUG_CHECK_BEFORE_LOCK
		live = !dead[e];
#endif
		lock(leaf_lock[t]);
#if defined(BUG_NO_DEAD_CHECK)
		live = true;
#elif !defined(BUG_DEAD_BEFORE_LINK) && !defined(BUG_CHECK_BEFORE_LOCK)
		live = !dead[e]; /* entry_live */
#endif
#ifdef BUG_LIFT_AFTER_LOOK
		if
		:: live && limit ->
			leaf_lock[t] = false;
			lift();
			lock(leaf_lock[t])
		:: else
		fi;
#endif
		if
		:: live ->
			if
			:: ro[t] -> /* limit_push_down_locked */
#ifndef BUG_PTE_KEPT
				if
				:: pte[t] == RW -> pte[t] = RO
				:: else
				fi;
#endif
				d_step { ro[t] = false; F1() }
			:: else
			fi;
			d_step { pte[t] = RW; grant[t] = e; F1() }
		:: else
		fi;
#ifdef BUG_LINK_RELEASE
		atomic { drain_link(me) };
#endif
		leaf_lock[t] = false;
again:		atomic { e = 0; t = 0; write = false; live = false; there = false; stale = false }
	od
}

#define set_limit() \
	if \
	:: !seen -> limit = true \
	:: else \
	fi

proctype fork()
{
	byte e = 1;
	bool seen;

	do
	:: e <= FORKS ->
#ifdef BUG_LIMIT_FIRST
		lock(upper_lock);
		atomic { seen = limit; set_limit() };
		upper_lock = false;
#endif
		late_dead = e; /* entry_kill */
		atomic { drain_dead() }; /* seq_cst */
#ifndef BUG_LIMIT_FIRST
#ifndef BUG_SET_UNLOCKED
		lock(upper_lock);
#endif
		seen = limit;
		atomic { set_limit(); standing = seen };
#ifndef BUG_SET_UNLOCKED
		upper_lock = false;
#endif
#endif
		d_step { over = e; standing = true; F1(); e++ }; /* the flush */
		root = e;
		seen = false
	:: else -> break
	od
}

/* Store buffers drain by themselves. */
proctype hardware()
{
end:
	do
	:: atomic { late_link[0] -> drain_link(0) }
	:: atomic { late_link[1] -> drain_link(1) }
	od
}

init {
	atomic {
		linked[2] = false;
		run fault(0);
		run fault(1);
		run fork();
		run hardware()
	}
}
