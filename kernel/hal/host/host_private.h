/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/host/host_private.h: the simulator's own structures.
 *
 * Guards:
 *   c  constant after host_machine_create
 *   t  the vCPU's tlb_lock
 *   o  the attached thread only
 *   x  written by the attached thread, read by others, relaxed
 *   a  relaxed atomics by anyone
 *
 * tlb_lock is a host mutex and no kernel lock: it stands for hardware. A vCPU
 * translates and touches memory under its own; whoever invalidates takes each
 * in turn, so that when mmu_dsb_ish returns, accesses through the old
 * translation are over. Nobody waits for a second one while holding one.
 * Simulator code uses __atomic builtins, not atomic.h: cpu_point must not run
 * under a hardware lock.
 */
#ifndef HAL_HOST_PRIVATE_H
#define HAL_HOST_PRIVATE_H

#include <pthread.h>
#include <stdio.h>

#include "hal/host/host.h"
#include "hal/mmu.h"

/* --- ARMv8 descriptors, 4 KiB granule: as the hardware reads them --- */
#define HD_VALID BIT(0)
#define HD_TABLE BIT(1)     /* levels 0..2: table; level 3: page */
#define HD_ATTR_MASK BITS(4, 2)
#define HD_NS BIT(5)
#define HD_AP_EL0 BIT(6)
#define HD_AP_RO BIT(7)
#define HD_SH_MASK BITS(9, 8)
#define HD_AF BIT(10)
#define HD_NG BIT(11)
#define HD_ADDR_MASK BITS(47, 12)
#define HD_DBM BIT(51)
#define HD_CONTIGUOUS BIT(52)
#define HD_PXN BIT(53)
#define HD_UXN BIT(54)
#define HD_TABLE_UXN BIT(60)
#define HD_TABLE_NO_EL0 BIT(61)
#define HD_TABLE_RO BIT(62)

/* Restrictions that table descriptors above put on a leaf. */
#define HIER_RO 1
#define HIER_NO_EL0 2
#define HIER_UXN 4

static inline uint8_t host_table_hier(uint64_t desc)
{
	return (uint8_t)((desc & HD_TABLE_RO ? HIER_RO : 0) | (desc & HD_TABLE_NO_EL0 ? HIER_NO_EL0 : 0) |
			 (desc & HD_TABLE_UXN ? HIER_UXN : 0));
}

static inline unsigned host_level_shift(unsigned level) { return 39 - 9 * level; }

/* --- TLB and walk cache: one structure, two instances per vCPU --- */
#define TLB_NIL UINT16_MAX

struct tlb_entry {
	uint64_t va;        /* base of what it covers: 1 << host_level_shift(level) bytes */
	uint64_t root;      /* TTBR0's table when it was filled */
	uint64_t desc;      /* the descriptor as read */
	uint64_t desc_pa;   /* and where */
	uint64_t filled;    /* event number */
	uint32_t asid;      /* HOST_GLOBAL: of the kernel's window */
	uint16_t next;      /* in its bucket or the free list */
	uint8_t level;
	uint8_t hier;       /* HIER_*: from the tables above, and for a table its own */
	bool used;
};

struct tlb {
	uint32_t capacity, count, buckets;
	uint16_t free;
	uint16_t *bucket;
	struct tlb_entry *entry;
};

enum error tlb_init(struct tlb *t, uint32_t capacity) MUST_CHECK;
void tlb_destroy(struct tlb *t);
struct tlb_entry *tlb_find(struct tlb *t, uint32_t asid, unsigned level, uint64_t va);
/* Puts e in the place of one with the same key, or a free one, or the victim'th when full. */
struct tlb_entry *tlb_insert(struct tlb *t, const struct tlb_entry *e, uint64_t victim);
void tlb_drop(struct tlb *t, struct tlb_entry *e);
void tlb_drop_va(struct tlb *t, uint32_t asid, uint64_t va);
void tlb_drop_range(struct tlb *t, uint32_t asid, uint64_t start, uint64_t end);
void tlb_drop_asid(struct tlb *t, uint32_t asid);
void tlb_drop_all(struct tlb *t);
/* The first entry from *i on that is in use; NULL at the end. */
struct tlb_entry *tlb_next(struct tlb *t, uint32_t *i);

/* --- history, for reports --- */
enum event_kind { EVENT_NONE, EVENT_PTE, EVENT_TLBI, EVENT_TLBI_DONE, EVENT_LOAD };
#define EVENTS 256
#define EVENT_PTE_RMW 1
#define EVENT_PTE_HARDWARE 2
#define EVENT_LAST_LEVEL BIT(16)
#define EVENT_ALL_ASIDS BIT(17)
#define EVENT_LOCAL BIT(18)
#define EVENT_GLOBAL BIT(19) /* also what is global */

struct event {
	uint64_t number;    /* x: in the machine's order; 0: none */
	uint64_t kind;      /* x */
	/* x: PTE: where, value, EVENT_PTE_*. TLBI*: first va, end, ASID | flags. LOAD: root, ASID */
	uint64_t a, b, c;
};

/* --- vCPUs and machines --- */
enum tlbi_kind { TLBI_RANGE, TLBI_ASID, TLBI_ALL };
#define TLBI_PENDING 64

struct tlbi {
	enum tlbi_kind kind;
	uint32_t asid;
	uint64_t start, end;
	bool last_level;
};

struct host_vcpu {
	struct host_cpu cpu;          /* o: first: host_self points here */
	pthread_mutex_t tlb_lock;
	struct tlb tlb;               /* t */
	struct tlb walks;             /* t: table descriptors */
	bool loaded;                  /* t: a user root table is in TTBR0 */
	uint64_t root;                /* t */
	uint32_t asid;                /* t */
	uint64_t random;              /* t */
	uint64_t ttbr;                /* x: asid << 48 | root, or 0 */
	uint64_t clash;               /* a: a ttbr value of ours with whose ASID another vCPU loaded another root */
	struct tlbi pending[TLBI_PENDING]; /* o: issued, not complete */
	uint32_t npending;            /* o */
	bool attached;                /* a: swapped */
	uint64_t lazy;                /* o: random state for TLBI time */
	uint64_t restricted;          /* o: number of the last event by which it took rights away */
	uint64_t returned;            /* x: what restricted was when it last went back to its program */
	uint64_t barriers;            /* o: swapped for nothing but the order */
	uint32_t next_event;          /* o */
	struct event event[EVENTS];   /* x */
	struct host_stats stats;      /* x */
} ALIGNED(CACHE_LINE);

/* Pages that programs asked for last, for speculation (host_whim.c). */
#define RECENT 3
struct recent {
	uint64_t root, va;
};

struct host_machine {
	struct machine_info info;     /* c */
	struct mmu_features features; /* c */
	struct host_config config;    /* c, defaults filled in; ops: host_set_ops */
	struct host_vcpu *vcpu;       /* c: config.ncpus */
	char *arena;                  /* c */
	uint64_t ram_start, ram_end;  /* c */
	void *map;                    /* c: what to unmap */
	size_t map_bytes;             /* c */
	uint8_t *coherent;            /* a: per frame: instruction fetch sees its bytes */
	uint64_t *restricted;         /* a: per descriptor: event << 8 | vCPU + 1 that last took rights away; 0: nobody */
	struct late_stores *late;     /* by the one thread of all vCPUs; NULL: walkers see stores at once */
	struct recent recent[RECENT]; /* likewise: only with ops.choose */
	uint64_t window;              /* a: table of level 1 of the kernel's window; 0: none yet */
	uint64_t events;              /* a: number of the last event */
	uint64_t randoms;             /* a: host_random's counter */
	uint64_t boot;                /* c: host clock, ns */
	bool barrier_all;             /* c: cpu_barrier_all works */
	uint64_t offences[HOST_OFFENCES]; /* a */
};

static inline struct host_vcpu *host_vcpu_self(void) { return (struct host_vcpu *)host_cpu_self(); }

/* RAM, holes excluded. */
bool host_is_ram(const struct host_machine *m, uint64_t pa, uint64_t bytes);
static inline char *host_bytes(const struct host_machine *m, uint64_t pa) { return m->arena + (pa - m->ram_start); }
static inline uint8_t *host_coherent(struct host_machine *m, uint64_t pa)
{
	return &m->coherent[(pa - m->ram_start) >> PAGE_SHIFT];
}

/* The output function of splitmix64 (Steele, Lea, Flood, 2014): also a good hash. */
static inline uint64_t host_mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}
static inline uint64_t host_next_random(uint64_t *state)
{
	*state += UINT64_C(0x9e3779b97f4a7c15);
	return host_mix(*state);
}

/* A counter of one writer. */
static inline void host_count(uint64_t *n, uint64_t by)
{
	__atomic_store_n(n, __atomic_load_n(n, __ATOMIC_RELAXED) + by, __ATOMIC_RELAXED);
}

/* --- offences: noted under hardware locks, delivered after them --- */
struct verdict {
	bool guilty;
	enum host_offence what;
	uint32_t cpu;             /* who holds the entry */
	struct tlb_entry entry;   /* through which */
	uint64_t va, pa;          /* 0 when not known */
	const char *why;
	/* HOST_STALE: who took the rights away, at which event, by which descriptor */
	uint32_t culprit;
	uint64_t culprit_event, culprit_pa;
};
void judge_note(struct verdict *v, enum host_offence what, uint32_t cpu, const struct tlb_entry *e, uint64_t va,
		uint64_t pa, const char *why);
/* Counts, prints history, tells ops.report or panics. No hardware lock held. */
void judge_deliver(struct host_machine *m, struct verdict *v);
/* What the harness says of a frame; UNKNOWN when it does not. */
enum host_frame judge_frame(struct host_machine *m, uint64_t pa);
uint64_t event_number(struct host_machine *m);
void event_note(struct host_vcpu *v, uint64_t number, enum event_kind kind, uint64_t a, uint64_t b, uint64_t c);

/* --- host_pte.c: the only accesses to descriptors that write --- */
/* --- host_mmu.c: what host_pte.c tells the simulator, in one step with the access --- */
/* What the descriptor at p holds by all that was told. */
uint64_t host_pte_newest(const struct pte *p);
/* The attached vCPU is about to make v of old. Returns the event's number. */
uint64_t host_pte_begins(const struct pte *p, uint64_t old, uint64_t v);
/* It does so (told before a store), or has done so (rmw: told after it). */
void host_pte_changes(const struct pte *p, uint64_t number, uint64_t old, uint64_t v, bool rmw);
/* It read v there. */
void host_pte_was_read(const struct pte *p, uint64_t v);

/* --- host_late.c: when walkers see stores to descriptors --- */
enum error late_init(struct host_machine *m) MUST_CHECK;
void late_destroy(struct host_machine *m);
void late_stored(struct host_machine *m, uint32_t cpu, uint64_t pa, uint64_t old, uint64_t v);
void late_read(struct host_machine *m, uint32_t cpu, uint64_t pa, uint64_t v);
void late_pushed(struct host_machine *m, uint32_t cpu);
/* A frame's bytes were written by other means than descriptor accesses. */
void late_forget(struct host_machine *m, uint64_t frame);
/* The newest value, whether memory holds it yet or not. */
uint64_t late_newest(struct host_machine *m, uint64_t pa);
/* What a walker reads. newest: it insists. */
uint64_t late_walk(struct host_machine *m, uint64_t pa, bool newest, uint64_t *random);
/* Hardware has made v of what memory held. */
void late_hardware(struct host_machine *m, uint64_t pa, uint64_t v);

/* --- host_whim.c --- */
/* The harness's answer in [0, n); 0 when there is no choice. */
unsigned whim_ask(struct host_machine *m, enum host_whim whim, unsigned n);
static inline bool whim_asked(const struct host_machine *m) { return m->config.ops.choose != NULL; }
/* Before anything changes that a walk depends on: the last moment to fetch it the old way. No hardware lock held. */
void whim_speculate(struct host_machine *m);
void whim_recent(struct host_machine *m, uint64_t root, uint64_t va);
/* Drops an entry that an access of va would use, if the harness wants that. v's tlb_lock held. */
void whim_evict(struct host_vcpu *v, uint64_t va);

/* --- host_sense.c: judgements --- */
/* Why a valid descriptor at that level contradicts itself, or NULL. window: of the kernel's tables. */
const char *sense_of(unsigned level, uint64_t desc, bool window);
/* Does the entry allow an access at EL0, or a global one at EL1, by its own rights and those of the tables above? */
bool sense_allows(const struct tlb_entry *e, enum prot access);
/* An access goes by e: accuses if the tables have forbidden it for longer than the kernel's operation. v's lock held. */
void sense_stale(struct host_vcpu *v, const struct tlb_entry *e, uint64_t va, enum prot access, struct verdict *verdict);
/* self has returned: accuses what other vCPUs' TLBs still hold of the rights that it took away. No lock held. */
void sense_leftovers(struct host_vcpu *self);

/* --- translation --- */
/* What translates an address: TTBR0 as that vCPU has loaded it, or the kernel's window. */
struct regime {
	bool loaded;
	uint64_t root;
	uint32_t asid;
	uint8_t level;     /* of the root */
};
struct regime regime_of(const struct host_vcpu *v, uint64_t va);
static inline bool in_window(uint64_t va) { return va - MMU_KERNEL_START < MMU_KERNEL_SIZE; }
/* Can v translate by that entry with what it has loaded? */
static inline bool regime_has(const struct host_vcpu *v, const struct tlb_entry *e)
{
	return e->asid == HOST_GLOBAL || (v->loaded && e->asid == v->asid && e->root == v->root);
}
/* Descends for nobody, as far as the level before last_level: 3 also fetches the leaf. v's tlb_lock held. */
void walk_unasked(struct host_vcpu *v, uint64_t va, unsigned last_level, struct verdict *verdict);

struct host_access {
	struct host_vcpu *v;
	char *bytes;              /* where va's byte is */
	uint64_t pa;
	struct verdict verdict;
};
/*
 * Translates va for an access at EL0 on the attached vCPU. => true: the TLB
 * lock is held, bytes lead to the end of the page; host_access_end. false:
 * *fault, nothing held.
 */
bool host_access_begin(struct host_access *a, uint64_t va, enum prot access, struct host_fault *fault);
/* The same at EL1, for an address of the window. */
bool host_access_begin_kernel(struct host_access *a, uint64_t va, enum prot access, struct host_fault *fault);
void host_access_end(struct host_access *a);

/*
 * One stretch of user memory from va on, up to n bytes or the first fault.
 * => bytes done; less than n: *fault. from NULL: writes zeros.
 */
size_t host_user_get(uint64_t va, void *to, size_t n, struct host_fault *fault);
size_t host_user_put(uint64_t va, const void *from, size_t n, struct host_fault *fault);

#endif
