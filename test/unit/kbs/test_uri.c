/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/kbs/uri.h"
#include "test/unit/crypto/vector.h"

#define BASE "http://kbs.example:8080"

static void check_one(const char *text, const char *plugin, const char *host, const char *path,
		      const char *query, const char *canonical)
{
	cleanup_buf struct buf url = BUF_MAX(4 * URI_MAX), want = BUF_MAX(4 * URI_MAX);
	struct uri u, again;
	struct err e;

	if (uri_parse(&u, view_str(text), &e) < 0)
		test_fail(__FILE__, __LINE__, "%s: %s", text, e.msg);
	if (strcmp(u.plugin, plugin) != 0 || strcmp(u.host, host) != 0 || strcmp(u.path, path) != 0 ||
	    strcmp(u.query, query) != 0 || strcmp(u.text, canonical) != 0)
		test_fail(__FILE__, __LINE__, "%s gave %s %s %s %s %s", text, u.plugin, u.host, u.path,
			  u.query, u.text);
	uri_request_url(&url, BASE, &u);
	buf_printf(&want, BASE "/kbs/v0/%s/%s%s%s", plugin, path, query[0] ? "?" : "", query);
	CHECK(view_eq(buf_view(&url), buf_view(&want)));
	/* Canonical is a fixed point. */
	CHECK_INT(uri_parse(&again, view_str(u.text), &e), 0);
	CHECK(strcmp(again.text, u.text) == 0);
}

static void join(struct buf *out, const struct json *parts)
{
	for (const struct json *s = json_first(parts); s; s = json_next(s))
		buf_printf(out, "%s%s", out->len ? "/" : "", json_string(s));
}

TEST(uri_parse__shared_vectors__hold)
{
	cleanup_json struct json *doc =
		vector_json(test_shared("trustee/derived/resource-uris.json"));
	int good = 0, refused = 0;
	struct uri u;
	struct err e;

	for (const struct json *c = json_first(json_get(doc, "cases")); c; c = json_next(c)) {
		const char *text = vector_str(c, "uri"), *query = json_string(json_get(c, "query"));
		cleanup_buf struct buf path = BUF_MAX(URI_MAX), url = BUF_MAX(4 * URI_MAX);

		if (json_is_true(json_get(c, "error"))) {
			CHECK_INT(uri_parse(&u, view_str(text), &e), -ERR_USAGE);
			CHECK_INT(e.code, CODE_KBS_URI);
			refused++;
			continue;
		}
		join(&path, json_get(c, "path"));
		check_one(text, vector_str(c, "plugin"), vector_str(c, "host"), buf_str(&path),
			  query ? query : "", vector_str(c, "canonical"));
		CHECK_INT(uri_parse(&u, view_str(text), &e), 0);
		uri_request_url(&url, BASE, &u);
		CHECK(view_is(buf_view(&url), vector_str(c, "request_url")));
		good++;
	}
	CHECK_INT(good, 6);
	CHECK_INT(refused, 4);
}

TEST(uri_parse__hosts_plugins_queries__are_cut_right)
{
	check_one("kbs:///a", "resource", "", "a", "", "kbs:///a");
	check_one("kbs:///default/key/1", "resource", "", "default/key/1", "", "kbs:///default/key/1");
	check_one("kbs://[::1]:8080/a/b/c", "resource", "[::1]:8080", "a/b/c", "",
		  "kbs://[::1]:8080/a/b/c");
	check_one("kbs://[2001:db8::192.0.2.1]/a", "resource", "[2001:db8::192.0.2.1]", "a", "",
		  "kbs://[2001:db8::192.0.2.1]/a");
	check_one("kbs://Host.Example/a", "resource", "Host.Example", "a", "", "kbs://Host.Example/a");
	check_one("kbs://192.0.2.1:65535/a", "resource", "192.0.2.1:65535", "a", "",
		  "kbs://192.0.2.1:65535/a");
	check_one("kbs+resource://h:1/a?", "resource", "h:1", "a", "", "kbs://h:1/a");
	check_one("kbs+a.b-2:///x?y=/?:@%41#frag?ment", "a.b-2", "", "x", "y=/?:@%41",
		  "kbs+a.b-2:///x?y=/?:@%41");
	check_one("kbs:///a.b/-c_/~d..e/%41", "resource", "", "a.b/-c_/~d..e/%41", "",
		  "kbs:///a.b/-c_/~d..e/%41");
}

/*
 * The first group is what upstream accepts and its URL parser rewrites or what it repairs; here
 * they are refusals. The second is refused by both.
 */
TEST(uri_parse__what_would_be_rewritten_or_is_malformed__is_refused)
{
	static const char *const rows[] = {
		"KBS:///a/b/c", "Kbs:///a", "kbs+PKCS11:///a", "kbs:/a/b/c", "kbs:///a/./b",
		"kbs:///a/../b", "kbs:///..", "kbs:///a/%2e/b", "kbs:///a/.%2E/b", "kbs:///a/%2e%2e",
		"kbs:///a b", "kbs:///a\"b", "kbs:///a<b>", "kbs:///a`b", "kbs:///a{b}", "kbs:///a^b",
		"kbs:///a\\b", "kbs:///a|b", "kbs:///a\tb", "kbs:///a\nb", "kbs:///a\x7f", "kbs:///a\x01",
		"kbs:///\xc3\xa4", "kbs:///a?x y", "kbs:///a?\"", "kbs:///a?<", "kbs:///a#\n", "kbs:///a# ",
		" kbs:///a", "kbs:///a ", "\nkbs:///a", "kbs:///a\n", "kbs:////a", "kbs:///a/", "kbs:///a//b",
		"kbs:///", "kbs://h/", "kbs://h:080/a", "kbs://h:/a", "kbs+..:///a/b", "kbs+.:///a",
		"kbs+-x:///a", "kbs://u@h/a", "kbs://u:p@h/a",
		"", "kbs", "kbs:", "kbs:/", "kbs://", "kbs://h", "kbs://h?q", "kbs://?q", "kbs:///?q",
		"kbs+://a/b", "kbsx:///a", "kbs-x:///a", "http://h/a", "resource:///a", "/a/b/c", "a/b/c",
		"kbs+a_b:///a", "kbs+a+b:///a", "kbs://h:65536/a", "kbs://h:123456/a", "kbs://h:8x/a",
		"kbs://h:1:2/a", "kbs://:80/a", "kbs://[::1/a", "kbs://::1/a", "kbs://[]/a", "kbs://[::g]/a",
		"kbs://[::1]x/a", "kbs://[::1]:/a", "kbs://[1.2.3.4]/a", "kbs://h%41/a", "kbs://h]/a",
		"kbs:///a%", "kbs:///a%4", "kbs:///a%4g", "kbs:///a?%", "kbs:///a?%zz", "kbs:///a[0]",
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct uri u = { .path = "untouched" };
		struct err e = { 0 };

		if (uri_parse(&u, view_str(rows[i]), &e) != -ERR_USAGE)
			test_fail(__FILE__, __LINE__, "row %zu was accepted: %s", i, rows[i]);
		CHECK_INT(e.code, CODE_KBS_URI);
		CHECK(strcmp(u.path, "untouched") == 0);
		for (const char *p = e.msg; *p; p++)
			CHECK(*p >= ' ' && *p < 0x7f);
	}
}

TEST(uri_parse__nul_inside__is_refused)
{
	static const uint8_t text[] = "kbs:///a\0b", host[] = "kbs://h\0/a", plugin[] = "kbs+x\0:///a",
			     fragment[] = "kbs:///a#\0", address[] = "kbs://[::1\0]/a";
	struct uri u;
	struct err e;

	CHECK_ERR(uri_parse(&u, (struct view){ text, sizeof text - 1 }, &e), ERR_USAGE, e, "path");
	CHECK_ERR(uri_parse(&u, (struct view){ host, sizeof host - 1 }, &e), ERR_USAGE, e, "host");
	CHECK_ERR(uri_parse(&u, (struct view){ address, sizeof address - 1 }, &e), ERR_USAGE, e, "host");
	CHECK_ERR(uri_parse(&u, (struct view){ plugin, sizeof plugin - 1 }, &e), ERR_USAGE, e, "plugin");
	CHECK_ERR(uri_parse(&u, (struct view){ fragment, sizeof fragment - 1 }, &e), ERR_USAGE, e,
		  "fragment");
}

static void filled(char *out, const char *head, size_t n, const char *tail)
{
	size_t at = strlen(head);

	memcpy(out, head, at);
	for (; n > 0; n--)
		out[at++] = 'x';
	memcpy(out + at, tail, strlen(tail) + 1);
}

TEST(uri_parse__lengths__at_and_over_each_cap)
{
	static const struct {
		const char *head;
		size_t n;
		const char *tail;
		bool good;
	} rows[] = {
		{ "kbs:///", URI_MAX - 7, "", true },       { "kbs:///", URI_MAX - 6, "", false },
		{ "kbs+", 64, ":///a", true },              { "kbs+", 65, ":///a", false },
		{ "kbs://", 255, "/a", true },              { "kbs://", 256, "/a", false },
		{ "kbs:///a?", URI_MAX - 9, "", true },     { "kbs:///a?", URI_MAX - 8, "", false },
		{ "kbs:///a#", URI_MAX - 9, "", true },     { "kbs:///a#", URI_MAX - 8, "", false },
		{ "kbs://[::", 60, "]/a", false },
	};
	char text[2 * URI_MAX];
	struct uri u;
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		filled(text, rows[i].head, rows[i].n, rows[i].tail);
		if ((uri_parse(&u, view_str(text), &e) == 0) != rows[i].good)
			test_fail(__FILE__, __LINE__, "row %zu", i);
	}
}
