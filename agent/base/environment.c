/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/environment.h"
#include "agent/base/mem.h"

int environment_forget(struct err *e)
{
	static const char *const kept[] = { "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
					    "LISTEN_FDS",    "LISTEN_PID",    "LISTEN_FDNAMES",
					    "JOURNAL_STREAM" };
	char *values[ARRAY_LEN(kept)] = { 0 };
	bool failed = false;

	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		const char *v = getenv(kept[i]);

		values[i] = v ? strdup(v) : NULL;
		failed = failed || (v && !values[i]);
	}
	failed = clearenv() != 0 || failed;
	/* tpm2-tss asks at its first line what to print, which is nothing (attester/tpm_tss.c). */
	failed = setenv("TSS2_LOG", "all+NONE", 1) < 0 || failed;
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		failed = (values[i] && setenv(kept[i], values[i], 1) < 0) || failed;
		free(values[i]);
	}
	return failed ? err_set(e, ERR_NOMEM, "no memory for the environment") : 0;
}
