/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tools/plugin/layout.c: what lines.c and tools/line-names have to know of our kernel's structs. Compiled like the
 * kernel, never linked: the assembly has a comment `->NAME number` for each constant, the debug information the fields
 * of all types that lines lie in.
 */
#include "hal/aarch64/asm_layout.h"
#include "hal/armv8/pmap_private.h"
#include "proc/fd.h"
#include "proc/file.h"
#include "proc/fs.h"
#include "proc/futex.h"
#include "proc/pipe.h"
#include "proc/process.h"
#include "proc/runq.h"
#include "proc/sched.h"
#include "proc/sigqueue.h"
#include "proc/thread.h"
#include "vm/amap_private.h"
#include "vm/anon.h"
#include "vm/entry.h"
#include "vm/entry_list.h"
#include "vm/kva.h"
#include "vm/map.h"
#include "vm/object.h"
#include "vm/vm.h"

#define SAY(name, number) __asm__ volatile("\n//->" #name " %c0" ::"i"(number))
#define OFFSET(type, member) __builtin_offsetof(struct type, member)

void layout(void);
void layout(void)
{
	SAY(DIRECT_BASE, DIRECT_BASE);
	SAY(DIRECT_SIZE, 1ul << DIRECT_BITS);
	/* from the start of main.c's kernel */
	SAY(PAGES, OFFSET(vm, frames.pages));
	SAY(FIRST, OFFSET(vm, frames.first));
	SAY(COUNT, OFFSET(vm, frames.count));
	SAY(PAGE_BYTES, sizeof(struct vm_page));
	SAY(OWNER, OFFSET(vm_page, owner));
	SAY(ORDER, OFFSET(vm_page, order));
	SAY(HOME, OFFSET(vm_page, slab.home));
	SAY(NAME, OFFSET(slabs, name));
	SAY(STRIDE, OFFSET(slabs, shape.stride));
	SAY(BLOCK, OFFSET(slabs, shape.order));
	SAY(ZONE_OWNER, FRAME_ZONE);
#define X(symbol, name, meaning) SAY(FRAME_##symbol, FRAME_##symbol);
	FRAME_OWNERS(X)
#undef X
}

/* Types by the names that they go by: line_<zone>, and line_page, line_image_<symbol>. */
struct vm_page line_page;
struct {
	struct vm vm;
	struct pmap_system pmaps;
	struct proc_system proc;
} line_image_kernel;
struct anon line_anon;
struct amap line_amap;
struct amap_node line_amap_node;
struct vm_entry line_entry;
struct vm_map line_map;
struct vm_object line_object;
struct kva_segment line_kva_segment;
struct thread line_thread;
struct process line_process;
struct runq line_runq;
struct zone line_zone;
