/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "agent/base/fs.h"
#include "agent/base/gunzip.h"
#include "agent/base/json.h"
#include "initdata/initdata.h"
#include "test/test.h"

#define GOOD "version = \"0.1.0\"\nalgorithm = \"sha256\"\n[data]\n\"aa.toml\" = 'x'\n"

static void read_file(struct buf *out, const char *path)
{
	struct err e;

	if (fs_read(out, path, INITDATA_TEXT_MAX, &e) < 0)
		test_fail(path, 0, "%s", e.msg);
}

static void check_hex(const struct json *row, const char *key, const uint8_t *p, size_t n)
{
	const char *want = json_string(json_get(row, key));
	char hex[2 * DIGEST_MAX + 1];

	if (!want)
		return;
	enc_hex_str(hex, (struct view){ p, n });
	if (strcmp(hex, want) != 0)
		test_fail(json_string(json_get(row, "file")), 0, "%s is %s, want %s", key, hex,
			  want);
}

static void check_row(const struct json *row)
{
	cleanup_initdata struct initdata d = { 0 };
	cleanup_buf struct buf text = BUF_MAX(INITDATA_TEXT_MAX), path = BUF_MAX(256);
	uint8_t field[48];
	struct err e;

	buf_printf(&path, "local/initdata/%s", json_string(json_get(row, "file")));
	read_file(&text, test_shared(buf_str(&path)));
	if (initdata_load(&d, buf_view(&text), &e) < 0)
		test_fail(buf_str(&path), 0, "%s", e.msg);
	CHECK(view_eq(buf_view(&d.text), buf_view(&text)));
	CHECK(strcmp(hash_name(d.alg), json_string(json_get(row, "algorithm"))) == 0);
	check_hex(row, "digest_hex", d.digest.b, d.digest.len);
	initdata_field(field, 48, &d.digest);
	check_hex(row, "tdx_mrconfigid_48", field, 48);
	initdata_field(field, 32, &d.digest);
	check_hex(row, "snp_hostdata_32", field, 32);
	CHECK_INT(initdata_pcr_value(field, &d.digest, NULL), 0);
	check_hex(row, "pcr8_sha256_after_extend", field, 32);
}

TEST(initdata_load__shared_digests__all_values_agree)
{
	cleanup_buf struct buf text = BUF_MAX(1u << 20);
	cleanup_json struct json *doc = NULL;
	size_t n = 0;

	read_file(&text, test_shared("local/initdata/digests.json"));
	CHECK_INT(json_parse(&doc, buf_view(&text), 1u << 20, NULL), 0);
	for (const struct json *row = json_first(doc); row; row = json_next(row), n++)
		check_row(row);
	CHECK_INT(n, 6);
}

TEST(initdata_load__shared_annotations__decode_to_their_texts)
{
	static const struct {
		const char *encoded, *text;
	} rows[] = {
		{ "own-sha256.annotation.b64", "own-sha256.toml" },
		{ "own-sha384.annotation.b64", "own-sha384.toml" },
		{ "own-sha512.annotation.b64", "own-sha512.toml" },
		{ "multi-kbs-pod-a.annotation.b64", "multi-kbs-pod-a.toml" },
		{ "multi-kbs-pod-b.annotation.b64", "multi-kbs-pod-b.toml" },
		{ "caa-doc.global.b64", "caa-doc.toml" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_initdata struct initdata d = { 0 };
		cleanup_buf struct buf in = BUF_MAX(1u << 20), text = BUF_MAX(1u << 20);
		cleanup_buf struct buf path = BUF_MAX(256);

		buf_printf(&path, "local/initdata/%s", rows[i].encoded);
		read_file(&in, test_shared(buf_str(&path)));
		buf_reset(&path);
		buf_printf(&path, "local/initdata/%s", rows[i].text);
		read_file(&text, test_shared(buf_str(&path)));
		CHECK_INT(initdata_load(&d, buf_view(&in), NULL), 0);
		CHECK(view_eq(buf_view(&d.text), buf_view(&text)));
	}
}

TEST(initdata_load__shared_annotation_without_padding__is_an_encoding_error)
{
	cleanup_buf struct buf in = BUF_MAX(1u << 20);
	struct initdata d = { 0 };
	struct err e;

	read_file(&in, test_shared("local/initdata/caa-doc.annotation.b64"));
	CHECK_ERR(initdata_load(&d, buf_view(&in), &e), ERR_FORMAT, e, "multiple of 4");
	CHECK_INT(e.code, CODE_INITDATA_ENCODING);
}

TEST(initdata_dummy__is_upstreams_byte_for_byte)
{
	cleanup_initdata struct initdata d = { 0 };
	char hex[65];
	uint8_t pcr[32];
	size_t len = 1;

	/* Source: spec/evidence.md 4.3. */
	CHECK_INT(initdata_load(&d, initdata_dummy(), NULL), 0);
	enc_hex_str(hex, digest_view(&d.digest));
	CHECK(strcmp(hex, "adb48cc14fea9403d3d51f3b5f5068fd4d80445a14e94f1b3d5dbabaad66478d") == 0);
	CHECK_INT(initdata_pcr_value(pcr, &d.digest, NULL), 0);
	enc_hex_str(hex, (struct view){ pcr, 32 });
	CHECK(strcmp(hex, "4b58b30becd30d16f7f60d56b32661d921ae0d3310c6a89f5d552f9bfee921a9") == 0);
	CHECK(initdata_get(&d, "aa.toml", &len));
	CHECK_INT(len, 0);
}

TEST(initdata_load__one_thing_wrong__has_its_code_and_words)
{
	static const struct {
		const char *text;
		enum err_code code;
		const char *words;
	} rows[] = {
		{ "version = \"0.1.0\"\nalgorithm = 'sha256'\n[data\n", CODE_INITDATA_SYNTAX,
		  "initdata: line 3, column 6: want ']'" },
		{ "algorithm = 'sha256'\n[data]\n", CODE_INITDATA_SCHEMA, "there is no version" },
		{ "version = 1\nalgorithm = 'sha256'\n[data]\n", CODE_INITDATA_SCHEMA,
		  "line 1: version is an integer, want a string" },
		{ "version = '0.2.0'\nalgorithm = 'sha256'\n[data]\n", CODE_INITDATA_VERSION,
		  "version is \"0.2.0\", want \"0.1.0\"" },
		{ "version = \"0.1.0\\u0000\"\nalgorithm = 'sha256'\n[data]\n",
		  CODE_INITDATA_VERSION, "(not plain text)" },
		{ "version = ''\nalgorithm = 'sha256'\n[data]\n", CODE_INITDATA_VERSION, "\"\"" },
		{ "version = '0.1.0'\n[data]\n", CODE_INITDATA_SCHEMA, "there is no algorithm" },
		{ "version = '0.1.0'\nalgorithm = 256\n[data]\n", CODE_INITDATA_SCHEMA,
		  "line 2: algorithm is an integer" },
		{ "version = '0.1.0'\nalgorithm = 'sha-256'\n[data]\n", CODE_INITDATA_ALGORITHM,
		  "algorithm is \"sha-256\", want sha256, sha384, sha512 or sm3" },
		{ "version = '0.1.0'\nalgorithm = 'SHA256'\n[data]\n", CODE_INITDATA_ALGORITHM,
		  "SHA256" },
		{ "version = '0.1.0'\nalgorithm = 'sm4'\n[data]\n", CODE_INITDATA_ALGORITHM,
		  "sm4" },
		{ "version = '0.1.0'\nalgorithm = \"\\u001b[31m\"\n[data]\n",
		  CODE_INITDATA_ALGORITHM, "\"(not plain text)\"" },
		{ "version = '0.1.0'\nalgorithm = 'sha256'\n", CODE_INITDATA_SCHEMA,
		  "there is no table [data]" },
		{ "version = '0.1.0'\nalgorithm = 'sha256'\ndata = 'x'\n", CODE_INITDATA_SCHEMA,
		  "line 3: data is a string, want a table" },
		{ "version = '0.1.0'\nalgorithm = 'sha256'\n[[data]]\n", CODE_INITDATA_SCHEMA,
		  "data is an array, want a table" },
		{ "version = '0.1.0'\nalgorithm = 'sha256'\n[data]\na = 1\n", CODE_INITDATA_SCHEMA,
		  "line 4: a member of [data] is an integer, want a string" },
		{ "version = '0.1.0'\nalgorithm = 'sha256'\n[data]\naa.toml = 'x'\n",
		  CODE_INITDATA_SCHEMA, "is the key in quotes" },
		{ "", CODE_INITDATA_ENCODING, "is empty" },
		{ "\r\n\n", CODE_INITDATA_ENCODING, "is empty" },
		{ "no base64, no TOML", CODE_INITDATA_SYNTAX, "line 1, column 4: want '='" },
		{ "version = \n", CODE_INITDATA_SYNTAX, "line 1, column 11: want a value" },
		{ "AAAA AAAA", CODE_INITDATA_SYNTAX, "line 1, column 6: want '='" },
		{ "AAAA", CODE_INITDATA_ENCODING, "gzip data is damaged" },
		{ "AAA", CODE_INITDATA_ENCODING, "multiple of 4" },
		{ "AA-_", CODE_INITDATA_ENCODING, "bad character" },
		{ "\x1f\x8b\x08'", CODE_INITDATA_ENCODING, "without base64" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct initdata d = { .alg = HASH_SHA512 };
		struct err e = { 0 };

		CHECK_ERR(initdata_load(&d, view_str(rows[i].text), &e),
			  err_entry(rows[i].code)->kind, e, rows[i].words);
		if (e.code != rows[i].code)
			test_fail(__FILE__, __LINE__, "row %zu has code %s", i, err_name(&e));
		CHECK(!d.text.p && !d.toml && d.alg == HASH_SHA512);
	}
}

TEST(initdata_load__forms_that_peers_write__are_read)
{
	static const char *const texts[] = {
		GOOD,
		"\xef\xbb\xbf" GOOD,
		"algorithm = 'sha512'\r\nversion = '0.1.0'\r\n[data]\r\n",
		"data = { 'aa.toml' = 'x' }\nversion = '0.1.0'\nalgorithm = 'sha384'\n",
		"data.'aa.toml' = 'x'\nversion = '0.1.0'\nalgorithm = 'sha384'\n",
		"version = '0.1.0'\nalgorithm = 'sha384'\nother = 1\n[data]\nmore = 'x'\n[peer]\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		cleanup_initdata struct initdata d = { 0 };
		struct err e;

		if (initdata_load(&d, view_str(texts[i]), &e) < 0)
			test_fail(__FILE__, __LINE__, "%s: %s", texts[i], e.msg);
		CHECK(view_is(buf_view(&d.text), texts[i]));
	}
}

TEST(initdata_get__member__is_whole_and_others_are_null)
{
	cleanup_initdata struct initdata d = { 0 };
	size_t len = 0;

	CHECK_INT(initdata_load(&d,
				view_str("version='0.1.0'\nalgorithm='sha256'\n[data]\n"
					 "\"aa.toml\" = \"a\\u0000b\"\n"),
				NULL),
		  0);
	CHECK(memcmp(initdata_get(&d, "aa.toml", &len), "a\0b", 4) == 0);
	CHECK_INT(len, 3);
	CHECK(initdata_get(&d, "aa.toml", NULL));
	CHECK(!initdata_get(&d, "cdh.toml", &len));
	CHECK(!initdata_get(&d, "version", &len));
}

TEST(initdata_encode__then_load__gives_the_same_bytes_and_again_the_same_code)
{
	cleanup_buf struct buf once = BUF_MAX(4096), twice = BUF_MAX(4096), folded = BUF_MAX(8192);
	cleanup_initdata struct initdata d = { 0 };

	CHECK_INT(initdata_encode(&once, view_str(GOOD), NULL), 0);
	CHECK_INT(initdata_encode(&twice, view_str(GOOD), NULL), 0);
	CHECK(view_eq(buf_view(&once), buf_view(&twice)));
	CHECK(!memchr(once.p, '\n', once.len));
	for (size_t i = 0; i < once.len; i++)
		buf_printf(&folded, "%c%s", once.p[i], i % 7 == 6 ? "\r\n" : "");
	buf_puts(&folded, "\n");
	CHECK_INT(initdata_load(&d, buf_view(&folded), NULL), 0);
	CHECK(view_is(buf_view(&d.text), GOOD));
}

/* GOOD followed by a comment that makes it n bytes long. */
static void padded(struct buf *b, size_t n)
{
	buf_reset(b);
	buf_puts(b, GOOD "#");
	while (b->len < n)
		buf_putc(b, ' ');
}

TEST(initdata_load__over_a_limit__is_too_large)
{
	cleanup_buf struct buf b = BUF_MAX(INITDATA_TEXT_MAX + 2),
			       code = BUF_MAX(INITDATA_ENCODED_MAX);
	struct initdata d = { 0 };
	struct err e;

	padded(&b, INITDATA_ENCODED_MAX);
	CHECK_INT(initdata_load(&d, buf_view(&b), NULL), 0);
	initdata_done(&d);
	padded(&b, INITDATA_ENCODED_MAX + 1);
	CHECK_ERR(initdata_load(&d, buf_view(&b), &e), ERR_LIMIT, e,
		  "1048577 bytes, allowed 1048576");
	CHECK_INT(e.code, CODE_INITDATA_TOO_LARGE);

	padded(&b, INITDATA_TEXT_MAX);
	CHECK_INT(initdata_encode(&code, buf_view(&b), NULL), 0);
	CHECK_INT(initdata_load(&d, buf_view(&code), NULL), 0);
	initdata_done(&d);
	padded(&b, INITDATA_TEXT_MAX + 1);
	buf_reset(&code);
	CHECK_INT(initdata_encode(&code, buf_view(&b), NULL), 0);
	CHECK_ERR(initdata_load(&d, buf_view(&code), &e), ERR_LIMIT, e, "over 4194304 bytes");
	CHECK_INT(e.code, CODE_INITDATA_TOO_LARGE);
	CHECK_ERR(initdata_load_text(&d, buf_view(&b), &e), ERR_LIMIT, e, "4194305 bytes, allowed");
	CHECK_INT(e.code, CODE_INITDATA_TOO_LARGE);
}

TEST(initdata_load__nested_too_deep__is_too_large)
{
	struct initdata d = { 0 };
	struct err e;

	CHECK_ERR(initdata_load(&d, view_str("a = [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n"),
				&e),
		  ERR_LIMIT, e, "nested deeper than 32");
	CHECK_INT(e.code, CODE_INITDATA_TOO_LARGE);
}

TEST(initdata_load__gzip_cut_or_followed__is_an_encoding_error)
{
	cleanup_buf struct buf gz = BUF_MAX(4096);
	struct initdata d = { 0 };
	struct err e;

	CHECK_INT(gunzip_pack(&gz, view_str(GOOD), NULL), 0);
	buf_puts(&gz, "zz");
	for (size_t n = 0; n <= gz.len; n++) {
		cleanup_buf struct buf b64 = BUF_MAX(8192);

		if (n == gz.len - 2)
			continue;
		enc_base64(&b64, ENC_B64, (struct view){ gz.p, n });
		CHECK_INT(initdata_load(&d, buf_view(&b64), &e), -ERR_FORMAT);
		CHECK_INT(e.code, CODE_INITDATA_ENCODING);
	}
}

TEST(initdata_field__longer_than_the_digest__is_padded_at_its_end)
{
	struct digest d = { .b = { 1, 2, 3 }, .len = 32 };
	uint8_t field[48] = { [32] = 0xff, [47] = 0xff };

	initdata_field(field, 48, &d);
	CHECK(field[0] == 1 && field[2] == 3 && field[32] == 0 && field[47] == 0);
}
