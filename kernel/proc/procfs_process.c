/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/procfs_process.c: the files of /proc/<pid>, in Linux's format.
 *
 * The address space is shown entry by entry as vm_map_lookup finds them, without
 * stopping anybody: entries that change meanwhile are shown as they were or as
 * they are. Entries that lie side by side and are the same mapping are shown as
 * one, however the map has cut them.
 *
 * Another program's memory (cmdline, environ) is read by running in its address
 * space for the length of one copy; the map is referenced meanwhile.
 */
#include <string.h>

#include "hal/uaccess.h"
#include "proc/fail_nth.h"
#include "proc/procfs.h"
#include "proc/sched.h"
#include "proc/thread.h"
#include "vm/kmalloc.h"
#include "vm/map.h"

typedef unsigned long long ull;

#define TICKS(ns) ((ull)((ns) / (1000000000u / CLK_TCK)))
#define MAPS_NAME_COLUMN 73

/* --- maps --- */

static bool same_mapping(const struct vm_entry_info *a, const struct vm_entry_info *b)
{
	return a->range.end.va == b->range.start.va && a->prot == b->prot && a->shared == b->shared &&
	       a->object == b->object && a->name == b->name && a->grows_down == b->grows_down &&
	       (!a->object || a->offset + vrange_size(a->range) == b->offset);
}

/* The next mapping at or above *va; *va: behind it. */
static bool next_mapping(struct vm_map *m, uint64_t *va, struct vm_entry_info *info)
{
	struct vm_entry_info more;

	if (!vm_map_lookup(m, *va, info))
		return false;
	/* Merged with what was shown already: its rest. */
	if (info->range.start.va < *va) {
		info->offset += *va - info->range.start.va;
		info->range.start.va = *va;
	}
	while (vm_map_lookup(m, info->range.end.va, &more) && same_mapping(info, &more))
		info->range.end = more.range.end;
	*va = info->range.end.va;
	return true;
}

/* What stands behind the numbers, into buffer; false: nothing. */
static bool mapping_name(struct fs *fs, const struct vm_map *m, const struct vm_entry_info *info, char *buffer,
			 size_t size)
{
	struct text t;
	struct vnode *v;

	text_init_fixed(&t, buffer, size);
	if (info->name) {
		text_printf(&t, "%s", info->name);
		return true;
	}
	if (info->object) {
		v = fs_by_ino(fs, info->oid.id);
		if (!v || vnode_path(v, buffer, size) < 0)
			text_printf(&t, "(deleted)");
		else if (!v->where)
			strncat(buffer, " (deleted)", size - strlen(buffer) - 1); /* memfd */
		vnode_release(v);
		return true;
	}
	if (info->range.start.va < m->brk_end && info->range.end.va > m->brk_start) {
		text_printf(&t, "[heap]");
		return true;
	}
	return false;
}

static void show_mapping(struct text *t, struct fs *fs, const struct vm_map *m, const struct vm_entry_info *info,
			 char *name)
{
	size_t start = t->length;

	text_printf(t, "%08llx-%08llx %c%c%c%c %08llx 00:%02x %llu ", (ull)info->range.start.va,
		    (ull)info->range.end.va, info->prot & PROT_R ? 'r' : '-', info->prot & PROT_W ? 'w' : '-',
		    info->prot & PROT_X ? 'x' : '-', info->shared ? 's' : 'p', info->object ? (ull)info->offset : 0,
		    info->oid.id ? 1 : 0, info->object ? (ull)info->oid.id : 0);
	if (mapping_name(fs, m, info, name, PATH_BYTES)) {
		while (!t->failed && t->length - start < MAPS_NAME_COLUMN)
			text_bytes(t, " ", 1);
		text_bytes(t, name, strlen(name));
	}
	text_bytes(t, "\n", 1);
}

static void show_maps(struct text *t, struct proc_system *ps, struct process *p)
{
	struct vm_map *m = process_map(p);
	char *name = kmalloc(&ps->vm->kmalloc, PATH_BYTES);
	struct vm_entry_info info;
	uint64_t va = 0;

	if (!name)
		t->failed = true;
	while (m && name && next_mapping(m, &va, &info)) {
		show_mapping(t, ps->fs, m, &info, name);
		sched_point();
	}
	kfree(&ps->vm->kmalloc, name);
	if (m)
		vm_map_release(m);
}

/* --- figures --- */

struct sizes {
	uint64_t total, resident, stack, text, data; /* pages */
};

static struct sizes sizes_of(struct process *p)
{
	struct sizes s = {0, 0, 0, 0, 0};
	struct vm_map *m = process_map(p);
	struct vm_entry_info info;

	if (!m)
		return s;
	for (uint64_t va = 0; next_mapping(m, &va, &info);) {
		uint64_t pages = vrange_size(info.range) >> PAGE_SHIFT;

		s.total += pages;
		if (info.grows_down)
			s.stack += pages;
		else if (info.prot & PROT_X)
			s.text += pages;
		else if (!info.shared && (info.prot & PROT_W))
			s.data += pages;
	}
	s.resident = vm_map_resident_pages(m);
	vm_map_release(m);
	return s;
}

/* What is guarded by the process table's lock. */
struct family {
	uint32_t ppid, pgid, sid;
	char name[16];
};

static struct family family_of(struct process *p)
{
	struct family f;

	f.ppid = process_parent_pid(p);
	spin_lock(&p->ps->lock, RANK_PROC_TABLE);
	f.pgid = p->pgid;
	f.sid = p->sid;
	memcpy(f.name, p->name, sizeof f.name);
	spin_unlock(&p->ps->lock);
	f.name[sizeof f.name - 1] = '\0';
	return f;
}

static const char *state_word(char letter)
{
	switch (letter) {
	case 'R':
		return "R (running)";
	case 'T':
		return "T (stopped)";
	case 'Z':
		return "Z (zombie)";
	default:
		return "S (sleeping)";
	}
}

/* The signals that are ignored and those that have a handler. */
static void handled(struct process *p, uint64_t *ignored, uint64_t *caught)
{
	*ignored = *caught = 0;
	spin_lock(&p->lock, RANK_PROC);
	for (unsigned i = 0; i < NSIG; i++) {
		if (p->actions[i].handler == SIG_IGN)
			*ignored |= UINT64_C(1) << i;
		else if (p->actions[i].handler != SIG_DFL)
			*caught |= UINT64_C(1) << i;
	}
	spin_unlock(&p->lock);
}

static void show_status(struct text *t, struct proc_system *ps, struct process *p)
{
	struct family f = family_of(p);
	struct sizes s = sizes_of(p);
	uint64_t ignored, caught;

	handled(p, &ignored, &caught);
	text_printf(t, "Name:\t%s\nUmask:\t%04o\nState:\t%s\nTgid:\t%u\nNgid:\t0\nPid:\t%u\nPPid:\t%u\nTracerPid:\t0\n",
		    f.name, p->umask, state_word(process_state_letter(p)), p->pid, p->pid, f.ppid);
	text_printf(t, "Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nFDSize:\t%u\nGroups:\t\n", 64u);
	if (s.total) {
		const struct {
			const char *name;
			uint64_t pages;
		} lines[] = {
			{"VmSize", s.total}, {"VmRSS", s.resident}, {"VmData", s.data},
			{"VmStk", s.stack},  {"VmExe", s.text},
		};

		for (unsigned i = 0; i < ARRAY_SIZE(lines); i++)
			text_printf(t, "%s:\t%8llu kB\n", lines[i].name, (ull)lines[i].pages * (PAGE_SIZE / 1024));
	}
	text_printf(t, "Threads:\t%u\nSigIgn:\t%016llx\nSigCgt:\t%016llx\n", process_thread_count(p), (ull)ignored,
		    (ull)caught);
	text_printf(t, "Cpus_allowed_list:\t0-%u\n", ps->ncpus - 1);
}

/* Fields that are not known here are 0, as Linux shows them to those who may not see them. */
static void show_stat(struct text *t, struct proc_system *ps, struct process *p)
{
	struct family f = family_of(p);
	struct sizes s = sizes_of(p);
	struct usage self, children;
	struct vm_map *m = process_map(p);

	process_usage(p, &self, &children);
	text_printf(t, "%u (%s) %c %u %u %u 1024 %u 0 ", p->pid, f.name, process_state_letter(p), f.ppid, f.pgid, f.sid,
		    f.pgid);
	text_printf(t, "%llu %llu 0 0 %llu 0 %llu 0 20 0 %u 0 %llu ", (ull)self.faults, (ull)children.faults,
		    TICKS(self.run_ns), TICKS(children.run_ns), process_thread_count(p), TICKS(p->start_ns));
	text_printf(t, "%llu %llu %llu 0 0 0 0 0 ", (ull)s.total << PAGE_SHIFT, (ull)s.resident, ~0ull);
	text_printf(t, "0 0 0 0 0 0 0 17 %u 0 0 0 0 0 ", 0u); /* signal .. guest time */
	text_printf(t, "0 0 %llu %llu %llu %llu %llu 0\n", m ? (ull)m->brk_start : 0, (ull)p->arg_start,
		    (ull)p->arg_end, (ull)p->env_start, (ull)p->env_end);
	if (m)
		vm_map_release(m);
	(void)ps;
}

static void show_statm(struct text *t, struct proc_system *ps, struct process *p)
{
	struct sizes s = sizes_of(p);

	(void)ps;
	text_printf(t, "%llu %llu 0 %llu 0 %llu 0\n", (ull)s.total, (ull)s.resident, (ull)s.text,
		    (ull)(s.data + s.stack));
}

static void show_comm(struct text *t, struct proc_system *ps, struct process *p)
{
	(void)ps;
	text_printf(t, "%s\n", family_of(p).name);
}

/* --- strings in the program's memory --- */

#define STRINGS_MAX (UINT64_C(1) << 20)

static void show_memory(struct text *t, struct process *p, uint64_t start, uint64_t end)
{
	struct thread *self = thread_current();
	struct vm_map *own = self->map, *m = process_map(p);
	char piece[512];

	if (!m)
		return;
	if (end > start && end - start > STRINGS_MAX)
		end = start + STRINGS_MAX;
	while (start < end) {
		size_t n = end - start < sizeof piece ? (size_t)(end - start) : sizeof piece;
		enum error e;

		sched_use_map(m);
		e = copy_in(piece, vaddr(start), n);
		sched_use_map(own);
		if (e != OK)
			break;
		text_bytes(t, piece, n);
		start += n;
	}
	vm_map_release(m);
}

static void show_cmdline(struct text *t, struct proc_system *ps, struct process *p)
{
	(void)ps;
	show_memory(t, p, p->arg_start, p->arg_end);
}

static void show_environ(struct text *t, struct proc_system *ps, struct process *p)
{
	(void)ps;
	show_memory(t, p, p->env_start, p->env_end);
}

static void show_limits(struct text *t, struct proc_system *ps, struct process *p)
{
	static const char *const names[RLIMIT_COUNT] = {
		"Max cpu time",       "Max file size",     "Max data size",         "Max stack size",
		"Max core file size", "Max resident set",  "Max processes",         "Max open files",
		"Max locked memory",  "Max address space", "Max file locks",        "Max pending signals",
		"Max msgqueue size",  "Max nice priority", "Max realtime priority", "Max realtime timeout",
	};
	struct rlimit limits[RLIMIT_COUNT];

	(void)ps;
	spin_lock(&p->lock, RANK_PROC);
	memcpy(limits, p->limits, sizeof limits);
	spin_unlock(&p->lock);
	text_printf(t, "%-25s %-20s %-20s\n", "Limit", "Soft Limit", "Hard Limit");
	for (unsigned i = 0; i < RLIMIT_COUNT; i++) {
		const uint64_t both[2] = {limits[i].soft, limits[i].hard};

		text_printf(t, "%-25s", names[i]);
		for (unsigned k = 0; k < 2; k++) {
			if (both[k] == RLIM_INFINITY)
				text_printf(t, " %-20s", "unlimited");
			else
				text_printf(t, " %-20llu", (ull)both[k]);
		}
		text_printf(t, "\n");
	}
}

const struct procfs_file procfs_process_files[] = {
	{"cmdline", show_cmdline, NULL}, {"comm", show_comm, NULL},
	{"environ", show_environ, NULL}, {"fail-nth", NULL, &fail_nth_vnode_ops},
	{"limits", show_limits, NULL},   {"maps", show_maps, NULL},
	{"stat", show_stat, NULL},       {"statm", show_statm, NULL},
	{"status", show_status, NULL},   {NULL, NULL, NULL},
};
