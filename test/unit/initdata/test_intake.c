/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "agent/base/fs.h"
#include "agent/base/gunzip.h"
#include "initdata/blockdev.h"
#include "initdata/initdata.h"
#include "initdata/intake.h"
#include "test/test.h"

#include <stdio.h>
#include <time.h>

#define HEAD "version = '0.1.0'\nalgorithm = 'sha256'\n[data]\n"
/* The same in a literal block. */
#define BLOCK "  content: |\n    version = '0.1.0'\n    algorithm = 'sha256'\n    [data]\n"
#define CLOUD "#cloud-config\nwrite_files:\n- path: /run/peerpod/apf.json\n  content: A\n"
#define GOOD  CLOUD "- path: /run/peerpod/initdata\n" BLOCK

static char root[64];

static const char *at(const char *path)
{
	static char full[256];

	(void)snprintf(full, sizeof full, "%s%s", root, path);
	return full;
}

static void begin(void)
{
	(void)snprintf(root, sizeof root, "/tmp/test_intake.XXXXXX");
	CHECK(mkdtemp(root));
}

static void put(const char *path, struct view bytes)
{
	cleanup_free char *folder = strdup(at(path));

	CHECK(folder);
	strrchr(folder, '/')[0] = '\0';
	CHECK_INT(fs_mkdirs(folder, 0755, NULL), 0);
	CHECK_INT(fs_write(at(path), bytes, 0644, NULL), 0);
}

static void end(void)
{
	static const char *const left[] = {
		"/media/cidata/user-data", "/media/cidata", "/media", "/dev/vda", "/dev",
		"/run/peerpod/initdata",   "/run/peerpod",  "/run",   ""
	};

	for (size_t i = 0; i < ARRAY_LEN(left); i++)
		if (unlink(at(left[i])) < 0)
			(void)rmdir(at(left[i]));
	CHECK(access(root, F_OK) < 0);
}

/* A service that answers the first `bad` times with that, then well. */
struct service {
	int asked, bad;
	int status;         /* of the bad ones; 0: the transport fails */
	const char *answer; /* of the bad ones */
	const char *good;
	int64_t takes_ms;
};

static int answer(void *ctx, const struct http_request *q, struct http_reply *reply, struct err *e)
{
	struct service *s = ctx;
	bool bad = s->asked++ < s->bad;

	if (s->takes_ms > 0) {
		struct timespec t = { .tv_nsec = s->takes_ms * 1000000 };

		(void)nanosleep(&t, NULL);
	}
	if (bad && s->status == 0)
		return err_code(e, CODE_NET_REFUSED, "refused");
	reply->status = bad ? s->status : 200;
	reply->body = BUF_MAX(q->reply_max);
	buf_puts(&reply->body, bad ? s->answer : s->good);
	return 0;
}

static struct source_env env_of(struct service *s, int64_t ms)
{
	return (struct source_env){ .root = root,
				    .round_trip = answer,
				    .round_trip_ctx = s,
				    .deadline = deadline_in(ms),
				    .plain_files = true };
}

static int intake(struct intake *out, enum source_kind kind, struct service *s, struct err *e)
{
	struct source_env env = env_of(s, 60000);

	return intake_run(out, kind, &env, 1, e);
}

TEST(intake_run__fails_twice_then_good__is_delivered)
{
	static const struct service rows[] = {
		{ .bad = 0 },
		{ .bad = 2 },
		{ .bad = 9 },
		{ .bad = 2, .status = 404, .answer = "" },
		{ .bad = 2, .status = 503, .answer = "later" },
		/* Fetch and reading are tried again together. */
		{ .bad = 2, .status = 200, .answer = "<html>" },
		{ .bad = 2, .status = 200, .answer = "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_intake struct intake out = { 0 };
		struct service s = rows[i];

		s.good = GOOD;
		begin();
		CHECK_INT(intake(&out, SOURCE_ALIBABA, &s, NULL), 0);
		CHECK_INT(s.asked, rows[i].bad + 1);
		CHECK_INT(out.source, SOURCE_ALIBABA);
		CHECK(view_is(out.in.d.text, HEAD));
		CHECK(view_is(out.in.d.extra[EXTRA_APF], "A"));
		CHECK(view_is(out.in.d.extra[EXTRA_INITDATA], HEAD));
		end();
	}
}

TEST(intake_run__never_good__gives_up_after_ten_tries)
{
	static const struct {
		int status;
		const char *answer;
		enum err_code code;
		const char *words;
	} rows[] = {
		{ 404, "", CODE_USERDATA_UNAVAILABLE, "after 10 tries: user-data from alibaba:" },
		{ 0, "", CODE_USERDATA_UNAVAILABLE,
		  "after 10 tries: user-data from alibaba: refused" },
		{ 200, "x", CODE_USERDATA_SYNTAX, "after 10 tries: user-data, line 1" },
		{ 200, CLOUD "runcmd: []\n", CODE_USERDATA_SYNTAX,
		  "after 10 tries: user-data, line 5" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_intake struct intake out = { 0 };
		struct service s = { .bad = 100,
				     .status = rows[i].status,
				     .answer = rows[i].answer };
		struct err e = { 0 };

		begin();
		CHECK(intake(&out, SOURCE_ALIBABA, &s, &e) < 0);
		CHECK_INT(e.code, rows[i].code);
		if (!strstr(e.msg, rows[i].words))
			test_fail(__FILE__, __LINE__, "%s", e.msg);
		CHECK_INT(s.asked, INTAKE_TRIES);
		CHECK_INT(out.source, SOURCE_ALIBABA);
		end();
	}
}

/* What is wrong with the initdata stays wrong. */
TEST(intake_run__bad_initdata_in_good_user_data__is_final)
{
	static const struct {
		const char *content;
		enum err_code code;
	} rows[] = {
		{ "content: x y", CODE_INITDATA_SYNTAX },
		{ "content: AAAA", CODE_INITDATA_ENCODING },
		{ "content: ''", CODE_INITDATA_ENCODING },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_intake struct intake out = { 0 };
		char text[512];
		struct service s = { .good = text };
		struct err e = { 0 };

		(void)snprintf(text, sizeof text, CLOUD "- path: /run/peerpod/initdata\n  %s\n",
			       rows[i].content);
		begin();
		CHECK(intake(&out, SOURCE_ALIBABA, &s, &e) < 0);
		CHECK_INT(e.code, rows[i].code);
		CHECK_INT(s.asked, 1);
		CHECK(!strstr(e.msg, "tries"));
		end();
	}
}

TEST(intake_run__deadline__ends_the_tries_and_the_pauses)
{
	struct service s = { .bad = 100, .takes_ms = 30 };
	struct source_env env;
	struct err e;
	int64_t start = clock_boot_ms();

	begin();
	for (int64_t pause = 10; pause <= 60000; pause += 59990) {
		cleanup_intake struct intake out = { 0 };

		s.asked = 0;
		env = env_of(&s, 200);
		CHECK_INT(intake_run(&out, SOURCE_AWS, &env, pause, &e), -ERR_NETWORK);
		CHECK_INT(e.code, CODE_USERDATA_UNAVAILABLE);
		/* Each try of AWS asks twice. */
		CHECK(s.asked >= 2 && s.asked <= 8);
		CHECK(pause < 60000 || s.asked == 2);
	}
	CHECK(clock_boot_ms() - start < 8000);
	end();
}

TEST(intake_run__base64_clouds__are_unfolded)
{
	cleanup_buf struct buf code = BUF_MAX(4096);
	struct service s = { 0 };

	enc_base64(&code, ENC_B64, view_str(GOOD));
	buf_puts(&code, "\n");
	s.good = buf_str(&code);
	for (int k = SOURCE_AZURE; k <= SOURCE_GCP; k += SOURCE_GCP - SOURCE_AZURE) {
		cleanup_intake struct intake out = { 0 };

		begin();
		CHECK_INT(intake(&out, (enum source_kind)k, &s, NULL), 0);
		CHECK(view_is(out.in.d.text, HEAD));
		end();
	}
}

static void check_dummy(const struct intake *out)
{
	cleanup_initdata struct initdata d = { 0 };

	CHECK(view_eq(out->in.d.text, initdata_dummy()));
	CHECK_INT(initdata_load(&d, out->in.d.extra[EXTRA_INITDATA], NULL), 0);
	CHECK(view_eq(buf_view(&d.text), initdata_dummy()));
}

TEST(intake_run__no_initdata_in_user_data__is_the_existing_file_or_the_dummy)
{
	struct service s = { .good = CLOUD };
	struct err e;

	begin();
	{
		cleanup_intake struct intake out = { 0 };

		CHECK_INT(intake(&out, SOURCE_ALIBABA, &s, NULL), 0);
		check_dummy(&out);
		CHECK(view_is(out.in.d.extra[EXTRA_APF], "A"));
	}
	put("/run/peerpod/initdata", view_str(HEAD));
	{
		cleanup_intake struct intake out = { 0 };

		CHECK_INT(intake(&out, SOURCE_ALIBABA, &s, NULL), 0);
		CHECK(view_is(out.in.d.text, HEAD) && !out.in.d.extra[EXTRA_INITDATA].p);
	}
	put("/run/peerpod/initdata", view_str("nonsense"));
	{
		cleanup_intake struct intake out = { 0 };

		CHECK_INT(intake(&out, SOURCE_ALIBABA, &s, &e), -ERR_FORMAT);
		CHECK_INT(e.code, CODE_INITDATA_ENCODING);
	}
	end();
}

TEST(intake_run__no_source__is_what_cloud_init_left_or_the_dummy)
{
	struct service s = { 0 };
	struct err e;

	begin();
	for (int again = 0; again < 2; again++) {
		cleanup_intake struct intake out = { 0 };

		CHECK_INT(intake(&out, SOURCE_NONE, &s, NULL), 0);
		if (!again) {
			check_dummy(&out);
			/* As it is delivered: the next run finds it there. */
			put("/run/peerpod/initdata", out.in.d.extra[EXTRA_INITDATA]);
			continue;
		}
		CHECK(view_eq(out.in.d.text, initdata_dummy()));
		CHECK(!out.in.d.extra[EXTRA_INITDATA].p);
	}
	put("/run/peerpod/initdata", view_str(HEAD));
	{
		cleanup_intake struct intake out = { 0 };

		CHECK_INT(intake(&out, SOURCE_AUTO, &s, NULL), 0);
		CHECK_INT(out.source, SOURCE_NONE);
		CHECK(view_is(out.in.d.text, HEAD) && !out.in.d.extra[EXTRA_INITDATA].p);
	}
	CHECK_INT(truncate(at("/run/peerpod/initdata"), INITDATA_ENCODED_MAX + 1), 0);
	{
		cleanup_intake struct intake out = { 0 };

		CHECK_INT(intake(&out, SOURCE_NONE, &s, &e), -ERR_LIMIT);
		CHECK_INT(e.code, CODE_INITDATA_TOO_LARGE);
	}
	CHECK_INT(unlink(at("/run/peerpod/initdata")), 0);
	CHECK_INT(fs_mkdirs(at("/run/peerpod/initdata"), 0755, NULL), 0);
	{
		cleanup_intake struct intake out = { 0 };

		CHECK_INT(intake(&out, SOURCE_NONE, &s, &e), -ERR_SYSTEM);
		CHECK_INT(e.code, CODE_INITDATA_SOURCE);
	}
	end();
	CHECK_INT(s.asked, 0);
}

TEST(intake_run__cidata__waits_for_the_file_that_is_to_come)
{
	struct service s = { 0 };
	cleanup_intake struct intake out = { 0 }, none = { 0 };
	struct err e;

	begin();
	CHECK_INT(intake(&none, SOURCE_CIDATA, &s, &e), -ERR_SYSTEM);
	CHECK(strstr(e.msg, "after 10 tries"));
	CHECK_INT(e.code, CODE_INITDATA_SOURCE);
	put("/media/cidata/user-data", view_str(GOOD));
	CHECK_INT(intake(&out, SOURCE_AUTO, &s, &e), 0);
	CHECK_INT(out.source, SOURCE_CIDATA);
	CHECK(view_is(out.in.d.text, HEAD));
	end();
}

TEST(intake_run__block__is_unpacked_and_no_peer_pods_file_is_made)
{
	cleanup_buf struct buf gz = BUF_MAX(4096), image = BUF_MAX(4096);
	struct service s = { 0 };
	struct err e;

	CHECK_INT(gunzip_pack(&gz, view_str(HEAD), NULL), 0);
	CHECK_INT(blockdev_image(&image, buf_view(&gz), NULL), 0);
	begin();
	/* None of native kata's business. */
	put("/run/peerpod/initdata", view_str("nonsense"));
	{
		cleanup_intake struct intake out = { 0 };

		CHECK_INT(intake(&out, SOURCE_BLOCK, &s, NULL), 0);
		CHECK(view_eq(out.in.d.text, initdata_dummy()) &&
		      !out.in.d.extra[EXTRA_INITDATA].p);
	}
	put("/dev/vda", buf_view(&image));
	{
		cleanup_intake struct intake out = { 0 };

		CHECK_INT(intake(&out, SOURCE_AUTO, &s, NULL), 0);
		CHECK_INT(out.source, SOURCE_BLOCK);
		CHECK(view_is(out.in.d.text, HEAD) && !out.in.d.extra[EXTRA_INITDATA].p);
	}
	image.p[16 + gz.len - 6] ^= 1;
	put("/dev/vda", buf_view(&image));
	{
		cleanup_intake struct intake out = { 0 };

		CHECK_INT(intake(&out, SOURCE_BLOCK, &s, &e), -ERR_FORMAT);
		CHECK_INT(e.code, CODE_INITDATA_ENCODING);
		CHECK(!strstr(e.msg, "tries"));
	}
	end();
	CHECK_INT(s.asked, 0);
}
