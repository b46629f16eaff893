# SPDX-License-Identifier: BSD-2-Clause
# Checks. tools/check runs each one, goes on after a failure, and ends with `N passed, N failed`.

LAYER_LIST := mk/layers.txt

.PHONY: check
check: ## All tests on the host and in QEMU, and a share of explore, models, stress, fuzz and mutants [CHECKS=pattern]
	@BUILD=$(call sq,$(B)) tools/check $(CHECKS)

.PHONY: mutants
mutants: ## Planted bugs, each of which must turn a check red [MUTANTS=pattern QUICK=1 FULL=1 SHARE=i/n ONLY=kind JOBS=2]
	@BUILD=$(call sq,$(B)) tools/mutants $(MUTANTS)

.PHONY: layers
layers: $(K_OBJ) $(host-plain_LIB) ## Includes and linked symbols against the order of mk/layers.txt
	@tools/layers $(LAYER_LIST) $(K)/obj $(B)/host-plain/obj

.PHONY: check-image
check-image: $(K)/strata.elf ## FP instructions, segment permissions, lock barriers of the linked kernel
	@tools/check-image $<
