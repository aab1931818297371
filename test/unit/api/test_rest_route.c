/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/rest_query.h"
#include "agent/api/rest_route.h"
#include "agent/base/enc.h"
#include "agent/base/fs.h"
#include "agent/base/json.h"
#include "test/test.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static struct rest_route routed(unsigned features, const char *method, const char *target)
{
	struct rest_route r;

	rest_route(&r, features, method, view_str(target));
	return r;
}

static void check_answer(unsigned features, const char *method, const char *target, int status,
			 const char *text)
{
	struct rest_route r = routed(features, method, target);

	if (r.action != REST_ANSWER || r.status != status || strcmp(r.text, text) != 0)
		test_fail(__FILE__, __LINE__, "%s %s: action %d status %d %s, want %d %s", method,
			  target, (int)r.action, r.status, r.text ? r.text : "-", status, text);
	rest_route_done(&r);
}

static void check_call(unsigned features, const char *method, const char *target,
		       enum rest_action action, struct view arg)
{
	struct rest_route r = routed(features, method, target);

	if (r.action != action || !view_eq(buf_view(&r.arg), arg))
		test_fail(__FILE__, __LINE__, "%s %s: action %d status %d arg \"%.*s\"", method,
			  target, (int)r.action, r.status, VIEW_ARG(buf_view(&r.arg)));
	rest_route_done(&r);
}

#define ARG(s) ((struct view){ (const uint8_t *)(s), sizeof(s) - 1 })

/* --- the shared cases -------------------------------------------------------------------- */

static const char *str(const struct json *c, const char *key)
{
	const char *s = json_string(json_get(c, key));

	return s ? s : "";
}

/* What a case says about the argument of the call behind it. */
static void check_case_arg(const struct json *c, const struct rest_route *r)
{
	const char *hex = str(c, "aa_runtime_data_hex"), *uri = str(c, "cdh_resource_path");
	uint8_t want[256];

	if (hex[0]) {
		CHECK_INT(r->arg.len, strlen(hex) / 2);
		CHECK_INT(enc_hex_decode(want, strlen(hex) / 2, view_str(hex), NULL), 0);
		CHECK(memcmp(r->arg.p, want, r->arg.len) == 0);
	}
	if (uri[0])
		CHECK(view_is(buf_view(&r->arg), uri));
}

TEST(rest_route__shared_cases__hold)
{
	cleanup_buf struct buf text = BUF_MAX(1 << 20);
	cleanup_json struct json *doc = NULL;
	int answers = 0, calls = 0;
	struct err e;

	CHECK_INT(fs_read(&text, test_shared("local/asr/cases.json"), 1 << 20, &e), 0);
	CHECK_INT(json_parse(&doc, buf_view(&text), text.len, &e), 0);
	for (const struct json *c = json_first(doc); c; c = json_next(c)) {
		struct rest_route r;
		unsigned features;
		int64_t status;

		CHECK_INT(rest_features_parse(&features, str(c, "features"), &e), 0);
		CHECK(json_integer(&status, json_get(c, "status")));
		r = routed(features, str(c, "method"), str(c, "path"));
		if (r.action == REST_ANSWER) {
			CHECK_INT(r.status, status);
			CHECK(strcmp(r.text, str(c, "body")) == 0);
			answers++;
		} else {
			/* The others succeed, fail at the backend, or are of a peer that is not
			 * local. */
			CHECK(status == 200 || status == 500 || status == 403);
			check_case_arg(c, &r);
			calls++;
		}
		rest_route_done(&r);
	}
	CHECK_INT(answers, 15);
	CHECK_INT(calls, 16);
}

/* --- paths ------------------------------------------------------------------------------- */

TEST(rest_route__paths_that_look_alike__are_nowhere)
{
	static const char *const targets[] = {
		"/",
		"//",
		"/aa",
		"/cdh",
		"/info/",
		"/INFO",
		"/Info",
		"//info",
		"/info%2f",
		"/%69nfo",
		"/cdh/",
		"/cdh/resource",
		"/cdh/resources/a/b/c",
		"/cdh/Resource/a/b/c",
		"/cdh//resource/a",
		"/aa/",
		"/aa//token?token_type=kbs",
		"/aa/token/?token_type=kbs",
		"/aa/%74oken?token_type=x",
		"/aa/Token?token_type=kbs",
		"/aa/tokens?token_type=kbs",
		"/./info",
		"/x/../info",
		"/x/cdh/resource/a/b/c",
		"/aa/token%3ftoken_type=kbs",
		"*",
		"info",
		"http://h",
		"http://",
		"https://127.0.0.1/info",
		"?",
		"?token_type=kbs",
		"/aa/evidence;runtime_data=x",
	};

	for (size_t i = 0; i < ARRAY_LEN(targets); i++)
		check_answer(REST_ALL, "GET", targets[i], 404, "URL NOT FOUND");
}

TEST(rest_route__feature_that_is_off__says_so_before_the_route_is_looked_at)
{
	static const char aa_off[] = "Attestation Feature Not Enabled",
			  cdh_off[] = "Resource Feature Not Enabled";

	check_answer(REST_RESOURCE, "GET", "/aa/", 404, aa_off);
	check_answer(REST_RESOURCE, "PUT", "/aa/nothing/at/all?x", 404, aa_off);
	check_answer(REST_RESOURCE, "POST", "/aa/aael", 404, aa_off);
	check_answer(REST_ATTESTATION, "GET", "/cdh/", 404, cdh_off);
	check_answer(REST_ATTESTATION, "GET", "/cdh/nothing", 404, cdh_off);
	/* Without a second slash it is no route of theirs. */
	check_answer(REST_RESOURCE, "GET", "/aa", 404, "URL NOT FOUND");
	check_answer(REST_ATTESTATION, "GET", "/cdh", 404, "URL NOT FOUND");
}

TEST(rest_route__methods__count_where_upstream_looks_at_them)
{
	static const char *const others[] = { "POST",    "PUT",   "DELETE", "HEAD",
					      "OPTIONS", "PATCH", "get",    "X" };

	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		check_answer(REST_ALL, others[i], "/info", 405, "Method Not Allowed");
		check_answer(REST_ALL, others[i], "/aa/token?token_type=kbs", 404, "URL NOT FOUND");
		check_answer(REST_ALL, others[i], "/aa/evidence?runtime_data=x", 404,
			     "URL NOT FOUND");
		check_answer(REST_ALL, others[i], "/aa/additional-evidence", 404, "URL NOT FOUND");
		check_call(REST_ALL, others[i], "/cdh/resource/a/b/c", REST_GET,
			   ARG("kbs:///a/b/c"));
	}
	check_answer(REST_ALL, "GET", "/aa/aael", 404, "URL NOT FOUND");
	check_answer(REST_ALL, "PUT", "/aa/aael", 404, "URL NOT FOUND");
	check_call(REST_ALL, "POST", "/aa/aael", REST_AAEL, ARG(""));
	check_call(REST_RESOURCE, "GET", "/info", REST_INFO, ARG(""));
	check_call(REST_RESOURCE, "GET", "/info?x=y", REST_INFO, ARG(""));
}

TEST(rest_route__resource__takes_the_rest_of_the_path_as_it_is)
{
	check_call(REST_RESOURCE, "GET", "/cdh/resource/a/b/c", REST_GET, ARG("kbs:///a/b/c"));
	check_call(REST_RESOURCE, "GET", "/cdh/resource/a/b/c?plugin=1&x", REST_GET,
		   ARG("kbs:///a/b/c"));
	check_call(REST_RESOURCE, "GET", "/cdh/resource/", REST_GET, ARG("kbs:///"));
	check_call(REST_RESOURCE, "GET", "/cdh/resource//a/", REST_GET, ARG("kbs:////a/"));
	check_call(REST_RESOURCE, "GET", "/cdh/resource/a%20b/../c", REST_GET,
		   ARG("kbs:///a%20b/../c"));
	check_call(REST_RESOURCE, "GET", "/cdh/resource/a/b/c#frag?x", REST_GET,
		   ARG("kbs:///a/b/c"));
	check_call(REST_RESOURCE, "GET", "http://127.0.0.1:8006/cdh/resource/a/b/c?q", REST_GET,
		   ARG("kbs:///a/b/c"));
	check_call(REST_RESOURCE, "GET", "/cdh/resource/\xc3\xa4/b/c", REST_GET,
		   ARG("kbs:///\xc3\xa4/b/c"));
}

/* --- queries ------------------------------------------------------------------------------- */

TEST(rest_route__query__is_form_decoded)
{
	static const struct {
		const char *query, *want;
	} rows[] = {
		{ "runtime_data=", "" },
		{ "runtime_data", "" },
		{ "runtime_data=a=b", "a=b" },
		{ "runtime_data=a&runtime_data=b", "b" },
		{ "runtime_data=a&x=1&runtime_data=", "" },
		{ "&&x&runtime_data=a&", "a" },
		{ "runtime%5Fdata=a", "a" },
		{ "runtime_data=a&Runtime_data=b", "a" },
		{ "runtime_data=a+b%2bc%2B", "a b+c+" },
		{ "runtime_data=%41%zz%4", "A%zz%4" },
		{ "runtime_data=%", "%" },
		{ "runtime_data=%%41", "%A" },
		{ "runtime_data=a;b?c", "a;b?c" },
		{ "runtime_data=%c3%a4", "\xc3\xa4" },
		{ "runtime_data=\xc3\xa4", "\xc3\xa4" },
		/* No UTF-8: one U+FFFD for each longest beginning of a character. */
		{ "runtime_data=%ff", "\xef\xbf\xbd" },
		{ "runtime_data=%c3%41", "\xef\xbf\xbd"
					 "A" },
		{ "runtime_data=%e1%80", "\xef\xbf\xbd" },
		{ "runtime_data=%e1%80%41", "\xef\xbf\xbd"
					    "A" },
		{ "runtime_data=%f1%80%80%41", "\xef\xbf\xbd"
					       "A" },
		{ "runtime_data=%f1%80%e1%80%c2%62%80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
							"b\xef\xbf\xbd" },
		{ "runtime_data=%ed%a0%80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "runtime_data=%c0%af", "\xef\xbf\xbd\xef\xbf\xbd" },
		{ "runtime_data=%f4%90%80%80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "runtime_data=%e0%80%80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "runtime_data=%f0%80", "\xef\xbf\xbd\xef\xbf\xbd" },
	};
	char target[256];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		(void)snprintf(target, sizeof target, "/aa/evidence?%s", rows[i].query);
		check_call(REST_ALL, "GET", target, REST_EVIDENCE, view_str(rows[i].want));
		(void)snprintf(target, sizeof target, "/aa/additional-evidence?%s", rows[i].query);
		check_call(REST_ATTESTATION, "GET", target, REST_ADDITIONAL,
			   view_str(rows[i].want));
	}
	check_call(REST_ALL, "GET", "/aa/evidence?runtime_data=a%00b", REST_EVIDENCE, ARG("a\0b"));
}

TEST(rest_route__encoding__is_base64url_without_padding_or_400)
{
	static const char *const bad[] = {
		"/aa/evidence?runtime_data=eHg=&encoding=base64",
		"/aa/evidence?runtime_data=e&encoding=base64",
		"/aa/evidence?runtime_data=eHh&encoding=base64",
		"/aa/evidence?runtime_data=+/+/&encoding=base64",
		"/aa/evidence?runtime_data=%2b%2f%2b%2f&encoding=base64",
		"/aa/evidence?runtime_data=eHh4&encoding=hex",
		"/aa/evidence?runtime_data=eHh4&encoding=",
		"/aa/evidence?runtime_data=eHh4&encoding",
		"/aa/evidence?runtime_data=eHh4&encoding=BASE64",
		"/aa/evidence?runtime_data=eHh4&encoding=base64&encoding=x",
		"/aa/evidence?encoding=base64",
		"/aa/additional-evidence?",
		"/aa/additional-evidence",
		"/aa/token?tokentype=kbs",
		"/aa/token?",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		check_answer(REST_ALL, "GET", bad[i], 400, "BAD REQUEST");
	check_call(REST_ALL, "GET", "/aa/evidence?encoding=base64&runtime_data=-_-_", REST_EVIDENCE,
		   ARG("\xfb\xff\xbf"));
	check_call(REST_ALL, "GET", "/aa/evidence?runtime_data=&encoding=base64", REST_EVIDENCE,
		   ARG(""));
	check_call(REST_ALL, "GET", "/aa/evidence?runtime_data=eHg&encoding=x&encoding=base64",
		   REST_EVIDENCE, ARG("xx"));
	check_call(REST_ALL, "GET", "/aa/token?token_type=", REST_TOKEN, ARG(""));
	check_call(REST_ALL, "GET", "/aa/token?token_type=nope&token_type=kbs", REST_TOKEN,
		   ARG("kbs"));
}

TEST(rest_query_get__absent__leaves_out_alone)
{
	cleanup_buf struct buf out = BUF_MAX(REST_VALUE_MAX);

	buf_puts(&out, "before");
	CHECK(!rest_query_get(&out, view_str("a=1&b=2"), "c"));
	CHECK(!rest_query_get(&out, (struct view){ 0 }, ""));
	CHECK(view_is(buf_view(&out), "before"));
	CHECK(rest_query_get(&out, view_str("a=1&b=2"), "b"));
	CHECK(view_is(buf_view(&out), "2"));
}

/* --- targets that are none ------------------------------------------------------------------- */

TEST(rest_route__target_with_bytes_of_no_target__400)
{
	static const char *const bad[] = { "",
					   "/info x",
					   "/info\t",
					   "/in\x7f"
					   "fo",
					   "/cdh/resource/\xff",
					   "/cdh/resource/\xc3",
					   "/cdh/resource/a\x01" };
	struct rest_route r;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		check_answer(REST_ALL, "GET", bad[i], 400, "BAD REQUEST");
	rest_route(&r, REST_ALL, "GET", ARG("/info\0"));
	CHECK_INT(r.status, 400);
	rest_route_done(&r);
}

TEST(rest_route__long_target__414_at_one_byte_over)
{
	static char target[REST_TARGET_MAX + 2];
	struct rest_route r;

	for (size_t i = 0; i < sizeof target - 1; i++)
		target[i] = 'a';
	memcpy(target, "/cdh/resource/", 14);
	check_answer(REST_ALL, "GET", target, 414, "URI Too Long");
	target[REST_TARGET_MAX] = '\0';
	r = routed(REST_ALL, "GET", target);
	CHECK_INT(r.action, REST_GET);
	CHECK_INT(r.arg.len, REST_TARGET_MAX - 14 + 7);
	rest_route_done(&r);
	/* The longest value there can be: each byte becomes three. */
	for (size_t i = 0; i < REST_TARGET_MAX; i += 2)
		memcpy(target + i, "\xc3\xa4", 2);
	memcpy(target, "/aa/evidence?runtime_data=", 26);
	r = routed(REST_ALL, "GET", target);
	CHECK_INT(r.action, REST_EVIDENCE);
	CHECK_INT(r.arg.len, REST_TARGET_MAX - 26);
	rest_route_done(&r);
}

/* --- peers --------------------------------------------------------------------------------- */

TEST(rest_peer_is_local__table)
{
	static const struct {
		const char *addr;
		bool local;
	} rows[] = {
		{ "127.0.0.1", true },
		{ "127.255.255.254", true },
		{ "126.255.255.255", false },
		{ "128.0.0.1", false },
		{ "10.0.0.1", false },
		{ "0.0.0.0", false },
		{ "::1", true },
		{ "::", false },
		{ "::ffff:127.0.0.1", false },
		{ "fe80::1", false },
		{ "::2", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sockaddr_in in = { .sin_family = AF_INET };
		struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
		bool v6 = strchr(rows[i].addr, ':') != NULL;
		const void *a = v6 ? (const void *)&in6 : &in;

		CHECK_INT(inet_pton(v6 ? AF_INET6 : AF_INET, rows[i].addr,
				    v6 ? (void *)&in6.sin6_addr : &in.sin_addr),
			  1);
		if (rest_peer_is_local(a) != rows[i].local)
			test_fail(__FILE__, __LINE__, "%s", rows[i].addr);
	}
	CHECK(!rest_peer_is_local(&(struct sockaddr){ .sa_family = AF_UNIX }));
	CHECK_INT(rest_forbidden.status, 403);
	CHECK(strcmp(rest_forbidden.text, "Forbidden") == 0);
}

/* --- bodies and answers ----------------------------------------------------------------------- */

TEST(rest_entry_parse__good__gives_the_three_strings)
{
	struct rest_entry entry;
	struct err e;

	CHECK_INT(rest_entry_parse(
			  &entry,
			  view_str(" {\"x\": [1, {}], \"content\":\"c\\n\\u00e4\",\"domain\":\"d\","
				   "\"operation\":\"\"}\n"),
			  &e),
		  0);
	CHECK(strcmp(entry.domain, "d") == 0);
	CHECK(strcmp(entry.operation, "") == 0);
	CHECK(strcmp(entry.content, "c\n\xc3\xa4") == 0);
	rest_entry_done(&entry);
	CHECK(!entry.doc && !entry.domain);
	rest_entry_done(&entry);
}

TEST(rest_entry_parse__malformed__is_an_error_and_out_untouched)
{
	static const struct {
		const char *body;
		enum err_kind kind;
		const char *words;
	} rows[] = {
		{ "", ERR_FORMAT, "" },
		{ "x", ERR_FORMAT, "" },
		{ "[]", ERR_FORMAT, "not a JSON object" },
		{ "\"d\"", ERR_FORMAT, "not a JSON object" },
		{ "{}", ERR_FORMAT, "domain" },
		{ "{\"domain\":\"d\"}", ERR_FORMAT, "operation" },
		{ "{\"domain\":\"d\",\"operation\":\"o\"}", ERR_FORMAT, "content" },
		{ "{\"domain\":1,\"operation\":\"o\",\"content\":\"c\"}", ERR_FORMAT, "domain" },
		{ "{\"domain\":\"d\",\"operation\":null,\"content\":\"c\"}", ERR_FORMAT,
		  "operation" },
		{ "{\"domain\":\"d\",\"operation\":\"o\",\"content\":\"c\\u0000\"}", ERR_FORMAT,
		  "" },
		{ "{\"domain\":\"d\",\"operation\":\"o\",\"content\":\"c\"} x", ERR_FORMAT, "" },
		{ "{\"domain\":\"d\",\"operation\":\"o\",\"content\":\"c\",\"domain\":\"e\"}",
		  ERR_FORMAT, "" },
		{ "{\"Domain\":\"d\",\"operation\":\"o\",\"content\":\"c\"}", ERR_FORMAT,
		  "domain" },
	};
	cleanup_buf struct buf long_body = BUF_MAX(REST_BODY_MAX + 64), text = BUF_MAX(4096);
	struct rest_entry entry = { .domain = "untouched" };
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		CHECK_ERR(rest_entry_parse(&entry, view_str(rows[i].body), &e), rows[i].kind, e,
			  rows[i].words);
	buf_puts(&long_body, "{\"domain\":\"d\",\"operation\":\"o\",\"content\":\"");
	while (long_body.len < REST_BODY_MAX)
		buf_putc(&long_body, 'c');
	buf_puts(&long_body, "\"}");
	CHECK_ERR(rest_entry_parse(&entry, buf_view(&long_body), &e), ERR_LIMIT, e, "");
	CHECK(strcmp(entry.domain, "untouched") == 0);
	rest_entry_refused(&text, &e);
	CHECK(view_starts(buf_view(&text), "Illegal AAEL eventry format: "));
}

TEST(rest_entry_result__texts)
{
	CHECK(strcmp(rest_entry_result(0), "{\"success\":\"true\"}") == 0);
	CHECK(strstr(rest_entry_result(1), "\"message\": \"The platform does not support") != NULL);
	CHECK(strstr(rest_entry_result(2), "does not enable eventlog recording\"}") != NULL);
	for (int64_t i = -1; i < 5; i += i == -1 ? 4 : 1)
		CHECK(strcmp(rest_entry_result(i), "{\"success\":\"false\",\"message\": "
						   "\"Unknown runtime measurement result\"}") == 0);
}

static void check_info(const struct rest_info *info, const char *want)
{
	cleanup_buf struct buf out = BUF_MAX(4096);

	rest_info_put(&out, info);
	if (!view_is(buf_view(&out), want))
		test_fail(__FILE__, __LINE__, "%s, want %s", buf_str(&out), want);
}

TEST(rest_info_put__members__as_upstream)
{
	check_info(&(struct rest_info){ .version = "v", .features = REST_RESOURCE },
		   "{\"version\":\"v\",\"feature\":\"resource\"}");
	check_info(&(struct rest_info){ .version = "v\"",
					.features = REST_ATTESTATION,
					.tee = "sample" },
		   "{\"version\":\"v\\\"\",\"tee\":\"sample\",\"feature\":\"attestation\"}");
	check_info(&(struct rest_info){ .version = "v",
					.features = REST_ALL,
					.tee = "tpm",
					.n_more = 2,
					.more = { "nvidia", "sampledevice" } },
		   "{\"version\":\"v\",\"tee\":\"tpm\",\"additional_tees\":[\"nvidia\","
		   "\"sampledevice\"],"
		   "\"feature\":\"all\"}");
}

TEST(rest_connect_failed__text__as_upstream)
{
	cleanup_buf struct buf out = BUF_MAX(4096);

	rest_connect_failed(&out, "CDH", "unix:///run/confidential-containers/cdh.sock");
	CHECK(view_is(buf_view(&out), "ttrpc connect to CDH addr: "
				      "unix:///run/confidential-containers/cdh.sock failed"));
}

TEST(rest_features__words)
{
	unsigned f = 42;
	struct err e;

	CHECK_INT(rest_features_parse(&f, "resource", &e), 0);
	CHECK_INT(f, REST_RESOURCE);
	CHECK_INT(rest_features_parse(&f, "attestation", &e), 0);
	CHECK_INT(f, REST_ATTESTATION);
	CHECK_INT(rest_features_parse(&f, "all", &e), 0);
	CHECK_INT(f, REST_ALL);
	CHECK_ERR(rest_features_parse(&f, "All", &e), ERR_USAGE, e, "resource, attestation, all");
	CHECK_ERR(rest_features_parse(&f, "", &e), ERR_USAGE, e, "unknown features");
	CHECK_INT(f, REST_ALL);
}
