/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/scenario_object.c: calls on one memory object by themselves, with sizes that are no multiple of a page, a
 * pager that has bytes, and frames that are used again as soon as the object lets go of them. The judge knows the size,
 * the bytes beyond a cut, and what object_check knows.
 */
#include "explore.h"
#include "hooks.h"
#include "test_vm.h"
#include "vm/object.h"

#define PAGES 3u
#define CUT (PAGE_SIZE + 100) /* in the middle of page 1 */
#define BYTE 0x55             /* all that the pager has */
#define MINE UINT64_C(0xaaaaaaaaaaaaaaaa)
#define TAKEN 2u

static struct test_vm v;
static struct vm_object *object;
static pfn_t taken[TAKEN];
static unsigned takens;

static struct host_machine *machine(void) { return v.t.m; }

static enum error get(struct vm_object *o, uint64_t index, paddr_t frame)
{
	uint64_t start = index * PAGE_SIZE,
		 has = atomic_load_relaxed(&o->pager_size); /* it only falls; object.c wipes the rest */
	uint64_t n = has > start ? has - start : 0;

	if (n > PAGE_SIZE)
		n = PAGE_SIZE;
	memset(phys_to_virt(frame), BYTE, n);
	memset((char *)phys_to_virt(frame) + n, 0, PAGE_SIZE - n);
	return OK;
}

static const struct pager_ops pager = {.name = "bytes", .get = get};

static void open_object(uint64_t size)
{
	const struct host_config c = {.ncpus = 2,
				      .ram = UINT64_C(3) << 20,
				      .junk = true,
				      .seed = 1,
				      .ops = hooks,
				      .asid_bits = 8,
				      .late_stores = explore_modelled()};

	test_vm_init(&v, &c);
	takens = 0;
	CHECK(object_create(v.vm, (struct oid){0, 1}, &pager, NULL, size, size, &object) == OK);
}

/* Some of the pages are there already: all by variant 0, none by variant 1. */
static void setup(uint32_t variant)
{
	open_object(PAGES * PAGE_SIZE);
	for (uint64_t i = 0; variant == 0 && i < PAGES; i++)
		CHECK(object_fill(object, i) == OK);
}

/* This CPU's frames that were freed last have another owner now, who counts on what he has put there. */
static void use_again(void)
{
	for (; takens < TAKEN; takens++) {
		uint64_t *word;

		CHECK(frame_alloc(&v.vm->frames, 0, 0, FRAME_ANON, &taken[takens]) == OK);
		word = frame_bytes(taken[takens]);
		for (unsigned i = 0; i < PAGE_SIZE / sizeof *word; i++)
			word[i] = MINE;
	}
}

static void transfer(uint64_t at, bool write)
{
	uint64_t word = UINT64_C(0x0101010101010101) * BYTE;
	size_t done;
	enum error e = write ? object_write(object, at, &word, sizeof word, &done)
			     : object_read(object, at, &word, sizeof word, &done);

	CHECK(e == OK || e == ERR_BUS);
}

static void resize(uint64_t size) { CHECK(object_resize(object, size) == OK); }

/* --- what the judge asks --- */

static void check_taken(void)
{
	while (takens > 0) {
		const uint64_t *word = frame_bytes(taken[--takens]);

		for (unsigned i = 0; i < PAGE_SIZE / sizeof *word; i++)
			if (word[i] != MINE)
				explore_fail("a frame that was freed has been written, byte %zu", i * sizeof *word);
		frame_free(&v.vm->frames, taken[takens], 0);
	}
}

/* Bytes from cut on are zeros, whether or not their page is there. */
static void check_zeros(uint64_t cut)
{
	static unsigned char bytes[PAGES * PAGE_SIZE];
	size_t done;

	memset(bytes, 0, sizeof bytes);
	CHECK(object_read(object, 0, bytes, sizeof bytes, &done) == OK && done == object_size(object));
	for (size_t i = cut; i < done; i++)
		if (bytes[i])
			explore_fail("byte %zu has come back", i);
}

static void close_object(uint64_t size)
{
	if (object_size(object) != size)
		explore_fail("the size is %lu, not %lu", (unsigned long)object_size(object), (unsigned long)size);
	object_check(object);
	check_taken();
	object_release(object);
	test_vm_destroy(&v);
}

/* --- a page is brought in, read, written while its object is cut --- */

static void fill_run(uint32_t cpu)
{
	if (cpu == 0) {
		enum error e = object_fill(object, 1);

		CHECK(e == OK || e == ERR_BUS);
		transfer(2 * PAGE_SIZE, false);
	} else {
		resize(CUT);
		resize(2 * PAGE_SIZE);
	}
}

static void fill_judge(void)
{
	check_zeros(CUT);
	close_object(2 * PAGE_SIZE);
}

static void write_run(uint32_t cpu)
{
	if (cpu == 0) {
		transfer(PAGE_SIZE, false);
		transfer(PAGE_SIZE + 8, true);
	} else {
		resize(PAGE_SIZE);
		use_again();
	}
}

/* The write may have made it longer again. */
static void write_judge(void)
{
	uint64_t size = object_size(object);

	CHECK(size == PAGE_SIZE || size == PAGE_SIZE + 16);
	close_object(size);
}

/* --- two cuts --- */

static void cut_run(uint32_t cpu)
{
	if (cpu == 0) {
		resize(CUT);
	} else {
		resize(PAGE_SIZE / 2);
		use_again();
	}
}

static void cut_judge(void)
{
	uint64_t size = object_size(object);

	CHECK(size == CUT || size == PAGE_SIZE / 2);
	check_zeros(PAGE_SIZE / 2 < size ? PAGE_SIZE / 2 : size);
	close_object(size);
}

/* --- who makes it longest wins --- */

/* 0: two writes beyond the end; 1: a write and a resize. */
static uint32_t longer;

static void longer_setup(uint32_t variant)
{
	longer = variant;
	open_object(100);
}

static void longer_run(uint32_t cpu)
{
	if (cpu == 0)
		transfer(PAGE_SIZE, true);
	else if (longer == 0)
		transfer(2 * PAGE_SIZE, true);
	else
		resize(2 * PAGE_SIZE + 8);
}

static void longer_judge(void) { close_object(2 * PAGE_SIZE + 8); }

/* --- the tree grows, in height and in width, under a reader --- */

#define FAR (2u * (1u << OBJECT_TREE_SHIFT)) /* a page of a leaf of its own */

static void tree_setup(uint32_t variant)
{
	open_object((FAR + 1) * PAGE_SIZE);
	if (variant)
		CHECK(object_fill(object, 0) == OK);
}

static void tree_run(uint32_t cpu)
{
	static const uint64_t indices[] = {0, FAR, FAR / 2};

	for (unsigned i = 0; i < ARRAY_SIZE(indices); i++) {
		if (cpu == 0) {
			CHECK(object_fill(object, indices[i]) == OK);
			continue;
		}
		for (unsigned k = 0; k < ARRAY_SIZE(indices); k++) {
			struct vm_page *p;

			epoch_enter(&v.vm->epoch);
			p = object_lookup(object, indices[k]);
			CHECK(!p || (p->object == object && p->index == indices[k]));
			epoch_leave(&v.vm->epoch);
		}
	}
}

static void tree_judge(void) { close_object((FAR + 1) * PAGE_SIZE); }

const struct scenario scenario_object[] = {
	{"object-fill-cut", "a page is brought in while the object is cut", 2, 2, false, setup, machine, fill_run,
	 fill_judge},
	{"object-write-cut", "a page is read and written while it is cut off", 2, 2, false, setup, machine, write_run,
	 write_judge},
	{"object-cut-cut", "two cuts, of which one frees what the other wipes", 2, 2, false, setup, machine, cut_run,
	 cut_judge},
	{"object-tree", "the tree of pages grows under a reader", 2, 2, false, tree_setup, machine, tree_run, tree_judge},
	{"object-longer", "two make the object longer", 2, 2, false, longer_setup, machine, longer_run, longer_judge},
};
const unsigned scenario_object_count = sizeof scenario_object / sizeof scenario_object[0];
