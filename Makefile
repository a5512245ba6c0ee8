# Every way to run this checkout; `make` alone lists them. Everything lives in .venv.
#
#   PYTHON=python3.12     the Python to use (default: the first that fits; another one: `make clean` first)
#   ROS_WHEELS=kilted     the ROS 2 whose wheels stand in where none is sourced: jazzy (default) or kilted
#   PIP_ARGS='...'        more arguments for every `pip install`, for instance the index of a CPU torch
#   DEMO_ARGS, TEST_ARGS  more arguments for the demo and for pytest
#   JOBS=2                processes that run the tests

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo test lint build docs clean

PIP_ARGS ?=
DEMO_ARGS ?=
TEST_ARGS ?=
JOBS ?= 2

# A sourced ROS brings rclpy, its Python and its NumPy. Elsewhere PyPI's wheels of ROS 2 stand in; the
# two never meet in one environment.
# Relative, since make splits a path at its spaces; ROOT goes into the environment only.
VENV := .venv
ROOT := $(CURDIR)
ifdef ROS_DISTRO
MODE := $(ROS_DISTRO)
PYTHONS := $(or $(PYTHON),python3 /usr/bin/python3)
FITS := import ensurepip, venv, rclpy.node
MISFIT := can import rclpy of the sourced ROS '$(ROS_DISTRO)' and create environments (python3-venv)
ABOUT := over the sourced ROS 2 '$(ROS_DISTRO)'
VENV_ARGS := --system-site-packages
PINS := $(VENV)/pins.txt
else
ROS_WHEELS ?= jazzy
MODE := wheels-$(ROS_WHEELS)
PYTHONS := $(or $(PYTHON),python3 python3.12 python3.13 python3.11)
FITS := import ensurepip, platform, sys, venv; \
    assert (3, 11) <= sys.version_info < (3, 14); \
    assert (sys.platform, platform.machine()) == ("linux", "x86_64")
MISFIT := is a Python 3.11 to 3.13 with venv on x86-64 Linux, for which PyPI has wheels of ROS 2
ABOUT := with ROS 2 '$(ROS_WHEELS)' from PyPI wheels
VENV_ARGS :=
PINS := constraints.txt constraints-$(ROS_WHEELS).txt
WHEELS := $(addprefix ros-$(ROS_WHEELS)-,rclpy common-interfaces rmw-fastrtps-cpp)
ifeq ($(wildcard constraints-$(ROS_WHEELS).txt),)
$(error ROS_WHEELS=$(ROS_WHEELS) is neither jazzy nor kilted)
endif
endif

# What every run needs; a value from the environment wins where it is the user's to choose.
export PATH := $(ROOT)/$(VENV)/bin:$(PATH)
export AMENT_PREFIX_PATH := $(ROOT)/$(VENV)$(if $(ROS_DISTRO),$(if $(AMENT_PREFIX_PATH),:$(AMENT_PREFIX_PATH)))
PROFILE := $(if $(filter jazzy,$(or $(ROS_DISTRO),$(ROS_WHEELS))),FASTRTPS,FASTDDS)_DEFAULT_PROFILES_FILE
export $(PROFILE) ?= $(ROOT)/config/fastdds.xml
export ROS_AUTOMATIC_DISCOVERY_RANGE ?= LOCALHOST
export PIP_DISABLE_PIP_VERSION_CHECK := 1
ifndef HOME
export ROS_LOG_DIR ?= $(ROOT)/$(VENV)/log
endif
# Left over when make is started by the Python of another environment with these wheels.
ifdef _ROS_WHEELS_BOOTSTRAP_COMPLETE
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE LD_LIBRARY_PATH
endif

# Stamps carry a digest of the files they answer for, so that nothing is installed or fetched twice.
digest = $(shell cat $(1) | sha256sum | cut -c 1-12)
STAMPS := $(VENV)/stamps
READY := $(STAMPS)/$(MODE)
GROUP := $(STAMPS)/$(MODE)-$(call digest,setup.py $(sort $(wildcard constraints*.txt)))
SHARE := $(STAMPS)/share-$(call digest,setup.py setup.cfg package.xml $(sort $(wildcard launch/* config/*)))
PIP_INSTALL := python -m pip install --quiet $(PIP_ARGS)
PINNED := $(PIP_INSTALL) $(addprefix --constraint ,$(PINS))
EDITABLE := --no-build-isolation --editable
# rerun wants NumPy 2, and a sourced ROS brings its own.
WITH_test := $(if $(ROS_DISTRO),,,view)

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-6s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(SHARE)  ## create .venv: over the sourced ROS 2, else with ROS 2 from PyPI
	@echo "$$(python --version) $(ABOUT), in .venv"

demo: setup  ## the whole node on a synthetic camera, without a robot
	@python -m lab.demo $(DEMO_ARGS)

test: setup $(GROUP)-test  ## pytest, in JOBS processes
	@python -m pytest -n $(JOBS) --dist worksteal $(TEST_ARGS)

lint: setup $(GROUP)-lint  ## ruff, mypy and the import contracts
	@status=0
	for tool in 'ruff check' 'ruff format --check' mypy lint-imports; do
	  echo "$$tool"
	  $$tool || status=1
	done
	exit $$status

build: setup $(GROUP)-build  ## colcon build into build/, plain and --symlink-install, and check both
	@root=$$PWD
	if [[ $$root == *' '* ]]; then
	  echo "make build: colcon's setup.sh does not run under a path with a space: move this checkout" >&2
	  exit 2
	fi
	for how in plain symlink; do
	  base=build/$$how
	  colcon --log-base $$base/log build --base-paths . --build-base $$base/build \
	    --install-base $$base/install $$([ $$how = plain ] || echo --symlink-install)
	  prefix=$$root/$$base/install/depth_anything_ros
	  test -x "$$prefix/lib/depth_anything_ros/depth_node"
	  test -f "$$prefix/share/depth_anything_ros/launch/depth.launch.py"
	  test -f "$$prefix/share/ament_index/resource_index/packages/depth_anything_ros"
	  # The launcher must run under the Python of .venv, on the code that colcon installed.
	  (
	    cd / && set +u && . "$$prefix/../setup.sh"
	    "$$prefix/lib/depth_anything_ros/depth_anything" --help > /dev/null
	    python -c 'import sys, depth_anything_ros as d; assert d.__file__.startswith(sys.argv[1]), d.__file__' \
	      "$$root/build/$$how/"
	  )
	  echo "colcon build ($$how): installed and started"
	done

# Links lead from page to page as in the repository: the copies lie as the pages do.
PAGES := $(wildcard *.md *.rst docs/*.md docs/media/* config/*) LICENSE lab/claims/error_model.py \
  depth_anything_ros/model/demo/demo.md
docs: setup $(GROUP)-docs  ## the pages as a site in build/site; a warning is an error
	@rm -rf build/docs
	mkdir -p build/docs
	cp --parents --target-directory build/docs $(PAGES)
	python -m mkdocs build

clean:  ## remove .venv and everything that was built
	rm -rf .venv build demo install log dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

$(READY):
	@rm -rf $(VENV)
	for python in $(PYTHONS); do
	  if "$$python" -c '$(FITS)' 2> /dev/null; then break; fi
	  python=
	done
	if [ -z "$$python" ]; then
	  echo "None of '$(PYTHONS)' $(MISFIT)."
	  echo "Source ROS 2 (Jazzy or newer), or name a Python that fits: make PYTHON=..."
	  exit 2
	fi >&2
	echo "Creating .venv $(ABOUT): the first installation takes minutes"
	"$$python" -m venv $(VENV_ARGS) $(VENV)
	touch $(VENV)/COLCON_IGNORE
	if [ -n '$(ROS_DISTRO)' ]; then
	  python -c 'import numpy; print(f"numpy=={numpy.__version__}")' > $(PINS)
	fi
	mkdir -p $(STAMPS)
	touch $@

# A stamp of older files goes first: what it stood for is about to be replaced.
$(GROUP)-run: $(READY)
	@rm -f $(STAMPS)/$(MODE)-* $(STAMPS)/share-*
	$(PINNED) 'setuptools>=70.1,<80'
	$(PINNED) $(WHEELS) $(EDITABLE) '.[bag,openvino]'
	touch $@

$(GROUP)-test $(GROUP)-lint $(GROUP)-build $(GROUP)-docs: $(GROUP)-%: $(GROUP)-run
	@$(PINNED) $(EDITABLE) '.[$*$(WITH_$*)]'
	# Upstream's package asks for gradio, torchvision and a second OpenCV; the tests need none of them.
	[ $* != test ] || $(PINNED) --no-deps jkp-depth-anything-v2
	touch $@

# An editable installation copies launch and config into share: copy again when they change.
$(SHARE): $(GROUP)-run
	@rm -f $(STAMPS)/share-*
	$(PIP_INSTALL) --no-deps $(EDITABLE) .
	touch $@
