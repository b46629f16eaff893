/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/host/host_sense.c: descriptors that contradict themselves, and rights that
 * outlive their end.
 *
 * Contradictions. What the architecture reserves, and what it allows but the
 * design does not (DESIGN 5.4): nothing global in user space, no user page that
 * the kernel may execute, no device memory to execute, no memory attribute that MAIR
 * lacks, no contiguous hint, no page's bits in a table descriptor. A page that a
 * program may write and execute is no contradiction: programs may ask for it.
 *
 * Stale rights (HOST_STALE). A TLB may give rights that the tables have withdrawn for
 * as long as the operation that withdrew them lasts: munmap on another CPU may be
 * between its store and its invalidation. When that CPU has gone back to its
 * program, its operation has returned, and our kernel flushes before it returns.
 *
 *      CPU 1, holds the entry      CPU 0
 *                                  descriptor loses rights     restricted[descriptor] = (event, CPU 0)
 *      uses it: legal
 *                                  DSB, TLBI, DSB              the entry is dropped
 *                                  back in its program         returned = event
 *      uses it: HOST_STALE         (were there no TLBI)
 *
 * An access that goes by an entry is compared with what tables say at that moment: a
 * walk from the root that asks for nothing and caches nothing. Rights that they do not
 * give (valid, output address, EL0, write, execution; limits of every level
 * included; the access flag, whose loss must be seen too) were taken by the descriptor at which
 * the comparison failed. It is an offence if the vCPU that last took rights
 * away there has returned since.
 *
 * Exact. Both sides are read under the tlb_lock of the vCPU that holds the entry.
 * An invalidation takes that lock; so an entry that is found was not covered by
 * one that is over, and tables that the comparison walks through are not freed
 * before it ends. Every loss of rights is told before it happens, under the leaf lock; when the
 * comparison fails, the descriptor is loaded again, acquire, so that who caused it
 * is seen. What has overwritten the record since is a later loss, whose vCPU has
 * not returned.
 *
 * Under a schedule that can be replayed, a vCPU that returns looks into the other TLBs
 * by itself, so that nobody has to come by with an access.
 */
#include "base/assert.h"
#include "hal/host/host_private.h"

/* --- contradictions --- */

static const char *table_sense(uint64_t desc)
{
	if (desc & (BITS(50, 48) | BITS(11, 2) | BITS(58, 51)))
		return "a table descriptor with bits of a page";
	return NULL;
}

static const char *leaf_sense(unsigned level, uint64_t desc, bool window)
{
	if (level == 0 || (level == 3 && !(desc & HD_TABLE)))
		return "a reserved encoding";
	if (level < 3 && desc & HD_ADDR_MASK & (BIT(host_level_shift(level)) - 1))
		return "a block whose address is not aligned to its size";
	if (desc & (BITS(50, 48) | HD_NS))
		return "reserved bits";
	if ((desc & HD_SH_MASK) == BIT(8))
		return "reserved shareability";
	if (window) {
		if (desc & HD_NG || desc & HD_AP_EL0)
			return "a kernel mapping that is not global, or EL0 may use";
		if (!(desc & HD_UXN) || (!(desc & HD_AP_RO) && !(desc & HD_PXN)))
			return "a kernel mapping executable at EL0, or writable and executable";
	} else if (!(desc & HD_NG)) {
		return "a global mapping in user space";
	}
	if (desc & HD_AP_EL0 && !(desc & HD_PXN))
		return "a user page that the kernel may execute";
	if (desc & HD_CONTIGUOUS)
		return "a contiguous hint";
	if ((desc & HD_ATTR_MASK) >> 2 > 2)
		return "a memory attribute that MAIR does not define";
	if ((desc & HD_ATTR_MASK) >> 2 == 1 && !(desc & HD_UXN))
		return "device memory that may be executed";
	return NULL;
}

const char *sense_of(unsigned level, uint64_t desc, bool window)
{
	return level < 3 && desc & HD_TABLE ? table_sense(desc) : leaf_sense(level, desc, window);
}

bool sense_allows(const struct tlb_entry *e, enum prot access)
{
	bool el0 = (e->desc & HD_AP_EL0) && !(e->hier & HIER_NO_EL0);

	if (e->asid == HOST_GLOBAL) /* EL1's, and the kernel's tables set no limits */
		return access == PROT_R || !(e->desc & (access == PROT_W ? HD_AP_RO : HD_PXN));
	switch (access) {
	case PROT_R:
		return el0;
	case PROT_W:
		return el0 && !(e->desc & HD_AP_RO) && !(e->hier & HIER_RO);
	default:
		return !(e->desc & HD_UXN) && !(e->hier & HIER_UXN);
	}
}

/* --- stale rights --- */

/* relaxed: a judge's look, which orders nothing and hides no data race */
static uint64_t peek(struct host_machine *m, uint64_t pa)
{
	return __atomic_load_n((uint64_t *)(void *)host_bytes(m, pa), __ATOMIC_RELAXED);
}

static uint64_t output(const struct tlb_entry *e, uint64_t va)
{
	uint64_t mask = BIT(host_level_shift(e->level)) - 1;

	return (e->desc & HD_ADDR_MASK & ~mask) | (va & mask & ~PAGE_MASK);
}

/* Limits that forbid the access, of those in hier. */
static bool forbids(uint8_t hier, enum prot access)
{
	return hier & (access == PROT_X ? HIER_UXN : access == PROT_W ? HIER_RO | HIER_NO_EL0 : HIER_NO_EL0);
}

/* Where the tables do not give va what e gives: the descriptor's address; 0: they do. */
static uint64_t difference(struct host_machine *m, const struct tlb_entry *e, uint64_t va, enum prot access)
{
	struct tlb_entry now = {.va = va, .root = e->root, .asid = e->asid, .level = in_window(va)};
	uint64_t table = e->root;

	for (;; now.level++) {
		now.desc_pa = table + (va >> host_level_shift(now.level) & 511) * 8;
		now.desc = peek(m, now.desc_pa);
		if (!(now.desc & HD_VALID))
			return now.desc_pa;
		if (now.level == 3 || !(now.desc & HD_TABLE))
			break;
		if (forbids(host_table_hier(now.desc), access))
			return now.desc_pa;
		table = now.desc & HD_ADDR_MASK;
		if (!host_is_ram(m, table, PAGE_SIZE))
			return 0; /* HOST_BAD_TABLE, by whoever walks there */
	}
	if (output(&now, va) == output(e, va) && now.desc & HD_AF && sense_allows(&now, access))
		return 0;
	return now.desc_pa;
}

/* The descriptor at pa is not what it was: has whoever took rights away there returned? */
static bool overdue(struct host_machine *m, uint64_t pa, uint32_t *cpu, uint64_t *event)
{
	uint64_t r;

	/* acquire: pairs with the store that the comparison met; the record of it comes before it */
	(void)__atomic_load_n((uint64_t *)(void *)host_bytes(m, pa), __ATOMIC_ACQUIRE);
	r = __atomic_load_n(&m->restricted[(pa - m->ram_start) / 8], __ATOMIC_RELAXED);
	if (r == 0)
		return false;
	*cpu = (uint32_t)(r & 255) - 1;
	*event = r >> 8;
	return *event <= __atomic_load_n(&m->vcpu[*cpu].returned, __ATOMIC_RELAXED);
}

static void accuse_stale(struct host_vcpu *v, const struct tlb_entry *e, uint64_t va, uint64_t pa, const char *why,
			 struct verdict *verdict)
{
	struct host_machine *m = v->cpu.machine;
	uint64_t event;
	uint32_t cpu;

	if (verdict->guilty || !overdue(m, pa, &cpu, &event))
		return;
	judge_note(verdict, HOST_STALE, v->cpu.id, e, va, e->desc & HD_ADDR_MASK, why);
	verdict->culprit = cpu;
	verdict->culprit_event = event;
	verdict->culprit_pa = pa;
}

void sense_stale(struct host_vcpu *v, const struct tlb_entry *e, uint64_t va, enum prot access, struct verdict *verdict)
{
	uint64_t pa;

	if (e->asid != HOST_GLOBAL && e->root != v->root)
		return; /* another matter: HOST_ASID_SHARED */
	pa = difference(v->cpu.machine, e, va, access);
	if (pa)
		accuse_stale(v, e, va, pa,
			     access == PROT_W   ? "a write through an entry whose rights are gone"
			     : access == PROT_X ? "a fetch through an entry whose rights are gone"
						: "a read through an entry whose rights are gone",
			     verdict);
}

/* A cached table descriptor that memory no longer has like this. */
static void leftover_table(struct host_vcpu *v, const struct tlb_entry *e, struct verdict *verdict)
{
	uint64_t now = peek(v->cpu.machine, e->desc_pa);

	if (!(now & HD_VALID) || (now ^ e->desc) & HD_ADDR_MASK || host_table_hier(now) & ~e->hier)
		accuse_stale(v, e, e->va, e->desc_pa, "left behind: a table in a walk cache whose descriptor is gone",
			     verdict);
}

static void leftovers_of(struct host_vcpu *v, struct verdict *verdict)
{
	static const enum prot access[] = {PROT_R, PROT_W, PROT_X};
	struct tlb_entry *e;

	for (uint32_t i = 0; (e = tlb_next(&v->walks, &i));)
		if (regime_has(v, e))
			leftover_table(v, e, verdict);
	for (uint32_t i = 0; (e = tlb_next(&v->tlb, &i));)
		for (unsigned a = 0; a < ARRAY_SIZE(access) && regime_has(v, e); a++) {
			uint64_t pa = sense_allows(e, access[a]) ? difference(v->cpu.machine, e, e->va, access[a]) : 0;

			if (pa)
				accuse_stale(v, e, e->va, pa, "left behind: an entry whose rights are gone", verdict);
		}
}

void sense_leftovers(struct host_vcpu *self)
{
	struct host_machine *m = self->cpu.machine;

	for (uint32_t i = 0; i < m->config.ncpus; i++) {
		struct host_vcpu *v = &m->vcpu[i];
		struct verdict verdict = {0};

		pthread_mutex_lock(&v->tlb_lock);
		/* A root that is free: its owner is gone, and with it whoever could go by what is cached of it. */
		if (!v->loaded || judge_frame(m, v->root) != HOST_FRAME_FREE)
			leftovers_of(v, &verdict);
		pthread_mutex_unlock(&v->tlb_lock);
		judge_deliver(m, &verdict);
	}
}
