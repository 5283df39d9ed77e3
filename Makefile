# From a checkout to the table of results: `make sweep`. Needs python3 (3.11 or newer) and make; everything else
# goes into .venv, at the versions of requirements.lock. `make help` lists the targets.

PYTHON ?= python3
ARGS ?=

VENV := .venv
STAMP := $(VENV)/.installed
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check
RUFF := $(VENV)/bin/python -m ruff
SWEEP := python sweeps/run.py -m backbone=r50,r101 levels=1,2,3$(if $(strip $(ARGS)), $(ARGS))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install sweep tables test soak lint format typecheck lock clean distclean

help:  ## this list
	@echo 'make TARGET [ARGS="more arguments"] [PYTHON=python3.12]'
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

install: $(STAMP)  ## .venv with the pinned requirements (done once; the other targets do it for you)

# A step of its own for each thing that can be missing, so that each gets its own message.
$(STAMP): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
	  echo 'error: $(PYTHON) was not found. Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3' >&2; \
	  exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: Python 3.11 or newer is needed (torch, numpy and pandas at the pinned versions ask for it);" \
	    "$(PYTHON) is $$($(PYTHON) -V 2>&1). Name another one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(VENV)/bin/python -m pip --version >/dev/null 2>&1 || { rm -rf $(VENV); $(PYTHON) -m venv $(VENV); } || \
	  { rm -rf $(VENV); $(PYTHON) -m virtualenv $(VENV) 2>/dev/null; } || { \
	  rm -rf $(VENV); \
	  echo 'error: $(PYTHON) cannot make a virtual environment. On Debian or Ubuntu: apt-get install python3-venv;' \
	    'elsewhere: $(PYTHON) -m pip install --user virtualenv. Then type the same command again.' >&2; exit 1; }
	@echo 'Installing the pinned requirements into $(VENV) (about 6 GB, mostly torch; some minutes, once)'
	$(PIP) install -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

# The line that is shown is the line that runs: `python` is the one of .venv.
sweep: $(STAMP)  ## install, then the six runs and their table (ARGS="profile=full seed=0,1" goes to the sweep)
	@echo '$(subst ','\'',$(SWEEP))'
	@export PATH="$(CURDIR)/$(VENV)/bin:$$PATH"; $(SWEEP)

tables: $(STAMP)  ## the tables again, from the run records
	$(VENV)/bin/python results/make_tables.py $(ARGS)

test: $(STAMP)  ## all tests (ARGS="-m 'not slow'" for the quick ones, ARGS="-n 2" for two processes)
	$(VENV)/bin/python -m pytest $(ARGS)

soak: $(STAMP)  ## the long tests, hours in all; their results go to tests/soak/results/
	mkdir -p tests/soak/results
	$(VENV)/bin/python tests/soak/damaged_videos.py $(if $(strip $(ARGS)),$(ARGS),--files 1000 --seed 0) \
	  | tee tests/soak/results/damaged_videos.txt
	$(VENV)/bin/python -m tests.soak.damaged_data_set $(if $(strip $(ARGS)),$(ARGS),--files 1000 --seed 0) \
	  | tee tests/soak/results/damaged_data_set.txt

lint: $(STAMP)  ## ruff (rules and format) and types, changing nothing
	$(RUFF) check .
	$(RUFF) format --check .
	$(VENV)/bin/python -m mypy

typecheck: $(STAMP)  ## types of hcml and results only
	$(VENV)/bin/python -m mypy

format: $(STAMP)  ## let ruff rewrite what it can
	$(RUFF) check --fix .
	$(RUFF) format .

lock: $(STAMP)  ## write requirements.lock from what .venv holds now
	$(PIP) freeze --all --exclude-editable --exclude pip > requirements.lock.new
	mv requirements.lock.new requirements.lock
	@touch $(STAMP)

clean:  ## caches and build leftovers; never runs/ or data/
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis requirements.lock.new
	find hcml benchmarks sweeps results tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## clean, and .venv too
	rm -rf $(VENV)
