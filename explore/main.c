/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/main.c: which runs there are, who does them, and the table at the end.
 *
 * Purpose. RUNS random runs, the same number of each scenario, and then every schedule of the small scenarios.
 *
 * Structure. All is cut into tasks of a scenario, a variant and a few hundred seeds, or a part of its schedules.
 * JOBS workers at a time do one each, scenarios in turn, so that an early end of the whole has seen something of all.
 * Run i of a scenario has seed SEED + i: from the scenario's name and this number follow its variant, mode and
 * answers, so one run is repeated by naming both.
 *
 * Replays. Code under test may compare or hash pointers, so addresses have to repeat: address randomization is off, the
 * environment is empty but for a few names, the stack begins at a round address, and this process allocates nothing
 * before it is copied.
 *
 * Failure. The first failure of a scenario is reported at once and stops that scenario; the others go on. Exit status:
 * 0 all passed, 1 something failed, 2 wrong arguments or no resources.
 */
#include <alloca.h>
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine.h"

#define SCENARIOS_MAX 1024
#define JOBS_MAX 256
#define CHUNK 256 /* runs of a task, at most */
#define PROGRESS_SECONDS 10
#define STACK_ROUND 65536u

struct job {
	const struct scenario *s;
	bool *stop;              /* shared: it has failed */
	uint64_t next, end;      /* seeds to go */
	uint32_t part, variants; /* the next exhaustive task's; variants that are done */
	uint64_t runs, schedules, steps, failures;
	uint32_t stride; /* of the schedules, one in so many was run */
	unsigned same;   /* of REPLAYS */
	double seconds;
	uint64_t seed; /* of the failure */
};

struct worker {
	struct slot *slot;
	struct job *job;
	int output;
	pid_t pid;
	double since;
};

static struct job job[SCENARIOS_MAX];
static unsigned jobs_n, turn;
static struct worker worker[JOBS_MAX + 1]; /* the last one works for reports */
static double started, last_progress;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *shared(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		err(2, "no shared memory");
	return p;
}

/* --- which scenarios --- */

static bool planted(const char *name) { return !strncmp(name, "planted-", 8); }

static bool exact_name(void)
{
	for (const struct scenario_table *t = scenario_tables; options.scenario && t->scenario; t++)
		for (unsigned i = 0; i < *t->count; i++)
			if (!strcmp(t->scenario[i].name, options.scenario))
				return true;
	return false;
}

static bool wanted(const struct scenario *s, bool exact)
{
	if (s->cpus > options.cpus)
		return false;
	if (!options.scenario)
		return !planted(s->name);
	if (exact)
		return !strcmp(s->name, options.scenario);
	return strstr(s->name, options.scenario) && (!planted(s->name) || !strncmp(options.scenario, "planted", 7));
}

static void select_scenarios(void)
{
	bool exact = exact_name();
	bool *stop;

	for (const struct scenario_table *t = scenario_tables; t->scenario; t++)
		for (unsigned i = 0; i < *t->count; i++) {
			const struct scenario *s = &t->scenario[i];

			if (!wanted(s, exact))
				continue;
			if (jobs_n == SCENARIOS_MAX)
				errx(2, "more than %u scenarios", SCENARIOS_MAX);
			if (options.variant != UINT32_MAX && options.variant >= variants_of(s))
				errx(2, "VARIANT=%u: %s has %u", options.variant, s->name, variants_of(s));
			job[jobs_n++].s = s;
		}
	if (!jobs_n)
		errx(2, "no scenario is called like SCENARIO=%s with CPUS=%u at most",
		     options.scenario ? options.scenario : "", options.cpus);
	if (options.has_schedule && jobs_n > 1)
		errx(2, "SCHEDULE is of one scenario; SCENARIO=%s means %u", options.scenario, jobs_n);
	stop = shared(jobs_n);
	for (unsigned i = 0; i < jobs_n; i++) {
		uint64_t each = options.runs / jobs_n + (i < options.runs % jobs_n);

		job[i].stop = &stop[i];
		job[i].next = options.seed;
		job[i].end = options.seed + each;
	}
}

/* --- tasks --- */

/* The next seeds that share a variant. */
static bool random_task(struct job *j, struct slot *slot)
{
	if (j->next == j->end)
		return false;
	slot->kind = TASK_RANDOM;
	slot->scenario = j->s;
	slot->variant = run_variant(j->s, j->next);
	slot->from = j->next;
	while (j->next < j->end && j->next - slot->from < CHUNK && run_variant(j->s, j->next) == slot->variant)
		j->next++;
	slot->to = j->next;
	return true;
}

/* Variants are taken from one on that the seed picks, so that a few of them are others each time. */
static bool exhaustive_task(struct job *j, struct slot *slot)
{
	uint32_t n = options.variant != UINT32_MAX ? 1 : variants_of(j->s);
	uint32_t most = n < options.variants ? n : options.variants;
	uint32_t parts = most < 2 * options.jobs ? 2 * options.jobs : 1;

	if (!j->s->exhaustive || !options.bound || j->variants == most)
		return false;
	slot->kind = TASK_EXHAUSTIVE;
	slot->scenario = j->s;
	slot->variant = options.variant != UINT32_MAX ? options.variant
						      : (uint32_t)((run_hash(j->s, options.seed) + j->variants) % n);
	slot->part = j->part;
	slot->parts = parts;
	slot->bound = options.bound;
	slot->plan = (struct plan){.mode = MODE_LIST, .seed = options.seed, .random = run_hash(j->s, options.seed)};
	if (++j->part == parts) {
		j->part = 0;
		j->variants++;
	}
	return true;
}

static struct job *next_task(struct slot *slot)
{
	bool (*const kind[])(struct job *, struct slot *) = {random_task, exhaustive_task};

	for (unsigned k = 0; k < 2; k++)
		for (unsigned i = 0; i < jobs_n; i++) {
			struct job *j = &job[turn++ % jobs_n];

			if (!*j->stop && kind[k](j, slot))
				return j;
		}
	return NULL;
}

/* --- workers --- */

static int output_file(void)
{
	int fd = (int)memfd_create("output", MFD_CLOEXEC);

	/* append: a worker empties it between runs */
	if (fd < 0 || fcntl(fd, F_SETFL, O_APPEND))
		err(2, "no file for output");
	return fd;
}

static void start(struct worker *w, struct job *j)
{
	w->job = j;
	w->since = now();
	w->slot->failure.message[0] = 0;
	fflush(NULL);
	w->pid = fork();
	if (w->pid < 0)
		err(2, "fork");
	if (w->pid == 0)
		worker_main(w->slot, j->stop, w->output, -1);
}

static void failed(struct worker *w, const char *message)
{
	struct job *j = w->job;
	struct worker *reporter = &worker[JOBS_MAX];

	if (message) {
		w->slot->failure.in_setup = true;
		snprintf(w->slot->failure.message, sizeof w->slot->failure.message, "%s", message);
	}
	if (j->failures++)
		return;
	*j->stop = true;
	j->seed = w->slot->failure.plan.seed;
	j->same = report_failure(w->slot, w->output, reporter->slot, reporter->output);
}

static void collect(struct worker *w, int status)
{
	struct job *j = w->job;
	struct slot *slot = w->slot;
	char why[1024];

	w->pid = 0;
	j->seconds += now() - w->since;
	if (slot->kind == TASK_RANDOM)
		j->runs += slot->runs;
	else
		j->schedules += slot->runs;
	j->steps += slot->steps;
	if (slot->kind == TASK_EXHAUSTIVE && slot->stride > j->stride)
		j->stride = slot->stride;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		if (slot->failure.failed)
			failed(w, NULL);
		return;
	}
	worker_why(w->output, why, sizeof why);
	if (!why[0] && slot->message[0])
		snprintf(why, sizeof why, "%s", slot->message);
	if (!why[0] && WIFSIGNALED(status))
		snprintf(why, sizeof why, "ended by signal %d", WTERMSIG(status));
	if (!why[0])
		snprintf(why, sizeof why, "ended with status %d", WEXITSTATUS(status));
	failed(w, why);
}

static void progress(void)
{
	uint64_t runs = 0, schedules = 0, all = 0;
	unsigned bad = 0;

	for (unsigned i = 0; i < jobs_n; i++) {
		runs += job[i].runs;
		schedules += job[i].schedules;
		all += job[i].end - options.seed;
		bad += job[i].failures > 0;
	}
	printf("%5.0f s: %llu of %llu runs, %llu schedules, %u scenario%s failed\n", now() - started,
	       (unsigned long long)runs, (unsigned long long)all, (unsigned long long)schedules, bad,
	       bad == 1 ? "" : "s");
	last_progress = now();
}

/* Collects whoever has ended; waits at most a second. */
static void wait_workers(const sigset_t *child)
{
	const struct timespec second = {.tv_sec = 1};
	int status;
	pid_t pid;

	sigtimedwait(child, NULL, &second);
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (unsigned i = 0; i < options.jobs; i++)
			if (worker[i].pid == pid)
				collect(&worker[i], status);
	if (now() - last_progress >= PROGRESS_SECONDS)
		progress();
}

static void work(void)
{
	sigset_t child;
	bool busy = true;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	while (busy) {
		busy = false;
		for (unsigned i = 0; i < options.jobs; i++) {
			struct job *j = worker[i].pid ? NULL : next_task(worker[i].slot);

			if (j)
				start(&worker[i], j);
			busy |= worker[i].pid != 0;
		}
		if (busy)
			wait_workers(&child);
	}
}

/* --- results --- */

static void print_json(FILE *f, const struct job *j)
{
	static const char *const engine[] = {"model", "tsan", "threads"};

	fprintf(f,
		"{\"explore\":\"%s\",\"engine\":\"%s\",\"seed\":%llu,\"cpus\":%u,\"variants\":%u,\"runs\":%llu,"
		"\"schedules\":%llu,"
		"\"bound\":%u,\"stride\":%u,\"steps\":%.1f,\"seconds\":%.3f,\"failed\":%s,\"failed_seed\":%llu,"
		"\"replays\":%u}\n",
		j->s->name, engine[options.engine], (unsigned long long)options.seed, j->s->cpus, variants_of(j->s),
		(unsigned long long)j->runs, (unsigned long long)j->schedules, j->schedules ? options.bound : 0,
		j->stride, j->runs + j->schedules ? (double)j->steps / (double)(j->runs + j->schedules) : 0.0,
		j->seconds, j->failures ? "true" : "false", (unsigned long long)j->seed, j->same);
}

/* The verdict, and which part of all schedules it is about. */
static void say_share(char *text, size_t size, const struct job *j)
{
	uint32_t variants = options.variant != UINT32_MAX ? 1 : options.variants;
	int n = snprintf(text, size, "%s", j->failures ? "FAILED" : "passed");

	if (j->schedules && variants < variants_of(j->s))
		n += snprintf(text + n, size - (size_t)n, ", schedules of %u variant%s", variants,
			      variants == 1 ? "" : "s");
	if (j->schedules && j->stride > 1)
		snprintf(text + n, size - (size_t)n, ", 1 in %u schedules", j->stride);
}

static int table(void)
{
	static char name[512];
	unsigned bad = 0;
	FILE *f;

	printf("\n%-28s %4s %4s %9s %9s %7s %7s  %s\n", "scenario", "CPUs", "var.", "runs", "schedules", "steps", "s",
	       "verdict");
	for (unsigned i = 0; i < jobs_n; i++) {
		const struct job *j = &job[i];
		uint64_t all = j->runs + j->schedules;

		say_share(name, sizeof name, j);
		printf("%-28s %4u %4u %9llu %9llu %7.0f %7.1f  %s\n", j->s->name, j->s->cpus, variants_of(j->s),
		       (unsigned long long)j->runs, (unsigned long long)j->schedules,
		       all ? (double)j->steps / (double)all : 0, j->seconds, name);
		bad += j->failures > 0;
	}
	printf("%u passed, %u failed, %.1f s\n", jobs_n - bad, bad, now() - started);
	snprintf(name, sizeof name, "%s/explore.jsonl", options.build);
	f = fopen(name, "w");
	if (!f)
		err(2, "%s", name);
	for (unsigned i = 0; i < jobs_n; i++)
		print_json(f, &job[i]);
	fclose(f);
	return bad != 0;
}

/* --- one schedule --- */

static int follow_schedule(void)
{
	struct worker *w = &worker[0], *reporter = &worker[JOBS_MAX];
	struct slot *slot = w->slot;

	w->job = &job[0];
	slot->kind = TASK_REPLAY;
	slot->count = 1;
	slot->scenario = job[0].s;
	slot->variant = options.variant == UINT32_MAX ? run_variant(slot->scenario, options.seed) : options.variant;
	slot->plan = (struct plan){.mode = MODE_LIST,
				   .seed = options.seed,
				   .random = run_hash(slot->scenario, options.seed),
				   .deviations = options.deviations};
	memcpy(slot->list, options.schedule, sizeof slot->list);
	report_task(slot, w->output, -1);
	if (slot->failure.failed || slot->failure.in_setup) {
		report_failure(slot, w->output, reporter->slot, reporter->output);
		return 1;
	}
	printf("passed: %llu steps, %llu choices\n", (unsigned long long)slot->run_steps,
	       (unsigned long long)slot->run_choices);
	return 0;
}

/* A run that was asked for and passed, traced all the same. */
static void trace_passed(void)
{
	for (unsigned i = 0; i < jobs_n; i++) {
		struct worker *w = &worker[JOBS_MAX];

		if (job[i].failures)
			continue;
		w->slot->scenario = job[i].s;
		w->slot->plan = run_plan(job[i].s, options.seed);
		if (options.has_schedule) {
			w->slot->plan.mode = MODE_LIST;
			w->slot->plan.deviations = options.deviations;
			memcpy(w->slot->list, options.schedule, sizeof w->slot->list);
		}
		w->slot->variant = run_variant(job[i].s, options.seed);
		report_trace(w->slot, w->output);
	}
}

/* --- beginning --- */

static void __attribute__((noinline)) explore(int argc, char **argv)
{
	static char output[1 << 16], name[512];
	int status;

	options_read(argc, argv);
	setvbuf(stdout, output, _IOLBF, sizeof output);
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0); /* a run would pay for 2 MiB where it touches a page */
	fiber_init();
	select_scenarios();
	for (unsigned i = 0; i <= JOBS_MAX; i++)
		if (i < options.jobs || i == JOBS_MAX) {
			worker[i].slot = shared(sizeof *worker[i].slot);
			worker[i].output = output_file();
		}
	snprintf(name, sizeof name, "%s/explore", options.build);
	mkdir(options.build, 0777);
	mkdir(name, 0777);
	printf("explore: seed %llu, %u scenario%s\n", (unsigned long long)options.seed, jobs_n, jobs_n == 1 ? "" : "s");
	started = last_progress = now();
	if (options.has_schedule) {
		status = follow_schedule();
	} else {
		work();
		status = table();
	}
	if (options.trace && options.engine != ENGINE_THREADS && !status)
		trace_passed();
	fflush(NULL);
	exit(status);
}

/* Once more, without address randomization and with an environment that does not move the stack. */
static void start_over(char **argv)
{
	static char *kept[3];
	unsigned n = 0;

	if (personality(0xffffffff) & ADDR_NO_RANDOMIZE)
		return;
	if (personality(ADDR_NO_RANDOMIZE) < 0) {
		warnx("addresses are random here: a failure that depends on them does not replay");
		return;
	}
	for (char **e = environ; *e && n < 2; e++)
		if (!strncmp(*e, "PATH=", 5) || !strncmp(*e, "TSAN_OPTIONS=", 13))
			kept[n++] = *e;
	execve("/proc/self/exe", argv, kept);
	err(2, "cannot start over");
}

int main(int argc, char **argv)
{
	char *volatile pad;

	start_over(argv);
	pad = alloca((uintptr_t)__builtin_frame_address(0) % STACK_ROUND);
	(void)pad;
	explore(argc, argv);
}
