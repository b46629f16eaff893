# SPDX-License-Identifier: BSD-2-Clause
# Fuzzing of the system-call boundary (doc/laboratory.md): $(B)/user/fuzz at EL0, $(B)/fuzz/host on the simulated machine.
# Both judge by the same model. The host side compiles kernel/ with clang for libFuzzer, and of
# kernel/proc what lies between system calls and kernel/vm.

F := $(B)/fuzz
F_MODEL := $(addprefix fuzz/,model.c calls.c advice.c files.c mapping.c moves.c)
F_GUEST := $(wildcard fuzz/guest*.c)

$(U)/fuzz: $(F_MODEL) $(F_GUEST) fuzz/model.h fuzz/guest.h mk/fuzz.mk | setup
	$(call say,UCC,$@)
	@mkdir -p $(@D)
	$(Q)$(UCC) $(U_CFLAGS) -Wno-clobbered -static -o $@.$$$$ $(F_MODEL) $(F_GUEST) && mv $@.$$$$ $@

FUZZCC ?= clang-14
F_PROC := errno sys sys_memory sys_advice sys_io sys_file fd file vnode vnode_open fs fs_walk device
F_HOST := $(wildcard fuzz/host*.c)
F_SRC  := $(H_SRC) $(F_PROC:%=kernel/proc/%.c) $(F_MODEL) fuzz/environment.c $(F_HOST)
F_OBJ  := $(F_SRC:%.c=$(F)/obj/%.o)
F_SAN  := -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined
# The model is not what coverage should lead to.
F_COV   = $(if $(filter kernel/%,$<),-fsanitize=fuzzer-no-link)
# Names of kernel/proc that are names of the host's libc too.
F_NAMES = $(if $(filter kernel/proc/% fuzz/environment.c fuzz/host%.c,$<),-include fuzz/kernel_names.h)

$(F)/obj/%.o: %.c $(HEADERS) mk/fuzz.mk mk/host.mk | fuzz-setup
	$(call say,CC,fuzz $<)
	@mkdir -p $(@D)
	$(Q)$(FUZZCC) $(H_CFLAGS) $(F_SAN) $(F_COV) $(F_NAMES) $(HCFLAGS) $(OUT)

$(F)/host: $(F_OBJ)
	$(call say,LD,$@)
	$(Q)$(FUZZCC) -pthread -rdynamic $(F_SAN) -fsanitize=fuzzer -o $@.$$$$ $^ && mv $@.$$$$ $@

.PHONY: fuzz-setup
fuzz-setup: | setup
	@tools/setup fuzz

DEPS += $(F_OBJ:.o=.d)

WHERE ?= both

.PHONY: fuzz
fuzz: ## Random memory calls at EL0 and on the host, judged by a model [SECONDS=60 SEED= WHERE=host|guest|both]
	@BUILD=$(call sq,$(B)) tools/fuzz $(call sq,$(SECONDS)) $(call sq,$(SEED)) $(call sq,$(WHERE))
