/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Accesses that are expected to fault, and what the kernel said about them.
 *
 * TRAP(statement) runs the statement with handlers for SIGSEGV, SIGBUS and SIGILL in place and
 * leaves in `trap` the signal (0 when nothing happened), its code and its address. The handler
 * jumps back out, so a statement that faults is not repeated. SA_NODEFER makes that jump possible
 * without a mask to restore, which would be two system calls each time. One thread at a time.
 */
#ifndef TRAP_H
#define TRAP_H

/*
 * GCC warns of every local that is live over sigsetjmp. Those of the tests are not changed by the
 * statement, so their values are defined after the jump; what a statement does assign is volatile.
 */
#pragma GCC diagnostic ignored "-Wclobbered"

#include <setjmp.h>
#include <signal.h>
#include <stdint.h>

struct trap_record {
	int signal;
	int code;
	uintptr_t address;
};

static struct trap_record trap;
static sigjmp_buf trap_back;

static void trap_handler(int signal, siginfo_t *info, void *context)
{
	(void)context;
	trap.signal = signal;
	trap.code = info->si_code;
	trap.address = (uintptr_t)info->si_addr;
	siglongjmp(trap_back, 1);
}

__attribute__((unused)) static void trap_install(int extra_flags)
{
	struct sigaction action = {.sa_sigaction = trap_handler, .sa_flags = SA_SIGINFO | SA_NODEFER | extra_flags};
	static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP};

	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		sigaction(signals[i], &action, NULL);
}

#define TRAP(statement) \
	do { \
		trap = (struct trap_record){0}; \
		if (sigsetjmp(trap_back, 0) == 0) { \
			statement; \
		} \
	} while (0)

#define TRAP_READ(where) TRAP((void)*(volatile const char *)(where))
#define TRAP_WRITE(where) TRAP(*(volatile char *)(where) = 1)

/* The statement must raise this signal with this code at exactly this address. */
#define CHECK_TRAP(want_signal, want_code, want_address, statement) \
	do { \
		TRAP(statement); \
		if (trap.signal != (want_signal) || trap.code != (want_code) || \
		    trap.address != (uintptr_t)(want_address)) \
			check_failed(__FILE__, __LINE__, \
				     "%s: expected signal %d code %d at 0x%lx, got signal %d code %d at 0x%lx", \
				     #statement, (want_signal), (want_code), (unsigned long)(uintptr_t)(want_address), \
				     trap.signal, trap.code, (unsigned long)trap.address); \
	} while (0)

#define READ(where) (void)*(volatile const char *)(where)
#define WRITE(where) *(volatile char *)(where) = 1

/* The access must go through. */
#define CHECK_NO_TRAP(statement) CHECK_TRAP(0, 0, 0, statement)

#endif
