/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reserve.pml: credits that move between trees' words and CPUs' reservations, and the search.
 *
 * Models kernel/vm/frame_tree.c: tree_take, tree_put, reserve_take (the own and, stealing,
 * others'), reserve_put, reserve_refill, reserve_move, reserve_settle, frame_raise_begin and
 * _end; kernel/vm/frame_core.c: singles_reserved, singles_anywhere, their like for blocks,
 * frame_core_put, frame_core_settle; and search and last_look of kernel/vm/frame_cache.c, with the lock
 * under which a CPU's number is used.
 *
 * Memory. All words are changed by seq_cst read-modify-writes and looked at by seq_cst loads
 * where something follows from it: interleaving is the model. A loop of load and compare-and-swap is one
 * step: that of its success, or of the load that ends it.
 *
 * Abstracted. A tree is one chunk; its counter and its bits are one number, so who has n
 * credits of a tree finds n frames at once, and no block is broken under a claim (races of bits, frame_chunk.c, are
 * the explorer's, scenarios core-*). One kind; passes are one, in order of trees. Caches before the core are left out.
 *
 * Bounds. 2 CPUs, each of which gets or puts three times: single frames, from the first tree on, and pairs (a block: two
 * of one tree), from the last one on. Trees of 1 and 2 frames. All are free at first; or (HELD) CPU 1 has them all, and
 * gets or puts four times, CPU 0 twice. A get that finds nothing searches; both may search at once.
 *
 * Properties (assertions).
 *  R1 Who has credits of a tree finds as many frames in it.
 *  R2 No credit is lost or made: in words, reservations and hands there are as many for each tree as there are frames free
 *     and not claimed.
 *  R3 At a quiet point a tree is reserved if and only if one reservation names it.
 *  R4 A search that says "none" is right: at one moment since it began no tree had so many frames free and not claimed.
 *
 * Not twins, since they hold. A settling that is not noted: after the last visit there is nothing to settle. A put that
 * sees a search and still looks for its own reservation first: until the visit it is settled there, after it there is none.
 * A put that is noted only when it is done: it takes a third CPU to get, before the note, what is free elsewhere.
 *
 * run: correct                                                       holds
 * run: held                      -DHELD                              holds
 * run: settle-not-noted          -DHELD -DSETTLE_NOT_NOTED           holds
 * run: put-to-its-reservation    -DHELD -DPUT_RESERVES               holds
 * run: settled-by-anyone         -DOPS=2 -DNO_LOCK -DNO_CLAIM        holds
 * run: settle-forgets-credits    -DBUG_SETTLE_FORGETS                assertion
 * run: settled-still-reserved    -DBUG_STILL_RESERVED                assertion
 * run: moves-before-it-settles   -DBUG_MOVE_BEFORE_SETTLE            assertion
 * run: move-of-a-reserved-tree   -DBUG_MOVE_RESERVED                 assertion
 * run: refill-of-another-tree    -DBUG_REFILL_ANOTHER                assertion
 * run: refill-without-compare    -DNO_LOCK -DNO_CLAIM -DBUG_REFILL_BLIND assertion
 * run: put-into-another-tree     -DBUG_PUT_BLIND                     assertion
 * run: credit-before-the-frame   -DBUG_CREDIT_FIRST                  assertion
 * run: stolen-in-two-steps       -DBUG_STEAL_BLIND                   assertion
 * run: put-not-noted             -DHELD -DBUG_PUT_NOT_NOTED          assertion
 * run: under-way-not-looked-at   -DHELD -DBUG_UNDER_WAY              assertion
 * run: search-without-settling   -DBUG_NO_SETTLE                     assertion
 * run: visit-without-the-lock    -DNO_LOCK                           assertion
 * run: visits-before-the-sign    -DBUG_SIGN_LATE                     assertion
 * run: reserves-during-a-search  -DBUG_RESERVES                      assertion
 */
#ifdef HELD
#define OPS (2 + 2 * me)
#endif
#ifndef OPS
#define OPS 3
#endif
#define CPUS 2
#define TREES 2
#define NONE 255

byte word[TREES];       /* credits */
bool reserved[TREES];
byte count[TREES];      /* free frames */
byte names[CPUS];       /* a reservation: its tree, or NONE */
byte credits[CPUS];     /* and what it holds */
bool lock[CPUS];        /* of the cache: who uses this CPU's number */
byte searching, under_way, begun;

/* What only the properties look at. */
byte claims[TREES];     /* credits that were taken to be spent, of frames that are still counted as free */
byte hand[TREES];       /* credits on their way from word to reservation or back, or of frames just put */
byte busy;              /* operations under way */
byte sought[CPUS];      /* of a search: frames of one tree */
bool right[CPUS];       /* a search's "none" would be */

#define there(t, n) (count[t] >= claims[t] + n)
#define told(c) right[c] = right[c] || !there(0, sought[c]) && !there(1, sought[c])

inline check() {
	assert(word[0] + (names[0] == 0 -> credits[0] : 0) + (names[1] == 0 -> credits[1] : 0) + hand[0] + claims[0] == count[0]);
	assert(word[1] + (names[0] == 1 -> credits[0] : 0) + (names[1] == 1 -> credits[1] : 0) + hand[1] + claims[1] == count[1]); /* R2 */
}

/* An operation is over. */
inline leave() {
	d_step {
		lock[me] = false;
		busy--;
		check();
		if
		:: busy == 0 -> /* R3 */
			assert(reserved[0] == (names[0] == 0 || names[1] == 0));
			assert(reserved[1] == (names[0] == 1 || names[1] == 1));
			assert(names[0] != names[1] || names[0] == NONE)
		:: else
		fi
	}
}

/* want credits of tree x are to be spent: the frames are gone for everybody else. */
inline claim(x) {
	t = x;
	got = true;
	claims[x] = claims[x] + want;
	told(0);
	told(1);
	check()
}

/* reserve_take, of CPU c */
inline take_reservation(c) {
#ifdef BUG_STEAL_BLIND
	from = names[c];
	if
	:: credits[c] >= want ->
		d_step {
			if
			:: credits[c] >= want && from != NONE ->
				credits[c] = credits[c] - want;
				t = from;
				got = true;
				claims[from] = claims[from] + want;
				told(0);
				told(1)
			:: else
			fi
		}
	:: else
	fi;
	from = NONE
#else
	d_step {
		if
		:: credits[c] >= want ->
			assert(names[c] != NONE);
			credits[c] = credits[c] - want;
			claim(names[c])
		:: else
		fi
	}
#endif
}

/* reserve_settle, of CPU c: a swap, and in one step what was there */
inline settle(c) {
	d_step {
		from = names[c];
		k = credits[c];
		if
		:: from != NONE -> hand[from] = hand[from] + k
		:: else
		fi;
		names[c] = NONE;
		credits[c] = 0
	};
	if
	:: from != NONE ->
		d_step {
#ifndef BUG_SETTLE_FORGETS
			word[from] = word[from] + k;
#endif
#ifndef BUG_STILL_RESERVED
			reserved[from] = false;
#endif
			hand[from] = hand[from] - k;
			from = NONE;
			k = 0
		}
	:: else
	fi
}

inline refill() {
	d_step {
		t = names[me];
		if
		:: t != NONE ->
#ifdef BUG_REFILL_ANOTHER
			t = 1 - t;
#endif
			n = word[t];
			word[t] = 0;
			hand[t] = hand[t] + n
		:: else -> n = 0
		fi
	};
	if
	:: n > 0 ->
		d_step {
			hand[t] = hand[t] - n;
#if defined(NO_LOCK) && !defined(BUG_REFILL_BLIND)
			if
			:: names[me] == t -> credits[me] = credits[me] + n
			:: else -> word[t] = word[t] + n
			fi;
#else
			credits[me] = credits[me] + n;
#endif
			n = 0
		};
		take_reservation(me)
	:: else
	fi
}

/* reserve_move to tree i, if it suits */
inline move() {
	d_step {
#ifdef BUG_MOVE_RESERVED
		if
		:: word[i] >= want ->
#else
		if
		:: !reserved[i] && word[i] >= want ->
#endif
			n = word[i];
			word[i] = 0;
			reserved[i] = true;
			hand[i] = hand[i] + n
		:: else -> n = 0
		fi
	};
	if
	:: n > 0 ->
#ifndef BUG_MOVE_BEFORE_SETTLE
		settle(me);
#endif
		d_step {
			names[me] = i;
			credits[me] = n;
			hand[i] = hand[i] - n;
			n = 0
		};
		take_reservation(me)
	:: else
	fi
}

/* by the own reservation */
inline get_reserved() {
	take_reservation(me);
	if
	:: !got -> refill()
	:: else
	fi;
	do
	:: !got && i < TREES -> move(); i++
	:: else -> break
	od;
	i = 0
}

/* out of words, then out of reservations */
#define at (i ^ (want - 1)) /* the two trees, from the other end */
inline get_anywhere() {
	do
	:: !got && i < TREES ->
		d_step {
			if
			:: word[at] >= want ->
				word[at] = word[at] - want;
				claim(at)
			:: else
			fi;
			i++
		}
	:: else -> break
	od;
	i = 0;
	do
	:: !got && i < CPUS -> take_reservation(i); i++
	:: else -> break
	od;
	i = 0
}

inline spend() {
	d_step {
		if
		:: got ->
			assert(count[t] >= want); /* R1 */
			count[t] = count[t] - want;
			claims[t] = claims[t] - want;
			held[t] = held[t] + want;
			t = 0
		:: else
		fi
	}
}

inline visit(c) {
#ifndef NO_LOCK
	atomic { !lock[c] -> lock[c] = true };
#endif
#ifndef SETTLE_NOT_NOTED
	d_step { under_way++; begun++ };
#endif
#ifndef BUG_NO_SETTLE
	settle(c);
#endif
#ifndef SETTLE_NOT_NOTED
	under_way--;
#endif
#ifndef NO_LOCK
	lock[c] = false
#endif
}

inline search() {
#ifdef BUG_SIGN_LATE
	visit(1 - me);
	visit(me);
	d_step { searching++; sought[me] = want; right[me] = false; told(me) };
#else
	d_step { searching++; sought[me] = want; right[me] = false; told(me) };
	visit(1 - me);
	visit(me);
#endif
	do
	:: d_step { u = begun; w = under_way };
		atomic { !lock[me] -> lock[me] = true };
		get_anywhere();
		spend();
		d_step { lock[me] = false; t = 0 };
		if
		:: got -> break
		:: else ->
			d_step {
#ifdef BUG_UNDER_WAY
				w = begun == u;
#else
				w = w == 0 && under_way == 0 && begun == u;
#endif
				u = 0
			};
			if
			:: w ->
#ifndef NO_CLAIM
				assert(right[me]); /* R4 */
#endif
				break
			:: else
			fi
		fi
	od;
	atomic { searching--; sought[me] = 0; right[me] = false; w = 0; u = 0 }
}

inline get() {
	atomic { !lock[me] -> lock[me] = true; busy++ };
	seen = searching > 0;
#ifdef BUG_RESERVES
	seen = false;
#endif
	if
	:: !seen -> get_reserved()
	:: else
	fi;
	if
	:: !got -> get_anywhere()
	:: else
	fi;
	spend();
	d_step { lock[me] = false; seen = false; t = 0 };
	if
	:: !got -> search()
	:: else
	fi;
	d_step { got = false; want = 0 };
	atomic { !lock[me] -> leave() }
}

/* A frame of tree t. */
inline put() {
	atomic { !lock[me] -> lock[me] = true; busy++ };
	seen = searching > 0;
#ifndef BUG_PUT_NOT_NOTED
	if
	:: seen -> d_step { under_way++; begun++ }
	:: else
	fi;
#endif
#ifdef BUG_CREDIT_FIRST
	d_step { held[t]--; word[t]++ };
	count[t]++;
#else
	d_step { held[t]--; count[t]++; hand[t]++ };
	d_step {
		hand[t]--;
		if
#if defined(BUG_PUT_BLIND)
		:: !seen && names[me] != NONE -> credits[me]++
#elif defined(PUT_RESERVES)
		:: names[me] == t -> credits[me]++
#else
		:: !seen && names[me] == t -> credits[me]++
#endif
		:: else -> word[t]++
		fi
	};
#endif
#ifndef BUG_PUT_NOT_NOTED
	if
	:: seen -> under_way--
	:: else
	fi;
#endif
	d_step { seen = false; t = 0 };
	leave()
}

proctype cpu(byte me)
{
	byte ops, held[TREES], t, i, n, k, want, u, w;
	byte from = NONE;
	bool got, seen;

#ifdef HELD
	d_step { held[0] = me; held[1] = 2 * me };
#endif
	do
	:: ops < OPS ->
		if
		:: d_step { held[0] > 0 -> t = 0; ops++ }; put()
		:: d_step { held[1] > 0 -> t = 1; ops++ }; put()
		:: d_step { want = 1; ops++ }; get()
		:: d_step { want = 2; ops++ }; get()
		fi
	:: else -> break
	od
}

init {
	atomic {
#ifndef HELD
		word[0] = 1;
		word[1] = 2;
		count[0] = 1;
		count[1] = 2;
#endif
		names[0] = NONE;
		names[1] = NONE;
		run cpu(0);
		run cpu(1)
	}
}
