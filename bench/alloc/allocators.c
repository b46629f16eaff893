/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench/alloc/allocators.c: ours through its library, the others by dlopen into
 * this process, each under its own names; the process's own malloc stays the C
 * library's. The table has each one's own functions, with no adapter between.
 */
#include <dlfcn.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strata.h>

#include "bare.h"

#define MEMORY ((size_t)2 << 30)

static struct strata_machine *machine;

static void need(bool fine, const char *what)
{
	if (fine)
		return;
	fprintf(stderr, "bench-alloc: %s\n", what);
	exit(2);
}

/* --- ours --- */

static void enter(unsigned i) { need(strata_attach(machine, i) == STRATA_OK, "cannot attach"); }
static void leave(void) { need(strata_detach() == STRATA_OK, "cannot detach"); }

#define ZONE_SIZES 3
static struct {
	size_t size;
	struct strata_zone *zone;
} zones[ZONE_SIZES] = {{64, NULL}, {192, NULL}, {1024, NULL}};

static void *zone_of(size_t size)
{
	for (unsigned i = 0; i < ZONE_SIZES; i++)
		if (zones[i].size == size)
			return zones[i].zone;
	return NULL;
}

static void open_ours(void)
{
	struct strata_config config = {.cpus = THREADS_MAX, .memory = MEMORY};

	need(strata_create(&config, &machine) == STRATA_OK, "no memory for a machine");
	enter(0);
	for (unsigned i = 0; i < ZONE_SIZES; i++) {
		struct strata_zone_config zone = {.name = "bench", .size = zones[i].size};

		need(strata_zone_create(machine, &zone, &zones[i].zone) == STRATA_OK, "no memory for a zone");
	}
	leave();
}

/* --- a list under a spinlock, for frames --- */

#define LIST_ORDERS 2
struct list_frame {
	struct list_frame *next;
};
static struct list {
	atomic_flag lock;
	struct list_frame *first;
	unsigned order;
} lists[LIST_ORDERS] = {{ATOMIC_FLAG_INIT, NULL, 0}, {ATOMIC_FLAG_INIT, NULL, 9}};
static char *list_memory;

static struct list *list_of(unsigned order) { return order == lists[0].order ? &lists[0] : &lists[1]; }

static void list_lock(struct list *l)
{
	while (atomic_flag_test_and_set_explicit(&l->lock, memory_order_acquire))
		sched_yield(); /* its holder may have no core */
}

static int list_alloc(void *context, unsigned order, unsigned flags, uint64_t *frame)
{
	struct list *l = list_of(order);
	struct list_frame *f;

	(void)context, (void)flags;
	list_lock(l);
	f = l->first;
	if (f)
		l->first = f->next;
	atomic_flag_clear_explicit(&l->lock, memory_order_release);
	*frame = (uint64_t)(uintptr_t)f >> 12;
	return !f;
}

static int list_free(void *context, uint64_t frame, unsigned order)
{
	struct list *l = list_of(order);
	struct list_frame *f = (struct list_frame *)(uintptr_t)(frame << 12);

	(void)context;
	list_lock(l);
	f->next = l->first;
	l->first = f;
	atomic_flag_clear_explicit(&l->lock, memory_order_release);
	return 0;
}

#define LIST_BYTES ((size_t)1280 << 20) /* of it 256 MiB for order 0, which is more than any load has out at once */
#define LIST_SINGLES ((size_t)256 << 20)

static void open_list(void)
{
	list_memory = aligned_alloc((size_t)2 << 20, LIST_BYTES);
	need(list_memory != NULL, "no memory for the list");
	for (size_t at = 0; at < LIST_SINGLES; at += 4096)
		list_free(NULL, (uint64_t)(uintptr_t)(list_memory + at) >> 12, 0);
	for (size_t at = LIST_SINGLES; at < LIST_BYTES; at += (size_t)4096 << 9)
		list_free(NULL, (uint64_t)(uintptr_t)(list_memory + at) >> 12, 9);
}

/* --- nothing, in each style --- */

static char nothing[64 << 10]; /* what is touched */

static void *null_malloc(size_t size)
{
	(void)size;
	return nothing;
}
static void null_free(void *p) { (void)p; }
static void *null_context_alloc(void *context, size_t size)
{
	(void)context, (void)size;
	return nothing;
}
static int null_context_free(void *context, void *p)
{
	(void)context, (void)p;
	return 0;
}
static void *null_object_alloc(void *context)
{
	(void)context;
	return nothing;
}
static int null_frame_alloc(void *context, unsigned order, unsigned flags, uint64_t *frame)
{
	(void)context, (void)order, (void)flags;
	*frame = 1;
	return 0;
}
static int null_frame_free(void *context, uint64_t frame, unsigned order)
{
	(void)context, (void)frame, (void)order;
	return 0;
}
static uint64_t null_single_get(void *context, unsigned owner)
{
	(void)context, (void)owner;
	return 1;
}
static void null_single_put(void *context, uint64_t frame) { (void)context, (void)frame; }
static void *null_context_of(size_t size)
{
	(void)size;
	return nothing;
}

/* --- all of them --- */

#define FN(f) ((function_fn *)(f))

struct allocator allocators[] = {
	{.name = "null", .style = STYLE_MALLOC, .null = true, .alloc = FN(null_malloc), .free = FN(null_free)},
	{.name = "null",
	 .style = STYLE_CONTEXT,
	 .null = true,
	 .alloc = FN(null_context_alloc),
	 .free = FN(null_context_free)},
	{.name = "null",
	 .style = STYLE_OBJECT,
	 .null = true,
	 .alloc = FN(null_object_alloc),
	 .free = FN(null_context_free),
	 .context_of = null_context_of},
	{.name = "null",
	 .style = STYLE_FRAME,
	 .null = true,
	 .alloc = FN(null_frame_alloc),
	 .free = FN(null_frame_free)},
	{.name = "null",
	 .style = STYLE_SINGLE,
	 .null = true,
	 .alloc = FN(null_single_get),
	 .free = FN(null_single_put)},
	{.name = "zone",
	 .style = STYLE_OBJECT,
	 .alloc = FN(strata_zone_alloc),
	 .free = FN(strata_zone_free),
	 .context_of = zone_of,
	 .enter = enter,
	 .leave = leave},
	{.name = "kmalloc",
	 .style = STYLE_CONTEXT,
	 .alloc = FN(strata_kmalloc),
	 .free = FN(strata_kfree),
	 .enter = enter,
	 .leave = leave},
	{.name = "bare zone",
	 .style = STYLE_OBJECT,
	 .alloc = zone_alloc,
	 .free = zone_free,
	 .context_of = zone_of,
	 .enter = enter,
	 .leave = leave},
	{.name = "bare kmalloc", .style = STYLE_CONTEXT, .alloc = kmalloc, .free = kfree, .enter = enter, .leave = leave},
	{.name = "jemalloc", .style = STYLE_MALLOC},
	{.name = "mimalloc", .style = STYLE_MALLOC},
	{.name = "tcmalloc", .style = STYLE_MALLOC},
	{.name = "glibc", .style = STYLE_MALLOC, .alloc = FN(malloc), .free = FN(free)},
	{.name = "frames",
	 .style = STYLE_FRAME,
	 .alloc = FN(strata_frame_alloc),
	 .free = FN(strata_frame_free),
	 .enter = enter,
	 .leave = leave},
	{.name = "bare frames", .style = STYLE_SINGLE, .alloc = frame_get, .free = frame_put, .enter = enter, .leave = leave},
	{.name = "list", .style = STYLE_FRAME, .alloc = FN(list_alloc), .free = FN(list_free)},
};
const unsigned allocator_count = sizeof allocators / sizeof allocators[0];

static const struct {
	const char *name, *file, *alloc, *free;
} peers[] = {
	{"jemalloc", "libjemalloc.so.2", "malloc", "free"},
	{"mimalloc", "libmimalloc.so.2", "mi_malloc", "mi_free"},
	{"tcmalloc", "libtcmalloc_minimal.so.4", "tc_malloc", "tc_free"},
};

static struct allocator *named(const char *name)
{
	for (unsigned i = 0; i < allocator_count; i++)
		if (!__builtin_strcmp(allocators[i].name, name))
			return &allocators[i];
	return NULL;
}

/* dlsym's pointer to an object as one to a function, which POSIX allows and C has no word for. */
static function_fn *symbol(void *library, const char *name)
{
	union {
		void *object;
		function_fn *function;
	} u = {.object = dlsym(library, name)};

	need(u.object != NULL, dlerror());
	return u.function;
}

void allocators_open(void)
{
	open_ours();
	open_list();
	for (unsigned i = 0; i < sizeof peers / sizeof peers[0]; i++) {
		struct allocator *a = named(peers[i].name);
		void *library = dlopen(peers[i].file, RTLD_NOW | RTLD_LOCAL);

		need(library != NULL, library ? "" : dlerror());
		a->alloc = symbol(library, peers[i].alloc);
		a->free = symbol(library, peers[i].free);
	}
	named("kmalloc")->context = machine;
	named("frames")->context = machine;
	named("bare kmalloc")->context = bare_kmalloc(machine);
	named("bare frames")->context = bare_frames(machine);
}
