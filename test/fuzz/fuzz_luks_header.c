/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/volume/luks_auth.h"

/*
 * A header on a disk that the host wrote. Input: the metadata alone (it gets a binary part and
 * checksums, else no mutation would pass them), or both copies raw when it has LUKS_COPIES bytes.
 * What is accepted is written, read again and must be the same; its tag is checked.
 */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static uint8_t raw[LUKS_COPIES];

static void wrap(const uint8_t *p, size_t n)
{
	struct luks_header h = { .seqid = 3, .uuid = "89998562-85f8-4968-bd0a-164714232ce7" };

	h.text = BUF_MAX(LUKS_COPY);
	buf_put(&h.text, p, n);
	if (luks_header_put(raw, &h, NULL) < 0)
		raw[0] = raw[LUKS_COPY] = 0;
	luks_header_done(&h);
}

static void again(const struct luks_header *h, bool integrity)
{
	cleanup_luks_header struct luks_header same = { 0 };

	if (luks_header_put(raw, h, NULL) < 0 ||
	    luks_header_load(&same, (struct view){ raw, sizeof raw }, NULL) < 0 ||
	    luks_header_check(&same, integrity, NULL) < 0 ||
	    !view_eq(buf_view(&h->text), buf_view(&same.text)) || same.n_areas != h->n_areas ||
	    same.data_offset != h->data_offset)
		abort();
}

/* Every cipher that the metadata name is the one. */
static bool encrypted(struct view text)
{
	static const char name[] = "\"encryption\":", good[] = "\"encryption\":\"aes-xts-plain64\"";
	size_t seen = 0;

	for (const uint8_t *at = text.p;; at++) {
		size_t left = text.len - (size_t)(at - text.p);

		at = memmem(at, left, name, sizeof name - 1);
		if (!at)
			return seen >= 2;
		left = text.len - (size_t)(at - text.p);
		if (left < sizeof good - 1 || memcmp(at, good, sizeof good - 1) != 0)
			return false;
		seen++;
	}
}

static void accepted(const struct luks_header *h, bool integrity)
{
	static struct secret key;
	const struct digest area = { .len = 32 };

	/* Nothing that was accepted may be without encryption, or reach outside. */
	if (!encrypted(buf_view(&h->text)) || h->data_offset < LUKS_COPIES || h->n_areas == 0)
		abort();
	for (size_t i = 0; i < h->n_areas; i++)
		if (h->areas[i].size > LUKS_AREA_MAX || h->areas[i].offset + h->areas[i].size > LUKS_AREAS_END)
			abort();
	if (key.len == 0 && (secret_alloc(&key, 32, NULL) < 0 ||
			     secret_append(&key, "0123456789abcdef0123456789abcdef", 32, NULL) < 0))
		return;
	/* Nobody who lacks the key makes a tag. */
	if (h->tagged && luks_auth_check(h, &area, &key, NULL) == 0)
		abort();
	again(h, integrity);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	cleanup_luks_header struct luks_header h = { 0 };
	struct err e = { 0 };

	if (n == LUKS_COPIES)
		memcpy(raw, p, n);
	else
		wrap(p, n);
	if (luks_header_load(&h, (struct view){ raw, sizeof raw }, &e) < 0) {
		if (e.code == CODE_OK || h.text.p)
			abort();
		return 0;
	}
	for (int integrity = 0; integrity < 2; integrity++)
		if (luks_header_check(&h, integrity != 0, &e) == 0)
			accepted(&h, integrity != 0);
	return 0;
}
