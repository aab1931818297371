/* SPDX-License-Identifier: Apache-2.0 */
#include "initdata/userdata.h"
#include "agent/base/enc.h"
#include "initdata/initdata.h"

#include <yaml.h>

enum { SHOWN_MAX = 120 }; /* of a skipped path, characters */

/*
 * The events that are accepted, in this order and nesting; anything else ends the reading, so that
 * no depth and no alias ever has to be counted:
 *
 *   stream-start [ document-start mapping-start
 *       { scalar "write_files" ( null | sequence-start
 *           { mapping-start { scalar "path"|"content" scalar } mapping-end }
 *         sequence-end ) }
 *   mapping-end document-end ] stream-end
 */
struct reader {
	yaml_parser_t parser;
	yaml_event_t event; /* the one under the eye */
	struct userdata *out;
	size_t entries;
};

struct entry {
	struct buf path, content;
	bool has_path, has_content;
};

static void entry_done(struct entry *en)
{
	buf_done(&en->path);
	buf_done(&en->content);
}

static void reader_done(struct reader *r)
{
	yaml_event_delete(&r->event);
	yaml_parser_delete(&r->parser);
}

static int refuse(const struct reader *r, const char *what, struct err *e)
{
	return err_code(e, CODE_USERDATA_SYNTAX, "user-data, line %zu, column %zu: %s",
			r->event.start_mark.line + 1, r->event.start_mark.column + 1, what);
}

static int refuse_key(const struct reader *r, const char *allowed, struct err *e)
{
	char shown[SHOWN_MAX + 1];
	size_t n = r->event.data.scalar.length < 40 ? r->event.data.scalar.length : 40;

	for (size_t i = 0; i < n; i++) {
		yaml_char_t c = r->event.data.scalar.value[i];

		shown[i] = c < ' ' || c >= 0x7f ? '?' : (char)c;
	}
	shown[n] = '\0';
	return err_code(e, CODE_USERDATA_SYNTAX,
			"user-data, line %zu, column %zu: the key \"%s\"; accepted here: %s",
			r->event.start_mark.line + 1, r->event.start_mark.column + 1, shown,
			allowed);
}

/* libyaml's own words are static, plain text. */
static int broken(const struct reader *r, struct err *e)
{
	const yaml_parser_t *p = &r->parser;

	if (p->error == YAML_MEMORY_ERROR)
		return err_set(e, ERR_NOMEM, "no memory for the user-data");
	if (p->error == YAML_READER_ERROR)
		return err_code(e, CODE_USERDATA_SYNTAX, "user-data, byte %zu: %s",
				p->problem_offset, p->problem ? p->problem : "not YAML");
	return err_code(e, CODE_USERDATA_SYNTAX, "user-data, line %zu, column %zu: %s",
			p->problem_mark.line + 1, p->problem_mark.column + 1,
			p->problem ? p->problem : "not YAML");
}

static int check_event(const struct reader *r, struct err *e)
{
	const yaml_event_t *v = &r->event;
	const yaml_char_t *anchor = NULL, *tag = NULL;

	switch (v->type) {
	case YAML_ALIAS_EVENT:
		return refuse(r, "an alias is not accepted", e);
	case YAML_SCALAR_EVENT:
		anchor = v->data.scalar.anchor;
		tag = v->data.scalar.tag;
		break;
	case YAML_SEQUENCE_START_EVENT:
		anchor = v->data.sequence_start.anchor;
		tag = v->data.sequence_start.tag;
		break;
	case YAML_MAPPING_START_EVENT:
		anchor = v->data.mapping_start.anchor;
		tag = v->data.mapping_start.tag;
		break;
	case YAML_DOCUMENT_START_EVENT:
		if (v->data.document_start.version_directive ||
		    v->data.document_start.tag_directives.start !=
			    v->data.document_start.tag_directives.end)
			return refuse(r, "a directive is not accepted", e);
		break;
	default:
		break;
	}
	if (anchor)
		return refuse(r, "an anchor is not accepted", e);
	if (tag)
		return refuse(r, "a tag is not accepted", e);
	return 0;
}

static int next(struct reader *r, struct err *e)
{
	yaml_event_delete(&r->event);
	if (!yaml_parser_parse(&r->parser, &r->event))
		return broken(r, e);
	return check_event(r, e);
}

static bool at(const struct reader *r, yaml_event_type_t type)
{
	return r->event.type == type;
}

static int want(struct reader *r, yaml_event_type_t type, const char *what, struct err *e)
{
	int k = next(r, e);

	if (k < 0)
		return k;
	return at(r, type) ? 0 : refuse(r, what, e);
}

static struct view scalar(const struct reader *r)
{
	return (struct view){ r->event.data.scalar.value, r->event.data.scalar.length };
}

/* Only without quotes is it one. */
static bool is_null(const struct reader *r)
{
	static const char *const words[] = { "", "~", "null", "Null", "NULL" };

	if (!at(r, YAML_SCALAR_EVENT) || r->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (view_is(scalar(r), words[i]))
			return true;
	return false;
}

/* The scalar behind a key of an entry. */
static int read_text(struct reader *r, struct buf *out, size_t max, const char *what, struct err *e)
{
	int k = want(r, YAML_SCALAR_EVENT, "want text", e);

	if (k < 0)
		return k;
	*out = BUF_MAX(max);
	/* Without this an empty one would have no memory and look like none. */
	buf_puts(out, "");
	if (!is_null(r))
		buf_putv(out, scalar(r));
	k = buf_check(out, what, e);
	return k == -ERR_LIMIT ? err_wrap_code(e, CODE_USERDATA_TOO_LARGE, "user-data") : k;
}

/* A path as it may stand in a log. */
static void skip(struct userdata *out, struct view path)
{
	for (size_t i = 0; i < path.len && i < SHOWN_MAX; i++)
		buf_putc(&out->skipped, path.p[i] < ' ' || path.p[i] >= 0x7f ? '?' : path.p[i]);
	buf_putc(&out->skipped, '\n');
}

static int keep(struct reader *r, struct entry *en, struct err *e)
{
	struct userdata *out = r->out;
	struct view path = buf_view(&en->path);
	int f = deliver_extra_of(path);

	if (f < 0) {
		skip(out, path);
		return 0;
	}
	if (out->has[f])
		return refuse(r, "a path is given twice", e);
	out->has[f] = true;
	out->content[f] = en->content;
	en->content = (struct buf){ 0 };
	return 0;
}

/* One entry; its mapping-start has been seen. */
static int read_entry(struct reader *r, struct err *e)
{
	__attribute__((cleanup(entry_done))) struct entry en = { 0 };
	int k;

	for (;;) {
		k = next(r, e);
		if (k < 0)
			return k;
		if (at(r, YAML_MAPPING_END_EVENT))
			break;
		if (!at(r, YAML_SCALAR_EVENT))
			return refuse(r, "want a key", e);
		if (view_is(scalar(r), "path") && !en.has_path) {
			en.has_path = true;
			k = read_text(r, &en.path, USERDATA_PATH_MAX, "path", e);
		} else if (view_is(scalar(r), "content") && !en.has_content) {
			en.has_content = true;
			k = read_text(r, &en.content, USERDATA_TEXT_MAX, "content", e);
		} else {
			return refuse_key(r, "path and content, once", e);
		}
		if (k < 0)
			return k;
	}
	if (en.path.len == 0)
		return refuse(r, "an entry of write_files has no path", e);
	if (!en.has_content) {
		en.content = BUF_MAX(1);
		buf_puts(&en.content, "");
		k = buf_check(&en.content, "content", e);
		if (k < 0)
			return k;
	}
	return keep(r, &en, e);
}

static int read_entries(struct reader *r, struct err *e)
{
	int k = next(r, e);

	if (k < 0 || is_null(r))
		return k;
	if (!at(r, YAML_SEQUENCE_START_EVENT))
		return refuse(r, "want a list of files", e);
	for (;;) {
		k = next(r, e);
		if (k < 0 || at(r, YAML_SEQUENCE_END_EVENT))
			return k;
		if (!at(r, YAML_MAPPING_START_EVENT))
			return refuse(r, "want a file: path and content", e);
		if (r->entries++ == USERDATA_ENTRIES_MAX)
			return err_code(e, CODE_USERDATA_TOO_LARGE,
					"user-data has over %d files in write_files",
					USERDATA_ENTRIES_MAX);
		k = read_entry(r, e);
		if (k < 0)
			return k;
	}
}

static int read_document(struct reader *r, struct err *e)
{
	bool seen = false;
	int k = want(r, YAML_MAPPING_START_EVENT, "want write_files", e);

	if (k < 0)
		return k;
	for (;;) {
		k = next(r, e);
		if (k < 0)
			return k;
		if (at(r, YAML_MAPPING_END_EVENT))
			return want(r, YAML_DOCUMENT_END_EVENT, "want the end", e);
		if (!at(r, YAML_SCALAR_EVENT))
			return refuse(r, "want a key", e);
		if (!view_is(scalar(r), "write_files") || seen)
			return refuse_key(r, "write_files, once", e);
		seen = true;
		k = read_entries(r, e);
		if (k < 0)
			return k;
	}
}

static int read_stream(struct reader *r, struct err *e)
{
	int k = want(r, YAML_STREAM_START_EVENT, "want the begin", e);

	if (k == 0)
		k = next(r, e);
	if (k < 0 || at(r, YAML_STREAM_END_EVENT))
		return k;
	k = read_document(r, e);
	if (k < 0)
		return k;
	return want(r, YAML_STREAM_END_EVENT, "a second document is not accepted", e);
}

static int check_text(struct view text, struct err *e)
{
	static const char first[] = "#cloud-config";
	size_t n = sizeof first - 1;

	if (text.len > USERDATA_TEXT_MAX)
		return err_code(e, CODE_USERDATA_TOO_LARGE, "user-data of %zu bytes, allowed %u",
				text.len, USERDATA_TEXT_MAX);
	if (!view_starts(text, first) ||
	    (text.len > n && text.p[n] != '\n' &&
	     !(text.p[n] == '\r' && text.len > n + 1 && text.p[n + 1] == '\n')))
		return err_code(e, CODE_USERDATA_SYNTAX,
				"user-data, line 1: want #cloud-config and nothing else");
	/* libyaml would guess UTF-16 and convert. */
	if (!enc_is_utf8(text))
		return err_code(e, CODE_USERDATA_SYNTAX, "user-data is not UTF-8");
	return 0;
}

int userdata_load(struct userdata *out, struct view text, struct err *e)
{
	cleanup_userdata struct userdata u = { .skipped = BUF_MAX(USERDATA_SKIPPED_MAX) };
	__attribute__((cleanup(reader_done))) struct reader r = { .out = &u };
	int k = check_text(text, e);

	if (k < 0)
		return k;
	if (!yaml_parser_initialize(&r.parser))
		return err_set(e, ERR_NOMEM, "no memory for the user-data");
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, text.p, text.len);
	k = read_stream(&r, e);
	if (k == 0)
		k = buf_check(&u.skipped, "skipped paths", e);
	if (k < 0)
		return k;
	*out = u;
	u = (struct userdata){ 0 };
	return 0;
}

int userdata_load_base64(struct userdata *out, struct view code, struct err *e)
{
	cleanup_buf struct buf text = BUF_MAX(USERDATA_TEXT_MAX);
	int r;

	if (code.len > USERDATA_BASE64_MAX)
		return err_code(e, CODE_USERDATA_TOO_LARGE, "user-data of %zu bytes, allowed %u",
				code.len, USERDATA_BASE64_MAX);
	r = initdata_unfold(&text, code, e);
	if (r == -ERR_FORMAT)
		return err_wrap_code(e, CODE_USERDATA_ENCODING, "user-data");
	if (r == -ERR_LIMIT)
		return err_wrap_code(e, CODE_USERDATA_TOO_LARGE, "user-data");
	return r < 0 ? r : userdata_load(out, buf_view(&text), e);
}

void userdata_done(struct userdata *u)
{
	for (int f = 0; f < DELIVER_EXTRAS; f++)
		buf_done(&u->content[f]);
	buf_done(&u->skipped);
	*u = (struct userdata){ 0 };
}
