# What these do stands in scripts/plumbline.py, which also runs without make.
PYTHON ?= python3

.PHONY: setup run test check
setup run test check:
	@$(PYTHON) scripts/plumbline.py $@
