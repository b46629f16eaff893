/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/frame_init.c: from the machine's list of banks to frames that can be
 * allocated. Boot, one CPU.
 *
 * The pages are one array from the first bank's start to the last one's end,
 * because pmap indexes it by frame number. A gap between banks therefore costs
 * 64 bytes a frame for nothing; where that is more than the bank beyond the gap
 * gives, the bank is left out. So of all runs of neighbouring banks the one
 * is taken whose RAM less the array is largest.
 *
 *	bank 0          hole      bank 1
 *	[##k###i########]........[################]     # free  k kernel  i initrd
 *	     ^ array and core tables: the first place that is large enough
 */
#include "base/bits.h"
#include "base/print.h"
#include "vm/frame_cache.h"

struct range {
	uint64_t start, end; /* frame numbers */
};

struct ram {
	struct range bank[MACHINE_BANKS];
	unsigned banks;
	struct range taken[MACHINE_BANKS + 1]; /* the last one: our own array */
	unsigned takens;
};

/* Sorted banks that touch or overlap (a tree may name RAM twice) become one. */
static void merge(struct ram *r)
{
	unsigned n = 0;

	for (unsigned i = 0; i < r->banks; i++) {
		if (n > 0 && r->bank[i].start <= r->bank[n - 1].end) {
			if (r->bank[i].end > r->bank[n - 1].end)
				r->bank[n - 1].end = r->bank[i].end;
		} else {
			r->bank[n++] = r->bank[i];
		}
	}
	r->banks = n;
}

/* Whole frames of the banks, by address, not overlapping; frames touched by what is reserved. */
static void collect(struct ram *r, const struct machine_info *mi)
{
	r->banks = r->takens = 0;
	for (unsigned i = 0; i < mi->banks && i < MACHINE_BANKS; i++) {
		struct range b = {round_up(mi->bank[i].start.pa, PAGE_SIZE) >> PAGE_SHIFT,
				  mi->bank[i].end.pa >> PAGE_SHIFT};
		unsigned at = r->banks;

		if (b.start >= b.end)
			continue;
		while (at > 0 && r->bank[at - 1].start > b.start) {
			r->bank[at] = r->bank[at - 1];
			at--;
		}
		r->bank[at] = b;
		r->banks++;
	}
	merge(r);
	for (unsigned i = 0; i < mi->reserved && i < MACHINE_BANKS; i++) {
		struct range t = {mi->reserve[i].start.pa >> PAGE_SHIFT,
				  round_up(mi->reserve[i].end.pa, PAGE_SIZE) >> PAGE_SHIFT};

		if (t.start < t.end)
			r->taken[r->takens++] = t;
	}
}

static uint64_t span_first(const struct ram *r, unsigned from) { return round_down(r->bank[from].start, CHUNK_FRAMES); }

/* Bytes of pages and core tables for banks from .. to, both included. */
static uint64_t span_bytes(const struct ram *r, unsigned from, unsigned to)
{
	uint64_t frames = round_up(r->bank[to].end, CHUNK_FRAMES) - span_first(r, from);

	return frames * sizeof(struct vm_page) + frame_core_size(frames / CHUNK_FRAMES);
}

/* Keeps the run of banks that is worth most. */
static void choose(struct ram *r)
{
	int64_t best = INT64_MIN;
	unsigned best_from = 0, best_to = 0;

	for (unsigned from = 0; from < r->banks; from++) {
		int64_t bytes = 0;

		for (unsigned to = from; to < r->banks; to++) {
			int64_t worth;

			bytes += (int64_t)((r->bank[to].end - r->bank[to].start) << PAGE_SHIFT);
			worth = bytes - (int64_t)span_bytes(r, from, to);
			if (worth > best) {
				best = worth;
				best_from = from;
				best_to = to;
			}
		}
	}
	for (unsigned i = 0; i < r->banks; i++)
		if (i < best_from || i > best_to)
			kprintf("frames: %lu KiB of RAM at %#lx lie too far from the rest: left unused\n",
				(unsigned long)(r->bank[i].end - r->bank[i].start) * (PAGE_SIZE / 1024),
				(unsigned long)(r->bank[i].start << PAGE_SHIFT));
	r->banks = best_to - best_from + 1;
	for (unsigned i = 0; i < r->banks; i++)
		r->bank[i] = r->bank[best_from + i];
}

/* The end of something taken that overlaps [start, start + n), or 0. */
static uint64_t taken_end(const struct ram *r, uint64_t start, uint64_t n)
{
	for (unsigned i = 0; i < r->takens; i++)
		if (r->taken[i].start < start + n && start < r->taken[i].end)
			return r->taken[i].end;
	return 0;
}

/* The first frame from start on that is taken, or end. */
static uint64_t taken_start(const struct ram *r, uint64_t start, uint64_t end)
{
	for (unsigned i = 0; i < r->takens; i++)
		if (r->taken[i].start >= start && r->taken[i].start < end)
			end = r->taken[i].start;
	return end;
}

/* A place for n frames; false when there is none. */
static bool place(const struct ram *r, uint64_t n, uint64_t *where)
{
	for (unsigned i = 0; i < r->banks; i++) {
		uint64_t at = r->bank[i].start, end;

		while ((end = taken_end(r, at, n)) != 0)
			at = end;
		if (at + n <= r->bank[i].end) {
			*where = at;
			return true;
		}
	}
	return false;
}

static uint64_t at_least(uint64_t n, uint64_t least) { return n < least ? least : n; }
static uint64_t at_most(uint64_t n, uint64_t most) { return n > most ? most : n; }

/* `zero=idle|fault|free` on the command line: who zeroes frames; frame_zero.c. */
static void who_zeroes(struct frames *f)
{
	char option[8];

	f->zeros.batch = FRAME_ZERO_BATCH;
	if (!machine_option("zero", option, sizeof option) || !__builtin_strcmp(option, "idle"))
		return;
	if (!__builtin_strcmp(option, "fault"))
		f->zeros.batch = 0;
	else if (!__builtin_strcmp(option, "free"))
		f->zeros.at_free = true;
	else
		kprintf("zero=%s: none of idle, fault, free; idle is taken\n", option);
}

/* Caches in proportion to what a CPU can call its share: doc in vm/frame_cache.c. */
static void size_caches(struct frames *f)
{
	uint64_t share = f->ram / f->ncpus;

	f->cache_max = (uint32_t)at_most(at_least(share / 64, 2), FRAME_CACHE_MAX);
	f->cache_batch = f->cache_max >= 4 ? f->cache_max / 2 & ~1u : f->cache_max / 2; /* even: what stays is moved by words */
	f->blocks_max = (uint32_t)at_most(share / CHUNK_FRAMES / 16, FRAME_BLOCKS_MAX);
	f->min = at_least(f->ram / 256, 16);
	f->low = at_least(f->ram / 64, 32);
	f->high = at_least(f->ram / 32, 64);
	/* A CPU keeps two batches of zeroed frames: no more than 1 % of its share; the stock: a 256th of RAM. */
	if (share >= 200 * FRAME_ZERO_BATCH)
		who_zeroes(f);
	f->zeros.lines = (uint32_t)at_most(f->ram / 256 / FRAME_ZERO_BATCH, FRAME_ZERO_LINES);
	/* boot: nobody else is there */
	atomic_store_relaxed(&f->zeros.empty.bits, f->zeros.lines ? BITS(f->zeros.lines - 1, 0) : 0);
}

static void init_cache(struct frames *f, uint32_t cpu)
{
	struct frame_cache *c = &f->cache[cpu];

	spin_init(frame_cache_lock(f, c));
	for (unsigned i = 0; i < FRAME_STACKS; i++) {
		struct frame_stack *s = &c->stack[i];

		s->places = (uint32_t)((char *)f->rounds[cpu].frame[i] - (char *)s);
		/* boot: nobody else is there */
		atomic_store_relaxed(&s->low, FRAME_CLOSED_LOW);
		atomic_store_relaxed(&s->high, FRAME_CLOSED_HIGH);
		frame_stack_set(s, 0);
	}
	frame_cache_settle(f, c);
}

enum error frames_init(struct frames *f, const struct machine_info *mi, uint32_t ncpus, struct epoch *epoch)
{
	struct ram r;
	uint64_t bytes, chunks, at;
	char *meta;

	__builtin_memset(f, 0, sizeof *f);
	ASSERT(ncpus >= 1 && ncpus <= CPU_MAX);
	f->ncpus = ncpus;
	f->epoch = epoch;
	collect(&r, mi);
	if (r.banks == 0)
		return ERR_INVAL;
	choose(&r);
	f->first = pfn(span_first(&r, 0));
	f->count = round_up(r.bank[r.banks - 1].end, CHUNK_FRAMES) - f->first.fn;
	if (f->count > UINT32_MAX)
		return ERR_INVAL; /* 16 TiB: caches and slabs keep 32-bit indices */
	chunks = f->count / CHUNK_FRAMES;
	bytes = round_up(span_bytes(&r, 0, r.banks - 1), PAGE_SIZE);
	if (!place(&r, bytes >> PAGE_SHIFT, &at))
		return ERR_NOMEM;
	r.taken[r.takens++] = (struct range){at, at + (bytes >> PAGE_SHIFT)};

	meta = frame_bytes(pfn(at));
	f->pages = (struct vm_page *)meta;
	frame_core_init(&f->core, meta + f->count * sizeof(struct vm_page), chunks, f->first.fn / CHUNK_FRAMES, ncpus);
	for (uint64_t i = 0; i < f->count; i++) {
		struct vm_page *p = &f->pages[i];

		__builtin_memset(p, 0, sizeof *p);
		spin_init(&p->pmap.lock); /* for the first and last time */
		page_set_owner(p, FRAME_RESERVED);
		atomic_store_relaxed(&p->flags, PAGE_HOLE); /* boot: nobody else is there */
	}
	for (unsigned i = 0; i < r.banks; i++) {
		for (uint64_t n = r.bank[i].start; n < r.bank[i].end; n++)
			atomic_store_relaxed(&frame_page(f, pfn(n))->flags, 0u); /* as above */
		f->ram += r.bank[i].end - r.bank[i].start;
	}
	size_caches(f);
	f->may_open = cpu_barrier_all_works();
	for (uint32_t i = 0; i < CPU_MAX; i++)
		init_cache(f, i);
	for (unsigned i = 0; i < r.banks; i++)
		for (uint64_t n = r.bank[i].start, end; n < r.bank[i].end; n = end) {
			end = taken_end(&r, n, 1);
			if (end)
				continue;
			end = taken_start(&r, n, r.bank[i].end);
			frames_release(f, pfn_to_paddr(pfn(n)), pfn_to_paddr(pfn(end)));
		}
	return OK;
}

void frames_release(struct frames *f, paddr_t start, paddr_t end)
{
	uint64_t n = round_up(start.pa, PAGE_SIZE) >> PAGE_SHIFT, last = end.pa >> PAGE_SHIFT;

	while (n < last) {
		uint32_t index = (uint32_t)(n - f->first.fn);
		uint64_t stop = round_down(n, CHUNK_FRAMES) + CHUNK_FRAMES;

		stop = stop < last ? stop : last;
		for (uint64_t i = n; i < stop; i++) {
			struct vm_page *p = frame_page(f, pfn(i));

			if (page_owner(p) != FRAME_RESERVED || !frame_is_ram(f, pfn(i)))
				panic("frame %#lx is not reserved RAM but %s: cannot be released", (unsigned long)i,
				      frame_owner_name(page_owner(p)));
		}
		frame_put_run(f, index, stop - n);
		n = stop;
	}
}
