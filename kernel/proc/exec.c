/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/exec.c: a new program in the caller's process.
 *
 *	find      path, or through #! lines the interpreter's; strings into kernel memory
 *	decode    the ELF file, and its PT_INTERP if it names one (elf.c); nothing changed yet
 *	build     a new address space: segments, break, stack, sigreturn page; then the
 *	          thread runs in it for a moment to clear bss tails and write the stack;
 *	          a descriptor table, if others may share this one
 *	---------------------------------------- up to here, an error leaves all as it was
 *	alone     the process's other threads leave
 *	commit    files, futexes, address space, signals, registers: nothing can fail
 *
 * Source: execve(2).
 */
#include "proc/exec_private.h"

#include <string.h>

#include "base/assert.h"
#include "proc/fd.h"
#include "proc/fs.h"
#include "proc/futex.h"
#include "proc/sched.h"
#include "proc/signal.h"
#include "vm/map.h"

/* --- find --- */

static char *skip_blanks(char *s)
{
	while (*s == ' ' || *s == '\t')
		s++;
	return s;
}

/* x->line holds the file's first bytes, "#!" and more: interpreter, argument or NULL. */
static long parse_script(char *line, char **interpreter, char **argument)
{
	char *end = strchr(line, '\n'), *s;

	if (!end)
		return -ENOEXEC; /* too long to be trusted */
	while (end > line && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*end = '\0';
	s = skip_blanks(line + 2);
	if (!*s)
		return -ENOEXEC;
	*interpreter = s;
	while (*s && *s != ' ' && *s != '\t')
		s++;
	*argument = NULL;
	if (*s) {
		*s = '\0';
		*argument = skip_blanks(s + 1);
	}
	return 0;
}

/* The file to be run, through scripts, into x->file. path: the one to begin with. */
static long find(struct exec *x, struct vnode *dir, const char *path)
{
	struct fs *fs = x->t->ps->fs;

	for (unsigned depth = 0;; depth++) {
		const char *strings[3];
		char *interpreter, *argument;
		uint32_t n = 0;
		size_t got = 0;
		long r = fs_lookup_exec(fs, dir, path, &x->file);

		if (r < 0) {
			x->file = NULL;
			return r;
		}
		r = errno_of(object_read(x->file->object, 0, x->line, SCRIPT_LINE, &got));
		if (r < 0)
			return r;
		x->line[got] = '\0';
		if (got < 2 || x->line[0] != '#' || x->line[1] != '!')
			return 0;
		if (depth == EXEC_SCRIPTS)
			return -ELOOP;
		r = parse_script(x->line, &interpreter, &argument);
		if (r < 0)
			return r;
		strings[n++] = interpreter;
		if (argument)
			strings[n++] = argument;
		strings[n++] = path;
		r = args_replace_first(&x->args, strings, n);
		if (r < 0)
			return r;
		vnode_release(x->file);
		x->file = NULL;
		strcpy(x->interpreter, interpreter); /* it is in x->line, which is as long */
		path = x->interpreter;
	}
}

static long decode(struct exec *x)
{
	long r = errno_of(elf_decode(x->file->object, &x->image));

	if (r < 0 || !x->image.interp[0])
		return r;
	r = fs_lookup_exec(x->t->ps->fs, NULL, x->image.interp, &x->interp);
	if (r < 0) {
		x->interp = NULL;
		return r;
	}
	r = errno_of(elf_decode(x->interp->object, &x->interp_image));
	if (r == 0 && (x->interp_image.interp[0] || !x->interp_image.position_independent))
		r = -ENOEXEC;
	return r;
}

/* --- commit --- */

static void set_name(char *name, size_t size, const char *path)
{
	const char *base = strrchr(path, '/');

	base = base ? base + 1 : path;
	memset(name, 0, size);
	for (size_t i = 0; i + 1 < size && base[i]; i++)
		name[i] = base[i];
}

static void commit(struct exec *x, struct trap_frame *tf)
{
	struct thread *t = x->t;
	struct process *p = t->proc;
	struct vm_map *old = p->map;
	struct vnode *old_exe = p->exe;

	if (t->map)
		futex_thread_leaves(t);
	sched_use_map(x->map);
	spin_lock(&p->ps->lock, RANK_PROC_TABLE);
	p->map = x->map;
	p->exe = x->file;
	p->trampoline = x->trampoline;
	memcpy(p->exe_path, x->exe_path, sizeof p->exe_path);
	set_name(p->name, sizeof p->name, x->path);
	p->arg_start = x->arg_start;
	p->arg_end = p->env_start = x->env_start;
	p->env_end = x->env_end;
	p->did_exec = true;
	spin_unlock(&p->ps->lock);
	set_name(t->name, sizeof t->name, x->path);
	x->map = NULL;
	x->file = NULL;
	process_vfork_done(p);
	if (old)
		process_note_resident(p, vm_map_release(old));
	vnode_release(old_exe);
	signal_exec(t);
	t->restart.again = NULL;
	t->clear_child_tid = t->robust_list = 0;
	memset(&t->fp, 0, sizeof t->fp);
	context_fp_load(&t->fp);
	context_tls_set(0);
	memset(tf, 0, sizeof *tf);
	tf->sp = x->sp;
	tf->pc = x->interp ? x->interp_bias + x->interp_image.entry : x->bias + x->image.entry;
	tf->syscall = UINT64_MAX;
}

/* Whether others may share the descriptor table by the time the process has one thread left. */
static bool files_may_be_shared(struct process *p)
{
	bool threads;

	spin_lock(&p->lock, RANK_PROC);
	threads = p->nthreads > 1; /* one of them may clone with CLONE_FILES before it leaves */
	spin_unlock(&p->lock);
	return p->files && (threads || fd_table_sharers(p->files) > 1);
}

/* Descriptors of the process's own, without those that close on exec. ps->lock guards the pointer against /proc's
 * readers. */
static void own_files(struct process *p, struct fd_table *spare)
{
	struct fd_table *old = p->files, *files = old ? fd_table_exec(old, spare) : NULL;

	if (files != old) {
		spin_lock(&p->ps->lock, RANK_PROC_TABLE);
		p->files = files;
		spin_unlock(&p->ps->lock);
		spare = old;
	}
	fd_table_release(spare); /* the one that is not used */
}

/* From strings in x->args to a running program. */
static long run(struct exec *x, struct trap_frame *tf, struct vnode *dir)
{
	struct fd_table *spare = NULL;
	long r = find(x, dir, x->path);

	if (r == 0)
		r = decode(x);
	if (r == 0)
		r = exec_build(x);
	if (r < 0)
		return r;
	if (vnode_path(x->file, x->exe_path, sizeof x->exe_path) < 0)
		x->exe_path[0] = '\0';
	if (files_may_be_shared(x->t->proc))
		r = fd_table_spare(x->t->ps->vm, &spare);
	if (r < 0)
		return r;
	if (process_single_thread(x->t) != OK) {
		fd_table_release(spare);
		return -ERESTARTNOINTR; /* it is about to be killed, by another exec or for good */
	}
	own_files(x->t->proc, spare);
	commit(x, tf);
	return 0;
}

static struct exec *begin(struct thread *t, const char *path)
{
	struct exec *x = kmalloc_zero(&t->ps->vm->kmalloc, sizeof *x);

	if (x) {
		x->t = t;
		x->path = path;
		args_init(&x->args, &t->ps->vm->kmalloc);
	}
	return x;
}

static void end(struct exec *x)
{
	if (x->map)
		vm_map_release(x->map);
	vnode_release(x->file);
	vnode_release(x->interp);
	args_free(&x->args);
	kfree(&x->t->ps->vm->kmalloc, x);
}

long process_exec(struct thread *t, struct trap_frame *tf, struct vnode *dir, const char *path, uint64_t argv,
		  uint64_t envp)
{
	struct process *p = t->proc;
	struct exec *x = begin(t, path);
	struct vnode *from = dir;
	long r;

	if (!x)
		return -ENOMEM;
	mutex_lock(&p->fs_lock);
	if (!from)
		from = p->cwd;
	vnode_reference(from);
	mutex_unlock(&p->fs_lock);
	r = args_from_user(&x->args, argv, envp);
	if (r == 0)
		r = run(x, tf, from);
	vnode_release(from);
	end(x);
	return r;
}

long process_exec_kernel(struct thread *t, struct trap_frame *tf, const char *path, const char *const *argv,
			 const char *const *envp)
{
	struct exec *x = begin(t, path);
	long r;

	if (!x)
		return -ENOMEM;
	r = args_from_kernel(&x->args, argv, envp);
	if (r == 0)
		r = run(x, tf, t->ps->fs->root);
	end(x);
	return r;
}
