/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz/guest_access.c: calls as they are, and single loads and stores that may end in a signal. */
#define _GNU_SOURCE
#include "guest.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static __thread sigjmp_buf back;
static __thread volatile int armed;
static __thread int caught_signal, caught_code;
static __thread uint64_t caught_address;

static void caught(int number, siginfo_t *info, void *context)
{
	(void)context;
	if (!armed) {
		char line[120];

		snprintf(line, sizeof line, "fuzz: signal %d code %d at %p that nobody asked for\n", number,
			 info->si_code, info->si_addr);
		say(line);
		_exit(1);
	}
	caught_signal = number;
	caught_code = info->si_code;
	caught_address = (uint64_t)(uintptr_t)info->si_addr;
	armed = 0;
	siglongjmp(back, 1);
}

static enum access judge_fault(struct worker *w, uint64_t va)
{
	w->faults++;
	if (caught_address != va)
		return ACCESS_ODD;
	if (caught_signal == SIGSEGV && caught_code == SEGV_MAPERR)
		return ACCESS_MAPERR;
	if (caught_signal == SIGSEGV && caught_code == SEGV_ACCERR)
		return ACCESS_ACCERR;
	return caught_signal == SIGBUS && caught_code == BUS_ADRERR ? ACCESS_BUS : ACCESS_ODD;
}

enum access access_load(struct worker *w, uint64_t va, uint64_t *value)
{
	if (sigsetjmp(back, 0))
		return judge_fault(w, va);
	armed = 1;
	*value = *(volatile uint64_t *)(uintptr_t)va;
	armed = 0;
	return ACCESS_OK;
}

enum access access_store(struct worker *w, uint64_t va, uint64_t value)
{
	if (sigsetjmp(back, 0))
		return judge_fault(w, va);
	armed = 1;
	*(volatile uint64_t *)(uintptr_t)va = value;
	armed = 0;
	return ACCESS_OK;
}

void access_odd(struct worker *w, uint64_t va)
{
	failf(w, "access to %#lx ends in signal %d code %d at %#lx", (unsigned long)va, caught_signal, caught_code,
	      (unsigned long)caught_address);
}

void access_install(void)
{
	struct sigaction action = {.sa_sigaction = caught, .sa_flags = SA_SIGINFO | SA_NODEFER};
	static const int signals[] = {SIGSEGV, SIGBUS, SIGILL};

	for (unsigned i = 0; i < 3; i++)
		sigaction(signals[i], &action, NULL);
}

long access_call(enum call which, const uint64_t *a)
{
	static const long number[CALLS] = {
		[CALL_MMAP] = SYS_mmap,       [CALL_MUNMAP] = SYS_munmap,     [CALL_MPROTECT] = SYS_mprotect,
		[CALL_MADVISE] = SYS_madvise, [CALL_MREMAP] = SYS_mremap,     [CALL_MINCORE] = SYS_mincore,
		[CALL_MSYNC] = SYS_msync,     [CALL_MLOCK] = SYS_mlock,       [CALL_MUNLOCK] = SYS_munlock,
		[CALL_MLOCK2] = SYS_mlock2,   [CALL_MLOCKALL] = SYS_mlockall, [CALL_BRK] = SYS_brk,
		[CALL_PREAD] = SYS_pread64,   [CALL_PWRITE] = SYS_pwrite64,   [CALL_FTRUNCATE] = SYS_ftruncate};
	long got = syscall(number[which], a[0], a[1], a[2], a[3], a[4], a[5]);

	return got == -1 ? -errno : got;
}
