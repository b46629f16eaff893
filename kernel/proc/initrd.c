/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc/initrd.c: the initial RAM disk becomes the tree of names.
 *
 * The archive is cpio "newc": a 110-byte header of hexadecimal fields, the name
 * with its NUL, padding to 4, the data, padding to 4; a member "TRAILER!!!" ends
 * it. Several archives may follow each other, with zero bytes between.
 *
 * No data is copied: a regular file's object gets the initrd pager and the
 * address of its bytes. Hard links share one vnode; newc puts the data at the
 * last of them, so the vnode's object is replaced when the data comes.
 *
 * What is broken ends in one line and power-off, since there is nothing to run.
 */
#include <stdarg.h>
#include <string.h>

#include "base/print.h"
#include "hal/machine.h"
#include "proc/fs.h"
#include "vm/kmalloc.h"
#include "vm/vm.h"

#define HEADER_BYTES 110
#define MAGIC_BYTES 6
#define FAILED_STATUS 125 /* as after a panic */
#define S_IFMT 0170000u
#define S_IFDIR 0040000u
#define S_IFREG 0100000u
#define S_IFLNK 0120000u

/* A vnode that more names may follow for. */
struct hard_link {
	struct hard_link *next;
	uint32_t ino, major, minor;
	struct vnode *vnode;
};

/* Where the unpacking is. */
struct archive {
	struct fs *fs;
	const char *bytes;
	uint64_t size, at;
	struct hard_link *links;
	char path[PATH_BYTES + 1];
};

struct member {
	uint32_t ino, mode, links, mtime, size, major, minor, name_size;
	uint64_t data; /* offset of its data */
};

/* One line, and the machine stops: nothing is wrong with the kernel, so no stack is shown. */
static void NORETURN PRINTF_LIKE(1, 2) refuse(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	kvprintf(format, args);
	va_end(args);
	kprintf("\n");
	machine_power_off(FAILED_STATUS);
}

/* Where field n (8 hexadecimal digits each) of a header begins: 6 bytes of magic before. */
static uint32_t field(const struct archive *a, unsigned n)
{
	const char *digits = a->bytes + a->at + MAGIC_BYTES + n * 8;
	uint32_t value = 0;

	for (unsigned i = 0; i < 8; i++) {
		unsigned char d = (unsigned char)digits[i];
		uint32_t v;

		if (d >= '0' && d <= '9')
			v = d - '0';
		else if ((d | 32) >= 'a' && (d | 32) <= 'f')
			v = (d | 32u) - 'a' + 10;
		else
			refuse("initrd: broken at byte %llu: a header field is not hexadecimal",
			       (unsigned long long)a->at);
		value = value << 4 | v;
	}
	return value;
}

/* Reads the header at a->at, checks that name and data lie within; a->at: behind it all. */
static struct member next_member(struct archive *a)
{
	struct member m;
	uint64_t start = a->at, name = start + HEADER_BYTES;

	if (a->size - start >= MAGIC_BYTES && memcmp(a->bytes + start, "070701", MAGIC_BYTES) != 0 &&
	    memcmp(a->bytes + start, "070702", MAGIC_BYTES) != 0)
		refuse("initrd: %s (byte %llu): give an uncompressed newc cpio archive",
		       start ? "broken: no member begins where one should" : "not a cpio archive",
		       (unsigned long long)start);
	if (a->size - start < HEADER_BYTES)
		refuse("initrd: truncated: %llu bytes, and the end mark is not among them",
		       (unsigned long long)a->size);
	m = (struct member){.ino = field(a, 0),
			    .mode = field(a, 1),
			    .links = field(a, 4),
			    .mtime = field(a, 5),
			    .size = field(a, 6),
			    .major = field(a, 7),
			    .minor = field(a, 8),
			    .name_size = field(a, 11)};
	if (m.name_size == 0 || m.name_size > PATH_BYTES)
		refuse("initrd: broken at byte %llu: a name of %u bytes", (unsigned long long)start, m.name_size);
	m.data = round_up(name + m.name_size, 4);
	if (m.data > a->size || m.size > a->size - m.data)
		refuse("initrd: truncated: a file of %u bytes begins at byte %llu of %llu", m.size,
		       (unsigned long long)m.data, (unsigned long long)a->size);
	if (a->bytes[name + m.name_size - 1] != '\0')
		refuse("initrd: broken at byte %llu: a name without end", (unsigned long long)start);
	a->path[0] = '/';
	memcpy(a->path + 1, a->bytes + name, m.name_size);
	a->at = round_up(m.data + m.size, 4);
	if (a->at > a->size)
		a->at = a->size;
	return m;
}

static void must(const struct archive *a, long e)
{
	if (e == -ENOMEM)
		refuse("initrd: out of memory at %s: give the machine more", a->path);
	if (e)
		refuse("initrd: cannot make %s (error %ld)", a->path, -e);
}

/* Gives a regular file its bytes. Boot: nobody has it open. */
static void set_data(const struct archive *a, struct vnode *v, const struct member *m)
{
	struct vm_object *o;

	if (object_create(a->fs->vm, (struct oid){0, v->ino}, &pager_initrd, a->bytes + m->data, m->size, m->size,
			  &o) != OK)
		must(a, -ENOMEM);
	object_release(v->object);
	v->object = o;
}

/* An earlier name of the same file, or NULL. */
static struct hard_link *link_of(const struct archive *a, const struct member *m)
{
	struct hard_link *l = a->links;

	while (l && (l->ino != m->ino || l->major != m->major || l->minor != m->minor))
		l = l->next;
	return l;
}

static void remember(struct archive *a, const struct member *m, struct vnode *v)
{
	struct hard_link *l = kmalloc(&a->fs->vm->kmalloc, sizeof *l);

	if (!l)
		must(a, -ENOMEM);
	vnode_reference(v);
	*l = (struct hard_link){a->links, m->ino, m->major, m->minor, v};
	a->links = l;
}

/* Makes room for a name that is there already: the later member wins. */
static long make(struct archive *a, enum vnode_kind kind, const struct member *m, const char *target, struct vnode **v)
{
	long e = fs_make(a->fs, NULL, a->path, kind, m->mode, target, v);

	if (e == -EEXIST) {
		e = fs_unlink(a->fs, NULL, a->path, false);
		if (!e)
			e = fs_make(a->fs, NULL, a->path, kind, m->mode, target, v);
	}
	return e;
}

static void unpack_file(struct archive *a, const struct member *m)
{
	struct hard_link *first = m->links > 1 ? link_of(a, m) : NULL;
	struct vnode *v;

	if (first) {
		v = first->vnode;
		vnode_reference(v);
		must(a, fs_link(a->fs, v, NULL, a->path));
	} else {
		must(a, make(a, VNODE_FILE, m, NULL, &v));
		if (m->links > 1)
			remember(a, m, v);
	}
	if (m->size > 0)
		set_data(a, v, m);
	atomic_store_relaxed(&v->mtime, m->mtime * UINT64_C(1000000000)); /* boot */
	vnode_release(v);
}

static void unpack_link(struct archive *a, const struct member *m)
{
	char *target;

	if (m->size == 0 || m->size >= PATH_BYTES)
		refuse("initrd: broken: the symbolic link %s leads to %u bytes", a->path, m->size);
	target = kmalloc(&a->fs->vm->kmalloc, m->size + 1u);
	if (!target)
		must(a, -ENOMEM);
	memcpy(target, a->bytes + m->data, m->size);
	target[m->size] = '\0';
	must(a, make(a, VNODE_SYMLINK, m, target, NULL));
	kfree(&a->fs->vm->kmalloc, target);
}

/* => false at an archive's end mark. */
static bool unpack(struct archive *a, const struct member *m)
{
	long e;

	if (strcmp(a->path + 1, "TRAILER!!!") == 0)
		return false;
	switch (m->mode & S_IFMT) {
	case S_IFDIR:
		e = fs_make(a->fs, NULL, a->path, VNODE_DIRECTORY, m->mode, NULL, NULL);
		must(a, e == -EEXIST ? 0 : e);
		break;
	case S_IFREG:
		unpack_file(a, m);
		break;
	case S_IFLNK:
		unpack_link(a, m);
		break;
	default:
		break; /* device nodes are the kernel's to make */
	}
	return true;
}

/* True when another archive begins behind the zero bytes at a->at; goes there. */
static bool more(struct archive *a)
{
	while (a->at < a->size && a->bytes[a->at] == '\0')
		a->at++;
	return a->at < a->size;
}

void initrd_mount(struct fs *fs, const struct machine_info *info)
{
	struct archive *a;

	if (info->initrd_start.pa == info->initrd_end.pa)
		refuse("initrd: none was given: there is nothing to run");
	a = kmalloc_zero(&fs->vm->kmalloc, sizeof *a);
	if (!a)
		refuse("initrd: out of memory");
	a->fs = fs;
	a->bytes = phys_to_virt(info->initrd_start);
	a->size = info->initrd_end.pa - info->initrd_start.pa;
	do {
		struct member m;

		do
			m = next_member(a);
		while (unpack(a, &m));
		while (a->links) {
			struct hard_link *l = a->links;

			a->links = l->next;
			vnode_release(l->vnode);
			kfree(&fs->vm->kmalloc, l);
		}
	} while (more(a));
	kfree(&fs->vm->kmalloc, a);
}
