/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What EL0 may do to caches: read CTR_EL0 and DCZID_EL0, DC ZVA, DC CVAU / CVAC / CIVAC, IC IVAU; code that
 * a program writes for itself, also while other CPUs run it; and the same instructions on memory
 * that is not there, which fault like any other access.
 */
#define _GNU_SOURCE
#include "check.h"
#include "trap.h"

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <sys/mman.h>

#define RW (PROT_READ | PROT_WRITE)
#define RX (PROT_READ | PROT_EXEC)
#define RET 0xd65f03c0u

static char *map(size_t pages, int prot)
{
	char *p = mmap(NULL, pages * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	REQUIRE(p != MAP_FAILED);
	return p;
}

static uint64_t ctr, dczid;
static size_t dline, iline, zva;

static void type_registers(void)
{
	TRAP(__asm__ volatile("mrs %0, ctr_el0" : "=r"(ctr)));
	CHECK_EQ(0, trap.signal);
	TRAP(__asm__ volatile("mrs %0, dczid_el0" : "=r"(dczid)));
	CHECK_EQ(0, trap.signal);
	dline = 4UL << (ctr >> 16 & 15);
	iline = 4UL << (ctr & 15);
	zva = dczid & 16 ? 0 : 4UL << (dczid & 15);
	CHECK(dline >= 16 && dline <= 2048 && iline >= 16 && iline <= 2048);
	CHECK(zva == 0 || (zva >= 16 && zva <= 2048));
}

/* DC ZVA: zeroes one block, also where nothing has been touched; obeys protection and copy-on-write. */
static void zeroing(void)
{
	if (zva == 0)
		return;
	char *p = map(4, RW), *shared_before;

	memset(p, 'z', 2 * PAGE);
	__asm__ volatile("dc zva, %0" ::"r"(p + 2 * zva + 5) : "memory");
	for (size_t i = 0; i < 2 * PAGE; i++)
		CHECK_EQ(i >= 2 * zva && i < 3 * zva ? 0 : 'z', p[i]);
	CHECK_NO_TRAP(__asm__ volatile("dc zva, %0" ::"r"(p + 3 * PAGE) : "memory")); /* first touch */
	CHECK_EQ(0, p[3 * PAGE]);
	memset(p, 0, PAGE);
	memset(p + 64, 0, 1000); /* glibc's memset uses it for large sizes */
	shared_before = map(64, RW);
	memset(shared_before, 's', 64 * PAGE);
	pid_t pid = check_fork();
	if (pid == 0) {
		for (size_t i = 0; i < 64 * PAGE; i += zva)
			__asm__ volatile("dc zva, %0" ::"r"(shared_before + i) : "memory");
		for (size_t i = 0; i < 64 * PAGE; i += 509)
			CHECK_EQ(0, shared_before[i]);
		_exit(check_end());
	}
	CHECK_CHILD(pid);
	for (size_t i = 0; i < 64 * PAGE; i += 509)
		CHECK_EQ('s', shared_before[i]);
	mprotect(p, PAGE, PROT_READ);
	TRAP(__asm__ volatile("dc zva, %0" ::"r"(p + 128) : "memory"));
	CHECK_EQ(SIGSEGV, trap.signal);
	CHECK_EQ(SEGV_ACCERR, trap.code);
	CHECK_EQ((uintptr_t)p, trap.address & -PAGE);
	munmap(p, 4 * PAGE), munmap(shared_before, 64 * PAGE);
}

static void maintenance(void)
{
	char *p = map(2, RW), *gone = map(1, RW);

	memset(p, 'm', PAGE);
	for (size_t i = 0; i < PAGE; i += dline) {
		TRAP(__asm__ volatile("dc cvau, %0\n dc cvac, %0\n dc civac, %0" ::"r"(p + i) : "memory"));
		CHECK_EQ(0, trap.signal);
	}
	for (size_t i = 0; i < PAGE; i += iline) {
		TRAP(__asm__ volatile("ic ivau, %0" ::"r"(p + i) : "memory"));
		CHECK_EQ(0, trap.signal);
	}
	__asm__ volatile("dsb ish\n isb");
	CHECK_EQ('m', p[PAGE - 1]);
	/* a page that has not been touched may be faulted in, never a signal */
	TRAP(__asm__ volatile("dc cvau, %0" ::"r"(p + PAGE) : "memory"));
	CHECK_EQ(0, trap.signal);
	mprotect(p, PAGE, PROT_READ);
	TRAP(__asm__ volatile("dc cvau, %0" ::"r"(p) : "memory"));
	CHECK_EQ(0, trap.signal);
	munmap(gone, PAGE);
	/* QEMU does nothing here and real processors fault: both are right, a dead process is not */
	TRAP(__asm__ volatile("dc cvau, %0" ::"r"(gone) : "memory"));
	CHECK(trap.signal == 0 || (trap.signal == SIGSEGV && trap.code == SEGV_MAPERR));
	TRAP(__asm__ volatile("dc civac, %0" ::"r"(0xffff000040000000) : "memory"));
	CHECK(trap.signal == 0 || (trap.signal == SIGSEGV && trap.code == SEGV_MAPERR));
	munmap(p, 2 * PAGE);
}

/* mov w0, #value; ret */
static void write_code(uint32_t *code, uint16_t value)
{
	code[0] = 0x52800000u | (uint32_t)value << 5;
	code[1] = RET;
	__builtin___clear_cache((char *)code, (char *)(code + 2)); /* reads CTR_EL0, DC CVAU, IC IVAU */
}

static int call(const void *code) { return ((int (*)(void))(uintptr_t)code)(); }

static void generated_code(void)
{
	uint32_t *code = (uint32_t *)map(1, RW);

	for (int value = 1; value < 200; value++) {
		CHECK_OK(mprotect(code, PAGE, RW));
		write_code(code + value % 7 * 2, (uint16_t)value);
		CHECK_OK(mprotect(code, PAGE, RX));
		CHECK_EQ(value, call(code + value % 7 * 2));
	}
	/* unmapped and mapped again at the same place: new code in a new frame */
	for (int value = 1; value < 100; value++) {
		REQUIRE(mmap(code, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == code);
		write_code(code, (uint16_t)(value * 3));
		CHECK_OK(mprotect(code, PAGE, RX));
		CHECK_EQ(value * 3, call(code));
	}
	/* a child changes its copy; the parent's code stays */
	pid_t pid = check_fork();
	if (pid == 0) {
		CHECK_OK(mprotect(code, PAGE, RW));
		write_code(code, 77);
		CHECK_OK(mprotect(code, PAGE, RX));
		CHECK_EQ(77, call(code));
		_exit(check_end());
	}
	CHECK_CHILD(pid);
	CHECK_EQ(297, call(code));
	munmap(code, PAGE);
}

/* Writable and executable in one mapping is allowed to programs, as on Linux. */
static void writable_code(void)
{
	uint32_t *code = (uint32_t *)map(1, RW | PROT_EXEC);

	for (int value = 1; value < 100; value++) {
		write_code(code, (uint16_t)value);
		CHECK_EQ(value, call(code));
	}
	munmap(code, PAGE);
}

/* The same physical page by two addresses: written by one, run by the other. */
static void two_views(void)
{
	uint32_t *write_view = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint32_t *run_view = mremap(write_view, 0, PAGE, MREMAP_MAYMOVE); /* of a shared mapping: a second one */

	REQUIRE(write_view != MAP_FAILED && run_view != MAP_FAILED);
	CHECK_OK(mprotect(run_view, PAGE, RX));
	for (int value = 1; value < 60; value++) {
		write_code(write_view, (uint16_t)value);
		__builtin___clear_cache((char *)run_view, (char *)(run_view + 2));
		CHECK_EQ(value, call(run_view));
	}
	munmap(write_view, PAGE), munmap(run_view, PAGE);
}

/* All CPUs run what one writes: each value is whole, and after the meeting it is the new one. */
static pthread_barrier_t barrier;
static uint32_t *raced;
static int rounds = 100;

static void *runner(void *unused)
{
	for (int value = 1; value <= rounds; value++) {
		pthread_barrier_wait(&barrier);
		__asm__ volatile("isb");
		CHECK_EQ(value, call(raced));
		pthread_barrier_wait(&barrier);
	}
	return unused;
}

static void on_all_cpus(void)
{
	pthread_t threads[3];

	raced = (uint32_t *)map(1, RW);
	pthread_barrier_init(&barrier, NULL, 4);
	for (int i = 0; i < 3; i++)
		REQUIRE(pthread_create(&threads[i], NULL, runner, NULL) == 0);
	for (int value = 1; value <= rounds; value++) {
		mprotect(raced, PAGE, RW);
		write_code(raced, (uint16_t)value);
		mprotect(raced, PAGE, RX);
		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier);
	}
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	munmap(raced, PAGE);
}

int main(void)
{
	trap_install(0);
	type_registers();
	zeroing();
	maintenance();
	generated_code();
	writable_code();
	two_views();
	on_all_cpus();
	return check_end();
}
