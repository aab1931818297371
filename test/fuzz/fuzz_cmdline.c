/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/setup/config_parts.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * What parses has no white space outside quotes in its words, a value that is found stands in the
 * text, and applying the line gives only credentials below their folder. A line that does not
 * count changes nothing.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_cmdline struct cmdline line = { 0 };
	struct guest_config c = { .log_level = LOG_LEVEL_INFO };
	const char *value = NULL;
	struct err e;

	if (cmdline_parse(&line, (struct view){ data, size }, &e) < 0)
		return 0;
	assert(line.text.len <= size + 1);
	assert(line.text.len == 0 || line.text.p[line.text.len - 1] == '\0');
	if (cmdline_get(&value, &line, "cdh.kbs_resources", &e) == 1) {
		assert(strlen(value) <= size && memmem(data, size, value, strlen(value)));
		for (const char *p = value; *p; p++)
			assert(*p > ' ' && *p < 0x7f && *p != '"');
	}
	assert(config_apply_cmdline(&c, &line, "it is a test", &e) == 0);
	for (int i = 0; i < CONFIG_KEYS; i++)
		assert(c.origin[i].from == FROM_DEFAULT);
	assert(c.n_credentials == 0 && !c.kbc_url && !c.image.https_proxy);
	guest_config_done(&c);
	if (config_apply_cmdline(&c, &line, NULL, &e) == 0 && config_settle(&c, &e) == 0)
		for (size_t i = 0; i < c.n_credentials; i++)
			assert(strncmp(c.credentials[i].path, CREDENTIAL_DIR "/",
				       sizeof CREDENTIAL_DIR) == 0 &&
			       !strstr(c.credentials[i].path, "/../") &&
			       !strstr(c.credentials[i].path, "//"));
	guest_config_done(&c);
	return 0;
}
