/* SPDX-License-Identifier: BSD-2-Clause */
#include "proc/sigqueue.h"

#include "base/bits.h"
#include "proc/linux_abi.h"

enum error sigqueue_init(struct proc_system *ps)
{
	ps->siginfo_zone = zone_create(&ps->vm->zones, "siginfo", sizeof(struct sigqueue), 0, NULL, NULL, 0);
	return ps->siginfo_zone ? OK : ERR_NOMEM;
}

struct sigqueue *sigqueue_alloc(struct proc_system *ps, const struct siginfo *info)
{
	struct sigqueue *q = zone_alloc(ps->siginfo_zone);

	if (q) {
		q->info = *info;
		list_init(&q->link);
	}
	return q;
}

void sigqueue_free(struct proc_system *ps, struct sigqueue *q)
{
	if (q)
		zone_free(ps->siginfo_zone, q);
}

static struct sigqueue *find(const struct sigpending *pending, int sig)
{
	LIST_FOR(m, &pending->queue) {
		struct sigqueue *q = CONTAINER_OF(m, struct sigqueue, link);

		if (q->info.si_signo == sig)
			return q;
	}
	return NULL;
}

void sigqueue_take(struct proc_system *ps, struct sigpending *pending, int sig, struct siginfo *info)
{
	struct sigqueue *q = find(pending, sig);

	if (q) {
		*info = q->info;
		list_remove(&q->link);
		pending->queued--;
		sigqueue_free(ps, q);
	} else {
		__builtin_memset(info, 0, sizeof *info);
		info->si_signo = sig;
	}
	if (sig < SIGRTMIN || !find(pending, sig))
		pending->set &= ~SIG_BIT(sig);
}

void sigqueue_drop(struct proc_system *ps, struct sigpending *pending, uint64_t set)
{
	for (uint64_t left = pending->set & set; left; left &= left - 1) {
		struct siginfo info;

		while (pending->set & (left & -left))
			sigqueue_take(ps, pending, (int)bit_lowest(left) + 1, &info);
	}
}
