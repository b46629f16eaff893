/* SPDX-License-Identifier: BSD-2-Clause */
/* hal/aarch64/context.c: what of hal/context.h is not assembly. */
#include "hal/context.h"

#include "base/assert.h"
#include "base/bits.h"
#include "base/cpu.h"
#include "context_private.h"
#include "sysreg.h"

_Static_assert(offsetof(struct context, fp) == 80 && offsetof(struct context, sp) == 96, "switch.S");
_Static_assert(offsetof(struct fp_state, fpsr) == 512 && offsetof(struct fp_state, fpcr) == 516, "fp.S");

void context_stack_mark(void *stack) { *(uint64_t *)stack = STACK_CHECK; }

static void NORETURN ended(void) { panic("a kernel thread's function returned"); }

void context_init(struct context *c, void *top, void (*entry)(void *), void *arg)
{
	uint64_t stack = round_down((uint64_t)top - 1, KSTACK_SIZE);
	uint64_t sp = (uint64_t)trap_frame_of((void *)(stack + KSTACK_SIZE));

	ASSERT(((uint64_t)top & 15) == 0);
	if ((uint64_t)top < sp)
		sp = (uint64_t)top;
	context_stack_mark((void *)stack);
	*c = (struct context){
		.x19_x28 = {(uint64_t)entry, (uint64_t)arg, (uint64_t)ended},
		.lr = (uint64_t)context_start,
		.sp = sp,
	};
}

uint64_t context_tls_get(void) { return sysreg_read(tpidr_el0); }
void context_tls_set(uint64_t v) { sysreg_write(tpidr_el0, v); }

/* SP_EL1 itself remembers where the next entry finds its stack; kept to check that the two agree. */
void context_set_kernel_stack(void *top) { cpu_self()->user_stack = top; }
