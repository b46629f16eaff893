/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/host/host_mmu.c: the MMU operations of hal/mmu.h on the simulated machine.
 *
 * Descriptors. host_pte.c has the accesses and tells what they do. Walkers see a
 * store at once, or late (host_late.c); walker_load in host_walk.c is the one
 * place where they read. Who takes rights away is noted for host_sense.c.
 *
 * Invalidation. A broadcast takes each vCPU's tlb_lock in turn and drops what
 * it covers. Accesses hold that lock from translation to the last byte, so an
 * access through the old translation either is over or comes after the drop:
 * what DSB promises after TLBI. When the drop happens is the machine's whim
 * (config.tlbi): at once, or not before the issuing vCPU's DSB; so a
 * missing DSB after TLBI shows as a stale entry. With ops.choose the harness says which.
 *
 * There are local invalidations (this CPU only, at once) and broadcast ones. The kernel sends no inter-processor
 * interrupt to have another CPU invalidate (hal/mmu.h has none), so none is simulated.
 *
 *	issuer:  store invalid   DSB    TLBI .......... DSB
 *	drop:                            ^ now or late ^
 *
 * TTBR0. A load publishes (ASID, root) in one word. A vCPU that loads an ASID
 * looks at the others' words and leaves a clash note with one that has the
 * same ASID with another root. The note becomes an offence if that vCPU makes a user
 * access before it loads anything else: until then it may be in the kernel,
 * about to switch, which is harmless.
 *
 * Memory order. mmu.h says what each descriptor access is; ttbr and clash are
 * relaxed: a clash that is missed by a race of two loads is found another time,
 * and a stronger order would hide data races of the kernel's from
 * ThreadSanitizer.
 */
#include "base/assert.h"
#include "hal/host/host_private.h"

/* --- descriptors --- */

static bool restricts(uint64_t old, uint64_t v)
{
	if (!(old & HD_VALID))
		return false;
	return !(v & HD_VALID) || (old ^ v) & (HD_ADDR_MASK | HD_TABLE) || old & ~v & (HD_AP_EL0 | HD_AF) ||
	       v & ~old & (HD_AP_RO | HD_UXN | HD_TABLE_RO | HD_TABLE_NO_EL0 | HD_TABLE_UXN);
}

uint64_t host_pte_newest(const struct pte *p)
{
	struct host_machine *m = host_machine();

	if (m->late)
		return late_newest(m, virt_to_phys(p).pa);
	/* relaxed: to compare with; who may take rights away is alone with the descriptor but for AF and AP[2] */
	return __atomic_load_n(&p->word.x, __ATOMIC_RELAXED);
}

uint64_t host_pte_begins(const struct pte *p, uint64_t old, uint64_t v)
{
	struct host_vcpu *self = host_vcpu_self();
	struct host_machine *m = self->cpu.machine;
	uint64_t number;

	whim_speculate(m);
	number = event_number(m);
	if (restricts(old, v)) {
		self->restricted = number;
		/* relaxed: the store of the descriptor comes after it and carries it (host_sense.c) */
		__atomic_store_n(&m->restricted[(virt_to_phys(p).pa - m->ram_start) / 8],
				 number << 8 | (self->cpu.id + 1), __ATOMIC_RELAXED);
	}
	return number;
}

void host_pte_changes(const struct pte *p, uint64_t number, uint64_t old, uint64_t v, bool rmw)
{
	struct host_vcpu *self = host_vcpu_self();
	struct host_machine *m = self->cpu.machine;
	uint64_t pa = virt_to_phys(p).pa;

	event_note(self, number, EVENT_PTE, pa, v, rmw ? EVENT_PTE_RMW : 0);
	if (!m->late)
		return;
	if (rmw)
		late_read(m, self->cpu.id, pa, old);
	late_stored(m, self->cpu.id, pa, old, v);
}

void host_pte_was_read(const struct pte *p, uint64_t v)
{
	struct host_vcpu *self = host_vcpu_self();
	struct host_machine *m = self->cpu.machine;

	if (m->late)
		late_read(m, self->cpu.id, virt_to_phys(p).pa, v);
}

/* --- invalidation --- */

static void tlbi_note(struct host_vcpu *v, enum event_kind kind, const struct tlbi *t, uint64_t flags)
{
	uint64_t global = t->asid == HOST_GLOBAL || t->kind == TLBI_ALL ? EVENT_GLOBAL : 0;

	event_note(v, event_number(v->cpu.machine), kind, t->start, t->end,
		   (t->asid & UINT16_MAX) | (t->last_level ? EVENT_LAST_LEVEL : 0) |
			   (t->kind == TLBI_ALL ? EVENT_ALL_ASIDS : 0) | global | flags);
}

static void tlbi_complete(struct host_vcpu *issuer, const struct tlbi *t)
{
	struct host_machine *m = issuer->cpu.machine;

	for (uint32_t i = 0; i < m->config.ncpus; i++) {
		struct host_vcpu *v = &m->vcpu[i];

		pthread_mutex_lock(&v->tlb_lock);
		if (t->kind == TLBI_ALL) {
			tlb_drop_all(&v->tlb);
			tlb_drop_all(&v->walks);
		} else if (t->kind == TLBI_ASID) {
			tlb_drop_asid(&v->tlb, t->asid);
			tlb_drop_asid(&v->walks, t->asid);
		} else {
			tlb_drop_range(&v->tlb, t->asid, t->start, t->end);
			if (!t->last_level)
				tlb_drop_range(&v->walks, t->asid, t->start, t->end);
		}
		pthread_mutex_unlock(&v->tlb_lock);
	}
	tlbi_note(issuer, EVENT_TLBI_DONE, t, 0);
}

static void complete_pending(struct host_vcpu *v)
{
	for (uint32_t i = 0; i < v->npending; i++)
		tlbi_complete(v, &v->pending[i]);
	v->npending = 0;
}

static enum host_tlbi arrival(struct host_vcpu *v)
{
	struct host_machine *m = v->cpu.machine;

	if (whim_asked(m))
		return whim_ask(m, HOST_WHIM_TLBI, 2) ? HOST_TLBI_LATE : HOST_TLBI_NOW;
	if (m->config.tlbi == HOST_TLBI_RANDOM)
		return host_next_random(&v->lazy) & 1 ? HOST_TLBI_NOW : HOST_TLBI_LATE;
	return m->config.tlbi;
}

static void tlbi_issue(struct tlbi t)
{
	struct host_vcpu *v = host_vcpu_self();

	ASSERT(t.asid == HOST_GLOBAL || t.asid < 1u << mmu_features()->asid_bits);
	cpu_point();
	whim_speculate(v->cpu.machine);
	host_count(&v->stats.invalidations, 1);
	tlbi_note(v, EVENT_TLBI, &t, 0);
	if (arrival(v) == HOST_TLBI_NOW) {
		tlbi_complete(v, &t);
		return;
	}
	if (v->npending == TLBI_PENDING)
		complete_pending(v);
	v->pending[v->npending++] = t;
}

void mmu_tlbi_page(uint32_t asid, vaddr_t va, bool last_level)
{
	uint64_t page = round_down(va.va, PAGE_SIZE);

	tlbi_issue((struct tlbi){ TLBI_RANGE, asid, page, page + PAGE_SIZE, last_level });
}

void mmu_tlbi_range(uint32_t asid, vaddr_t va, npages_t n, bool last_level)
{
	uint64_t page = round_down(va.va, PAGE_SIZE);

	ASSERT(mmu_features()->range_tlbi); /* an undefined instruction otherwise */
	tlbi_issue((struct tlbi){ TLBI_RANGE, asid, page, page + npages_bytes(n), last_level });
}

void mmu_tlbi_asid(uint32_t asid) { tlbi_issue((struct tlbi){ TLBI_ASID, asid, 0, UINT64_MAX, false }); }

/* Last level only, and what is global. */
static void tlbi_window(uint64_t start, uint64_t end)
{
	ASSERT(in_window(start) && end > start && end <= MMU_KERNEL_START + MMU_KERNEL_SIZE);
	tlbi_issue((struct tlbi){ TLBI_RANGE, HOST_GLOBAL, start, end, true });
}

void mmu_tlbi_kernel_page(vaddr_t va)
{
	uint64_t page = round_down(va.va, PAGE_SIZE);

	tlbi_window(page, page + PAGE_SIZE);
}

void mmu_tlbi_kernel_range(vaddr_t va, npages_t n)
{
	uint64_t page = round_down(va.va, PAGE_SIZE);

	ASSERT(mmu_features()->range_tlbi); /* an undefined instruction otherwise */
	tlbi_window(page, page + npages_bytes(n));
}

void mmu_tlbi_kernel_all(void) { tlbi_issue((struct tlbi){ TLBI_ALL, 0, 0, UINT64_MAX, false }); }

static void tlbi_local(struct tlbi t)
{
	struct host_vcpu *v = host_vcpu_self();

	cpu_point();
	whim_speculate(v->cpu.machine);
	pthread_mutex_lock(&v->tlb_lock);
	if (t.kind == TLBI_ASID) {
		tlb_drop_asid(&v->tlb, t.asid);
		tlb_drop_asid(&v->walks, t.asid);
	} else {
		tlb_drop_range(&v->tlb, t.asid, t.start, t.end);
		tlb_drop_range(&v->walks, t.asid, t.start, t.end);
	}
	pthread_mutex_unlock(&v->tlb_lock);
	tlbi_note(v, EVENT_TLBI_DONE, &t, EVENT_LOCAL);
}

void mmu_tlbi_local_page(uint32_t asid, vaddr_t va) { mmu_tlbi_local_range(asid, va, npages(1)); }

void mmu_tlbi_local_range(uint32_t asid, vaddr_t va, npages_t n)
{
	uint64_t page = round_down(va.va, PAGE_SIZE);

	tlbi_local((struct tlbi){ TLBI_RANGE, asid, page, page + npages_bytes(n), false });
}

void mmu_tlbi_local_asid(uint32_t asid) { tlbi_local((struct tlbi){ TLBI_ASID, asid, 0, UINT64_MAX, false }); }

void mmu_tlbi_local_all(void)
{
	struct host_vcpu *v = host_vcpu_self();
	struct tlbi t = { TLBI_ASID, 0, 0, UINT64_MAX, false };

	cpu_point();
	whim_speculate(v->cpu.machine);
	pthread_mutex_lock(&v->tlb_lock);
	tlb_drop_all(&v->tlb);
	tlb_drop_all(&v->walks);
	pthread_mutex_unlock(&v->tlb_lock);
	tlbi_note(v, EVENT_TLBI_DONE, &t, EVENT_LOCAL | EVENT_ALL_ASIDS);
}

/* --- barriers --- */

/* What this vCPU stored, and what it read, is in memory and seen by all walkers. */
static void push_stores(struct host_vcpu *v)
{
	struct host_machine *m = v->cpu.machine;

	whim_speculate(m);
	/* A full barrier of the host, which orders this thread with no other. Its value means nothing. */
	(void)__atomic_exchange_n(&v->barriers, 0, __ATOMIC_SEQ_CST);
	if (m->config.ops.barrier)
		m->config.ops.barrier(m->config.ops.context);
	if (m->late)
		late_pushed(m, v->cpu.id);
}

void mmu_dsb_ishst(void)
{
	cpu_point();
	push_stores(host_vcpu_self());
}

void mmu_dsb_ish(void)
{
	struct host_vcpu *v = host_vcpu_self();

	cpu_point();
	push_stores(v);
	complete_pending(v);
}

/* Each access translates anew, so a context change needs no synchronisation here. */
void mmu_isb(void) { cpu_point(); }

/* --- the kernel's window --- */

void mmu_kernel_window(paddr_t table)
{
	struct host_machine *m = host_machine();

	ASSERT(!(table.pa & PAGE_MASK) && host_is_ram(m, table.pa, PAGE_SIZE));
	__atomic_store_n(&m->window, table.pa, __ATOMIC_RELAXED); /* boot */
}

/* --- TTBR0 --- */

static void look_for_clash(struct host_vcpu *self, uint64_t ttbr)
{
	struct host_machine *m = self->cpu.machine;

	for (uint32_t i = 0; i < m->config.ncpus; i++) {
		struct host_vcpu *v = &m->vcpu[i];
		uint64_t other = __atomic_load_n(&v->ttbr, __ATOMIC_RELAXED);

		if (v != self && other && other >> 48 == ttbr >> 48 && other != ttbr)
			__atomic_store_n(&v->clash, other, __ATOMIC_RELAXED);
	}
}

static void load(struct host_vcpu *v, bool loaded, uint64_t root, uint32_t asid)
{
	uint64_t ttbr = loaded ? (uint64_t)asid << 48 | root : 0;

	cpu_point();
	whim_speculate(v->cpu.machine);
	pthread_mutex_lock(&v->tlb_lock);
	v->loaded = loaded;
	v->root = root;
	v->asid = asid;
	pthread_mutex_unlock(&v->tlb_lock);
	__atomic_store_n(&v->clash, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&v->ttbr, ttbr, __ATOMIC_RELAXED);
	event_note(v, event_number(v->cpu.machine), EVENT_LOAD, root, asid, 0);
}

void mmu_load_user(paddr_t root, uint32_t asid)
{
	struct host_vcpu *v = host_vcpu_self();
	struct host_machine *m = v->cpu.machine;

	ASSERT(asid < 1u << m->features.asid_bits);
	ASSERT(!(root.pa & PAGE_MASK) && host_is_ram(m, root.pa, PAGE_SIZE));
	load(v, true, root.pa, asid);
	look_for_clash(v, (uint64_t)asid << 48 | root.pa);
}

void mmu_clear_user(void) { load(host_vcpu_self(), false, 0, 0); }

void mmu_sync_icache(paddr_t frame)
{
	/* relaxed: the mapping that is made executable afterwards publishes it */
	__atomic_store_n(host_coherent(host_machine(), frame.pa), 1, __ATOMIC_RELAXED);
}
