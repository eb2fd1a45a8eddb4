# Two commands do everything, set-up included: `make demo` trains and shows, `make test` checks.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# One more than there are cores: tests that wait for Flower leave theirs to others.
WORKERS := $(shell $(PYTHON) -c 'import os; print(min(4, 1 + (os.cpu_count() or 1)))')
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: help demo deploy-demo test quick check format proto clean

help:
	@echo "make demo         train on two domains under Flower's simulation, judge, and write runs/demo/report.html"
	@echo "make deploy-demo  the same on a SuperLink with TLS and four SuperNodes with keys, all on this machine"
	@echo "make test         lint, types, layers and all tests"
	@echo "make quick        the same without the tests that start Flower or take long: under three minutes on two cores"
	@echo "make check        lint, types and layers only"
	@echo "make format       repair what the linter can, and lay the code out"
	@echo "make clean        remove the virtual environment and caches (runs/ stays)"

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version) if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || $(PYTHON) -m venv --without-pip $(VENV)
	@$(BIN)/python -m pip --version > /dev/null 2>&1 || $(BIN)/python .ci/bootstrap_pip.py
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $(READY)

demo: $(READY)
	$(BIN)/huscf run demo --engine flower

deploy-demo: $(READY)
	$(BIN)/huscf deploy demo

test: check
	$(PYTEST)

# Left to `make test`: what is marked slow, what lets processes fail or measures, and what trains through Flower.
# Of Flower's half, messages and the closed list of what crosses are quick, and what else needs no run.
QUICK_ON_FLOWER := $(patsubst %,tests/flower/test_%.py,assembly client_keys closed_list collection launch replies \
	run_settings session_grid watching)
NOT_QUICK := tests/soak tests/docs tests/bench tests/session/wire/test_faults.py \
	$(filter-out $(QUICK_ON_FLOWER),$(sort $(wildcard tests/flower/test_*.py)))

quick: check
	$(PYTEST) -m 'not slow' $(addprefix --ignore=,$(NOT_QUICK))
	@echo "Left out, see make test: tests marked slow, and all of $(NOT_QUICK)"

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

proto: $(READY)
	$(BIN)/python -m pip install --quiet 'grpcio-tools<1.82' 'protobuf<7'
	$(BIN)/python -m grpc_tools.protoc -I . --python_out=. --pyi_out=. --grpc_python_out=. \
		huscf_flwr/session/wire/split_session.proto

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .import_linter_cache .ruff_cache .hypothesis *.egg-info
