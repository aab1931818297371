/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/process.h"
#include "test/test.h"

static const char config[] =
	"{\"root\":{\"path\":\"/r\"},\"process\":{\"terminal\":true,\"user\":{\"uid\":1,\"gid\":2},"
	"\"args\":[\"old\"],\"env\":[\"A=sealed.x\",\"B=2\"],\"cwd\":\"/\",\"rlimits\":[{\"hard\":18446744073709551615}],"
	"\"capabilities\":{\"bounding\":[\"CAP_KILL\"],\"effective\":[],\"permitted\":[\"CAP_KILL\"],"
	"\"ambient\":[\"CAP_KILL\"]}},\"hostname\":\"h\"}";

static int build(struct buf *out, const char *text, const struct process_options *o, struct err *e)
{
	cleanup_json struct json *doc = NULL;

	CHECK_INT(json_parse(&doc, view_str(text), 65536, NULL), 0);
	return process_build(out, node_root(view_str(text), doc), o, e);
}

static void check(const char *text, const struct process_options *o, const char *want)
{
	cleanup_buf struct buf out = BUF_MAX(65536);
	cleanup_json struct json *doc = NULL;
	struct err e = { 0 };

	if (build(&out, text, o, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s", e.msg);
	if (strcmp(buf_str(&out), want) != 0)
		test_fail(__FILE__, __LINE__, "got  %s\n     want %s", buf_str(&out), want);
	CHECK_INT(json_parse(&doc, buf_view(&out), 65536, NULL), 0);
}

static char cat[] = "cat", odd[] = "a\"b", *args[] = { cat, odd, NULL };

TEST(process_build__arguments_only__keeps_the_rest_and_has_no_terminal)
{
	struct process_options o = { .args = args, .n_args = 2, .no_new_privs = -1 };

	check(config, &o,
	      "{\"terminal\":false,\"user\":{\"uid\":1,\"gid\":2},\"args\":[\"cat\",\"a\\\"b\"],"
	      "\"env\":[\"A=sealed.x\",\"B=2\"],\"cwd\":\"/\",\"rlimits\":[{\"hard\":18446744073709551615}],"
	      "\"capabilities\":{\"bounding\":[\"CAP_KILL\"],\"effective\":[],\"permitted\":[\"CAP_KILL\"],"
	      "\"ambient\":[\"CAP_KILL\"]}}");
}

TEST(process_build__every_option__is_applied)
{
	struct process_options o = {
		.args = args, .n_args = 1, .env = { "C=sealed.y", "D=\t" }, .n_env = 2,
		.caps = { "CAP_CHOWN", "CAP_FOWNER" }, .n_caps = 2, .gids = { 7, 4294967295 }, .n_gids = 2,
		.cwd = "/tmp", .user = "10:20", .apparmor = "prof", .label = "lab", .tty = true,
		.no_new_privs = 1,
	};

	check(config, &o,
	      "{\"apparmorProfile\":\"prof\",\"selinuxLabel\":\"lab\",\"noNewPrivileges\":true,"
	      "\"terminal\":true,\"user\":{\"additionalGids\":[7,4294967295],\"uid\":10,\"gid\":20},"
	      "\"args\":[\"cat\"],\"env\":[\"A=sealed.x\",\"B=2\",\"C=sealed.y\",\"D=\\t\"],\"cwd\":\"/tmp\","
	      "\"rlimits\":[{\"hard\":18446744073709551615}],"
	      "\"capabilities\":{\"bounding\":[\"CAP_KILL\",\"CAP_CHOWN\",\"CAP_FOWNER\"],"
	      "\"effective\":[\"CAP_CHOWN\",\"CAP_FOWNER\"],"
	      "\"permitted\":[\"CAP_KILL\",\"CAP_CHOWN\",\"CAP_FOWNER\"],\"ambient\":[\"CAP_KILL\"]}}");
}

TEST(process_build__ambient_capability__needs_inheritable_ones)
{
	struct process_options o = { .n_args = 0, .caps = { "C" }, .n_caps = 1, .no_new_privs = -1 };

	check("{\"process\":{\"args\":[],\"capabilities\":{\"inheritable\":[\"I\"]}}}", &o,
	      "{\"terminal\":false,\"args\":[],\"capabilities\":{\"bounding\":[\"C\"],\"effective\":[\"C\"],"
	      "\"permitted\":[\"C\"],\"ambient\":[\"C\"],\"inheritable\":[\"I\"]}}");
}

TEST(process_build__members_that_are_missing_or_empty__are_made)
{
	struct process_options o = { .args = args, .n_args = 1, .env = { "A=1" }, .n_env = 1,
				     .caps = { "C" }, .n_caps = 1, .gids = { 5 }, .n_gids = 1,
				     .user = "3", .no_new_privs = 0 };

	check("{\"process\":{\"cwd\":\"/\",\"user\":{},\"capabilities\":null,\"env\":null}}", &o,
	      "{\"args\":[\"cat\"],\"terminal\":false,\"noNewPrivileges\":false,\"cwd\":\"/\","
	      "\"user\":{\"uid\":3,\"gid\":0,\"additionalGids\":[5]},"
	      "\"capabilities\":{\"bounding\":[\"C\"],\"effective\":[\"C\"],\"permitted\":[\"C\"]},"
	      "\"env\":[\"A=1\"]}");
}

TEST(process_build__option_that_is_no_number_or_text__is_a_usage_error)
{
	static const char *const users[] = { "root", "1:", ":", "1:2:3", "4294967296", "-1", "1 ",
					     "99999999999999999999" };
	cleanup_buf struct buf out = BUF_MAX(65536);
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(users); i++) {
		struct process_options o = { .user = users[i], .no_new_privs = -1 };

		CHECK_ERR(build(&out, config, &o, &e), ERR_USAGE, e, "");
	}
	CHECK_ERR(build(&out, config, &(struct process_options){ .cwd = "/\xff", .no_new_privs = -1 }, &e),
		  ERR_USAGE, e, "UTF-8");
	CHECK_ERR(build(&out, config, &(struct process_options){ .env = { "A=\xff" }, .n_env = 1 }, &e),
		  ERR_USAGE, e, "UTF-8");
	CHECK_INT(out.len, 0);
}

TEST(process_build__config_without_a_process__is_refused)
{
	static const char *const texts[] = { "{}", "{\"process\":null}", "{\"process\":{}}",
					     "{\"process\":[]}", "{\"Process\":{\"args\":[]}}",
					     "{\"process\":{\"env\":\"x\",\"user\":[]}}" };
	cleanup_buf struct buf out = BUF_MAX(65536);
	struct process_options o = { .env = { "A=1" }, .n_env = 1, .user = "1", .no_new_privs = -1 };
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		CHECK_ERR(build(&out, texts[i], &o, &e), ERR_FORMAT, e, "process");
		CHECK_INT(e.code, CODE_OCI_CONFIG);
	}
}
