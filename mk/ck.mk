# SPDX-License-Identifier: BSD-2-Clause
# Third-party headers, copied so that no build ever has /usr/include's machine-dependent ones on its path.
#
# Concurrency Kit: header-only parts. Its ck_md.h describes the machine that the package was built for (TSO,
# wrong for us), so the CK_MD_* macros bypass it; its primitives ck_pr.h are replaced by our own backend.

CK_SYS ?= /usr/include
CK     := $(B)/ck
FDT    := $(B)/fdt

CK_DEFS := -DCK_MD_H -DCK_MD_RMO -DCK_MD_CACHELINE=64 -DCK_MD_PAGESIZE=4096 -DCK_MD_RTM_DISABLE \
	-DCK_MD_LSE_DISABLE -DCK_MD_POINTER_PACK_DISABLE -DCK_MD_VMA_BITS_UNKNOWN -DCK_PR_DISABLE_DOUBLE

HEADERS := $(CK)/.stamp $(FDT)/.stamp

$(CK)/.stamp: mk/ck.mk kernel/sync/ck_backend.h | setup
	$(call say,COPY,$(CK))
	$(Q)rm -rf $(CK) && mkdir -p $(CK)
	$(Q)cp -r $(CK_SYS)/ck_*.h $(CK_SYS)/spinlock $(CK)/
	$(Q)mkdir -p $(CK)/gcc && cp $(CK_SYS)/gcc/ck_*.h $(CK)/gcc/
	$(Q)printf '%s\n' '#include "sync/ck_backend.h"' > $(CK)/ck_pr.h
	$(Q): > $(CK)/ck_md.h
	$(Q)touch $@

$(FDT)/.stamp: mk/ck.mk | setup
	$(call say,COPY,$(FDT))
	$(Q)rm -rf $(FDT) && mkdir -p $(FDT)
	$(Q)cp /usr/include/fdt.h /usr/include/libfdt.h /usr/include/libfdt_env.h $(FDT)/
	$(Q)touch $@
