/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/machine.h: console, time, interrupts between CPUs, power. Defined by
 * hal/aarch64 and, as far as it makes sense, hal/host.
 */
#ifndef HAL_MACHINE_H
#define HAL_MACHINE_H

#include "base/compiler.h"
#include "base/cpumask.h"
#include "base/error.h"
#include "base/types.h"

/* What boot found; read-only afterwards. */
#define MACHINE_BANKS 16
struct machine_range {
	paddr_t start, end;
};
struct machine_info {
	uint32_t ncpus;                  /* CPUs that are running */
	uint32_t banks;                  /* banks of RAM: page aligned, sorted, apart */
	struct machine_range bank[MACHINE_BANKS];
	uint32_t reserved;               /* parts of RAM that are taken: kernel image, device tree, initrd, /memreserve/ */
	struct machine_range reserve[MACHINE_BANKS]; /* page aligned, sorted, apart, each inside one bank or across several */
	paddr_t initrd_start, initrd_end; /* both 0: none */
	char command_line[2048];
};
const struct machine_info *machine_info(void);

/* The value of "key=value" or "" for "key" on the command line, copied to value; false if absent. Any context. */
bool machine_option(const char *key, char *value, size_t size);

/* Nanoseconds since boot, the same on every CPU; counter frequency in Hz. Any context. */
uint64_t machine_now(void);

/* Arms this CPU's timer for that moment (ns since boot), 20 us from now at the earliest; UINT64_MAX disarms. Interrupts masked. */
void machine_timer_set(uint64_t when);

/* What the upper floors want to be told; registered once before interrupts are on. All run with interrupts masked. */
struct machine_ops {
	void (*timer)(void);          /* this CPU's timer has come */
	void (*ipi)(void);            /* another CPU wants this one to reschedule */
	void (*console_input)(uint8_t byte); /* a byte came on the console */
	/* What else a panic should print. Every other CPU is stopped wherever it was: no lock may be taken. */
	void (*panic_info)(void);
};
extern const struct machine_ops *machine_ops;

/* Asks a CPU to run ops->ipi soon. Any context. */
void machine_ipi(uint32_t cpu);

/* Waits for an interrupt; enters with interrupts masked, returns with them masked and the pending ones not taken yet. */
void machine_wait_for_interrupt(void);

/* Programs' console: raw bytes. Any context but interrupt; spinlock RANK_CONSOLE inside. */
void machine_console_write(const void *bytes, size_t n);

/*
 * Lets bytes from the console in, as at boot, or leaves them with the device, whose sender then waits: for a
 * reader that has no room. Any context, interrupt handlers included.
 */
void machine_console_receive(bool on);

/* Fills with random bytes (CPU's generator if there is one, else seeded from the tree's rng-seed and the counter). */
void machine_random(void *bytes, size_t n);

/*
 * What was given to boot with (the machine, its description, the initrd, options)
 * cannot be used: one line that says why and what to do, and power-off with the
 * status of a panic. Not for our own bugs: panic says more. Boot, any thread context.
 */
void NORETURN machine_fail(const char *format, ...) PRINTF_LIKE(1, 2);

/* Stops the machine; status 0..255 reaches whoever started it. */
void NORETURN machine_power_off(unsigned status);

/*
 * The name of the function that holds a kernel address, and how far in; NULL: none is known. For messages. Any
 * context. (The simulated machine has no kernel image, and does not define it.)
 */
const char *machine_symbol(uint64_t address, uint64_t *offset);

/* Frames' bytes, by the direct map; page aligned. */
void machine_zero_frame(paddr_t frame);
void machine_copy_frame(paddr_t to, paddr_t from);

/*
 * The same for any bytes of a frame that programs may write meanwhile through a
 * mapping: what is copied then is some of the old and some of the new, which is
 * the programs' business. (On the host: by relaxed atomics, since it is no race of ours.)
 */
void machine_copy_shared(void *to, const void *from, size_t n);
void machine_zero_shared(void *to, size_t n);


/*
 * Where the machine's boot code goes on: boot CPU, boot stack, interrupts masked, machine_info complete, kprintf
 * working. Must not return. Defined by kernel/main.c.
 */
void NORETURN kernel_main(void);

#endif
