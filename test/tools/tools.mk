# SPDX-License-Identifier: Apache-2.0
# Small programs for the integration tests, one .c file each.
tools += $(B)/tools/toml_json
$(B)/tools/toml_json: $(B)/test/tools/toml_json.o $(call archives_of,initdata crypto base)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(link) $(LDFLAGS) $^ $(call libs_of,base) -lcrypto -o $@
