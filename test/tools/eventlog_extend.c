/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event log as vouchsafed uses it, without the daemon around it.
 *   eventlog_extend WHERE ROOT INIT_PCR REGISTER event DOMAIN OPERATION CONTENT
 *   eventlog_extend WHERE ROOT INIT_PCR REGISTER count FIRST
 * "-" for INIT_PCR and REGISTER: not given. `count` measures the events FIRST, FIRST + 1, … until
 * it is killed, and says so of each once it is told of success. Prints "CODE: message" and exits 1
 * on an error.
 */
#include "attester/eventlog.h"
#include "attester/tpm.h"

#include <stdio.h>

static int fail(const struct err *e)
{
	printf("%s: %s\n", err_name(e), e->msg);
	return 1;
}

static int one(struct eventlog *log, char **event, const uint64_t *reg)
{
	enum eventlog_result result;
	struct err e;

	if (eventlog_extend(log, view_str(event[0]), view_str(event[1]), view_str(event[2]), reg,
			    &result, &e) < 0)
		return fail(&e);
	printf("result %d\n", (int)result);
	return 0;
}

static int count(struct eventlog *log, unsigned long n, const uint64_t *reg)
{
	char domain[] = "example.org/test", operation[] = "Count", content[64];
	char *event[] = { domain, operation, content };

	for (;; n++) {
		snprintf(content, sizeof content, "event %lu", n);
		if (one(log, event, reg) != 0)
			return 1;
		printf("%lu\n", n);
		fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	struct eventlog_config config = { .enabled = true };
	cleanup_eventlog struct eventlog *log = NULL;
	cleanup_tpm struct tpm *tpm = NULL;
	struct attester_env env = { .root_fd = -1, .initdata_pcr = 8 };
	uint64_t reg;
	struct err e;

	if (argc < 7)
		return 64;
	config.has_init_pcr = strcmp(argv[3], "-") != 0;
	config.init_pcr = (unsigned)strtoul(argv[3], NULL, 10);
	reg = strtoull(argv[4], NULL, 10);
	if (tpm_open(&tpm, argv[1], &e) < 0)
		return fail(&e);
	env.tpm = tpm;
	if (eventlog_open(&log, argv[2], attester_by_name("tpm"), &env, &config, &e) < 0)
		return fail(&e);
	printf("open\n");
	fflush(stdout);
	if (strcmp(argv[5], "count") == 0)
		return count(log, strtoul(argv[6], NULL, 10), argv[4][0] == '-' ? NULL : &reg);
	return argc == 9 ? one(log, argv + 6, argv[4][0] == '-' ? NULL : &reg) : 64;
}
