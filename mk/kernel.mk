# SPDX-License-Identifier: BSD-2-Clause
# The kernel for real machines: $(B)/kernel/{strata.elf,Image}. CHECKED=1, CHECKED=2
# (expensive assertions too) and LSE=1 have folders of their own.

CHECKED ?= 0
LSE     ?= 0

# tools/run spells this the same way.
KCONFIG := kernel$(patsubst -checked1,-checked,$(if $(filter-out 0,$(CHECKED)),-checked$(CHECKED)))$(if $(filter 1,$(LSE)),-lse)
K       := $(B)/$(KCONFIG)

CROSS   ?= aarch64-linux-gnu-
KCC     := $(CROSS)gcc
PICO    := /usr/lib/picolibc/aarch64-linux-gnu
LIBFDT  := /usr/lib/aarch64-linux-gnu/libfdt.a

$(eval $(call once,KCC_INCLUDE,$(KCC) -print-file-name=include))
$(eval $(call once,KCC_LIBGCC,$(KCC) -mgeneral-regs-only -print-libgcc-file-name))

K_SRC := $(wildcard kernel/base/*.c kernel/sync/*.c kernel/hal/*.c kernel/hal/armv8/*.c kernel/hal/aarch64/*.c \
	kernel/vm/*.c kernel/proc/*.c kernel/main.c)
K_ASM := $(wildcard kernel/hal/aarch64/*.S)
K_OBJ := $(K_SRC:%.c=$(K)/obj/%.o) $(K_ASM:%.S=$(K)/obj/%.o)
K_LDS := kernel/hal/aarch64/kernel.ld

K_ARCH := $(if $(filter 1,$(LSE)),-march=armv8.1-a+lse,-march=armv8-a)
K_CPP   = -nostdinc -isystem $(KCC_INCLUDE) -isystem $(CK) -isystem $(PICO)/include -isystem $(FDT) \
	-Ikernel -Ikernel/hal/aarch64 $(CK_DEFS) -DSTRATA_CHECKED=$(CHECKED)
K_GEN  := -std=gnu11 -O2 -g -ffreestanding $(K_ARCH) -mstrict-align -mno-outline-atomics -fno-pic -fno-pie \
	-fno-stack-protector -fno-omit-frame-pointer -momit-leaf-frame-pointer -ffunction-sections -fdata-sections \
	-fno-common -fno-strict-aliasing -fno-asynchronous-unwind-tables
K_LDFLAGS := -nostdlib -static -no-pie -Wl,--gc-sections -Wl,-z,max-page-size=4096 -Wl,-z,noexecstack \
	-Wl,--build-id=none

$(K)/obj/%.o: %.c $(HEADERS) mk/kernel.mk | setup
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(KCC) $(K_GEN) -mgeneral-regs-only $(WARN) $(K_CPP) $(KCFLAGS) $(OUT)

$(K)/obj/%.o: %.S $(HEADERS) mk/kernel.mk | setup
	$(call say,AS,$<)
	@mkdir -p $(@D)
	$(Q)$(KCC) $(K_GEN) $(K_CPP) $(OUT)

# Linked twice: the second time with the table of function names that tools/symbols makes of the first.
define kernel_link
	$(call say,LD,$@)
	$(Q)$(KCC) $(K_LDFLAGS) -Wl,-T,$(K_LDS) -Wl,-Map,$@.map -o $@.$$$$ $(filter %.o,$^) \
		-Wl,--start-group $(LIBFDT) $(PICO)/lib/libc.a $(KCC_LIBGCC) -Wl,--end-group && mv $@.$$$$ $@
endef

$(K)/nameless.elf: $(K_OBJ) $(K_LDS)
	$(kernel_link)

$(K)/symbols.o: $(K)/nameless.elf tools/symbols
	$(call say,NAMES,$@)
	$(Q)NM=$(CROSS)nm tools/symbols $< > $(K)/symbols.S && $(KCC) -c -o $@.$$$$ $(K)/symbols.S && mv $@.$$$$ $@

$(K)/strata.elf: $(K_OBJ) $(K)/symbols.o $(K_LDS)
	$(kernel_link)

$(K)/Image: $(K)/strata.elf
	$(call say,OBJCOPY,$@)
	$(Q)$(CROSS)objcopy -O binary $< $@.$$$$ && mv $@.$$$$ $@

.PHONY: kernel kernel-objs
kernel: $(K)/Image ## The aarch64 kernel
kernel-objs: $(K_OBJ)

DEPS += $(K_OBJ:.o=.d)
