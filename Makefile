# Needs Python 3.11 or newer, git and make; everything else comes from the hashed lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PIP_INSTALL := $(BIN)/python -m pip install --quiet --no-compile --no-build-isolation

# DVC runs the stages as `python -m ...`: that must be this environment's python.
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Else every process compiles all modules anew.
unexport PYTHONDONTWRITEBYTECODE
export DVC_NO_ANALYTICS := 1
export GX_ANALYTICS_ENABLED := false
export HF_HUB_DISABLE_TELEMETRY := 1
export DO_NOT_TRACK := 1

.PHONY: demo base test test-all lint lock clean

# From the shipped data to a released model: pipeline, gates, verdict, report, release. The gates are shown after a
# rejection too.
demo: $(INSTALLED)
	$(BIN)/realign check
	$(BIN)/dvc repro || { $(BIN)/realign report; $(BIN)/realign status; exit 1; }
	$(BIN)/realign release srf
	$(BIN)/realign status

# The shipped base model again, from nothing, in checkpoints/demo/base: the bytes of data/base on the same kind of machine, in
# under an hour on one core (the number of threads changes them). Killed, it goes on. No stage of the pipeline: without an
# entry in dvc.lock DVC would call every clone incomplete.
base: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m stages demo base
	diff -r data/base checkpoints/demo/base && echo "checkpoints/demo/base is data/base"

# Two processes; a file's tests stay together, and what takes longest begins first (tests/conftest.py).
TESTS := $(BIN)/python -m pytest -q -n 2 --dist loadgroup --no-loadscope-reorder

# All but the longest proofs: runs and releases killed again and again, a whole run on somebody's own data, one of a
# copied workflow, DVC's behaviour, processes that end under mlx.launch, simulated error rates.
test: $(INSTALLED)
	$(TESTS) -m "not slow"

lint: $(INSTALLED)
	$(BIN)/python -m ruff check .

test-all: $(INSTALLED)
	$(TESTS)

# setuptools goes first, so that nothing is built with an unlocked one. Bytecode is compiled afterwards
# on all cores, twice as fast as by pip; a file that this Python cannot compile is not a failure.
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or \
	  sys.exit("found Python %d.%d; realign needs 3.11 or newer: make PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv --clear $(VENV)
	sed -n '/^setuptools==/,/[^\\]$$/p' requirements.lock > $(VENV)/setuptools.lock
	$(PIP_INSTALL) --require-hashes -r $(VENV)/setuptools.lock
	$(PIP_INSTALL) --require-hashes -r requirements.lock
	$(PIP_INSTALL) --no-deps -e .
	$(BIN)/python -m compileall -q -j 0 $(VENV)/lib || true
	touch $@

# After a change of the dependencies in pyproject.toml; add `UV_FLAGS=--upgrade` for newer versions.
lock: $(INSTALLED)
	$(PIP_INSTALL) uv
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --extra test --extra build \
	  --generate-hashes --no-annotate --no-header --no-emit-index-url --quiet -o requirements.lock $(UV_FLAGS)

# Models and data stay: they are in DVC's cache.
clean:
	rm -rf $(VENV)
