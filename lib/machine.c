/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lib/machine.c: a machine's life, and which thread is which CPU.
 *
 * Structure. The machine's memory is a stretch of address space that the host
 * fills as it is touched; physical addresses are host addresses, so a frame's
 * number is its address / 4096 and no call converts anything. The kernel's own
 * structures stand beside it, in struct strata_machine.
 *
 * A thread's CPU is a record of its own, library_self. That of a thread which is none
 * equals no machine, so that the usual way of every call asks one question: is this my machine?
 *
 * Locking. attached of a CPU is swapped, acquire, and given up, release: what one
 * thread did as that CPU is before what the next one does. A machine that is being
 * destroyed takes all its CPUs first, so that nobody attaches himself meanwhile;
 * after that it belongs to the caller.
 *
 * Failure. strata_create undoes everything.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bits.h"
#include "hal/library/library.h"
#include "hal/machine.h"
#include "private.h"

#define MEMORY_MIN (2 * BLOCK_SIZE)
#define MEMORY_MAX (UINT64_C(1) << 44) /* frames are counted in 32 bits */

const char *strata_error_text(enum strata_error error)
{
	static const char *const text[] = {
		[STRATA_OK] = "ok",
		[STRATA_NOMEM] = "no memory",
		[STRATA_INVAL] = "invalid argument",
		[STRATA_BUSY] = "in use",
		[STRATA_UNATTACHED] = "this thread is attached to no CPU of that machine",
		[STRATA_CORRUPT] = "structures contradict each other",
	};

	return (unsigned)error < ARRAY_SIZE(text) ? text[error] : "unknown error";
}

void library_panic(const char *text)
{
	const struct strata_machine *m = library_self.machine;

	if (library_self.cpu && m->config.panic)
		m->config.panic(m->config.context, text);
	else
		fprintf(stderr, "strata: %s\n", text);
}

/* --- birth and death --- */

static void unmake(struct strata_machine *m)
{
	if (m->map)
		munmap(m->map, m->mapped);
	free(m);
}

/* The memory, and nothing in it. */
static enum strata_error reserve(struct strata_machine *m)
{
	/* 2 MiB aligned, so that blocks are blocks of the host's memory too */
	m->mapped = m->bytes + BLOCK_SIZE;
	m->map = mmap(NULL, m->mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m->map == MAP_FAILED) {
		m->map = NULL;
		return STRATA_NOMEM;
	}
	m->start = round_up((uintptr_t)m->map, BLOCK_SIZE);
	/* A kernel reaches its memory by blocks. If the host has none to spare, pages will do. */
	(void)madvise((void *)m->start, m->bytes, MADV_HUGEPAGE);
	return STRATA_OK;
}

/* Bottom up; the calling thread is CPU 0. */
static enum strata_error boot(struct strata_machine *m)
{
	struct machine_info *info = calloc(1, sizeof *info);
	enum error e;

	if (!info)
		return STRATA_NOMEM;
	info->ncpus = m->config.cpus;
	info->banks = 1;
	info->bank[0] = (struct machine_range){paddr(m->start), paddr(m->start + m->bytes)};
	epoch_init(&m->epoch, m->config.cpus);
	e = frames_init(&m->frames, info, m->config.cpus, &m->epoch);
	free(info);
	if (e != OK)
		return STRATA_NOMEM;
	zones_init(&m->zones, &m->frames);
	return (enum strata_error)kmalloc_init(&m->kmalloc, &m->zones);
}

enum strata_error strata_create(const struct strata_config *config, struct strata_machine **machine)
{
	struct library_self before = library_self;
	bool barrier_all = library_barrier_all_register();
	struct strata_machine *m;
	enum strata_error e;

	if (!config || !machine || config->cpus < 1 || config->cpus > STRATA_CPUS_MAX || config->memory < MEMORY_MIN ||
	    config->memory > MEMORY_MAX)
		return STRATA_INVAL;
	m = aligned_alloc(CACHE_LINE, round_up(sizeof *m, CACHE_LINE));
	if (!m)
		return STRATA_NOMEM;
	memset(m, 0, sizeof *m);
	m->config = *config;
	m->bytes = round_up(config->memory, BLOCK_SIZE);
	for (uint32_t i = 0; i < STRATA_CPUS_MAX; i++)
		m->cpu[i].self = (struct library_self){.machine = m, .zones = &m->zones, .cpu = &m->cpu[i], .id = i,
						       .offset = (size_t)i << CPU_STRIDE_SHIFT,
						       .barrier_all = barrier_all};
	e = reserve(m);
	if (e == STRATA_OK) {
		library_self = m->cpu[0].self;
		e = boot(m);
		library_self = before;
	}
	if (e != STRATA_OK) {
		unmake(m);
		return e;
	}
	*machine = m;
	return STRATA_OK;
}

/* --- threads --- */

/* True: the caller has the CPU. */
static bool take(struct library_cpu *c)
{
	/* acquire: pairs with give of the thread that had it before */
	return !__atomic_exchange_n(&c->attached, 1, __ATOMIC_ACQUIRE);
}

static void give(struct library_cpu *c) { __atomic_store_n(&c->attached, 0, __ATOMIC_RELEASE); /* pairs with take */ }

enum strata_error strata_destroy(struct strata_machine *m)
{
	if (!m)
		return STRATA_OK;
	for (uint32_t i = 0; i < m->config.cpus; i++) {
		if (take(&m->cpu[i]))
			continue;
		while (i > 0)
			give(&m->cpu[--i]);
		return STRATA_BUSY;
	}
	unmake(m);
	return STRATA_OK;
}

enum strata_error strata_attach(struct strata_machine *m, unsigned cpu)
{
	if (!m || cpu >= m->config.cpus)
		return STRATA_INVAL;
	if (library_self.cpu || !take(&m->cpu[cpu]))
		return STRATA_BUSY;
	library_self = m->cpu[cpu].self;
	return STRATA_OK;
}

enum strata_error strata_attach_any(struct strata_machine *m, unsigned *cpu)
{
	if (!m)
		return STRATA_INVAL;
	for (uint32_t i = 0; i < m->config.cpus; i++)
		if (strata_attach(m, i) == STRATA_OK) {
			if (cpu)
				*cpu = i;
			return STRATA_OK;
		}
	return STRATA_BUSY;
}

enum strata_error strata_detach(void)
{
	struct library_cpu *c = library_self.cpu;

	if (!c)
		return STRATA_UNATTACHED;
	library_self = library_nobody;
	give(c);
	return STRATA_OK;
}

int strata_cpu(const struct strata_machine *m) { return m && attached_to(m) ? (int)cpu_id() : -1; }
