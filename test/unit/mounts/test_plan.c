/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/bundle.h"
#include "mounts/plan.h"
#include "test/unit/mounts/tmpdir.h"

/* A config as text, read into a plan. */
struct fixture {
	struct json *doc;
	struct view text;
	struct plan plan;
	struct err e;
};

#define cleanup_fixture __attribute__((cleanup(fixture_done)))

static void fixture_done(struct fixture *f)
{
	plan_done(&f->plan);
	json_free(f->doc);
}

static int read_config(struct fixture *f, const char *text)
{
	f->text = view_str(text);
	CHECK_INT(json_parse(&f->doc, f->text, 1 << 20, &f->e), 0);
	return plan_config(&f->plan, node_root(f->text, f->doc), "/bundle", &f->e);
}

/* Unseals "sealed.X" to "X"; "sealed.fail…" fails; "sealed.nul", "sealed.latin1" give such bytes. */
static int unseal(void *ctx, struct plan_request *req, size_t n, size_t *failed, struct err *e)
{
	char *names = ctx;

	for (size_t i = 0; i < n; i++) {
		struct view body = { req[i].sealed.p + 7, req[i].sealed.len - 7 };

		CHECK(view_starts(req[i].sealed, "sealed."));
		if (names) {
			size_t k = strlen(names);

			(void)snprintf(names + k, 4096 - k, "%s;", req[i].name ? req[i].name : "-");
		}
		if (view_starts(body, "fail")) {
			*failed = i;
			return err_code(e, CODE_KBS_POLICY_DENIED, "policy says no");
		}
		if (view_is(body, "nul"))
			body = (struct view){ (const uint8_t *)"a\0b", 3 };
		if (view_is(body, "latin1"))
			body = view_str("\xe9");
		if (view_is(body, "empty"))
			body = (struct view){ 0 };
		CHECK_INT(secret_alloc(req[i].out, body.len + 1, NULL), 0);
		CHECK_INT(secret_append(req[i].out, body.p, body.len, NULL), 0);
	}
	return 0;
}

/* The config as the runtime gets it, good until the next call. */
static const char *result(struct fixture *f, int shadow, bool plain)
{
	int fd = openat(shadow, "out", O_WRONLY | O_CREAT | O_TRUNC, 0600);

	CHECK(fd >= 0);
	CHECK_INT(edits_write(fd, &f->plan.edits, f->text, plain, NULL), 0);
	CHECK(close(fd) == 0);
	return tmpdir_get(shadow, "out");
}

static const struct plan_rules no_rules = { NULL, 0 };

TEST(plan__config__changes_only_what_it_must)
{
	cleanup_fixture struct fixture f = { 0 };
	int dir = tmpdir_make();
	const char *in = "{ \"big\":18446744073709551615, \"root\":{\"path\" : \"rootfs\"},\n"
			 "\"process\":{\"env\":[\"A=1\",\"S=sealed.x\\\"y\", \"B=2\"],\"args\":[\"sh\"]},\n"
			 "\"f\": 1.50e+3, \"mounts\":[{\"destination\":\"/p\",\"type\":\"proc\",\"source\":\"proc\"},"
			 "{\"destination\":\"/d\",\"source\":\"d\",\"options\":[\"rbind\"]}]}";

	CHECK_INT(read_config(&f, in), 0);
	CHECK_INT(f.plan.n_env, 1);
	CHECK_INT(f.plan.env[0].index, 1);
	CHECK(strcmp(f.plan.env[0].name, "S") == 0);
	CHECK_INT(plan_files(&f.plan, &no_rules, dir, NULL), 0);
	CHECK_INT(plan_unseal(&f.plan, unseal, NULL, NULL), 0);
	CHECK_INT(plan_place(&f.plan, dir, "/shadow", NULL), 0);
	CHECK(strcmp(result(&f, dir, true),
		     "{ \"big\":18446744073709551615, \"root\":{\"path\" : \"/bundle/rootfs\"},\n"
		     "\"process\":{\"env\":[\"A=1\",\"S=x\\\"y\", \"B=2\"],\"args\":[\"sh\"]},\n"
		     "\"f\": 1.50e+3, \"mounts\":[{\"destination\":\"/p\",\"type\":\"proc\",\"source\":\"proc\"},"
		     "{\"destination\":\"/d\",\"source\":\"/bundle/d\",\"options\":[\"rbind\"]}]}") == 0);
	/* The form that stays has the sealed value and the absolute paths. */
	CHECK(strstr(result(&f, dir, false), "\"S=sealed.x\\\"y\"") != NULL);
	CHECK(strstr(result(&f, dir, false), "\"/bundle/rootfs\"") != NULL);
}

TEST(plan__nothing_to_change__is_the_same_bytes)
{
	cleanup_fixture struct fixture f = { 0 };
	int dir = tmpdir_make();
	const char *in = "{\"root\":{\"path\":\"/abs\"},\"process\":{\"env\":[\"S=unsealed.x\",\"sealed.y\"]}}";

	CHECK_INT(read_config(&f, in), 0);
	CHECK(!plan_has_secrets(&f.plan));
	CHECK_INT(plan_place(&f.plan, dir, "/shadow", NULL), 0);
	CHECK(strcmp(result(&f, dir, true), in) == 0);
}

TEST(plan_config__sealed_where_everybody_sees_it__is_refused_by_place)
{
	static const struct {
		const char *text, *place;
	} rows[] = {
		{ "{\"process\":{\"args\":[\"app\",\"sealed.a.b.c\"]}}", "process.args[1]" },
		{ "{\"process\":{\"args\":[\"--t=sealed.a\"]}}", "process.args[0]" },
		{ "{\"hooks\":{\"prestart\":[{\"path\":\"/x\",\"env\":[\"A=sealed.a\"]}]}}",
		  "hooks.prestart[0].env[0]" },
		{ "{\"hooks\":{\"poststop\":[{\"path\":\"/x\"},{\"args\":[\"x\",\"y\",\"sealed.a\"]}]}}",
		  "hooks.poststop[1].args[2]" },
		{ "{\"hooks\":{\"createContainer\":[{\"env\":[\"sealed.a\"]}]}}",
		  "hooks.createContainer[0].env[0]" },
		{ "{\"hooks\":{\"createRuntime\":[{\"env\":[\"A=sealed.a\"]}]}}",
		  "hooks.createRuntime[0].env[0]" },
		{ "{\"hooks\":{\"startContainer\":[{\"env\":[\"A=sealed.a\"]}]}}",
		  "hooks.startContainer[0].env[0]" },
		{ "{\"hooks\":{\"poststart\":[{\"env\":[\"A=sealed.a\"]}]}}", "hooks.poststart[0].env[0]" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_fixture struct fixture f = { 0 };

		CHECK_ERR(read_config(&f, rows[i].text), ERR_DENIED, f.e, rows[i].place);
		CHECK_INT(f.e.code, CODE_OCI_SEALED_ARGS);
		CHECK(strcmp(f.plan.place, rows[i].place) == 0);
		CHECK(!strstr(f.e.msg, "sealed.a"));
	}
}

TEST(plan_config__name_that_runc_folds__is_refused)
{
	static const char *const texts[] = {
		"{\"Process\":{}}",
		"{\"process\":{\"Env\":[\"A=sealed.a\"]}}",
		"{\"process\":{\"ARGS\":[]}}",
		"{\"Mounts\":[]}",
		"{\"mounts\":[{\"Source\":\"x\"}]}",
		"{\"mounts\":[{\"destination\":\"/x\",\"Options\":[\"bind\"]}]}",
		"{\"hooks\":{\"preStart\":[]}}",
		"{\"Root\":{}}",
		"{\"root\":{\"Path\":\"x\"}}",
		"{\"Annotations\":{}}",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		cleanup_fixture struct fixture f = { 0 };

		CHECK_ERR(read_config(&f, texts[i]), ERR_FORMAT, f.e, "beside the name");
		CHECK_INT(f.e.code, CODE_OCI_CONFIG);
	}
}

TEST(plan_config__members_of_odd_types__are_the_runtimes_to_refuse)
{
	static const char *const texts[] = {
		"{}",
		"{\"process\":null,\"mounts\":null,\"hooks\":null,\"root\":null}",
		"{\"process\":[],\"mounts\":{},\"hooks\":[],\"root\":\"x\"}",
		"{\"process\":{\"env\":{\"a\":\"A=sealed.x\"},\"args\":\"sealed.x\"}}",
		"{\"process\":{\"env\":[1,null,[\"A=sealed.x\"]]}}",
		"{\"mounts\":[null,1,\"x\",{\"source\":5,\"options\":\"bind\"}]}",
		"{\"hooks\":{\"prestart\":{}}}",
		"{\"root\":{\"path\":7}}",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		cleanup_fixture struct fixture f = { 0 };

		(void)read_config(&f, texts[i]);
		CHECK(f.e.code != CODE_INTERNAL_BUG);
	}
}

TEST(plan_unseal__refused_secret__names_its_place_and_fails)
{
	cleanup_fixture struct fixture f = { 0 };

	CHECK_INT(read_config(&f, "{\"process\":{\"env\":[\"A=1\",\"B=sealed.ok\",\"C=sealed.fail\"]}}"), 0);
	CHECK_ERR(plan_unseal(&f.plan, unseal, NULL, &f.e), ERR_DENIED, f.e, "policy says no");
	CHECK_INT(f.e.code, CODE_OCI_UNSEAL);
	CHECK(strcmp(f.plan.place, "process.env[2]") == 0);
}

TEST(plan_unseal__plaintext_that_is_no_text__is_refused_for_env)
{
	static const char *const values[] = { "nul", "latin1" };
	char text[128];

	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		cleanup_fixture struct fixture f = { 0 };

		(void)snprintf(text, sizeof text, "{\"process\":{\"env\":[\"A=sealed.%s\"]}}", values[i]);
		CHECK_INT(read_config(&f, text), 0);
		CHECK_ERR(plan_unseal(&f.plan, unseal, NULL, &f.e), ERR_FORMAT, f.e, "it ");
		CHECK_INT(f.e.code, CODE_OCI_PLAINTEXT_ENV);
		CHECK(strcmp(f.plan.place, "process.env[0]") == 0);
	}
}

static int unseal_long(void *ctx, struct plan_request *req, size_t n, size_t *failed, struct err *e)
{
	size_t len = *(size_t *)ctx;

	(void)failed;
	(void)e;
	for (size_t i = 0; i < n; i++) {
		CHECK_INT(secret_alloc(req[i].out, len + 1, NULL), 0);
		for (size_t k = 0; k < len; k++)
			CHECK_INT(secret_append(req[i].out, "x", 1, NULL), 0);
	}
	return 0;
}

TEST(plan_unseal__longer_than_execve_takes__is_refused)
{
	/* "A=" + value + NUL is MAX_ARG_STRLEN at most. */
	size_t len = PLAN_ENV_MAX - 1 - 2;

	for (int over = 0; over < 2; over++, len++) {
		cleanup_fixture struct fixture f = { 0 };

		CHECK_INT(read_config(&f, "{\"process\":{\"env\":[\"A=sealed.x\"]}}"), 0);
		if (!over)
			CHECK_INT(plan_unseal(&f.plan, unseal_long, &len, &f.e), 0);
		else
			CHECK_ERR(plan_unseal(&f.plan, unseal_long, &len, &f.e), ERR_FORMAT, f.e,
				  "131071 bytes");
	}
}

TEST(plan_unseal__empty_value__is_the_name_alone)
{
	cleanup_fixture struct fixture f = { 0 };
	int dir = tmpdir_make();

	CHECK_INT(read_config(&f, "{\"process\":{\"env\":[\"A=sealed.empty\"]}}"), 0);
	CHECK_INT(plan_unseal(&f.plan, unseal, NULL, NULL), 0);
	CHECK_INT(plan_place(&f.plan, dir, "/s", NULL), 0);
	CHECK(strcmp(result(&f, dir, true), "{\"process\":{\"env\":[\"A=\"]}}") == 0);
}

/* --- files --- */

static const char *config_with(const char *mounts)
{
	static char text[8192];

	(void)snprintf(text, sizeof text, "{\"process\":{},\"mounts\":[%s]}", mounts);
	return text;
}

static const char *bind(const char *source, const char *destination)
{
	static char text[4][1024];
	static unsigned at;

	at = (at + 1) % 4;
	(void)snprintf(text[at], sizeof text[at],
		       "{\"destination\":\"%s\",\"type\":\"bind\",\"source\":\"%s/%s\",\"options\":[\"ro\"]}",
		       destination, tmpdir_path, source);
	return text[at];
}

TEST(plan_files__sealed_file__is_unsealed_with_mode_and_name)
{
	cleanup_fixture struct fixture f = { 0 };
	char names[4096] = "", text[2048];
	int dir = tmpdir_make(), shadow;
	struct stat st;

	CHECK(mkdirat(dir, "shadow", 0700) == 0);
	shadow = openat(dir, "shadow", O_RDONLY | O_DIRECTORY);
	tmpdir_put(dir, "secret", "sealed.plain\n");
	tmpdir_put(dir, "hosts", "127.0.0.1");
	CHECK(fchmodat(dir, "secret", 0440, 0) == 0);
	(void)snprintf(text, sizeof text, "%s,%s", bind("hosts", "/etc/hosts"), bind("secret", "/s"));
	CHECK_INT(read_config(&f, config_with(text)), 0);
	CHECK_INT(plan_files(&f.plan, &no_rules, shadow, NULL), 0);
	CHECK_INT(f.plan.mounts[0].verdict, PLAN_FILE);
	CHECK_INT(f.plan.mounts[1].verdict, PLAN_FILE_SEALED);
	CHECK_INT(plan_unseal(&f.plan, unseal, names, NULL), 0);
	CHECK(strcmp(names, "/s;") == 0);
	CHECK_INT(plan_place(&f.plan, shadow, "/shadow", NULL), 0);
	CHECK(tmpdir_is(shadow, "f/1", "plain"));
	CHECK(fstatat(shadow, "f/1", &st, 0) == 0);
	CHECK_INT(st.st_mode & 07777, 0440);
	CHECK(tmpdir_is(dir, "secret", "sealed.plain\n"));
	CHECK(strstr(result(&f, shadow, false), "\"source\":\"/shadow/f/1\"") != NULL);
	CHECK(strstr(result(&f, shadow, false), "/hosts\"") != NULL);
}

/* Folders count only below a prefix, by any of the three names they have. */
TEST(plan_files__folder__is_considered_below_a_prefix)
{
	static const struct {
		const char *prefix; /* "@" is the temporary folder */
		enum plan_verdict want;
	} rows[] = {
		{ "@/pods/*/secret", PLAN_DIR_SEALED }, { "@/pods/uid/secret/v", PLAN_DIR_SEALED },
		{ "@/pods", PLAN_DIR_SEALED },		{ "/dest", PLAN_DIR_SEALED },
		{ "@/pods/*/secre", PLAN_DIR_OUTSIDE }, { "@/pods/*/secret/v/more", PLAN_DIR_OUTSIDE },
		{ "/des", PLAN_DIR_OUTSIDE },		{ "@/other", PLAN_DIR_OUTSIDE },
	};
	int dir = tmpdir_make();

	CHECK(mkdirat(dir, "pods", 0700) == 0 && mkdirat(dir, "pods/uid", 0700) == 0 &&
	      mkdirat(dir, "pods/uid/secret", 0700) == 0 &&
	      mkdirat(dir, "pods/uid/secret/v", 0700) == 0);
	tmpdir_put(dir, "pods/uid/secret/v/key", "sealed.x");
	CHECK(symlinkat("pods/uid/secret/v", dir, "link") == 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_fixture struct fixture f = { 0 };
		char prefix[256];
		const char *list[] = { prefix };
		const struct plan_rules rules = { list, 1 };

		(void)snprintf(prefix, sizeof prefix, "%s%s",
			       rows[i].prefix[0] == '@' ? tmpdir_path : "",
			       rows[i].prefix + (rows[i].prefix[0] == '@'));
		CHECK_INT(read_config(&f, config_with(bind(i % 2 ? "pods//uid/./secret/v" : "link",
							   "/dest/v"))), 0);
		CHECK_INT(plan_files(&f.plan, &rules, -1, NULL), 0);
		if (f.plan.mounts[0].verdict != rows[i].want)
			test_fail(__FILE__, __LINE__, "prefix %s: %s", prefix,
				  plan_verdict_text(f.plan.mounts[0].verdict));
	}
}

TEST(plan_files__folder_with_a_sealed_file__is_replicated_whole)
{
	cleanup_fixture struct fixture f = { 0 };
	const char *list[] = { "/creds" };
	const struct plan_rules rules = { list, 1 };
	char names[4096] = "";
	int dir = tmpdir_make(), shadow;
	struct stat st;

	CHECK(mkdirat(dir, "shadow", 0700) == 0 && mkdirat(dir, "v", 0755) == 0 &&
	      mkdirat(dir, "v/..2026", 0755) == 0);
	shadow = openat(dir, "shadow", O_RDONLY | O_DIRECTORY);
	tmpdir_put(dir, "v/..2026/key", "sealed.plain");
	tmpdir_put(dir, "v/..2026/user", "bob");
	CHECK(symlinkat("..2026", dir, "v/..data") == 0 &&
	      symlinkat("..data/key", dir, "v/key") == 0 &&
	      symlinkat("..data/user", dir, "v/user") == 0);
	CHECK_INT(read_config(&f, config_with(bind("v", "/creds"))), 0);
	CHECK_INT(plan_files(&f.plan, &rules, shadow, NULL), 0);
	CHECK_INT(plan_unseal(&f.plan, unseal, names, NULL), 0);
	CHECK(strcmp(names, "/creds/key;") == 0);
	CHECK_INT(plan_place(&f.plan, shadow, "/shadow", NULL), 0);
	CHECK(tmpdir_is(shadow, "f/0/key", "plain"));
	CHECK(tmpdir_is(shadow, "f/0/user", "bob"));
	CHECK(fstatat(shadow, "f/0", &st, 0) == 0);
	CHECK_INT(st.st_mode & 07777, 0755);
	CHECK(strstr(result(&f, shadow, true), "\"source\":\"/shadow/f/0\"") != NULL);
}

TEST(plan_files__folder_without_sealed_files__stays_as_it_is)
{
	cleanup_fixture struct fixture f = { 0 };
	const char *list[] = { "/creds" };
	const struct plan_rules rules = { list, 1 };
	int dir = tmpdir_make(), shadow;

	CHECK(mkdirat(dir, "shadow", 0700) == 0 && mkdirat(dir, "v", 0755) == 0);
	shadow = openat(dir, "shadow", O_RDONLY | O_DIRECTORY);
	tmpdir_put(dir, "v/token", "not sealed");
	CHECK(mkfifoat(dir, "v/fifo", 0600) == 0);
	CHECK_INT(read_config(&f, config_with(bind("v", "/creds"))), 0);
	CHECK_INT(plan_files(&f.plan, &rules, shadow, NULL), 0);
	CHECK_INT(f.plan.mounts[0].verdict, PLAN_DIR);
	CHECK(faccessat(shadow, "f/0", F_OK, 0) < 0);
	CHECK_INT(plan_place(&f.plan, shadow, "/shadow", NULL), 0);
	CHECK(strcmp(result(&f, shadow, true), config_with(bind("v", "/creds"))) == 0);
}

TEST(plan_files__hostile_folder__refuses_the_container_by_place)
{
	cleanup_fixture struct fixture f = { 0 };
	const char *list[] = { "/creds" };
	const struct plan_rules rules = { list, 1 };
	int dir = tmpdir_make(), shadow;

	CHECK(mkdirat(dir, "shadow", 0700) == 0 && mkdirat(dir, "v", 0755) == 0);
	shadow = openat(dir, "shadow", O_RDONLY | O_DIRECTORY);
	tmpdir_put(dir, "v/a", "sealed.a");
	CHECK(symlinkat("/etc/shadow", dir, "v/b") == 0);
	CHECK_INT(read_config(&f, config_with(bind("v", "/creds"))), 0);
	CHECK_ERR(plan_files(&f.plan, &rules, shadow, &f.e), ERR_LIMIT, f.e, "leads out");
	CHECK_INT(f.e.code, CODE_OCI_SECRET_DIR);
	CHECK(strncmp(f.plan.place, "mounts[0]", 9) == 0);
}

TEST(plan_files__annotation__makes_a_folder_count)
{
	cleanup_fixture struct fixture f = { 0 };
	char text[4096];
	int dir = tmpdir_make();

	CHECK(mkdirat(dir, "v", 0755) == 0);
	tmpdir_put(dir, "v/a", "sealed.a");
	(void)snprintf(text, sizeof text,
		       "{\"mounts\":[%s,%s],\"annotations\":{\"io.vouchsafe.secrets\":\"/b/, /c\"}}",
		       bind("v", "/b"), bind("v", "/c"));
	CHECK_INT(read_config(&f, text), 0);
	CHECK_INT(plan_files(&f.plan, &no_rules, -1, NULL), 0);
	CHECK_INT(f.plan.mounts[0].verdict, PLAN_DIR_SEALED);
	CHECK_INT(f.plan.mounts[1].verdict, PLAN_DIR_SEALED);
}

TEST(plan_config__annotation_that_names_no_bind_mount__is_refused)
{
	static const char *const texts[] = {
		"{\"annotations\":{\"io.vouchsafe.secrets\":\"/x\"}}",
		"{\"annotations\":{\"io.vouchsafe.secrets\":7}}",
		"{\"mounts\":[{\"destination\":\"/x\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"}],"
		"\"annotations\":{\"io.vouchsafe.secrets\":\"/x\"}}",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		cleanup_fixture struct fixture f = { 0 };

		CHECK_ERR(read_config(&f, texts[i]), ERR_FORMAT, f.e, "io.vouchsafe.secrets");
		CHECK_INT(f.e.code, CODE_OCI_CONFIG);
	}
}

TEST(plan_files__sources_that_are_no_secrets__are_left_to_the_runtime)
{
	static const struct {
		const char *source;
		enum plan_verdict want;
	} rows[] = {
		{ "/nonexistent/x", PLAN_ABSENT }, { "/dev/null", PLAN_OTHER },
		{ "/proc/self/mountinfo", PLAN_OTHER }, { "/sys/kernel", PLAN_OTHER },
		{ "/proc/self/ns/uts", PLAN_OTHER },
	};
	char text[512];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_fixture struct fixture f = { 0 };

		(void)snprintf(text, sizeof text,
			       "{\"mounts\":[{\"destination\":\"/x\",\"type\":\"bind\",\"source\":\"%s\"}]}",
			       rows[i].source);
		CHECK_INT(read_config(&f, text), 0);
		CHECK_INT(plan_files(&f.plan, &no_rules, -1, &f.e), 0);
		if (f.plan.mounts[0].verdict != rows[i].want)
			test_fail(__FILE__, __LINE__, "%s: %s", rows[i].source,
				  plan_verdict_text(f.plan.mounts[0].verdict));
	}
}

TEST(plan_files__sealed_file_behind_a_magic_link__is_refused)
{
	cleanup_fixture struct fixture f = { 0 };
	char text[512];
	int dir = tmpdir_make(), fd;

	tmpdir_put(dir, "secret", "sealed.x");
	fd = openat(dir, "secret", O_RDONLY);
	(void)snprintf(text, sizeof text,
		       "{\"mounts\":[{\"destination\":\"/x\",\"type\":\"bind\",\"source\":\"/proc/%d/fd/%d\"}]}",
		       (int)getpid(), fd);
	CHECK_INT(read_config(&f, text), 0);
	CHECK_ERR(plan_files(&f.plan, &no_rules, -1, &f.e), ERR_LIMIT, f.e, "magic link");
}

TEST(plan_under__whole_names__match)
{
	static const struct {
		const char *pattern, *path;
		bool want;
	} rows[] = {
		{ "/a/b", "/a/b", true },   { "/a/b", "/a/b/c", true },	 { "/a/b", "/a/bc", false },
		{ "/a/b", "/a", false },    { "/a/*/c", "/a/x/c", true }, { "/a/*/c", "/a/x/y/c", false },
		{ "/a/*", "/a", false },    { "/a/*", "/a/x/y", true },	 { "/", "/x", true },
		{ "/a/b/", "//a//b", true }, { "/a*", "/ab", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (plan_under(rows[i].pattern, rows[i].path) != rows[i].want)
			test_fail(__FILE__, __LINE__, "%s with %s", rows[i].pattern, rows[i].path);
}

TEST(plan_clean_path__text__is_normalised)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "/", "/" },	       { "", "/" },	    { "/a//b/./c/", "/a/b/c" },
		{ "/a/../b", "/b" },   { "/../..", "/" },   { "/a/b/../../..", "/" },
		{ "/..a/b..", "/..a/b.." },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_free char *s = plan_clean_path(rows[i].in);

		if (!s || strcmp(s, rows[i].out) != 0)
			test_fail(__FILE__, __LINE__, "%s gives %s", rows[i].in, s);
	}
}
