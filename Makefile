# What a contributor types. The checks themselves are in .ci/check, which .ci/run runs where there is no make.
# FOLDER=… keeps what examples and benchmarks write, and lets the second of them use the first one's trained network.

.DEFAULT_GOAL := help
.PHONY: help install lint types docs test wheel examples benchmarks site check format regenerate
export FOLDER

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' Makefile

install:  ## install tgr with what its tests need, so that edits count at once
	pip install --editable '.[dev,docs]'

lint:  ## style, and layout of the code
types:  ## type hints of tgr_cli and examples
docs:  ## are docs/cli.md and docs/artifacts.md those that the code gives?
test:  ## the test suite
wheel:  ## is the wheel alone the whole package?
examples:  ## run every example at a size that takes seconds
benchmarks:  ## run, or load, every benchmark
site:  ## the pages of docs/ as a site, without warnings
lint types docs test wheel examples benchmarks site:
	@.ci/check $@

check:  ## all of the above
	@.ci/check

format:  ## put the code into its layout, and mend what can be mended
	ruff check --fix .
	ruff format .

regenerate:  ## write docs/cli.md and docs/artifacts.md anew
	python docs/generate.py
