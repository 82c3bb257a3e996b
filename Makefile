# The targets a person needs are in `make help`. Pattern rules only: a new tracer is a new file in bpf/, and
# no line here.

PREFIX     ?= /usr/local
SYSCONFDIR ?= /etc
# podman and CRI-O look there whatever our prefix is.
HOOKSDIR   ?= /usr/share/containers/oci/hooks.d
BPF_OUT    ?= build/bpf
FIXTURES_OUT ?= build/fixtures
WEB_OUT    ?= build/web
CARGO      ?= cargo
TARGET_DIR ?= $(or $(CARGO_TARGET_DIR),target)

# What libbpf's headers call this architecture.
ARCH := $(shell uname -m | sed 's/x86_64/x86/; s/aarch64/arm64/; s/riscv64/riscv/; s/ppc64le/powerpc/; s/s390x/s390/')

BPF_CLANG   ?= clang
BPF_STRIP   ?= llvm-strip
BPF_FLAGS   := -g -O2 -target bpf -mcpu=v3 -D__TARGET_ARCH_$(ARCH) -Wall -Werror -I bpf
BPF_HEADERS := $(wildcard bpf/*.h)
BPF_OBJECTS := $(patsubst bpf/%.bpf.c,$(BPF_OUT)/%.bpf.o,$(wildcard bpf/*.bpf.c))
FIXTURES    := $(patsubst tests/fixtures/%.bpf.c,$(FIXTURES_OUT)/%.bpf.o,$(wildcard tests/fixtures/*.bpf.c))
# Examples are among what tests use.
EXAMPLES    := $(patsubst examples/tracer/%.bpf.c,$(FIXTURES_OUT)/example_%.bpf.o,$(wildcard examples/tracer/*.bpf.c))

WEB_SOURCES := $(wildcard web/*.js web/*.html web/*.css web/*.svg web/src/*.js web/src/*/*.js)

BINARIES := remora remora-hook remora-runtime
HOST      = $(shell rustc -vV | sed -n 's/^host: //p')
# Everything is static, the tests too: one set of dependencies serves all of one profile. A program that is moved as a whole
# has tens of thousands of relocations, which packed are a tenth as large.
FLAGS    := -C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs
STATIC    = env RUSTFLAGS='$(FLAGS)' $(CARGO)
# A release ends when it panics: nothing is unwound, and what that would need is left out.
RELEASE   = env RUSTFLAGS='$(FLAGS) -C force-unwind-tables=no -C link-arg=-Wl,-T,packaging/no-unwind.ld,--no-eh-frame-hdr' \
	CFLAGS_$(subst -,_,$(HOST))='-fno-asynchronous-unwind-tables -fno-unwind-tables' $(CARGO)
AS_ROOT  := $(if $(filter-out 0,$(shell id -u)),sudo -E env "PATH=$$PATH")

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help deps bpf fixtures web build manual licences deb image demo test bench eval docs check fmt clippy deny install uninstall clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

deps: ## install what building and testing need, as far as it is missing
	@tests/deps

bpf: $(BPF_OBJECTS) ## compile the tracers into BPF_OUT (build/bpf)

fixtures: $(FIXTURES) $(EXAMPLES) ## compile the tests' own tracers into FIXTURES_OUT (build/fixtures)

define compile_bpf
@mkdir -p $(@D)
$(BPF_CLANG) $(BPF_FLAGS) -c $< -o $@
@$(BPF_STRIP) -g $@
endef

# -g first for the BTF, then without the DWARF that came with it.
$(BPF_OUT)/%.bpf.o: bpf/%.bpf.c $(BPF_HEADERS)
	$(compile_bpf)

# What the end-to-end tests feed to remora.
$(FIXTURES_OUT)/%.bpf.o: tests/fixtures/%.bpf.c $(BPF_HEADERS) $(wildcard tests/fixtures/*.h)
	$(compile_bpf)

$(FIXTURES_OUT)/example_%.bpf.o: examples/tracer/%.bpf.c $(BPF_HEADERS)
	$(compile_bpf)

# Tracers from outside of bpf/: `make examples/NAME.bpf.o`.
%.bpf.o: %.bpf.c $(BPF_HEADERS)
	$(compile_bpf)

web: $(WEB_OUT)/index.html.gz ## build the page into WEB_OUT (build/web), as it is embedded

$(WEB_OUT)/index.html.gz: $(WEB_SOURCES) web/node_modules/.package-lock.json
	@node web/build.js $(WEB_OUT)

# No script of a package is run. The second one's are for the tests alone.
web/node_modules/.package-lock.json tests/web/node_modules/.package-lock.json: %/node_modules/.package-lock.json: %/package-lock.json
	cd $* && npm ci --silent --ignore-scripts --include=dev
	@touch $@

build: ## static release binaries into build/
	@tests/deps --check build
	$(RELEASE) build --release --locked --target $(HOST) -p remora
	$(RELEASE) build --profile hook --locked --target $(HOST) -p remora-hook
	@mkdir -p build
	@for binary in release/remora hook/remora-hook hook/remora-runtime; do \
		cp $(TARGET_DIR)/$(HOST)/$$binary build/new && mv build/new build/$${binary#*/}; done

manual: ## man pages and shell completions into build/manual
	@rm -rf build/manual
	$(STATIC) run --quiet --locked --target $(HOST) -p remora --example manual -- build/manual

licences: ## what is linked into the binaries, and its licences, into build/licences
	@mkdir -p build
	packaging/licences > build/licences.new && mv build/licences.new build/licences

deb: build manual licences ## a Debian package into build/
	packaging/deb/build build

image: build licences ## a container image as an OCI archive, build/remora-image.tar
	packaging/image build/remora-image.tar

demo: ## trace a real podman container from its first exec on
	@$(MAKE) deps
	@$(MAKE) build
	$(AS_ROOT) tests/demo

test: ## unit tests, then real runtimes and real kernels (as root)
	@$(MAKE) deps
	@$(MAKE) build
	node --test web/test/*.test.js
	tini -s -- $(STATIC) test --locked --target $(HOST) --workspace --exclude remora-tests
	$(AS_ROOT) tests/run

bench: ## costs against the budgets, side by side (as root); BENCH="basics tracers nginx scrape" for some of it
	@tests/deps bench
	@$(MAKE) build
	$(RELEASE) build --release --locked --target $(HOST) -p remora-tests --bin bench
	$(AS_ROOT) env REMORA_BUILD=$(CURDIR)/build REMORA_SOURCE=$(CURDIR) REMORA_COST=$(CURDIR)/build/cost.md tini -s -- $(TARGET_DIR)/$(HOST)/release/bench $(BENCH)

eval: ## alarms and incidents on recorded containers, against the goals (as root); EVAL=--short for a sanity run
	@$(MAKE) deps
	@$(MAKE) build
	$(RELEASE) build --release --locked --target $(HOST) -p remora-alert --example eval
	$(AS_ROOT) tests/eval/record $(EVAL) --seed 1 build/eval/learned
	$(AS_ROOT) tests/eval/record $(EVAL) --seed 3 build/eval/scored
	$(TARGET_DIR)/$(HOST)/release/examples/eval build/eval/scored --learn build/eval/learned $(if $(EVAL),,--write docs/evaluation.md)

docs: bpf ## what is said in docs and alert/tracers.json: of the objects, and of the API
	docs/generate

check: fmt clippy deny ## formatting, lints, licences and sources of dependencies

fmt:
	$(CARGO) fmt --all --check

clippy:
	$(STATIC) clippy --locked --target $(HOST) --workspace --all-targets -- -D warnings

deny:
	@tests/deny

# Replaced by rename: a binary that is missing for a moment fails every container that starts in that moment.
define put
install -D -m $(1) $(2) $(DESTDIR)$(3).new
mv -f $(DESTDIR)$(3).new $(DESTDIR)$(3)
endef

# A file that names our binaries, with the path at which they are installed.
define put_text
install -d $(dir $(DESTDIR)$(2))
sed 's|/usr/local/bin/|$(PREFIX)/bin/|g' $(1) > $(DESTDIR)$(2).new
chmod 644 $(DESTDIR)$(2).new
mv -f $(DESTDIR)$(2).new $(DESTDIR)$(2)
endef

# What a tracer from outside includes.
HEADERS := remora.bpf.h remora_emit.bpf.h core_fixes.bpf.h vmlinux.h
UNITS := $(notdir $(wildcard systemd/*.service systemd/*.socket))
# Whether there is a systemd to tell, which an image or package being built has not.
LIVE   = $(if $(DESTDIR),,$(wildcard /run/systemd/system))

install: ## put binaries, units and hook configuration in place (DESTDIR, PREFIX, HOOKSDIR)
	@test -x build/remora || { echo "build/remora is missing: run make build first" >&2; exit 1; }
	$(foreach binary,$(BINARIES),$(call put,755,build/$(binary),$(PREFIX)/bin/$(binary))$(newline))
	$(foreach header,$(HEADERS),$(call put,644,bpf/$(header),$(PREFIX)/include/remora/$(header))$(newline))
	install -d -m 755 $(addprefix $(DESTDIR)$(SYSCONFDIR)/remora,/ /tracers.d /rules.d)
	test -e $(DESTDIR)$(SYSCONFDIR)/remora/remora.toml || install -m 644 examples/remora.toml $(DESTDIR)$(SYSCONFDIR)/remora/remora.toml
	$(foreach unit,$(UNITS),$(call put_text,systemd/$(unit),$(PREFIX)/lib/systemd/system/$(unit))$(newline))
	$(call put,644,systemd/remora.sysusers,$(PREFIX)/lib/sysusers.d/remora.conf)
	$(call put,644,systemd/remora.tmpfiles,$(PREFIX)/lib/tmpfiles.d/remora.conf)
	$(if $(LIVE),systemd/activate)
	$(call put_text,runtime-configs/podman/remora.json,$(HOOKSDIR)/remora.json)

uninstall: ## take away configuration first, the binaries last; logs and ledgers stay
	@systemd/unused "$(DESTDIR)" "$(PREFIX)" "$(SYSCONFDIR)"
	rm -f $(DESTDIR)$(HOOKSDIR)/remora.json
	$(if $(LIVE),systemd/deactivate)
	$(if $(DESTDIR),,-$(PREFIX)/bin/remora reset)
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/lib/systemd/system/,$(UNITS))
	rm -f $(DESTDIR)$(PREFIX)/lib/sysusers.d/remora.conf $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/remora.conf
	$(if $(LIVE),systemctl daemon-reload)
	if cmp -s examples/remora.toml $(DESTDIR)$(SYSCONFDIR)/remora/remora.toml; then rm $(DESTDIR)$(SYSCONFDIR)/remora/remora.toml; fi
	-rmdir --ignore-fail-on-non-empty $(addprefix $(DESTDIR)$(SYSCONFDIR)/remora,/tracers.d /rules.d /)
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/include/remora/,$(HEADERS))
	-rmdir --ignore-fail-on-non-empty $(DESTDIR)$(PREFIX)/include/remora
	rm -f $(foreach binary,remora remora-runtime remora-hook,$(DESTDIR)$(PREFIX)/bin/$(binary))

clean: ## remove what was built
	rm -rf build web/node_modules tests/web/node_modules $(TARGET_DIR)

define newline


endef
