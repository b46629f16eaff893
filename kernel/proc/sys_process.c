/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/sys_process.c: processes, their limits and figures, and what the machine
 * is. Every program is the super-user: identities are 0 and stay 0. Layouts of
 * structs are Linux/arm64's.
 */
#include <string.h>

#include "proc/exec.h"
#include "proc/sys.h"
#include "proc/text.h"
#include "vm/kmalloc.h"
#include "vm/map.h"

/* --- making and ending --- */

long sys_clone(struct thread *t, const uint64_t *a)
{
	struct clone_args args = {
		.flags = (uint32_t)a[0] & ~CSIGNAL,
		.exit_signal = a[0] & CSIGNAL,
		.stack = a[1],
		.parent_tid = a[2],
		.tls = a[3],
		.child_tid = a[4],
	};

	return process_clone(t, trap_frame_of(t->stack_top), &args);
}

static long exec_at(struct thread *t, struct vnode *dir, const char *path, uint64_t argv, uint64_t envp)
{
	long e = process_exec(t, trap_frame_of(t->stack_top), dir, path, argv, envp);

	if (!e)
		t->proc->lock_future = false;
	return e;
}

long sys_execve(struct thread *t, const uint64_t *a)
{
	char *path;
	long e = path_get(t, a[0], &path);

	if (e)
		return e;
	e = exec_at(t, NULL, path, a[1], a[2]);
	path_free(t, path);
	return e;
}

long sys_execveat(struct thread *t, const uint64_t *a)
{
	struct at at;
	long e;

	if (flags_unknown(a[4], AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
		return -EINVAL;
	e = at_begin(t, a[0], a[1], &at);
	if (e)
		return e;
	if (!*at.path && (a[4] & AT_EMPTY_PATH) && (int)a[0] >= 0) {
		struct text text;

		text_init_fixed(&text, at.path, PATH_BYTES);
		text_printf(&text, "/proc/self/fd/%d", (int)a[0]);
	}
	if (a[4] & AT_SYMLINK_NOFOLLOW) {
		struct vnode *v;

		e = fs_lookup(t->ps->fs, at.dir, at.path, LOOKUP_NOFOLLOW, &v);
		if (!e) {
			e = v->kind == VNODE_SYMLINK ? -ELOOP : 0;
			vnode_release(v);
		}
	}
	if (!e)
		e = exec_at(t, at.dir, at.path, a[2], a[3]);
	at_end(t, &at);
	return e;
}

long sys_exit(struct thread *t, const uint64_t *a) { thread_exit(t, ((int)a[0] & 255) << 8); }
long sys_exit_group(struct thread *t, const uint64_t *a) { process_exit(t, ((int)a[0] & 255) << 8); }

/* --- waiting and figures --- */

struct timeval {
	int64_t seconds, microseconds;
};

struct rusage {
	struct timeval utime, stime;
	int64_t maxrss, ixrss, idrss, isrss, minflt, majflt, nswap, inblock, oublock, msgsnd, msgrcv, nsignals, nvcsw,
		nivcsw;
};
_Static_assert(sizeof(struct rusage) == 144, "Linux's struct rusage");

/* All run time counts as the program's own: it is not told apart. */
static long put_usage(uint64_t user, const struct usage *u)
{
	struct rusage r = {
		.utime = {(int64_t)(u->run_ns / NS_PER_SECOND), (int64_t)(u->run_ns % NS_PER_SECOND / 1000)},
		.maxrss = (int64_t)(u->max_resident * (PAGE_SIZE / 1024)),
		.minflt = (int64_t)u->faults,
		.nvcsw = (int64_t)u->switches,
	};

	return user_put(user, &r, sizeof r);
}

long sys_wait4(struct thread *t, const uint64_t *a)
{
	int32_t pid = (int32_t)a[0];
	struct wait_result result;
	int kind = pid > 0 ? P_PID : pid == -1 ? P_ALL : P_PGID;
	uint32_t id = pid > 0 ? (uint32_t)pid : 0u - (uint32_t)pid;
	long found;

	if (flags_unknown(a[2], WNOHANG | WUNTRACED | WCONTINUED | WNOTHREAD | WCLONE | WALL))
		return -EINVAL;
	if (pid == INT32_MIN)
		return -ESRCH;
	if (pid == 0) {
		found = process_getpgid(t, 0);
		if (found < 0)
			return found;
		id = (uint32_t)found;
	}
	found = process_wait(t, kind, id, (uint32_t)a[2] | WEXITED, &result);
	if (found <= 0)
		return found;
	if (a[1] && user_put(a[1], &result.status, sizeof(int32_t)))
		return -EFAULT;
	if (a[3] && put_usage(a[3], &result.usage))
		return -EFAULT;
	return found;
}

long sys_waitid(struct thread *t, const uint64_t *a)
{
	struct wait_result result;
	struct siginfo info = {0};
	uint32_t id = (uint32_t)a[1];
	long found;

	if (flags_unknown(a[3], WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED | WNOTHREAD | WCLONE | WALL) ||
	    !(a[3] & (WEXITED | WSTOPPED | WCONTINUED)))
		return -EINVAL;
	if ((int)a[0] < P_ALL || (int)a[0] > P_PGID || ((int)a[0] == P_PID && (int32_t)id <= 0) ||
	    ((int)a[0] == P_PGID && (int32_t)id < 0))
		return -EINVAL;
	if ((int)a[0] == P_PGID && id == 0) {
		found = process_getpgid(t, 0);
		if (found < 0)
			return found;
		id = (uint32_t)found;
	}
	found = process_wait(t, (int)a[0], id, (uint32_t)a[3], &result);
	if (found < 0)
		return found;
	if (found > 0) {
		info.si_signo = SIGCHLD;
		info.si_code = result.code;
		info.child.pid = (int32_t)result.pid;
		info.child.status = result.code == CLD_EXITED      ? result.status >> 8 & 255
				    : result.code == CLD_CONTINUED ? SIGCONT
				    : result.code == CLD_STOPPED   ? result.status >> 8 & 255
								   : result.status & 127;
		if (a[4] && put_usage(a[4], &result.usage))
			return -EFAULT;
	}
	return a[2] ? user_put(a[2], &info, sizeof info) : 0;
}

long sys_getrusage(struct thread *t, const uint64_t *a)
{
	struct usage self, children;

	process_usage(t->proc, &self, &children);
	switch ((int)a[0]) {
	case 0:
		return put_usage(a[1], &self);
	case -1:
		return put_usage(a[1], &children);
	case 1: /* the calling thread */
		self.run_ns = sched_thread_ns(t);
		/* relaxed: the thread's own counters */
		self.faults = atomic_load_relaxed(&t->faults);
		self.switches = atomic_load_relaxed(&t->switches);
		return put_usage(a[1], &self);
	default:
		return -EINVAL;
	}
}

static int64_t ticks(uint64_t ns) { return (int64_t)(ns / (NS_PER_SECOND / CLK_TCK)); }

long sys_times(struct thread *t, const uint64_t *a)
{
	struct usage self, children;
	int64_t times[4] = {0};

	process_usage(t->proc, &self, &children);
	times[0] = ticks(self.run_ns);
	times[2] = ticks(children.run_ns);
	if (a[0] && user_put(a[0], times, sizeof times))
		return -EFAULT;
	return ticks(machine_now());
}

/* --- limits --- */

/* Judges and sets a limit; old gets what was. */
static long limit_change(struct process *p, unsigned which, const struct rlimit *set, struct rlimit *old)
{
	if (which >= RLIMIT_COUNT)
		return -EINVAL;
	if (set && set->soft > set->hard)
		return -EINVAL;
	if (set && which == RLIMIT_NOFILE && set->hard > FD_MAX && set->hard != RLIM_INFINITY)
		return -EPERM; /* more than there can be */
	spin_lock(&p->lock, RANK_PROC);
	*old = p->limits[which];
	if (set)
		p->limits[which] = *set;
	if (set && which == RLIMIT_AS)
		atomic_store_relaxed(&p->space_limit, set->soft); /* a racing mmap may go by the old one */
	spin_unlock(&p->lock);
	if (set && which == RLIMIT_STACK) {
		struct vm_map *map = process_map(p);

		if (map) {
			vm_map_limit_stack(map, set->soft);
			vm_map_release(map);
		}
	}
	return 0;
}

long sys_prlimit64(struct thread *t, const uint64_t *a)
{
	struct rlimit set, old;
	struct process *p;
	long e;

	if (a[2] && user_get(&set, a[2], sizeof set))
		return -EFAULT;
	p = process_find(t->ps, (uint32_t)a[0] ? (uint32_t)a[0] : t->proc->pid);
	if (!p)
		return -ESRCH;
	e = limit_change(p, (unsigned)a[1], a[2] ? &set : NULL, &old);
	process_put(p);
	return !e && a[3] ? user_put(a[3], &old, sizeof old) : e;
}

long sys_getrlimit(struct thread *t, const uint64_t *a)
{
	struct rlimit old;
	long e = limit_change(t->proc, (unsigned)a[0], NULL, &old);

	return e ? e : user_put(a[1], &old, sizeof old);
}

long sys_setrlimit(struct thread *t, const uint64_t *a)
{
	struct rlimit set, old;

	return user_get(&set, a[1], sizeof set) ? -EFAULT : limit_change(t->proc, (unsigned)a[0], &set, &old);
}

/* --- ids --- */

long sys_getpid(struct thread *t, const uint64_t *a) { return (void)a, (long)t->proc->pid; }
long sys_gettid(struct thread *t, const uint64_t *a) { return (void)a, (long)t->tid; }
long sys_getppid(struct thread *t, const uint64_t *a) { return (void)a, (long)process_parent_pid(t->proc); }
long sys_setpgid(struct thread *t, const uint64_t *a)
{
	return (int32_t)a[1] < 0 ? -EINVAL : process_setpgid(t, (uint32_t)a[0], (uint32_t)a[1]);
}
long sys_getpgid(struct thread *t, const uint64_t *a) { return process_getpgid(t, (uint32_t)a[0]); }
long sys_getsid(struct thread *t, const uint64_t *a) { return process_getsid(t, (uint32_t)a[0]); }
long sys_setsid(struct thread *t, const uint64_t *a) { return (void)a, process_setsid(t); }

static long identity(struct thread *t, const uint64_t *a)
{
	(void)t, (void)a;
	return 0;
}
long sys_getuid(struct thread *t, const uint64_t *a) { return identity(t, a); }
long sys_geteuid(struct thread *t, const uint64_t *a) { return identity(t, a); }
long sys_getgid(struct thread *t, const uint64_t *a) { return identity(t, a); }
long sys_getegid(struct thread *t, const uint64_t *a) { return identity(t, a); }

/* To become somebody else is refused; "as it is" (-1) and 0 are fine. */
static long become(const uint64_t *a, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if ((int32_t)a[i] != 0 && (int32_t)a[i] != -1)
			return -EPERM;
	return 0;
}
long sys_setuid(struct thread *t, const uint64_t *a) { return (void)t, become(a, 1); }
long sys_setgid(struct thread *t, const uint64_t *a) { return (void)t, become(a, 1); }
long sys_setreuid(struct thread *t, const uint64_t *a) { return (void)t, become(a, 2); }
long sys_setregid(struct thread *t, const uint64_t *a) { return (void)t, become(a, 2); }
long sys_setresuid(struct thread *t, const uint64_t *a) { return (void)t, become(a, 3); }
long sys_setresgid(struct thread *t, const uint64_t *a) { return (void)t, become(a, 3); }

static long put_ids(const uint64_t *a)
{
	uint32_t zero = 0;

	for (unsigned i = 0; i < 3; i++)
		if (user_put(a[i], &zero, sizeof zero))
			return -EFAULT;
	return 0;
}
long sys_getresuid(struct thread *t, const uint64_t *a) { return (void)t, put_ids(a); }
long sys_getresgid(struct thread *t, const uint64_t *a) { return (void)t, put_ids(a); }

long sys_getgroups(struct thread *t, const uint64_t *a) { return (void)t, (int)a[0] < 0 ? -EINVAL : 0; }
long sys_setgroups(struct thread *t, const uint64_t *a) { return (void)t, (int)a[0] == 0 ? 0 : -EPERM; }

long sys_set_tid_address(struct thread *t, const uint64_t *a)
{
	t->clear_child_tid = a[0];
	return (long)t->tid;
}

#define ROBUST_LIST_HEAD 24

long sys_set_robust_list(struct thread *t, const uint64_t *a)
{
	if (a[1] != ROBUST_LIST_HEAD)
		return -EINVAL;
	t->robust_list = a[0];
	return 0;
}

/* Of the calling thread: others' are their own. */
long sys_get_robust_list(struct thread *t, const uint64_t *a)
{
	uint64_t size = ROBUST_LIST_HEAD;

	if ((uint32_t)a[0] != 0 && (uint32_t)a[0] != t->tid)
		return -EPERM;
	return user_put(a[2], &size, sizeof size) || user_put(a[1], &t->robust_list, sizeof t->robust_list) ? -EFAULT
													    : 0;
}

long sys_umask(struct thread *t, const uint64_t *a)
{
	uint32_t old = t->proc->umask;

	t->proc->umask = (uint32_t)a[0] & 0777u;
	return (long)old;
}

/* --- prctl, uname, sysinfo, getrandom, reboot --- */

enum { PR_GET_DUMPABLE = 3, PR_SET_DUMPABLE = 4, PR_SET_NAME = 15, PR_GET_NAME = 16, PR_GET_NO_NEW_PRIVS = 39 };

long sys_prctl(struct thread *t, const uint64_t *a)
{
	char name[sizeof t->name] = {0};
	enum error e;
	size_t length;

	switch ((int)a[0]) {
	case PR_SET_NAME:
		e = copy_in_string(name, vaddr(a[1]), sizeof name, &length);
		if (e == ERR_LIMIT) /* longer ones are cut */
			e = copy_in(name, vaddr(a[1]), sizeof name - 1);
		if (e != OK)
			return -EFAULT;
		name[sizeof name - 1] = '\0';
		memcpy(t->name, name, sizeof name);
		if (t->tid == t->proc->pid)
			memcpy(t->proc->name, name, sizeof name);
		return 0;
	case PR_GET_NAME:
		return user_put(a[1], t->name, sizeof t->name);
	case PR_GET_DUMPABLE:
		return 1;
	case PR_SET_DUMPABLE:
		return a[1] > 1 ? -EINVAL : 0;
	case PR_GET_NO_NEW_PRIVS:
		return 0;
	default:
		return -EINVAL;
	}
}

struct utsname {
	char sysname[65], nodename[65], release[65], version[65], machine[65], domainname[65];
};

long sys_uname(struct thread *t, const uint64_t *a)
{
	static const struct utsname name = {.sysname = "Linux",
					    .nodename = "strata",
					    .release = "6.1.0-strata",
					    .version = "#1 SMP Strata",
					    .machine = "aarch64",
					    .domainname = "(none)"};

	(void)t;
	return user_put(a[0], &name, sizeof name);
}

struct sysinfo {
	int64_t uptime;
	uint64_t loads[3], totalram, freeram, sharedram, bufferram, totalswap, freeswap;
	uint16_t procs, pad;
	uint64_t totalhigh, freehigh;
	uint32_t mem_unit;
};
_Static_assert(sizeof(struct sysinfo) == 112, "Linux's struct sysinfo");

long sys_sysinfo(struct thread *t, const uint64_t *a)
{
	struct frames *frames = &t->ps->vm->frames;
	struct sysinfo s = {
		.uptime = (int64_t)(machine_now() / NS_PER_SECOND),
		.totalram = frames->ram << PAGE_SHIFT,
		.freeram = frames_available(frames) << PAGE_SHIFT,
		/* relaxed: a figure */
		.procs = (uint16_t)atomic_load_relaxed(&t->ps->nprocs),
		.mem_unit = 1,
	};

	return user_put(a[0], &s, sizeof s);
}

long sys_getrandom(struct thread *t, const uint64_t *a)
{
	uint64_t n = a[1] < IO_MAX ? a[1] : IO_MAX, done = 0;
	char bytes[256];

	(void)t;
	if (flags_unknown(a[2], 7) || (a[2] & 6) == 6)
		return -EINVAL;
	while (done < n) {
		size_t piece = n - done < sizeof bytes ? n - done : sizeof bytes;

		machine_random(bytes, piece);
		if (user_put(a[0] + done, bytes, piece))
			return done ? (long)done : -EFAULT;
		done += piece;
		if (done % BLOCK_SIZE == 0)
			sched_point();
	}
	return (long)done;
}

enum {
	REBOOT_MAGIC1 = 0xfee1dead,
	REBOOT_HALT = 0xcdef0123,
	REBOOT_POWER_OFF = 0x4321fedc,
	REBOOT_RESTART = 0x01234567
};

long sys_reboot(struct thread *t, const uint64_t *a)
{
	uint32_t command = (uint32_t)a[2];

	(void)t;
	if ((uint32_t)a[0] != REBOOT_MAGIC1)
		return -EINVAL;
	if (command == REBOOT_HALT || command == REBOOT_POWER_OFF || command == REBOOT_RESTART)
		machine_power_off(0);
	return command == 0 || command == 0x89abcdef ? 0 : -EINVAL; /* Ctrl-Alt-Del off, on */
}
