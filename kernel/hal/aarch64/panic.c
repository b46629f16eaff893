/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/aarch64/panic.c: stop everything, say what was going on, power off.
 *
 * Structure. The first CPU that panics owns the panic (compare-and-swap of
 * owner). It sends the stop interrupt to all others, which note the registers
 * that the interrupt saved and halt. The owner prints its message, registers
 * and stack, then those of each other CPU from memory, one after the other,
 * then what upper floors have to say (machine_ops->panic_info), and powers off
 * with status 125. A CPU that comes second stops itself as if it had been told to.
 *
 * Locking. None is taken: stopped CPUs may hold any lock. The console lock is
 * ignored from the start (print_panic_mode).
 *
 * Memory order. A stopping CPU fills its slot, then releases state; the owner
 * acquires it before it reads the slot.
 *
 * Failure. A CPU that has masked its interrupts for good does not answer: the
 * owner waits a second for all together and says so. Stacks are read by
 * kernel_peek, which survives any address. A panic within a panic on the owner
 * prints its message and powers off; one within that powers off at once; the
 * next halts. So it ends, whatever is broken.
 */
#include "panic.h"

#include "base/assert.h"
#include "base/atomic.h"
#include "base/print.h"
#include "cpu_table.h"
#include "esr.h"
#include "fail.h"
#include "gic.h"
#include "hal/machine.h"
#include "print.h"
#include "symbols.h"
#include "sysreg.h"

#define FRAMES_MAX 24
#define STOP_WAIT UINT64_C(1000000000) /* ns */

/* user_copy.S */
int kernel_peek(uint64_t at, uint64_t *value);

static ATOMIC(uint32_t) owner; /* CPU + 1; seq_cst cas, once */

/* s: written by the stopping CPU before state, read by the owner after it */
static struct stopped {
	ATOMIC(uint32_t) state;      /* 1: the rest is valid; release, acquire */
	const struct trap_frame *tf; /* s: NULL: it stopped itself */
	uint64_t fp;                 /* s: innermost frame record */
} stopped[CPU_MAX];

static void NORETURN halt(void)
{
	for (;;)
		__asm__ __volatile__("msr daifset, #15\n\twfi" ::: "memory");
}

static void print_address(const char *what, uint64_t address)
{
	uint64_t offset;
	const char *name = symbol_of(address, &offset);

	if (name)
		kprintf("  %s %016lx %s+%#lx\n", what, address, name, offset);
	else
		kprintf("  %s %016lx\n", what, address);
}

/* Follows frame records {fp, lr} upwards in memory. */
static void print_stack(uint64_t fp)
{
	for (unsigned i = 0; i < FRAMES_MAX && fp >> 47 && (fp & 7) == 0; i++) {
		uint64_t next, lr;

		if (kernel_peek(fp, &next) || kernel_peek(fp + 8, &lr) || lr == 0)
			return;
		print_address("at", lr);
		if (next <= fp) {
			if (next != 0)
				kprintf("  (the chain of frames turns back: %016lx)\n", next);
			return;
		}
		fp = next;
	}
}

static void print_registers(const struct trap_frame *tf)
{
	static const char *const modes[16] = {[0] = "EL0", [4] = "EL1t", [5] = "EL1h"};
	const char *mode = modes[tf->pstate & 15];

	kprintf("  pc %016lx  sp %016lx  pstate %08lx (%s)\n", tf->pc, tf->sp, tf->pstate, mode ? mode : "?");
	for (unsigned i = 0; i < 30; i += 3)
		kprintf("  x%-2u %016lx  x%-2u %016lx  x%-2u %016lx\n", i, tf->x[i], i + 1, tf->x[i + 1], i + 2,
			tf->x[i + 2]);
	kprintf("  x30 %016lx\n", tf->x[30]);
}

static void print_frame(const struct trap_frame *tf)
{
	print_registers(tf);
	if ((tf->pstate & 15) == 0)
		return; /* EL0: nothing of the kernel's is on this stack */
	print_address("in", tf->pc);
	print_address("lr", tf->x[30]); /* who called a function that has no frame; else stale */
	print_stack(tf->x[29]);
}

static void stop_others(void)
{
	uint64_t until = machine_now() + STOP_WAIT;
	uint32_t me = cpu_id(), n = cpus_online();

	for (uint32_t i = 0; i < n; i++)
		if (i != me)
			gic_send(i, GIC_SGI_STOP);
	for (uint32_t i = 0; i < n; i++)
		while (i != me && !atomic_load_acquire(&stopped[i].state) && machine_now() < until)
			cpu_relax();
}

static void print_others(void)
{
	uint32_t me = cpu_id(), n = cpus_online();

	for (uint32_t i = 0; i < n; i++) {
		if (i == me)
			continue;
		/* acquire: pairs with panic_stopped and stop_self */
		if (!atomic_load_acquire(&stopped[i].state)) {
			kprintf("CPU %u does not answer\n", i);
			continue;
		}
		kprintf("CPU %u:\n", i);
		if (stopped[i].tf)
			print_frame(stopped[i].tf);
		else
			print_stack(stopped[i].fp);
	}
}

static void NORETURN stop_self(const struct trap_frame *tf, uint64_t fp)
{
	struct stopped *s = &stopped[cpu_id()];

	s->tf = tf;
	s->fp = fp;
	/* release: pairs with the owner's acquire in stop_others and print_others */
	atomic_store_release(&s->state, 1u);
	halt();
}

void panic_stopped(const struct trap_frame *tf) { stop_self(tf, 0); }

/* Becomes the owner, or does not return. True: this is the first panic; false: one within it. */
static bool begin(const struct trap_frame *tf, uint64_t fp)
{
	static uint32_t depth; /* the owner's only */
	uint32_t none = 0;

	__asm__ __volatile__("msr daifset, #15" ::: "memory");
	if (!atomic_cas_seq_cst(&owner, &none, cpu_id() + 1) && none != cpu_id() + 1)
		stop_self(tf, fp);
	depth++;
	if (depth == 3)
		machine_power_off(STATUS_PANIC);
	if (depth > 3)
		halt();
	print_panic_mode();
	return depth == 1;
}

static void NORETURN end(void)
{
	print_others();
	if (machine_ops && machine_ops->panic_info)
		machine_ops->panic_info();
	machine_power_off(STATUS_PANIC);
}

static void print_message(bool first, const char *format, va_list args)
{
	kprintf(first ? "panic on CPU %u: " : "panic within the panic on CPU %u: ", cpu_id());
	kvprintf(format, args);
	kprintf("\n");
}

void panic(const char *format, ...)
{
	uint64_t fp = (uint64_t)__builtin_frame_address(0);
	bool first = begin(NULL, fp);
	va_list args;

	if (first)
		stop_others();
	va_start(args, format);
	print_message(first, format, args);
	va_end(args);
	if (!first)
		machine_power_off(STATUS_PANIC);
	print_stack(fp);
	end();
}

void panic_frame(const struct trap_frame *tf, uint64_t esr, uint64_t far, const char *format, ...)
{
	bool first = begin(tf, 0);
	va_list args;

	if (first)
		stop_others();
	va_start(args, format);
	print_message(first, format, args);
	va_end(args);
	esr_print(esr, far);
	if (!first) {
		print_address("in", tf->pc);
		machine_power_off(STATUS_PANIC);
	}
	print_frame(tf);
	end();
}
