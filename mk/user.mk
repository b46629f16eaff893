# SPDX-License-Identifier: BSD-2-Clause
# Programs for EL0, static, against the cross compiler's own libc. user/*.c, user/test/*.c and bench/*.c are one
# program a file; user/lib/*.c, where there are any, are linked into each.

UCC := $(CROSS)gcc
U   := $(B)/user

U_PROGS := $(patsubst user/%.c,$(U)/%,$(wildcard user/*.c))
U_TESTS := $(patsubst user/test/%.c,$(U)/test/%,$(wildcard user/test/*.c))
U_BENCH := $(patsubst bench/%.c,$(U)/bench/%,$(wildcard bench/*.c))
U_LIB   := $(patsubst user/lib/%.c,$(U)/obj/user/lib/%.o,$(wildcard user/lib/*.c))

U_CFLAGS := -std=gnu11 -O2 -g -pthread -fno-omit-frame-pointer -Wall -Wextra -Iuser

$(U)/obj/user/lib/%.o: user/lib/%.c mk/user.mk | setup
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(UCC) $(U_CFLAGS) $(OUT)

define user_program
	$(call say,UCC,$<)
	@mkdir -p $(@D) $(dir $(U)/obj/$<)
	$(Q)$(UCC) $(U_CFLAGS) -static -MMD -MP -MF $(U)/obj/$(<:.c=.d) -MT $(DEP_TARGET) -o $@.$$$$ $< $(U_LIB) && mv $@.$$$$ $@
endef

$(U_PROGS): $(U)/%: user/%.c $(U_LIB) mk/user.mk | setup
	$(user_program)
$(U_TESTS): $(U)/test/%: user/test/%.c $(U_LIB) mk/user.mk | setup
	$(user_program)
$(U_BENCH): $(U)/bench/%: bench/%.c $(U_LIB) mk/user.mk | setup
	$(user_program)

# What the tests expect under /etc/strata; tools/run puts it in every initrd.
$(U)/etc/.stamp: user/mkfiles mk/user.mk
	$(call say,FILES,$(@D))
	$(Q)umask 022 && rm -rf $(@D) && mkdir -p $(@D)/strata && bash user/mkfiles $(@D)/strata
	@touch $@

.PHONY: user
user: $(U)/etc/.stamp $(U_PROGS) $(U_TESTS) $(U_BENCH) ## Programs for EL0

# Debian's own busybox, unmodified.
BUSYBOX := $(B)/busybox/bin/busybox
$(BUSYBOX): | setup
	$(call say,FETCH,busybox-static:arm64)
	$(Q)tools/setup busybox $(B)/busybox

DEPS += $(patsubst $(U)/%,$(U)/obj/user/%.d,$(U_PROGS) $(U_TESTS)) $(patsubst $(U)/bench/%,$(U)/obj/bench/%.d,$(U_BENCH)) $(U_LIB:.o=.d)
