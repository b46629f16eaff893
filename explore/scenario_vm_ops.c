/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/scenario_vm_ops.c: operations on the real thing, and what is noted of them. Every result that the contract does
 * not know ends the run here; whether one that it knows was right at that moment is for the judge to say.
 */
#include "scenario_vm.h"

/* Values: each stored once. CPUs of the run have 48 each, setup and judge together the rest of a byte. */
#define CPU_VALUES 48
#define OTHER_VALUES (1 + EXPLORE_CPUS * CPU_VALUES)

static struct world_cpu *self(void) { return &world.cpu[cpu_id()]; }

static struct history_op *begin(const char *name)
{
	int cpu = explore_cpu();
	struct history_op *op;

	if (cpu < 0) {
		op = &self()->sequential;
		memset(op, 0, sizeof *op);
		op->name = name;
		return op;
	}
	/* What has been told before is told by barriers, as programs do that speak to each other. */
	memory_drain((uint32_t)cpu);
	return history_begin(&world.history, (uint32_t)cpu, name);
}

static void end(struct history_op *op)
{
	int cpu = explore_cpu();

	host_returned();
	if (cpu >= 0) {
		memory_drain((uint32_t)cpu);
		history_end(op);
		return;
	}
	for (uint32_t i = 0; i < op->steps; i++) {
		if (world.judging) {
			CHECK(world.afters < ARRAY_SIZE(world.after));
			world.after[world.afters++] = op->step[i];
		} else if (!model_step(&world.model, 0, &op->step[i]) && !op->step[i].optional)
			explore_fail("%s outside the run: step %u, space %u page %u argument %u, gave %s, value %lx",
				     op->name, i, op->step[i].space, op->step[i].page, op->step[i].argument,
				     error_name((enum error)op->step[i].result), (unsigned long)op->step[i].value);
	}
}

static bool only_looks(enum model_what what, enum error e)
{
	switch (what) {
	case STEP_LOAD:
	case STEP_READ:
		return true;
	case STEP_STORE:
	case STEP_WRITE:
	case STEP_MAP:
	case STEP_PROTECT:
	case STEP_INHERIT:
	case STEP_WIRE:
	case STEP_POPULATE:
	case STEP_MOVE:
		return e != OK;
	default:
		return false;
	}
}

static struct history_step *note(struct history_op *op, enum model_what what, unsigned space, unsigned page, enum error e)
{
	struct history_step *s = &op->step[op->steps++];

	if (op->steps > HISTORY_STEPS)
		explore_fail("%s has too many steps", op->name);
	*s = (struct history_step){ .what = (uint8_t)what, .space = (uint8_t)space, .page = (uint8_t)page,
				    .looks = only_looks(what, e), .result = e };
	return s;
}

/* One step for each page. */
static void note_pages(struct history_op *op, enum model_what what, unsigned space, unsigned page, unsigned n, enum error e,
		       bool optional)
{
	for (unsigned i = 0; i < n; i++)
		note(op, what, space, page + i, e)->optional = optional;
}

/* e, when it is among the errors that the operation may end in. */
static enum error known(const char *name, enum error e, unsigned errors)
{
	if (e != OK && !(errors & BIT(e)) && !(e == ERR_NOMEM && world.failing))
		explore_fail("%s gives %s", name, error_name(e));
	return e;
}

#define ACCESS_ERRORS (BIT(ERR_FAULT) | BIT(ERR_ACCESS) | BIT(ERR_BUS))

static uint64_t bytes(unsigned pages) { return (uint64_t)pages * world.stride * PAGE_SIZE; }
static struct vrange range(unsigned page, unsigned n) { return vrange(world_address(page), world_address(page + n)); }
/* The two words of a page, far from each other. */
static uint64_t word_at(unsigned page, unsigned word) { return world_address(page) + word * (PAGE_SIZE / 2 + 64); }

static uint8_t new_value(void)
{
	bool running = explore_cpu() >= 0;
	uint8_t *n = running ? &self()->stored : &world.stored;

	if (*n == (running ? CPU_VALUES : 255 - OTHER_VALUES))
		explore_fail("no more values to store");
	return (uint8_t)((running ? 1 + cpu_id() * CPU_VALUES : OTHER_VALUES) + (*n)++);
}

/* --- accesses --- */

static enum error load_word(unsigned space, unsigned page, unsigned word)
{
	struct history_op *op = begin("load");
	struct history_step *s;
	uint64_t value = 0;
	enum error e = known("load", test_load(world.space[space], word_at(page, word), &value), ACCESS_ERRORS);

	if (e == OK && value > UINT8_MAX)
		explore_fail("space %u page %u word %u holds %lx", space, page, word, (unsigned long)value);
	if (e != ERR_NOMEM) {
		s = note(op, STEP_LOAD, space, page, e);
		s->argument = (uint8_t)word;
		s->value = value;
	}
	end(op);
	return e;
}

enum error op_load(unsigned space, unsigned page, unsigned word)
{
	enum error e;

	if (word != MODEL_BOTH)
		return load_word(space, page, word);
	e = load_word(space, page, 0);
	return e == OK ? load_word(space, page, 1) : e;
}

enum error op_store(unsigned space, unsigned page, unsigned word)
{
	struct history_op *op = begin("store");
	struct history_step *s;
	uint8_t value = new_value();
	enum error e = known("store", test_store(world.space[space], word_at(page, word), value), ACCESS_ERRORS);

	op->ordered = true;
	if (e == OK && world.object)
		note(op, STEP_COPY, space, page, OK)->optional = true;
	if (e != ERR_NOMEM) {
		s = note(op, STEP_STORE, space, page, e);
		s->argument = (uint8_t)word;
		s->value = value;
	}
	end(op);
	return e;
}

/* --- changes of a map --- */

enum error op_map(unsigned space, unsigned page, struct model_range how)
{
	const struct vm_mapping what = { .object = how.index == MODEL_ANON ? NULL : world.object,
					 .offset = how.index == MODEL_ANON ? 0 : bytes(how.index),
					 .shared = how.shared, .prot = (enum prot)how.prot, .max = PROT_ALL,
					 .inherit = how.inherit };
	struct history_op *op = begin(how.replace ? "map, replacing" : "map");
	uint64_t at = world_address(page);
	enum error e = known("map", vm_map_enter(world.space[space], &at, bytes(how.count), &what,
						 how.replace ? MAP_AT : MAP_AT_FREE), BIT(ERR_EXISTS));

	if (e != ERR_NOMEM)
		note(op, STEP_MAP, space, page, e)->value = model_pack(how);
	if (e == OK)
		note_pages(op, STEP_FLUSH, space, page, how.count, OK, false);
	end(op);
	return e;
}

static enum error changed(struct history_op *op, enum model_what what, unsigned space, unsigned page, struct model_range how,
			  enum error e)
{
	if (e != ERR_NOMEM)
		note(op, what, space, page, e)->value = model_pack(how);
	if (e == OK && what != STEP_INHERIT)
		note_pages(op, STEP_FLUSH, space, page, how.count, OK, false);
	end(op);
	return e;
}

enum error op_unmap(unsigned space, unsigned page, unsigned count)
{
	struct history_op *op = begin("unmap");
	enum error e = known("unmap", vm_map_remove(world.space[space], range(page, count)), 0);

	return changed(op, STEP_UNMAP, space, page, (struct model_range){ .count = (uint8_t)count }, e);
}

enum error op_protect(unsigned space, unsigned page, unsigned count, unsigned prot)
{
	struct history_op *op = begin(prot == RW ? "protect rw" : prot == PROT_R ? "protect r" : "protect none");
	enum error e = vm_map_protect(world.space[space], range(page, count), (enum prot)prot);

	known("protect", e, BIT(ERR_NOENT));
	return changed(op, STEP_PROTECT, space, page, (struct model_range){ .count = (uint8_t)count, .prot = (uint8_t)prot }, e);
}

enum error op_break(unsigned space, unsigned from, unsigned to)
{
	struct history_op *op = begin(to > from ? "break up" : "break down");
	bool done = vm_map_brk(world.space[space], world_address(to)) == world_address(to);
	enum error e = known("break", done ? OK : ERR_NOMEM, 0);

	if (to > from)
		return changed(op, STEP_MAP, space, from, world_anon(to - from), e);
	return changed(op, STEP_UNMAP, space, to, (struct model_range){ .count = (uint8_t)(from - to) }, e);
}

enum error op_inherit(unsigned space, unsigned page, unsigned count, unsigned inherit)
{
	struct history_op *op = begin("inherit");
	enum error e = vm_map_inherit(world.space[space], range(page, count), inherit);

	known("inherit", e, BIT(ERR_NOENT));
	return changed(op, STEP_INHERIT, space, page,
		       (struct model_range){ .count = (uint8_t)count, .inherit = (uint8_t)inherit }, e);
}

static enum error wire_pages(unsigned space, unsigned page, unsigned count, bool wire)
{
	struct model_range how = { .count = (uint8_t)count, .wired = wire };
	struct history_op *op = begin(wire ? "wire" : "unwire");
	enum error e = vm_map_wire(world.space[space], range(page, count), wire);
	struct history_step *s;

	known("wire", e, BIT(ERR_NOENT) | (wire ? ACCESS_ERRORS : 0));
	/* Filling comes after the change, page by page, and may end anywhere. */
	s = note(op, STEP_WIRE, space, page, wire || e == OK ? OK : e);
	s->value = model_pack(how);
	s->optional = e == ERR_NOMEM || (wire && e != OK);
	if (wire)
		note_pages(op, STEP_POPULATE, space, page, count, OK, e != OK);
	if (wire && e != OK && e != ERR_NOMEM)
		note(op, STEP_POPULATE, space, page, e)->value = model_pack(how);
	end(op);
	return e;
}

enum error op_discard(unsigned space, unsigned page, unsigned count)
{
	struct history_op *op = begin("discard");
	enum error e = known("discard", vm_map_discard(world.space[space], range(page, count)), BIT(ERR_NOENT));

	if (e != ERR_NOMEM)
		note(op, STEP_HOLD, space, page, e)->value = model_pack((struct model_range){ .count = (uint8_t)count });
	note_pages(op, STEP_DISCARD, space, page, count, e, e == ERR_NOMEM);
	end(op);
	return e;
}

/* To fill all of a large slot is too much for this machine: it is emptied instead. */
enum error op_wire(unsigned space, unsigned page, unsigned count, bool wire)
{
	return world.stride == 1 ? wire_pages(space, page, count, wire) : op_discard(space, page, count);
}

enum error op_move(unsigned space, unsigned page, unsigned count, unsigned to)
{
	struct model_range how = { .count = (uint8_t)count };
	struct history_op *op = begin("move");
	uint64_t at = world_address(to);
	enum error e = vm_map_remap(world.space[space], range(page, count), bytes(count), true, true, &at);
	struct history_step *s;

	known("move", e, BIT(ERR_FAULT));
	if (e != ERR_NOMEM) {
		s = note(op, STEP_MOVE, space, page, e);
		s->argument = (uint8_t)to;
		s->value = model_pack(how);
	}
	end(op);
	return e;
}

/* --- whole spaces --- */

enum error op_fork(unsigned space, unsigned child)
{
	struct history_op *op = begin("fork");
	struct vm_map *map = NULL;
	enum error e = known("fork", vm_map_fork(world.space[space], &map), 0);

	if (e == OK) {
		world.space[child] = map;
		note(op, STEP_FORK, space, 0, e)->argument = (uint8_t)child;
	}
	end(op);
	return e;
}

void op_exit(unsigned space)
{
	struct history_op *op = begin("exit");

	vm_map_release(world.space[space]);
	world.space[space] = NULL;
	note(op, STEP_EXIT, space, 0, OK);
	end(op);
}

/* --- the object --- */

enum error op_resize(unsigned pages)
{
	struct history_op *op = begin("resize");
	enum error e = known("resize", object_resize(world.object, bytes(pages)), 0);

	op->ordered = true;
	note(op, STEP_RESIZE, 0, 0, e)->value = pages;
	note_pages(op, STEP_CUT, 0, pages, MODEL_OBJECT_PAGES - pages, e, false);
	end(op);
	return e;
}

static enum error transfer(const char *name, enum model_what what, unsigned page, unsigned word, uint64_t *value)
{
	struct history_op *op = begin(name);
	uint64_t at = bytes(page) + (word_at(0, word) - world_address(0));
	struct history_step *s;
	size_t done;
	enum error e = what == STEP_READ ? object_read(world.object, at, value, sizeof *value, &done)
					 : object_write(world.object, at, value, sizeof *value, &done);

	known(name, e, BIT(ERR_BUS));
	if (e == OK && done == 0)
		e = ERR_NOENT;
	else if (e == OK && done != sizeof *value)
		explore_fail("%s of 8 bytes moved %zu", name, done);
	if (e != ERR_NOMEM) {
		s = note(op, what, 0, page, e);
		s->argument = (uint8_t)word;
		s->value = e == OK ? *value : 0;
	}
	end(op);
	return e;
}

enum error op_read(unsigned page, unsigned word)
{
	uint64_t value = 0;

	return transfer("read", STEP_READ, page, word, &value);
}

enum error op_write(unsigned page, unsigned word)
{
	uint64_t value = new_value();

	return transfer("write", STEP_WRITE, page, word, &value);
}

enum error op_change(enum world_change change, unsigned space, unsigned page, unsigned count)
{
	struct model_range how = world_anon(count);

	switch (change) {
	case CHANGE_UNMAP:
		return op_unmap(space, page, count);
	case CHANGE_DISCARD:
		return op_discard(space, page, count);
	case CHANGE_READ_ONLY:
		return op_protect(space, page, count, PROT_R);
	case CHANGE_NO_ACCESS:
		return op_protect(space, page, count, PROT_NONE_);
	case CHANGE_REPLACE:
		how.replace = 1;
		return op_map(space, page, how);
	case CHANGE_MAP:
		return op_map(space, page, how);
	case CHANGE_WIRE:
		return op_wire(space, page, count, true);
	case CHANGE_INHERIT:
		return op_inherit(space, page, count, INHERIT_NONE);
	default:
		explore_fail("no such change");
	}
}

void op_poll(void) { (void)epoch_poll(&world.v.vm->epoch); }
