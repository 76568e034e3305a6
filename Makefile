# What a contributor types, and .ci/run too. `make check` is everything a change must pass.
# FOLDER=… keeps what examples and benchmarks write, and lets the second of them use the first one's trained network.

.DEFAULT_GOAL := help
.PHONY: help install lint types docs test examples benchmarks check format regenerate

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' Makefile

install:  ## install tgr with what its tests need, so that edits count at once
	pip install --editable '.[dev]'

lint:  ## style, and layout of the code
	ruff check .
	ruff format --check .

types:  ## type hints of tgr_cli and examples
	mypy

docs:  ## are docs/cli.md and docs/artifacts.md those that the code gives?
	python docs/generate.py --check

test:  ## the test suite
	pytest

examples:  ## run every example at a size that takes seconds
	.ci/examples "$(FOLDER)"

benchmarks:  ## run, or load, every benchmark
	.ci/benchmarks "$(FOLDER)"

check: lint types docs test examples benchmarks  ## all of the above

format:  ## put the code into its layout, and mend what can be mended
	ruff check --fix .
	ruff format .

regenerate:  ## write docs/cli.md and docs/artifacts.md anew
	python docs/generate.py
