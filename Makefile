# What these do stands in scripts/plumbline.py, which also runs without make.
PYTHON ?= python3

.PHONY: setup run test test-browser check
setup run test test-browser check:
	@$(PYTHON) scripts/plumbline.py $@
