/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm/object.h: memory that has a name: the pages of a file, of a shared
 * anonymous region, later of a server. An object is a tree of resident pages
 * and a pager that supplies the missing ones. Theory and protocol: object.c.
 */
#ifndef VM_OBJECT_H
#define VM_OBJECT_H

#include "base/error.h"
#include "base/types.h"
#include "sync/epoch.h"
#include "sync/waitq.h"
#include "vm/page.h"
#include "vm/vm.h"

struct vm_object;

/* Who an object is: the port of the server that has its data, and the server's own number for it. */
struct oid {
	uint64_t port; /* 0: the kernel's own pagers */
	uint64_t id;
};

/* Where an object's pages come from. All may wait; called with no lock and in no epoch section. */
struct pager_ops {
	const char *name;
	/* Fills frame, which nobody else sees yet, with page index. => OK or ERR_IO, ERR_BUS; the frame stays the caller's. */
	enum error (*get)(struct vm_object *o, uint64_t index, paddr_t frame);
	/* The object is gone; drop what the pager holds for it. */
	void (*detach)(struct vm_object *o);
};

#define OBJECT_TREE_SHIFT 6

struct vm_object {
	struct vm *vm;
	struct refcount refs;
	struct oid oid;
	const struct pager_ops *pager;
	const void *pager_data;        /* pager's own, e.g. the file's bytes in the initrd */
	ATOMIC(uint64_t) pager_size;   /* bytes that the pager has; beyond: zeros; only falls, under lock; pagers read it relaxed */
	ATOMIC(uint64_t) size;         /* bytes; pages from round_up(size) on do not exist; written under lock */
	struct spinlock lock;          /* RANK_OBJECT: tree's shape and slots, pages, size */
	ATOMIC(struct object_node *) root; /* release under lock, acquire by epoch readers */
	ATOMIC(uint64_t) pages;        /* resident; under lock */
	struct waitq busy_wait;        /* who waits for a page in transit */
	struct epoch_item retire;
};

/*
 * A new object of that size with one reference. pager_zero for anonymous
 * memory. Thread context, may allocate. => ERR_NOMEM.
 */
enum error object_create(struct vm *vm, struct oid oid, const struct pager_ops *pager, const void *data,
			 uint64_t pager_size, uint64_t size, struct vm_object **out) MUST_CHECK;

void object_reference(struct vm_object *o);
/* Drops a reference; the last one frees all pages. No mapping may be left then. Thread context, no spinlock held. */
void object_release(struct vm_object *o);

/* The resident page at index, or NULL: absent or in transit. Inside an epoch section. */
struct vm_page *object_lookup(struct vm_object *o, uint64_t index);

/* True while p is o's page at that index: the last check's part for objects. Inside an epoch section. */
bool object_page_is(const struct vm_page *p, const struct vm_object *o, uint64_t index);

/*
 * Makes page index resident. The caller holds a reference on o. May wait: no
 * epoch section, no lock. Two callers for one page do one read. => OK; ERR_BUS
 * beyond the end; ERR_NOMEM; ERR_IO.
 */
enum error object_fill(struct vm_object *o, uint64_t index) MUST_CHECK;

/*
 * read()/write() of an object's bytes; the pages are made resident. to/from are
 * kernel memory. *done: bytes moved, may be less than n on an error. Writing
 * past the end makes the object longer.
 */
enum error object_read(struct vm_object *o, uint64_t offset, void *to, size_t n, size_t *done) MUST_CHECK;
enum error object_write(struct vm_object *o, uint64_t offset, const void *from, size_t n, size_t *done) MUST_CHECK;

/* Copies the resident page at index to a frame nobody else sees. ERR_NOENT: not resident. No spinlock of RANK_OBJECT or above held. */
enum error object_copy_page(struct vm_object *o, uint64_t index, paddr_t to) MUST_CHECK;

/*
 * Sets the size. Pages beyond it are withdrawn from every address space and freed; the last one's tail becomes zero, and
 * so does what comes into the object when it grows. The size changes at once, the pages go one by one after it: an
 * object that grows again meanwhile may lose what was written to it there. Who needs a cut to be one step keeps writes
 * and other resizes out until it returns, as files do (a mutex a vnode).
 */
enum error object_resize(struct vm_object *o, uint64_t size) MUST_CHECK;
uint64_t object_size(const struct vm_object *o);

/* Panics unless tree, pages, count and size agree (object.c, invariants 2 and 3). At a quiet point. */
void object_check(const struct vm_object *o);

extern const struct pager_ops pager_zero;   /* nothing but zeros */
extern const struct pager_ops pager_initrd; /* bytes that lie in memory already; pager_data points to them */

/* Boot. */
enum error object_module_init(struct vm *vm) MUST_CHECK;

#endif
