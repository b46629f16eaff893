/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * liveness.pml: a fault's last look at `dead` against munmap, with and without a leaf table.
 *
 * Models, of a fault: entry_list_find, pmap_leaf_lock with table_link and
 * leaf_lock_linked (kernel/hal/armv8/table.c), the check `still` -> entry_live
 * (vm/fault.c, vm/entry.c), the PTE of set_new (pmap_leaf.c); of munmap: the root and
 * entry_kill of map_edit_publish (vm/map.c), pmap_remove with table_next_lock,
 * remove_locked and table_unlink_locked (pmap_range.c, table.c), also on its own as
 * vm_map_discard does, which unlinks an empty table under a live entry; and the emptying of
 * the parent in gather_flush -> release_parents (gather.c).
 *
 * Memory. Stores of `dead`, of the parent descriptor and of what table_link's cas wrote
 * go through the CPU's store buffer and are seen by others at any later moment; a
 * seq_cst access waits until the CPU's earlier seq_cst stores are seen, and so does
 * the release of a leaf lock for what was stored under it (a buffer is emptied in
 * order). A cas needs the descriptor as it is in memory. Locks are atomic.
 *
 * Abstracted. One page in one leaf table; the levels above are always there. A table
 * frame is not used again (the grace period: epoch.pml). The flush itself is
 * shootdown.pml's. A PTE is named after the entry under which it was made.
 *
 * The walk may come upon the parent as its first descriptor, or by the bit of its line.
 *
 * Bounds. 2 faulting CPUs, 1 that unmaps; 2 mappings of the page after one another,
 * each perhaps discarded and then unmapped; as
 * many table frames as are asked for; each fault may start over for ever.
 *
 * Properties (assertions).
 *  L1 When munmap has returned, no table holds a PTE of its entry, nor will one.
 *  L2 No PTE is put in a table that was unlinked.
 *
 * run: correct                                                     holds
 * run: kill-release              -DBUG_KILL_RELEASE                assertion
 * run: link-not-seq-cst          -DBUG_LINK_RELEASE                assertion
 * run: dead-loaded-before-link   -DBUG_DEAD_BEFORE_LINK            assertion
 * run: parent-loaded-before-kill -DBUG_PARENT_BEFORE_KILL          assertion
 * run: linked-not-rechecked      -DBUG_NO_LINKED_CHECK             assertion
 * run: no-check-of-dead          -DBUG_NO_DEAD_CHECK               assertion
 * run: check-before-leaf-lock    -DBUG_CHECK_BEFORE_LOCK           assertion
 * run: kill-after-remove         -DBUG_KILL_AFTER_REMOVE           assertion
 * run: line-set-after-link       -DBUG_LINE_AFTER_LINK             assertion
 * run: line-cleared-by-a-walk    -DBUG_LINE_CLEARED                assertion
 */
#define FAULTS 2
#define TABLES 5          /* frames 1 to 5: one, and one more for each unlinking */
#define BUSY 9

byte root = 1;            /* the entry of the page, 0: none */
bool dead[3];
byte parent;              /* 0, BUSY or the leaf table */
bool line;                /* the bit of the parent's line */
bool linked[TABLES + 1];
byte lock[TABLES + 1];    /* 0: free */
byte pte[TABLES + 1];     /* under which entry */
byte next_table = 1;
byte unmapped;            /* entries up to here are gone */

byte late_dead;           /* the munmap's store buffer: which entry */
byte late_link[FAULTS];   /* the faults': the table that the cas linked */

#define drain_dead() \
	if \
	:: late_dead != 0 -> dead[late_dead] = true; late_dead = 0 \
	:: else \
	fi
#define drain_link(f) \
	if \
	:: late_link[f] != 0 -> parent = late_link[f]; late_link[f] = 0 \
	:: else \
	fi

proctype fault(byte me)
{
	byte e, table, live;
end:
	do
	:: atomic { root != 0 -> e = root };
		/* pmap_leaf_lock; the own store buffer is seen */
		do
		:: atomic {
#if defined(BUG_DEAD_BEFORE_LINK)
			live = !dead[e];
#endif
			table = (late_link[me] != 0 -> late_link[me] : parent)
		   };
			if
			:: table == 0 -> /* table_link */
#if !defined(BUG_LINE_AFTER_LINK)
				line = true; /* seq_cst */
#endif
				atomic {
					if
					:: parent == 0 && late_link[0] == 0 && late_link[1] == 0 ->
						table = next_table;
						next_table++;
						linked[table] = true;
						late_link[me] = table
					:: else -> table = 0
					fi
				};
#ifndef BUG_LINK_RELEASE
				atomic { drain_link(me) }
#endif
#ifdef BUG_LINE_AFTER_LINK
				; line = true
#endif
			:: else
			fi;
			if
			:: table == BUSY -> break
			:: table == 0 /* somebody else was first */
			:: else ->
#ifdef BUG_CHECK_BEFORE_LOCK
				live = !dead[e];
#endif
				atomic { lock[table] == 0 -> lock[table] = 1 };
#ifndef BUG_NO_LINKED_CHECK
				if
				:: linked[table] -> break
				:: else -> lock[table] = 0
				fi
#else
				break
#endif
			fi
		od;
		if
		:: table != BUSY ->
#if defined(BUG_NO_DEAD_CHECK)
			live = true;
#elif !defined(BUG_DEAD_BEFORE_LINK) && !defined(BUG_CHECK_BEFORE_LOCK)
			live = !dead[e]; /* entry_live */
#endif
			if
			:: live && pte[table] == 0 ->
				assert(linked[table]); /* L2 */
				assert(e > unmapped);  /* L1 */
				pte[table] = e
			:: else
			fi;
#ifdef BUG_LINK_RELEASE
			atomic { drain_link(me) };
#endif
			lock[table] = 0
		:: else
		fi;
		atomic { e = 0; table = 0; live = 0 }
	od
}

proctype munmap()
{
	byte e = 1, table;
	bool discarding;

	do
	:: e <= 2 ->
		if /* vm_map_discard first: the entry stays live */
		:: discarding = true; goto remove
		:: skip
		fi;
kill:		root = 0; /* entry_list_leave, seq_cst */
#ifdef BUG_PARENT_BEFORE_KILL
		table = parent;
#endif
#ifndef BUG_KILL_AFTER_REMOVE
		late_dead = e; /* entry_kill */
#ifndef BUG_KILL_RELEASE
		atomic { drain_dead() };
#endif
#endif
remove:		/* pmap_remove */
#ifdef BUG_PARENT_BEFORE_KILL
		if
		:: discarding -> table = parent
		:: else
		fi;
#else
		if
		:: table = parent; /* seq_cst */
#ifdef BUG_LINE_CLEARED
			if
			:: table == 0 -> line = false
			:: else
			fi
#endif
		:: atomic { !line -> table = 0 } /* seq_cst: the walk came from another line */
		fi;
#endif
		if
		:: table != 0 ->
			atomic { lock[table] == 0 -> lock[table] = 1 };
			assert(linked[table]); /* only this CPU unlinks */
			if /* the range covers the window, or does not; in discard a PTE goes after the flush: the table stays */
			:: !discarding || pte[table] == 0 -> pte[table] = 0; atomic { parent = BUSY; linked[table] = false }
			:: pte[table] = 0
			fi;
#ifdef BUG_KILL_RELEASE
			atomic { drain_dead() };
#endif
			lock[table] = 0
		:: else
		fi;
		if
		:: parent == BUSY -> parent = 0 /* gather_flush */
		:: else
		fi;
		if
		:: discarding -> discarding = false; goto kill
		:: else
		fi;
#ifdef BUG_KILL_AFTER_REMOVE
		dead[e] = true;
#endif
		d_step {
			unmapped = e; /* L1 */
			assert(pte[1] != e && pte[2] != e && pte[3] != e && pte[4] != e && pte[5] != e);
			e++;
			table = 0
		};
		if
		:: e <= 2 -> root = e /* mapped anew */
		:: else
		fi
	:: else -> break
	od
}

/* Store buffers drain by themselves. */
proctype hardware()
{
end:
	do
	:: atomic { late_dead != 0 -> drain_dead() }
	:: atomic { late_link[0] != 0 -> drain_link(0) }
	:: atomic { late_link[1] != 0 -> drain_link(1) }
	od
}

init {
	atomic {
		run fault(0);
		run fault(1);
		run munmap();
		run hardware()
	}
}
