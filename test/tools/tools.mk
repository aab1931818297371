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
