/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore/sanitizer.c: host-explore-tsan, where the real ThreadSanitizer watches fibers or threads. There is no memory
 * model then, so its functions are empty.
 */
#include <sanitizer/tsan_interface.h>

#include "engine.h"

const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "halt_on_error=1:exitcode=66:history_size=5:atexit_sleep_ms=0:report_signal_unsafe=0:handle_segv=0:"
	       "handle_abort=0";
}

bool sanitizer_here(void) { return true; }
void *sanitizer_fiber(void) { return __tsan_create_fiber(0); }
void *sanitizer_self(void) { return __tsan_get_current_fiber(); }

void sanitizer_switch(void *fiber, bool ordered)
{
	__tsan_switch_to_fiber(fiber, ordered ? 0 : __tsan_switch_to_fiber_no_sync);
}

void explore_portable(bool on) { (void)on; }
void memory_begin(uint32_t cpus) { (void)cpus; }
void memory_end(void) {}
void memory_step(uint32_t cpu) { (void)cpu; }
void memory_idle(void) {}
void memory_drain(uint32_t cpu) { (void)cpu; }
void memory_barrier_all(void) {}
uint64_t memory_stamp(uint32_t cpu)
{
	(void)cpu;
	return 0;
}
bool memory_before(uint32_t by, uint64_t stamp, uint32_t cpu)
{
	(void)by, (void)stamp, (void)cpu;
	return true;
}
void memory_walked(uint32_t cpu, const void *p, uint64_t value) { (void)cpu, (void)p, (void)value; }
bool memory_hardware_cas(int cpu, uint64_t *p, uint64_t *expected, uint64_t want)
{
	(void)cpu;
	return __atomic_compare_exchange_n(p, expected, want, false, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE);
}
void memory_user_access(uint32_t cpu, const void *p, size_t n, bool write) { (void)cpu, (void)p, (void)n, (void)write; }
