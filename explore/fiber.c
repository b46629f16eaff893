/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/fiber.c: vCPUs as fibers of one thread.
 *
 * Purpose. One vCPU runs at a time, and which one is a choice at each point of each of them; so a run is
 * repeatable and any interleaving of points can be had.
 *
 * Structure. Each vCPU has a stack and a context. The conductor, on the caller's stack, starts one; from then on a vCPU
 * hands over to the next by itself, at a point (host_point) or when it waits (host_relax), and back to the conductor
 * when its part has ended.
 *
 *   conductor --> CPU 0 --point--> CPU 1 --relax--> CPU 0 --end--> conductor --> CPU 1 --end--> conductor
 *
 * Points. At a point whoever ran may go on; that is the tame answer. Who relaxes waits for something that another has
 * to do, so another goes on, in order of number unless the choice says otherwise.
 *
 * No progress. A round is over when every vCPU that has not ended relaxed since the last one, and none made more than
 * SPIN_POINTS points at a stretch without relaxing. After a round all store buffers are emptied, since what
 * they wait for may be in one. ROUNDS rounds in a row: they wait for each other, or for what nobody will do.
 * A run that never ends otherwise meets the limit of steps; code without points, the worker's timer.
 *
 * Invariants.
 *   1. current is the vCPU that host_become named last, or -1 and none but the conductor runs.
 *   2. What runs here (the hooks and all that they call) makes no point; but memory_barrier_all takes its CPU's place.
 *
 * Failure. No progress and too many steps end the run by explore_fail, which prints where each vCPU is.
 */
#include <err.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "engine.h"

#define STACK_BYTES (256u << 10)
#define GUARD_BYTES 4096u
#define SPIN_POINTS 1000u
#define ROUNDS 2000u
#define ROUNDS_TRACED 6u
#define FRAMES 24

struct fiber {
	ucontext_t context;
	char *stack;
	void *sanitizer;
	void *const *frame; /* where it gave way: its frame pointer */
	const void *waits;  /* where it relaxed last */
	bool live;
	bool relaxed;    /* in this round */
	uint32_t points; /* since it relaxed last */
};

static struct fiber fibers[EXPLORE_CPUS], conductor;
static const struct scenario *scenario;
static struct host_machine *machine;
static int current = -1;
static uint32_t live, rounds;
static uint64_t steps, limit;

int fiber_cpu(void) { return current; }
uint64_t fiber_step(void) { return steps; }

void fiber_init(void)
{
	for (unsigned i = 0; i < EXPLORE_CPUS; i++) {
		char *p = mmap(NULL, STACK_BYTES + GUARD_BYTES, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

		if (p == MAP_FAILED || mprotect(p, GUARD_BYTES, PROT_NONE))
			err(2, "no stack for a vCPU");
		fibers[i].stack = p + GUARD_BYTES;
	}
}

/* From one context to another, NULL: the conductor. Returns when someone comes back. */
static void hand_over(struct fiber *from, struct fiber *to, bool ordered)
{
	from->frame = __builtin_frame_address(0);
	current = to == &conductor ? -1 : (int)(to - fibers);
	if (current >= 0)
		host_become(machine, (uint32_t)current);
	sanitizer_switch(to->sanitizer, ordered);
	swapcontext(&from->context, &to->context);
}

/* The vCPUs that can run, from first on in order of number, without leave. */
static unsigned runnable(uint8_t *cpu, uint32_t first, int leave)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < scenario->cpus; i++) {
		uint32_t k = (first + i) % scenario->cpus;

		if (fibers[k].live && (int)k != leave)
			cpu[n++] = (uint8_t)k;
	}
	return n;
}

static void progress(void)
{
	if (rounds >= ROUNDS_TRACED)
		trace_pause(false);
	rounds = 0;
}

static void count_step(void)
{
	if (++steps > limit)
		explore_fail("no end within %llu steps", (unsigned long long)limit);
}

static void go_on(struct fiber *f, uint32_t next, const void *pc)
{
	uint32_t self = (uint32_t)(f - fibers);

	if (next != self) {
		TRACE(pc, "-> CPU %u", next);
		hand_over(f, &fibers[next], false);
	}
	memory_step(self);
}

static void point(void)
{
	struct fiber *f = &fibers[current];
	const void *pc = __builtin_return_address(0);
	uint8_t cpu[EXPLORE_CPUS];
	unsigned n;

	count_step();
	if (++f->points > SPIN_POINTS) {
		f->relaxed = false;
		progress();
	}
	if (sanitizer_here())
		TRACE(pc, "point");
	n = runnable(cpu, (uint32_t)current, -1);
	go_on(f, cpu[choice_cpu(n, cpu, current, false, false)], pc);
}

static void fail_no_progress(void)
{
	char waiting[256] = "";
	size_t at = 0;

	for (uint32_t i = 0; i < scenario->cpus; i++)
		if (fibers[i].live)
			at += (size_t)snprintf(waiting + at, sizeof waiting - at, "%sCPU %u in pc:%lx", at ? ", " : "",
					       i, (unsigned long)(uintptr_t)fibers[i].waits);
	trace_pause(false);
	explore_fail("no progress, all wait: %s", waiting);
}

static void end_round(void)
{
	for (uint32_t i = 0; i < scenario->cpus; i++)
		if (fibers[i].live && !fibers[i].relaxed)
			return;
	for (uint32_t i = 0; i < scenario->cpus; i++)
		fibers[i].relaxed = false;
	memory_idle();
	rounds++;
	if (rounds == ROUNDS_TRACED) {
		TRACE(NULL, "all wait, and so on");
		trace_pause(true);
	}
	if (rounds >= ROUNDS)
		fail_no_progress();
}

static void relax(void)
{
	struct fiber *f = &fibers[current];
	const void *pc = __builtin_return_address(0);
	uint32_t self = (uint32_t)current;
	uint8_t cpu[EXPLORE_CPUS];
	unsigned n;

	count_step();
	f->waits = pc;
	f->relaxed = true;
	f->points = 0;
	end_round();
	TRACE(pc, "waits");
	n = runnable(cpu, self + 1, current);
	go_on(f, n ? cpu[choice_cpu(n, cpu, current, true, false)] : self, pc);
}

static void play(void)
{
	struct fiber *f = &fibers[current];

	memory_step((uint32_t)current);
	scenario->run((uint32_t)current);
	f->live = false;
	live--;
	progress();
	TRACE(NULL, "has ended");
	hand_over(f, &conductor, true);
	__builtin_unreachable();
}

static void prepare(struct fiber *f)
{
	getcontext(&f->context);
	f->context.uc_stack.ss_sp = f->stack;
	f->context.uc_stack.ss_size = STACK_BYTES;
	f->context.uc_link = NULL;
	makecontext(&f->context, play, 0);
	f->sanitizer = sanitizer_fiber();
	f->live = true;
}

void fiber_run(const struct scenario *s, uint64_t most)
{
	uint8_t cpu[EXPLORE_CPUS];
	int last = 0;

	scenario = s;
	machine = s->machine();
	limit = most;
	live = s->cpus;
	for (uint32_t i = 0; i < s->cpus; i++)
		prepare(&fibers[i]);
	conductor.sanitizer = sanitizer_self();
	memory_begin(s->cpus);
	host_point = point;
	host_relax = relax;
	host_barrier_all = memory_barrier_all;
	while (live) {
		unsigned n = runnable(cpu, (uint32_t)last, -1);

		last = cpu[choice_cpu(n, cpu, -1, true, live == s->cpus)];
		TRACE(NULL, "-> CPU %d", last);
		hand_over(&conductor, &fibers[last], false);
	}
	host_point = NULL;
	host_relax = NULL;
	host_barrier_all = NULL;
	memory_end();
	host_become(machine, 0);
}

void fiber_stacks(void)
{
	for (uint32_t i = 0; scenario && i < scenario->cpus; i++) {
		const struct fiber *f = &fibers[i];
		const uintptr_t low = (uintptr_t)f->stack, high = low + STACK_BYTES;
		void *const *frame = f->frame;

		if (!f->live || (int)i == current || !frame)
			continue;
		dprintf(STDERR_FILENO, "CPU %u is at:\n", i);
		for (unsigned k = 0; k < FRAMES; k++) {
			if ((uintptr_t)frame < low || (uintptr_t)frame > high - 16)
				break;
			if (frame[1])
				dprintf(STDERR_FILENO, "    pc:%lx\n", (unsigned long)(uintptr_t)frame[1]);
			frame = frame[0];
		}
	}
}
