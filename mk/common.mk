# SPDX-License-Identifier: BSD-2-Clause
# What every configuration shares: output style, warnings, the tool check, cleaning, help.

ifeq ($(V),0)
Q   := @
say  = @printf '%-7s %s\n' '$(1)' '$(patsubst $(CURDIR)/%,%,$(2))'
else
Q   :=
say  = @:
endif

# $(call once,NAME,COMMAND): a variable that runs COMMAND at its first use only, so that make can read
# these files on a machine that has no compiler yet.
define once
$(1) = $$(eval $(1) := $$$$(shell $(2)))$$($(1))
endef

# The build folder may be spelled absolute or relative: a dependency file names its target by $(B), literally.
DEP_TARGET = '$$(B)/$(@:$(B)/%=%)'
# Compiler output appears whole or not at all, so that two makes in one folder do no harm.
OUT = -MMD -MP -MF $(@:.o=.d) -MT $(DEP_TARGET) -c -o $@.$$$$ $< && mv $@.$$$$ $@

WARN := -Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes -Wvla
DEPS :=

# Installs what is missing; says nothing and costs milliseconds when nothing is.
.PHONY: setup
setup:
	@tools/setup

$(B):
	@mkdir -p $@

.PHONY: clean
clean:
	rm -rf $(B)

# `## text` behind a target is its help.
.PHONY: help
help: ## This list
	@awk -F':.*## ' '/^[a-z][a-z-]*:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '%s\n' \
	  '' 'Variables: V=1 full command lines, BUILD=dir output folder, CHECKED=1 checked kernel,' \
	  'LSE=1 kernel for ARMv8.1 atomics, HOSTCC=clang host compiler.'

.PHONY: format
format: ## Apply .clang-format to every C file
	@tools/setup format
	git ls-files -co --exclude-standard '*.c' '*.h' | xargs clang-format -i
