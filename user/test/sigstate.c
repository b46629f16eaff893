/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Register state: what a handler or another thread does to the FP/SIMD and general registers is
 * not seen by who was interrupted; what a handler writes into its ucontext is.
 */
#define _GNU_SOURCE
#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

struct vectors {
	_Alignas(16) uint64_t v[32][2];
	uint64_t fpcr, fpsr;
};

#define ALL_V \
	"v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15", "v16", \
		"v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30", \
		"v31"

#define LOAD_V \
	"ldp q0, q1, [%0]\n ldp q2, q3, [%0, #32]\n ldp q4, q5, [%0, #64]\n ldp q6, q7, [%0, #96]\n" \
	"ldp q8, q9, [%0, #128]\n ldp q10, q11, [%0, #160]\n ldp q12, q13, [%0, #192]\n ldp q14, q15, [%0, #224]\n" \
	"ldp q16, q17, [%0, #256]\n ldp q18, q19, [%0, #288]\n ldp q20, q21, [%0, #320]\n ldp q22, q23, [%0, #352]\n" \
	"ldp q24, q25, [%0, #384]\n ldp q26, q27, [%0, #416]\n ldp q28, q29, [%0, #448]\n ldp q30, q31, [%0, #480]\n"
#define STORE_V \
	"stp q0, q1, [%1]\n stp q2, q3, [%1, #32]\n stp q4, q5, [%1, #64]\n stp q6, q7, [%1, #96]\n" \
	"stp q8, q9, [%1, #128]\n stp q10, q11, [%1, #160]\n stp q12, q13, [%1, #192]\n stp q14, q15, [%1, #224]\n" \
	"stp q16, q17, [%1, #256]\n stp q18, q19, [%1, #288]\n stp q20, q21, [%1, #320]\n stp q22, q23, [%1, #352]\n" \
	"stp q24, q25, [%1, #384]\n stp q26, q27, [%1, #416]\n stp q28, q29, [%1, #448]\n stp q30, q31, [%1, #480]\n"

static void fill(struct vectors *vectors, uint64_t seed)
{
	for (size_t i = 0; i < 32; i++) {
		vectors->v[i][0] = seed * 0x9e3779b97f4a7c15 + i;
		vectors->v[i][1] = ~vectors->v[i][0] ^ i << 32;
	}
	vectors->fpcr = seed & 1 ? 1 << 22 : 0; /* a rounding mode */
	vectors->fpsr = seed & 2 ? 1 : 0;       /* an exception that was seen */
}

static void compare(const struct vectors *want, const struct vectors *got)
{
	for (size_t i = 0; i < 32; i++) {
		CHECK_EQ(want->v[i][0], got->v[i][0]);
		CHECK_EQ(want->v[i][1], got->v[i][1]);
	}
	CHECK_EQ(want->fpcr, got->fpcr);
	CHECK_EQ(want->fpsr, got->fpsr);
}

static void clobber(int signal)
{
	struct vectors mine;

	(void)signal;
	fill(&mine, 0xdead);
	__asm__ volatile("msr fpcr, %1\n msr fpsr, %1\n" LOAD_V ::"r"(&mine), "r"(0UL) : ALL_V, "memory");
}

/* Sets all vector registers, makes the system call with them live, and stores them again. */
static long call_with_vectors(const struct vectors *in, struct vectors *out, long number, long a, long b)
{
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x8 __asm__("x8") = number;
	const struct vectors *from = in;
	struct vectors *to = out;

	__asm__ volatile("msr fpcr, %5\n msr fpsr, %6\n" LOAD_V "svc #0\n" STORE_V "mrs x9, fpcr\n str x9, [%1, #512]\n"
			 "mrs x9, fpsr\n str x9, [%1, #520]\n msr fpcr, xzr\n"
			 : "+r"(from), "+r"(to), "+r"(x0)
			 : "r"(x1), "r"(x8), "r"(in->fpcr), "r"(in->fpsr)
			 : ALL_V, "x9", "memory");
	return x0;
}

static void over_a_handler(void)
{
	struct vectors in, out;

	signal(SIGUSR1, clobber);
	for (uint64_t seed = 1; seed < 50; seed++) {
		fill(&in, seed);
		CHECK_EQ(0, call_with_vectors(&in, &out, SYS_kill, getpid(), SIGUSR1));
		compare(&in, &out);
	}
}

/* Over blocking, yielding and whatever runs meanwhile on the same CPU. */
static void *yielder(void *seed)
{
	struct vectors in, out;

	for (uint64_t n = 0; n < 200; n++) {
		fill(&in, (uint64_t)(uintptr_t)seed * 1000 + n);
		long r = n % 10 ? call_with_vectors(&in, &out, SYS_sched_yield, 0, 0)
				: call_with_vectors(&in, &out, SYS_nanosleep, (long)&(struct timespec){0, 100000}, 0);
		CHECK_EQ(0, r);
		compare(&in, &out);
	}
	return NULL;
}

static void over_switches(void)
{
	pthread_t threads[12];

	for (uintptr_t i = 0; i < 12; i++)
		REQUIRE(pthread_create(&threads[i], NULL, yielder, (void *)(i + 1)) == 0);
	for (uintptr_t i = 0; i < 12; i++)
		pthread_join(threads[i], NULL);
}

/* No system call at all: the registers live in a loop that the timer and other threads interrupt. */
static void *spinner(void *seed)
{
	struct vectors in, out;
	const struct vectors *from = &in;
	struct vectors *to = &out;

	for (int n = 0; n < 30; n++) {
		unsigned long loops = 300000;
		fill(&in, (uintptr_t)seed * 77 + (uint64_t)n);
		in.fpcr = in.fpsr = out.fpcr = out.fpsr = 0;
		__asm__ volatile(LOAD_V "1: subs %2, %2, #1\n b.ne 1b\n" STORE_V
				 : "+r"(from), "+r"(to), "+r"(loops)
				 :
				 : ALL_V, "cc", "memory");
		compare(&in, &out);
	}
	return NULL;
}

static void over_preemption(void)
{
	pthread_t threads[8];

	for (uintptr_t i = 0; i < 8; i++)
		REQUIRE(pthread_create(&threads[i], NULL, spinner, (void *)(i + 1)) == 0);
	for (uintptr_t i = 0; i < 8; i++) {
		pthread_kill(threads[i], SIGUSR1); /* and a handler that clobbers everything */
		pthread_join(threads[i], NULL);
	}
}

static void over_fork(void)
{
	struct vectors in, out;

	fill(&in, 4242);
	pid_t pid = (pid_t)call_with_vectors(&in, &out, SYS_clone, SIGCHLD, 0);
	if (pid == 0)
		check_failures = 0;
	compare(&in, &out); /* the child has the parent's registers */
	if (pid == 0)
		_exit(check_end());
	CHECK_CHILD(pid);
}

/* ---- the context is there to be read and changed ---- */

static void change(int signal, siginfo_t *info, void *context)
{
	ucontext_t *user = context;

	(void)signal, (void)info;
	CHECK_EQ(0x1234, user->uc_mcontext.regs[19]);
	CHECK_EQ(0x5678, user->uc_mcontext.regs[28]);
	user->uc_mcontext.regs[19] = 0x4321;
	user->uc_mcontext.regs[0] = 99; /* what kill will seem to have returned */
	sigaddset(&user->uc_sigmask, SIGUSR2);

	/* the FP record: magic, size, fpsr, fpcr, then 32 registers */
	uint32_t *record = (uint32_t *)user->uc_mcontext.__reserved;
	CHECK_EQ(0x46508001, record[0]);
	CHECK_EQ(528, record[1]);
	uint64_t *v = (uint64_t *)(record + 4);
	CHECK_EQ(0x1111, v[2 * 8]);
	v[2 * 8] = 0x2222;
}

static void changed_context(void)
{
	struct sigaction action = {.sa_sigaction = change, .sa_flags = SA_SIGINFO};
	sigset_t mask;
	long x0, x19;
	uint64_t d8;

	sigaction(SIGUSR1, &action, NULL);
	__asm__ volatile("mov x19, #0x1234\n mov x28, #0x5678\n mov x9, #0x1111\n fmov d8, x9\n"
			 "mov x0, %3\n mov x1, %4\n mov x8, %5\n svc #0\n mov %0, x0\n mov %1, x19\n fmov %2, d8\n"
			 : "=&r"(x0), "=&r"(x19), "=&r"(d8)
			 : "r"((long)getpid()), "i"(SIGUSR1), "i"(SYS_kill)
			 : "x0", "x1", "x8", "x9", "x19", "x28", "v8", "memory");
	CHECK_EQ(99, x0);
	CHECK_EQ(0x4321, x19);
	CHECK_EQ(0x2222, d8);
	sigprocmask(SIG_BLOCK, NULL, &mask);
	CHECK(sigismember(&mask, SIGUSR2));
	CHECK(!sigismember(&mask, SIGUSR1));
}

/* Over a page that the kernel copies: by registers of this kind, perhaps. The copy is what the page was. */
static void over_a_copy(void)
{
	const size_t page = 4096, pages = 20;
	unsigned char *p = mmap(NULL, pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int go[2];
	pid_t child;

	REQUIRE(p != MAP_FAILED && pipe(go) == 0);
	for (size_t i = 0; i < pages * page; i++)
		p[i] = (unsigned char)(i * 7 + i / 251);
	child = fork();
	if (child == 0) {
		char c;

		close(go[1]);
		(void)!read(go[0], &c, 1); /* keeps the pages shared until the parent has written */
		_exit(0);
	}
	REQUIRE(child > 0);
	for (size_t n = 0; n < pages; n++) {
		struct vectors in, out;
		const struct vectors *from = &in;
		struct vectors *to = &out;

		fill(&in, 100 + n);
		memset(&out, 0, sizeof out);
		__asm__ volatile("msr fpcr, %3\n msr fpsr, %4\n" LOAD_V "strb wzr, [%2]\n" STORE_V
				 "mrs x9, fpcr\n str x9, [%1, #512]\n mrs x9, fpsr\n str x9, [%1, #520]\n msr fpcr, xzr\n"
				 : "+r"(from), "+r"(to)
				 : "r"(p + n * page + n), "r"(in.fpcr), "r"(in.fpsr)
				 : ALL_V, "x9", "memory");
		compare(&in, &out);
	}
	for (size_t i = 0; i < pages * page; i++)
		CHECK_EQ(i % page == i / page ? 0 : (unsigned char)(i * 7 + i / 251), p[i]);
	close(go[1]);
	CHECK_EQ(child, waitpid(child, NULL, 0));
	close(go[0]);
	munmap(p, pages * page);
}

int main(void)
{
	over_a_handler();
	over_switches();
	over_preemption();
	over_fork();
	over_a_copy();
	changed_context();
	return check_end();
}
