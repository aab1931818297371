/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "agent/cli/cmd_evidence_show.h"
#include "attester/uki.h"

/* The log has digests; the text is what somebody holds against them. */
static void show_cmdline(struct facts *f, const struct uki_boot *b, struct view cmdline)
{
	static const char *const names[] = { "roothash", "usrhash" };
	char hash[65];
	bool same = false;

	if (cmdline.len == 0) {
		facts_text(f, "command_line", "not known: only its digest is in the log (--cmdline)");
		return;
	}
	if (uki_cmdline_is(&same, b, cmdline, NULL) < 0 || !same) {
		facts_text(f, "command_line", "the text given is not the measured one");
		return;
	}
	while (cmdline.len > 0 && (cmdline.p[cmdline.len - 1] == '\n' ||
				   cmdline.p[cmdline.len - 1] == '\0'))
		cmdline.len--;
	if (enc_is_utf8(cmdline))
		facts_view(f, "command_line", cmdline);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (uki_root_hash(hash, cmdline, names[i]))
			facts_text(f, names[i], "%s", hash);
}

void show_uki(struct facts *f, const struct tcg2_log *log, enum hash_alg alg, struct view cmdline)
{
	struct uki_boot b;
	struct err e;

	facts_open(f, "boot", "what was booted");
	if (uki_from_log(&b, log, alg, &e) < 0) {
		facts_text(f, "problem", "%s", e.msg);
		facts_close(f);
		return;
	}
	facts_text(f, "secure_boot", "%s",
		   b.secure_boot < 0 ? "the log does not say" : b.secure_boot ? "on" : "off");
	facts_number(f, "efi_applications", b.images);
	facts_bool(f, "unified_kernel_image", b.is_uki);
	if (b.is_uki) {
		facts_bool(f, "overridden_from_outside", b.overridden);
		for (int i = 0; i < UKI_PARTS; i++)
			if (b.content[i].len > 0)
				facts_hex(f, uki_part_name((enum uki_part)i),
					  digest_view(&b.content[i]));
		show_cmdline(f, &b, cmdline);
	}
	facts_close(f);
}
