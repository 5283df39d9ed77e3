# From a checkout to the table of results: `make sweep`. Needs python3 (3.11 or newer) and make; everything else
# goes into .venv, at the versions of requirements.lock. `make help` lists the targets.

PYTHON ?= python3
ARGS ?=

VENV := .venv
# SYSTEM_TORCH=1: torch and torchvision are those of PYTHON (a cluster's module, built for its driver). What .venv was
# made with holds for later calls, too.
SYSTEM_TORCH ?= $(if $(wildcard $(VENV)/.installed-system-torch),1)
KIND := $(if $(strip $(SYSTEM_TORCH)),true,false)
STAMP := $(VENV)/.installed$(if $(strip $(SYSTEM_TORCH)),-system-torch)
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check
RUFF := $(VENV)/bin/python -m ruff
SWEEP := python sweeps/run.py -m backbone=r50,r101 levels=1,2,3$(if $(strip $(ARGS)), $(ARGS))

# What comes with torch, as a pattern: never installed beside another one. torchcodec fits one version of torch alone.
OF_TORCH := torch|torchvision|torchcodec|triton|nvidia-[^=]*|cuda-[^=]*|sympy|mpmath|networkx
# An interpreter that lives in a virtual environment itself does not hand its packages on: a .pth file names them.
define NEXT_TO_TORCH
import glob, pathlib, sys, torch
(folder,) = glob.glob(sys.argv[1] + "/lib/python3*/site-packages")
pathlib.Path(folder, "system-torch.pth").write_text(str(pathlib.Path(torch.__file__).parents[1]) + "\n")
endef
export NEXT_TO_TORCH

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install sweep tables test soak lint format typecheck lock clean distclean

help:  ## this list
	@echo 'make TARGET [ARGS="more arguments"] [PYTHON=python3.12] [SYSTEM_TORCH=1]'
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
	@test $(KIND) = false || $(PYTHON) -c 'import torch, torchvision' || { \
	  echo 'error: SYSTEM_TORCH=1, but $(PYTHON) has no torch and torchvision that can be imported: load the module' \
	    'that brings them, or name its interpreter: make install SYSTEM_TORCH=1 PYTHON=/path/to/python' >&2; exit 1; }
	@! test -d $(VENV) || grep -qs 'include-system-site-packages = $(KIND)' $(VENV)/pyvenv.cfg || rm -rf $(VENV)
	@$(VENV)/bin/python -m pip --version >/dev/null 2>&1 || \
	  { rm -rf $(VENV); $(PYTHON) -m venv $(if $(filter true,$(KIND)),--system-site-packages )$(VENV); } || \
	  { rm -rf $(VENV); $(PYTHON) -m virtualenv $(if $(filter true,$(KIND)),--system-site-packages )$(VENV) \
	    2>/dev/null; } || { \
	  rm -rf $(VENV); \
	  echo 'error: $(PYTHON) cannot make a virtual environment. On Debian or Ubuntu: apt-get install python3-venv;' \
	    'elsewhere: $(PYTHON) -m pip install --user virtualenv. Then type the same command again.' >&2; exit 1; }
ifeq ($(KIND),true)
	@echo 'Installing the pinned requirements without torch into $(VENV) (some minutes, once)'
	@sed -E '/^($(OF_TORCH))==/d' requirements.lock > $(VENV)/requirements.txt
	$(PIP) install --no-deps -r $(VENV)/requirements.txt
	@$(VENV)/bin/python -c 'import torch' 2>/dev/null || $(PYTHON) -c "$$NEXT_TO_TORCH" $(VENV)
else
	@echo 'Installing the pinned requirements into $(VENV) (about 6 GB, mostly torch; some minutes, once)'
	$(PIP) install -r requirements.lock
endif
	$(PIP) install --no-deps --no-build-isolation --editable .
	@test $(KIND) = false || $(VENV)/bin/python -m sweeps.checks.packages
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
	for size in '10000 --repeats 3' '100000 --repeats 1'; do \
	  $(VENV)/bin/python -m benchmarks.speed records --count $$size || exit 1; done | tee tests/soak/results/records.txt
	$(VENV)/bin/python -m tests.soak.killed_runs --kills 50 --seed 0 | tee tests/soak/results/killed_runs.txt

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
