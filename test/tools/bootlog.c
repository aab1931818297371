/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the modules tcg2 and uki make of a file, for comparison with other programs.
 *   bootlog log tpm|ccel sha256|sha384|sm3 FILE   JSON: {"REGISTER": "value", …}
 *   bootlog pe sha256|sha384 FILE                 JSON: authenticode, pcr4, pcr4_without_kernel, pcr11
 * Prints "CODE: message" and exits 1 on an error.
 */
#include "agent/base/enc.h"
#include "agent/base/fs.h"
#include "attester/uki.h"

#include <stdio.h>

static int fail(const struct err *e)
{
	printf("%s: %s\n", err_name(e), e->msg);
	return 1;
}

static void put(const char *before, const char *name, const struct digest *d)
{
	char hex[2 * DIGEST_MAX + 1];

	enc_hex_str(hex, digest_view(d));
	printf("%s\"%s\":\"%s\"", before, name, hex);
}

static int print_log(struct view raw, enum tcg2_framing framing, enum hash_alg alg)
{
	struct tcg2_registers regs;
	struct tcg2_log log;
	const char *before = "{";
	struct err e;

	if (tcg2_open(&log, raw, framing, &e) < 0 || tcg2_replay(&regs, &log, alg, &e) < 0)
		return fail(&e);
	for (int i = 0; i < TCG2_REGISTERS; i++) {
		char name[8];

		if (regs.events[i] == 0)
			continue;
		snprintf(name, sizeof name, "%d", i);
		put(before, name, &regs.value[i]);
		before = ",";
	}
	puts("}");
	return 0;
}

static int print_pe(struct view file, enum hash_alg alg)
{
	struct digest image, pcr4, pcr11;
	struct uki u;
	struct err e;

	if (uki_parse(&u, file, &e) < 0 || uki_authenticode(&image, &u, alg, &e) < 0)
		return fail(&e);
	put("{", "authenticode", &image);
	if (uki_pcr4(&pcr4, &u, alg, true, &e) == 0)
		put(",", "pcr4", &pcr4);
	if (uki_pcr4(&pcr4, &u, alg, false, &e) == 0)
		put(",", "pcr4_without_kernel", &pcr4);
	if (uki_pcr11(&pcr11, &u, alg, &e) == 0)
		put(",", "pcr11", &pcr11);
	puts("}");
	return 0;
}

int main(int argc, char **argv)
{
	cleanup_buf struct buf file = BUF_MAX(UKI_FILE_MAX);
	enum hash_alg alg;
	struct err e;

	if (argc < 4 || hash_by_name(&alg, view_str(argv[argc - 2]), &e) < 0)
		return 64;
	if (fs_read(&file, argv[argc - 1], UKI_FILE_MAX, &e) < 0)
		return fail(&e);
	if (strcmp(argv[1], "pe") == 0)
		return print_pe(buf_view(&file), alg);
	return print_log(buf_view(&file), strcmp(argv[2], "ccel") == 0 ? TCG2_CCEL : TCG2_TPM, alg);
}
