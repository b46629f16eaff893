/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Accesses that must not go through: which signal, which code, which address. Jumps to data,
 * writes to text, wild, kernel and non-canonical pointers; from the main thread, from others, and
 * with no handler, where the status of the dead process tells.
 */
#define _GNU_SOURCE
#include "check.h"
#include "trap.h"

#include <pthread.h>
#include <sys/mman.h>
#include <ucontext.h>

#define RW (PROT_READ | PROT_WRITE)
#define RET 0xd65f03c0u /* the instruction */

static char *map(size_t pages, int prot)
{
	char *p = mmap(NULL, pages * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	REQUIRE(p != MAP_FAILED);
	return p;
}

static void jump(const void *to) { __asm__ volatile("blr %0" ::"r"(to) : "x30", "memory"); }

static void jumps(void)
{
	uint32_t *page = (uint32_t *)map(2, RW), *gone = (uint32_t *)map(1, RW);

	for (size_t i = 0; i < 2 * PAGE / 4; i++)
		page[i] = RET;
	__builtin___clear_cache((char *)page, (char *)page + 2 * PAGE);
	CHECK_TRAP(SIGSEGV, SEGV_ACCERR, page, jump(page));
	CHECK_TRAP(SIGSEGV, SEGV_ACCERR, page + 1025, jump(page + 1025));
	CHECK_OK(mprotect(page, PAGE, PROT_READ | PROT_EXEC));
	CHECK_NO_TRAP(jump(page));
	CHECK_TRAP(SIGSEGV, SEGV_ACCERR, page + 1024, jump(page + 1024));
	CHECK_OK(mprotect(page, PAGE, RW)); /* and back: no longer code */
	CHECK_TRAP(SIGSEGV, SEGV_ACCERR, page, jump(page));
	CHECK_OK(mprotect(page, PAGE, PROT_NONE));
	CHECK_TRAP(SIGSEGV, SEGV_ACCERR, page + 4, jump(page + 4));
	munmap(gone, PAGE);
	CHECK_TRAP(SIGSEGV, SEGV_MAPERR, gone, jump(gone));
	CHECK_TRAP(SIGSEGV, SEGV_MAPERR, NULL, jump(NULL));
	CHECK_TRAP(SIGSEGV, SEGV_MAPERR, 0xffff000000000000UL, jump((void *)0xffff000000000000UL));
	uint32_t on_stack[4] = {RET, RET, RET, RET};
	CHECK_TRAP(SIGSEGV, SEGV_ACCERR, on_stack, jump(on_stack));
	static uint32_t in_data[4] = {RET, RET, RET, RET};
	CHECK_TRAP(SIGSEGV, SEGV_ACCERR, in_data, jump(in_data));
	munmap(page, 2 * PAGE);
}

static void text(void)
{
	static const char constant[] = "read only";
	char *code = (char *)(uintptr_t)&text, before = *(volatile char *)code;

	CHECK_TRAP(SIGSEGV, SEGV_ACCERR, code, WRITE(code));
	CHECK_TRAP(SIGSEGV, SEGV_ACCERR, constant, WRITE((uintptr_t)constant));
	CHECK_EQ(before, *(volatile char *)code);
}

static void wild(void)
{
	static const uintptr_t addresses[] = {
		0,
		1,
		4095,
		0x1234, /* null and near */
		0xffff000000000000,
		0xffff000040000000,
		0xffff000040080000,
		0xffff7fffffffffff,
		0xffff800000000000,
		0xffff800008000000,
		0xffffffff80000000,
		0xfffffffffffff000,
		0xffffffffffffff00, /* the kernel's half */
		0x0001000000000000,
		0x0008000000000000,
		0x007fffffffffffff, /* in neither half */
		0xff7f000000000000,
		0x0080000000000000,
		0x0000fffffffff000,
		0x0000ffffffffff00, /* the last user page */
	};

	for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
		uintptr_t at = addresses[i];
		TRAP(READ(at));
		uintptr_t seen = trap.address;
		if (trap.signal != SIGSEGV || trap.code != SEGV_MAPERR ||
		    (seen != at && (at >> 56 == 0 || seen != (at & ~(0xffUL << 56)))))
			check_failed(__FILE__, __LINE__,
				     "read of 0x%lx: expected SIGSEGV, code 1, there; got %d, %d at 0x%lx", at,
				     trap.signal, trap.code, seen);
		TRAP(WRITE(at));
		if (trap.signal != SIGSEGV || trap.code != SEGV_MAPERR)
			check_failed(__FILE__, __LINE__, "write to 0x%lx: expected SIGSEGV, code 1; got %d, %d", at,
				     trap.signal, trap.code);
	}
}

/* The address is that of the first byte that could not be accessed. */
static void exact_address(void)
{
	char *p = map(3, RW);

	mprotect(p + PAGE, PAGE, PROT_READ);
	munmap(p + 2 * PAGE, PAGE);
	for (size_t offset = 0; offset < PAGE; offset += 509) {
		CHECK_TRAP(SIGSEGV, SEGV_ACCERR, p + PAGE + offset, WRITE(p + PAGE + offset));
		CHECK_TRAP(SIGSEGV, SEGV_MAPERR, p + 2 * PAGE + offset, READ(p + 2 * PAGE + offset));
	}
	/* an access of eight bytes over a page end faults on the second page */
	CHECK_TRAP(SIGSEGV, SEGV_ACCERR, p + PAGE, __asm__ volatile("str xzr, [%0]" ::"r"(p + PAGE - 4) : "memory"));
	CHECK_TRAP(SIGSEGV, SEGV_MAPERR, p + 2 * PAGE, __asm__ volatile("ldr x9, [%0]" ::"r"(p + 2 * PAGE - 4) : "x9"));
	/* with a tag in the top byte the access is the same, and goes through */
	char *tagged = (char *)((uintptr_t)p | 0x5aUL << 56);
	CHECK_NO_TRAP(WRITE(tagged));
	CHECK_EQ(1, p[0]);
	munmap(p, 2 * PAGE);
}

/* The handler may repair and return: the instruction runs again and finds its registers as they were. */
static char *repaired;
static int repairs;

static void repair(int signal, siginfo_t *info, void *context)
{
	ucontext_t *user = context;

	CHECK_EQ(SIGSEGV, signal);
	CHECK_EQ((uintptr_t)repaired + 8, (uintptr_t)info->si_addr);
	CHECK_EQ((uintptr_t)repaired + 8, user->uc_mcontext.fault_address);
	CHECK_EQ(0x1111, user->uc_mcontext.regs[9]);
	repairs++;
	CHECK_OK(mprotect(repaired, PAGE, RW));
}

static void repair_and_return(void)
{
	struct sigaction action = {.sa_sigaction = repair, .sa_flags = SA_SIGINFO}, old;
	unsigned long check = 0;

	repaired = map(1, PROT_NONE);
	REQUIRE(sigaction(SIGSEGV, &action, &old) == 0);
	for (int i = 0; i < 20; i++) {
		REQUIRE(mprotect(repaired, PAGE, i & 1 ? PROT_READ : PROT_NONE) == 0);
		__asm__ volatile("mov x9, #0x1111\n\tcmp x9, x9\n\tstr x9, [%1, #8]\n\tcset %0, eq\n\tadd %0, %0, x9"
				 : "=&r"(check)
				 : "r"(repaired)
				 : "x9", "cc", "memory");
		CHECK_EQ(0x1112, check);
		CHECK_EQ(i + 1, repairs);
	}
	CHECK_EQ(0x1111, *(long *)(repaired + 8));
	sigaction(SIGSEGV, &old, NULL);
	munmap(repaired, PAGE);
}

/* What has no handler kills with the right signal, and only the process that did it. */
static void kills(void)
{
	static const uintptr_t addresses[] = {0, 0xffff000040000000, 0x0001000000000000};

	for (size_t i = 0; i < 3; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			signal(SIGSEGV, SIG_DFL);
			WRITE(addresses[i]);
			_exit(0);
		}
		CHECK_STATUS(SIGSEGV, pid);
	}
	pid_t pid = fork();
	if (pid == 0) {
		/* blocked: a fault cannot wait, so it kills although there is a handler */
		sigset_t set;
		sigfillset(&set);
		sigprocmask(SIG_BLOCK, &set, NULL);
		WRITE(0UL);
		_exit(0);
	}
	CHECK_STATUS(SIGSEGV, pid);
	pid = fork();
	if (pid == 0) {
		signal(SIGSEGV, SIG_IGN); /* nor can it be ignored */
		WRITE(0UL);
		_exit(0);
	}
	CHECK_STATUS(SIGSEGV, pid);
	pid = fork();
	if (pid == 0) {
		signal(SIGILL, SIG_DFL);
		__asm__ volatile(".inst 0x00000000");
		_exit(0);
	}
	CHECK_STATUS(SIGILL, pid);
	pid = fork();
	if (pid == 0) {
		signal(SIGTRAP, SIG_DFL);
		__asm__ volatile("brk #1");
		_exit(0);
	}
	CHECK_STATUS(SIGTRAP, pid);
}

static void other_kinds(void)
{
	char *p = map(1, RW);

	TRAP(__asm__ volatile(".inst 0x00000000"));
	CHECK_EQ(SIGILL, trap.signal);
	CHECK_EQ(ILL_ILLOPC, trap.code);
	TRAP(__asm__ volatile("msr daifset, #2")); /* for the kernel only */
	CHECK_EQ(SIGILL, trap.signal);
	TRAP(__asm__ volatile("mrs x9, ttbr0_el1" ::: "x9"));
	CHECK_EQ(SIGILL, trap.signal);
	TRAP(__asm__ volatile("brk #7"));
	CHECK_EQ(SIGTRAP, trap.signal);
	CHECK_EQ(TRAP_BRKPT, trap.code);
	/* exclusives and atomics need alignment: SIGBUS, BUS_ADRALN */
	CHECK_TRAP(SIGBUS, BUS_ADRALN, p + 1, __asm__ volatile("ldxr x9, [%0]" ::"r"(p + 1) : "x9"));
	/* a jump into the middle of an instruction */
	CHECK_OK(mprotect(p, PAGE, PROT_READ | PROT_EXEC));
	CHECK_TRAP(SIGBUS, BUS_ADRALN, p + 2, jump(p + 2));
	munmap(p, PAGE);
}

/* Eight threads fault at the same time; each is told its own address. */
static __thread sigjmp_buf thread_back;
static __thread uintptr_t thread_seen;

static void thread_handler(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	thread_seen = (uintptr_t)info->si_addr;
	siglongjmp(thread_back, 1);
}

static void *faulting_thread(void *base)
{
	for (volatile int i = 0; i < 150; i++) {
		char *at = (char *)base + i * 8;
		thread_seen = 0;
		if (sigsetjmp(thread_back, 1) == 0)
			WRITE(at);
		CHECK_EQ((uintptr_t)at, thread_seen);
	}
	return NULL;
}

static void in_threads(void)
{
	struct sigaction action = {.sa_sigaction = thread_handler, .sa_flags = SA_SIGINFO}, old;
	pthread_t threads[8];
	char *p = map(8, PROT_READ);

	REQUIRE(sigaction(SIGSEGV, &action, &old) == 0);
	for (size_t i = 0; i < 8; i++)
		REQUIRE(pthread_create(&threads[i], NULL, faulting_thread, p + i * PAGE) == 0);
	for (size_t i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	sigaction(SIGSEGV, &old, NULL);
	munmap(p, 8 * PAGE);
}

int main(void)
{
	trap_install(0);
	jumps();
	text();
	wild();
	exact_address();
	repair_and_return();
	kills();
	other_kinds();
	in_threads();
	return check_end();
}
