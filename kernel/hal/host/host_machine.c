/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/host/host_machine.c: a simulated machine's life, its RAM, its clock.
 *
 * RAM. One stretch of host address space spans all banks, so that physical
 * and host addresses differ by a constant; holes between banks are reserved
 * but not accessible, and an access to one ends the process. RAM does not
 * begin at 0, so that a physical address taken for an offset, a frame number
 * or a pointer shows.
 *
 *   physical   0 ......... ram_start [bank 0]....hole....[bank 1] ram_end
 *   host                   arena     [bank 0]....none....[bank 1]
 *
 * vCPUs. Records of the machine; a host thread attaches to one and is that
 * CPU until it detaches. What waits on a vCPU spins and yields: there is one
 * thread per vCPU and no scheduler above it, unless a program registers
 * sync_ops of its own.
 *
 * Locking. Creation and destruction are the caller's; attached is swapped
 * (acquire, release), so that one thread's use of a vCPU is over before the
 * next one's begins.
 *
 * Barriers. cpu_barrier_all is Linux's membarrier. Where it is refused, cpu_barrier_all_works says so, and what would
 * rely on it goes another way.
 *
 * Failure. host_machine_create undoes everything; nothing else fails.
 */
#include <linux/membarrier.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "hal/host/host_private.h"
#include "sync/waitq.h"

_Thread_local struct host_cpu *host_self;
_Thread_local size_t host_offset = SIZE_MAX;
_Thread_local void (*host_point)(void);
_Thread_local void (*host_relax)(void);
_Thread_local void (*host_barrier_all)(void);
const struct machine_ops *machine_ops;

/* --- waiting --- */

static void *host_current(void) { return host_cpu_self(); }

static enum error host_block(struct wait_flag *woken, bool interruptible)
{
	(void)interruptible; /* no signals here: never ERR_INTR */
	/* acquire: pairs with the release in waitq.c's wake */
	while (!atomic_load_acquire(&woken->set))
		cpu_relax();
	return OK;
}

static void host_wake(void *thread) { (void)thread; /* it looks by itself */ }
static void host_yield(void) { cpu_relax(); }

static const struct sync_ops host_sync_ops = { host_current, host_block, host_wake, host_yield };

/* Before main, so that no thread can see the pointer change; whoever brings a scheduler registers over it. */
static void __attribute__((constructor)) register_sync_ops(void) { sync_ops = &host_sync_ops; }

/* --- barriers of all CPUs --- */

static long membarrier(int command) { return syscall(SYS_membarrier, command, 0, 0); }

/* Of this process; doing it twice does no harm. */
static bool barrier_all_register(void) { return membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0; }

bool cpu_barrier_all_works(void) { return host_machine()->barrier_all; }

/* vCPUs are threads of this process: who runs is interrupted, and who does not run has had its barrier by being switched. */
void cpu_barrier_all(void)
{
	const struct host_machine *m = host_machine();

	if (m && !m->barrier_all) /* litmus tests have vCPUs without a machine */
		return;
	if (host_barrier_all)
		host_barrier_all();
	else
		ASSERT(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0); /* registered: cannot fail */
}

/* --- birth --- */

static uint64_t host_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static bool config_complete(struct host_config *c)
{
	uint64_t end = 0;

	if (!c->ncpus)
		c->ncpus = 4;
	if (!c->banks) {
		c->banks = 1;
		c->bank[0] = (struct host_bank){ HOST_RAM_START, c->ram ? c->ram : UINT64_C(64) << 20 };
	}
	if (!c->asid_bits)
		c->asid_bits = 8;
	if (!c->tlb_entries)
		c->tlb_entries = 512;
	if (!c->prefetch)
		c->prefetch = 4;
	if (!c->break_check)
		c->break_check = 4;
	if (c->ncpus > CPU_MAX || c->banks > MACHINE_BANKS || c->tlb_entries > HOST_TLB_MAX ||
	    c->tlbi > HOST_TLBI_LATE || (c->late_stores && c->ncpus > 64) || (c->asid_bits != 4 && c->asid_bits != 8 && c->asid_bits != 16))
		return false;
	for (uint32_t i = 0; i < c->banks; i++) {
		const struct host_bank *b = &c->bank[i];

		if (!b->start || !b->bytes || (b->start | b->bytes) & PAGE_MASK || b->start < end ||
		    b->start + b->bytes < b->start || b->start + b->bytes > HD_ADDR_MASK)
			return false;
		end = b->start + b->bytes;
	}
	return true;
}

static void fill_junk(struct host_machine *m, const struct host_bank *b)
{
	uint64_t junk[PAGE_SIZE / 8];

	for (unsigned i = 0; i < ARRAY_SIZE(junk); i++)
		junk[i] = host_mix(m->config.seed + b->start + i) | 1;
	for (uint64_t at = 0; at < b->bytes; at += PAGE_SIZE)
		memcpy(host_bytes(m, b->start + at), junk, PAGE_SIZE);
}

static enum error ram_create(struct host_machine *m)
{
	const struct host_config *c = &m->config;
	uintptr_t base;

	m->ram_start = c->bank[0].start;
	m->ram_end = c->bank[c->banks - 1].start + c->bank[c->banks - 1].bytes;
	/* 2 MiB aligned as RAM itself, so that blocks are blocks on both sides */
	m->map_bytes = m->ram_end - m->ram_start + 2 * BLOCK_SIZE;
	m->map = mmap(NULL, m->map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m->map == MAP_FAILED) {
		m->map = NULL;
		return ERR_NOMEM;
	}
	base = round_up((uintptr_t)m->map, BLOCK_SIZE) + (m->ram_start & (BLOCK_SIZE - 1));
	m->arena = (char *)base;
	for (uint32_t i = 0; i < c->banks; i++) {
		if (mprotect(host_bytes(m, c->bank[i].start), c->bank[i].bytes, PROT_READ | PROT_WRITE))
			return ERR_NOMEM;
		if (c->junk)
			fill_junk(m, &c->bank[i]);
		m->info.bank[i].start = paddr(c->bank[i].start);
		m->info.bank[i].end = paddr(c->bank[i].start + c->bank[i].bytes);
	}
	m->info.banks = c->banks;
	m->coherent = calloc((m->ram_end - m->ram_start) >> PAGE_SHIFT, 1);
	if (!m->coherent)
		return ERR_NOMEM;
	/* As large as RAM, and as little of it in use as there are tables. */
	m->restricted = mmap(NULL, m->ram_end - m->ram_start, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m->restricted == MAP_FAILED) {
		m->restricted = NULL;
		return ERR_NOMEM;
	}
	return c->late_stores ? late_init(m) : OK;
}

static enum error vcpus_create(struct host_machine *m)
{
	uint32_t n = m->config.ncpus;

	m->vcpu = aligned_alloc(CACHE_LINE, n * sizeof *m->vcpu);
	if (!m->vcpu)
		return ERR_NOMEM;
	memset(m->vcpu, 0, n * sizeof *m->vcpu);
	m->info.ncpus = n;
	for (uint32_t i = 0; i < n; i++) {
		struct host_vcpu *v = &m->vcpu[i];

		v->cpu = (struct host_cpu){ .machine = m, .id = i, .ram_start = m->ram_start, .ram_end = m->ram_end,
					    .arena = m->arena };
		v->random = host_mix(m->config.seed + 2 * i);
		v->lazy = host_mix(m->config.seed + 2 * i + 1);
		pthread_mutex_init(&v->tlb_lock, NULL);
		if (tlb_init(&v->tlb, m->config.tlb_entries) || tlb_init(&v->walks, m->config.tlb_entries))
			return ERR_NOMEM;
	}
	return OK;
}

static void release(struct host_machine *m)
{
	for (uint32_t i = 0; m->vcpu && i < m->config.ncpus; i++) {
		ASSERT(!__atomic_load_n(&m->vcpu[i].attached, __ATOMIC_ACQUIRE));
		pthread_mutex_destroy(&m->vcpu[i].tlb_lock);
		tlb_destroy(&m->vcpu[i].tlb);
		tlb_destroy(&m->vcpu[i].walks);
	}
	free(m->vcpu);
	free(m->coherent);
	late_destroy(m);
	if (m->restricted)
		munmap(m->restricted, m->ram_end - m->ram_start);
	if (m->map)
		munmap(m->map, m->map_bytes);
	free(m);
}

enum error host_machine_create(const struct host_config *config, struct host_machine **machine)
{
	struct host_machine *m = calloc(1, sizeof *m);
	enum error e;

	if (!m)
		return ERR_NOMEM;
	m->config = *config;
	if (!config_complete(&m->config)) {
		free(m);
		return ERR_INVAL;
	}
	m->features = (struct mmu_features){ .asid_bits = m->config.asid_bits, .hw_access = m->config.hw_access,
					     .hw_dirty = m->config.hw_dirty, .range_tlbi = m->config.range_tlbi };
	if (m->config.command_line)
		strncpy(m->info.command_line, m->config.command_line, sizeof m->info.command_line - 1);
	m->config.command_line = m->info.command_line;
	m->boot = host_clock();
	m->barrier_all = !m->config.no_barrier_all && barrier_all_register();
	e = ram_create(m);
	if (!e)
		e = vcpus_create(m);
	if (e) {
		release(m);
		return e;
	}
	*machine = m;
	return OK;
}

void host_machine_destroy(struct host_machine *m) { release(m); }
void host_set_ops(struct host_machine *m, const struct host_ops *ops) { m->config.ops = *ops; }

static void HOST_UNSEEN become(struct host_cpu *c)
{
	host_self = c;
	host_offset = c ? (size_t)c->id << CPU_STRIDE_SHIFT : SIZE_MAX;
}

void host_attach(struct host_machine *m, uint32_t cpu)
{
	ASSERT(!host_self);
	ASSERT(cpu < m->config.ncpus);
	/* acquire: pairs with host_detach of the thread that was this vCPU before */
	if (__atomic_exchange_n(&m->vcpu[cpu].attached, true, __ATOMIC_ACQUIRE))
		panic("CPU %u has a thread already", cpu);
	become(&m->vcpu[cpu].cpu);
}

void host_detach(void)
{
	struct host_vcpu *v = host_vcpu_self();

	become(NULL);
	/* release: pairs with the next host_attach */
	__atomic_store_n(&v->attached, false, __ATOMIC_RELEASE);
}

void HOST_UNSEEN host_become(struct host_machine *m, uint32_t cpu)
{
	ASSERT(!m || cpu < m->config.ncpus);
	become(m ? &m->vcpu[cpu].cpu : NULL);
}

bool host_is_ram(const struct host_machine *m, uint64_t pa, uint64_t bytes)
{
	for (uint32_t i = 0; i < m->info.banks; i++)
		if (pa >= m->info.bank[i].start.pa && pa < m->info.bank[i].end.pa)
			return bytes <= m->info.bank[i].end.pa - pa;
	return false;
}

/* --- machine.h --- */

const struct machine_info *machine_info(void) { return &host_machine()->info; }
const struct mmu_features *mmu_features(void) { return &host_machine()->features; }

uint64_t machine_now(void)
{
	const struct host_machine *m = host_machine();

	return m->config.ops.now ? m->config.ops.now(m->config.ops.context) : host_clock() - m->boot;
}

bool machine_option(const char *key, char *value, size_t size)
{
	const char *p = machine_info()->command_line;
	size_t length = strlen(key);

	while (*p) {
		size_t word = strcspn(p, " ");

		if (word >= length && !strncmp(p, key, length) && (word == length || p[length] == '=')) {
			size_t from = word == length ? length : length + 1, n = word - from;

			if (size) {
				n = n < size - 1 ? n : size - 1;
				memcpy(value, p + from, n);
				value[n] = 0;
			}
			return true;
		}
		p += word;
		p += strspn(p, " ");
	}
	return false;
}

uint64_t host_random(struct host_machine *m)
{
	/* relaxed: only the number matters, and no two callers get the same */
	uint64_t n = __atomic_add_fetch(&m->randoms, 1, __ATOMIC_RELAXED);

	return host_mix(m->config.seed ^ n * UINT64_C(0x9e3779b97f4a7c15));
}

void machine_random(void *bytes, size_t n)
{
	for (unsigned char *p = bytes; n > 0;) {
		uint64_t r = host_random(host_machine());
		size_t part = n < sizeof r ? n : sizeof r;

		memcpy(p, &r, part);
		p += part;
		n -= part;
	}
}

void host_frame_written(paddr_t frame)
{
	/* relaxed: a judge's note; program order and the frame's own publication carry it */
	__atomic_store_n(host_coherent(host_machine(), frame.pa), 0, __ATOMIC_RELAXED);
	if (host_machine()->late)
		late_forget(host_machine(), frame.pa);
}
