# The targets that people and CI use. `make test` is all that CI runs.

GO    ?= go
BIN   := bin/vmm
MOVES ?= 200
GUEST ?= loadgen
TIME  ?= 10m
BENCH ?=
MODES ?=
MATRIX ?=
PREFIX ?= /usr/local
DESTDIR ?=
UNITDIR ?= $(PREFIX)/lib/systemd/system

# Packages whose tests run vCPUs or other processes: the race detector slows
# them down so much that it would find other faults than theirs. A program that is confined as it starts can load no C library.
# ferrypoison: a page that is missing, and read all the same, is no zeros (guestmem/poison.go).
NO_RACE := /(tests(/.*)?|client|vcpu|internal/kvm(/.*)?|internal/confine|guests/loadgen|vmm|vmm/supervisor)$$

.PHONY: help demo build install uninstall deb test test-full check deps guest guest-fast race soak matrix bench bench-quick screenshots browser fuzz lint clean

help:
	@echo 'make demo            boot a guest, move it there and back, show what happened'
	@echo 'make build           build bin/vmm'
	@echo 'make install         install vmm, man pages, completion and systemd units below $$(DESTDIR)$$(PREFIX); make uninstall removes them'
	@echo 'make deb             a Debian package of the same, bin/ferry.deb'
	@echo 'make test            all that CI runs'
	@echo 'make test-full       boot the Linux variant full and use all that it has: takes minutes'
	@echo 'make soak [MOVES=N] [GUEST=linux|net|netlinux] [MODES=auto,postcopy]  move one busy guest back and forth in every mode, everything verified; net, netlinux: and no packet lost'
	@echo 'make matrix          every fault at every message of a move, in every mode; MATRIX="-mode hybrid -sample 50 -v"'
	@echo 'make bench           boot, downtime, faults, the choice of a mode, memory, network, moves under a client and disk, beside QEMU and gokvm; BENCH="-samples 1 -only net,disk"'
	@echo 'make bench-quick     a sample of it for bulk moves in under a minute: ratios, Ferry over the other, as one JSON object (docs/benchmarks.md)'
	@echo 'make screenshots     draw the pictures of docs/ anew, in headless Chromium, which it installs; after go test -update ./cmd/vmm/...'
	@echo 'make guest           build the Linux guest, both variants, into a cache; last two lines: vmlinux, initramfs'
	@echo 'make fuzz [TIME=1h]  fuzz every decoder, TIME in all'
	@echo 'make lint            gofmt, vet, staticcheck, generated files'

demo: build
	$(BIN) demo

build:
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN) ./cmd/vmm

SHARE := $(DESTDIR)$(PREFIX)/share

install: build
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(UNITDIR) $(SHARE)/man/man1 $(SHARE)/doc/ferry \
		$(SHARE)/bash-completion/completions $(SHARE)/zsh/site-functions $(SHARE)/fish/vendor_completions.d
	install -m 0755 $(BIN) $(DESTDIR)$(PREFIX)/bin/vmm
	$(BIN) man $(SHARE)/man/man1
	$(BIN) completion bash > $(SHARE)/bash-completion/completions/vmm
	$(BIN) completion zsh > $(SHARE)/zsh/site-functions/_vmm
	$(BIN) completion fish > $(SHARE)/fish/vendor_completions.d/vmm.fish
	for u in dist/systemd/*.service; do \
		sed 's,@BINDIR@,$(PREFIX)/bin,' $$u > $(DESTDIR)$(UNITDIR)/$${u##*/} || exit 1; done
	install -m 0644 docs/openapi.json docs/machine.schema.json $(SHARE)/doc/ferry

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/vmm $(SHARE)/man/man1/vmm.1 $(SHARE)/man/man1/vmm-*.1 $(SHARE)/bash-completion/completions/vmm \
		$(SHARE)/zsh/site-functions/_vmm $(SHARE)/fish/vendor_completions.d/vmm.fish $(DESTDIR)$(UNITDIR)/ferry@.service $(DESTDIR)$(UNITDIR)/ferry-receive@.service $(DESTDIR)$(UNITDIR)/ferry-adopt@.service
	rm -rf $(SHARE)/doc/ferry

# What dpkg installs is what make install installs, and documents. DEBVERSION sorts as commits do (deb-version(7)).
DEB        ?= bin/ferry.deb
DEBROOT    := $(DEB).root
DEBTIME    ?= $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null),0)
DEBVERSION ?= 0.0.0~$(shell date -u -d @$(DEBTIME) +%Y%m%d%H%M%S)
DEBDOC     := $(DEBROOT)/usr/share/doc/ferry

deb: build
	rm -rf $(DEBROOT)
	$(MAKE) --no-print-directory install GO=true BIN=$(BIN) DESTDIR=$(DEBROOT) PREFIX=/usr
	gzip -9n $(DEBROOT)/usr/share/man/man1/*.1
	install -m 0644 README.md $(DEBDOC)
	cp -r docs $(DEBDOC)/docs
	install -m 0644 LICENSE $(DEBDOC)/copyright
	install -D -m 0644 -t $(DEBROOT)/etc/ferry dist/etc/*
	CGO_ENABLED=0 $(GO) run ./internal/deb/cmd/deb -root $(DEBROOT) -version $(DEBVERSION) -time $(DEBTIME) -o $(DEB)
	rm -rf $(DEBROOT)

# The short soak comes before the tests so that go test has the last word.
test: deps guest-fast lint race build
	CGO_ENABLED=0 $(GO) run ./tests/soak -vmm $(BIN) -moves 6
	CGO_ENABLED=0 $(GO) test -timeout 30m ./...

# Apart from test, for building and booting this variant takes longer than all of that.
test-full: deps guest build
	CGO_ENABLED=0 FERRY_FULL=1 $(GO) test -run '^TestFull' -v -count 1 -timeout 30m ./tests/e2e

deps:
	tests/install-deps

guest:
	@CGO_ENABLED=0 $(GO) run ./guests/linux/cmd/guest -all

guest-fast:
	@CGO_ENABLED=0 $(GO) run ./guests/linux/cmd/guest

lint:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	if [ -n "$$unformatted" ]; then echo "not formatted (gofmt -w): $$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	CGO_ENABLED=0 $(GO) build ./...
	tests/generated

race:
	CGO_ENABLED=1 $(GO) test -race -tags ferrypoison $$($(GO) list ./... | grep -Ev '$(NO_RACE)')

soak: build
	@CGO_ENABLED=0 $(GO) run ./tests/soak -vmm $(BIN) -moves $(MOVES) -guest $(GUEST) $(if $(MODES),-modes $(MODES))

matrix: build
	@CGO_ENABLED=0 $(GO) run ./tests/matrix -vmm $(BIN) $(MATRIX)

bench: deps browser guest-fast build
	CGO_ENABLED=0 $(GO) test -run '^$$' -bench Pause -benchtime 300x ./vcpu
	CGO_ENABLED=0 $(GO) run ./tests/bench -vmm $(BIN) -out bin/bench $(BENCH)

bench-quick: deps build
	@CGO_ENABLED=0 $(GO) run ./tests/bench -vmm $(BIN) -quick

screenshots: browser
	CGO_ENABLED=0 $(GO) run ./tests/screenshots

# Only where pictures are made: it is large, and no test needs it.
browser:
	tests/install-browser

fuzz:
	tests/fuzz $(TIME)

clean:
	rm -rf bin
