# SPDX-License-Identifier: Apache-2.0
# Small programs for the integration tests, one .c file each.
tools += $(B)/tools/toml_json
$(B)/tools/toml_json: $(B)/test/tools/toml_json.o $(call archives_of,initdata crypto base)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(link) $(LDFLAGS) $^ $(call libs_of,base) -lcrypto -o $@
# Preloaded, not linked: the Nth call of a function fails.
tools += $(B)/tools/faultinject.so
$(B)/tools/faultinject.so: test/tools/faultinject.c
	@mkdir -p $(@D)
	$(CC) $(std) -Wall -Wextra -Werror -O2 -g -fPIC -shared -U_FORTIFY_SOURCE $< -ldl -o $@
tools += $(B)/tools/eventlog_extend
$(B)/tools/eventlog_extend: $(B)/test/tools/eventlog_extend.o $(call archives_of,$(needs_attester))
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(link) $(LDFLAGS) $^ $(call libs_of,$(needs_attester)) -o $@

tools += $(B)/tools/ttrpc_echo
$(B)/tools/ttrpc_echo: $(B)/test/tools/ttrpc_echo.o $(call archives_of,$(needs_api))
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(link) $(LDFLAGS) $^ $(call libs_of,$(needs_api)) -o $@
# The devices of a TEE guest as a file system.
tools += $(B)/tools/tee_devices
$(B)/tools/tee_devices: $(call obj,test/devices/devices.c test/devices/report.c) $(call archives_of,base)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(link) $(LDFLAGS) $^ $(call libs_of,base) -lcrypto -lfuse3 -o $@
# /dev/sev-guest and /dev/tdx_guest as character devices, in guests.
tools += $(B)/tools/tee_cuse
$(B)/tools/tee_cuse: $(call obj,test/devices/cuse.c test/devices/report.c) $(call archives_of,base)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(link) $(LDFLAGS) $^ $(call libs_of,base) -lcrypto -lfuse3 -o $@
$(B)/test/devices/devices.o $(B)/test/devices/cuse.o: std += -I/usr/include/fuse3

tools += $(B)/tools/volume_tool
$(B)/tools/volume_tool: $(B)/test/tools/volume_tool.o $(call archives_of,$(needs_volume))
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(link) $(LDFLAGS) $^ $(call libs_of,$(needs_volume)) -o $@
tools += $(B)/tools/killat.so
$(B)/tools/killat.so: test/tools/killat.c
	@mkdir -p $(@D)
	$(CC) $(std) -Wall -Wextra -Werror -O2 -g -fPIC -shared -U_FORTIFY_SOURCE $< -ldl -o $@
tools += $(B)/tools/bootlog
$(B)/tools/bootlog: $(B)/test/tools/bootlog.o $(call archives_of,$(needs_attester))
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(link) $(LDFLAGS) $^ $(call libs_of,$(needs_attester)) -o $@
tools += $(B)/tools/verity_look
$(B)/tools/verity_look: $(B)/test/tools/verity_look.o $(call archives_of,$(needs_setup))
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(link) $(LDFLAGS) $^ $(call libs_of,$(needs_setup)) -o $@
