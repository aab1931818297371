# SPDX-License-Identifier: Apache-2.0
# One makefile, no recursion into folders. `make help` lists the targets.
#
#   B    where everything is built: build, or build/dev with DEV=1
#   DEV  1 makes a development build (see SECURITY.md): it grants every permit and takes --root
CC ?= cc
CFLAGS ?= -O2 -g
LDFLAGS ?=
PREFIX ?= /usr
DESTDIR ?=
DEV ?=
B ?= $(if $(DEV),build/dev,build)
VERSION := 0.1.0
REVISION := $(shell git rev-parse --short=9 HEAD 2>/dev/null || echo release)
FUZZ_SECONDS ?= 60

cc_has = $(shell $(CC) $(1) -Werror -x c -c /dev/null -o /dev/null 2>/dev/null && echo $(1))
comma := ,
# A program linked so runs here; an option that the linker does not know is a warning only.
ld_has = $(shell t=$$(mktemp) && echo 'int main(void) { return 0; }' | \
	$(CC) $(1) -Wl,--fatal-warnings -x c - -o $$t 2>/dev/null && $$t && echo '$(1)'; rm -f $$t)

std := -std=gnu11 -D_GNU_SOURCE -I. -I$(B)/gen $(if $(DEV),-DVOUCHSAFE_DEV=1)
warn := -Wall -Wextra -Wshadow -Wvla -Wformat=2 -Wundef -Wcast-qual -Wpointer-arith \
	-Wstrict-prototypes -Wmissing-prototypes -Wimplicit-fallthrough -Wwrite-strings -Werror
hard := -fstack-protector-strong -fstack-clash-protection -fPIE -fvisibility=hidden \
	-fcf-protection=full -ffunction-sections -fdata-sections
hard += $(call cc_has,-ftrivial-auto-var-init=zero)
# Nothing unwinds a stack (debuggers read .debug_frame); the tables are a tenth of a program.
hard += $(if $(findstring -fsanitize,$(CFLAGS)),,-fno-asynchronous-unwind-tables)
# Sanitizers and _FORTIFY_SOURCE do not go together.
hard += $(if $(findstring -fsanitize,$(CFLAGS)),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
link := -pie -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed,--gc-sections -pthread
link += $(if $(findstring -fsanitize,$(CFLAGS)),,-Wl,-z,defs)
# Relative relocations in a twentieth of the room, where linker and libc (2.36) know how.
link += $(call ld_has,-Wl$(comma)-z$(comma)pack-relative-relocs)

# Rooms, lowest first, and what each may be linked with: the same table as in ARCHITECTURE.md.
rooms := base crypto net api attester initdata mounts volume kbs secrets verify setup
dir_base := agent/base
dir_crypto := agent/crypto
dir_net := agent/net
dir_api := agent/api
dir_attester := attester
dir_initdata := initdata
dir_mounts := mounts
dir_volume := mounts/volume
dir_kbs := agent/kbs
dir_secrets := agent/secrets
dir_verify := agent/verify
dir_setup := agent/setup
needs_base := base
needs_crypto := crypto base
needs_net := net base
needs_api := api base
needs_attester := attester crypto base
needs_initdata := initdata crypto base
needs_mounts := mounts crypto base
needs_volume := volume crypto base
needs_kbs := kbs attester crypto base
needs_secrets := secrets kbs attester crypto base
needs_verify := verify attester crypto base
needs_setup := setup secrets kbs mounts initdata attester api net crypto base
libs_base := -lcjson -lz -lm
libs_crypto := -lcrypto
libs_net := -lcurl
libs_api := -lprotobuf-c
# Of agent/api/rest.c alone; who does not call it does not pull it out of the archive.
libs_rest := -lmicrohttpd
libs_initdata := -lyaml
libs_volume := -lcryptsetup -lblkid
libs_attester := -ltss2-esys -ltss2-sys -ltss2-mu -ltss2-rc
libs_of = $(foreach r,$(1),$(libs_$(r)))
archives_of = $(foreach r,$(1),$(B)/lib$(r).a)

src_of = $(filter-out %_main.c,$(wildcard $(dir_$(1))/*.c))
obj = $(patsubst %.c,$(B)/%.o,$(1))
protos := $(wildcard agent/api/proto/*.proto)
gen := $(patsubst %.proto,$(B)/gen/%.pb-c.c,$(protos))

programs := $(B)/vouchsafed $(B)/vouchsafe $(B)/vouchsafe-oci $(B)/vouchsafe-rest $(B)/vouchsafe-teed \
	$(B)/vouchsafe-mountd
unit_src := $(wildcard test/unit/*/test_*.c)
units := $(patsubst test/unit/%.c,$(B)/unit/%,$(unit_src))
fuzzers := $(patsubst test/fuzz/%.c,$(B)/fuzz/%,$(wildcard test/fuzz/fuzz_*.c))
# What check does not run is compiled by it: a changed signature is seen by who changes it.
fuzz_obj := $(patsubst test/fuzz/%.c,$(B)/test/fuzz/%.o,$(wildcard test/fuzz/fuzz_*.c))
# A target often does not care what comes of a call; for gcc (void) does not say so.
$(fuzz_obj): warn += -Wno-unused-result

.DEFAULT_GOAL := all
ifneq ($(DEV),)
ifneq ($(filter install install-% deb rpm,$(MAKECMDGOALS)),)
$(error DEV=1: a development build grants every permit and is not installed)
endif
endif
all: $(programs)

# --- objects and archives ---------------------------------------------------
$(B)/gen/%.pb-c.c: %.proto
	@mkdir -p $(B)/gen
	protoc-c --c_out=$(B)/gen $<
$(B)/gen/%.o: $(B)/gen/%.c
	$(CC) $(std) $(hard) $(CFLAGS) -w -c $< -o $@

$(B)/%.o: %.c $(gen)
	@mkdir -p $(@D)
	$(CC) $(std) $(warn) $(hard) $(CFLAGS) -MMD -MP -c $< -o $@

$(B)/agent/base/version.o: std += -DVOUCHSAFE_VERSION='"$(VERSION)"' -DVOUCHSAFE_REVISION='"$(REVISION)"'
# Rebuilt when the revision changes, and only then.
$(B)/revision: FORCE
	@mkdir -p $(@D); echo '$(REVISION)' | cmp -s - $@ || echo '$(REVISION)' > $@
$(B)/agent/base/version.o: $(B)/revision

define room_rule
$(B)/lib$(1).a: $(call obj,$(call src_of,$(1))) $(if $(filter api,$(1)),$(patsubst %.c,%.o,$(gen)))
	@rm -f $$@
	ar rcs $$@ $$^
endef
$(foreach r,$(rooms),$(eval $(call room_rule,$(r))))

# The system call filters, made by a program that runs here: libseccomp is no library of a daemon.
$(B)/gen/sandbox_filters: $(B)/agent/daemon/sandbox_filters.o
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(link) $(LDFLAGS) $^ -lseccomp -o $@
$(B)/gen/agent/daemon/sandbox_filters.h: $(B)/gen/sandbox_filters
	@mkdir -p $(@D)
	$< > $@.new && mv $@.new $@
$(B)/agent/daemon/sandbox.o: $(B)/gen/agent/daemon/sandbox_filters.h

# --- programs ---------------------------------------------------------------
# A program is its main, the files beside it named in *_src, and every room (unused parts are
# left out by the linker, which is what keeps libcurl out of vouchsafe-oci).
startup_src := agent/daemon/startup.c agent/daemon/sandbox.c
vouchsafed_src := agent/daemon/vouchsafed.c $(wildcard agent/daemon/vouchsafed_*.c) agent/daemon/teed_serve.c \
	$(startup_src)
vouchsafe_src := $(wildcard agent/cli/*.c)
oci_src := agent/daemon/vouchsafe-oci.c $(wildcard agent/daemon/oci_*.c)

$(B)/vouchsafed: $(call obj,$(vouchsafed_src)) $(call archives_of,$(needs_setup))
	$(CC) $(CFLAGS) $(link) $(LDFLAGS) $^ $(call libs_of,$(needs_setup)) -o $@
# Nobody waits for these instructions, but for disks, devices, programs and people: small rather
# than fast (the six programs together may have 1.5 MiB).
small_src := $(vouchsafe_src) $(oci_src) \
	$(wildcard agent/verify/*.c agent/setup/*.c initdata/*.c mounts/*.c mounts/volume/*.c) \
	$(wildcard attester/tcg2*.c attester/uki*.c agent/daemon/mountd_*.c)
$(call obj,$(small_src)): CFLAGS := $(subst -O2,-Os,$(CFLAGS))
cli_rooms := verify $(needs_setup)
$(B)/vouchsafe: $(call obj,$(vouchsafe_src)) $(call archives_of,$(cli_rooms))
	$(CC) $(CFLAGS) $(link) $(LDFLAGS) $^ $(call libs_of,$(needs_setup)) -o $@
# setup only for the image's permits: what else lies in that archive is not pulled in.
oci_rooms := setup initdata mounts api crypto base
$(B)/vouchsafe-oci: $(call obj,$(oci_src)) $(call archives_of,$(oci_rooms))
	$(CC) $(CFLAGS) $(link) $(LDFLAGS) $^ $(call libs_of,$(oci_rooms)) -o $@
rest_src := agent/daemon/vouchsafe-rest.c agent/daemon/rest_socket.c $(startup_src)
$(B)/vouchsafe-rest: $(call obj,$(rest_src)) $(call archives_of,$(needs_api))
	$(CC) $(CFLAGS) $(link) $(LDFLAGS) $^ $(call libs_of,$(needs_api)) $(libs_rest) -o $@

# Of attester only what reaches the device: no TPM, no crypto.
teed_src := agent/daemon/vouchsafe-teed.c agent/daemon/teed_serve.c $(startup_src)
$(B)/vouchsafe-teed: $(call obj,$(teed_src)) $(call archives_of,attester api base)
	$(CC) $(CFLAGS) $(link) $(LDFLAGS) $^ $(call libs_of,base) -o $@

# The only one with libcryptsetup; of the other rooms what measured rules need.
mountd_src := agent/daemon/vouchsafe-mountd.c agent/daemon/mountd_serve.c agent/daemon/mountd_rules.c $(startup_src)
mountd_rooms := volume setup initdata api crypto base
$(B)/vouchsafe-mountd: $(call obj,$(mountd_src)) $(call archives_of,$(mountd_rooms))
	$(CC) $(CFLAGS) $(link) $(LDFLAGS) $^ $(call libs_of,$(mountd_rooms)) -o $@

# --- unit tests: one binary a file, linked with only what its room may use ----
define unit_rule
$(B)/unit/$(1)/%: $(B)/test/unit/$(1)/%.o $(B)/test/test.o $(call archives_of,$(needs_$(1)))
	@mkdir -p $$(@D)
	$(CC) $(CFLAGS) $(link) $(LDFLAGS) $$^ $(call libs_of,$(needs_$(1))) $(if $(filter base crypto,$(1)),,-lcrypto) -o $$@
endef
$(foreach r,$(rooms),$(eval $(call unit_rule,$(r))))
# Not .SECONDARY:, for which what is missing need not be made when what is made of it is there.
.PRECIOUS: $(B)/%.o

# --- what the integration tests and the bench need besides -------------------
tools :=
-include test/tools/tools.mk
-include test/bench/bench.mk

# --- fuzzing (clang, libFuzzer) -----------------------------------------------
# Built by a second make in its own tree with its own compiler and flags.
fuzz_make = $(MAKE) CC=clang B=build/fuzz CFLAGS='-O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all'
fuzz_rooms := verify volume $(needs_setup)
$(B)/fuzz/%: $(B)/test/fuzz/%.o $(call archives_of,$(fuzz_rooms))
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -fsanitize=fuzzer $(link) $(LDFLAGS) $^ $(call libs_of,$(fuzz_rooms)) -o $@
fuzz-build:
	+$(fuzz_make) fuzz-targets
fuzz-targets: $(fuzzers)
fuzz: fuzz-build
	test/fuzz/run.sh build/fuzz/fuzz $(FUZZ_SECONDS)

# --- manual pages ---------------------------------------------------------------
man_src := $(wildcard agent/man/*.scd)
man := $(patsubst agent/man/%.scd,$(B)/man/%,$(man_src)) $(B)/man/vouchsafe-codes.7
$(B)/man/%: agent/man/%.scd
	@mkdir -p $(@D)
	scdoc < $< > $@
# The catalogue's page is made from the program that knows it.
$(B)/man/vouchsafe-codes.7: agent/man/codes.sh $(B)/vouchsafe
	@mkdir -p $(@D)
	sh agent/man/codes.sh $(B)/vouchsafe | scdoc > $@

# --- what people call ---------------------------------------------------------
#: make            build the programs (DEV=1: a development build)
#: make demo       install what is missing and run the main job end to end
demo:
	@sh test/demo/demo.sh

#: make check      every test that needs no VM (REQUIRE_ALL=1: a skip is a failure)
check: all dev $(units) $(tools) $(fuzz_obj) $(bench_tools) lint
	test/check.sh $(B)
#: make unit       the unit tests only
unit: $(units)
	test/check.sh --unit $(B)
dev:
	+$(MAKE) --no-print-directory DEV=1 B=$(B)/dev all
#: make asan       unit tests under address, undefined and leak sanitizers
asan:
	+$(MAKE) B=build/asan CFLAGS='-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer' unit
#: make tsan       unit tests under the thread sanitizer
tsan:
	+$(MAKE) B=build/tsan CFLAGS='-O1 -g -fsanitize=thread' unit
#: make fuzz       every fuzz target for FUZZ_SECONDS (60)
#: make bench      measure against the bare floor, print a table
bench: # in test/bench/bench.mk
#: make vm-image   a pod VM image in build/vm/image/pod: measured, dm-verity, signed (doc/images.md)
vm-image: all man
	@$(refuse_dev)
	test/vm/image.sh pod $(B)
#: make vm-test    boot the tests' image in software emulation, a quarter of an hour (vm-test-full: all of it)
vm-test: all dev man $(tools)
	@/usr/bin/python3 -B test/vm/run.py $(B) test
vm-test-full: all dev man $(tools) $(units)
	@/usr/bin/python3 -B test/vm/run.py $(B) full
#: make lint       who includes whom, banned calls, long functions, licence lines
lint:
	@awk -f test/lint/includes.awk $$(find agent attester initdata mounts test -name '*.[ch]' | sort)
	@awk -f test/lint/functions.awk $$(find agent attester initdata mounts -name '*.c' | sort)
	@awk -f test/lint/map.awk ARCHITECTURE.md $$(find agent attester initdata mounts -name '*.[ch]' | sort)
	@test/lint/tree.sh
#: make format     clang-format over the tree
format:
	clang-format -i $$(find agent attester initdata mounts test -name '*.[ch]')

#: make man        the manual pages (scdoc)
man: $(man)
# A build that says DEVELOPMENT is not installed either, whatever the command line said.
refuse_dev = if $(B)/vouchsafed --version | grep -q DEVELOPMENT; then \
	echo 'a development build grants every permit and is not installed' >&2; exit 1; fi
lib := $(DESTDIR)$(PREFIX)/lib
unit_dir := $(lib)/systemd/system
# put FILE,FOLDER,NAME: a file of systemd/ that names programs, with PREFIX in their paths.
put = install -d $(2) && sed 's,/usr/\(bin\|libexec\)/vouchsafe,$(PREFIX)/\1/vouchsafe,g' $(1) > $(2)/$(3) && chmod 0644 $(2)/$(3)
own_units := $(filter-out %/media-cidata.mount,$(wildcard systemd/*.service systemd/*.socket systemd/*.mount))

#: make install    DESTDIR and PREFIX are honoured; refuses a development build
install: all man
	@$(refuse_dev)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/libexec/vouchsafe
	install -s -m 0755 $(B)/vouchsafe $(B)/vouchsafe-oci $(DESTDIR)$(PREFIX)/bin/
	install -s -m 0755 $(B)/vouchsafed $(B)/vouchsafe-rest $(B)/vouchsafe-teed $(B)/vouchsafe-mountd $(DESTDIR)$(PREFIX)/libexec/vouchsafe/
	for m in $(notdir $(man)); do \
		d=$(DESTDIR)$(PREFIX)/share/man/man$${m##*.}; \
		install -d $$d && install -m 0644 $(B)/man/$$m $$d/ || exit 1; \
	done
	for u in $(own_units); do $(call put,$$u,$(unit_dir),$${u##*/}) || exit 1; done
	install -d $(lib)/sysusers.d $(lib)/tmpfiles.d $(lib)/systemd/system-preset $(lib)/udev/rules.d
	install -m 0644 systemd/vouchsafe.sysusers.conf $(lib)/sysusers.d/vouchsafe.conf
	install -m 0644 systemd/vouchsafe.tmpfiles.conf $(lib)/tmpfiles.d/vouchsafe.conf
	install -m 0644 systemd/25-vouchsafe.preset $(lib)/systemd/system-preset/
	install -m 0644 systemd/60-vouchsafe-tpm.rules $(lib)/udev/rules.d/
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	install -m 0644 agent/cli/completion/vouchsafe.bash \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/vouchsafe
	install -d $(DESTDIR)$(PREFIX)/share/doc/vouchsafe
	install -m 0644 README.md SECURITY.md CHANGELOG.md LICENSE $(DESTDIR)$(PREFIX)/share/doc/vouchsafe/
#: make install-caa  besides, what a cloud-api-adaptor or OpenShift pod image needs
caa_replaced := attestation-agent confidential-data-hub api-server-rest
install-caa:
	$(call put,systemd/caa/process-user-data.service,$(unit_dir),process-user-data.service)
	$(call put,systemd/caa/process-user-data.conf,$(unit_dir)/process-user-data.service.d,50-vouchsafe.conf)
	$(call put,systemd/caa/kata-agent.conf,$(unit_dir)/kata-agent.service.d,50-vouchsafe.conf)
	for u in $(caa_replaced:%=%.path) $(caa_replaced:%=%.service); do \
		$(call put,systemd/caa/replaced.conf,$(unit_dir)/$$u.d,50-vouchsafe.conf) || exit 1; \
	done
	install -d $(DESTDIR)/etc/systemd/system/process-user-data.service.d $(DESTDIR)/media/cidata
	install -m 0644 systemd/caa/10-override.conf $(DESTDIR)/etc/systemd/system/process-user-data.service.d/
	install -d $(lib)/systemd/system-preset $(lib)/udev/rules.d
	install -m 0644 systemd/caa/25-vouchsafe-caa.preset $(lib)/systemd/system-preset/
	install -m 0644 systemd/90-vouchsafe-cidata.rules $(lib)/udev/rules.d/
	install -m 0644 systemd/media-cidata.mount $(unit_dir)/
#: make install-kata  besides, the three names that native kata's agent starts
install-kata: all
	@$(refuse_dev)
	install -d $(DESTDIR)/usr/local/bin
	ln -sf $(PREFIX)/libexec/vouchsafe/vouchsafed $(DESTDIR)/usr/local/bin/attestation-agent
	ln -sf $(PREFIX)/libexec/vouchsafe/vouchsafed $(DESTDIR)/usr/local/bin/confidential-data-hub
	ln -sf $(PREFIX)/libexec/vouchsafe/vouchsafe-rest $(DESTDIR)/usr/local/bin/api-server-rest
#: make deb        Debian packages vouchsafe, vouchsafe-caa, vouchsafe-kata into build/deb
deb: all man
	@$(refuse_dev)
	B=$(B) VERSION=$(VERSION) MAKE='$(MAKE)' sh systemd/packaging/deb.sh build/deb
#: make rpm        the same as RPMs into build/rpm, from HEAD
rpm: dist
	VERSION=$(VERSION) REVISION=$(REVISION) sh systemd/packaging/rpm.sh build/rpm build/vouchsafe-$(VERSION).tar.gz
#: make dist       a source archive of HEAD, with git
dist:
	@mkdir -p build
	git archive --format=tar --prefix=vouchsafe-$(VERSION)/ HEAD > build/vouchsafe-$(VERSION).tar
	gzip -n9f build/vouchsafe-$(VERSION).tar
	@echo build/vouchsafe-$(VERSION).tar.gz

clean:
	rm -rf build

help:
	@sed -n 's/^#: //p' Makefile

.PHONY: all vm-image vm-test vm-test-full demo check unit dev asan tsan fuzz fuzz-build fuzz-targets bench lint format man install install-caa \
	install-kata deb rpm dist clean help FORCE
FORCE:
-include $(shell find $(B) -name '*.d' -type f -not -path '$(B)/asan/*' -not -path '$(B)/tsan/*' -not -path '$(B)/fuzz/*' -not -path '$(B)/dev/*' -not -path '$(B)/vm/*' 2>/dev/null)
