# SPDX-License-Identifier: BSD-2-Clause
# Promela models of the protocols, checked by spin; doc/models.md says what they prove.

.PHONY: models
models: ## Models of the protocols and their broken twins, checked by spin [MODEL=pattern TRAIL=1]
	@BUILD=$(call sq,$(B)) TRAIL=$(TRAIL) tools/models $(MODEL)
