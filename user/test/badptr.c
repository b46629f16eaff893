/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bad pointers to every system call.
 *
 * Two parts:
 *  - efault(): calls that are right but for one pointer. Linux says EFAULT; so must the kernel. A
 *    call that it does not have may say ENOSYS where the table allows that.
 *  - storm(): every system call number, a bad pointer in every argument position and in all at
 *    once. Any answer is allowed; the kernel must go on, and the caller's own memory must be what
 *    it was unless the call was told to change it. Each number has a process of its own, since some calls
 *    rightly take the caller's memory away, or wait: the parent kills one that has not ended in time.
 *
 * Skipped in the storm: calls whose purpose is to end or stop processes or the machine, for which a
 * number that was meant as a pointer may by chance be a process or a signal.
 *
 *   badptr [first [last]]     system call numbers of the storm
 */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define LAST_CALL 450
#define MUST 0
#define MAY 1 /* ENOSYS is an answer */

static uintptr_t unmapped, none, read_only, straddling;

/* Addresses that nothing can be read from. `straddling` begins in a good page, 2 bytes before its end. */
static uintptr_t bad[16];
static size_t bads;

static void prepare(void)
{
	char *p = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, ANON, -1, 0);

	REQUIRE(p != MAP_FAILED);
	p[0] = 1, p[4 * PAGE] = 1;
	REQUIRE(mprotect(p + PAGE, PAGE, PROT_NONE) == 0);
	REQUIRE(munmap(p + 2 * PAGE, PAGE) == 0);
	REQUIRE(mprotect(p + 4 * PAGE, PAGE, PROT_READ) == 0);
	REQUIRE(munmap(p + 6 * PAGE, PAGE) == 0);
	memset(p + 5 * PAGE, 'x', PAGE); /* no NUL: a string runs on into what is not there */
	none = (uintptr_t)p + PAGE, unmapped = (uintptr_t)p + 2 * PAGE;
	read_only = (uintptr_t)p + 4 * PAGE, straddling = (uintptr_t)p + 6 * PAGE - 2;
	const uintptr_t all[] = {unmapped,           none,
				 straddling,         8,
				 0xffff000000000000, 0xffff000040080000,
				 0xffff800008000000, 0xfffffffffffff000,
				 0xfffffffffffffff8, 0x0001000000000000,
				 0x0000fffffffffffe, 0x8000000000000000,
				 0x00ff000000000000};
	bads = sizeof all / sizeof *all;
	memcpy(bad, all, sizeof all);
}

/* ---- calls that must say EFAULT ---- */

static const char *self;
static int zero_fd, pipe_in, pipe_out;

static void expect_efault(const char *what, long result, int error, int may, uintptr_t pointer)
{
	if (result == -1 && (error == EFAULT || (may == MAY && error == ENOSYS)))
		return;
	if (pointer == straddling && result >= 0 && result <= 2) /* the two good bytes were enough, or all there was */
		return;
	check_failed(__FILE__, __LINE__, "%s with 0x%lx: expected EFAULT, got %ld, errno %d (%s)", what, pointer,
		     result, result == -1 ? error : 0, result == -1 ? strerror(error) : "none");
}

#define EFAULTS(may, number, ...) \
	do { \
		errno = 0; \
		long efault_r = syscall(number, __VA_ARGS__); \
		expect_efault(#number, efault_r, errno, may, p); \
	} while (0)

/* Pointers that the kernel reads from: all of `bad`. */
static void reads(uintptr_t p)
{
	struct iovec {
		uintptr_t base;
		size_t length;
	} iov = {p, 16};
	struct timespec soon = {0, 1000};

	EFAULTS(MUST, SYS_write, pipe_out, p, 16);
	EFAULTS(MUST, SYS_writev, pipe_out, &iov, 1);
	EFAULTS(MUST, SYS_writev, pipe_out, p, 1);
	EFAULTS(MUST, SYS_openat, AT_FDCWD, p, O_RDONLY, 0);
	EFAULTS(MUST, SYS_execve, p, 0, 0);
	EFAULTS(MUST, SYS_execve, self, p, 0);
	EFAULTS(MUST, SYS_newfstatat, AT_FDCWD, p, &iov, 0);
	EFAULTS(MUST, SYS_faccessat, AT_FDCWD, p, 0);
	EFAULTS(MUST, SYS_readlinkat, AT_FDCWD, p, &soon, 16);
	EFAULTS(MUST, SYS_nanosleep, p, 0);
	EFAULTS(MUST, SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, p, 0);
	EFAULTS(MUST, SYS_rt_sigprocmask, SIG_BLOCK, p, 0, 8);
	EFAULTS(MUST, SYS_rt_sigaction, SIGUSR1, p, 0, 8);
	EFAULTS(MUST, SYS_sigaltstack, p, 0);
	EFAULTS(MUST, SYS_sched_setaffinity, 0, 8, p);
	EFAULTS(MUST, SYS_ppoll, p, 1, &soon, 0, 0);
	EFAULTS(MUST, SYS_ppoll, 0, 0, p, 0, 0);
	EFAULTS(MUST, SYS_prlimit64, 0, 3, p, 0);
	if (p != straddling)
		EFAULTS(MUST, SYS_futex, (p & ~3UL), 0 /* FUTEX_WAIT */, 0, &soon, 0, 0);
	EFAULTS(MUST, SYS_futex, &soon, 0, 0, p, 0, 0);
	EFAULTS(MAY, SYS_chdir, p);
	EFAULTS(MAY, SYS_statx, AT_FDCWD, p, 0, 0xfff, &iov);
	EFAULTS(MAY, SYS_rt_sigsuspend, p, 8);
	EFAULTS(MAY, SYS_rt_sigtimedwait, p, 0, &soon, 8);
	EFAULTS(MAY, SYS_unlinkat, AT_FDCWD, p, 0);
	EFAULTS(MAY, SYS_clone3, p, 88);
}

/* Pointers that the kernel writes to: all of `bad`, and read-only memory. */
static void writes(uintptr_t p)
{
	struct iovec {
		uintptr_t base;
		size_t length;
	} iov = {p, 16};
	int dir;

	EFAULTS(MUST, SYS_read, zero_fd, p, 16);
	EFAULTS(MUST, SYS_pread64, zero_fd, p, 16, 0);
	EFAULTS(MUST, SYS_readv, zero_fd, &iov, 1);
	EFAULTS(MUST, SYS_read, pipe_in, p, 4);
	EFAULTS(MUST, SYS_newfstatat, AT_FDCWD, "/etc", p, 0);
	EFAULTS(MUST, SYS_fstat, zero_fd, p);
	EFAULTS(MUST, SYS_pipe2, p, 0);
	EFAULTS(MUST, SYS_getcwd, p, 100);
	EFAULTS(MUST, SYS_uname, p);
	EFAULTS(MUST, SYS_clock_gettime, CLOCK_MONOTONIC, p);
	EFAULTS(MUST, SYS_gettimeofday, p, 0);
	EFAULTS(MUST, SYS_clock_getres, CLOCK_MONOTONIC, p);
	EFAULTS(MUST, SYS_rt_sigprocmask, SIG_BLOCK, 0, p, 8);
	EFAULTS(MUST, SYS_rt_sigaction, SIGUSR1, 0, p, 8);
	EFAULTS(MUST, SYS_sigaltstack, 0, p);
	EFAULTS(MUST, SYS_sched_getaffinity, 0, 128, p);
	EFAULTS(MUST, SYS_prlimit64, 0, 3, 0, p);
	EFAULTS(MUST, SYS_getcpu, p, 0, 0);
	EFAULTS(MUST, SYS_getrandom, p, 16, 0);
	dir = open("/etc", O_RDONLY | O_DIRECTORY);
	EFAULTS(MUST, SYS_getdents64, dir, p, 1024);
	close(dir);
	EFAULTS(MAY, SYS_getrusage, 0, p);
	EFAULTS(MAY, SYS_times, p);
	EFAULTS(MAY, SYS_sysinfo, p);
	EFAULTS(MAY, SYS_getrlimit, 3, p);
	EFAULTS(MAY, SYS_rt_sigpending, p, 8);
	EFAULTS(MAY, SYS_statx, AT_FDCWD, "/etc", 0, 0xfff, p);
	EFAULTS(MAY, SYS_getitimer, 0, p);
	EFAULTS(MAY, SYS_getresuid, p, p, p);
	EFAULTS(MAY, SYS_get_robust_list, 0, p, p);
	EFAULTS(MAY, SYS_mincore, (uintptr_t)bad & -PAGE, PAGE, p);

	/* wait4 has reaped the child when it finds that it cannot tell */
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	EFAULTS(MUST, SYS_wait4, pid, p, 0, 0);
	CHECK_ERR(ECHILD, waitpid(pid, NULL, 0));
}

static void efault(void)
{
	int pipes[2];

	zero_fd = open("/etc/strata/testfile", O_RDONLY);
	REQUIRE(zero_fd >= 0 && pipe(pipes) == 0);
	pipe_in = pipes[0], pipe_out = pipes[1];
	REQUIRE(write(pipe_out, "12345678", 8) == 8);
	for (size_t i = 0; i < bads; i++) {
		reads(bad[i]);
		writes(bad[i]);
	}
	writes(read_only);
	/* no length, no access */
	CHECK_EQ(0, syscall(SYS_write, pipe_out, unmapped, 0));
	CHECK_EQ(0, syscall(SYS_read, zero_fd, unmapped, 0));
	/* only what arrived counts: two bytes for each transfer into the straddling buffer, none for the others */
	CHECK(lseek(zero_fd, 0, SEEK_CUR) <= 4);
	close(zero_fd), close(pipe_in), close(pipe_out);
}

/* ---- every call ---- */

static int skipped(long number)
{
	switch (number) {
	case SYS_exit:
	case SYS_exit_group:
	case SYS_kill:
	case SYS_tkill:
	case SYS_tgkill:
	case SYS_rt_sigqueueinfo:
	case SYS_rt_tgsigqueueinfo:
	case SYS_pidfd_send_signal:
	case SYS_reboot:
	case SYS_kexec_load:
	case SYS_kexec_file_load:
	case SYS_vhangup:
	case SYS_umount2:
	case SYS_pivot_root:
	case SYS_chroot:
	case SYS_sync:
	case SYS_clone: /* its first argument is flags: in efault_clone */
	case SYS_ptrace:
	case SYS_syslog:
	case SYS_close: /* would close the way out for what has been found */
	case SYS_close_range:
		return 1;
	}
	return 0;
}

static void one_number(long number)
{
	static char witness[PAGE];

	int file = open(self, O_RDONLY);

	REQUIRE(file >= 0 &&
		dup2(file, STDIN_FILENO) == STDIN_FILENO); /* for calls on descriptor 0; fchmod may spoil it */
	memset(witness, 'w', sizeof witness);
	for (size_t i = 0; i < bads; i++) {
		uintptr_t p = bad[i];
		for (int position = 0; position < 6; position++) {
			long a[6] = {-1, 1, 1, 0, 0, 0}; /* a descriptor that is none, small lengths */
			a[position] = (long)p;
			syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
			long b[6] = {0, (long)p, 4096, (long)p, 0, 0};
			b[position] = (long)p;
			syscall(number, b[0], b[1], b[2], b[3], b[4], b[5]);
		}
		syscall(number, p, p, p, p, p, p);
	}
	for (size_t i = 0; i < sizeof witness; i++)
		if (witness[i] != 'w') {
			CHECK_EQ('w', witness[i]);
			break;
		}
}

/* => the status of the child, which is killed when it takes longer than a second or two */
static int limited(pid_t pid)
{
	struct timespec tick = {0, 5000000};
	int status = 0;

	for (int i = 0; i < 200; i++) {
		pid_t ended = waitpid(pid, &status, WNOHANG);
		if (ended == pid)
			return status;
		nanosleep(&tick, NULL);
	}
	kill(pid, SIGKILL);
	CHECK_EQ(pid, waitpid(pid, &status, 0));
	return status;
}

static void storm(long first, long last)
{
	for (long number = first; number <= last; number++) {
		if (skipped(number))
			continue;
		pid_t pid = check_fork();
		REQUIRE(pid >= 0);
		if (pid == 0) {
			setpgid(0, 0);
			one_number(number);
			_exit(check_end());
		}
		int status = limited(pid);
		/* It may have lost its memory or waited, by its own wish; it may not have seen a wrong byte. */
		if (WIFEXITED(status) && WEXITSTATUS(status) == 1)
			check_failed(__FILE__, __LINE__, "system call %ld: memory changed that it was not given",
				     number);
	}
}

/* clone and set_tid_address take pointers that are used later, when the task ends. */
static void task_pointers(void)
{
	for (size_t i = 0; i < bads; i++) {
		pid_t pid = check_fork();
		if (pid == 0) {
			syscall(SYS_set_tid_address, bad[i]);
			syscall(SYS_set_robust_list, bad[i], 24);
			_exit(0);
		}
		CHECK_STATUS(W_EXIT(0), pid);
		long flags = CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD;
		pid = (pid_t)syscall(SYS_clone, flags, 0, bad[i], 0, bad[i]);
		if (pid == 0)
			syscall(SYS_exit, 0);
		if (pid > 0) /* Linux ignores the failed store; EFAULT would do as well */
			CHECK_STATUS(W_EXIT(0), pid);
		else
			CHECK_EQ(EFAULT, errno);
	}
}

/* A signal that cannot be delivered because the stack is not there kills. */
static void bad_stack(uintptr_t stack)
{
	pid_t pid = check_fork();

	if (pid == 0) {
		signal(SIGUSR1, (void (*)(int))1234);
		__asm__ volatile("mov sp, %0\n\tmov x8, %1\n\tsvc #0\n\tmov x1, %2\n\tmov x8, %3\n\tsvc #0\n\t"
				 "mov x0, #0\n\tmov x8, %4\n\tsvc #0"
				 :
				 : "r"(stack & ~15UL), "i"(SYS_getpid), "i"(SIGUSR1), "i"(SYS_kill), "i"(SYS_exit_group)
				 : "x0", "x1", "x8", "memory");
	}
	CHECK_STATUS(SIGSEGV, pid);
}

static void bad_sigreturn(uintptr_t stack)
{
	pid_t pid = check_fork();

	if (pid == 0)
		__asm__ volatile("mov sp, %0\n\tmov x8, %1\n\tsvc #0\n\tmov x0, #0\n\tmov x8, %2\n\tsvc #0"
				 :
				 : "r"(stack & ~15UL), "i"(SYS_rt_sigreturn), "i"(SYS_exit_group)
				 : "x0", "x8", "memory");
	CHECK_STATUS(SIGSEGV, pid);
}

/* A frame that asks for the kernel's mode of the processor gets a signal, not the mode. */
static void forged_sigreturn(void)
{
	static _Alignas(16) char forged[8192];
	static const unsigned long modes[] = {0x3c5, 0x4, 0x5, 0xc, 0x10, 0x1f};

	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
		pid_t pid = check_fork();
		if (pid == 0) {
			/* siginfo 128, ucontext: flags, link, stack 24, mask 128; then 8-byte fault address, x0-x30,
			 * sp, pc, pstate */
			unsigned long *context = (unsigned long *)(forged + 128 + 8 + 8 + 24 + 128 + 8);
			context[1 + 31] = (unsigned long)forged;
			context[1 + 32] = 0xffff000040080000;
			context[1 + 33] = modes[i];
			__asm__ volatile("mov sp, %0\n\tmov x8, %1\n\tsvc #0" ::"r"(forged), "i"(SYS_rt_sigreturn)
					 : "memory");
		}
		CHECK_STATUS(SIGSEGV, pid);
	}
}

int main(int argc, char **argv)
{
	long first = argc > 1 ? strtol(argv[1], NULL, 0) : 0;
	long last = argc > 2 ? strtol(argv[2], NULL, 0) : argc > 1 ? first : LAST_CALL;

	self = argv[0];
	signal(SIGPIPE, SIG_IGN);
	prepare();
	if (argc == 1) {
		efault();
		task_pointers();
		for (size_t i = 0; i < bads; i++) {
			bad_stack(bad[i]);
			bad_sigreturn(bad[i]);
		}
		forged_sigreturn();
	}
	storm(first, last);
	return check_end();
}
