# SPDX-License-Identifier: BSD-2-Clause
# Running: everything in QEMU goes through tools/run, which judges its arguments, builds what is missing and starts it.

CPUS    ?= 4
MEM     ?= 1G
CPU     ?= max,pauth-impdef=on
TIMEOUT ?=
KARGS   ?=
QEMU_ARGS ?=
FILES   ?=
PROGRAM ?=
ARGS    ?=

sq  = '$(subst ','\'',$(1))'
RUN = BUILD=$(call sq,$(B)) CHECKED=$(CHECKED) LSE=$(LSE) tools/run --cpus $(call sq,$(CPUS)) --mem $(call sq,$(MEM)) \
	$(if $(filter-out max$(COMMA)pauth-impdef=on,$(CPU)),--cpu $(call sq,$(CPU))) \
	$(if $(KARGS),--kargs $(call sq,$(KARGS))) $(if $(QEMU_ARGS),--qemu $(call sq,$(QEMU_ARGS)))
COMMA := ,

.PHONY: boot run shell debug
boot: ## The demonstration in QEMU, then a table [CPUS=4 MEM=1G CPU=max,pauth-impdef=on]
	+@$(RUN) --timeout $(call sq,$(or $(TIMEOUT),300)) --json $(call sq,$(B)/boot.jsonl) $(B)/user/demo </dev/null

run: ## One program: PROGRAM=file [ARGS= FILES= TIMEOUT= KARGS= QEMU_ARGS= CPUS= MEM= CPU=]
	@[ -n $(call sq,$(PROGRAM)) ] || { echo "run: say PROGRAM=file, a static arm64 ELF or a .c file" >&2; exit 2; }
	+@$(RUN) $(if $(TIMEOUT),--timeout $(call sq,$(TIMEOUT))) $(if $(FILES),--files $(call sq,$(FILES))) \
		$(call sq,$(PROGRAM)) $(ARGS)

shell: $(BUSYBOX) ## busybox sh, interactive
	+@$(RUN) --interactive --files $(call sq,$(or $(FILES),$(B)/busybox)) $(BUSYBOX) sh

debug: ## QEMU stopped at the first instruction, gdb attached
	+@$(RUN) --debug $(or $(PROGRAM),$(B)/user/demo) $(ARGS)

.PHONY: matrix
matrix: ## The demonstration on every machine that must work, then 20 boots in a row [REPEATS=20]
	@BUILD=$(call sq,$(B)) tools/matrix $(REPEATS)

SECONDS ?= 60
THREADS ?= 8
SEED    ?=
SAN     ?= thread
STRESS_none    := host-plain
STRESS_thread  := host-tsan
STRESS_address := host-asan

.PHONY: stress
stress: ## The same sources on the host, random operations [SECONDS=60 THREADS=8 SEED= SAN=thread|address|none]
	@BUILD=$(call sq,$(B)) tools/stress $(call sq,$(SECONDS)) $(call sq,$(THREADS)) $(call sq,$(SEED)) $(call sq,$(SAN))

.PHONY: bench
bench: ## will-it-scale's loops at 1, 2, 4, 8 CPUs [TEST=name MS=1000 CPU= MEM=]
	@BUILD=$(call sq,$(B)) tools/bench $(call sq,$(CPU)) $(call sq,$(MEM)) $(call sq,$(or $(MS),1000)) $(call sq,$(TEST))
