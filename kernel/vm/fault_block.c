/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/fault_block.c: a first write makes all of the 2 MiB around it.
 *
 * Purpose. One fault in the place of 512, and one TLB entry, for memory that is used whole.
 *
 * To the amap a block is 512 anons, each with its frame, as if each page had been touched: they are unmapped,
 * discarded, shared by fork and copied one by one. Only their frames lie in a row, so that the pmap can map them by one descriptor, until
 * somebody changes one of them (armv8/block.c).
 *
 * When. The policy (`huge=` on the command line, madvise(2)) and the entry allow it, and nothing has ever been
 * there: no PTE, no leaf node of the amap. A window that has been touched by a read, or in part, is filled page by page.
 *
 *	2 make    512 frames in a row of zeros, their anons, eight full leaf nodes     outside the section
 *	3 own     the path to the node above them                                      amap lock,
 *	4 leaf lock                                                                      and within it
 *	5 check   entry live, no node there, no PTE
 *	6 512 reverse maps and PTEs, block descriptor; the nodes
 *
 * The invariants are fault.c's. The nodes are unpublished until then, so their locks are nobody's. They come while both locks are held:
 * whoever has changed the entry, and takes the leaf lock before us, has left it dead; after us, he finds block and nodes, by the amap's lock or
 * without it.
 * fork, which takes the amap's lock for the root and no leaf lock: if it shares the root before us, our path is not exclusive, and is copied: the nodes are
 * the parent's alone, but its entry is dead then, or of another life. If after us, they are the child's too, as zeros that came before the fork.
 *
 * Failure. Without memory in a row, or for the rest, the fault goes on for one page, and keeps nothing of the block meanwhile. Nothing is half done.
 */
#include "vm/amap_private.h"
#include "vm/fault_private.h"

#define BLOCK_FRAMES (unsigned)(BLOCK_SIZE >> PAGE_SHIFT)
#define BLOCK_ORDER (BLOCK_SHIFT - PAGE_SHIFT)

/* --- 2 make --- */

/* Gives n's slots anons of the frames from first on. => how many: less than all without memory; the other frames are the caller's. */
static unsigned fill_node(struct vm *vm, struct amap_node *n, pfn_t first)
{
	for (unsigned i = 0; i < AMAP_FANOUT; i++) {
		struct anon *a = anon_new(vm, pfn(first.fn + i));

		if (!a)
			return i;
		amap_block_node_fill(n, i, a);
	}
	return AMAP_FANOUT;
}

/* The nodes, over all frames. => how many frames have found their anon. */
static unsigned make_nodes(struct vm *vm, uint64_t start, struct fault_block *b)
{
	unsigned done = 0;

	while (b->nodes < AMAP_BLOCK_NODES) {
		struct amap_node *n = amap_block_node(vm, start + done * PAGE_SIZE);
		unsigned filled;

		if (!n)
			break;
		b->node[b->nodes++] = n;
		filled = fill_node(vm, n, pfn(b->frame.fn + done));
		done += filled;
		if (filled < AMAP_FANOUT)
			break;
	}
	return done;
}

void fault_block_make(struct vm *vm, uint64_t va, struct fault_block *b)
{
	unsigned done;

	b->missing = false;
	b->refused = true;
	if (frame_alloc(&vm->frames, BLOCK_ORDER, 0, FRAME_ANON, &b->frame) != OK)
		return;
	frame_split(&vm->frames, b->frame, BLOCK_ORDER);
	for (unsigned i = 0; i < BLOCK_FRAMES; i++)
		machine_zero_frame(pfn_to_paddr(pfn(b->frame.fn + i)));
	done = make_nodes(vm, round_down(va, BLOCK_SIZE), b);
	b->refused = done < BLOCK_FRAMES;
	for (; done < BLOCK_FRAMES; done++)
		frame_put(&vm->frames, pfn(b->frame.fn + done));
}

void fault_block_put(struct fault_block *b)
{
	while (b->nodes > 0)
		amap_node_put(b->node[--b->nodes]);
}

bool fault_block_refuse(struct fault_block *b)
{
	bool had = b->nodes > 0;

	fault_block_drop(b);
	b->refused = true;
	return had;
}

/* --- 3 to 6 --- */

/* The amap's lock is held. */
static enum error install(struct fault *f, struct amap_way *w)
{
	struct pmap_leaf leaf;
	enum error e = pmap_leaf_lock(&f->map->pmap, vaddr(f->va), &f->tables, &leaf);

	if (e != OK)
		return e;
	e = entry_lives_on(f->entry, f->life) ? pmap_leaf_set_block(&leaf, f->block.frame, vaddr(f->va), &f->tables) : ERR_STALE;
	if (e == OK) {
		amap_block_put_locked(f->entry->amap, f->va, f->block.node, w);
		f->block.nodes = 0;
	}
	pmap_leaf_unlock(&leaf);
	return e;
}

enum error fault_block(struct fault *f)
{
	struct amap *amap = f->entry->amap;
	struct amap_way w;
	enum error e;

	if (!fault_block_room(f->map, f->entry, f->va))
		return ERR_EXISTS;
	if (f->block.nodes == 0) {
		f->block.missing = true;
		return ERR_STOCK;
	}
	e = amap_block_begin(amap, f->va, &f->nodes, &w);
	if (e != OK)
		return e;
	e = install(f, &w);
	amap_block_end(amap, &w);
	if (e == OK)
		counter_add(&f->vm->counters, COUNTER_faults_block, 1);
	return e;
}
