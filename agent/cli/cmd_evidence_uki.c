/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "agent/cli/cmd_evidence_show.h"
#include "agent/setup/verity.h"
#include "attester/le.h"

#include <stdio.h>

enum { PCR_STUB = 11, PCR_STUB_CONFIG = 12 };

static void put_line(struct facts *f, struct view line)
{
	static const char *const names[] = { "roothash", "usrhash" };
	char hash[65];

	while (line.len > 0 && strchr("\n ", line.p[line.len - 1]))
		line.len--;
	if (enc_is_utf8(line))
		facts_view(f, "command_line", line);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (uki_root_hash(hash, line, names[i]))
			facts_text(f, names[i], "%s", hash);
}

/* The kernel measures what it was given: where the log has that too, it must be the same line. */
static bool was_given(const struct uki_boot *b, struct view line)
{
	const struct uki_boot kernels = { .alg = b->alg, .load_options = b->load_options };
	bool same = false;

	return !b->is_uki || b->load_options.len == 0 ||
	       (uki_cmdline_is(&same, &kernels, line, NULL) == 0 && same);
}

/* The log has digests; the text is what somebody holds against them. */
static void show_cmdline(struct facts *f, const struct uki_boot *b, struct view line)
{
	bool same = false;

	if (line.len == 0)
		facts_text(f, "command_line",
			   "not known: only its digest is in the log (--cmdline, --uki)");
	else if (uki_cmdline_is(&same, b, line, NULL) < 0 || !same)
		facts_text(f, "command_line", "the text given is not the measured one");
	else if (!was_given(b, line))
		facts_text(f, "command_line",
			   "the text given is the image's, but the kernel was given another");
	else
		put_line(f, line);
}

/* Of this guest: whether what it runs from is what the measured command line has the root hash of. */
static void show_mounts(struct facts *f, const struct uki_boot *b, struct view line)
{
	static const char *const paths[] = { "/", "/usr" };
	struct bootfacts facts = { .log = true, .replays = true, .boot = *b };

	(void)snprintf(facts.cmdline, sizeof facts.cmdline, "%.*s", (int)line.len,
		       line.len ? (const char *)line.p : "");
	if (uki_cmdline_is(&facts.cmdline_measured, b, line, NULL) < 0 || !facts.cmdline_measured)
		(void)snprintf(facts.why, sizeof facts.why, "the command line is not the measured one");
	facts_open_list(f, "mounts");
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		struct verity_mount m;

		verity_look(&m, "", paths[i], &facts);
		facts_open(f, NULL, paths[i]);
		if (f->json)
			facts_text(f, "path", "%s", paths[i]);
		facts_bool(f, "verity", m.verity);
		if (m.verity && m.hash[0]) {
			facts_text(f, "root_hash", "%s", m.hash);
			facts_bool(f, "root_hash_measured", m.measured);
		}
		if (m.why[0])
			facts_text(f, "why", "%s", m.why);
		facts_close(f);
	}
	facts_close_list(f);
}

void show_uki(struct facts *f, const struct tcg2_log *log, enum hash_alg alg,
	      const struct show_log *with)
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
	if (b.is_uki)
		facts_bool(f, "overridden_from_outside", b.overridden);
	for (int i = 0; i < UKI_PARTS; i++)
		if (b.content[i].len > 0)
			facts_hex(f, uki_part_name((enum uki_part)i), digest_view(&b.content[i]));
	if (b.is_uki || b.load_options.len > 0)
		show_cmdline(f, &b, with->cmdline);
	if (with->own && with->own_cmdline)
		show_mounts(f, &b, with->cmdline);
	facts_close(f);
}

void show_image(struct facts *f, const struct evidence *ev, const struct uki *uki)
{
	struct view pcr = { ev->tpm.pcrs[PCR_STUB], 32 };
	char phases[64] = "";
	struct digest d;
	struct err e;
	bool is = false;
	int r;

	facts_open(f, "image", "the image given (--uki)");
	r = uki_pcr11(&d, uki, HASH_SHA256, &e);
	if (r == 0)
		r = bootfacts_pcr11(&is, phases, &d, pcr, &e);
	if (r < 0) {
		facts_text(f, "problem", "%s", e.msg);
	} else {
		facts_bool(f, "pcr11_matches", is);
		if (is && phases[0])
			facts_text(f, "boot_phases", "%s", phases);
	}
	if (r == 0 && is) {
		facts_bool(f, "overridden_from_outside",
			   !all_zero((struct view){ ev->tpm.pcrs[PCR_STUB_CONFIG], 32 }));
		put_line(f, show_line_of(uki));
	}
	facts_close(f);
}

struct view show_line_of(const struct uki *uki)
{
	struct view line = uki->part[UKI_CMDLINE];
	const uint8_t *nul = line.len > 0 ? memchr(line.p, '\0', line.len) : NULL;

	if (nul)
		line.len = (size_t)(nul - line.p);
	return line;
}
