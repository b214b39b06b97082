# Two commands for everybody: `make demo` and `make test`. Each makes its own virtual environment.

PYTHON ?= python3
PIP := -m pip --disable-pip-version-check --quiet

.PHONY: help demo test check fix unit wheel digits bench clean

help: ## these lines
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: .venv-demo/installed ## draw digits.png with the generator that ships inside ganrt, and say how fast that is here
	@.venv-demo/bin/ganrt sample digits -n 100 --seed 7 --label 0-9 --columns 10 -o digits.png
	@.venv-demo/bin/ganrt bench digits --quick --batch 1,100

test: check unit wheel ## everything that must pass: format, lint, types, imports, tests, the wheel

check: .venv/installed ## formatter, linter, types, import contracts
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports

unit: .venv/installed ## the tests; `make unit PYTEST="-m slow"` runs the long ones
	OMP_NUM_THREADS=1 GOMP_SPINCOUNT=100 .venv/bin/pytest -n auto $(PYTEST) # a worker has a core to itself

wheel: .venv/installed ## the wheel, installed without the build side in an environment of its own
	rm -rf dist .venv-wheel
	.venv/bin/python -m build --wheel --no-isolation --outdir dist . > /dev/null
	$(PYTHON) -m venv .venv-wheel
	.venv-wheel/bin/python $(PIP) install -c constraints.txt "$$(ls dist/*.whl)[cpu]"
	cd dist && ../.venv-wheel/bin/python -I ../tests/wheel_smoke.py

fix: .venv/installed ## let the formatter and linter mend what they can
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

digits: .venv/installed ## train, judge and pack the bundled digits anew (about an hour on one core)
	.venv/bin/ganrt train cgan --data mnist -o ganrt/bundles/digits.ganrt

bench: .venv/installed ## every comparison in benchmarks/, results into benchmarks/results/
	.venv/bin/python -m benchmarks all

clean: ## remove the environments and what they built
	rm -rf .venv .venv-demo .venv-wheel dist

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python $(PIP) install -c constraints.txt --editable '.[dev,export]'
	.venv/bin/python $(PIP) install -c constraints.txt --no-deps spandrel einops # torchvision is not needed for its tests
	@touch $@

.venv-demo/installed: pyproject.toml constraints.txt $(shell find ganrt -name '*.py' -o -name '*.ganrt')
	@echo "Installing ganrt into .venv-demo (numpy, ONNX Runtime and a few small libraries) ..."
	@rm -rf .venv-demo && $(PYTHON) -m venv .venv-demo
	@.venv-demo/bin/python $(PIP) install -c constraints.txt '.[cpu]'
	@touch $@
