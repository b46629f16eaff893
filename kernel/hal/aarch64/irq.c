/* SPDX-License-Identifier: BSD-2-Clause */
#include "irq.h"

#include "base/print.h"
#include "generic_timer.h"
#include "gic.h"
#include "hal/machine.h"
#include "panic.h"
#include "pl011.h"
#include "print.h"

const struct machine_ops *machine_ops;

static uint32_t timer_irq, uart_irq, doze_irq; /* constant after irq_init */

void irq_cpu_init(void)
{
	gic_cpu_init();
	generic_timer_cpu_init();
	gic_enable(timer_irq, false);
	generic_timer_doze_end();
	if (doze_irq) {
		gic_enable(doze_irq, false);
		cpu_self()->can_doze = true;
	}
}

void irq_init(const struct tree *t)
{
	timer_irq = t->timer_irq;
	uart_irq = t->uart_irq;
	doze_irq = t->doze_irq;
	irq_cpu_init();
	if (uart_irq) {
		gic_enable(uart_irq, t->uart_edge);
		machine_console_receive(true);
	}
}

void machine_console_receive(bool on)
{
	print_receive(on);
	/* What waits in the FIFO has raised its interrupt long ago, and no further byte may ever come. */
	if (on && uart_irq)
		gic_pend(uart_irq);
}

static void console(void)
{
	int byte;

	pl011_acknowledge();
	while ((byte = pl011_read()) >= 0)
		if (machine_ops && machine_ops->console_input)
			machine_ops->console_input((uint8_t)byte);
}

void irq_handle(struct trap_frame *tf)
{
	uint32_t irq;

	while ((irq = gic_acknowledge()) < GIC_NONE) {
		cpu_self()->work = 1;
		if (irq == timer_irq) {
			generic_timer_acknowledge();
			gic_end(irq);
			if (machine_ops && machine_ops->timer)
				machine_ops->timer();
		} else if (irq == GIC_SGI_RESCHEDULE) {
			gic_end(irq);
			if (machine_ops && machine_ops->ipi)
				machine_ops->ipi();
		} else if (irq == GIC_SGI_STOP) {
			gic_end(irq);
			panic_stopped(tf);
		} else if (irq == uart_irq) {
			/* First: until it is ended no other interrupt would wake this CPU from a doze in a spin loop below. */
			gic_end(irq);
			console();
		} else if (irq == doze_irq) {
			generic_timer_doze_end();
			gic_end(irq);
		} else {
			kprintf("interrupt %u on CPU %u: nobody asked for it\n", irq, cpu_id());
			gic_end(irq);
		}
	}
}

/* WFI ends when an interrupt is pending, masked or not; the timer's pending state goes away with its level. */
void cpu_doze(void)
{
	uint64_t state;

	if (!cpu_self()->can_doze)
		return;
	state = cpu_irq_save();
	generic_timer_doze_begin();
	machine_wait_for_interrupt();
	generic_timer_doze_end();
	cpu_irq_restore(state);
}

void machine_ipi(uint32_t cpu) { gic_send(cpu, GIC_SGI_RESCHEDULE); }
