/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz/model.h: random memory calls and a model that says what must come of
 * them. The same sources fuzz the system calls from EL0 (guest.c) and on the
 * simulated machine (host.c): struct fuzz_machine is all that differs.
 *
 *   model.c   what every page of a space is; what fork makes of it; verifying
 *   calls.c   one random call: arguments, what Linux's manual pages allow as its result, its effect
 *   advice.c  madvise, mincore, msync, mlock and its family
 *   files.c   reads and writes between files and a program's pages, files cut short
 *   mapping.c mmap, and addresses that the kernel chooses
 *   moves.c   mremap, brk
 *
 * A space is what one thread owns of an address space: a window that nobody else
 * touches, a heap if it is the one who calls brk, and mappings that the kernel
 * placed. Of each page there it knows all that a program can see: whether it is mapped, its
 * protection, every word. Pages outside are foreign; calls whose effect would reach them are not made.
 *
 * What may differ from kernel to kernel is left open: a page then has several
 * allowed states, and what is seen decides (MAYBE, lazy). Where several errors
 * apply at once any of them will do.
 *
 * Plain C without a libc but for string functions. One thread per space at a time.
 */
#ifndef FUZZ_MODEL_H
#define FUZZ_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_BYTES 4096u
#define WINDOW_PAGES 72u /* not a multiple of anything */
#define HEAP_PAGES 24u
#define PLACED_PAGES 40u /* longest mapping that the kernel places */
#define PLACED 5u        /* such mappings at a time */
#define AREAS (2u + PLACED)
#define SLOTS 4u    /* words of a page that are ever written */
#define OBJECTS 14u /* shared memory at a time */
#define OBJECT_PAGES 48u
#define LOG_OPS 512u
#define SCRATCH_PAGES 1u /* where calls put answers: always mapped, read-write */
#define TESTFILE_BYTES 100003u

enum { NO, YES, MAYBE };
enum { R = 1, W = 2, X = 4 };

/* The bytes of a page: base, but for the words that were written. */
struct content {
	uint64_t word[SLOTS];
	uint8_t written; /* which */
	uint8_t lazy;    /* may have become 0: MADV_FREE, a discard that had no memory */
	bool file;       /* base is the test file's page index; else zeros */
	uint32_t index;
};

struct object {
	bool used, file; /* file: the memory file, which can change its size */
	bool fixed;      /* the test file, which cannot change */
	uint64_t size;   /* bytes */
	struct content page[OBJECT_PAGES];
	uint32_t cuts[OBJECT_PAGES]; /* how often the file became so short that the page went */
};

struct page {
	bool known; /* false: foreign */
	bool mapped, shared;
	uint8_t prot, max;
	uint8_t locked; /* NO, YES, MAYBE */
	bool no_fork, wipe;
	uint8_t touched;  /* resident: NO, YES, MAYBE */
	uint8_t own;      /* private page of an object: a copy of its own? */
	int8_t object;    /* -1: private zeros */
	uint32_t index;   /* in the object */
	uint32_t cut;     /* the object's page's cuts when own became YES */
	uint32_t id;      /* pages of one id in a row are one mapping for sure */
	struct content c; /* of private zeros and own copies */
};

struct area {
	uint64_t base;
	uint32_t pages; /* 0: unused */
	struct page page[WINDOW_PAGES];
};

enum call {
	CALL_MMAP,
	CALL_MUNMAP,
	CALL_MPROTECT,
	CALL_MADVISE,
	CALL_MREMAP,
	CALL_MINCORE,
	CALL_MSYNC,
	CALL_MLOCK,
	CALL_MUNLOCK,
	CALL_MLOCK2,
	CALL_MLOCKALL,
	CALL_BRK,
	CALL_PREAD,
	CALL_PWRITE,
	CALL_FTRUNCATE,
	CALLS,
	/* in the log only */
	LOG_LOAD = CALLS,
	LOG_STORE,
	LOG_FORK,
	LOG_EXIT
};

/* What an access ends in. */
enum access { ACCESS_OK, ACCESS_MAPERR, ACCESS_ACCERR, ACCESS_BUS, ACCESS_ODD };

enum descriptor {
	FD_TEST,   /* the test file, read only */
	FD_MEMORY, /* a memory file, read-write */
	FD_NULL,   /* /dev/null: cannot be mapped */
	FD_WRONLY, /* /dev/zero, write only */
	FD_PATH,   /* the test file, O_PATH */
	FD_CLOSED,
	FD_NEGATIVE,
	FDS
};

struct space;

/* What a machine gives. context is the caller's. */
struct fuzz_machine {
	/* The call, by this space's thread: a value, or a negative error number. */
	long (*call)(struct space *s, enum call which, const uint64_t *a);
	enum access (*load)(struct space *s, uint64_t va, uint64_t *value);
	enum access (*store)(struct space *s, uint64_t va, uint64_t value);
	/* What the kernel says about the page at va: false: not mapped; else its protection. */
	bool (*look)(struct space *s, uint64_t va, unsigned *prot, bool *shared);
	/* A choice in [0, n). */
	uint32_t (*choose)(struct space *s, uint32_t n);
	/* Something is wrong. Does not return. */
	void (*fail)(struct space *s, const char *text) __attribute__((noreturn));
	uint64_t low, high;   /* user addresses: below low nothing is ever mapped, at high and above nothing can be */
	bool strata;          /* the kernel is this one: advice that Linux may be built without is known */
	bool look_cheap;      /* look with every verified page */
	bool short_of_memory; /* allocations fail: ENOMEM may come from any call */
};

struct log {
	enum call what;
	uint64_t a[6];
	long result;
	uint64_t order; /* rising over all spaces of a world */
	uint8_t where;  /* the machine's own: which process and CPU */
};

/* What several spaces share: objects. One thread at a time. */
struct world {
	struct object object[OBJECTS];
	uint32_t memory; /* the memory file's object */
	uint64_t logged; /* operations, of all spaces */
	uint32_t cuts;   /* how often it became shorter */
};

struct space {
	const struct fuzz_machine *m;
	void *context;
	struct world *world;
	int fd[FDS];
	uint64_t scratch;      /* SCRATCH_PAGES pages, writable */
	uint64_t brk, brk_low; /* 0: somebody else calls brk; the break as it is, and its lowest */
	bool shared_quiet;     /* somebody else works on the objects now: leave them alone */
	uint8_t where;
	uint32_t next_id, cuts;
	uint64_t tag; /* of the next value written */
	uint64_t operations;
	struct area area[AREAS]; /* 0: the window, 1: the heap, others: placed by the kernel */
	struct log log[LOG_OPS];
	uint32_t logged;
};

/* Clears w; the test file is object 0, the memory file, empty, object 1. */
void world_init(struct world *w);
/* A space whose window is empty. The caller has set m, context, world, fd and scratch; brk where it may be called. */
void space_init(struct space *s, uint64_t window);
/* One random operation, with everything that can be checked after it. */
void space_step(struct space *s);
/* Every page. */
void space_verify(struct space *s);
/* *child is what fork makes of *parent. */
void space_fork(struct space *child, const struct space *parent);
/* Objects that none of these spaces maps can be used again. */
void world_sweep(struct world *w, struct space *const *all, unsigned n);
/* The last operations, oldest first; which: 0 the latest. False: no more. */
bool space_logged(const struct space *s, unsigned which, char *text, size_t size);

/* --- between model.c, calls.c and moves.c --- */

void fuzz_fail(struct space *s, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));
#define FUZZ_CHECK(s, x) \
	do { \
		if (!(x)) \
			fuzz_fail(s, "%s:%d: not so: %s", __FILE__, __LINE__, #x); \
	} while (0)

static inline uint32_t choose(struct space *s, uint32_t n) { return s->m->choose(s, n); }
static inline uint64_t page_ceil(uint64_t n) { return (n + PAGE_BYTES - 1) & ~(uint64_t)(PAGE_BYTES - 1); }
static inline bool aligned(uint64_t n) { return n % PAGE_BYTES == 0; }

/* The page at va if it is this space's; foreign and impossible ones: NULL. */
struct page *page_of(struct space *s, uint64_t va);
/* Certainly nothing there: outside of what can be mapped. */
bool is_void(const struct space *s, uint64_t va);
/* Every page of [start, end) is known or void: a call may have any effect on it. */
bool confined(struct space *s, uint64_t start, uint64_t end);
/* The range lies in user space without wrapping around. size in whole pages. */
bool in_user(const struct space *s, uint64_t start, uint64_t size);
/* The same, and away from both ends, where kernels differ by a page. */
bool edge(const struct space *s, uint64_t start, uint64_t size);

/* Offset of a slot in its page. */
unsigned slot_offset(unsigned slot);
uint64_t content_word(const struct content *c, unsigned offset);
void content_set(struct content *c, unsigned slot, uint64_t value);
/* What p shows now: its own or its object's. NULL: beyond the object's end. */
struct content *page_content(struct space *s, struct page *p);
void page_clear(struct page *p); /* not mapped */
/* A page is filled in by the kernel, for a write if it may be written. */
void page_populated(struct space *s, struct page *p);
/* A store by anybody's hands went through. */
void page_stored(struct space *s, struct page *p, unsigned slot, uint64_t value);
/* What an access must end in; more than one bit: any. access: R or W. */
unsigned page_access(struct space *s, const struct page *p, unsigned access);

/* Whether private copies of what a file has lost survive is open: they become MAYBE. */
void notice_cuts(struct space *s);

void verify_page(struct space *s, uint64_t va, struct page *p);
/* The kernel tells whether [start, end) is mapped, with what protection: what an operation that failed half-way left.
 */
void resync(struct space *s, uint64_t start, uint64_t end);
/* Forgets placed areas that have no page left. */
void drop_areas(struct space *s);
/* Pages of a range that an operation changes are no longer one mapping with what is beside them. */
void split(struct space *s, uint64_t start, uint64_t end);

/* The call, logged. */
long make_call(struct space *s, enum call which, const uint64_t *a);
struct log *log_next(struct space *s, enum call what);

/* A random range of known pages: start, pages >= 1; it may reach over holes, never beyond its area. */
struct span {
	struct area *area;
	uint32_t first, count;
	uint64_t start;
};
struct span pick_span(struct space *s);
uint64_t odd_address(struct space *s); /* one that no mapping can have */
uint64_t odd_length(struct space *s, uint64_t start);
uint64_t new_value(struct space *s);

/* Errors that apply. */
struct errors {
	uint64_t some[2]; /* bit per error number */
};
static inline void add_error(struct errors *e, int number) { e->some[number / 64] |= UINT64_C(1) << (number % 64); }
static inline bool has_error(const struct errors *e, long result)
{
	return result < 0 && result > -128 && (e->some[-result / 64] >> (-result % 64) & 1);
}
static inline bool any_error(const struct errors *e) { return e->some[0] || e->some[1]; }
/* A call that must fail with one of these. True: it did; false: only for lack of memory, which may always happen. */
void must_fail(struct space *s, long result, const struct errors *e);
/* result is -ENOMEM though nothing asked for it, and that is allowed. */
bool out_of_memory(struct space *s, long result);

/* Address and length of a call as it gets them, and what they come to. */
struct range {
	uint64_t start, length, size, end; /* size: length in whole pages, 0 when that overflows */
	bool wraps;                        /* length or end overflows */
};
struct range range_of(uint64_t start, uint64_t length);
struct range pick_range(struct space *s);
void must_give(struct space *s, long result, long want);
/* Verifies pages at the edges of a range. */
void look_around(struct space *s, uint64_t start, uint64_t end);
/* The first hole in [start, end), or end. *unknown: it may lie earlier, from there on it is not ours. */
uint64_t first_hole(struct space *s, uint64_t start, uint64_t end, bool *unknown);

/* Nothing known is mapped in [start, end). */
bool all_free(struct space *s, uint64_t start, uint64_t end);
/* The kernel's choice: judged, and known from now on. False: given back, there is no room in the model. */
bool placed(struct space *s, uint64_t va, uint32_t pages);
/* How many more mappings the kernel may place. */
uint32_t free_areas(const struct space *s);

void do_madvise(struct space *s);
void do_mincore(struct space *s);
void do_msync(struct space *s);
void do_mlock(struct space *s, enum call which);
void do_mlockall(struct space *s);
void do_file(struct space *s, enum call which);
void do_ftruncate(struct space *s);
void do_mmap(struct space *s);
void do_mremap(struct space *s);
void do_brk(struct space *s);

/* Linux's numbers, the same on every architecture that matters here. */
enum {
	N_EPERM = 1,
	N_EIO = 5,
	N_EBADF = 9,
	N_EAGAIN = 11,
	N_ENOMEM = 12,
	N_EACCES = 13,
	N_EFAULT = 14,
	N_EBUSY = 16,
	N_EEXIST = 17,
	N_ENODEV = 19,
	N_EINVAL = 22,
	N_EFBIG = 27,
	N_EOVERFLOW = 75,
	N_EOPNOTSUPP = 95
};

#endif
