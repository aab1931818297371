/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/eventlog_entry.h"
#include "agent/base/enc.h"
#include "attester/le.h"

enum {
	EVENT_TAG = 6,     /* EV_EVENT_TAG */
	AAEL = 0x4141454c, /* the tagged event's id */
	HEAD = 14,         /* before the digest */
	DATA_HEAD = 8,     /* id and size, before the text */
};

/* TCG's numbers. SM3 (0x12) is that of a platform which is not built in. */
static const struct {
	uint16_t id;
	enum hash_alg alg;
} hashes[] = { { 0x0b, HASH_SHA256 }, { 0x0c, HASH_SHA384 }, { 0x0d, HASH_SHA512 } };

/* --- the event ------------------------------------------------------------------------------ */

static int check_word(struct view v, const char *what, struct err *e)
{
	if (v.len == 0 || v.len > EVENTLOG_WORD_MAX)
		return err_code(e, CODE_EVENTLOG_BAD_EVENT, "%s of %zu bytes, allowed 1..%d", what,
				v.len, EVENTLOG_WORD_MAX);
	for (size_t i = 0; i < v.len; i++)
		if (v.p[i] <= ' ' || v.p[i] == 0x7f)
			return err_code(e, CODE_EVENTLOG_BAD_EVENT,
					"%s has a space or control character at byte %zu", what, i);
	if (!enc_is_utf8(v))
		return err_code(e, CODE_EVENTLOG_BAD_EVENT, "%s is not UTF-8", what);
	return 0;
}

int eventlog_event_check(struct view domain, struct view operation, struct view content,
			 struct err *e)
{
	int r = check_word(domain, "domain", e);

	if (r == 0)
		r = check_word(operation, "operation", e);
	if (r < 0)
		return r;
	if (content.len > EVENTLOG_CONTENT_MAX)
		return err_code(e, CODE_EVENTLOG_BAD_EVENT, "content of %zu bytes, allowed 0..%u",
				content.len, EVENTLOG_CONTENT_MAX);
	for (size_t i = 0; i < content.len; i++)
		if (content.p[i] == '\n' || content.p[i] == '\0')
			return err_code(e, CODE_EVENTLOG_BAD_EVENT,
					"content has a line feed or NUL at byte %zu", i);
	if (!enc_is_utf8(content))
		return err_code(e, CODE_EVENTLOG_BAD_EVENT, "content is not UTF-8");
	return 0;
}

/* Cut off what stands before the first space. False without one. */
static bool cut_word(struct view *word, struct view *rest)
{
	const uint8_t *space = rest->len ? memchr(rest->p, ' ', rest->len) : NULL;
	size_t n;

	if (!space)
		return false;
	n = (size_t)(space - rest->p);
	*word = (struct view){ rest->p, n };
	*rest = (struct view){ space + 1, rest->len - n - 1 };
	return true;
}

static int split(struct view *domain, struct view *operation, struct view *content,
		 struct view text, struct err *e)
{
	*content = text;
	if (!cut_word(domain, content) || !cut_word(operation, content))
		return err_code(
			e, CODE_EVENTLOG_BAD_EVENT,
			"the text has fewer than two spaces: want DOMAIN OPERATION CONTENT");
	return eventlog_event_check(*domain, *operation, *content, e);
}

int eventlog_text_check(struct view text, struct err *e)
{
	struct view domain, operation, content;

	return split(&domain, &operation, &content, text, e);
}

/* --- bytes ---------------------------------------------------------------------------------- */

static void put_le(struct buf *out, uint32_t x, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		buf_putc(out, (uint8_t)(x >> (8 * i)));
}

int eventlog_entry_put(struct buf *out, struct digest *digest, uint32_t index, enum hash_alg alg,
		       struct view text, struct err *e)
{
	cleanup_buf struct buf data = BUF_MAX(DATA_HEAD + EVENTLOG_TEXT_MAX);
	struct digest d;
	int r;

	put_le(&data, AAEL, 4);
	put_le(&data, (uint32_t)text.len, 4);
	buf_putv(&data, text);
	r = buf_check(&data, "event", e);
	if (r == 0)
		r = digest_of(&d, alg, buf_view(&data), e);
	if (r < 0)
		return r;
	put_le(out, index, 4);
	put_le(out, EVENT_TAG, 4);
	put_le(out, 1, 4);
	for (size_t i = 0; i < ARRAY_LEN(hashes); i++)
		if (hashes[i].alg == alg)
			put_le(out, hashes[i].id, 2);
	buf_putv(out, digest_view(&d));
	put_le(out, (uint32_t)data.len, 4);
	buf_putv(out, buf_view(&data));
	r = buf_check(out, "event log entry", e);
	if (r < 0)
		return r;
	*digest = d;
	return 0;
}

static int malformed(const struct eventlog_entry *at, const char *why, struct err *e)
{
	return err_code(e, CODE_EVENTLOG_MALFORMED, "entry at byte %zu: %s", at->offset, why);
}

static bool hash_by_id(enum hash_alg *out, uint32_t id)
{
	for (size_t i = 0; i < ARRAY_LEN(hashes); i++)
		if (hashes[i].id == id) {
			*out = hashes[i].alg;
			return true;
		}
	return false;
}

/* The event data, whole, behind the digest. */
static int parse_data(struct eventlog_entry *entry, struct err *e)
{
	struct view text = { entry->data.p + DATA_HEAD, entry->data.len - DATA_HEAD };
	int r;

	if (le32(entry->data.p) != AAEL)
		return malformed(entry, "its event is not tagged 4141454c", e);
	if (le32(entry->data.p + 4) != text.len)
		return malformed(entry, "the sizes of event and text disagree", e);
	r = split(&entry->domain, &entry->operation, &entry->content, text, e);
	if (r < 0)
		return err_wrap_code(e, CODE_EVENTLOG_MALFORMED, "entry at byte %zu",
				     entry->offset);
	return 0;
}

int eventlog_entry_parse(struct eventlog_entry *out, struct view log, size_t offset, struct err *e)
{
	struct eventlog_entry entry = { .offset = offset };
	size_t left = log.len - offset, n;
	const uint8_t *p;
	uint32_t size;
	int r;

	if (left == 0)
		return 0;
	p = log.p + offset;
	if (left < HEAD)
		return malformed(&entry, "it is cut short", e);
	entry.index = le32(p);
	if (le32(p + 4) != EVENT_TAG)
		return malformed(&entry, "its type is not 6", e);
	if (le32(p + 8) != 1)
		return malformed(&entry, "it has not one digest", e);
	if (!hash_by_id(&entry.alg, le16(p + 12)))
		return malformed(&entry, "its digest is neither SHA-256 nor SHA-384 nor SHA-512",
				 e);
	n = hash_len(entry.alg);
	if (left - HEAD < n + 4)
		return malformed(&entry, "it is cut short", e);
	entry.digest = (struct view){ p + HEAD, n };
	size = le32(p + HEAD + n);
	if (size < DATA_HEAD || size > DATA_HEAD + EVENTLOG_TEXT_MAX)
		return malformed(&entry, "the size of its event is out of range", e);
	if (left - HEAD - n - 4 < size)
		return malformed(&entry, "it is cut short", e);
	entry.data = (struct view){ p + HEAD + n + 4, size };
	entry.size = HEAD + n + 4 + size;
	r = parse_data(&entry, e);
	if (r < 0)
		return r;
	*out = entry;
	return 1;
}

/* --- replay --------------------------------------------------------------------------------- */

int eventlog_entry_true(bool *is, const struct eventlog_entry *entry, struct err *e)
{
	struct digest d;
	int r = digest_of(&d, entry->alg, entry->data, e);

	if (r < 0)
		return r;
	*is = view_eq(digest_view(&d), entry->digest);
	return 0;
}

int eventlog_extended(struct digest *out, enum hash_alg alg, const struct digest *before,
		      struct view digest, struct err *e)
{
	const struct view parts[] = { digest_view(before), digest };

	return digest_parts(out, alg, parts, ARRAY_LEN(parts), e);
}

struct registers {
	uint32_t index[EVENTLOG_INDEX_MAX];
	struct digest value[EVENTLOG_INDEX_MAX];
	size_t n;
};

/* The value of a register, zero when it is new. NULL when there are too many. */
static struct digest *value_of(struct registers *all, uint32_t index, enum hash_alg alg)
{
	for (size_t i = 0; i < all->n; i++)
		if (all->index[i] == index)
			return &all->value[i];
	if (all->n == EVENTLOG_INDEX_MAX)
		return NULL;
	all->index[all->n] = index;
	all->value[all->n] = (struct digest){ .len = hash_len(alg) };
	return &all->value[all->n++];
}

int eventlog_replay(struct view log, enum hash_alg alg, eventlog_each *each, void *ctx,
		    struct err *e)
{
	struct registers all = { .n = 0 };
	struct eventlog_entry entry;
	struct digest *value, next;
	int r;

	if (log.len > EVENTLOG_MAX)
		return err_set(e, ERR_LIMIT, "event log of %zu bytes, allowed 0..%u", log.len,
			       EVENTLOG_MAX);
	for (size_t at = 0;; at += entry.size) {
		r = eventlog_entry_parse(&entry, log, at, e);
		if (r <= 0)
			return r;
		if (entry.alg != alg)
			return err_code(e, CODE_EVENTLOG_MALFORMED,
					"entry at byte %zu: its digest is %s, the registers' %s",
					at, hash_name(entry.alg), hash_name(alg));
		value = value_of(&all, entry.index, alg);
		if (!value)
			return err_set(e, ERR_LIMIT, "the event log has over %d registers",
				       EVENTLOG_INDEX_MAX);
		r = eventlog_extended(&next, alg, value, entry.digest, e);
		if (r < 0)
			return r;
		*value = next;
		r = each ? each(ctx, &entry, value, e) : 0;
		if (r < 0)
			return r;
	}
}
