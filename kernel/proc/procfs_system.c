/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/procfs_system.c: the files of /proc itself. Those that Linux has are in
 * its format; frames, zones and counters are our own. What is not counted here is
 * left out rather than shown as zero, except where programs ask for the line.
 */
#include <string.h>

#include "hal/machine.h"
#include "proc/fail_nth.h"
#include "proc/procfs.h"
#include "proc/sched.h"
#include "proc/sysrq.h"
#include "vm/counters.h"
#include "vm/init.h"
#include "vm/kmalloc.h"
#include "vm/vm_stat.h"

typedef unsigned long long ull;

#define KIB(pages) ((ull)(pages) * (PAGE_SIZE / 1024))
#define TICKS(ns) ((ull)((ns) / (1000000000u / CLK_TCK)))

/* Bytes of regular files that are in memory, in pages. */
static uint64_t cached_pages(struct fs *fs)
{
	uint64_t pages = 0;

	mutex_lock(&fs->lock);
	for (unsigned i = 0; i < FS_VNODE_BUCKETS; i++)
		LIST_FOR(it, &fs->vnodes[i])
	/* relaxed: a figure */
	pages += atomic_load_relaxed(&CONTAINER_OF(it, struct vnode, all)->object->pages);
	mutex_unlock(&fs->lock);
	return pages;
}

static void add_frames(struct zone *z, void *arg)
{
	struct zone_stats s;

	zone_stats(z, &s);
	*(uint64_t *)arg += s.frames;
}

static void show_meminfo(struct text *t, struct proc_system *ps, struct process *p)
{
	struct vm *vm = ps->vm;
	uint64_t available = frames_available(&vm->frames), slab = 0;
	struct zone_stats anon;

	(void)p;
	zone_stats(vm->anon_zone, &anon);
	zones_for_each(&vm->zones, add_frames, &slab);
	text_printf(t, "MemTotal:       %8llu kB\n", KIB(vm->frames.ram));
	text_printf(t, "MemFree:        %8llu kB\n", KIB(available));
	text_printf(t, "MemAvailable:   %8llu kB\n", KIB(available));
	text_printf(t, "Buffers:        %8u kB\n", 0u);
	text_printf(t, "Cached:         %8llu kB\n", KIB(cached_pages(ps->fs)));
	text_printf(t, "SwapCached:     %8u kB\n", 0u);
	text_printf(t, "SwapTotal:      %8u kB\n", 0u);
	text_printf(t, "SwapFree:       %8u kB\n", 0u);
	text_printf(t, "AnonPages:      %8llu kB\n", KIB(anon.in_use));
	text_printf(t, "Slab:           %8llu kB\n", KIB(slab));
	text_printf(t, "SUnreclaim:     %8llu kB\n", KIB(slab));
}

static void show_frames(struct text *t, struct proc_system *ps, struct process *p)
{
	struct frame_stats *s = kmalloc(&ps->vm->kmalloc, sizeof *s);

	(void)p;
	if (!s) {
		t->failed = true;
		return;
	}
	vm_drain(ps->vm);
	frame_stats(&ps->vm->frames, s);
	text_printf(t, "# owner frames\n");
	for (unsigned i = 0; i < FRAME_OWNER_COUNT; i++)
		text_printf(t, "%s %llu\n", frame_owner_name((enum frame_owner)i), (ull)s->owned[i]);
	text_printf(t, "# order: free blocks of 2^order frames, as large as they go\n");
	for (unsigned i = 0; i <= FRAME_ORDER_MAX; i++)
		text_printf(t, "order %u %llu\n", i, (ull)s->free_blocks[i]);
	kfree(&ps->vm->kmalloc, s);
}

static void show_zone(struct zone *z, void *arg)
{
	struct zone_stats s;

	zone_stats(z, &s);
	text_printf(arg, "%s %llu %llu %llu %llu %llu %llu %llu\n", s.name, (ull)s.size, (ull)s.in_use, (ull)s.cached,
		    (ull)s.slabs, (ull)s.frames, (ull)s.waste, (ull)s.failures);
}

/* Objects, slabs, frames by count; size and waste in bytes. */
static void show_zones(struct text *t, struct proc_system *ps, struct process *p)
{
	(void)p;
	text_reserve(t, 16384); /* under the list's lock is no moment to grow */
	text_printf(t, "# zone size in_use cached slabs frames waste failures\n");
	zones_for_each(&ps->vm->zones, show_zone, t);
}

static void show_kva(struct text *t, struct proc_system *ps, struct process *p)
{
	struct kmem_stats s;

	(void)p;
	kmem_stats(&ps->vm->kmem, &s);
	text_printf(t, "# kernel map, in pages; ranges, calls\n");
	text_printf(t, "pages %llu\nused %llu\ncached %llu\nlargest_free %llu\nmapped %llu\ntables %llu\n",
		    (ull)s.kva.pages, (ull)s.kva.used, (ull)s.kva.cached, (ull)s.kva.largest, (ull)s.pages, (ull)s.tables);
	text_printf(t, "pooled %llu\nsegments %llu\nhits %llu\nallocs %llu\nfailures %llu\nwaits %llu\n",
		    (ull)s.pooled, (ull)s.kva.segments, (ull)s.kva.hits, (ull)s.kva.allocs, (ull)s.kva.failures,
		    (ull)s.kva.waits);
}

static void show_counters(struct text *t, struct proc_system *ps, struct process *p)
{
	(void)p;
	text_printf(t, "# counter value unit: meaning\n");
	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		text_printf(t, "%s %llu %s: %s\n", counter_name((enum counter)i),
			    (ull)counter_read(&ps->vm->counters, (enum counter)i), counter_unit((enum counter)i),
			    counter_meaning((enum counter)i));
}

static void show_cpuinfo(struct text *t, struct proc_system *ps, struct process *p)
{
	(void)p;
	for (uint32_t cpu = 0; cpu < ps->ncpus; cpu++)
		text_printf(t,
			    "processor\t: %u\nBogoMIPS\t: 125.00\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\n"
			    "CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0x000\nCPU revision\t: 0\n\n",
			    cpu);
}

static void cpu_line(struct text *t, const char *name, uint64_t busy, uint64_t idle)
{
	text_printf(t, "%s %llu 0 0 %llu 0 0 0 0 0 0\n", name, TICKS(busy), TICKS(idle));
}

static void show_stat(struct text *t, struct proc_system *ps, struct process *p)
{
	uint64_t now = machine_now(), idle = 0, switches = 0, runnable = 0;
	struct sched_stats s;
	char name[16];

	(void)p;
	for (uint32_t cpu = 0; cpu < ps->ncpus; cpu++) {
		sched_stats(ps, cpu, &s);
		idle += s.idle_ns < now ? s.idle_ns : now;
		switches += s.switches;
		runnable += s.runnable;
	}
	cpu_line(t, "cpu ", now * ps->ncpus - idle, idle);
	for (uint32_t cpu = 0; cpu < ps->ncpus; cpu++) {
		struct text number;

		sched_stats(ps, cpu, &s);
		text_init_fixed(&number, name, sizeof name);
		text_printf(&number, "cpu%u", cpu);
		cpu_line(t, name, s.idle_ns < now ? now - s.idle_ns : 0, s.idle_ns);
	}
	text_printf(t, "intr 0\nctxt %llu\nbtime %llu\nprocesses %u\nprocs_running %llu\nprocs_blocked 0\n",
		    (ull)switches, (ull)(ps->fs->epoch_ns / 1000000000u), ps->last_id, (ull)runnable);
}

static void show_uptime(struct text *t, struct proc_system *ps, struct process *p)
{
	uint64_t now = machine_now(), idle = 0;

	(void)p;
	for (uint32_t cpu = 0; cpu < ps->ncpus; cpu++) {
		struct sched_stats s;

		sched_stats(ps, cpu, &s);
		idle += s.idle_ns;
	}
	text_printf(t, "%llu.%02llu %llu.%02llu\n", TICKS(now) / CLK_TCK, TICKS(now) % CLK_TCK, TICKS(idle) / CLK_TCK,
		    TICKS(idle) % CLK_TCK);
}

/* Averages are not kept; how many run and are is told. */
static void show_loadavg(struct text *t, struct proc_system *ps, struct process *p)
{
	uint64_t runnable = 0;

	(void)p;
	for (uint32_t cpu = 0; cpu < ps->ncpus; cpu++) {
		struct sched_stats s;

		sched_stats(ps, cpu, &s);
		runnable += s.runnable;
	}
	/* relaxed: a figure */
	text_printf(t, "0.00 0.00 0.00 %llu/%u %u\n", (ull)runnable, atomic_load_relaxed(&ps->nthreads), ps->last_id);
}

static void show_mounts(struct text *t, struct proc_system *ps, struct process *p)
{
	(void)ps, (void)p;
	text_printf(t, "tmpfs / tmpfs rw 0 0\nproc /proc proc rw 0 0\n");
}

static void show_filesystems(struct text *t, struct proc_system *ps, struct process *p)
{
	(void)ps, (void)p;
	text_printf(t, "nodev\ttmpfs\nnodev\tproc\n");
}

static void show_fail_sites(struct text *t, struct proc_system *ps, struct process *p)
{
	(void)p;
	fail_nth_show_sites(t, ps);
}

static void show_version(struct text *t, struct proc_system *ps, struct process *p)
{
	(void)ps, (void)p;
	text_printf(t, "Linux version 6.1.0-strata (strata) #1 SMP Strata\n");
}

static void show_cmdline(struct text *t, struct proc_system *ps, struct process *p)
{
	(void)ps, (void)p;
	text_printf(t, "%s\n", machine_info()->command_line);
}

const struct procfs_file procfs_system_files[] = {
	{"cmdline", show_cmdline, NULL},
	{"counters", show_counters, NULL},
	{"cpuinfo", show_cpuinfo, NULL},
	{"fail-sites", show_fail_sites, NULL},
	{"filesystems", show_filesystems, NULL},
	{"frames", show_frames, NULL},
	{"kva", show_kva, NULL},
	{"loadavg", show_loadavg, NULL},
	{"meminfo", show_meminfo, NULL},
	{"mounts", show_mounts, NULL},
	{"stat", show_stat, NULL},
	{"sysrq-trigger", NULL, &sysrq_vnode_ops},
	{"uptime", show_uptime, NULL},
	{"version", show_version, NULL},
	{"zones", show_zones, NULL},
	{NULL, NULL, NULL},
};
