/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/flatjson.h"
#include "test/test.h"

static const char *walk(const char *text, unsigned *members)
{
	struct view key, value;
	struct flatjson in;

	*members = 0;
	if (!flatjson_begin(&in, view_str(text)))
		return "begin";
	while (flatjson_next(&in, &key, &value))
		++*members;
	return flatjson_end(&in) ? "ok" : "end";
}

TEST(flatjson__well_formed__gives_every_member)
{
	static const struct {
		const char *text;
		unsigned members;
	} rows[] = {
		{ "{}", 0 },
		{ " { } ", 0 },
		{ "{\"a\":\"b\"}", 1 },
		{ "{ \"a\" : \"b\" ,\n\"c\":\"\" }\n", 2 },
		{ "{\"a\":\"\\\"}\"}", 1 },
	};
	unsigned n;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CHECK(strcmp(walk(rows[i].text, &n), "ok") == 0);
		CHECK_INT(n, rows[i].members);
	}
}

TEST(flatjson__malformed__does_not_reach_its_end)
{
	static const struct {
		const char *text, *where;
	} rows[] = {
		{ "", "begin" },
		{ "[]", "begin" },
		{ "{", "end" },
		{ "{\"a\":\"b\"", "end" },
		{ "{\"a\":\"b\",}", "end" },
		{ "{,\"a\":\"b\"}", "end" },
		{ "{\"a\":1}", "end" },
		{ "{\"a\":{}}", "end" },
		{ "{\"a\":\"b\"}x", "end" },
		{ "{\"a\":\"b\" \"c\":\"d\"}", "end" },
		{ "{\"a\"}", "end" },
		{ "{\"a\":\"b", "end" },
		{ "{\"a\":\"b\\", "end" },
		{ "{\"a\":\"\x01\"}", "end" },
		{ "{a:\"b\"}", "end" },
		{ "{}{}", "end" },
	};
	unsigned n;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (strcmp(walk(rows[i].text, &n), rows[i].where) != 0)
			test_fail(__FILE__, __LINE__, "row %zu: %s", i, rows[i].text);
	}
}
