/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * execve: what the new program finds (arguments, environment, auxiliary vector, descriptors,
 * signals, empty memory) and which files are no programs.
 *
 * The program runs itself in a role, argv[1], in which it looks at what it was given. The files
 * in /etc/strata/exec are made by user/mkfiles: `good` exits with 42, the others are broken.
 */
#define _GNU_SOURCE
#include "check.h"

#include <elf.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define DIRECTORY "/etc/strata/exec/"

extern char **environ;
static char *self;

/* ---- the roles ---- */

static int role_arguments(int argc, char **argv)
{
	CHECK_EQ(5, argc);
	CHECK_EQ(0, strcmp(argv[2], ""));
	CHECK_EQ(0, strcmp(argv[3], "with space and \xc3\xa9"));
	CHECK_EQ(3000, strlen(argv[4]));
	CHECK(argv[5] == NULL);
	CHECK(environ[0] && strcmp(environ[0], "ONE=1") == 0);
	CHECK(environ[1] && strcmp(environ[1], "TWO=") == 0);
	CHECK(environ[2] == NULL);

	/* the vector lies on the stack as the ABI says: argc below argv, the strings above, sp aligned to 16 */
	CHECK_EQ(argc, ((long *)argv)[-1]);
	CHECK_EQ(0, ((uintptr_t)argv - 8) % 16);
	CHECK(environ == argv + argc + 1);
	CHECK(argv[0] > (char *)environ);
	CHECK_EQ(argv[0] + strlen(argv[0]) + 1 - argv[1], 0); /* the strings follow each other */
	return check_end();
}

static int role_auxv(int argc, char **argv)
{
	const Elf64_Phdr *header = (const Elf64_Phdr *)getauxval(AT_PHDR);
	const unsigned char *random = (const unsigned char *)getauxval(AT_RANDOM);
	extern const char __ehdr_start[], _start[];
	int loads = 0, zeroes = 0;

	(void)argc;
	CHECK_EQ(PAGE, getauxval(AT_PAGESZ));
	CHECK_EQ(sizeof(Elf64_Phdr), getauxval(AT_PHENT));
	CHECK_EQ((uintptr_t)__ehdr_start + 64, (uintptr_t)header);
	CHECK_EQ((uintptr_t)_start, getauxval(AT_ENTRY));
	for (size_t i = 0; i < getauxval(AT_PHNUM); i++)
		loads += header[i].p_type == PT_LOAD;
	CHECK(loads >= 1);
	CHECK_EQ(0, getauxval(AT_BASE));
	CHECK_EQ(0, getauxval(AT_SECURE));
	CHECK_EQ(getuid(), getauxval(AT_UID));
	CHECK_EQ(geteuid(), getauxval(AT_EUID));
	CHECK_EQ(getgid(), getauxval(AT_GID));
	CHECK_EQ(getegid(), getauxval(AT_EGID));
	CHECK_EQ(100, getauxval(AT_CLKTCK));
	CHECK_EQ(3, getauxval(AT_HWCAP) & 3); /* FP and ASIMD */
	CHECK(random != NULL);
	for (int i = 0; random && i < 16; i++)
		zeroes += random[i] == 0;
	CHECK(zeroes < 8);
	CHECK(getauxval(AT_EXECFN) && strcmp((char *)getauxval(AT_EXECFN), argv[0]) == 0);
	return check_end();
}

static int role_descriptors(int argc, char **argv)
{
	struct stat st;

	CHECK_EQ(4, argc);
	CHECK_OK(fstat(atoi(argv[2]), &st)); /* kept */
	CHECK_EQ(100003, st.st_size);
	CHECK_ERR(EBADF, fstat(atoi(argv[3]), &st));     /* O_CLOEXEC */
	CHECK_ERR(EBADF, fstat(atoi(argv[3]) + 1, &st)); /* FD_CLOEXEC */
	return check_end();
}

static int role_signals(int argc, char **argv)
{
	struct sigaction action;
	sigset_t mask, pending;
	stack_t stack;

	(void)argc, (void)argv;
	sigaction(SIGUSR1, NULL, &action);
	CHECK(action.sa_handler == SIG_DFL); /* was a handler */
	sigaction(SIGUSR2, NULL, &action);
	CHECK(action.sa_handler == SIG_IGN); /* was ignored */
	sigprocmask(SIG_BLOCK, NULL, &mask);
	CHECK(sigismember(&mask, SIGTERM) && !sigismember(&mask, SIGINT));
	sigpending(&pending);
	CHECK(sigismember(&pending, SIGTERM));
	sigaltstack(NULL, &stack);
	CHECK_EQ(SS_DISABLE, stack.ss_flags);
	return check_end();
}

static volatile int data = 5;
static char bss[64 << 10];

static int role_memory(int argc, char **argv)
{
	char *old = (char *)strtoul(argv[2], NULL, 16);

	(void)argc;
	CHECK_EQ(5, data);
	for (size_t i = 0; i < sizeof bss; i++)
		CHECK_EQ(0, bss[i]);
	/* what the old program had mapped is gone: the place is free */
	CHECK_EQ((uintptr_t)old,
		 (uintptr_t)mmap(old, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
	CHECK_EQ(0, old[0]);
	return check_end();
}

static int role_pid(int argc, char **argv)
{
	(void)argc;
	CHECK_EQ(atoi(argv[2]), getpid());
	CHECK_EQ(getpid(), gettid());
	return check_end();
}

/* ---- starting them ---- */

static void run(char **argv, char **envp)
{
	pid_t pid = check_fork();

	if (pid == 0) {
		execve(self, argv, envp);
		CHECK_EQ(0, errno);
		_exit(1);
	}
	CHECK_CHILD(pid);
}

static void nothing(int signal) { (void)signal; }

static void *exec_from_thread(void *argv)
{
	execve(self, argv, environ);
	CHECK_EQ(0, errno);
	return NULL;
}

static void *sleeping(void *unused)
{
	for (;;)
		pause();
	return unused;
}

static void good(void)
{
	static char text[3001], a[16], b[16], where[32];
	char *none[] = {NULL}, *two[] = {"ONE=1", "TWO=", NULL};

	memset(text, 'x', 3000);
	run((char *[]){self, "arguments", "", "with space and \xc3\xa9", text, NULL}, two);
	run((char *[]){self, "auxv", NULL}, none);

	int kept = open("/etc/strata/testfile", O_RDONLY);
	int closed = open("/etc/strata/testfile", O_RDONLY | O_CLOEXEC);
	REQUIRE(kept >= 0 && closed >= 0 && dup2(kept, closed + 1) == closed + 1);
	CHECK_OK(fcntl(closed + 1, F_SETFD, FD_CLOEXEC));
	CHECK_EQ(FD_CLOEXEC, fcntl(closed, F_GETFD));
	CHECK_EQ(0, fcntl(kept, F_GETFD));
	snprintf(a, sizeof a, "%d", kept), snprintf(b, sizeof b, "%d", closed);
	run((char *[]){self, "descriptors", a, b, NULL}, none);

	pid_t pid = check_fork();
	if (pid == 0) {
		sigset_t mask;
		signal(SIGUSR1, nothing), signal(SIGUSR2, SIG_IGN);
		sigemptyset(&mask), sigaddset(&mask, SIGTERM);
		sigprocmask(SIG_SETMASK, &mask, NULL);
		kill(getpid(), SIGTERM);
		stack_t stack = {.ss_sp = bss, .ss_size = sizeof bss};
		sigaltstack(&stack, NULL);
		execve(self, (char *[]){self, "signals", NULL}, none);
		_exit(1);
	}
	CHECK_CHILD(pid);

	char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *middle = (char *)((uintptr_t)page & ~0xfffffffUL) - (1UL << 32); /* far from what exec maps */
	page = mmap(middle, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(page != MAP_FAILED);
	page[0] = 9, data = 6;
	memset(bss, 7, sizeof bss);
	snprintf(where, sizeof where, "%lx", (unsigned long)page);
	run((char *[]){self, "memory", where, NULL}, none);
	CHECK_EQ(9, page[0]); /* and the parent's is still there */

	/* exec by a thread that is not the first: all others end, the process keeps its number */
	pid = check_fork();
	if (pid == 0) {
		pthread_t thread;
		snprintf(a, sizeof a, "%d", getpid());
		for (int i = 0; i < 4; i++)
			REQUIRE(pthread_create(&thread, NULL, sleeping, NULL) == 0);
		REQUIRE(pthread_create(&thread, NULL, exec_from_thread, (char *[]){self, "pid", a, NULL}) == 0);
		sleeping(NULL);
	}
	CHECK_CHILD(pid);

	/* posix_spawn is clone with CLONE_VM and CLONE_VFORK */
	for (int i = 0; i < 20; i++) {
		REQUIRE(posix_spawn(&pid, DIRECTORY "good", NULL, NULL, (char *[]){"good", NULL}, none) == 0);
		CHECK_STATUS(W_EXIT(42), pid);
	}
	CHECK_EQ(ENOENT, posix_spawn(&pid, DIRECTORY "missing", NULL, NULL, (char *[]){"m", NULL}, none));
}

/* ---- what is not a program ---- */

static void broken(void)
{
	/*
	 * An errno; or DIES: refused, or begun and killed by a signal, but never run to its end; or
	 * RUNS: that too, since Linux takes what is wrong for harmless. The kernel lives on in any case.
	 */
	enum { DIES = 0, RUNS = -1 };
	static const struct {
		const char *name;
		int error;
	} files[] = {
		{"empty", ENOEXEC},
		{"text", ENOEXEC},
		{"cut_magic", ENOEXEC},
		{"cut_header", ENOEXEC},
		{"cut_segments", ENOEXEC},
		{"cut_in_segment", ENOEXEC},
		{"magic", ENOEXEC},
		{"machine", ENOEXEC},
		{"relocatable", ENOEXEC},
		{"core", ENOEXEC},
		{"no_segments", ENOEXEC},
		{"many_segments", ENOEXEC},
		{"segment_size", ENOEXEC},
		{"segments_beyond", ENOEXEC},
		{"segments_wrap", ENOEXEC},
		{"not_executable", EACCES},
		{"missing", ENOENT},
		{"good/below", ENOTDIR},
		{"", EACCES},
		{"cut_code", DIES},
		{"no_load", DIES},
		{"overlap", RUNS},
		{"kernel_segment", DIES},
		{"wraps", DIES},
		{"huge", DIES},
		{"filesz_over_memsz", DIES},
		{"misaligned", DIES},
		{"filesz_huge", RUNS},
		{"offset_huge", DIES},
		{"entry_nowhere", DIES},
		{"entry_kernel", DIES},
		{"backwards", RUNS},
	};
	char path[100];

	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		int status = 0;
		pid_t pid = fork();
		snprintf(path, sizeof path, DIRECTORY "%s", files[i].name);
		if (pid == 0) {
			snprintf(path, sizeof path, DIRECTORY "%s", files[i].name);
			execve(path, (char *[]){path, NULL}, environ);
			_exit(errno);
		}
		REQUIRE(waitpid(pid, &status, 0) == pid);
		bool right = files[i].error > 0     ? status == W_EXIT(files[i].error)
			     : status == W_EXIT(42) ? files[i].error == RUNS
						    : status != 0;
		if (!right)
			check_failed(__FILE__, __LINE__, "exec of %s: expected errno %d, got status 0x%x",
				     files[i].name, files[i].error, status);
	}
	static const char *const fine[] = {"good", "two"};
	for (size_t i = 0; i < 2; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			snprintf(path, sizeof path, DIRECTORY "%s", fine[i]);
			execve(path, (char *[]){path, NULL}, environ);
			_exit(1);
		}
		CHECK_STATUS(W_EXIT(42), pid);
	}
}

/* A failed exec leaves the caller as it was; too many arguments are E2BIG. */
static void failed_changes_nothing(void)
{
	static char *many[40002];
	char *huge = malloc(200 << 10);

	REQUIRE(huge);
	memset(huge, 'h', (200 << 10) - 1);
	huge[(200 << 10) - 1] = '\0';
	CHECK_ERR(E2BIG, execve(self, (char *[]){self, huge, NULL}, environ)); /* one string over 128 KiB */
	huge[1000] = '\0';
	for (size_t i = 0; i < 40000; i++)
		many[i] = huge;
	CHECK_ERR(E2BIG, execve(self, many, environ)); /* 40 MB in all */
	CHECK_ERR(ENOEXEC, execve(DIRECTORY "cut_header", (char *[]){"c", NULL}, environ));
	signal(SIGUSR1, nothing);
	CHECK_ERR(ENOEXEC, execve(DIRECTORY "machine", (char *[]){"c", NULL}, environ));
	CHECK(signal(SIGUSR1, SIG_DFL) == nothing);
	free(huge);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int, char **);
	} roles[] = {{"arguments", role_arguments}, {"auxv", role_auxv},     {"descriptors", role_descriptors},
		     {"signals", role_signals},     {"memory", role_memory}, {"pid", role_pid}};

	for (size_t i = 0; argc > 1 && i < sizeof roles / sizeof *roles; i++)
		if (strcmp(argv[1], roles[i].name) == 0)
			return roles[i].run(argc, argv);
	self = argv[0];
	good();
	broken();
	failed_changes_nothing();
	return check_end();
}
