/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/json.h"
#include "mounts/node.h"
#include "mounts/span.h"
#include "test/test.h"

static struct view at(struct view text, size_t from)
{
	return (struct view){ text.p + from, span_len(text, from) };
}

TEST(span__children_of_an_object__are_its_values)
{
	struct view t = view_str(" {\"a\" : 1 , \"b\":[1,{\"x\":2}],\"c\" :\"s\\\"],}\", \"d\":{} , \"e\":-1e5}");
	const char *want[] = { "1", "[1,{\"x\":2}]", "\"s\\\"],}\"", "{}", "-1e5" };
	size_t v = 0, i = 0;

	CHECK_INT(span_root(t), 1);
	CHECK(span_first(&v, t, span_root(t)));
	do {
		CHECK(i < ARRAY_LEN(want) && view_is(at(t, v), want[i]));
		i++;
	} while (span_next(&v, t));
	CHECK_INT(i, ARRAY_LEN(want));
}

TEST(span__array_of_strings__is_not_taken_for_keys)
{
	struct view t = view_str("[\"a\",\"b:\" , \"\" ]");
	size_t v = 0;

	CHECK(span_first(&v, t, 0));
	CHECK(view_is(at(t, v), "\"a\""));
	CHECK(span_next(&v, t));
	CHECK(view_is(at(t, v), "\"b:\""));
	CHECK(span_next(&v, t));
	CHECK(view_is(at(t, v), "\"\""));
	CHECK(!span_next(&v, t));
	CHECK(view_is(at(t, v), "\"\""));
}

TEST(span_first__empty_or_no_container__is_false)
{
	const char *none[] = { "{}", "[ ]", "1", "\"x\"", "", "{" };
	size_t v = 77;

	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		CHECK(!span_first(&v, view_str(none[i]), 0));
	CHECK_INT(v, 77);
}

TEST(span__text_cut_anywhere__stays_within)
{
	struct view t = view_str("{\"a\":[\"x\\\\\",{\"b\":[[]]}],\"c\":\"\\\"\"}");

	for (size_t n = 0; n <= t.len; n++) {
		struct view cut = { t.p, n };

		for (size_t from = 0; from <= n; from++) {
			size_t v = from;

			CHECK(span_len(cut, from) <= n - from);
			if (span_first(&v, cut, from))
				CHECK(v <= n);
			if (v <= n && span_next(&v, cut))
				CHECK(v <= n);
		}
	}
}

static struct node root_of(struct json **doc, const char *text)
{
	CHECK_INT(json_parse(doc, view_str(text), 4096, NULL), 0);
	return node_root(view_str(text), *doc);
}

TEST(node_get__member__has_value_and_place)
{
	cleanup_json struct json *doc = NULL;
	struct node root = root_of(&doc, "{\"x\":0,\"process\":{\"env\":[1,2]},\"y\":0}"), p, env, n;

	CHECK_INT(node_get(&p, root, "process", NULL), 0);
	CHECK_INT(node_get(&env, p, "env", NULL), 0);
	CHECK(view_is(at(env.text, env.at), "[1,2]"));
	CHECK(node_first(&n, env));
	CHECK(node_next(&n));
	CHECK(view_is(at(n.text, n.at), "2"));
	CHECK(!node_next(&n));
	CHECK_INT(node_get(&n, root, "nothing", NULL), 0);
	CHECK(n.v == NULL);
	/* Of what is not there, nothing is there either. */
	CHECK_INT(node_get(&n, n, "more", NULL), 0);
	CHECK(n.v == NULL);
	CHECK(!node_first(&n, n));
}

TEST(node_get__escaped_key__is_the_same_member)
{
	cleanup_json struct json *doc = NULL;
	struct node root = root_of(&doc, "{\"pro\\u0063ess\":5}"), p;

	CHECK_INT(node_get(&p, root, "process", NULL), 0);
	CHECK(p.v && view_is(at(p.text, p.at), "5"));
}

/* runc would take each of these for the wanted member. */
TEST(node_get__name_equal_but_for_case__is_an_error)
{
	const char *texts[] = { "{\"Process\":1}", "{\"process\":1,\"PROCESS\":2}",
				"{\"proce\xc5\xbfs\":1}", "{\"proces\\u017f\":1}" };
	struct node n;
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		cleanup_json struct json *doc = NULL;
		struct node root = root_of(&doc, texts[i]);

		CHECK_ERR(node_get(&n, root, "process", &e), ERR_FORMAT, e, "beside the name");
	}
}

TEST(node_get__kelvin_sign__is_a_k)
{
	cleanup_json struct json *doc = NULL;
	struct node root = root_of(&doc, "{\"hoo\xe2\x84\xaas\":1}"), n;
	struct err e;

	CHECK_ERR(node_get(&n, root, "hooks", &e), ERR_FORMAT, e, "beside the name");
}

TEST(node_get__longer_or_shorter_name__is_another)
{
	cleanup_json struct json *doc = NULL;
	struct node root = root_of(&doc, "{\"proces\":1,\"processs\":2,\"\":3}"), n;

	CHECK_INT(node_get(&n, root, "process", NULL), 0);
	CHECK(n.v == NULL);
}
