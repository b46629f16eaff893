/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/host/host.h: the simulated machine, as tests and stress programs see it.
 *
 * A machine is RAM (an arena of host memory, in banks), a number of vCPUs and a
 * simulated ARMv8 MMU with a TLB per vCPU. Several machines may live in one
 * process. A host thread becomes a vCPU by host_attach; everything in the
 * kernel's contracts (cpu.h, mmu.h, machine.h, uaccess.h) then acts on that vCPU
 * and its machine. What a program at EL0 would do is done by host_user_*.
 *
 * The MMU is a judge too: it reports what the architecture or the design
 * forbids (enum host_offence), with the history that led to it.
 */
#ifndef HAL_HOST_HOST_H
#define HAL_HOST_HOST_H

#include <setjmp.h>

#include "base/cpu.h"
#include "base/error.h"
#include "base/types.h"
#include "hal/machine.h"

struct host_machine;

/* When a broadcast invalidation reaches the TLBs. */
enum host_tlbi {
	HOST_TLBI_RANDOM = 0, /* by the seed, one or the other */
	HOST_TLBI_NOW,        /* where it is issued */
	HOST_TLBI_LATE,       /* not before the issuer's mmu_dsb_ish */
};

/* An access that the MMU refuses. */
enum host_fault_kind {
	HOST_FAULT_NONE = 0,
	HOST_FAULT_TRANSLATION, /* no valid descriptor */
	HOST_FAULT_ACCESS_FLAG, /* AF is 0 and hardware does not set it */
	HOST_FAULT_PERMISSION,
	HOST_FAULT_ADDRESS,     /* not a user address, or leads outside RAM */
	HOST_FAULT_ALIGNMENT,
};

struct host_fault {
	uint64_t va;        /* the first byte that could not be accessed */
	enum prot access;   /* PROT_R, PROT_W or PROT_X */
	enum host_fault_kind kind;
	uint32_t level;     /* of the walk, 0..3 */
};

/* What the simulator reports. */
enum host_offence {
	HOST_FREED_FRAME,   /* an access reaches a frame that is free */
	HOST_FREED_TABLE,   /* a walk goes through a table in a frame that is free */
	HOST_NO_BREAK,      /* another translation of the same address is still cached (break before make) */
	HOST_ASID_SHARED,   /* one ASID is live for two root tables */
	HOST_INCOHERENT,    /* code is fetched from a frame whose bytes were not made coherent */
	HOST_BAD_TABLE,     /* a descriptor that makes no sense: outside RAM, global in user space, reserved or contradicting bits */
	HOST_STALE,         /* rights were taken away, who did so has gone back to its program, and a TLB still gives them */
	HOST_ALIEN_FRAME,   /* a program reaches a frame that holds a table or is the kernel's, or a walk one that is no table */
	HOST_OFFENCES
};

/* What a frame is, as frame_kind knows it. */
enum host_frame {
	HOST_FRAME_UNKNOWN = 0, /* not judged */
	HOST_FRAME_FREE,
	HOST_FRAME_TABLE,       /* translation tables and what else pmap keeps in frames */
	HOST_FRAME_DATA,        /* a program may be given it */
	HOST_FRAME_KERNEL,      /* nobody but the kernel may reach it */
};

/* What hardware is free to do; answers are in [0, n), 0 is the tame one. */
enum host_whim {
	HOST_WHIM_TLBI,     /* n 2: a broadcast invalidation arrives 0 at once, 1 not before the DSB */
	HOST_WHIM_WALKER,   /* n values that a walker may see: 0 the newest, rising with age */
	HOST_WHIM_PREFETCH, /* 0 nothing; else a speculative walk, on a vCPU, to an address and a depth that the answer picks */
	HOST_WHIM_EVICT,    /* 0 nothing; else an entry goes that the access would have used */
	HOST_WHIM_SPURIOUS, /* n 2: 1: this access faults, though it would be allowed */
	HOST_WHIMS
};

/*
 * What the harness tells the machine; all may be NULL. context is passed back.
 * choose: answers whims in the place of the machine's own seed (config.tlbi, prefetch, break_check then mean nothing).
 * Called under hardware locks too: gives no other vCPU its turn.
 * walked: a walker of that vCPU read value from the descriptor at p (a host address) and goes on by it.
 * barrier: the attached vCPU executes a DSB.
 * stamp, before: with both, the DSB also covers what other vCPUs stored in descriptors before it, in the order that the
 * kernel's synchronization makes: stamp is what the attached vCPU does now, before says whether what vCPU by did
 * at a stamp is before what the attached one does now. Without: what it has read itself.
 * hardware_cas: a walker sets the access flag or the dirty state of the descriptor at p: compare-and-swap, as
 * __atomic_compare_exchange_n.
 * user_access: a program, or a user copy, touches n bytes of a frame at that host address.
 * now: what machine_now() is, for runs that must replay.
 * frame_free: is that frame free (owned by nobody) right now? Called by any
 * vCPU under its TLB lock: takes no lock, makes no user access.
 * frame_kind: more than frame_free, in its place, under the same rules.
 * user_copy_fault: copy_in and friends met a fault; true: mapped now, try again.
 * report: an offence; when it returns, the machine goes on. NULL: panic.
 * panic_info: what else a panic should print.
 */
struct host_ops {
	bool (*frame_free)(void *context, pfn_t f);
	enum host_frame (*frame_kind)(void *context, pfn_t f);
	bool (*user_copy_fault)(void *context, const struct host_fault *fault);
	void (*report)(void *context, enum host_offence what, const char *text);
	void (*panic_info)(void *context);
	unsigned (*choose)(void *context, enum host_whim whim, unsigned n);
	void (*walked)(void *context, uint32_t cpu, const void *p, uint64_t value);
	void (*barrier)(void *context);
	uint64_t (*stamp)(void *context);
	bool (*before)(void *context, uint32_t by, uint64_t stamp);
	bool (*hardware_cas)(void *context, uint64_t *p, uint64_t *expected, uint64_t want);
	void (*user_access)(void *context, const void *bytes, size_t n, bool write);
	uint64_t (*now)(void *context);
	void *context;
};

struct host_bank {
	uint64_t start, bytes; /* page aligned */
};

/* Zero means the default throughout. */
struct host_config {
	uint32_t ncpus;          /* 4 */
	uint64_t ram;            /* bytes in one bank at HOST_RAM_START; 64 MiB; ignored with banks */
	uint32_t banks;          /* rising, disjoint; holes between them are not RAM */
	struct host_bank bank[MACHINE_BANKS];
	bool junk;               /* RAM starts full of junk instead of zeros */
	uint32_t asid_bits;      /* 4, 8 or 16; 8 */
	bool hw_access, hw_dirty, range_tlbi; /* as in struct mmu_features */
	uint64_t seed;           /* of everything random */
	uint32_t tlb_entries;    /* per vCPU; 512, at most HOST_TLB_MAX. Evicts only when full */
	enum host_tlbi tlbi;
	uint32_t prefetch;       /* one TLB miss in so many also fetches a neighbour; 4. UINT32_MAX: never */
	uint32_t break_check;    /* one TLB fill in so many is compared with the other vCPUs' TLBs; 4 */
	/*
	 * Walkers see a store to a descriptor only after its CPU's DSB (or that of a CPU that it is before), or earlier
	 * by HOST_WHIM_WALKER. For machines whose vCPUs are fibers of one thread only.
	 */
	bool late_stores;
	bool no_barrier_all; /* as on a host whose kernel refuses membarrier */
	const char *command_line;
	struct host_ops ops;
};

#define HOST_RAM_START UINT64_C(0x40000000)
#define HOST_TLB_MAX 4096

/* A machine, powered on; ERR_INVAL for a senseless configuration, ERR_NOMEM. Any host thread, attached or not. */
enum error host_machine_create(const struct host_config *config, struct host_machine **machine) MUST_CHECK;

/* Takes it apart. No thread is attached (asserted). */
void host_machine_destroy(struct host_machine *m);

/* Replaces the callbacks. No other vCPU is running. */
void host_set_ops(struct host_machine *m, const struct host_ops *ops);

/* The calling thread becomes / stops being that vCPU. One thread per vCPU at a time (asserted). */
void host_attach(struct host_machine *m, uint32_t cpu);
void host_detach(void);

/* For fibers: the calling thread goes on as that vCPU of m; attached or not is not looked at. m NULL: as none. */
void host_become(struct host_machine *m, uint32_t cpu);

/* The machine of the attached vCPU. */
static inline struct host_machine *host_machine(void) { return host_cpu_self()->machine; }

/* --- what a program at EL0 does, on the attached vCPU, through its TLB --- */

/*
 * n bytes at any address, in order of address, by relaxed atomic words, so that
 * racing programs are no data race of ours. => OK, or ERR_FAULT and *fault;
 * what lies before fault->va was done. Thread context; no lock or section is
 * needed or asserted: the simulated program knows of none.
 */
enum error host_user_read(vaddr_t va, void *to, size_t n, struct host_fault *fault) MUST_CHECK;
enum error host_user_write(vaddr_t va, const void *from, size_t n, struct host_fault *fault) MUST_CHECK;

/* One aligned 64-bit word (else HOST_FAULT_ALIGNMENT), single-copy atomic; add is a relaxed read-modify-write. */
enum error host_user_load64(vaddr_t va, uint64_t *value, struct host_fault *fault) MUST_CHECK;
enum error host_user_store64(vaddr_t va, uint64_t value, struct host_fault *fault) MUST_CHECK;
enum error host_user_add64(vaddr_t va, uint64_t add, uint64_t *before, struct host_fault *fault) MUST_CHECK;

/* Fetches an instruction; *insn may be NULL. */
enum error host_user_exec(vaddr_t va, uint32_t *insn, struct host_fault *fault) MUST_CHECK;

/* DC CVAU and IC IVAU at EL0 on the page of va: what a program does after it wrote code. */
enum error host_user_sync_icache(vaddr_t va, struct host_fault *fault) MUST_CHECK;

/* --- what the kernel does at an address of its window (hal/mmu.h), on the attached vCPU, through its TLB --- */

/*
 * As host_user_load64 and host_user_store64, by the rights of EL1: on the real machine these are the kernel's plain loads and
 * stores. Judged likewise: a frame that is free, or is a table, may not be reached. HOST_FAULT_ADDRESS: not in the window.
 */
enum error host_kernel_load64(vaddr_t va, uint64_t *value, struct host_fault *fault) MUST_CHECK;
enum error host_kernel_store64(vaddr_t va, uint64_t value, struct host_fault *fault) MUST_CHECK;

/* Under this ASID host_tlb_holds and host_walk_holds know what is global: the window's translations. */
#define HOST_GLOBAL (UINT32_C(1) << 16)

/* --- what tests ask and tell --- */

/*
 * The attached vCPU's kernel operation is over: rights that it took away must be gone from all TLBs (HOST_STALE).
 * A program's access (host_user_*, not copy_in and its like) says the same.
 */
void host_returned(void);

/*
 * A frame run of 2^order has just become free: reports every translation or
 * table of it that a vCPU can reach through the TTBR0 it has loaded or the window, and forgets that
 * its bytes were coherent. Attached vCPU. For allocators' hooks in tests;
 * without it the offence is seen only when such an entry is used.
 */
void host_frame_freed(paddr_t frame, uint32_t order);

/* The kernel wrote that frame by other means than machine_zero_frame and machine_copy_frame. */
void host_frame_written(paddr_t frame);

/* Does that vCPU's TLB hold a translation of va / a table entry (level 0..2) above it? */
bool host_tlb_holds(struct host_machine *m, uint32_t cpu, uint32_t asid, vaddr_t va);
bool host_walk_holds(struct host_machine *m, uint32_t cpu, uint32_t asid, vaddr_t va, uint32_t level);

/* Counters; offences: of all kinds when what is HOST_OFFENCES. */
uint64_t host_offences(struct host_machine *m, enum host_offence what);
struct host_stats {
	uint64_t hits, misses, faults, invalidations;
};
struct host_stats host_stats(struct host_machine *m);

/* A random number from the machine's seed. */
uint64_t host_random(struct host_machine *m);

/* --- panics that a test expects --- */

/*
 * While a catch is set on a thread, a panic there fills message and jumps to
 * env with 1 instead of ending the process:
 *   if (!setjmp(c.env)) { host_panic_catch(&c); ...; host_panic_catch(NULL); } else ...c.message...
 * The jump clears the catch and restores the vCPU's record of held locks.
 */
struct host_catch {
	jmp_buf env;
	char message[1024];
	struct cpu_debug debug;
};
void host_panic_catch(struct host_catch *c);

#endif
