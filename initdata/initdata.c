/* SPDX-License-Identifier: Apache-2.0 */
#include "initdata/initdata.h"
#include "agent/base/enc.h"
#include "agent/base/gunzip.h"

static const char dummy[] = "algorithm = \"sha256\"\n"
			    "version = \"0.1.0\"\n"
			    "\n"
			    "[data]\n"
			    "\"aa.toml\" = '''\n"
			    "'''";

struct view initdata_dummy(void)
{
	return view_str(dummy);
}

/* A value as it may stand in a message, which goes to terminals: plain characters only. */
static const char *shown(struct view v)
{
	for (size_t i = 0; i < v.len; i++)
		if (v.p[i] < ' ' || v.p[i] >= 0x7f)
			return "(not plain text)";
	return (const char *)v.p;
}

static int need_text(struct view *out, const struct toml *root, const char *key, struct err *e)
{
	const struct toml *v = toml_get(root, key);
	size_t len = 0;
	const char *text = toml_string(v, &len);

	if (!v)
		return err_code(e, CODE_INITDATA_SCHEMA, "there is no %s", key);
	if (!text)
		return err_code(e, CODE_INITDATA_SCHEMA, "line %u: %s is %s, want a string",
				toml_line(v), key, toml_type_name(toml_type(v)));
	*out = (struct view){ (const uint8_t *)text, len };
	return 0;
}

static int check_data(const struct toml *root, struct err *e)
{
	const struct toml *data = toml_get(root, "data");

	if (!data)
		return err_code(e, CODE_INITDATA_SCHEMA, "there is no table [data]");
	if (toml_type(data) != TOML_TABLE)
		return err_code(e, CODE_INITDATA_SCHEMA, "line %u: data is %s, want a table",
				toml_line(data), toml_type_name(toml_type(data)));
	for (const struct toml *m = toml_first(data); m; m = toml_next(m))
		if (toml_type(m) != TOML_STRING)
			return err_code(e, CODE_INITDATA_SCHEMA,
					"line %u: a member of [data] is %s, want a string%s",
					toml_line(m), toml_type_name(toml_type(m)),
					toml_type(m) == TOML_TABLE
						? " (is the key in quotes, as in \"aa.toml\"?)"
						: "");
	return 0;
}

static int check_schema(struct initdata *d, struct err *e)
{
	struct view version, algorithm;
	int r;

	r = need_text(&version, d->toml, "version", e);
	if (r < 0)
		return r;
	if (!view_is(version, "0.1.0"))
		return err_code(e, CODE_INITDATA_VERSION, "version is \"%.40s\", want \"0.1.0\"",
				shown(version));
	r = need_text(&algorithm, d->toml, "algorithm", e);
	if (r < 0)
		return r;
	if (hash_by_name(&d->alg, algorithm, NULL) < 0)
		return err_code(e, CODE_INITDATA_ALGORITHM,
				"algorithm is \"%.40s\", want sha256, sha384, sha512 or sm3",
				shown(algorithm));
	return check_data(d->toml, e);
}

/* d->text is filled. */
static int load(struct initdata *d, struct err *e)
{
	int r = toml_parse(&d->toml, buf_view(&d->text), e);

	if (r == -ERR_NOMEM)
		return r;
	if (r == -ERR_LIMIT)
		return err_wrap_code(e, CODE_INITDATA_TOO_LARGE, "initdata");
	if (r < 0)
		return err_wrap_code(e, CODE_INITDATA_SYNTAX, "initdata");
	r = check_schema(d, e);
	if (r < 0)
		return r;
	return digest_of(&d->digest, d->alg, buf_view(&d->text), e);
}

int initdata_load_text(struct initdata *out, struct view text, struct err *e)
{
	cleanup_initdata struct initdata d = { .text = BUF_MAX(INITDATA_TEXT_MAX) };
	int r;

	if (text.len > INITDATA_TEXT_MAX)
		return err_code(e, CODE_INITDATA_TOO_LARGE,
				"initdata text of %zu bytes, allowed %u", text.len,
				INITDATA_TEXT_MAX);
	buf_putv(&d.text, text);
	r = buf_check(&d.text, "initdata", e);
	if (r < 0)
		return r;
	r = load(&d, e);
	if (r < 0)
		return r;
	*out = d;
	d = (struct initdata){ 0 };
	return 0;
}

/* Both alphabets, so that the wrong one is called a bad encoding and not bad TOML. */
static bool is_text(struct view v)
{
	for (size_t i = 0; i < v.len; i++) {
		uint8_t c = v.p[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
		    (c == 0 || !strchr("+/=-_\r\n", c)))
			return true;
	}
	return false;
}

/* A frequent mistake, which would else be called bad TOML. */
static bool is_bare_gzip(struct view v)
{
	return view_starts(v, "\x1f\x8b");
}

int initdata_unfold(struct buf *out, struct view code, struct err *e)
{
	cleanup_buf struct buf b64 = BUF_MAX(code.len);
	int r;

	for (size_t i = 0; i < code.len; i++)
		if (code.p[i] != '\n' && code.p[i] != '\r')
			buf_putc(&b64, code.p[i]);
	r = buf_check(&b64, "base64", e);
	return r < 0 ? r : enc_base64_decode(out, ENC_B64, buf_view(&b64), e);
}

int initdata_gunzip(struct buf *text, struct view gz, struct err *e)
{
	int r;

	if (gz.len > INITDATA_ENCODED_MAX)
		return err_code(e, CODE_INITDATA_TOO_LARGE, "initdata of %zu bytes, allowed %u",
				gz.len, INITDATA_ENCODED_MAX);
	r = gunzip(text, gz, INITDATA_TEXT_MAX, e);
	if (r == -ERR_FORMAT)
		return err_wrap_code(e, CODE_INITDATA_ENCODING, "initdata");
	if (r == -ERR_LIMIT)
		return err_wrap_code(e, CODE_INITDATA_TOO_LARGE, "initdata");
	return r;
}

static int decode_base64(struct buf *text, struct view code, struct err *e)
{
	cleanup_buf struct buf gz = BUF_MAX(INITDATA_ENCODED_MAX);
	/* Peers fold it, and their YAML ends it with a line break. */
	int r = initdata_unfold(&gz, code, e);

	if (r == -ERR_FORMAT)
		return err_wrap_code(e, CODE_INITDATA_ENCODING, "initdata");
	if (r < 0)
		return r;
	if (gz.len == 0)
		return err_code(e, CODE_INITDATA_ENCODING, "the initdata is empty");
	return initdata_gunzip(text, buf_view(&gz), e);
}

int initdata_decode(struct buf *text, struct view delivered, struct err *e)
{
	if (delivered.len > INITDATA_ENCODED_MAX)
		return err_code(e, CODE_INITDATA_TOO_LARGE, "initdata of %zu bytes, allowed %u",
				delivered.len, INITDATA_ENCODED_MAX);
	if (is_bare_gzip(delivered))
		return err_code(e, CODE_INITDATA_ENCODING,
				"the initdata is gzip data without base64");
	if (!is_text(delivered))
		return decode_base64(text, delivered, e);
	buf_putv(text, delivered);
	return buf_check(text, "initdata", e);
}

int initdata_load(struct initdata *out, struct view delivered, struct err *e)
{
	cleanup_buf struct buf text = BUF_MAX(INITDATA_TEXT_MAX);
	int r = initdata_decode(&text, delivered, e);

	return r < 0 ? r : initdata_load_text(out, buf_view(&text), e);
}

void initdata_done(struct initdata *d)
{
	buf_done(&d->text);
	toml_free(d->toml);
	*d = (struct initdata){ 0 };
}

const struct toml *initdata_data(const struct initdata *d)
{
	return toml_get(d->toml, "data");
}

const char *initdata_get(const struct initdata *d, const char *key, size_t *len)
{
	size_t n;

	return toml_string(toml_get(initdata_data(d), key), len ? len : &n);
}

int initdata_encode(struct buf *out, struct view text, struct err *e)
{
	cleanup_buf struct buf gz = BUF_MAX(INITDATA_ENCODED_MAX);
	int r = gunzip_pack(&gz, text, e);

	if (r < 0)
		return r;
	enc_base64(out, ENC_B64, buf_view(&gz));
	return buf_check(out, "encoded initdata", e);
}

void initdata_field(uint8_t *out, size_t size, const struct digest *d)
{
	size_t n = d->len < size ? d->len : size;

	for (size_t i = 0; i < size; i++)
		out[i] = i < n ? d->b[i] : 0;
}

int initdata_pcr_value(uint8_t out[32], const struct digest *d, struct err *e)
{
	static const uint8_t zero[32];
	uint8_t event[32];
	struct view parts[] = { { zero, sizeof zero }, { event, sizeof event } };
	struct digest pcr;
	int r;

	initdata_field(event, sizeof event, d);
	r = digest_parts(&pcr, HASH_SHA256, parts, ARRAY_LEN(parts), e);
	if (r < 0)
		return r;
	memcpy(out, pcr.b, 32);
	return 0;
}
