# Bursar: build, test, demo, benchmarks. Everything goes to build/.
#
#   make lib      libbursar.so in both modes        make test    every test
#   make demo     sixty agents under budgets        make bench   numbers beside baselines
#   make cli      the bursar command        make test-cli ONLY=Explain   its tests
#   make torture MINUTES=10 SEED=7                  make bench-home  what a home costs
#   make ledger-torture KILLS=1000 BOOTS=50 SEED=7  the ledger's writer killed, disks full, reboots
#   make bench-ledger     what a ledger costs       make ledger-year    a year, compacted
#   make integrations     real SDKs and frameworks  make bench-wrap     what wrapping adds to a call
#   make soak-integrations MINUTES=10 SEED=7        the same SDKs, at random, with a judge
#   make test-operations  docs/operations.md is what the command prints
#   make install PREFIX=/usr/local                  make bootstrap  installs what is missing

SHELL     := /bin/bash
PREFIX    ?= /usr/local
VERSION   := 0.1.0
SWIFT     := swift
TRIPLE    := $(shell uname -m)-unknown-linux-gnu
EMBEDDED  := build/embedded/$(TRIPLE)/release/libbursar.so
FULL      := build/static/$(TRIPLE)/release/libbursar.so
LIB       := build/lib/libbursar.so
FULL_LIB  := build/lib-full/libbursar.so
# SwiftPM hands the trait's Embedded feature to the linking compiler in full mode too, which
# then leaves out the object that registers type metadata: name it.
SWIFTRT   = $(shell dirname $$(dirname $$(readlink -f $$(command -v $(SWIFT)))))/lib/swift_static/linux/$(shell uname -m)/swiftrt.o
SOURCES   := $(shell find Sources/BursarCore Sources/BursarABI Sources/CPlatform Sources/CPrices Sources/CLedger Sources/CLibuv Sources/CSQLite include -type f) Package.swift Makefile tools/exports.map tools/outline.sh tools/texts.py tools/bytepairs.py
LINKED    := $(addprefix -Xlinker ,--icf=all --version-script=$(CURDIR)/tools/exports.map -soname=libbursar.so.0 \
             --gc-sections --hash-style=gnu --build-id=none -s -z now -z pack-relative-relocs -lm)
LINK      := -Xswiftc -use-ld=lld $(LINKED)

# Closures are called, not copied into a clone of each function that takes them. A function's
# traps are one. What a call saves counts half, so less is copied to where it is called.
# Objects are made anew when only these flags change.
SMALL     := $(addprefix -Xswiftc ,-Xfrontend -disable-incremental-llvm-codegen -Xfrontend -mergeable-traps \
             -Xllvm -inline-threshold=0 -Xllvm -sil-disable-pass=closure-specialize \
             -Xllvm -sil-inline-removed-call-benefit=10)

# One program to the optimiser (LTO): arguments that never vary and results that nobody reads
# go, and what is called once is no function. What comes out is bitcode, for tools/outline.sh.
WHOLE     := --experimental-lto-mode full \
             $(addprefix -Xlinker ,--lto-O2 -mllvm -inline-threshold=0 --lto-emit-llvm)

.PHONY: all bootstrap lib full test test-c test-go demo bench install clean

all: lib

# What a machine with only Debian and the Swift toolchain lacks.
bootstrap: build/.bootstrap
build/.bootstrap: tools/bootstrap.sh
	@mkdir -p build
	tools/bootstrap.sh
	@touch $@

# The shipped library: Embedded Swift, no Swift runtime.
lib: $(LIB) build/lib/bursar.pc
$(LIB): $(SOURCES) | build/.bootstrap
	$(SWIFT) build -c release --product bursar --traits Embedded --scratch-path build/embedded \
		-Xswiftc -Osize -Xswiftc -Xfrontend -Xswiftc -function-sections $(SMALL) \
		-Xcc -ffunction-sections -Xcc -fdata-sections -debug-info-format none \
		-Xcc -Oz -Xcc -fno-asynchronous-unwind-tables -Xcc -fno-unwind-tables $(LINK) $(WHOLE)
	@mkdir -p build/lib
	tools/outline.sh $(EMBEDDED) $(LIB) $(LINKED) $$(pkg-config --libs libuv sqlite3)
	ln -sf libbursar.so build/lib/libbursar.so.0

# The same sources in full mode, self-contained.
full: $(FULL_LIB)
$(FULL_LIB): $(SOURCES) | build/.bootstrap
	$(SWIFT) build -c release --product bursar --scratch-path build/static -Xswiftc -static-stdlib $(LINK) \
		-Xlinker $(SWIFTRT)
	@mkdir -p build/lib-full
	cp $(FULL) $(FULL_LIB)
	ln -sf libbursar.so build/lib-full/libbursar.so.0

build/lib/bursar.pc: tools/bursar.pc.in
	@mkdir -p build/lib
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' $< > $@

# Everything, in the order in which it fails soonest.
test: test-swift test-c model test-oracles test-python test-estimator test-wheel test-go test-race test-torture test-deaths litmus test-fuzz \
		test-readme test-ledger test-demo test-year test-cli
	@echo "make test: everything passed"

# The core, in full mode.
test-swift: | build/.bootstrap
	python3 tools/ledger/pack.py --check
	$(SWIFT) test --scratch-path build/full

# Windows beside zoneinfo, prices beside decimal: small here, whole with `make oracles`.
WINDOW_DUMP := build/full/$(TRIPLE)/debug/window-dump
PRICE_EVAL  := build/full/$(TRIPLE)/debug/price-eval
test-oracles: test-swift
	QUICK=1 WINDOW_DUMP=$(WINDOW_DUMP) Tests/windows/run.sh
	QUICK=1 python3 Tests/prices/oracle.py $(PRICE_EVAL)
oracles: | build/.bootstrap
	$(SWIFT) build -c release --product window-dump --scratch-path build/tools
	$(SWIFT) build -c release --product price-eval --scratch-path build/tools
	WINDOW_DUMP=build/tools/$(TRIPLE)/release/window-dump Tests/windows/run.sh
	python3 Tests/prices/oracle.py build/tools/$(TRIPLE)/release/price-eval

# The oldest and the newest Python that are here; wrap() with the real SDK on the newest.
test-python: lib
	{ echo "OPENAI_TESTS=1 bindings/python/tests/run.sh $$(tools/pythons.sh | tail -1)"; \
		tools/pythons.sh | sed '$$d; s|^|bindings/python/tests/run.sh |'; } | \
		BURSAR_LIBRARY=$(CURDIR)/$(LIB) tools/side-by-side.sh

# How far the learnt estimates are off, on any file of steps: `make estimator DATA=steps.csv`
# (columns: Tests/data/README.md). The test runs it on the sample.
ESTIMATOR = BURSAR_LIBRARY=$(CURDIR)/$(LIB) PYTHONPATH=bindings/python/src PYTHONDONTWRITEBYTECODE=1 \
            python3 Tests/estimator/estimator.py
DATA ?= Tests/data/agent-steps-sample.csv
.PHONY: estimator estimator-methods test-estimator
estimator: lib
	$(ESTIMATOR) $(DATA)
estimator-methods: lib
	$(ESTIMATOR:estimator.py=methods.py) $(DATA)
test-estimator: lib
	$(ESTIMATOR) --check Tests/data/agent-steps-sample.csv

# The C tests against both builds, and the example on its own loop.
test-c: lib full
	Tests/c/run.sh $(LIB)
	Tests/c/run.sh --full $(FULL_LIB)
	$(CC) -O1 -Wall -Wextra -Werror -Iinclude examples/agents.c -o build/agents $(LIB) $$(pkg-config --cflags --libs libuv)
	LD_LIBRARY_PATH=build/lib build/agents

# -count=1: results depend on the library, which Go does not see change.
GO = cd bindings/go && export PATH="$$(../../tools/go.sh):$$PATH" && \
	export CGO_LDFLAGS="-L$(CURDIR)/build/lib -Wl,-rpath,$(CURDIR)/build/lib" &&
test-go: lib
	$(GO) go vet ./... && CGO_ENABLED=0 go vet ./... && test -z "$$(gofmt -l .)"
	$(GO) go test -count=1 ./... && go test -count=1 -race ./...

# Homes, with processes in four languages: all of them race for one budget; all of them are
# killed, stopped and forked while a judge keeps books. PYTHONPATH is the binding as it stands.
HOME_TESTS = BURSAR_LIBRARY=$(CURDIR)/$(LIB) PYTHONPATH=bindings/python/src PYTHONDONTWRITEBYTECODE=1 python3
WORKERS    := build/torture-worker build/torture-go
RACERS     := build/racer build/racer-go
build/torture-worker: Tests/torture/worker.c Tests/torture/record.h include/bursar.h $(LIB)
	$(CC) -O1 -g -Wall -Wextra -Werror -Iinclude $< -o $@ $(LIB) -pthread -Wl,-rpath,$(CURDIR)/build/lib
build/racer: Tests/race/racer.c include/bursar.h $(LIB)
	$(CC) -O1 -g -Wall -Wextra -Werror -Iinclude $< -o $@ $(LIB) -pthread -Wl,-rpath,$(CURDIR)/build/lib
build/torture-go: Tests/torture/go/worker.go $(wildcard bindings/go/*.go) $(LIB)
	$(GO) cd ../../Tests/torture/go && test -z "$$(gofmt -l .)" && go vet . && go build -o $(CURDIR)/$@ .
build/racer-go: Tests/race/go/racer.go $(wildcard bindings/go/*.go) $(LIB)
	$(GO) cd ../../Tests/race/go && test -z "$$(gofmt -l .)" && go vet . && go build -o $(CURDIR)/$@ .

.PHONY: test-race test-torture torture bench-home
test-race: lib $(RACERS) test-swift
	$(HOME_TESTS) Tests/race/race.py build/racer build/racer-go 'python3 Tests/race/racer.py' \
		build/full/$(TRIPLE)/debug/home-racer
test-torture: lib $(WORKERS)
	$(HOME_TESTS) Tests/torture/torture.py --seconds 12 --go build/torture-go build/torture-worker
MINUTES ?= 10
torture: lib $(WORKERS)
	$(HOME_TESTS) Tests/torture/torture.py --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) \
		$(if $(filter command% environment%,$(origin KILLS)),--kills $(KILLS)) --go build/torture-go build/torture-worker

# The ledger while its writer is killed, its disk is full or its database damaged, and after
# reboots under load; what agents wrote down is compared with every row.
build/deaths-agent: Tests/deaths/agent.c Tests/torture/record.h include/bursar.h $(LIB)
	$(CC) -O1 -g -Wall -Wextra -Werror -Iinclude $< -o $@ $(LIB) -pthread -Wl,-rpath,$(CURDIR)/build/lib
.PHONY: test-deaths ledger-torture
test-deaths: lib build/deaths-agent
	$(HOME_TESTS) Tests/deaths/killed.py --seconds 14 build/deaths-agent
	$(HOME_TESTS) Tests/deaths/full.py --seconds 2 build/deaths-agent
	$(HOME_TESTS) Tests/deaths/reboot.py --boots 5 build/deaths-agent
KILLS ?= 1000
BOOTS ?= 50
ledger-torture: lib build/deaths-agent
	$(HOME_TESTS) Tests/deaths/killed.py --kills $(KILLS) $(if $(SEED),--seed $(SEED)) build/deaths-agent
	$(HOME_TESTS) Tests/deaths/full.py $(if $(SEED),--seed $(SEED)) build/deaths-agent
	$(HOME_TESTS) Tests/deaths/reboot.py --boots $(BOOTS) $(if $(SEED),--seed $(SEED)) build/deaths-agent

# What a home costs, each beside what it is compared with.
build/bench-home: Sources/bursar-bench/home.c include/bursar.h $(LIB)
	$(CC) -O2 -Wall -Wextra -Iinclude $< -o $@ $(LIB) -pthread -Wl,-rpath,$(CURDIR)/build/lib
bench-home: lib build/bench-home
	@set -e; home=$$(mktemp -d)/home; build/bench-home size $$home; \
	for i in $$(seq 30); do build/bench-home open $$home; done | sort -n | \
		awk '{ t[NR] = $$1 / 1e6 } END { printf "open of an existing home: %.2f ms (least), %.2f ms (median), \
	%.2f ms (most) of 30 processes, aim: 2 ms\n", t[1], t[int((NR + 1) / 2)], t[NR] }'; \
	build/bench-home steps $$home; build/bench-home kill $$home; \
	rm -f $$(build/bench-home where $$home); rm -rf $$(dirname $$home)

# What a ledger costs, and how soon a step is in it: RATE steps a second for a minute, by one
# process, and then by two for a shorter time.
RATE    ?= 200000
SECONDS_OF_LOAD ?= 60
build/bench-ledger: Sources/bursar-bench/ledger.c include/bursar.h $(LIB)
	$(CC) -O2 -Wall -Wextra -Iinclude $< -o $@ $(LIB) $$(pkg-config --cflags --libs sqlite3) -Wl,-rpath,$(CURDIR)/build/lib
.PHONY: bench-ledger ledger-year test-year
bench-ledger: lib build/bench-ledger
	@set -e; folder=$$(mktemp -d); trap 'rm -rf '$$folder EXIT; \
	build/bench-ledger $$folder/one $(SECONDS_OF_LOAD) $(RATE) 1; rm -rf $$folder/one; \
	build/bench-ledger $$folder/two 20 $(RATE) 2

# A year of STEPS, every report before and after compaction, and the size.
STEPS ?= 3000000
build/year: Tests/year/year.c include/bursar.h $(LIB)
	$(CC) -O1 -g -Wall -Wextra -Iinclude $< -o $@ $(LIB) -Wl,-rpath,$(CURDIR)/build/lib
ledger-year: lib build/year
	python3 Tests/year/year.py build/year $(STEPS)
test-year: lib build/year
	python3 Tests/year/year.py build/year 60000

# A wheel with the library inside, for any Python from 3.9 on; and what a user does with it.
WHEEL_ENV := build/wheel-venv
wheel: lib
	rm -rf build/wheel-src build/wheel
	cp -r bindings/python build/wheel-src
	mkdir -p build/wheel-src/src/bursar/_lib
	cp $(LIB) build/wheel-src/src/bursar/_lib/
	test -x $(WHEEL_ENV)/bin/python || python3 -m venv $(WHEEL_ENV)
	$(WHEEL_ENV)/bin/pip install --quiet --disable-pip-version-check 'setuptools>=61' 'wheel>=0.40'
	$(WHEEL_ENV)/bin/pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation -w build/wheel build/wheel-src
	cd build/wheel && ../../$(WHEEL_ENV)/bin/wheel tags --remove --platform-tag linux_$$(uname -m) *.whl
test-wheel: wheel
	rm -rf build/wheel-test && python3 -m venv build/wheel-test
	build/wheel-test/bin/pip install --quiet --disable-pip-version-check --no-deps build/wheel/*.whl
	cd build && env -u BURSAR_LIBRARY wheel-test/bin/python -c "import bursar; s = bursar.session('acme', '\$$2'); print(s.reserve(model='gpt-4o', input_tokens=1200, max_output_tokens=100))"

# The command: a Swift package of its own on the header and the library. It is quick to build, and
# finds the library beside itself, in ../lib or in the same directory.
CLI_SOURCES := $(shell find cli/Sources -type f) cli/Package.swift
CLI := build/bin/bursar
.PHONY: cli test-cli bench-top
cli: $(CLI)
$(CLI): $(CLI_SOURCES) include/bursar.h $(LIB)
	cd cli && LD_LIBRARY_PATH=$(CURDIR)/build/lib $(SWIFT) build -c release --static-swift-stdlib
	@mkdir -p build/bin
	strip -o $@ cli/.build/release/bursar

# Reports beside a second computation, golden files. UPDATE=1 writes these anew. What focus-validator
# says is part of it wherever PyPI can be reached; where not, the test says so.
FOCUS_ENV := build/focus-venv
$(FOCUS_ENV)/.tried: Tests/cli/requirements-focus.txt
	-python3 -m venv $(FOCUS_ENV) && $(FOCUS_ENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	@mkdir -p $(@D) && touch $@
# What `bursar top` costs itself and the agents.
SESSIONS ?= 10000
bench-top: lib cli
	BURSAR=$(CURDIR)/$(CLI) BURSAR_LIBRARY=$(CURDIR)/$(LIB) PYTHONPATH=bindings/python/src python3 Tests/cli/bench_top.py $(SESSIONS)

test-cli: cli $(FOCUS_ENV)/.tried test-operations
	rm -rf build/installed
	$(MAKE) --no-print-directory install DESTDIR=$(CURDIR)/build/installed
	cd Tests/cli && printf 'python3 -m unittest $(if $(ONLY),-k $(ONLY)) %s\n' $$(ls -S test_*.py) | \
		BURSAR=$(CURDIR)/$(CLI) BURSAR_LIBRARY=$(CURDIR)/$(LIB) PYTHONDONTWRITEBYTECODE=1 \
		INSTALLED=$(CURDIR)/build/installed$(PREFIX) ../../tools/side-by-side.sh

# docs/operations.md: what it shows is what the commands print. UPDATE=1 writes it anew.
.PHONY: test-operations
test-operations: cli
	python3 tools/operations.py $(CLI) $(LIB)

# What goes with the command: its man page, and completions for three shells.
SHARE := build/share/man/man1/bursar.1 build/share/bash-completion/completions/bursar \
         build/share/zsh/site-functions/_bursar build/share/fish/vendor_completions.d/bursar.fish
$(SHARE) &: $(CLI) tools/manual.py docs/operations.md
	@mkdir -p $(dir $(SHARE))
	python3 tools/manual.py $(CLI) > build/share/man/man1/bursar.1
	$(CLI) --generate-completion-script bash > build/share/bash-completion/completions/bursar
	$(CLI) --generate-completion-script zsh > build/share/zsh/site-functions/_bursar
	$(CLI) --generate-completion-script fish > build/share/fish/vendor_completions.d/bursar.fish

install: lib build/lib/bursar.pc $(SHARE)
	install -d $(addprefix $(DESTDIR)$(PREFIX)/,bin $(patsubst build/%,%,$(dir $(SHARE))))
	install -m 755 $(CLI) $(DESTDIR)$(PREFIX)/bin/
	for file in $(patsubst build/%,%,$(SHARE)); do install -m 644 build/$$file $(DESTDIR)$(PREFIX)/$$file; done
	install -d $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/lib/pkgconfig
	install -m 644 include/bursar.h $(DESTDIR)$(PREFIX)/include/
	install -m 755 $(LIB) $(DESTDIR)$(PREFIX)/lib/libbursar.so.$(VERSION)
	ln -sf libbursar.so.$(VERSION) $(DESTDIR)$(PREFIX)/lib/libbursar.so.0
	ln -sf libbursar.so.0 $(DESTDIR)$(PREFIX)/lib/libbursar.so
	install -m 644 build/lib/bursar.pc $(DESTDIR)$(PREFIX)/lib/pkgconfig/

# Beside bare atomics and empty calls, in one run.
BENCH := build/bursar-bench
bench: lib $(BENCH)
	@echo "$$(uname -m), $$(nproc) cores, $$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $$(gcc --version | head -1)"
	@ls -l $(LIB) | awk '{ print "libbursar.so: " $$5 " bytes stripped" }'
	$(CC) -O2 -Wall -Wextra -Iinclude Sources/bursar-bench/load.c -o build/bursar-load -ldl
	@for i in $$(seq 30); do build/bursar-load $(LIB); done | sort -n -k1 | \
		awk 'NR == 1 { print "load: " $$1 / 1000 " ms, first open: " $$2 / 1000 " ms (best of 30 processes)" }'
	LD_LIBRARY_PATH=build/lib $(BENCH)
	BURSAR_LIBRARY=$(CURDIR)/$(LIB) PYTHONPATH=bindings/python/src python3 bindings/python/bench.py
	$(GO) go test -run '^$$' -bench '[^t]$$' -benchtime 200000x . && go test -run '^$$' -bench Transport -benchtime 5000x .
$(BENCH): Sources/bursar-bench/bench.c include/bursar.h $(LIB)
	$(CC) -O2 -Wall -Wextra -Iinclude $< -o $@ $(LIB) -pthread

# The model: the core itself over simulated memory, locks and clocks (docs/protocol.md).
# Every interleaving of small scenes, with deaths anywhere; bugs that are planted and must
# be found; random processes by seed. `make simulate SEEDS=100000 FROM=1`, and
# `make model-full` for the scenes that take minutes (MOST=states at which one is cut off).
MODEL := SWIFT_DETERMINISTIC_HASHING=1 build/model/$(TRIPLE)/release/bursar-model
SEEDS ?= 1000
FROM  ?= 1
.PHONY: model model-full simulate model-build
model-build: | build/.bootstrap
	BURSAR_SEAM=1 $(SWIFT) build -c release --product bursar-model --scratch-path build/model
model: model-build
	printf '$(MODEL) %s\n' 'explore small' plants 'simulate 1000' | tools/side-by-side.sh
model-full: model-build
	$(MODEL) explore full
	$(MODEL) plants
simulate: model-build
	$(MODEL) simulate $(SEEDS) $(FROM)

clean:
	rm -rf build

# ---------------------------------------------------------------- Sanitizers
# Full mode, each in a scratch path of its own. TSan runs the suites that have
# threads (its search for deadlocks walks thousands of locks for each, and does not end);
# ASan, with its leak check, runs everything.

.PHONY: tsan asan
CONCURRENT := Hammer|Ceiling|Journal|Ledger|Event|Control|Session|Reserve|Charge|Rate|Settle|LimitChange|Crowding

tsan:
	TSAN_OPTIONS=halt_on_error=0:detect_deadlocks=0:report_signal_unsafe=0 \
		$(SWIFT) test --disable-xctest --sanitize=thread --scratch-path build/tsan --filter '($(CONCURRENT))'

asan:
	ASAN_OPTIONS=detect_leaks=1 LSAN_OPTIONS=suppressions=$(CURDIR)/tools/lsan.supp:print_suppressions=0 \
		$(SWIFT) test --disable-xctest --sanitize=address --scratch-path build/asan

# ---- The main job: sixty agents, most of them written with OpenAI's SDK, under budgets. ----
# It leaves a home and the server's bill in build/demo. The test runs it in small, then crosses
# every two dimensions of what it left.
DEMO_ENV := build/demo-venv
NIGHTLY  := build/demo-nightly
RUN_DEMO := BURSAR_LIBRARY=$(CURDIR)/$(LIB) PYTHONPATH=bindings/python/src PYTHONDONTWRITEBYTECODE=1 \
            $(DEMO_ENV)/bin/python

.PHONY: test-demo
demo: lib $(NIGHTLY) $(DEMO_ENV)/.ready
	@$(RUN_DEMO) demo/demo.py $(DEMO)
test-demo: lib $(NIGHTLY) $(DEMO_ENV)/.ready
	$(RUN_DEMO) demo/demo.py --small --pace 0.01 --folder build/demo-small
	$(RUN_DEMO) Tests/demo/crosses.py build/demo-small docs/ledger.md
$(NIGHTLY): demo/nightly/main.go $(wildcard bindings/go/*.go) $(LIB)
	$(GO) cd ../../demo/nightly && test -z "$$(gofmt -l .)" && go vet . && go build -o $(CURDIR)/$@ .

$(DEMO_ENV)/.ready: demo/requirements.txt | build/.bootstrap
	python3 -m venv $(DEMO_ENV)
	$(DEMO_ENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# SDKs and frameworks as they are on PyPI, at pinned versions (Tests/integrations/requirements*.txt),
# against a provider on the loopback that bills by itself. Apart from `make test`. ONLY=Streams
INTEGRATIONS_ENV := $(CURDIR)/build/integrations-venv
INTEGRATIONS = cd Tests/integrations && BURSAR_LIBRARY=$(CURDIR)/$(LIB) \
	PYTHONPATH=$(CURDIR)/bindings/python/src PYTHONDONTWRITEBYTECODE=1
.PHONY: integrations soak-integrations bench-wrap
integrations: lib
	Tests/integrations/env.sh $(INTEGRATIONS_ENV)
	$(INTEGRATIONS) $(INTEGRATIONS_ENV)/bin/python -m unittest discover -p 'test_*.py' $(if $(ONLY),-k $(ONLY))
	Tests/integrations/env.sh $(INTEGRATIONS_ENV)-google google
	$(INTEGRATIONS) $(INTEGRATIONS_ENV)-google/bin/python -m unittest discover -p 'test_*.py' $(if $(ONLY),-k $(ONLY))
	$(if $(ONLY),,$(INTEGRATIONS) $(INTEGRATIONS_ENV)/bin/python soak.py 0.3)

# Agents that do anything to their SDKs, at random. MINUTES=10 SEED=7
soak-integrations: lib
	Tests/integrations/env.sh $(INTEGRATIONS_ENV)
	$(INTEGRATIONS) $(INTEGRATIONS_ENV)/bin/python soak.py $(or $(MINUTES),5) $(SEED)

# What metering adds to a call of OpenAI's SDK, beside the bare SDK on the same stub.
bench-wrap: lib
	Tests/integrations/env.sh $(INTEGRATIONS_ENV)
	$(INTEGRATIONS) $(INTEGRATIONS_ENV)/bin/python bench_wrap.py

# README.md's samples, as they stand there.
test-readme: lib $(DEMO_ENV)/.ready
	$(DEMO_ENV)/bin/python tools/readme-samples.py $(LIB)

# docs/ledger.md's questions, and their answers as they stand there.
.PHONY: test-ledger
test-ledger: lib
	python3 tools/ledger-questions.py $(LIB)

# ---- Memory orders on ARM: herd7's answers, and the instructions of the compiler. ----
.PHONY: litmus
litmus:
	Tests/litmus/orders.sh
	Tests/litmus/run.sh

# ---- Hostile arguments, texts and segments: three fuzzers side by side for MINUTES. ----
.PHONY: fuzz test-fuzz
fuzz: | build/.bootstrap
	MINUTES=$(or $(MINUTES),3) Tests/fuzz/run.sh
test-fuzz: | build/.bootstrap
	SECONDS_EACH=5 Tests/fuzz/run.sh
