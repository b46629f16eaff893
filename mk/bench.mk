# SPDX-License-Identifier: BSD-2-Clause
# Our allocators beside others, and the lines that they share: doc/bench-alloc.md.

BA      := $(B)/bench-alloc
BA_MAIN := $(filter-out bench/alloc/fragment.c bench/alloc/bare.c,$(wildcard bench/alloc/*.c))
BA_FLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Werror -pthread -I$(B)/host/include

.PHONY: bench-setup
bench-setup: | setup
	@tools/setup bench

$(BA)/obj/%.o: bench/alloc/%.c bench/alloc/bench.h bench/alloc/bare.h $(B)/host/include/strata.h mk/bench.mk | bench-setup
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(HOSTCC) $(BA_FLAGS) -c -o $@.$$$$ $< && mv $@.$$$$ $@

$(BA)/obj/bare.o: bench/alloc/bare.c $(HEADERS) mk/bench.mk mk/lib.mk | bench-setup
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(HOSTCC) $(L_BASE) $(L_PROGRAM) -O2 -DSTRATA_CHECKED=0 $(OUT)
DEPS += $(BA)/obj/bare.d

# The library with the kernel's names, which the bare allocators are called by.
$(BA)/main: $(BA_MAIN:bench/alloc/%.c=$(BA)/obj/%.o) $(BA)/obj/bare.o $(B)/host/program/whole.o
	$(call say,LD,$@)
	$(Q)$(HOSTCC) -pthread -o $@.$$$$ $^ -ldl && mv $@.$$$$ $@

$(BA)/fragment: $(BA)/obj/fragment.o $(B)/host/libstrata.a
	$(call say,LD,$@)
	$(Q)$(HOSTCC) -pthread -o $@.$$$$ $^ && mv $@.$$$$ $@

ROUNDS ?= 15

.PHONY: bench-alloc
bench-alloc: ## Our allocators beside jemalloc, mimalloc, tcmalloc, glibc: doc/bench-alloc.md [ROUNDS=15 SEED=1 PAIRS=50000 CLOCK=wall|cpu LOAD=name]
	@BUILD=$(call sq,$(B)) $(if $(PAIRS),PAIRS=$(call sq,$(PAIRS))) $(if $(CLOCK),CLOCK=$(call sq,$(CLOCK))) \
		tools/bench-alloc $(call sq,$(ROUNDS)) $(call sq,$(or $(SEED),1)) $(call sq,$(LOAD))

# The library's sources as instrumented code, without ThreadSanitizer's library: bench/lines answers.
BL       := $(B)/conflicts-alloc
BL_PLAIN := bench/lines/main.c bench/lines/directory.c bench/lines/tsan.c
BL_SEEN  := bench/lines/control.c $(L_SRC)
BL_FLAGS := -std=gnu11 -O2 -g -pthread -fno-pie -fno-common -fno-strict-aliasing $(WARN) -isystem $(CK) -Ikernel -Ikernel/hal/library \
	-Ilib -Ibench/lines $(CK_DEFS) -DSTRATA_CHECKED=0
BL_OBJ   := $(BL_PLAIN:%.c=$(BL)/obj/%.o) $(BL_SEEN:%.c=$(BL)/obj/%.o)

$(BL)/obj/%.o: %.c $(HEADERS) bench/lines/intercept.h mk/bench.mk mk/lib.mk | setup
	$(call say,CC,conflicts-alloc $<)
	@mkdir -p $(@D)
	$(Q)$(HOSTCC) $(BL_FLAGS) $(if $(filter $<,$(BL_PLAIN)),,-fsanitize=thread -include bench/lines/intercept.h) $(OUT)

$(BL)/kernel.a: $(L_KERNEL:%.c=$(BL)/obj/%.o)
	$(Q)rm -f $@ && ar rcs $@ $^

$(BL)/main: $(BL_OBJ) $(BL)/kernel.a
	$(call say,LD,$@)
	$(Q)$(HOSTCC) -no-pie -pthread -o $@.$$$$ $^ && mv $@.$$$$ $@
DEPS += $(BL_OBJ:.o=.d) $(L_KERNEL:%.c=$(BL)/obj/%.d)

TURN       ?= 5
OPERATIONS ?= 1024

.PHONY: conflicts-alloc
conflicts-alloc: $(BL)/main ## Cache lines that CPUs take from each other while they allocate, by counting [CONFLICT_CPUS="8 64" LOAD=name TURN=5 OPERATIONS=1024]
	@$(BL)/main $(call sq,$(TURN)) $(call sq,$(OPERATIONS)) $(call sq,$(LOAD)) $(or $(CONFLICT_CPUS),8 64) >$(B)/conflicts-alloc.jsonl

# Plugins for QEMU's TCG.
$(B)/plugin/%.so: tools/plugin/%.c tools/plugin/common.h tools/plugin/names.h tools/plugin/qemu_plugin.h user/lib/marker.h mk/bench.mk | setup
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(HOSTCC) -shared -fPIC -std=gnu11 -O2 -Wall -Wextra -Werror -fvisibility=hidden -o $@.$$$$ $< && mv $@.$$$$ $@

.PHONY: bench-linux
bench-linux: ## Instructions an operation, beside Debian's Linux in the same QEMU: doc/bench-linux.md [BIG=1024 KERNELS="strata strata-ahead strata-huge linux tuned huge" TOP=0 MOVES="1 2 4 8" SEED=1]
	@BUILD=$(call sq,$(B)) $(if $(SEED),SEED=$(call sq,$(SEED))) $(if $(KERNELS),KERNELS=$(call sq,$(KERNELS))) $(if $(TOP),TOP=$(call sq,$(TOP))) \
		$(if $(filter undefined,$(origin MOVES)),,MOVES=$(call sq,$(MOVES))) tools/bench-linux $(call sq,$(BIG))

.PHONY: bench-turns
bench-turns: ## A loop of will-it-scale in wall-clock time, ours and Debian's Linux in turns: doc/bench-linux.md [TEST=page_fault1 ROUNDS=5 TASKS="1 2" KERNELS="strata plain linux tuned" MS=1000]
	@BUILD=$(call sq,$(B)) $(foreach v,TASKS KERNELS MS,$(if $($v),$v=$(call sq,$($v)))) \
		tools/bench-turns $(call sq,$(or $(TEST),page_fault1)) $(call sq,$(if $(filter command line environment,$(origin ROUNDS)),$(ROUNDS),5))

.PHONY: conflicts
conflicts: ## Kernel cache lines that CPUs take from each other on memory of their own: doc/conflicts.md [CPUS=8 PAIR=name ROUNDS=4 SLICE=100 SEED=1 TOP=5 KERNEL=strata]
	@BUILD=$(call sq,$(B)) $(foreach v,PAIR SLICE TOP KERNEL SEED,$(if $($v),$v=$(call sq,$($v)))) \
		$(if $(filter command line environment,$(origin ROUNDS)),ROUNDS=$(call sq,$(ROUNDS))) \
		tools/conflicts $(call sq,$(if $(filter file,$(origin CPUS)),8,$(CPUS)))

.PHONY: walk
walk: ## What the kernel does for one operation, function by function, and what it writes: doc/fault.md [OPERATION=touch]
	@BUILD=$(call sq,$(B)) tools/walk $(call sq,$(OPERATION))

# Numbers and names of the kernel's structs for tools/conflicts, tools/walk.
DEPS += $(B)/plugin/layout.d
$(B)/plugin/layout.o: tools/plugin/layout.c $(HEADERS) mk/bench.mk mk/kernel.mk | setup
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(KCC) $(K_GEN) -mgeneral-regs-only $(WARN) $(K_CPP) -S -o $(@:.o=.s) $< && \
		sed -n 's,^//->\([A-Z_]* [-0-9]*\)$$,\1,p' $(@:.o=.s) >$(@:.o=.txt) && $(KCC) $(K_GEN) -mgeneral-regs-only $(WARN) $(K_CPP) $(OUT)
