/* SPDX-License-Identifier: BSD-2-Clause */
/* hal/aarch64/print.h: where kernel messages go. kprintf itself is in base/print.h. */
#ifndef HAL_AARCH64_PRINT_H
#define HAL_AARCH64_PRINT_H

#include <stdbool.h>

/* Boot: messages go to the host's standard error by semihosting / to the UART. False: there is none. */
bool print_to_semihosting(void);
bool print_to_uart(void);

/* A panic has begun: the console lock is not taken any more, whoever holds it; finds a way out if none was chosen yet.
 */
void print_panic_mode(void);

/* machine_console_receive's part that is the UART's. */
void print_receive(bool on);

#endif
