/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hal/uaccess.h: the only way from the kernel to user memory. A page that is
 * not there is faulted in through trap_ops->user_copy_fault (host: host_ops); a
 * bad address, kernel addresses included, is ERR_FAULT. Thread context, no
 * epoch section, no spinlock, no object or port lock held (asserted).
 */
#ifndef HAL_UACCESS_H
#define HAL_UACCESS_H

#include "base/error.h"
#include "base/types.h"

#define USER_END (UINT64_C(1) << 48) /* first address that is not user's */

enum error copy_in(void *to, vaddr_t from, size_t n) MUST_CHECK;         /* user -> kernel */
enum error copy_out(vaddr_t to, const void *from, size_t n) MUST_CHECK;  /* kernel -> user */
enum error user_zero(vaddr_t to, size_t n) MUST_CHECK;

/* A string of at most size-1 bytes and its NUL. *length without the NUL. ERR_LIMIT: no NUL within size. */
enum error copy_in_string(char *to, vaddr_t from, size_t size, size_t *length) MUST_CHECK;

/* Aligned 32-bit words, for futexes: load acquire; compare-and-swap acq_rel, *expected gets what was found. */
enum error user_load32(vaddr_t from, uint32_t *value) MUST_CHECK;
enum error user_cas32(vaddr_t at, uint32_t *expected, uint32_t value, bool *swapped) MUST_CHECK;

#endif
