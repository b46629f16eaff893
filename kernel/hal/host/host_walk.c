/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/host/host_walk.c: how the simulated hardware translates an address.
 *
 * Structure. A user access asks its vCPU's TLB; on a miss the walker starts at
 * the deepest table that the walk cache knows for this ASID and address, else
 * at the root, and descends through 4 KiB-granule descriptors in RAM:
 *
 *   TTBR0 -> [level 0] -> [level 1] -> [level 2] -> [level 3] -> page
 *              47:39        38:30 or     29:21 or     20:12
 *                           1 GiB block  2 MiB block
 *
 * Addresses of the kernel's window start one level lower, at a table that all vCPUs share; what
 * is cached of them is global, that is has HOST_GLOBAL for an ASID (struct regime).
 *
 * Restrictions in table descriptors (no write, no EL0, no execute) add up on
 * the way and stay with what is cached. A leaf goes into the TLB, every table
 * descriptor passed into the walk cache; both stay there until they are
 * invalidated (host_tlb.c). Nothing invalid is ever cached, and a leaf without
 * access flag neither. With hw_access and hw_dirty the walker sets AF and
 * clears AP[2] of a DBM descriptor, by compare-and-swap on the descriptor that
 * memory holds then, as hardware does; a cached clean entry is walked anew for a
 * write. A refusal by a cached entry is final: that memory allows it by now
 * does not help (a spurious fault).
 *
 * One miss in some also fetches a neighbour's translation, which nobody asked
 * for: speculation may do that at any time, and does it when the harness says so (host_whim.c).
 *
 * Judgement. (1) A table or page in a frame that is free. (2) A cached entry
 * that was filled under another root of the same ASID. (3) A new entry
 * while a TLB still holds another translation of the same address under the
 * same root: output address, memory type or size differ. For our own TLB that is
 * always looked at, for the others' on one fill in break_check. It is exact: we
 * hold our own lock from the walk to the look, so no invalidation that our
 * new entry could belong to is half done; a vCPU which still has the old one
 * had it while the new one was in memory. (4) Descriptors without sense, and rights
 * that were withdrawn: host_sense.c.
 *
 * Locking. The vCPU's tlb_lock throughout. Other vCPUs' are only tried, so that two
 * that look at each other do not wait; one that is busy is not looked at.
 *
 * Memory order. Descriptor loads are acquire: they pair with mmu_pte_store's
 * release, so that a page's content is there with its mapping.
 *
 * Sources: Arm Architecture Reference Manual, D8 (VMSAv8-64).
 */
#include "base/assert.h"
#include "hal/host/host_private.h"
#include "hal/uaccess.h"

struct walk {
	struct host_vcpu *v;
	struct regime r;
	uint64_t va;
	enum prot access;          /* PROT_NONE_: nobody asked */
	struct tlb_entry e;        /* the leaf, or where it ended */
	struct verdict *verdict;
	unsigned last_level;       /* 3: to the leaf; less: the tables above only */
	bool newest;               /* reads no old value of the descriptor that comes next */
};

struct regime regime_of(const struct host_vcpu *v, uint64_t va)
{
	uint64_t window = __atomic_load_n(&v->cpu.machine->window, __ATOMIC_RELAXED); /* of boot */

	if (in_window(va))
		return (struct regime){ window != 0, window, HOST_GLOBAL, 1 };
	return (struct regime){ v->loaded, v->root, v->asid, 0 };
}

/* UINT32_MAX: never */
static bool one_in(uint32_t n, uint64_t *state)
{
	return n == 1 || (n != UINT32_MAX && host_next_random(state) % n == 0);
}

static void accuse(struct walk *w, enum host_offence what, uint64_t pa, const char *why)
{
	judge_note(w->verdict, what, w->v->cpu.id, &w->e, w->va, pa, why);
}

/* The one place where the walker reads memory. acquire: pairs with mmu_pte_store */
static uint64_t walker_load(struct walk *w, uint64_t pa)
{
	struct host_machine *m = w->v->cpu.machine;
	uint64_t *word = (uint64_t *)(void *)host_bytes(m, pa);
	uint64_t d = m->late ? late_walk(m, pa, w->newest, &w->v->random) : __atomic_load_n(word, __ATOMIC_ACQUIRE);

	w->newest = false;
	if (m->config.ops.walked)
		m->config.ops.walked(m->config.ops.context, w->v->cpu.id, word, d);
	return d;
}

/* --- break before make --- */

static bool differs(const struct tlb_entry *a, const struct tlb_entry *b)
{
	return (a->desc ^ b->desc) & (HD_ADDR_MASK | HD_ATTR_MASK | HD_SH_MASK);
}

static bool overlaps(const struct tlb_entry *a, const struct tlb_entry *b)
{
	return a->asid == b->asid && a->root == b->root && a->va < b->va + BIT(host_level_shift(b->level)) &&
	       b->va < a->va + BIT(host_level_shift(a->level));
}

/* Another translation of what leaf n translates, in t; n->va is aligned. */
static struct tlb_entry *leaf_conflict(struct tlb *t, const struct tlb_entry *n)
{
	for (unsigned level = 1; level <= n->level; level++) {
		struct tlb_entry *e = tlb_find(t, n->asid, level, n->va);

		if (e && e->root == n->root && (level != n->level || differs(e, n)))
			return e;
	}
	if (n->level < 3) {
		struct tlb_entry *e;

		for (uint32_t i = 0; (e = tlb_next(t, &i));)
			if (e->level > n->level && overlaps(e, n))
				return e;
	}
	return NULL;
}

static struct tlb_entry *conflict(struct host_vcpu *v, const struct tlb_entry *n)
{
	struct tlb_entry *e = leaf_conflict(&v->tlb, n);

	if (!e) {
		/* a block where a table still is cached */
		e = tlb_find(&v->walks, n->asid, n->level, n->va);
		if (e && e->root != n->root)
			e = NULL;
	}
	return e;
}

static void check_break(struct walk *w)
{
	struct host_vcpu *self = w->v;
	struct host_machine *m = self->cpu.machine;
	struct tlb_entry *old = leaf_conflict(&self->tlb, &w->e);

	if (old)
		judge_note(w->verdict, HOST_NO_BREAK, self->cpu.id, old, w->va, old->desc & HD_ADDR_MASK,
			   "its own TLB still translates differently what it walks anew");
	if (!whim_asked(m) && !one_in(m->config.break_check, &self->random))
		return;
	for (uint32_t i = 0; i < m->config.ncpus; i++) {
		struct host_vcpu *v = &m->vcpu[i];

		if (v == self || pthread_mutex_trylock(&v->tlb_lock))
			continue;
		/* What it cannot use before it loads this ASID again may be owed a flush that comes first (armv8/asid.c). */
		old = regime_has(v, &w->e) ? conflict(v, &w->e) : NULL;
		if (old)
			judge_note(w->verdict, HOST_NO_BREAK, v->cpu.id, old, w->va, old->desc & HD_ADDR_MASK,
				   "its TLB still holds what another vCPU already walks differently");
		pthread_mutex_unlock(&v->tlb_lock);
	}
}

/* --- the walk --- */

static bool cached_root_ok(struct walk *w, const struct tlb_entry *e)
{
	if (e->root == w->r.root)
		return true;
	judge_note(w->verdict, HOST_ASID_SHARED, w->v->cpu.id, e, w->va, e->desc & HD_ADDR_MASK,
		   "an entry cached under another root table has the same ASID");
	return false;
}

/* Where to start: the deepest cached table. => w->e: level, hier; the table's address. */
static uint64_t walk_start(struct walk *w)
{
	struct host_vcpu *v = w->v;

	w->e = (struct tlb_entry){ .va = w->va, .root = w->r.root, .asid = w->r.asid, .level = w->r.level };
	for (unsigned level = 3; level-- > w->r.level;) {
		struct tlb_entry *e = tlb_find(&v->walks, w->r.asid, level, w->va);

		if (!e)
			continue;
		(void)cached_root_ok(w, e);
		w->e = *e;
		w->e.level = (uint8_t)(level + 1);
		return e->desc & HD_ADDR_MASK;
	}
	return w->r.root;
}

/* A write that hardware will make possible by itself. */
static bool write_cleans(const struct host_vcpu *v, const struct tlb_entry *e)
{
	return v->cpu.machine->features.hw_dirty && (e->desc & HD_DBM) && (e->desc & HD_AP_RO) &&
	       (e->desc & HD_AP_EL0) && !(e->hier & (HIER_RO | HIER_NO_EL0));
}

/* What hardware does to a descriptor's AF and AP[2]. */
static bool hardware_cas(const struct host_machine *m, uint64_t *word, uint64_t *expected, uint64_t want)
{
	const struct host_ops *ops = &m->config.ops;

	if (ops->hardware_cas)
		return ops->hardware_cas(ops->context, word, expected, want);
	/* acquire: as the load it repeats */
	return __atomic_compare_exchange_n(word, expected, want, false, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE);
}

/* A leaf in w->e: access flag and dirty state. => OK to cache; w->e.desc is what memory holds now. */
static enum host_fault_kind leaf_update(struct walk *w, bool *changed)
{
	const struct mmu_features *f = &w->v->cpu.machine->features;
	uint64_t *word = (uint64_t *)(void *)host_bytes(w->v->cpu.machine, w->e.desc_pa);
	uint64_t want = w->e.desc;

	*changed = false;
	if (!(want & HD_AF)) {
		if (!f->hw_access || w->access == PROT_NONE_)
			return HOST_FAULT_ACCESS_FLAG;
		want |= HD_AF;
	}
	if (w->access == PROT_W && write_cleans(w->v, &w->e))
		want &= ~HD_AP_RO;
	if (want == w->e.desc)
		return HOST_FAULT_NONE;
	/* A value that changed meanwhile, or was old when it was read, is judged anew. */
	if (!hardware_cas(w->v->cpu.machine, word, &w->e.desc, want)) {
		*changed = true;
		w->newest = true;
		return HOST_FAULT_NONE;
	}
	w->e.desc = want;
	if (w->v->cpu.machine->late)
		late_hardware(w->v->cpu.machine, w->e.desc_pa, want);
	event_note(w->v, event_number(w->v->cpu.machine), EVENT_PTE, w->e.desc_pa, want, EVENT_PTE_HARDWARE);
	return HOST_FAULT_NONE;
}

static void check_table_frame(struct walk *w, uint64_t table)
{
	enum host_frame kind = judge_frame(w->v->cpu.machine, table);

	if (kind == HOST_FRAME_FREE)
		accuse(w, HOST_FREED_TABLE, table, "a walk reads a table whose frame is free");
	else if (kind == HOST_FRAME_DATA || kind == HOST_FRAME_KERNEL)
		accuse(w, HOST_ALIEN_FRAME, table, "a walk reads a frame that is no table");
}

/* Descends to a leaf and caches what it passes. => NONE: w->e is the leaf, in the TLB. */
static enum host_fault_kind walk(struct walk *w)
{
	struct host_vcpu *v = w->v;
	struct host_machine *m = v->cpu.machine;
	uint64_t table;

	w->r = regime_of(v, w->va);
	if (!w->r.loaded) {
		w->e = (struct tlb_entry){ .va = w->va };
		return HOST_FAULT_TRANSLATION;
	}
	table = walk_start(w);
	for (;;) {
		enum host_fault_kind fault;
		const char *why;
		bool changed;

		if (!host_is_ram(m, table, PAGE_SIZE)) {
			accuse(w, HOST_BAD_TABLE, table, "a table outside RAM");
			return HOST_FAULT_ADDRESS;
		}
		check_table_frame(w, table);
		w->e.desc_pa = table + (w->va >> host_level_shift(w->e.level) & 511) * 8;
		w->e.desc = walker_load(w, w->e.desc_pa);
		w->e.filled = __atomic_load_n(&m->events, __ATOMIC_RELAXED);
		w->e.va = round_down(w->va, BIT(host_level_shift(w->e.level)));
		if (!(w->e.desc & HD_VALID))
			return HOST_FAULT_TRANSLATION;
		why = sense_of(w->e.level, w->e.desc, w->r.asid == HOST_GLOBAL);
		if (why)
			accuse(w, HOST_BAD_TABLE, w->e.desc_pa, why);
		if (w->e.level < 3 && (w->e.desc & HD_TABLE)) {
			w->e.hier |= host_table_hier(w->e.desc);
			tlb_insert(&v->walks, &w->e, host_next_random(&v->random));
			table = w->e.desc & HD_ADDR_MASK;
			if (w->e.level++ == w->last_level)
				return HOST_FAULT_TRANSLATION;
			continue;
		}
		if (w->e.level == 0 || (w->e.level == 3 && !(w->e.desc & HD_TABLE)))
			return HOST_FAULT_TRANSLATION;
		fault = leaf_update(w, &changed);
		if (changed)
			continue; /* whoever changed it made progress */
		if (fault)
			return fault;
		check_break(w);
		tlb_insert(&v->tlb, &w->e, host_next_random(&v->random));
		return HOST_FAULT_NONE;
	}
}

/* A fault that nobody asked for is none. */
void walk_unasked(struct host_vcpu *v, uint64_t va, unsigned last_level, struct verdict *verdict)
{
	struct walk w = { .v = v, .va = va, .access = PROT_NONE_, .verdict = verdict, .last_level = last_level };

	(void)walk(&w);
}

static void prefetch(struct host_vcpu *v, uint64_t va, struct verdict *verdict)
{
	va = host_next_random(&v->random) & 1 ? va + PAGE_SIZE : va - PAGE_SIZE;
	if ((va < USER_END || in_window(va)) && !tlb_find(&v->tlb, regime_of(v, va).asid, 3, va))
		walk_unasked(v, va, 3, verdict);
}

/* --- access --- */

static struct tlb_entry *lookup(struct host_vcpu *v, uint64_t va)
{
	struct regime r = regime_of(v, va);

	for (unsigned level = 3; r.loaded && level >= 1; level--) {
		struct tlb_entry *e = tlb_find(&v->tlb, r.asid, level, va);

		if (e)
			return e;
	}
	return NULL;
}

/* => NONE: w->e translates. */
static enum host_fault_kind translate(struct walk *w)
{
	struct host_vcpu *v = w->v;
	struct host_machine *m = v->cpu.machine;
	uint64_t clash = __atomic_load_n(&v->clash, __ATOMIC_RELAXED);
	struct tlb_entry *e = lookup(v, w->va);
	enum host_fault_kind fault = HOST_FAULT_NONE;

	w->r = regime_of(v, w->va);
	w->e = (struct tlb_entry){ .va = w->va, .root = w->r.root, .asid = w->r.asid };
	if (w->r.asid != HOST_GLOBAL && clash && clash == __atomic_load_n(&v->ttbr, __ATOMIC_RELAXED))
		accuse(w, HOST_ASID_SHARED, 0, "another vCPU has loaded this ASID with another root table");
	if (e && !(w->access == PROT_W && !sense_allows(e, PROT_W) && write_cleans(v, e))) {
		host_count(&v->stats.hits, 1);
		w->e = *e;
		(void)cached_root_ok(w, e);
	} else {
		host_count(&v->stats.misses, 1);
		fault = walk(w);
		if (!fault && !whim_asked(m) && one_in(m->config.prefetch, &v->random))
			prefetch(v, w->va, w->verdict);
	}
	if (!fault && !sense_allows(&w->e, w->access))
		fault = HOST_FAULT_PERMISSION;
	/* Mappings of the window only come and go: none ever had fewer rights that a TLB might still know. */
	if (!fault && w->r.asid != HOST_GLOBAL && whim_ask(m, HOST_WHIM_SPURIOUS, 2))
		fault = HOST_FAULT_PERMISSION;
	return fault;
}

static void check_page_frame(struct walk *w, uint64_t pa)
{
	enum host_frame kind = judge_frame(w->v->cpu.machine, pa);

	if (kind == HOST_FRAME_FREE)
		accuse(w, HOST_FREED_FRAME, pa, "an access reaches a frame that is free");
	else if (kind == HOST_FRAME_TABLE || (kind == HOST_FRAME_KERNEL && !in_window(w->va)))
		accuse(w, HOST_ALIEN_FRAME, pa, kind == HOST_FRAME_TABLE ? "a program reaches a translation table" :
									   "a program reaches the kernel's memory");
}

static bool refuse(struct host_access *a, uint64_t va, enum prot access, enum host_fault_kind kind, uint32_t level,
		   struct host_fault *fault)
{
	*fault = (struct host_fault){ va, access, kind, level };
	host_count(&a->v->stats.faults, 1);
	return false;
}

static bool access_begin(struct host_access *a, uint64_t va, bool window, enum prot access, struct host_fault *fault)
{
	struct host_vcpu *v = host_vcpu_self();
	struct host_machine *m = v->cpu.machine;
	struct walk w = { .v = v, .va = va, .access = access, .verdict = &a->verdict, .last_level = 3 };
	enum host_fault_kind kind;

	a->v = v;
	a->verdict.guilty = false;
	cpu_point();
	if (window ? !in_window(va) : va >= USER_END)
		return refuse(a, va, access, HOST_FAULT_ADDRESS, 0, fault);
	whim_recent(m, regime_of(v, va).root, va);
	whim_speculate(m);
	pthread_mutex_lock(&v->tlb_lock);
	whim_evict(v, va);
	kind = translate(&w);
	if (!kind) {
		a->pa = (w.e.desc & HD_ADDR_MASK & ~(BIT(host_level_shift(w.e.level)) - 1)) |
			(va & (BIT(host_level_shift(w.e.level)) - 1));
		if (!host_is_ram(m, a->pa, 1)) {
			accuse(&w, HOST_BAD_TABLE, a->pa, "a page outside RAM");
			kind = HOST_FAULT_ADDRESS;
		}
	}
	if (kind) {
		pthread_mutex_unlock(&v->tlb_lock);
		judge_deliver(m, &a->verdict);
		return refuse(a, va, access, kind, w.e.level, fault);
	}
	check_page_frame(&w, a->pa);
	sense_stale(v, &w.e, va, access, &a->verdict);
	a->bytes = host_bytes(m, a->pa);
	return true;
}

bool host_access_begin(struct host_access *a, uint64_t va, enum prot access, struct host_fault *fault)
{
	return access_begin(a, va, false, access, fault);
}

bool host_access_begin_kernel(struct host_access *a, uint64_t va, enum prot access, struct host_fault *fault)
{
	return access_begin(a, va, true, access, fault);
}

void host_access_end(struct host_access *a)
{
	pthread_mutex_unlock(&a->v->tlb_lock);
	judge_deliver(a->v->cpu.machine, &a->verdict);
}

void host_returned(void)
{
	struct host_vcpu *v = host_vcpu_self();

	if (v->returned == v->restricted)
		return; /* it took nothing away */
	/* relaxed: the invalidations before it have taken the lock of whoever compares (host_sense.c) */
	__atomic_store_n(&v->returned, v->restricted, __ATOMIC_RELAXED);
	if (whim_asked(v->cpu.machine) || v->cpu.machine->late)
		sense_leftovers(v);
}

/* --- what tests ask --- */

bool host_tlb_holds(struct host_machine *m, uint32_t cpu, uint32_t asid, vaddr_t va)
{
	struct host_vcpu *v = &m->vcpu[cpu];
	bool holds = false;

	pthread_mutex_lock(&v->tlb_lock);
	for (unsigned level = 1; level <= 3; level++)
		holds |= tlb_find(&v->tlb, asid, level, va.va) != NULL;
	pthread_mutex_unlock(&v->tlb_lock);
	return holds;
}

bool host_walk_holds(struct host_machine *m, uint32_t cpu, uint32_t asid, vaddr_t va, uint32_t level)
{
	struct host_vcpu *v = &m->vcpu[cpu];
	bool holds;

	pthread_mutex_lock(&v->tlb_lock);
	holds = tlb_find(&v->walks, asid, level, va.va) != NULL;
	pthread_mutex_unlock(&v->tlb_lock);
	return holds;
}

/* Does this entry of v lead into [start, end), by what it has loaded? */
static bool reaches(const struct host_vcpu *v, const struct tlb_entry *e, uint64_t size, uint64_t start, uint64_t end)
{
	uint64_t pa = round_down(e->desc & HD_ADDR_MASK, size);

	return regime_has(v, e) && pa < end && start < pa + size;
}

void host_frame_freed(paddr_t frame, uint32_t order)
{
	struct host_machine *m = host_machine();
	uint64_t start = frame.pa, end = start + (PAGE_SIZE << order);

	whim_speculate(m);
	for (uint64_t pa = start; pa < end; pa += PAGE_SIZE)
		host_frame_written(paddr(pa));
	for (uint32_t n = 0; n < m->config.ncpus; n++) {
		struct host_vcpu *v = &m->vcpu[n];
		struct verdict verdict = { 0 };
		struct tlb_entry *e, root;

		pthread_mutex_lock(&v->tlb_lock);
		root = (struct tlb_entry){ .root = v->root, .asid = v->asid };
		if (v->loaded && v->root >= start && v->root < end)
			judge_note(&verdict, HOST_FREED_TABLE, n, &root, 0, v->root, "freed: the root table it has loaded");
		/* relaxed: as regime_of */
		if (m->window >= start && m->window < end)
			judge_note(&verdict, HOST_FREED_TABLE, n, &root, MMU_KERNEL_START, m->window,
				   "freed: the table of the kernel's window");
		for (uint32_t i = 0; (e = tlb_next(&v->tlb, &i));)
			if (reaches(v, e, BIT(host_level_shift(e->level)), start, end))
				judge_note(&verdict, HOST_FREED_FRAME, n, e, e->va, start, "freed: a frame in its TLB");
		for (uint32_t i = 0; (e = tlb_next(&v->walks, &i));)
			if (reaches(v, e, PAGE_SIZE, start, end))
				judge_note(&verdict, HOST_FREED_TABLE, n, e, e->va, start, "freed: a table in its walk cache");
		pthread_mutex_unlock(&v->tlb_lock);
		judge_deliver(m, &verdict);
	}
}
