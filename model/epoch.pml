/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * epoch.pml: epoch-based reclamation.
 *
 * Models kernel/sync/epoch.c: epoch_enter (with its second look at now),
 * epoch_leave, epoch_retire, epoch_poll with can_advance; a reader's first load of
 * a shared pointer, and the mutator's unlink before epoch_retire.
 *
 * Memory. Stores go into the CPU's store buffer and are seen by others at any later
 * moment. A seq_cst store is seen before the CPU's next seq_cst load; a release
 * store does not wait for one, and an acquire load waits for no store. Loads are
 * performed in program order (all in question are acquire or seq_cst).
 *
 * Abstracted. One shared pointer; a section loads it once, by acquire. The guess of
 * epoch_enter, a relaxed load, is now's value or the oldest. active = 0 is seen at once
 * (late, it only holds the epoch up). Nesting is left out:
 * only the outermost level stores. The counters pending and since_advance too: epoch_retire's
 * seq_cst store of pending, which makes an unlink by release seen in time, is what the
 * twin unlink-release lacks.
 *
 * Bounds. 1 CPU that unlinks, retires and polls, 1 that polls; 1 reader with 3 objects
 * and epochs 1 to 6 (the lists are used again), or 2 readers with 1 object and
 * epochs 1 to 4; sections without limit.
 *
 * Properties (assertions).
 *  E1 No section holds an object that is freed.
 *  E2 No object is freed twice, or while it is linked.
 *
 * Not a twin: one list in place of three. Objects are then freed later, never too early.
 *
 * run: correct                                                     holds
 * run: two-readers               -DREADERS=2 -DITEMS=1 -DMAX_NOW=4 holds
 * run: active-release            -DBUG_ACTIVE_RELEASE              assertion
 * run: no-second-look            -DBUG_NO_SECOND_LOOK              assertion
 * run: freed-one-epoch-early     -DBUG_FREE_EARLY                  assertion
 * run: advance-past-reader       -DBUG_ADVANCE_PAST_READER         assertion
 * run: one-cpu-not-looked-at     -DBUG_SKIP_CPU                    assertion
 * run: retire-before-unlink      -DBUG_RETIRE_BEFORE_UNLINK        assertion
 * run: unlink-release            -DBUG_UNLINK_RELEASE              assertion
 */
#ifndef READERS
#define READERS 1
#endif
#define MUTATOR 2
#ifndef MAX_NOW
#define MAX_NOW 6
#endif
#ifndef ITEMS
#define ITEMS 3
#endif                     /* objects 1 to ITEMS; ITEMS + 1: the last one, never unlinked */
#define EPOCH_LISTS 3
#define NOTHING 255

byte now = 1;
byte active_[READERS];     /* as others see it */
byte late_active[READERS] = NOTHING; /* a store of active on its way */
byte link = 1;             /* the shared pointer, as others see it */
byte late_link;            /* an unlinking store on its way: the new value, or 0 */
byte holds[READERS];       /* what a section has loaded */
bool freed[ITEMS + 1];

/* the mutator's struct epoch_cpu: objects as bits */
byte list[EPOCH_LISTS], list_epoch[EPOCH_LISTS];

#define drain_active(c) \
	if \
	:: late_active[c] != NOTHING -> active_[c] = late_active[c]; late_active[c] = NOTHING \
	:: else \
	fi
#define drain_link() \
	if \
	:: late_link != 0 -> link = late_link; late_link = 0 \
	:: else \
	fi

proctype reader(byte me)
{
	byte guess;
end:
	do
	:: atomic {
		if
		:: guess = now
		:: guess = 1
		fi
	   };
		do
		:: late_active[me] = guess; /* active = now, behind what was stored before */
#ifdef BUG_NO_SECOND_LOOK
			break
#else
			atomic {
#ifndef BUG_ACTIVE_RELEASE
				drain_active(me); /* seq_cst load after seq_cst store */
#endif
				if
				:: guess == now -> guess = 0
				:: else -> guess = now
				fi
			};
			if
			:: guess == 0 -> break
			:: else
			fi
#endif
		od;
		atomic { guess = 0; holds[me] = link; assert(holds[me] > ITEMS || !freed[holds[me]]) }; /* E1 */
		d_step { holds[me] = 0; active_[me] = 0; late_active[me] = NOTHING } /* epoch_leave, release */
	od
}

/* Epochs from retirement to freeing. */
#ifdef BUG_FREE_EARLY
#define GRACE 1
#else
#define GRACE 2
#endif
#ifdef BUG_SKIP_CPU
#define LOOKED_AT (READERS - 1)
#else
#define LOOKED_AT READERS
#endif
#ifdef BUG_ADVANCE_PAST_READER
#define in_the_way(a) (a != 0 && a + 1 < t)
#else
#define in_the_way(a) (a != 0 && a != t)
#endif

/* epoch_poll up to the lists: t is now, or the next one */
inline advance() {
	t = now;
	c = 0;
	do
	:: c < LOOKED_AT && !in_the_way(active_[c]) -> c++
	:: c < LOOKED_AT && in_the_way(active_[c]) -> break
	:: c == LOOKED_AT -> /* cas; a locked access: the own stores are seen before it */
		d_step {
			if
			:: who == MUTATOR -> drain_link()
			:: else
			fi;
			if
			:: now == t && now < MAX_NOW -> now++
			:: else
			fi;
			t = now
		};
		break
	od;
	c = 0
}

proctype poller()
{
	byte t, c, who;
end:
	do
	:: advance(); t = 0
	od
}

/* frees the objects of list k, if their grace period is over */
inline free_list(k) {
	atomic {
		if
		:: list[k] != 0 && list_epoch[k] + GRACE <= t ->
			c = 1;
			do
			:: c <= ITEMS ->
				if
				:: list[k] & (1 << c) ->
					assert(holds[0] != c && holds[READERS - 1] != c); /* E1 */
					assert(!freed[c] && c != link || late_link != 0); /* E2 */
					freed[c] = true
				:: else
				fi;
				c++
			:: else -> break
			od;
			c = 0;
			list[k] = 0;
			list_epoch[k] = 0
		:: else
		fi
	}
}

proctype mutator()
{
	byte item = 1, t, c, who = MUTATOR;
end:
	do
	:: item <= ITEMS ->
#ifdef BUG_RETIRE_BEFORE_UNLINK
		t = now;
		d_step { drain_link(); late_link = item + 1 };
		d_step { drain_link() };
#else
		d_step { drain_link(); late_link = item + 1 };
		d_step {
#ifndef BUG_UNLINK_RELEASE
			drain_link(); /* seq_cst load after seq_cst store */
#endif
			t = now
		};
#endif
		d_step { /* epoch_retire, after its load of now */
			list_epoch[t % EPOCH_LISTS] = t;
			list[t % EPOCH_LISTS] = list[t % EPOCH_LISTS] | (1 << item);
			item++;
			t = 0
		}
	:: advance();
		free_list(0);
		free_list(1);
		free_list(2);
		t = 0
	od
}

/* Store buffers drain by themselves. */
proctype hardware()
{
end:
	do
	:: d_step { late_active[0] != NOTHING -> drain_active(0) }
#if READERS == 2
	:: d_step { late_active[1] != NOTHING -> drain_active(1) }
#endif
	:: d_step { late_link != 0 -> drain_link() }
	od
}

init {
	atomic {
		run reader(0);
#if READERS == 2
		run reader(1);
#endif
		run mutator();
		run poller();
		run hardware()
	}
}
