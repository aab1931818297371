/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/verify/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge(const struct evidence *ev, const struct verify_want *want, struct view reference)
{
	struct reference_source src = { .ev = ev };
	struct buf out = BUF_MAX(1u << 20);
	struct references r = { 0 };
	struct findings f = { 0 };
	struct err e;

	verify_evidence(&f, ev, want);
	verify_references(&f, ev, reference);
	/* Whoever can make bytes that hold all the way has the hardware makers' keys. */
	if (f.n == 0 || (ev->tee != EVIDENCE_TPM && !findings_bad(&f)))
		__builtin_trap();
	for (size_t i = 0; i < f.n; i++)
		for (const char *p = f.list[i].text; *p; p++)
			if (*p < ' ' || *p > '~')
				__builtin_trap();
	findings_text(&out, &f);
	findings_json(&out, &f);
	if (references_of(&r, &src, &e) == 0) {
		references_json(&out, &r);
		references_message(&out, &r);
	}
	references_done(&r);
	buf_done(&out);
}

/* A file of evidence; behind its first NUL a file of reference values, behind the next a boot log. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t report_data[48] = "fuzz";
	struct view part[3] = { 0 };
	struct evidence_file file = { 0 };
	struct verify_want want = { .has_report_data = true,
				    .report_data = { report_data, sizeof report_data },
				    .has_initdata = true,
				    .initdata = { .len = 32 },
				    .at = 1748736000 };
	struct err e;
	const uint8_t *p = data, *end = data + size;

	for (size_t i = 0; i < ARRAY_LEN(part); i++) {
		const uint8_t *nul = i < 2 ? memchr(p, 0, (size_t)(end - p)) : NULL;

		part[i] = (struct view){ p, (size_t)((nul ? nul : end) - p) };
		if (!nul)
			break;
		p = nul + 1;
	}
	/* Bare structures have NULs of their own. */
	if (size > 0 && data[0] != '{')
		part[0] = (struct view){ data, size };
	want.log = part[2];
	if (evidence_file_load(&file, part[0], NULL, &e) < 0)
		return 0;
	for (size_t i = 0; i < file.n; i++)
		judge(file.item[i], &want, part[1]);
	evidence_file_done(&file);
	return 0;
}
