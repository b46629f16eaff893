/* SPDX-License-Identifier: BSD-2-Clause */
#include "pl011.h"

#include "base/atomic.h"
#include "sysreg.h"

#define UART_DR 0x00
#define UART_FR 0x18
#define FR_RX_EMPTY (1u << 4)
#define FR_TX_FULL (1u << 5)
#define UART_LCR 0x2c
#define LCR_8BIT_FIFO 0x70u
#define UART_CR 0x30
#define CR_ENABLE 0x301u /* UART, transmit, receive */
#define UART_IFLS 0x34
#define UART_IMSC 0x38
#define UART_ICR 0x44
#define IRQ_RECEIVE 0x50u /* FIFO level, time-out */

static uint64_t uart;
static ATOMIC(bool) receiving;
static int early = -1; /* the byte that came before boot was ready, or -1: by boot, then by the interrupt handler */

void pl011_init(uint64_t base)
{
	bool waiting;

	mmio_write32(base + UART_IMSC, 0);
	mmio_write32(base + UART_ICR, 0x7ff);
	/*
	 * Input may wait already (a pipe at the other end). Turning the FIFOs on discards it, but for QEMU 7.2 it stays
	 * to be read, and no sender is told that there is room before it has been.
	 */
	waiting = !(mmio_read32(base + UART_FR) & FR_RX_EMPTY);
	mmio_write32(base + UART_LCR, LCR_8BIT_FIFO);
	if (waiting && !(mmio_read32(base + UART_FR) & FR_RX_EMPTY))
		early = (int)(mmio_read32(base + UART_DR) & 0xff);
	mmio_write32(base + UART_IFLS, 0); /* receive interrupt at 1/8 full */
	mmio_write32(base + UART_CR, CR_ENABLE);
	uart = base;
}

bool pl011_present(void) { return uart != 0; }

void pl011_write(const void *bytes, size_t n)
{
	for (const uint8_t *p = bytes; n > 0; n--) {
		while (mmio_read32(uart + UART_FR) & FR_TX_FULL)
			cpu_relax();
		mmio_write32(uart + UART_DR, *p++);
	}
}

void pl011_receive(bool on)
{
	/* relaxed: the interrupt handler may take a byte more or less */
	atomic_store_relaxed(&receiving, on);
	mmio_write32(uart + UART_IMSC, on ? IRQ_RECEIVE : 0);
}

void pl011_acknowledge(void) { mmio_write32(uart + UART_ICR, IRQ_RECEIVE); }

int pl011_read(void)
{
	int byte = early;

	if (!atomic_load_relaxed(&receiving))
		return -1;
	early = -1;
	if (byte >= 0)
		return byte;
	if (mmio_read32(uart + UART_FR) & FR_RX_EMPTY)
		return -1;
	return (int)(mmio_read32(uart + UART_DR) & 0xff);
}
