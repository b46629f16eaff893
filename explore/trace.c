/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/trace.c: what happened in a run, with source lines.
 *
 * A run writes raw lines to a file, each by one call, so that nothing is lost when it dies: step, CPU, return address,
 * text. Afterwards the reporter asks addr2line once for all addresses and writes the readable file.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine.h"

#define TRACE_LINE 512
#define STACK_LINE "    pc:" /* how a frame of a stack is printed */

bool trace_on;
static int trace_fd = -1;

void trace_open(int fd)
{
	trace_fd = fd;
	trace_on = true;
}

void trace_pause(bool pause) { trace_on = trace_fd >= 0 && !pause; }

void trace_note(const void *pc, const char *format, ...)
{
	char line[TRACE_LINE];
	va_list args;
	int n;

	if (trace_fd < 0)
		return;
	n = snprintf(line, sizeof line, "%llu %d %lx ", (unsigned long long)explore_step(), explore_cpu(),
		     (unsigned long)(uintptr_t)pc);
	va_start(args, format);
	n += vsnprintf(line + n, sizeof line - (size_t)n, format, args);
	va_end(args);
	if (n > TRACE_LINE - 1)
		n = TRACE_LINE - 1;
	line[n] = '\n';
	if (write(trace_fd, line, (size_t)n + 1) < 0)
		trace_fd = -1;
}

/* --- symbols --- */

struct symbol {
	unsigned long pc;
	char *text;
	bool dull; /* all of the text so far */
};

struct symbols {
	struct symbol *s;
	size_t n, room;
};

static void want(struct symbols *t, unsigned long pc)
{
	if (!pc)
		return;
	if (t->n == t->room) {
		t->room = t->room ? 2 * t->room : 256;
		t->s = reallocarray(t->s, t->room, sizeof *t->s);
		if (!t->s)
			exit(2);
	}
	t->s[t->n++] = (struct symbol){.pc = pc};
}

static int by_pc(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	return x->pc < y->pc ? -1 : x->pc > y->pc;
}

static void unique(struct symbols *t)
{
	size_t n = 0;

	if (t->n)
		qsort(t->s, t->n, sizeof *t->s, by_pc);
	for (size_t i = 0; i < t->n; i++)
		if (!n || t->s[n - 1].pc != t->s[i].pc)
			t->s[n++] = t->s[i];
	t->n = n;
}

static const char *symbol_of(const struct symbols *t, unsigned long pc)
{
	const struct symbol key = {.pc = pc};
	const struct symbol *s = t->n ? bsearch(&key, t->s, t->n, sizeof *t->s, by_pc) : NULL;

	return s && s->text ? s->text : "?";
}

/* What is inlined nearly everywhere says nothing, as long as something stands around it. */
static bool dull(const char *function)
{
	return !strncmp(function, "cpu_point", 9) || !strncmp(function, "cpu_relax", 9) || !strncmp(function, "ck_", 3);
}

/* One function and its place, behind what is there: `spin_lock spinlock.h:57 < amap_put amap.c:120`. */
static void append(struct symbol *s, const char *function, char *place)
{
	char *base = strrchr(place, '/'), *note = strchr(place, ' '), *text;
	const char *before = s->text && !s->dull ? s->text : "";

	s->dull = dull(function);
	if (note)
		*note = 0; /* addr2line's "(discriminator 3)" */
	base = base ? base + 1 : place;
	if (asprintf(&text, "%s%s%s %s", before, *before ? " < " : "", function, base) < 0)
		exit(2);
	free(s->text);
	s->text = text;
}

/* addr2line -a prints the address, then pairs of lines: function, file:line; inlined ones innermost first. */
static void read_symbols(struct symbols *t, FILE *in)
{
	char line[1024], function[256] = "";
	struct symbol *s = NULL;
	size_t next = 0;

	while (fgets(line, sizeof line, in)) {
		line[strcspn(line, "\n")] = 0;
		if (!strncmp(line, "0x", 2)) {
			s = next < t->n ? &t->s[next++] : NULL;
			function[0] = 0;
		} else if (!function[0]) {
			snprintf(function, sizeof function, "%.255s", line);
		} else {
			if (s && strcmp(function, "??"))
				append(s, function, line);
			function[0] = 0;
		}
	}
}

static void resolve(struct symbols *t)
{
	char name[] = "/tmp/explore-XXXXXX", command[256], exe[160];
	int fd = mkstemp(name);
	FILE *in, *list = fd >= 0 ? fdopen(fd, "w") : NULL;
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);

	unique(t);
	if (!list || n <= 0)
		return;
	exe[n] = 0;
	/* the call stands before its return address */
	for (size_t i = 0; i < t->n; i++)
		fprintf(list, "%lx\n", t->s[i].pc - 1);
	fclose(list);
	snprintf(command, sizeof command, "addr2line -a -f -i -e '%s' <%s 2>/dev/null", exe, name);
	in = popen(command, "r");
	if (in) {
		read_symbols(t, in);
		pclose(in);
	}
	unlink(name);
}

static void discard(struct symbols *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->s[i].text);
	free(t->s);
}

/* Frames of a stack that are the explorer's own or outside the program. */
static bool lab_frame(const char *symbol)
{
	static const char *const lab[] = {
		" worker.c:", " main.c:",          " report.c:",      " fiber.c:",      " thread.c:", " race.c:",
		" memory.c:", " memory_buffer.c:", " memory_tsan.c:", " host_print.c:", "_start"};

	for (unsigned i = 0; i < sizeof lab / sizeof *lab; i++)
		if (strstr(symbol, lab[i]))
			return true;
	return !strcmp(symbol, "?");
}

static void want_all(struct symbols *t, const char *text)
{
	for (const char *p = text; (p = strstr(p, "pc:")); p += 3)
		want(t, strtoul(p + 3, NULL, 16));
}

/* n bytes of text with symbols. */
static void put(const struct symbols *t, FILE *out, const char *text, size_t n)
{
	const char *end = text + n, *found;

	while ((found = memmem(text, (size_t)(end - text), "pc:", 3))) {
		fwrite(text, 1, (size_t)(found - text), out);
		fputs(symbol_of(t, strtoul(found + 3, NULL, 16)), out);
		for (text = found + 3; isxdigit((unsigned char)*text); text++)
			;
	}
	fwrite(text, 1, (size_t)(end - text), out);
}

void trace_symbols(FILE *out, const char *text)
{
	struct symbols t = {0};

	want_all(&t, text);
	resolve(&t);
	for (const char *next; *text; text = next) {
		size_t n = strcspn(text, "\n");

		next = text + n + (text[n] != 0);
		if (!strncmp(text, STACK_LINE, sizeof STACK_LINE - 1) &&
		    lab_frame(symbol_of(&t, strtoul(text + sizeof STACK_LINE - 1, NULL, 16))))
			continue;
		put(&t, out, text, (size_t)(next - text));
	}
	discard(&t);
}

static bool parse(const char *line, unsigned long long *step, int *cpu, unsigned long *pc, int *text)
{
	return sscanf(line, "%llu %d %lx %n", step, cpu, pc, text) >= 3;
}

unsigned trace_render(int fd, FILE *out)
{
	struct symbols t = {0};
	FILE *in = fdopen(dup(fd), "r");
	unsigned long long step;
	char line[TRACE_LINE + 1];
	unsigned lines = 0;
	unsigned long pc;
	int cpu, text;

	if (!in)
		return 0;
	rewind(in);
	while (fgets(line, sizeof line, in))
		if (parse(line, &step, &cpu, &pc, &text)) {
			want(&t, pc);
			want_all(&t, line + text);
		}
	resolve(&t);
	rewind(in);
	while (fgets(line, sizeof line, in)) {
		if (!parse(line, &step, &cpu, &pc, &text))
			continue;
		line[strcspn(line, "\n")] = 0;
		fprintf(out, "%6llu  ", step);
		if (cpu >= 0)
			fprintf(out, "%*sCPU %d  ", 4 * cpu, "", cpu);
		put(&t, out, line + text, strlen(line + text));
		fprintf(out, "%s%s%s\n", pc ? "   [" : "", pc ? symbol_of(&t, pc) : "", pc ? "]" : "");
		lines++;
	}
	fclose(in);
	discard(&t);
	return lines;
}
