/* SPDX-License-Identifier: BSD-2-Clause */
/* proc/siginfo.h: siginfo, action and pending set of signals, laid out as Linux/arm64 programs see them. */
#ifndef PROC_SIGINFO_H
#define PROC_SIGINFO_H

#include <stdint.h>

#include "base/list.h"

struct siginfo {
	int32_t si_signo, si_errno, si_code, pad_;
	union {
		unsigned char raw[112];
		struct {
			int32_t pid;
			uint32_t uid;
			uint64_t value; /* sigval of SI_QUEUE */
		} kill;
		struct {
			int32_t timer, overrun;
			uint64_t value;
		} timer;
		struct {
			int32_t pid;
			uint32_t uid;
			int32_t status, pad;
			int64_t utime, stime;
		} child;
		struct {
			uint64_t addr;
			uint16_t addr_lsb;
		} fault;
	};
};
_Static_assert(sizeof(struct siginfo) == 128, "Linux's siginfo_t");

/* struct sigaction of rt_sigaction(2). */
struct sigact {
	uint64_t handler; /* SIG_DFL, SIG_IGN or an address */
	uint64_t flags;   /* SA_* */
	uint64_t restorer;
	uint64_t mask;
};
_Static_assert(sizeof(struct sigact) == 32, "Linux's struct sigaction for arm64");

/* stack_t */
struct sigstack {
	uint64_t sp;
	int32_t flags, pad_;
	uint64_t size;
};
_Static_assert(sizeof(struct sigstack) == 24, "Linux's stack_t");

/* Signals that were sent and not taken yet. Guarded by the process's lock. */
struct sigpending {
	uint64_t set;      /* SIG_BIT of each */
	struct list queue; /* struct sigqueue (sigqueue.h): infos; a set bit may lack its info */
	uint32_t queued;   /* of those */
};

#endif
