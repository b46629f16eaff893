# SPDX-License-Identifier: BSD-2-Clause
# The same sources on the host, over the simulated machine: host-plain, host-tsan, host-asan.
# Every test/x.c is one cmocka program $(B)/<config>/test/x; stress/*.c together are $(B)/<config>/stress.

HOSTCC ?= gcc
HOST_CHECKED ?= 1

HOST_CONFIGS := host-plain host-tsan host-asan
# Functions that call nobody, or only go on elsewhere, need no frame record: fail_sites finds their callers' all the same.
# Everything is linked into one program.
SAN_host-plain := -O2 -momit-leaf-frame-pointer -ftls-model=local-exec
SAN_host-tsan  := -O1 -fsanitize=thread
SAN_host-asan  := -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined

H_SRC := $(wildcard kernel/base/*.c kernel/sync/*.c kernel/hal/*.c kernel/hal/armv8/*.c kernel/hal/host/*.c kernel/vm/*.c)
T_SUP := $(wildcard test/support/*.c)
TESTS := $(patsubst test/%.c,%,$(wildcard test/*.c))
S_SRC := $(wildcard stress/*.c)

H_CFLAGS := -std=gnu11 -g -pthread -fno-omit-frame-pointer -fno-common -fno-strict-aliasing $(WARN) \
	-isystem $(CK) -isystem $(FDT) -Ikernel -Ikernel/hal/host $(CK_DEFS) -DSTRATA_CHECKED=$(HOST_CHECKED)
T_CFLAGS := -Itest -Itest/support -Iexplore

define host_config
$(1)_LIB := $$(H_SRC:%.c=$(B)/$(1)/obj/%.o)
$(1)_SUP := $$(T_SUP:%.c=$(B)/$(1)/obj/%.o)
$(1)_STR := $$(S_SRC:%.c=$(B)/$(1)/obj/%.o)
$(1)_TST := $$(TESTS:%=$(B)/$(1)/test/%)

$(B)/$(1)/obj/%.o: %.c $$(HEADERS) mk/host.mk | setup
	$$(call say,CC,$(1) $$<)
	@mkdir -p $$(@D)
	$(Q)$$(HOSTCC) $$(H_CFLAGS) $$(SAN_$(1)) $$(if $$(filter kernel/%,$$<),,$$(T_CFLAGS)) $$(HCFLAGS) $$(OUT)

$(B)/$(1)/libstrata.a: $$($(1)_LIB)
	$$(call say,AR,$$@)
	$(Q)ar rcs $$@.$$$$$$$$ $$($(1)_LIB) && mv $$@.$$$$$$$$ $$@

$(B)/$(1)/libsupport.a: $$($(1)_SUP) | $(B)/$(1)
	$$(call say,AR,$$@)
	$(Q)ar rcs $$@.$$$$$$$$ $$($(1)_SUP) && mv $$@.$$$$$$$$ $$@

$$($(1)_TST): $(B)/$(1)/test/%: $(B)/$(1)/obj/test/%.o $(B)/$(1)/libsupport.a $(B)/$(1)/libstrata.a
	$$(call say,LD,$$@)
	@mkdir -p $$(@D)
	$(Q)$$(HOSTCC) -pthread -rdynamic $$(SAN_$(1)) -o $$@.$$$$$$$$ -Wl,--start-group $$^ -Wl,--end-group -lcmocka && mv $$@.$$$$$$$$ $$@

$(B)/$(1)/test/history: $(B)/$(1)/obj/explore/history.o

$(B)/$(1)/stress: $$($(1)_STR) $(B)/$(1)/libsupport.a $(B)/$(1)/libstrata.a
	$$(call say,LD,$$@)
	@mkdir -p $$(@D)
	$(Q)$$(HOSTCC) -pthread -rdynamic $$(SAN_$(1)) -o $$@.$$$$$$$$ -Wl,--start-group $$^ -Wl,--end-group -lcmocka && mv $$@.$$$$$$$$ $$@

$(B)/$(1):
	@mkdir -p $$@

.PHONY: $(1) $(1)-objs
$(1): $(B)/$(1)/libstrata.a $$($(1)_TST) $(if $(S_SRC),$(B)/$(1)/stress)
$(1)-objs: $$($(1)_LIB)

DEPS += $$($(1)_LIB:.o=.d) $$($(1)_SUP:.o=.d) $$($(1)_STR:.o=.d) $$(TESTS:%=$(B)/$(1)/obj/test/%.d)
.SECONDARY: $$(TESTS:%=$(B)/$(1)/obj/test/%.o)
endef
$(foreach c,$(HOST_CONFIGS),$(eval $(call host_config,$(c))))

.PHONY: host
host: $(HOST_CONFIGS) ## Host builds: plain, ThreadSanitizer, AddressSanitizer (also one by one: host-plain, host-tsan, host-asan)
