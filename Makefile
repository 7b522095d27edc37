# fence: see README.md. Every target works on a clean clone; `make run` and `make check` install what they need first.
#
#   make            build/fence, build/fence-network and build/fence-exec
#   make run        a first look: one command under the default policy, and what it could not do
#   make check      all tests
#   make check-vm   all tests again in virtual machines with cgroup v2 and systemd, as root and as a user
#   make conformance   real programs inside that come in large packages, and a connection that is idle for ten minutes
#   make conformance-sid   the tests with engines and CRIU, against Debian sid's
#   make fuzz       the fuzzers of contrib/fuzz, all at once, for SECONDS=60
#   make check-faults  each system call fails in its turn, with all of them: the drill of which `make check` runs a sample
#   make bench      medians and ratios against crun (CRUN=PATH: another), runc, bubblewrap and a direct connection; a soak
#   make bench-net  what the relay carries, against a SOCKS-aware client; PEERS=DIR with hev-socks5-tunnel, tun2socks
#   make install    DESTDIR= PREFIX=/usr/local
#   make SANITIZE=1 with address and undefined-behaviour sanitizers, in build-sanitize/
#   make format     clang-format in place; format-check in CI

PREFIX      ?= /usr/local
BINDIR      ?= $(PREFIX)/bin
LIBEXECDIR  ?= $(PREFIX)/libexec
DATADIR     ?= $(PREFIX)/share
VERSION     := 0.1.0

CC          ?= cc
PKG_CONFIG  ?= pkg-config
WERROR      ?=
BUILD       := $(if $(SANITIZE),build-sanitize,build)

CFLAGS      ?= -O2 -g
WARNINGS    := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wno-missing-field-initializers \
               -Wno-override-init $(if $(WERROR),-Werror)
HARDENING   := -fstack-protector-strong -fstack-clash-protection $(if $(SANITIZE),,-D_FORTIFY_SOURCE=2)
comma       := ,
SANITIZERS  := $(if $(SANITIZE),-fsanitize=address$(comma)undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
override CPPFLAGS += -I. -D_GNU_SOURCE -DFENCE_VERSION='"$(VERSION)"' -DFENCE_LIBEXECDIR='"$(LIBEXECDIR)/fence"'
ALL_CFLAGS  := -std=gnu11 -fPIE $(WARNINGS) $(HARDENING) $(SANITIZERS) -MMD -MP

# fence itself is linked statically: it starts in a third of the time, and no library of a container's can ever be
# loaded into it. The hook is dynamic, since Debian has no static libmnl and it resolves names with libc.
# Where there is one, the entry point is runtime/seal_entry.c's.
ENTRY       := $(if $(filter x86_64-%,$(shell $(CC) -dumpmachine)),-Wl$(comma)-e$(comma)seal_entry)
STATIC      := $(if $(SANITIZE),-pie,-static-pie $(ENTRY))
LDFLAGS_ALL := -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,--gc-sections $(SANITIZERS)
FENCE_LIBS  := $(if $(SANITIZE),-lseccomp -lcap -lyajl,-lseccomp -lcap -lyajl_s) -lm
HOOK_LIBS   := -lmnl -lyajl

SPEC        := $(wildcard spec/*.c)
EXEC        := runtime/fence_exec.c
RUNTIME     := $(filter-out $(EXEC),$(wildcard runtime/*.c))
NETNS       := $(wildcard netns/*.c)
HOOKS       := $(wildcard hooks/*.c)
objects      = $(patsubst %.c,$(BUILD)/%.o,$(1))

all: $(BUILD)/fence $(BUILD)/fence-network $(BUILD)/fence-exec

$(BUILD)/fence: $(call objects,$(RUNTIME) $(SPEC))
	$(CC) $(CFLAGS) $(STATIC) $(LDFLAGS_ALL) $(LDFLAGS) -o $@ $^ $(FENCE_LIBS)

$(BUILD)/fence-network: $(call objects,$(HOOKS) $(NETNS) $(SPEC))
	$(CC) $(CFLAGS) -pie $(LDFLAGS_ALL) $(LDFLAGS) -o $@ $^ $(HOOK_LIBS)

# It runs in other people's containers, so it needs nothing of theirs.
$(BUILD)/fence-exec: $(call objects,$(EXEC) runtime/landlock.c $(SPEC))
	$(CC) $(CFLAGS) $(if $(SANITIZE),-pie,-static-pie) $(LDFLAGS_ALL) $(LDFLAGS) -o $@ $^ $(if $(SANITIZE),-lyajl,-lyajl_s)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(CFLAGS) -ffunction-sections -fdata-sections -c -o $@ $<

-include $(patsubst %.o,%.d,$(call objects,$(SPEC) $(RUNTIME) $(EXEC) $(NETNS) $(HOOKS)))

install: all
	install -D -m 0755 $(BUILD)/fence $(DESTDIR)$(BINDIR)/fence
	install -D -m 0755 $(BUILD)/fence-network $(DESTDIR)$(LIBEXECDIR)/fence/fence-network
	install -D -m 0755 $(BUILD)/fence-exec $(DESTDIR)$(LIBEXECDIR)/fence/fence-exec
	install -D -m 0644 contrib/man/fence.1 $(DESTDIR)$(DATADIR)/man/man1/fence.1
	install -D -m 0644 contrib/man/fence-policy.5 $(DESTDIR)$(DATADIR)/man/man5/fence-policy.5
	install -D -m 0644 contrib/completions/fence.bash $(DESTDIR)$(DATADIR)/bash-completion/completions/fence

# These install what they need first (contrib/setup, Debian and Ubuntu), so the programs are built by a second make.
run:
	@contrib/setup build run
	@$(MAKE) --silent --no-print-directory all
	@contrib/run-demo $(abspath $(BUILD)/fence)

check:
	@contrib/setup build check
	@$(MAKE) --no-print-directory all
	@FENCE=$(abspath $(BUILD)/fence) contrib/check

conformance:
	@contrib/setup build check conformance
	@$(MAKE) --no-print-directory all
	@IDLE_SECONDS=600 BATS_TEST_TIMEOUT=1500 FENCE=$(abspath $(BUILD)/fence) contrib/check tests/conformance/large_programs.bats \
		tests/bats/programs.bats

conformance-sid:
	@contrib/setup build sid
	@$(MAKE) --no-print-directory all
	@FENCE=$(abspath $(BUILD)/fence) contrib/conformance/sid-engines

check-faults:
	@contrib/setup build check
	@$(MAKE) --no-print-directory all
	@FAULTS=all BATS_TEST_TIMEOUT=3600 FENCE=$(abspath $(BUILD)/fence) contrib/check tests/bats/faults.bats

check-vm:
	@contrib/setup build vm
	@$(MAKE) --no-print-directory all
	@FENCE=$(abspath $(BUILD)/fence) contrib/vm/run

bench:
	@contrib/setup build bench
	@$(MAKE) --no-print-directory all
	@CRUN=$(or $(CRUN),crun) contrib/bench/run $(abspath $(BUILD)/fence)

bench-net:
	@contrib/setup build bench-net
	@$(MAKE) --no-print-directory all
	@PEERS=$(PEERS) contrib/bench/net $(abspath $(BUILD)/fence)

SECONDS ?= 60
fuzz:
	@contrib/setup build fuzz
	@contrib/fuzz/run $(BUILD) $(SECONDS)

manual:
	jq -r -f contrib/man/policy.jq contrib/policy.schema.json >contrib/man/fence-policy.5

SOURCES := $(wildcard */*.c */*.h contrib/*/*.c)
format:
	clang-format -i $(SOURCES)

format-check:
	clang-format --dry-run --Werror $(SOURCES)

clean:
	rm -rf build build-sanitize

.PHONY: all run check check-faults check-vm conformance conformance-sid fuzz bench bench-net install manual format format-check clean
