/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/report.c: a failure, for people.
 *
 * Told once per scenario: what failed, how to see it again, whether it can be seen again at all, the shortest schedule
 * that was found for it, and a trace of that schedule.
 */
#include <err.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine.h"

#define TAIL 40            /* lines of trace that are shown */
#define HEAD 60            /* lines of what the run printed */
#define SCHEDULE_SHOWN 200 /* deviations that fit a command line that people read */

static const bool never;

/* fork, with nothing in buffers that both would print. */
static pid_t fork_clean(void)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		err(2, "fork");
	return pid;
}

void report_task(struct slot *work, int output, int trace)
{
	pid_t pid = fork_clean();
	int status;

	if (pid == 0)
		worker_main(work, &never, output, trace);
	waitpid(pid, &status, 0);
}

/* --- commands that replay --- */

static void print_command(const struct slot *s, const struct plan *p, uint32_t deviations)
{
	printf("make explore SCENARIO=%s SEED=%llu", s->scenario->name, (unsigned long long)p->seed);
	if (options.engine == ENGINE_TSAN)
		printf(" ENGINE=tsan");
	if (options.engine == ENGINE_THREADS)
		printf(" ENGINE=threads");
	if (p->mode == MODE_LIST || options.variant != UINT32_MAX)
		printf(" VARIANT=%u", s->variant);
	if (p->mode == MODE_PCT && options.depth != DEPTH_DEFAULT)
		printf(" DEPTH=%u", options.depth);
	if (p->mode == MODE_LIST) {
		printf(" SCHEDULE=%s", deviations ? "" : "tame");
		for (uint32_t i = 0; i < deviations; i++)
			printf("%s%u:%u", i ? "," : "", p->list[i].at, p->list[i].answer);
	}
	printf("\n");
}

/* --- traces --- */

static void trace_name(char *name, size_t size, const struct slot *s, const char *suffix)
{
	snprintf(name, size, "%s/explore/%s-%llu.%s", options.build, s->scenario->name,
		 (unsigned long long)s->plan.seed, suffix);
}

static void print_tail(FILE *f, unsigned lines)
{
	char line[2048];

	rewind(f);
	for (unsigned i = 0; fgets(line, sizeof line, f); i++)
		if (i + TAIL >= lines)
			printf("  | %s", line);
}

void report_trace(struct slot *work, int output)
{
	char raw[512], name[512];
	unsigned lines;
	int fd;
	FILE *f;

	trace_name(raw, sizeof raw, work, "raw");
	trace_name(name, sizeof name, work, "trace");
	fd = open(raw, O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0666);
	if (fd < 0) {
		printf("  no trace: cannot write %s\n", raw);
		return;
	}
	work->kind = TASK_TRACE;
	report_task(work, output, fd);
	f = fopen(name, "w+");
	if (f) {
		fprintf(f, "# %s, variant %u, seed %llu\n# step, CPU, what, [where]\n", work->scenario->name,
			work->variant, (unsigned long long)work->plan.seed);
		lines = 2 + trace_render(fd, f);
		printf("  trace: %s, %u lines; its end:\n", name, lines);
		print_tail(f, lines);
		fclose(f);
	}
	close(fd);
	unlink(raw);
}

/* --- a failure --- */

/* Another way to run the same failure: work's plan and message become the slot's. */
static void set_work(struct slot *work, const struct slot *slot, const struct failure *f, const struct deviation *list)
{
	work->scenario = slot->scenario;
	work->variant = slot->variant;
	work->plan = f->plan;
	work->plan.list = work->list;
	work->plan.deviations = f->deviations;
	memcpy(work->list, list, f->deviations * sizeof *list);
	memcpy(work->failure.message, f->message, sizeof f->message);
}

/* A panic's own backtrace is addresses only, and ours has more to say: `file(function+0x12)[0x4012ab]`. */
static void drop_addresses(char *text)
{
	char *to = text;

	for (char *line = text, *next; *line; line = next) {
		size_t n = strcspn(line, "\n");

		next = line + n + (line[n] != 0);
		if (n > 0 && line[n - 1] == ']' && memmem(line, n, "[0x", 3))
			continue;
		memmove(to, line, (size_t)(next - line));
		to += next - line;
	}
	*to = 0;
}

static void print_output(int output)
{
	static char text[OUTPUT_MAX];
	ssize_t n = pread(output, text, sizeof text - 1, 0);
	char *end = text;

	if (n <= 0)
		return;
	text[n] = 0;
	drop_addresses(text);
	for (unsigned i = 0; i < HEAD && *end; i++)
		end += strcspn(end, "\n") + (end[strcspn(end, "\n")] != 0);
	*end = 0;
	printf("  what the run printed:\n");
	trace_symbols(stdout, text);
}

/* A shorter schedule becomes work's plan, when there is one. */
static bool reduced(struct slot *work, const struct slot *slot, int work_output)
{
	set_work(work, slot, &slot->failure, slot->deviation);
	work->kind = TASK_REDUCE;
	report_task(work, work_output, -1);
	if (!work->failure.failed)
		return false;
	work->plan.mode = MODE_LIST;
	work->plan.deviations = work->failure.deviations;
	memcpy(work->list, work->deviation, work->failure.deviations * sizeof *work->list);
	memcpy(work->failure.message, slot->failure.message, sizeof slot->failure.message);
	return true;
}

static unsigned replays(struct slot *work, int work_output)
{
	work->kind = TASK_REPLAY;
	work->count = REPLAYS;
	report_task(work, work_output, -1);
	return (unsigned)work->same;
}

static unsigned tell(const struct slot *slot, int output, struct slot *work, int work_output)
{
	static const char *const mode[] = {"tame", "random walk", "PCT", "schedule"};
	const struct failure *f = &slot->failure;
	unsigned same = 0;

	printf("\nFAIL %s, variant %u, seed %llu, %s\n  ", slot->scenario->name, slot->variant,
	       (unsigned long long)f->plan.seed, f->in_setup ? "in setup" : mode[f->plan.mode]);
	trace_symbols(stdout, f->message);
	printf("\n");
	if (!f->in_setup && options.engine != ENGINE_THREADS) {
		printf("  again: ");
		print_command(slot, &f->plan, f->deviations);
		set_work(work, slot, f, slot->deviation);
		same = replays(work, work_output);
		printf("  replays %u/%u\n", same, REPLAYS);
		if (reduced(work, slot, work_output) && work->plan.deviations <= SCHEDULE_SHOWN) {
			printf("  reduced to %u deviation%s: ", work->plan.deviations,
			       work->plan.deviations == 1 ? "" : "s");
			print_command(slot, &work->plan, work->plan.deviations);
		} else {
			set_work(work, slot, f, slot->deviation);
		}
		report_trace(work, work_output);
		output = work_output;
	}
	print_output(output);
	printf("\n");
	return same;
}

unsigned report_failure(const struct slot *slot, int output, struct slot *work, int work_output)
{
	pid_t pid = fork_clean();
	int status;

	if (pid == 0) {
		unsigned same = tell(slot, output, work, work_output);

		fflush(NULL);
		_exit((int)same);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? (unsigned)WEXITSTATUS(status) : 0;
}
