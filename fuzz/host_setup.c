/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz/host_setup.c: what a run of host.c stands on, and whether all of it comes back. */
#include "host_setup.h"

#include <stdlib.h>

#include "base/assert.h"
#include "hal/armv8/pmap_private.h"
#include "proc/device.h"
#include "vm/init.h"

static char testfile[TESTFILE_BYTES + 8];

static bool is_free(void *unused, pfn_t f)
{
	enum frame_owner owner;

	(void)unused;
	if (!frame_is_ram(&run->vm->frames, f))
		return true;
	owner = page_owner(frame_page(&run->vm->frames, f));
	return owner == FRAME_FREE || owner == FRAME_CACHED;
}

static void take_stock(uint64_t owned[FRAME_OWNER_COUNT])
{
	struct frame_audit a;

	/* Every CPU polls what it retired itself. */
	for (unsigned i = 0; i < 8 * CPUS; i++) {
		host_detach();
		host_attach(run->machine, i % CPUS);
		(void)epoch_poll(&run->vm->epoch);
	}
	host_detach();
	host_attach(run->machine, 0);
	vm_drain(run->vm);
	if (!frame_audit(&run->vm->frames, &a))
		panic("frame audit: %s", a.problem);
	for (unsigned i = 0; i < FRAME_OWNER_COUNT; i++)
		owned[i] = a.owned[i];
}

static int install(struct file *f)
{
	long fd = fd_install(run->files, f, 0, FD_MAX, false);

	if (fd < 0)
		panic("set-up: no descriptor");
	return (int)fd;
}

static int open_path(const char *path, uint32_t flags)
{
	struct file *f;

	MUST(fs_open(&run->fs, run->fs.root, path, flags, 0, &f));
	return install(f);
}

static int open_vnode(struct vnode *v, uint32_t flags)
{
	struct file *f;

	MUST(vnode_open(v, flags, &f));
	return install(f);
}

static void make_files(struct space *s)
{
	struct vnode *v;

	MUST(fs_init(&run->fs, run->vm));
	MUST(fs_make(&run->fs, run->fs.root, "/dev", VNODE_DIRECTORY, 0755, NULL, NULL));
	MUST(devices_make(&run->fs));
	MUST(fd_table_create(run->vm, &run->files));
	MUST(vnode_create(&run->fs, VNODE_FILE, 0644, &v));
	for (uint32_t i = 0; i < TESTFILE_BYTES && !testfile[TESTFILE_BYTES - 1]; i++)
		testfile[i] = (char)((i * 7 + i / 251) & 255);
	object_release(v->object);
	MUST(object_create(run->vm, (struct oid){0, v->ino}, &pager_initrd, testfile, TESTFILE_BYTES, TESTFILE_BYTES,
			   &v->object));
	for (uint64_t i = 0; i < (TESTFILE_BYTES + PAGE_SIZE - 1) / PAGE_SIZE; i++)
		MUST(object_fill(v->object, i)); /* resident from the start: the audit knows them */
	s->fd[FD_TEST] = open_vnode(v, O_RDONLY);
	s->fd[FD_PATH] = open_vnode(v, O_PATH);
	s->fd[FD_NULL] = open_path("/dev/null", O_RDWR);
	s->fd[FD_WRONLY] = open_path("/dev/zero", O_WRONLY);
	s->fd[FD_CLOSED] = 1000;
	s->fd[FD_NEGATIVE] = -1;
	vnode_release(v);
}

void setup_member(struct member *m, struct vm_map *map)
{
	struct process *p = &m->process;

	memset(p, 0, sizeof *p);
	memset(m->thread, 0, sizeof m->thread);
	m->used = true;
	p->ps = &run->ps;
	p->map = map;
	p->files = run->files;
	p->cwd = run->fs.root;
	spin_init(&p->lock);
	mutex_init(&p->fs_lock);
	for (unsigned i = 0; i < RLIMIT_COUNT; i++)
		p->limits[i] = (struct rlimit){RLIM_INFINITY, RLIM_INFINITY};
	atomic_store_relaxed(&p->space_limit, RLIM_INFINITY);
	for (unsigned i = 0; i < CPUS; i++) {
		m->thread[i].ps = &run->ps;
		m->thread[i].proc = p;
		m->thread[i].map = map;
	}
}

void setup_open(uint32_t seed, uint32_t kind, const struct host_ops *ops)
{
	struct host_config c = {.ncpus = CPUS, .ram = 12 << 20, .junk = true, .seed = seed, .ops = *ops};
	struct space *s = &run->member[0].space;
	struct vnode *v;

	c.asid_bits = kind & 1 ? 4 : 8;
	c.hw_access = kind & 2;
	c.hw_dirty = kind & 4;
	c.range_tlbi = kind & 8;
	c.tlbi = (enum host_tlbi)(kind / 16 % 3);
	c.ops.frame_free = is_free;
	run->vm = calloc(1, sizeof *run->vm);
	run->pmaps = calloc(1, sizeof *run->pmaps);
	if (!run->vm || !run->pmaps || host_machine_create(&c, &run->machine) != OK)
		abort();
	host_attach(run->machine, 0);
	vm_init(run->vm, machine_info(), run->pmaps);
	run->ps.vm = run->vm;
	run->ps.fs = &run->fs;
	make_files(s);
	take_stock(run->owned);
	MUST(vnode_create(&run->fs, VNODE_FILE, 0777, &v));
	s->fd[FD_MEMORY] = open_vnode(v, O_RDWR | O_LARGEFILE);
	vnode_release(v);
}

void setup_close(void)
{
	uint64_t now[FRAME_OWNER_COUNT];
	long e = fd_close(run->files, (uint64_t)run->member[0].space.fd[FD_MEMORY]);

	if (e)
		panic("fuzz: close gives %ld", e);
	take_stock(now);
	for (unsigned i = 0; i < FRAME_OWNER_COUNT; i++)
		if (now[i] != run->owned[i] && i != FRAME_ZONE && i != FRAME_FREE && i != FRAME_CACHED)
			panic("fuzz: %lu frames are %s, %lu were", (unsigned long)now[i],
			      frame_owner_name((enum frame_owner)i), (unsigned long)run->owned[i]);
	host_detach();
	host_machine_destroy(run->machine);
	free(run->vm);
	free(run->pmaps);
}
