/* SPDX-License-Identifier: BSD-2-Clause */
/* hal/aarch64/pl011.h: Arm's PrimeCell UART. One of them; print.c's console lock guards output. */
#ifndef HAL_AARCH64_PL011_H
#define HAL_AARCH64_PL011_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* base: virtual address. Keeps the baud rate that the firmware set. */
void pl011_init(uint64_t base);
bool pl011_present(void);

/* Waits for room in the FIFO byte by byte. Any context. */
void pl011_write(const void *bytes, size_t n);

/* Lets received bytes raise the interrupt, or leaves them in the FIFO. Any context. */
void pl011_receive(bool on);

/* The interrupt came, masked: acknowledges. Then one byte after the other, -1: none left, or reception is off. */
void pl011_acknowledge(void);
int pl011_read(void);

#endif
