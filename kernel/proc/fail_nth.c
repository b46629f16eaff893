/* SPDX-License-Identifier: BSD-2-Clause */
#include "proc/fail_nth.h"

#include "vm/fail_sites.h"
#include "vm/kmalloc.h"

#define DECIMAL_BYTES 24

/* Asked before every allocation while somebody is armed; any lock may be held. */
static bool must_fail(void *arg)
{
	struct proc_system *ps = arg;
	struct thread *t = thread_current();

	if (!t || t->fail_times == 0)
		return false;
	if (t->fail_nth > 1) {
		t->fail_nth--;
		return false;
	}
	t->fail_nth = 0;
	t->fail_times--;
	fail_sites_note(ps->fail_sites);
	return true;
}

/* t, the current thread, wants to be asked about, or no longer. => -ENOMEM */
static long arm(struct thread *t, bool on)
{
	struct proc_system *ps = t->ps;
	long r = 0;

	t->fail_nth = t->fail_times = 0; /* what follows must not fail itself */
	if (t->fail_armed == on)
		return 0;
	mutex_lock(&ps->fail_lock);
	if (on && !ps->fail_sites)
		ps->fail_sites = kmalloc_zero(&ps->vm->kmalloc, sizeof *ps->fail_sites);
	if (on && !ps->fail_sites)
		r = -ENOMEM;
	if (r == 0) {
		t->fail_armed = on;
		ps->fail_armed += on ? 1 : -1;
		frames_fail_by(&ps->vm->frames, ps->fail_armed ? must_fail : NULL, ps);
	}
	mutex_unlock(&ps->fail_lock);
	return r;
}

void fail_nth_exit(struct thread *t) { (void)arm(t, false); }

static bool is_own(const struct file *f) { return thread_current()->proc->pid == f->vnode->data2; }

static long read(struct file *f, struct io *io, uint64_t *pos)
{
	uint64_t left = thread_current()->fail_nth;
	char line[DECIMAL_BYTES];
	struct text t;
	size_t n, moved;
	enum error e;

	if (!is_own(f))
		return -EACCES;
	text_init_fixed(&t, line, sizeof line);
	text_printf(&t, "%llu\n", (unsigned long long)left);
	if (*pos >= t.length)
		return 0;
	n = t.length - *pos < io->left ? t.length - *pos : io->left;
	e = io_put(io, line + *pos, n, &moved);
	*pos += moved;
	return moved ? (long)moved : errno_of(e);
}

/* A decimal number of at most 18 digits, or none. *at: behind it. */
static bool number(const char *line, size_t length, size_t *at, uint64_t *n)
{
	size_t first = *at;

	for (*n = 0; *at < length && line[*at] >= '0' && line[*at] <= '9'; ++*at)
		*n = *n * 10 + (unsigned)(line[*at] - '0');
	return *at > first && *at - first <= 18;
}

/* One or two numbers, a line feed behind them or not. */
static long write(struct file *f, struct io *io, uint64_t *pos)
{
	struct thread *t = thread_current();
	size_t length = io->left, moved, at = 0;
	char line[2 * DECIMAL_BYTES];
	uint64_t n, times = 1;
	long r;

	(void)pos;
	if (!is_own(f))
		return -EACCES;
	if (length == 0 || length > sizeof line)
		return -EINVAL;
	if (io_get(io, line, length, &moved) != OK)
		return -EFAULT;
	if (!number(line, length, &at, &n))
		return -EINVAL;
	if (at < length && line[at] == ' ' && (++at, !number(line, length, &at, &times) || times == 0))
		return -EINVAL;
	if (at + (at < length && line[at] == '\n') != length)
		return -EINVAL;
	/* Once armed it stays so while it lives: a thread that writes 0 is about to write another number. */
	r = arm(t, true);
	if (r == 0) {
		t->fail_times = n ? times : 0;
		t->fail_nth = n;
	}
	return r ? r : (long)length;
}

static const struct file_ops fail_nth_ops = {.name = "fail-nth", .read = read, .write = write, .seekable = true};

static long open(struct vnode *v, const struct file_ops **ops, void **data)
{
	(void)v, (void)data;
	*ops = &fail_nth_ops;
	return 0;
}

const struct vnode_ops fail_nth_vnode_ops = {.open = open};

void fail_nth_show_sites(struct text *text, struct proc_system *ps)
{
	struct fail_sites *s;

	text_printf(text, "# address function hits: return addresses above allocations that were made to fail\n");
	mutex_lock(&ps->fail_lock);
	s = ps->fail_sites; /* never freed */
	mutex_unlock(&ps->fail_lock);
	for (unsigned i = 0; s && i < FAIL_SITES_MAX; i++) {
		/* relaxed, both: figures */
		uint64_t address = atomic_load_relaxed(&s->site[i].address), offset = 0;
		const char *name = address ? machine_symbol(address - 1, &offset) : NULL;

		if (address)
			text_printf(text, "%#llx %s+%#llx %llu\n", (unsigned long long)address, name ? name : "?",
				    (unsigned long long)offset + 1,
				    (unsigned long long)atomic_load_relaxed(&s->site[i].hits));
	}
	if (s && atomic_load_relaxed(&s->lost))
		text_printf(text, "# %llu more had no room\n", (unsigned long long)atomic_load_relaxed(&s->lost));
}

void fail_nth_init(struct proc_system *ps) { mutex_init(&ps->fail_lock); }
