# Needs Python 3.11 or newer, git and make; everything else comes from the hashed lock.
PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/.installed

# DVC runs the stages as `python -m ...`: that must be this environment's python.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
export DVC_NO_ANALYTICS := 1
export GX_ANALYTICS_ENABLED := false
export HF_HUB_DISABLE_TELEMETRY := 1
export DO_NOT_TRACK := 1

.PHONY: demo test test-fast lock clean

demo: $(INSTALLED)  ## from the shipped data to the verdict: pipeline, gates, report, released model
	dvc repro
	realign status

test: $(INSTALLED)  ## the whole test suite
	python -m pytest -q

test-fast: $(INSTALLED)  ## the tests that take seconds
	python -m pytest -q -m "not slow"

# setuptools goes first, so that no package is built with an unlocked one. Bytecode is compiled on all
# cores afterwards, twice as fast as pip does it.
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12") \
	  if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv --clear $(VENV)
	sed -n '/^setuptools==/,/[^\\]$$/p' requirements.lock > $(VENV)/setuptools.lock
	pip install -q --no-compile --require-hashes -r $(VENV)/setuptools.lock
	pip install -q --no-compile --no-build-isolation --require-hashes -r requirements.lock
	pip install -q --no-deps --no-build-isolation -e .
	python -m compileall -q -j 0 $(VENV)/lib || true
	touch $@

lock: $(INSTALLED)  ## after a change of the dependencies in pyproject.toml (needs the network)
	pip install -q uv
	uv pip compile pyproject.toml --universal --extra test --extra build --generate-hashes \
	  --no-annotate --no-header --no-emit-index-url -q -o requirements.lock

clean:  ## removes the environment; models and data stay in DVC's cache
	rm -rf $(VENV)
