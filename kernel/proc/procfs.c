/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/procfs.c: the directories of /proc, and how its files are read.
 *
 *	/proc ---- version, meminfo, frames, ...        procfs_system.c
 *	      ---- self -> <pid>
 *	      ---- <pid> ---- maps, stat, status, ...    procfs_process.c
 *	                 ---- exe, cwd, root             symbolic links
 *	                 ---- fd ---- 0, 1, ...          symbolic links that lead to the very file
 *
 * Vnodes are made when they are looked up and vanish with their last reference;
 * they hold a pid, not a process, so an open file of /proc keeps no process. The
 * process is looked for at each read: gone means ESRCH.
 *
 * A file's text is made when a read begins at position 0, and kept for reads
 * that go on, so that one pass through the file sees one moment.
 *
 * Locking: each open file has a mutex around its text. Showing a process takes
 * that process's locks one at a time, with nothing else held.
 *
 * Caveat: fd and cwd are there for the process that asks only, since other
 * processes' tables are not counted for anybody else.
 */
#include "proc/procfs.h"

#include <string.h>

#include "proc/fd.h"
#include "proc/sched.h"
#include "proc/thread.h"
#include "vm/kmalloc.h"

#define FD_DECIMAL 12

/* --- files --- */

struct proc_file {
	struct mutex lock; /* what follows */
	struct text text;  /* l */
	bool made;         /* l */
};

static long proc_read(struct file *f, struct io *io, uint64_t *pos)
{
	struct proc_file *pf = f->data;
	const struct procfs_file *what = f->vnode->data;
	struct proc_system *ps = proc_current();
	size_t moved = 0;
	long result = 0;

	mutex_lock(&pf->lock);
	if (*pos == 0 || !pf->made) {
		struct process *p = NULL;

		if (f->vnode->data2)
			p = process_find(ps, (uint32_t)f->vnode->data2);
		text_clear(&pf->text);
		if (p || !f->vnode->data2)
			what->show(&pf->text, ps, p);
		else
			result = -ESRCH;
		if (p)
			process_put(p);
		if (pf->text.failed)
			result = -ENOMEM;
		pf->made = !result;
	}
	if (!result && *pos < pf->text.length && io->left > 0) {
		size_t n = pf->text.length - *pos < io->left ? pf->text.length - *pos : io->left;
		enum error e = io_put(io, pf->text.bytes + *pos, n, &moved);

		*pos += moved;
		result = moved ? (long)moved : errno_of(e);
	}
	mutex_unlock(&pf->lock);
	return result;
}

static void proc_close(struct file *f)
{
	struct proc_file *pf = f->data;

	text_free(&pf->text);
	kfree(&f->vm->kmalloc, pf);
}

static const struct file_ops proc_file_ops = {.name = "proc", .read = proc_read, .close = proc_close, .seekable = true};

static long proc_open(struct vnode *v, const struct file_ops **ops, void **data)
{
	struct proc_file *pf = kmalloc_zero(&v->fs->vm->kmalloc, sizeof *pf);

	if (!pf)
		return -ENOMEM;
	mutex_init(&pf->lock);
	text_init(&pf->text, v->fs->vm);
	*ops = &proc_file_ops;
	*data = pf;
	return 0;
}

static const struct vnode_ops file_vnode_ops = {.open = proc_open};

/* --- making vnodes --- */

/* A child of dir. data: by ops. */
static long node(struct vnode *dir, const char *name, size_t length, enum vnode_kind kind, const struct vnode_ops *ops,
		 const void *data, uint64_t pid, struct vnode **out)
{
	uint32_t mode = kind == VNODE_DIRECTORY ? 0555 : kind == VNODE_SYMLINK ? 0777 : 0444;
	long e;

	if (kind == VNODE_FILE && ops != &file_vnode_ops)
		mode |= 0200;
	e = vnode_create_bare(dir->fs, kind, mode, out);
	if (e)
		return e;
	vnode_name(*out, "%.*s", (int)length, name);
	(*out)->ops = ops;
	(*out)->data = (void *)(uintptr_t)data;
	(*out)->data2 = pid;
	vnode_reference(dir);
	(*out)->parent = dir;
	return 0;
}

static const struct procfs_file *find_file(const struct procfs_file *table, const char *name, size_t length)
{
	for (; table->name; table++)
		if (strlen(table->name) == length && memcmp(table->name, name, length) == 0)
			return table;
	return NULL;
}

/* A decimal number without sign, zeros in front or anything else; false: none. */
static bool number_of(const char *name, size_t length, uint32_t *n)
{
	uint64_t value = 0;

	if (length == 0 || length > 9 || (length > 1 && name[0] == '0'))
		return false;
	for (size_t i = 0; i < length; i++) {
		if (name[i] < '0' || name[i] > '9')
			return false;
		value = value * 10 + (unsigned)(name[i] - '0');
	}
	*n = (uint32_t)value;
	return true;
}

/* Tells emit about entry number *pos; false: it has no room. */
static bool tell(file_emit_fn *emit, void *arg, const char *name, unsigned type, uint64_t *pos)
{
	/* No name has a number of its own until it is looked up: the position will do. */
	if (!emit(arg, name, strlen(name), *pos + 1, type, *pos + 1))
		return false;
	++*pos;
	return true;
}

/* The files of a table, whose first has position `first`. */
static bool tell_files(const struct procfs_file *table, uint64_t first, file_emit_fn *emit, void *arg, uint64_t *pos)
{
	for (uint64_t i = 0; table[i].name; i++)
		if (*pos == first + i && !tell(emit, arg, table[i].name, VNODE_FILE, pos))
			return false;
	return true;
}

static uint64_t count_files(const struct procfs_file *table)
{
	uint64_t n = 0;

	while (table[n].name)
		n++;
	return n;
}

/* --- /proc/<pid>/fd --- */

/* The caller's own process if pid is its, else NULL: what other processes have open is theirs to close at any time. */
static struct process *own_process(uint64_t pid)
{
	struct process *p = thread_current()->proc;

	return p->pid == pid ? p : NULL;
}

static struct file *file_of(uint64_t pid, uint32_t fd)
{
	struct process *p = own_process(pid);

	return p ? fd_get(p->files, fd) : NULL;
}

static uint32_t own_number(const struct vnode *v)
{
	uint32_t n = 0;

	(void)number_of(v->own_name, strlen(v->own_name), &n);
	return n;
}

static long fd_follow(struct vnode *v, struct vnode **out)
{
	struct file *f = file_of(v->data2, own_number(v));

	if (!f)
		return -ENOENT;
	*out = f->vnode;
	vnode_reference(*out);
	file_release(f);
	return 0;
}

/* The path of v, with " (deleted)" when it has none any more, into buffer; no NUL. */
static long link_text(struct vnode *v, char *buffer, size_t size)
{
	static const char deleted[] = " (deleted)";
	long n = vnode_path(v, buffer, size);

	if (n == -ENOENT && size > sizeof deleted) {
		memcpy(buffer, deleted, sizeof deleted - 1);
		n = sizeof deleted - 1;
	}
	return n == -ERANGE ? -ENAMETOOLONG : n;
}

static long fd_readlink(struct vnode *v, char *buffer, size_t size)
{
	struct vnode *to;
	long n = fd_follow(v, &to);

	if (n)
		return n;
	n = link_text(to, buffer, size);
	vnode_release(to);
	return n;
}

static const struct vnode_ops fd_vnode_ops = {.readlink = fd_readlink, .follow = fd_follow};

static long fd_dir_lookup(struct vnode *dir, const char *name, size_t length, struct vnode **out)
{
	struct file *f;
	uint32_t fd;

	if (!number_of(name, length, &fd))
		return -ENOENT;
	f = file_of(dir->data2, fd);
	if (!f)
		return -ENOENT;
	file_release(f);
	return node(dir, name, length, VNODE_SYMLINK, &fd_vnode_ops, NULL, dir->data2, out);
}

/* Positions: 2 + descriptor. */
static long fd_dir_readdir(struct vnode *dir, uint64_t *pos, file_emit_fn *emit, void *arg)
{
	struct process *p = own_process(dir->data2);
	long fd;

	if (!p)
		return -EACCES;
	while ((fd = fd_next(p->files, *pos - 2)) >= 0) {
		char name[FD_DECIMAL];
		struct text t;

		text_init_fixed(&t, name, sizeof name);
		text_printf(&t, "%ld", fd);
		*pos = (uint64_t)fd + 2;
		if (!tell(emit, arg, name, VNODE_SYMLINK, pos))
			break;
	}
	return 0;
}

static const struct vnode_ops fd_dir_ops = {.lookup = fd_dir_lookup, .readdir = fd_dir_readdir};

/* --- /proc/<pid>/{exe,cwd,root} --- */

enum link_kind { LINK_EXE, LINK_CWD, LINK_ROOT, LINKS };
static const char *const link_names[LINKS] = {"exe", "cwd", "root"};

/* The path of the program that the process runs, as exec found it. */
static long exe_path(uint64_t pid, char *buffer, size_t size)
{
	struct proc_system *ps = proc_current();
	struct process *p;
	long n = -ENOENT;

	spin_lock(&ps->lock, RANK_PROC_TABLE);
	p = process_find_locked(ps, (uint32_t)pid);
	if (p && p->exe_path[0]) {
		n = (long)strnlen(p->exe_path, sizeof p->exe_path);
		if ((size_t)n > size)
			n = -ENAMETOOLONG;
		else
			memcpy(buffer, p->exe_path, (size_t)n);
	}
	spin_unlock(&ps->lock);
	return n;
}

static long link_follow(struct vnode *v, struct vnode **out)
{
	struct process *p = own_process(v->data2);
	struct fs *fs = v->fs;

	*out = NULL;
	switch ((enum link_kind)(uintptr_t)v->data) {
	case LINK_ROOT:
		*out = fs->root;
		break;
	case LINK_EXE:
		*out = p ? p->exe : NULL;
		break;
	default:
		if (p) {
			mutex_lock(&p->fs_lock);
			*out = p->cwd;
			vnode_reference(*out);
			mutex_unlock(&p->fs_lock);
			return 0;
		}
	}
	if (*out)
		vnode_reference(*out);
	return *out ? 0 : -EACCES;
}

static long link_readlink(struct vnode *v, char *buffer, size_t size)
{
	struct vnode *to;
	long n;

	if ((enum link_kind)(uintptr_t)v->data == LINK_EXE)
		return exe_path(v->data2, buffer, size);
	n = link_follow(v, &to);
	if (n)
		return n;
	n = link_text(to, buffer, size);
	vnode_release(to);
	return n;
}

static const struct vnode_ops link_vnode_ops = {.readlink = link_readlink, .follow = link_follow};

/* --- /proc/<pid> --- */

static long pid_lookup(struct vnode *dir, const char *name, size_t length, struct vnode **out)
{
	const struct procfs_file *file = find_file(procfs_process_files, name, length);

	if (file)
		return node(dir, name, length, VNODE_FILE, file->ops ? file->ops : &file_vnode_ops, file, dir->data2, out);
	if (length == 2 && memcmp(name, "fd", 2) == 0)
		return node(dir, name, length, VNODE_DIRECTORY, &fd_dir_ops, NULL, dir->data2, out);
	for (uintptr_t i = 0; i < LINKS; i++)
		if (strlen(link_names[i]) == length && memcmp(link_names[i], name, length) == 0)
			return node(dir, name, length, VNODE_SYMLINK, &link_vnode_ops, (void *)i, dir->data2, out);
	return -ENOENT;
}

static long pid_readdir(struct vnode *dir, uint64_t *pos, file_emit_fn *emit, void *arg)
{
	uint64_t files = count_files(procfs_process_files);

	(void)dir;
	if (!tell_files(procfs_process_files, 2, emit, arg, pos))
		return 0;
	for (uint64_t i = 0; i < LINKS; i++)
		if (*pos == 2 + files + i && !tell(emit, arg, link_names[i], VNODE_SYMLINK, pos))
			return 0;
	if (*pos == 2 + files + LINKS)
		(void)tell(emit, arg, "fd", VNODE_DIRECTORY, pos);
	return 0;
}

static const struct vnode_ops pid_dir_ops = {.lookup = pid_lookup, .readdir = pid_readdir};

/* --- /proc --- */

static long self_readlink(struct vnode *v, char *buffer, size_t size)
{
	struct text t;

	(void)v;
	text_init_fixed(&t, buffer, size);
	text_printf(&t, "%u", thread_current()->proc->pid);
	return (long)t.length;
}

static const struct vnode_ops self_ops = {.readlink = self_readlink};

static long root_lookup(struct vnode *dir, const char *name, size_t length, struct vnode **out)
{
	const struct procfs_file *file = find_file(procfs_system_files, name, length);
	struct process *p;
	uint32_t pid;

	if (file)
		return node(dir, name, length, VNODE_FILE, file->ops ? file->ops : &file_vnode_ops, file, 0, out);
	if (length == 4 && memcmp(name, "self", 4) == 0)
		return node(dir, name, length, VNODE_SYMLINK, &self_ops, NULL, 0, out);
	p = number_of(name, length, &pid) && pid ? process_find(proc_current(), pid) : NULL;
	if (!p)
		return -ENOENT;
	process_put(p);
	return node(dir, name, length, VNODE_DIRECTORY, &pid_dir_ops, NULL, pid, out);
}

/* Positions: files, self, then PIDS + pid. */
#define PIDS UINT64_C(1000)

static long root_readdir(struct vnode *dir, uint64_t *pos, file_emit_fn *emit, void *arg)
{
	uint64_t files = count_files(procfs_system_files);
	struct process *p;

	(void)dir;
	if (!tell_files(procfs_system_files, 2, emit, arg, pos))
		return 0;
	if (*pos == 2 + files && !tell(emit, arg, "self", VNODE_SYMLINK, pos))
		return 0;
	if (*pos < PIDS)
		*pos = PIDS;
	while ((p = process_next(proc_current(), (uint32_t)(*pos - PIDS)))) {
		char name[FD_DECIMAL];
		uint64_t at = PIDS + p->pid - 1;
		struct text t;

		text_init_fixed(&t, name, sizeof name);
		text_printf(&t, "%u", p->pid);
		process_put(p);
		if (!tell(emit, arg, name, VNODE_DIRECTORY, &at))
			break;
		*pos = at; /* the next one's pid is above PIDS + pid - PIDS */
	}
	return 0;
}

static const struct vnode_ops root_ops = {.lookup = root_lookup, .readdir = root_readdir};

long procfs_create(struct proc_system *ps, struct vnode **out)
{
	long e = vnode_create_bare(ps->fs, VNODE_DIRECTORY, 0555, out);

	if (!e)
		(*out)->ops = &root_ops;
	return e;
}
