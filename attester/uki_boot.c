/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/le.h"
#include "attester/uki.h"

enum { TEXT_MAX = 4096, CMDLINE_MAX = 16384 };

/* Where the two framings have what UEFI calls PCR 4, 7, 9, 11 and 12. */
struct places {
	uint32_t image, secure_boot, kernel, stub, stub_config;
};

static const struct places places[] = {
	[TCG2_CCEL] = { .image = 2, .secure_boot = 1, .kernel = 3, .stub = 3, .stub_config = 3 },
	[TCG2_TPM] = { .image = 4, .secure_boot = 7, .kernel = 9, .stub = 11, .stub_config = 12 },
};

/* The walk: which section's name was measured, and its content not yet. */
struct walk {
	struct uki_boot *boot;
	const struct places *at;
	int pending; /* enum uki_part, or -1 */
	bool initrd; /* the kernel's own record of its initrd came */
};

/* The section that the event's description names, or -1. */
static int part_of(const struct tcg2_event *ev)
{
	cleanup_buf struct buf text = BUF_MAX(TEXT_MAX);

	if (ev->type != TCG2_EV_IPL || !tcg2_text(&text, ev))
		return -1;
	for (int i = 0; i < UKI_PARTS; i++)
		if (view_is(buf_view(&text), uki_part_name((enum uki_part)i)))
			return i;
	return -1;
}

static int bad(const struct tcg2_event *ev, const char *part, const char *why, struct err *e)
{
	return err_set(e, ERR_FORMAT, "boot log: record at byte %zu: section %s %s", ev->offset,
		       part, why);
}

/* A section: first the name, then the content, both described by the name. */
static int take_part(struct walk *w, int part, const struct tcg2_event *ev, struct view digest,
		     struct err *e)
{
	const char *name = uki_part_name((enum uki_part)part);
	struct digest *content = &w->boot->content[part], of_name;
	int r;

	if (w->pending == part) {
		w->pending = -1;
		memcpy(content->b, digest.p, digest.len);
		content->len = digest.len;
		w->boot->is_uki = true;
		return 0;
	}
	r = digest_of(&of_name, w->boot->alg,
		      (struct view){ (const uint8_t *)name, strlen(name) + 1 }, e);
	if (r < 0)
		return r;
	if (w->pending >= 0)
		return bad(ev, name, "comes where another's content should", e);
	if (content->len > 0)
		return bad(ev, name, "is measured twice", e);
	if (!view_eq(digest, digest_view(&of_name)))
		return bad(ev, name, "is announced by another digest than its name's", e);
	w->pending = part;
	return 0;
}

/* Firmware measures all of such a record's data, so that the digest vouches for what it says. */
static void take_secure_boot(struct walk *w, const struct tcg2_event *ev)
{
	struct tcg2_variable variable;
	bool is = false;

	if (tcg2_variable(&variable, ev) && tcg2_variable_is(&variable, "SecureBoot") &&
	    tcg2_digest_true(&is, ev, NULL) == 0 && is)
		w->boot->secure_boot = variable.data.len == 1 && variable.data.p[0] == 1;
}

/* The two that the kernel's EFI stub measures, each once. */
static bool take_kernels(struct walk *w, const struct tcg2_event *ev, struct view digest)
{
	struct tcg2_tag tag;

	if (ev->index != w->at->kernel || !tcg2_tag(&tag, ev))
		return false;
	if (tag.id == TCG2_TAG_LOAD_OPTIONS && w->boot->load_options.len == 0) {
		memcpy(w->boot->load_options.b, digest.p, digest.len);
		w->boot->load_options.len = digest.len;
		return true;
	}
	if (tag.id == TCG2_TAG_INITRD && !w->initrd) {
		w->initrd = true;
		return true;
	}
	return false;
}

/*
 * A record's type and words are not measured, so that whoever hands over the log may call an
 * override anything: whatever was measured beside what must be there counts as one.
 */
static void take_other(struct walk *w, const struct tcg2_event *ev, struct view digest)
{
	bool apart = w->at->stub_config != w->at->stub;

	if (ev->index == w->at->image && ev->type == TCG2_EV_EFI_BOOT_SERVICES_APPLICATION)
		w->boot->images++;
	if (ev->index == w->at->secure_boot && ev->type == TCG2_EV_EFI_VARIABLE_DRIVER_CONFIG)
		take_secure_boot(w, ev);
	if (!take_kernels(w, ev, digest) && ev->index == w->at->stub_config &&
	    (apart ? ev->type != TCG2_EV_NO_ACTION : w->boot->is_uki))
		w->boot->overridden = true;
}

int uki_from_log(struct uki_boot *out, const struct tcg2_log *log, enum hash_alg alg,
		 struct err *e)
{
	struct uki_boot boot = { .alg = alg, .secure_boot = -1 };
	struct walk w = { .boot = &boot, .at = &places[log->framing], .pending = -1 };
	struct tcg2_event ev;
	size_t at = log->first;

	while (tcg2_next(&ev, log, &at) == 1) {
		struct view digest = tcg2_digest(&ev, alg);
		int part = ev.index == w.at->stub ? part_of(&ev) : -1, r;

		if (digest.len == 0)
			return err_set(e, ERR_UNSUPPORTED,
				       "boot log: record at byte %zu has no digest %s", ev.offset,
				       hash_name(alg));
		if (part < 0) {
			take_other(&w, &ev, digest);
			continue;
		}
		r = take_part(&w, part, &ev, digest, e);
		if (r < 0)
			return r;
	}
	*out = boot;
	return 0;
}

/* --- the command line --------------------------------------------------------------------------- */

/* What a builder may have left behind the text, which the running kernel does not show. */
static const struct view tails[] = {
	{ NULL, 0 },
	{ (const uint8_t *)"\n", 1 },
	{ (const uint8_t *)"\0", 1 },
	{ (const uint8_t *)"\n\0", 2 },
	{ (const uint8_t *)" ", 1 },
	{ (const uint8_t *)" \n", 2 },
	{ (const uint8_t *)" \0", 2 },
	{ (const uint8_t *)" \n\0", 3 },
};

static bool is_space(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static int is_section(bool *is, const struct uki_boot *b, struct view text, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
		const struct view parts[] = { text, tails[i] };
		struct digest d;
		int r = digest_parts(&d, b->alg, parts, tails[i].len ? 2 : 1, e);

		if (r < 0)
			return r;
		if (view_eq(digest_view(&d), digest_view(&b->content[UKI_CMDLINE]))) {
			*is = true;
			return 0;
		}
	}
	*is = false;
	return 0;
}

/* The kernel's EFI stub measures its options as it got them: UTF-16 with NUL. ASCII is enough. */
static int is_options(bool *is, const struct uki_boot *b, struct view text, struct err *e)
{
	cleanup_buf struct buf wide = BUF_MAX(2 * (CMDLINE_MAX + 4));
	struct digest d;
	bool same = false;

	for (size_t tail = 0; tail < 4 && !same; tail++) {
		int r;

		buf_reset(&wide);
		for (size_t i = 0; i < text.len + tail; i++) {
			buf_putc(&wide, i < text.len ? text.p[i] : ' ');
			buf_putc(&wide, 0);
		}
		buf_put(&wide, "\0\0", 2);
		r = buf_check(&wide, "command line", e);
		if (r == 0)
			r = digest_of(&d, b->alg, buf_view(&wide), e);
		if (r < 0)
			return r;
		same = view_eq(digest_view(&d), digest_view(&b->load_options));
	}
	*is = same;
	return 0;
}

int uki_cmdline_is(bool *is, const struct uki_boot *b, struct view text, struct err *e)
{
	while (text.len > 0 && is_space(text.p[text.len - 1]))
		text.len--;
	if (text.len > CMDLINE_MAX)
		return err_set(e, ERR_LIMIT, "command line of %zu bytes, allowed 0..%d", text.len,
			       CMDLINE_MAX);
	if (b->content[UKI_CMDLINE].len > 0)
		return is_section(is, b, text, e);
	*is = false;
	return b->is_uki || b->load_options.len == 0 ? 0 : is_options(is, b, text, e);
}

/* The next word, cut as Linux does (lib/cmdline.c, next_arg). False at the end. */
static bool next_word(struct view *word, struct view *rest)
{
	bool quoted = false;
	size_t i = 0;

	while (rest->len > 0 && (is_space(rest->p[0]) || rest->p[0] == '\0'))
		*rest = view_at(*rest, 1, rest->len - 1);
	if (rest->len == 0)
		return false;
	for (; i < rest->len && rest->p[i] != '\0' && (quoted || !is_space(rest->p[i])); i++)
		quoted ^= rest->p[i] == '"';
	*word = view_at(*rest, 0, i);
	*rest = view_at(*rest, i, rest->len - i);
	return true;
}

bool uki_cmdline_value(struct view *value, struct view text, const char *name)
{
	size_t n = strlen(name);
	struct view word, found = { NULL, 0 };
	unsigned times = 0;

	while (next_word(&word, &text)) {
		if (!view_starts(word, name) || word.len <= n || word.p[n] != '=')
			continue;
		found = view_at(word, n + 1, word.len - n - 1);
		times++;
	}
	if (times != 1)
		return false;
	*value = found;
	return true;
}

bool uki_root_hash(char out[65], struct view text, const char *name)
{
	struct view value;

	if (!uki_cmdline_value(&value, text, name) || value.len != 64)
		return false;
	for (size_t i = 0; i < 64; i++)
		if (!(value.p[i] >= '0' && value.p[i] <= '9') &&
		    !(value.p[i] >= 'a' && value.p[i] <= 'f'))
			return false;
	memcpy(out, value.p, 64);
	out[64] = '\0';
	return true;
}
