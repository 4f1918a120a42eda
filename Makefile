# make report   set everything up, run every scenario on every backend, write reports/latest/, print the summary
# make test     set everything up, run the tests
# make nightly  the tests that take long and seldom break alone: large networks, large searches
# make soak     an hour of broken traces, scenarios and backends (SOAK_ARGS='--seconds 60 traces')
# make lint     format and type checks          make bench    timings as ratios against bare loops
# make publish  make reports/published/ again    make clean    remove what make made

PYTHON     ?= python3
FRAMEWORKS ?= torch paddle

VENV  := .venv
BIN   := $(VENV)/bin
PIP   := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
TORCH := $(shell sed -n 's/^torch==//p' constraints.txt)

unexport PYTHONDONTWRITEBYTECODE # tests and reports start processes: none is to compile the package once more

.DEFAULT_GOAL := report
.PHONY: setup report test nightly soak lint bench publish clean

setup: $(VENV)/ready $(FRAMEWORKS:%=$(VENV)/ready-%)

report: setup
	$(BIN)/isograd run --out reports/latest

test: setup # whole files go to one worker: what a file's tests share is made once
	$(BIN)/python -m pytest -n auto --dist loadfile $(PYTEST_ARGS)

nightly: setup
	$(BIN)/python -m pytest -n auto --dist loadfile --nightly -m nightly $(PYTEST_ARGS)

soak: setup
	$(BIN)/python -m tests.soak $(SOAK_ARGS)

lint: setup $(VENV)/names
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup
	$(BIN)/python -m tests.bench --large
	$(BIN)/python -m tests.bench.scale --large

publish: setup
	$(BIN)/isograd run 'article/*' --out reports/published
	rm -rf reports/published/traces

# mypy and editors look for a package in a folder of its name: these links give ours theirs, and never grow old.
$(VENV)/names: Makefile
	@rm -rf $@ && mkdir -p $@/inside/isograd
	@ln -s ../../harness $@/isograd
	@cd $@/inside/isograd && ln -s $(addprefix ../../../../,harness/__init__.py harness/py.typed backends scenarios) .

clean:
	rm -rf $(VENV) reports/latest reports/.latest.isograd-*

$(VENV)/ready: pyproject.toml setup.py constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"isograd needs Python 3.11 or newer; {sys.executable} is {v.major}.{v.minor}. Try make PYTHON=python3.11")'
	@echo "setting up $(VENV); the first time this takes a few minutes"
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[dev]'
	@touch $@

# The CPU build of PyTorch where one is to be had (README, "Which PyTorch"), and not gigabytes of CUDA packages.
$(VENV)/ready-torch: $(VENV)/ready
	$(PIP) 'torch==$(TORCH)+cpu' 2>/dev/null || $(PIP) torch
	@touch $@

$(VENV)/ready-paddle: $(VENV)/ready
	$(PIP) paddlepaddle
	@touch $@
