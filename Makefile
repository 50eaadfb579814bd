# Two commands: `make lab` (the course in JupyterLab) and `make test` (everything that is tested).
# Both need Python 3.10 or newer and a package registry, and keep to this folder's .venv.

PYTHON ?= python3
LAB_ARGS ?=
PYTEST_ARGS ?=
CHAPTERS ?=
JOBS ?= 2
CLAIM ?=
SUBMITTED ?= submitted
GRADE_ARGS ?=
BUNDLE_ARGS ?=
SOLUTIONS ?= leave-out

# Threads that wait without spinning: with another busy program on the same cores, PyTorch's
# default is slower by a factor of five and more.
export OMP_WAIT_POLICY ?= passive

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Named, so that pytest-xdist's main process finds who prints their tables.
TABLES := $(addprefix tests/grading,/ /attacks /batch /damage /verdict)
# One more at a time than JOBS, for when one waits. Two more cost a tenth more processor time.
BESIDE = $(BIN)/python -m pytest -n $$(($(JOBS) + 1)) --dist loadgroup --no-loadscope-reorder \
    --durations=20 $(TABLES) tests
SLOW := slow or notebooks or grading or browser or peers

.DEFAULT_GOAL := help
.PHONY: help lab test test-all test-fast lint build bundle site grade bench reproduce clean

help:
	@echo "make lab        open the course in JupyterLab      (LAB_ARGS: passed on to it)"
	@echo "make test       lint, then run every test          (PYTEST_ARGS, JOBS)"
	@echo "make test-all   make test, then the tests that only a release needs"
	@echo "make test-fast  the tests that take seconds        (PYTEST_ARGS, JOBS)"
	@echo "make build      build and execute chapters         (CHAPTERS=\"00 01\"; all by default)"
	@echo "make bundle     the zip that students get, in dist/   (BUNDLE_ARGS)"
	@echo "make site       the course as a static book, in build/site  (SOLUTIONS=leave-out or fold)"
	@echo "make grade      grade what was handed in           (SUBMITTED, JOBS, CHAPTERS, GRADE_ARGS)"
	@echo "make bench      run the benchmarks in bench/"
	@echo "make reproduce  run the slides' claims, write docs/reproduction.md  (CLAIM=\"gd-0.5 ...\")"
	@echo "make lint       ruff: check and format; mypy: the package's type hints"
	@echo "make clean      remove caches and build folders; .venv stays"

lab: $(VENV)/.course
	$(BIN)/jupyter lab --ServerApp.root_dir="$(CURDIR)/notebooks" \
	    --LabApp.default_url=/lab/tree/00-start-here/00-start-here.ipynb $(LAB_ARGS)

# Most tests run JOBS at a time. Of the slow ones those that mind no company (tests/sharing.py) run
# one more at a time, because they wait: for kernels, for pages, for each other. Those that
# kill, count seconds or fill the machine run one after another.
test: $(VENV)/.dev lint
	$(BIN)/python -m pytest -n $(JOBS) -m "not ($(SLOW) or extended)" $(PYTEST_ARGS)
	$(BESIDE) -m "beside and not extended" $(PYTEST_ARGS)
	$(BIN)/python -m pytest -m "($(SLOW)) and not beside and not extended" \
	    --durations=20 $(PYTEST_ARGS)

test-all: test $(VENV)/.site
	$(BESIDE) -m extended $(PYTEST_ARGS)

test-fast: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(JOBS) -m "not ($(SLOW) or extended)" $(PYTEST_ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

build: $(VENV)/.course
	$(BIN)/flatlab build $(CHAPTERS)
	$(BIN)/python docs/figures.py

bundle: $(VENV)/.dev
	$(BIN)/flatlab bundle $(BUNDLE_ARGS)

site: $(VENV)/.site
	$(BIN)/python docs/site/make_site.py --solutions $(SOLUTIONS)

grade: $(VENV)/.course
	$(BIN)/flatlab grade $(SUBMITTED) -j $(JOBS) $(addprefix --chapter ,$(CHAPTERS)) $(GRADE_ARGS)

bench: $(VENV)/.dev
	@for script in $(filter-out bench/reproduce.py bench/versions.py,$(wildcard bench/*.py)); do echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

# Runs what is not on file in bench/results/ledger/; all of it takes hours on 2 cores.
reproduce: $(VENV)/.dev
	$(BIN)/python bench/reproduce.py $(CLAIM)

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -path ./$(VENV) -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -type d \
	    -exec rm -rf {} +

# A stamp for each set of packages: installed again when pyproject.toml or the versions change.
$(VENV)/.course: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) install -q -c constraints.txt -e ".[course]"
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) install -q -c constraints.txt -e ".[course,dev]"
	@touch $@ $(VENV)/.course

$(VENV)/.site: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) install -q -c constraints.txt -e ".[course,site]"
	@touch $@ $(VENV)/.course

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
	    echo "There is no $(PYTHON): install Python 3.10 or newer, or name one: make PYTHON=..."; \
	    exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	    echo "$(PYTHON) is too old: flatlab needs Python 3.10 or newer. Name one: make PYTHON=..."; \
	    exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	    echo "$(PYTHON) cannot make an environment. On Debian and Ubuntu: apt-get install python3-venv"; \
	    exit 1; }
