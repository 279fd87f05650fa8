# Two commands matter: `make demo` and `make test`. Both set up what they need:
# Debian packages where they may (root, apt-get), and a Python environment in $(ENV),
# outside root's home, because the test cluster's users run it, too.

SHELL := /bin/bash
ROOT := $(filter 0,$(shell id -u))
ENV ?= $(if $(ROOT),/opt/remote_kernels-dev/env,$(HOME)/.cache/remote_kernels-dev/env)
export ENV
SCHEDULER ?= slurm
export RK_CLUSTER_SCHEDULER := $(SCHEDULER)

.PHONY: help demo lab test suites soak bench lint unit clean

help:  ## this text
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

demo:  ## a notebook through a compute-node kernel, on a cluster made for it (SCHEDULER=gridengine)
	@tests/run demo

lab:  ## JupyterLab on the login host of the cluster; open it in a browser
	@tests/run lab

test:  ## all checks and all tests
	@tests/run test

suites:  ## the test suites of Jupyter's packages, with our provisioner: an hour
	@tests/run suites

soak:  ## the long versions of tests: half an hour and more
	@tests/run soak

bench:  ## what remote kernels cost; writes benchmark-results/ (ARGS="--help", SCHEDULER=gridengine)
	@tests/run bench

lint:  ## only ruff, mypy, import-linter, eslint and tsc
	@tests/run lint

unit:  ## only the tests that need no cluster
	@tests/run unit

clean:  ## take the cluster down and remove the environment
	@tests/run clean
