# Two commands do everything: `make demo` and `make test`.  Meson and ninja build.
SHELL := /bin/bash
BUILD ?= build
VECTORS ?= $(or $(SEEMESH_VECTORS),../shared/vectors)

.PHONY: all setup build stage demo test vectors bench sim lint format clean check fuzz

all: build

setup:
	@tools/setup

build: setup
	@[ -f $(BUILD)/build.ninja ] || meson setup $(BUILD) -Ddev_root=true
	@ninja -C $(BUILD)

stage: build
	@tools/stage $(BUILD)

# KEEP=1 leaves the mesh up; FILE=path stores that file instead of the default; TPM=1 gives every
# node a software TPM.
demo: build
	@BUILD=$(BUILD) KEEP=$(KEEP) FILE=$(FILE) TPM=$(TPM) tools/demo

test: build
	-@tools/setup test
	@tools/run-tests $(BUILD)

vectors: build
	@$(BUILD)/tests/vectors/seemesh-vectors $(VECTORS)

bench: build
	@"$$(tools/stage $(BUILD))/seemesh" bench all

sim: build
	@$(BUILD)/sim/seemesh-sim run all

# Every fuzz target for FUZZ_SECONDS; its corpus stays in build-fuzz.
FUZZ_SECONDS ?= 30
fuzz:
	@tools/setup dev
	@tools/fuzz-smoke build-fuzz $(FUZZ_SECONDS)

# All that a change must pass.
check:
	@.ci/run

lint:
	@tools/setup dev
	@tools/lint

format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

clean:
	rm -rf build build-*
