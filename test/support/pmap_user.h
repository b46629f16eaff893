/* SPDX-License-Identifier: BSD-2-Clause */
/* test/support/pmap_user.h: one pmap on the simulated machine, used from CPU 0 as the kernel and as a program. */
#ifndef TEST_PMAP_USER_H
#define TEST_PMAP_USER_H

#include "pmap_machine.h"

#define VA UINT64_C(0x400000000)       /* the start of a 2 MiB window */
#define RW (PROT_R | PROT_W)

struct world {
	struct pmap_machine m;
	struct pmap p;
};

static inline void begin_with(struct world *w, const struct host_config *config)
{
	pm_init(&w->m, config);
	pmap_init(w->m.ps, &w->p, pm_alloc_table(&w->m));
	pmap_activate(&w->p);
}

static inline void begin(struct world *w) { begin_with(w, NULL); }

static inline void end(struct world *w)
{
	pm_exit(&w->m, &w->p);
	pm_destroy(&w->m);
}

static inline void enter(struct world *w, uint64_t va, pfn_t f, enum prot prot, unsigned flags)
{
	assert_int_equal(pm_enter(&w->m, &w->p, va, f, prot, flags), OK);
}

static inline enum host_fault_kind load(uint64_t va, uint64_t *v)
{
	struct host_fault fault = { .kind = HOST_FAULT_NONE };

	return host_user_load64(vaddr(va), v, &fault) == OK ? HOST_FAULT_NONE : fault.kind;
}

static inline enum host_fault_kind store(uint64_t va, uint64_t v)
{
	struct host_fault fault = { .kind = HOST_FAULT_NONE };

	return host_user_store64(vaddr(va), v, &fault) == OK ? HOST_FAULT_NONE : fault.kind;
}

#endif
