/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "lib/team.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct team {
	const struct machine *machine;
	team_body *body;
	void *argument;
	int gate[2]; /* a pipe: reading from it ends when the starter has closed its end */
};

struct member {
	struct team *team;
	size_t task;
	pthread_t thread;
	pid_t pid;
	bool pinned;
};

static void member_run(struct member *member)
{
	struct team *team = member->team;
	char byte;

	member->pinned = machine_pin(team->machine, member->task);
	if (!member->pinned)
		fprintf(stderr, "task %zu: cannot pin: %s\n", member->task, strerror(errno));
	while (read(team->gate[0], &byte, 1) < 0 && errno == EINTR)
		;
	if (member->pinned)
		team->body(member->task, team->argument);
}

static void *member_thread(void *member)
{
	member_run(member);
	return NULL;
}

bool team_threads(const struct machine *machine, size_t tasks, team_body *body, void *argument)
{
	struct team team = {.machine = machine, .body = body, .argument = argument};
	struct member members[TEAM_MAX];
	pthread_attr_t attr;
	size_t started = 0;
	bool all;
	int error = 0;

	if (tasks > TEAM_MAX || pipe(team.gate) != 0)
		return false;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	for (; started < tasks && error == 0; started += error == 0) {
		members[started] = (struct member){.team = &team, .task = started};
		error = pthread_create(&members[started].thread, &attr, member_thread, &members[started]);
	}
	if (error != 0)
		fprintf(stderr, "task %zu: pthread_create: %s\n", started, strerror(error));
	close(team.gate[1]);
	all = started == tasks;
	for (size_t i = 0; i < started; i++) {
		pthread_join(members[i].thread, NULL);
		all = all && members[i].pinned;
	}
	close(team.gate[0]);
	return all;
}

bool team_processes(const struct machine *machine, size_t tasks, team_body *body, void *argument)
{
	struct team team = {.machine = machine, .body = body, .argument = argument};
	struct member members[TEAM_MAX];
	size_t started = 0;
	bool all;

	if (tasks > TEAM_MAX || pipe(team.gate) != 0)
		return false;
	for (; started < tasks; started++) {
		struct member *member = &members[started];
		*member = (struct member){.team = &team, .task = started, .pid = fork()};
		if (member->pid < 0) {
			fprintf(stderr, "task %zu: fork: %s\n", started, strerror(errno));
			break;
		}
		if (member->pid == 0) {
			close(team.gate[1]);
			member_run(member);
			_exit(member->pinned ? 0 : 1);
		}
	}
	close(team.gate[1]);
	all = started == tasks;
	for (size_t i = 0; i < started; i++) {
		int status = 0;
		if (waitpid(members[i].pid, &status, 0) != members[i].pid || status != 0) {
			fprintf(stderr, "task %zu: ended with status 0x%x\n", i, (unsigned)status);
			all = false;
		}
	}
	close(team.gate[0]);
	return all;
}
