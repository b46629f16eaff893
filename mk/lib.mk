# SPDX-License-Identifier: BSD-2-Clause
# Frames, zones and kmalloc as a library (doc/library.md): $(B)/host/libstrata.a, libstrata.so, include/strata.h.
# CHECKED=1 makes the checked one, in $(B)/host-checked. host-lib-tsan and host-lib-asan are for its own tests.
#
# The kernel's sources over the machine of kernel/hal/library. One relocatable link takes from them what lib/ uses,
# optimizes it as a whole, and keeps nothing but the names of strata.h.

L_NAME := host$(patsubst -checked1,-checked,$(if $(filter-out 0,$(CHECKED)),-checked$(CHECKED)))
L      := $(B)/$(L_NAME)
L_SRC  := $(wildcard lib/*.c) kernel/hal/library/machine.c
L_KERNEL := $(wildcard kernel/base/*.c kernel/sync/*.c kernel/vm/*.c)
L_TESTS  := $(patsubst lib/test/%.c,%,$(wildcard lib/test/*.c))
L_EXAMPLES := $(patsubst lib/example/%.c,%,$(wildcard lib/example/*.c))

# libstrata.a is for programs, where what a thread is lies at a fixed place (local-exec); in the shared library it is a load away.
L_PROGRAM := -fPIE -ftls-model=local-exec
L_SHARED  := -fPIC -ftls-model=initial-exec
L_BASE   := -std=gnu11 -g -pthread -fvisibility=hidden -fno-common -fno-strict-aliasing $(WARN) \
	-isystem $(CK) -Ikernel -Ikernel/hal/library -Ilib $(CK_DEFS)
# Frame pointers are for the kernel's own back traces; here they would be two instructions a call.
L_CFLAGS := $(L_BASE) -O2 -flto -fomit-frame-pointer -DSTRATA_CHECKED=$(CHECKED)

# $(1): directory of objects; $(2): how addresses are formed. whole.o has all names still, strata.o those of strata.h.
define lib_objects
$(L)/$(1)/%.o: %.c $$(HEADERS) mk/lib.mk | setup
	$$(call say,CC,$(L_NAME)/$(1) $$<)
	@mkdir -p $$(@D)
	$(Q)$$(HOSTCC) $$(L_CFLAGS) $(2) $$(OUT)

$(L)/$(1)/kernel.a: $$(L_KERNEL:%.c=$(L)/$(1)/%.o)
	$(Q)rm -f $$@ && gcc-ar rcs $$@ $$^

$(L)/$(1)/whole.o: $$(L_SRC:%.c=$(L)/$(1)/%.o) $(L)/$(1)/kernel.a
	$$(call say,LD,$$@)
	$(Q)$$(HOSTCC) -O2 -flto -flinker-output=nolto-rel -r -nostdlib $(2) -fvisibility=hidden -fomit-frame-pointer \
		-o $$@.$$$$$$$$ $$^ && mv $$@.$$$$$$$$ $$@

$(L)/$(1)/strata.o: $(L)/$(1)/whole.o
	$(Q)objcopy --localize-hidden $$< $$@.$$$$$$$$ && mv $$@.$$$$$$$$ $$@

DEPS += $$(L_SRC:%.c=$(L)/$(1)/%.d) $$(L_KERNEL:%.c=$(L)/$(1)/%.d)
endef
$(eval $(call lib_objects,program,$(L_PROGRAM)))
$(eval $(call lib_objects,shared,$(L_SHARED)))

$(L)/libstrata.a: $(L)/program/strata.o
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $<

$(L)/libstrata.so: $(L)/shared/strata.o
	$(call say,LD,$@)
	$(Q)$(HOSTCC) -shared -pthread -Wl,-soname,libstrata.so -Wl,-z,defs -Wl,-z,relro -Wl,-z,now -o $@.$$$$ $< && mv $@.$$$$ $@

$(L)/include/strata.h: lib/strata.h
	@mkdir -p $(@D)
	$(Q)cp $< $@

# Programs that know nothing but the header and the library.
define lib_program
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(HOSTCC) -std=c11 -O2 -g -Wall -Wextra -Werror -pthread -I$(L)/include -o $@.$$$$ $< $(1) && mv $@.$$$$ $@
endef
$(L_EXAMPLES:%=$(L)/example/%): $(L)/example/%: lib/example/%.c $(L)/libstrata.a $(L)/include/strata.h
	$(call lib_program,$(L)/libstrata.a)
$(L_EXAMPLES:%=$(L)/example/%-shared): $(L)/example/%-shared: lib/example/%.c $(L)/libstrata.so $(L)/include/strata.h
	$(call lib_program,-L$(L) -lstrata -Wl$(COMMA)-rpath$(COMMA)'$$ORIGIN/..')
$(L_TESTS:%=$(L)/test/%): $(L)/test/%: lib/test/%.c $(L)/libstrata.a $(L)/include/strata.h
	$(call lib_program,$(L)/libstrata.a -lcmocka)

.PHONY: lib
lib: $(L)/libstrata.a $(L)/libstrata.so $(L)/include/strata.h ## Frames, zones, kmalloc as a library: doc/library.md [CHECKED=1]

.PHONY: lib-test
lib-test: lib $(L_EXAMPLES:%=$(L)/example/%) $(L_EXAMPLES:%=$(L)/example/%-shared) $(L_TESTS:%=$(L)/test/%)

# The same sources under the sanitizers, checked, for the library's own tests.
define lib_config
$(B)/$(1)/obj/%.o: %.c $$(HEADERS) mk/lib.mk | setup
	$$(call say,CC,$(1) $$<)
	@mkdir -p $$(@D)
	$(Q)$$(HOSTCC) $$(L_BASE) $$(L_PROGRAM) -fno-omit-frame-pointer -DSTRATA_CHECKED=1 $(2) $$(OUT)

$(B)/$(1)/kernel.a: $$(L_KERNEL:%.c=$(B)/$(1)/obj/%.o)
	$(Q)rm -f $$@ && ar rcs $$@ $$^

$$(L_TESTS:%=$(B)/$(1)/test/%): $(B)/$(1)/test/%: $(B)/$(1)/obj/lib/test/%.o $$(L_SRC:%.c=$(B)/$(1)/obj/%.o) $(B)/$(1)/kernel.a
	$$(call say,LD,$$@)
	@mkdir -p $$(@D)
	$(Q)$$(HOSTCC) -pthread -rdynamic $(2) -o $$@.$$$$$$$$ $$^ -lcmocka && mv $$@.$$$$$$$$ $$@

.PHONY: $(1)
$(1): $$(L_TESTS:%=$(B)/$(1)/test/%)
.SECONDARY: $$(L_TESTS:%=$(B)/$(1)/obj/lib/test/%.o)
DEPS += $$(L_SRC:%.c=$(B)/$(1)/obj/%.d) $$(L_KERNEL:%.c=$(B)/$(1)/obj/%.d) $$(L_TESTS:%=$(B)/$(1)/obj/lib/test/%.d)
endef
$(eval $(call lib_config,host-lib-tsan,-O1 -fsanitize=thread))
$(eval $(call lib_config,host-lib-asan,-O1 -fsanitize=address$(COMMA)undefined -fno-sanitize-recover=undefined))
