/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/sysrq.h: /proc/sysrq-trigger, of which Linux's letters c and m are there: c panics, m prints on the console what
 * memory is used for (vm/vm_stat.h). And one of our own: G reads below the kernel stack, which panics too. The first byte of
 * a write counts; other letters do nothing, as there.
 */
#ifndef PROC_SYSRQ_H
#define PROC_SYSRQ_H

#include "proc/file.h"
#include "proc/fs.h"

extern const struct vnode_ops sysrq_vnode_ops;

#endif
