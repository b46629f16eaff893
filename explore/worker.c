/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/worker.c: a scenario set up once, then one process per run.
 *
 * Purpose. Each run starts from exactly the same state, whatever the runs before it did to it or to themselves.
 *
 * Structure. A worker is a process that does one task (a scenario, a variant, some seeds). It runs setup, and then
 * forks for each run; memory is copied on write, so a run pays for the pages that it touches. Run, worker and parent
 * share a struct slot.
 *
 *   parent --fork--> worker: setup, tame run --fork--> run: CPUs, judge, _exit
 *                                            --fork--> run: ...
 *
 * Every schedule. The tame run's questions are numbered; a schedule is a list of numbers with other answers. A
 * depth-first walk runs a list, looks which questions were asked behind its last number, and appends each other answer
 * to each of them in turn, until bound many stand there. Nothing is remembered but the path. Who starts is free: it
 * does not count. All lists up to the bound are run once each, since a list names the answers that differ and replays
 * the rest.
 *
 *   ()  ->  (3:1)  ->  (3:1, 7:1) (3:1, 9:2) ...
 *       ->  (4:1)  ->  ...
 *
 * Parts. The walk is shared out by counting first deviations that cost: part i takes each parts-th. Where there are
 * more than SCHEDULES, only every so many-th is taken, beginning with one that the seed picks.
 *
 * Reduction. A failing random run is written as the list of its answers that are not 0. Blocks of the list are left
 * out, half of it first and single ones last, from the back, since what is left out moves the numbers behind it; what
 * still fails the same way stays.
 *
 * Failure. A run fails when it ends in any other way than by _exit(0) behind judge: by explore_fail, a panic, a signal,
 * the sanitizer's exit. What it printed tells why. A worker that dies itself failed in setup.
 *
 * Source: A. Zeller, R. Hildebrandt, Simplifying and isolating failure-inducing input (IEEE TSE 2002).
 */
#include <ctype.h>
#include <err.h>
#include <execinfo.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine.h"

#define EXIT_FAILED 9
#define RUN_SECONDS 10 /* of CPU time */
#define RUN_SECONDS_WALL 60
#define SETUP_SECONDS 60
#define VARIANT_BLOCK 16 /* neighbouring seeds have one variant, so that setup is worth it */
#define TRIES_MAX 3000   /* of a reduction */

struct slot *worker_slot;
static const bool *stop_flag;
static int output_fd, trace_fd;

/* Questions of the run of each list on the path; what was asked, without the answers. */
static struct {
	uint16_t n;
	uint16_t free;
} asked[BOUND_MAX + 2][RECORD_MAX];

/* --- inside a run --- */

/* The stack of whoever runs. */
static void print_backtrace(void)
{
	void *pc[40];
	int n = backtrace(pc, 40);

	if (explore_cpu() >= 0)
		dprintf(STDERR_FILENO, "CPU %d is at:\n", explore_cpu());
	else
		dprintf(STDERR_FILENO, "setup or judge is at:\n");
	for (int i = 1; i < n; i++)
		dprintf(STDERR_FILENO, "    pc:%lx\n", (unsigned long)(uintptr_t)pc[i]);
}

static void note_run(void)
{
	worker_slot->run_steps = explore_step();
	worker_slot->run_choices = choice_count();
}

void explore_fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(worker_slot->message, sizeof worker_slot->message, format, args);
	va_end(args);
	note_run();
	TRACE(NULL, "FAILS: %s", worker_slot->message);
	print_backtrace();
	if (!explore_parallel())
		fiber_stacks();
	_exit(EXIT_FAILED);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
	struct slot *s = worker_slot;

	(void)context;
	signal(number, SIG_DFL);
	note_run();
	if (number == SIGVTALRM || number == SIGALRM)
		snprintf(s->message, sizeof s->message, "no end within %d s, without a point", RUN_SECONDS);
	else if (number != SIGABRT)
		snprintf(s->message, sizeof s->message, "%s at address %p", strsignal(number), info->si_addr);
	TRACE(NULL, "FAILS: %s", number == SIGABRT ? "panic" : s->message);
	print_backtrace();
	if (!explore_parallel())
		fiber_stacks();
	_exit(EXIT_FAILED);
}

static void catch_signals(void)
{
	static const int caught[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGVTALRM, SIGALRM};
	static char stack[65536];
	const stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
	struct sigaction a = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	sigaltstack(&other, NULL);
	for (unsigned i = 0; i < sizeof caught / sizeof *caught; i++)
		sigaction(caught[i], &a, NULL);
}

static void __attribute__((noreturn)) run(const struct plan *p, bool record, bool trace)
{
	struct slot *slot = worker_slot;
	const struct scenario *s = slot->scenario;
	const struct itimerval limit = {.it_value = {.tv_sec = RUN_SECONDS}};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	catch_signals();
	setitimer(ITIMER_VIRTUAL, &limit, NULL);
	alarm(RUN_SECONDS_WALL);
	if (trace)
		trace_open(trace_fd);
	choice_begin(p, s->cpus, record ? slot->record : NULL);
	if (explore_parallel())
		thread_run(s, p->random);
	else
		fiber_run(s, STEPS_MAX);
	choice_end();
	note_run();
	TRACE(NULL, "all have ended: the judge");
	s->judge();
	slot->ended = true;
	_exit(0);
}

/* --- what came of a run --- */

static void first_line(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%.*s", (int)strcspn(from, "\n"), from);
}

void worker_why(int output, char *to, size_t size)
{
	static const char *const word[] = {"panic: ", "SUMMARY: ", "WARNING: ThreadSanitizer", "FATAL: "};
	static char text[OUTPUT_MAX];
	ssize_t n = pread(output, text, sizeof text - 1, 0);

	to[0] = 0;
	text[n > 0 ? n : 0] = 0;
	for (unsigned i = 0; i < sizeof word / sizeof *word && !to[0]; i++) {
		const char *at = strstr(text, word[i]);

		if (at)
			first_line(to, size, at);
	}
}

static void describe(int status)
{
	struct slot *s = worker_slot;

	if (s->message[0])
		return;
	worker_why(output_fd, s->message, sizeof s->message);
	if (s->message[0])
		return;
	if (WIFSIGNALED(status))
		snprintf(s->message, sizeof s->message, "ended by signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(s->message, sizeof s->message, "ended with status %d", WEXITSTATUS(status));
}

/* Output of runs that passed goes. */
static void clear_output(void)
{
	if (lseek(output_fd, 0, SEEK_END) > 0 && ftruncate(output_fd, 0))
		err(2, "no room for output");
}

/* A run by that plan. => true: it passed; else slot->message says why not. */
static bool passes(const struct plan *p, bool record, bool trace)
{
	struct slot *s = worker_slot;
	int status;
	pid_t pid;

	clear_output();
	s->ended = false;
	s->message[0] = 0;
	s->run_steps = s->run_choices = 0;
	pid = fork();
	if (pid < 0)
		err(2, "fork");
	if (pid == 0)
		run(p, record, trace);
	if (waitpid(pid, &status, 0) != pid)
		err(2, "waitpid");
	s->runs++;
	s->steps += s->run_steps;
	s->choices += s->run_choices;
	if (s->ended && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	describe(status);
	return false;
}

static void note_failure(const struct plan *p)
{
	struct failure *f = &worker_slot->failure;

	f->plan = *p;
	f->deviations = p->mode == MODE_LIST ? p->deviations : 0;
	if (f->deviations)
		memcpy(worker_slot->deviation, p->list, f->deviations * sizeof *p->list);
	f->plan.list = worker_slot->deviation;
	memcpy(f->message, worker_slot->message, sizeof f->message);
	f->failed = true;
}

/* --- random runs --- */

uint64_t run_hash(const struct scenario *s, uint64_t seed)
{
	uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */

	for (const char *p = s->name; *p; p++)
		h = (h ^ (unsigned char)*p) * UINT64_C(1099511628211);
	return mix(h ^ mix(seed));
}

uint32_t run_variant(const struct scenario *s, uint64_t seed)
{
	if (options.variant != UINT32_MAX)
		return options.variant;
	return (uint32_t)(run_hash(s, seed / VARIANT_BLOCK) % variants_of(s));
}

struct plan run_plan(const struct scenario *s, uint64_t seed)
{
	uint64_t h = run_hash(s, seed);

	return (struct plan){.mode = h & 1 ? MODE_PCT : MODE_WALK, .seed = seed, .random = h, .depth = options.depth};
}

static void random_runs(struct slot *s)
{
	for (uint64_t seed = s->from; seed < s->to && !*stop_flag; seed++) {
		struct plan p = run_plan(s->scenario, seed);

		p.steps = s->tame_steps;
		if (!passes(&p, false, false)) {
			note_failure(&p);
			return;
		}
	}
}

/* --- every schedule --- */

struct search {
	struct deviation list[DEVIATIONS_MAX];
	uint32_t n, cost;
	uint64_t firsts; /* first deviations that cost, so far */
	uint64_t turn;   /* of them, every turn-th is ours */
};
static struct search search;

/* Is the next first deviation this worker's? */
static bool ours(const struct slot *s)
{
	uint64_t i = search.firsts++;

	return i % s->parts == s->part && i / s->parts % s->stride == search.turn;
}

/* From the tame run: in how many steps the first deviations are to be gone through, so that there are not too many. */
static void pick_stride(struct slot *s, uint64_t n)
{
	uint64_t firsts = 0, starts = 1;

	for (uint64_t i = 0; i < n; i++)
		if (s->record[i].free)
			starts += s->record[i].n - 1;
		else
			firsts += s->record[i].n - 1;
	s->stride = (uint32_t)((firsts * starts + options.schedules - 1) / options.schedules);
	if (!s->stride)
		s->stride = 1;
	search.turn = s->plan.random % s->stride;
}

static bool descend(struct slot *s, uint32_t level, uint64_t from)
{
	struct plan p = {.mode = MODE_LIST,
			 .seed = s->plan.seed,
			 .random = s->plan.random,
			 .list = search.list,
			 .deviations = search.n};
	uint64_t asked_n;

	if (*stop_flag)
		return false;
	if (!passes(&p, search.cost < s->bound, false)) {
		note_failure(&p);
		return false;
	}
	asked_n = s->run_choices < RECORD_MAX ? s->run_choices : RECORD_MAX;
	if (search.cost == s->bound)
		return true;
	if (level == 0)
		pick_stride(s, asked_n);
	for (uint64_t i = from; i < asked_n; i++) {
		asked[level][i].n = s->record[i].n < UINT16_MAX ? (uint16_t)s->record[i].n : UINT16_MAX;
		asked[level][i].free = s->record[i].free;
	}
	for (uint64_t i = from; i < asked_n; i++) {
		uint32_t cost = !asked[level][i].free;

		for (uint32_t a = 1; a < asked[level][i].n; a++) {
			bool good;

			if (cost && search.cost == 0 && !ours(s))
				continue;
			search.list[search.n++] = (struct deviation){(uint32_t)i, a};
			search.cost += cost;
			good = descend(s, level + 1, i + 1);
			search.cost -= cost;
			search.n--;
			if (!good)
				return false;
		}
	}
	return true;
}

/* --- one failing run --- */

/* Messages tell the same failure when they differ in numbers only. */
static bool same_kind(const char *a, const char *b)
{
	for (;;) {
		while (isxdigit((unsigned char)*a))
			a++;
		while (isxdigit((unsigned char)*b))
			b++;
		if (*a != *b)
			return false;
		if (!*a)
			return true;
		a++;
		b++;
	}
}

static void replay(struct slot *s, const char *message)
{
	for (uint32_t i = 0; i < s->count; i++) {
		if (passes(&s->plan, false, false))
			continue;
		if (!s->failure.failed)
			note_failure(&s->plan);
		s->same += !strcmp(s->message, message[0] ? message : s->failure.message);
	}
}

/* Does the first n of list fail in that way? */
static bool fails_alike(const struct slot *s, const struct deviation *list, uint32_t n, const char *message)
{
	const struct plan p = {
		.mode = MODE_LIST, .seed = s->plan.seed, .random = s->plan.random, .list = list, .deviations = n};

	return !passes(&p, false, false) && same_kind(worker_slot->message, message);
}

static void reduce(struct slot *s, const char *message)
{
	static struct deviation list[DEVIATIONS_MAX], shorter[DEVIATIONS_MAX];
	uint32_t n = 0;

	if (passes(&s->plan, true, false))
		return;
	for (uint64_t i = 0; i < s->run_choices && i < RECORD_MAX; i++)
		if (s->record[i].answer) {
			if (n == DEVIATIONS_MAX)
				return;
			list[n++] = (struct deviation){(uint32_t)i, s->record[i].answer};
		}
	if (!fails_alike(s, list, n, message))
		return;
	for (uint32_t block = n; block; block /= 2)
		for (uint32_t end = n; end && s->runs < TRIES_MAX;) {
			uint32_t start = end > block ? end - block : 0;

			memcpy(shorter, list, start * sizeof *list);
			memcpy(shorter + start, list + end, (n - end) * sizeof *list);
			if (fails_alike(s, shorter, n - (end - start), message)) {
				n -= end - start;
				memcpy(list, shorter, n * sizeof *list);
			}
			end = start;
		}
	s->failure.failed = true;
	s->failure.deviations = n;
	memcpy(s->deviation, list, n * sizeof *list);
}

/* --- the worker --- */

static void set_up(struct slot *s)
{
	s->failure.in_setup = true;
	alarm(SETUP_SECONDS);
	explore_portable(false);
	test_way = (enum test_way)(s->variant / own_variants(s->scenario));
	s->scenario->setup(s->variant % own_variants(s->scenario));
	alarm(0);
	s->failure.in_setup = false;
}

/* How long a run is, for PCT. */
static bool tame_run(struct slot *s)
{
	const struct plan p = {.mode = MODE_LIST, .random = run_hash(s->scenario, 0), .list = s->list};
	bool good = passes(&p, false, false);

	s->tame_steps = s->run_steps;
	s->tame_choices = s->run_choices;
	if (!good)
		note_failure(&p);
	return good;
}

void worker_main(struct slot *s, const bool *stop, int output, int trace)
{
	static char message[sizeof s->failure.message];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	worker_slot = s;
	stop_flag = stop;
	output_fd = output;
	trace_fd = trace;
	if (dup2(output, STDOUT_FILENO) < 0 || dup2(output, STDERR_FILENO) < 0)
		_exit(2);
	/* what a replay should say */
	memcpy(message, s->failure.message, sizeof message);
	memset(&s->failure, 0, sizeof s->failure);
	s->runs = s->steps = s->choices = s->same = 0;
	choice_end();
	set_up(s);
	if (!explore_parallel() && !tame_run(s) && s->kind != TASK_REPLAY && s->kind != TASK_TRACE &&
	    s->kind != TASK_REDUCE)
		_exit(0);
	s->runs = s->steps = s->choices = 0;
	memset(&s->failure, 0, sizeof s->failure);
	s->plan.steps = s->tame_steps;
	s->plan.list = s->list;
	switch (s->kind) {
	case TASK_RANDOM:
		random_runs(s);
		break;
	case TASK_EXHAUSTIVE:
		descend(s, 0, 0);
		break;
	case TASK_REPLAY:
		replay(s, message);
		break;
	case TASK_REDUCE:
		reduce(s, message);
		break;
	case TASK_TRACE:
		if (!passes(&s->plan, false, true))
			note_failure(&s->plan);
		break;
	}
	_exit(0);
}
