/* SPDX-License-Identifier: BSD-2-Clause */
#include "proc/files.h"

#include <string.h>

#include "base/assert.h"
#include "hal/machine.h"
#include "proc/console.h"
#include "proc/device.h"
#include "proc/fd.h"
#include "proc/procfs.h"
#include "proc/text.h"
#include "vm/kmalloc.h"

/* Wall clock at boot unless the option `time=` gives seconds since 1970: the machine has no clock that survives. */
#define BOOT_TIME_SECONDS UINT64_C(1767225600) /* 2026-01-01 */

static void must(long e, const char *what)
{
	if (e)
		panic("files: cannot make %s (error %ld)", what, -e);
}

static void make_directory(struct fs *fs, const char *path)
{
	must(fs_make(fs, NULL, path, VNODE_DIRECTORY, 0755, NULL, NULL), path);
}

static void make_link(struct fs *fs, const char *path, const char *target)
{
	must(fs_make(fs, NULL, path, VNODE_SYMLINK, 0777, target, NULL), path);
}

/* A file with that text. */
static void make_file(struct fs *fs, const char *path, const char *text)
{
	struct vnode *v;
	size_t done;

	must(fs_make(fs, NULL, path, VNODE_FILE, 0444, NULL, &v), path);
	must(errno_of(object_write(v->object, 0, text, strlen(text), &done)), path);
	vnode_release(v);
}

/* C libraries count processors here. */
static void make_sys(struct fs *fs, uint32_t ncpus)
{
	static const char *const names[] = {"online", "possible", "present"};
	char path[64], list[32];
	struct text t;

	make_directory(fs, "/sys");
	make_directory(fs, "/sys/devices");
	make_directory(fs, "/sys/devices/system");
	make_directory(fs, "/sys/devices/system/cpu");
	text_init_fixed(&t, list, sizeof list);
	text_printf(&t, ncpus > 1 ? "0-%u\n" : "%u\n", ncpus - 1);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		text_init_fixed(&t, path, sizeof path);
		text_printf(&t, "/sys/devices/system/cpu/%s", names[i]);
		make_file(fs, path, list);
	}
}

static void make_dev(struct fs *fs, struct console *console)
{
	make_directory(fs, "/dev");
	must(devices_make(fs), "/dev");
	must(device_make(fs, "/dev/console", 5, 1, &console_file_ops, console), "/dev/console");
	must(device_make(fs, "/dev/tty", 5, 0, &console_file_ops, console), "/dev/tty");
	must(device_make(fs, "/dev/ttyAMA0", 204, 64, &console_file_ops, console), "/dev/ttyAMA0");
	make_directory(fs, "/dev/shm");
	make_link(fs, "/dev/fd", "/proc/self/fd");
	make_link(fs, "/dev/stdin", "/proc/self/fd/0");
	make_link(fs, "/dev/stdout", "/proc/self/fd/1");
	make_link(fs, "/dev/stderr", "/proc/self/fd/2");
}

static uint64_t boot_time(void)
{
	uint64_t seconds = 0;
	char value[16];

	if (!machine_option("time", value, sizeof value))
		return BOOT_TIME_SECONDS;
	for (const char *p = value; *p >= '0' && *p <= '9'; p++)
		seconds = seconds * 10 + (unsigned)(*p - '0');
	return seconds;
}

void files_init(struct proc_system *ps)
{
	struct fs *fs = kmalloc(&ps->vm->kmalloc, sizeof *fs);
	struct vnode *proc;

	must(fs ? fs_init(fs, ps->vm) : -ENOMEM, "/");
	fs->epoch_ns = boot_time() * UINT64_C(1000000000) - machine_now();
	ps->fs = fs;
	make_dev(fs, ps->console);
	must(procfs_create(ps, &proc), "/proc");
	must(fs_attach(fs, "/proc", proc), "/proc");
	vnode_release(proc);
	make_sys(fs, ps->ncpus);
	initrd_mount(fs, machine_info());
	/* A place for temporary files, which the initrd may have brought along. */
	if (fs_make(fs, NULL, "/tmp", VNODE_DIRECTORY, 01777, NULL, NULL) == -ENOMEM)
		panic("files: no memory for /tmp");
}

long files_open_console(struct proc_system *ps, struct fd_table *t)
{
	struct file *f;
	long e = fs_open(ps->fs, NULL, "/dev/console", O_RDWR | O_LARGEFILE, 0, &f);

	if (e)
		return e;
	for (uint64_t fd = 0; fd < 3 && !e; fd++) {
		long n;

		file_reference(f);
		n = fd_install(t, f, fd, FD_MAX, false);
		if (n < 0) {
			file_release(f);
			e = n;
		}
	}
	file_release(f);
	return e;
}
