/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test/support/pmap_machine.h: a simulated machine with a pmap on it and a
 * frame allocator plain enough to be trusted. Freed frames are filled with junk
 * and reported to the simulator, which tells when anything still leads to them.
 */
#ifndef TEST_PMAP_MACHINE_H
#define TEST_PMAP_MACHINE_H

#include "hal/armv8/pmap_private.h"
#include "test_machine.h"

/* Spins in the open, so that a harness that forces schedules sees the wait. */
struct test_lock {
	ATOMIC(uint32_t) held;
};

static inline void test_lock(struct test_lock *l)
{
	uint32_t free = 0;

	while (!atomic_cas_acquire(&l->held, &free, 1u)) { /* pairs with test_unlock */
		free = 0;
		cpu_relax();
	}
}

static inline void test_unlock(struct test_lock *l) { atomic_store_release(&l->held, 0u); }

struct test_page {
	struct pmap_page pmap;
	struct epoch_item retire;
	struct pmap_machine *home;
	ATOMIC(uint32_t) used; /* enum host_frame: HOST_FRAME_FREE, TABLE or DATA */
	uint32_t pad;
	ATOMIC(uint64_t) clean; /* pmap_world.c: its second word when the question for writes was last cleared */
};

struct pmap_machine {
	struct test_machine t;
	struct epoch epoch;
	struct pmap_system *ps;
	struct test_page *pages;
	pfn_t first;
	uint64_t count;
	uint32_t lock;         /* of the free frames; held for no point, so that no schedule stops its holder */
	pfn_t *free;           /* a queue, so that a freed frame is reused late and a stale use has time to show */
	uint64_t head, nfree;
};

#define JUNK UINT64_C(0xdeadfeeddeadfeed)

/* Zeroed, at a cache line's start, for free(); ends the process when there is no memory. */
void *pm_zalloc(size_t size);

/* config NULL: 4 CPUs, 16 MiB, ASIDs of 8 bits. */
/*
 * pm_options: the command line where the configuration has none: broadcast, since many tests have one CPU only and are of what others
 * would still use. run_all_scopes: a group of tests with it, with local invalidation, and with that of each PTE by itself; run_both_scopes: the first two.
 */
extern const char *pm_options;
#define run_scopes(tests, n) \
	({ \
		static const char *const options_[] = { "tlb-scope=broadcast", "tlb-scope=local", "tlb-scope=local tlb=page", \
							"tlb-scope=broadcast tlb=page" }; \
		int failed_ = 0; \
\
		for (unsigned i_ = 0; i_ < (n); i_++) { \
			pm_options = options_[i_]; \
			failed_ += cmocka_run_group_tests_name(pm_options, tests, NULL, NULL); \
		} \
		failed_; \
	})
#define run_all_scopes(tests) run_scopes(tests, 4)
#define run_both_scopes(tests) run_scopes(tests, 2)

void pm_init(struct pmap_machine *pm, const struct host_config *config);
/* Every frame but those in use by the caller must be back. */
void pm_destroy(struct pmap_machine *pm);

/* A frame, zeroed: for programs' data, or for what the pmap keeps. Ends the process when there is none. */
pfn_t pm_alloc(struct pmap_machine *pm);
pfn_t pm_alloc_table(struct pmap_machine *pm);
void pm_free(struct pmap_machine *pm, pfn_t f);
/* Frees by epoch what pmap gave back. */
void pm_free_late(struct pmap_machine *pm, struct frame_list *l);
/* Runs all destructors of this CPU that can run; of all CPUs (nobody else is one meanwhile). */
void pm_poll(struct pmap_machine *pm);
void pm_drain(struct pmap_machine *pm);
uint64_t pm_free_count(struct pmap_machine *pm);

/* Fills / gives back a stock. */
void pm_fill(struct pmap_machine *pm, struct pmap_stock *stock);
void pm_empty(struct pmap_machine *pm, struct pmap_stock *stock);

static inline void *pm_bytes(pfn_t f) { return phys_to_virt(pfn_to_paddr(f)); }

/* leaf_lock, leaf_set, leaf_unlock with a stock of its own. */
enum error pm_enter(struct pmap_machine *pm, struct pmap *p, uint64_t va, pfn_t f, enum prot prot, unsigned flags) MUST_CHECK;
/* pmap_remove, flush, late free. */
void pm_remove(struct pmap_machine *pm, struct pmap *p, uint64_t start, uint64_t end, bool exclusive);
/* pmap_destroy with what is mapped; the caller's CPU lets go of it. */
void pm_exit(struct pmap_machine *pm, struct pmap *p);

#endif
