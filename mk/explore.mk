# SPDX-License-Identifier: BSD-2-Clause
# The explorer (explore/explore.h): every schedule of small scenarios, replayable.
#
# host-explore       kernel, test support and scenarios carry ThreadSanitizer's instrumentation, but are linked without its
#                    library: explore/memory*.c and race.c answer the calls, as a memory model. The laboratory and the
#                    simulated machine are compiled plainly; they are the world that the kernel runs in. litmus tests the model
# host-explore-tsan  the same scenarios with the real ThreadSanitizer, on fibers or on free-running threads

X_SCENARIO := $(wildcard explore/scenario_*.c)
X_LITMUS   := explore/litmus.c explore/litmus_tests.c
X_MEMORY   := $(wildcard explore/memory*.c) explore/race.c
X_MODEL    := $(X_MEMORY) explore/sanitizer_none.c
X_TSAN     := explore/sanitizer.c
X_LAB      := $(filter-out $(X_SCENARIO) $(X_LITMUS) $(X_MODEL) $(X_TSAN),$(wildcard explore/*.c))
# The kernel's accesses to descriptors and frames are in these; the rest of the machine is hardware.
X_ACCESS   := kernel/hal/host/host_pte.c kernel/hal/host/host_copy.c
X_MACHINE  := $(filter-out $(X_ACCESS),$(wildcard kernel/hal/host/*.c))
X_KERNEL   := $(filter-out $(X_MACHINE),$(H_SRC)) $(T_SUP)

# The laboratory is the host's code, not the kernel's.
X_CFLAGS := $(H_CFLAGS) $(T_CFLAGS) -D_GNU_SOURCE=
X_LINK   := -pthread -no-pie -rdynamic

# PLAIN_<config> is compiled without SAN_<config>; LIB_<config> is in both programs.
SAN_host-explore        := -O1 -fsanitize=thread -include explore/intercept.h
PLAIN_host-explore      := $(X_LAB) $(X_MODEL) $(X_MACHINE) explore/litmus.c
LIB_host-explore        := $(X_MEMORY) $(X_MACHINE) $(X_KERNEL)
LINK_host-explore       :=
X_ENGINE_host-explore   := explore/sanitizer_none.c

SAN_host-explore-tsan    := -O1 -fsanitize=thread
# The machine's own state is no more shared between fibers than hardware's is; what programs touch is.
PLAIN_host-explore-tsan  := $(X_LAB) $(X_TSAN) $(filter-out kernel/hal/host/host_user.c,$(X_MACHINE))
LIB_host-explore-tsan    := $(X_MACHINE) $(X_KERNEL)
LINK_host-explore-tsan   := -fsanitize=thread
X_ENGINE_host-explore-tsan := explore/sanitizer.c

define explore_config
$(1)_LIB := $$(LIB_$(1):%.c=$(B)/$(1)/obj/%.o)
$(1)_EXP := $$(patsubst %.c,$(B)/$(1)/obj/%.o,$(X_LAB) $(X_SCENARIO) explore/litmus_tests.c $$(X_ENGINE_$(1)))

$(B)/$(1)/obj/%.o: %.c $$(HEADERS) mk/host.mk mk/explore.mk | setup
	$$(call say,CC,$(1) $$<)
	@mkdir -p $$(@D)
	$(Q)$$(HOSTCC) $$(X_CFLAGS) $$(if $$(filter $$<,$$(PLAIN_$(1))),-O2,$$(SAN_$(1))) $$(HCFLAGS) $$(OUT)

$(B)/$(1)/explore: $$($(1)_EXP) $$($(1)_LIB)
	$$(call say,LD,$$@)
	$(Q)$$(HOSTCC) $(X_LINK) $$(LINK_$(1)) -o $$@.$$$$$$$$ $$^ -lcmocka && mv $$@.$$$$$$$$ $$@

.PHONY: $(1)
$(1): $(B)/$(1)/explore
DEPS += $$($(1)_LIB:.o=.d) $$($(1)_EXP:.o=.d)
endef
$(foreach c,host-explore host-explore-tsan,$(eval $(call explore_config,$(c))))

X_LITMUS_OBJ := $(X_LITMUS:%.c=$(B)/host-explore/obj/%.o)
$(B)/host-explore/litmus: $(X_LITMUS_OBJ) $(host-explore_LIB)
	$(call say,LD,$@)
	$(Q)$(HOSTCC) $(X_LINK) -o $@.$$$$ $^ -lcmocka && mv $@.$$$$ $@
host-explore: $(B)/host-explore/litmus
DEPS += $(X_LITMUS_OBJ:.o=.d)

ENGINE  ?= model
X_NAMES := SEED RUNS DEPTH EXHAUSTIVE CPUS SCENARIO VARIANT VARIANTS SCHEDULES SCHEDULE TRACE JOBS
X_EXE   := $(B)/$(if $(filter tsan threads,$(ENGINE)),host-explore-tsan,host-explore)/explore

.PHONY: explore
explore: $(X_EXE) ## Every schedule of small scenarios: doc/explore.md [SEED= RUNS= DEPTH= CPUS= SCENARIO= SCHEDULE= ...]
	@$(X_EXE) BUILD=$(call sq,$(B)) ENGINE=$(call sq,$(ENGINE)) $(foreach v,$(X_NAMES),$(if $($(v)),$(v)=$(call sq,$($(v)))))
