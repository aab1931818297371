/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/cc_eventlog.h"
#include "attester/eventlog.h"
#include "test/unit/attester/bootlog.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define DERIVED "evidence/derived/"
#define LOGS    "evidence/trustee/deps/eventlog/test_data/"

typedef uint8_t rtmrs[TEE_RTMRS][TEE_DIGEST];

/* What the log's own replay gives. */
static void registers_of(rtmrs out, struct view log)
{
	struct tcg2_registers regs;
	struct tcg2_log l;

	CHECK_INT(tcg2_open(&l, log, TCG2_CCEL, NULL), 0);
	CHECK_INT(tcg2_replay(&regs, &l, HASH_SHA384, NULL), 0);
	for (int i = 0; i < TEE_RTMRS; i++)
		memcpy(out[i], regs.value[i + 1].b, TEE_DIGEST);
}

static void read_shared(struct buf *out, const char *path)
{
	log_read(out, test_shared(path));
}

TEST(cc_eventlog_assemble__only_the_agents_log__is_the_derived_file)
{
	cleanup_buf struct buf want = BUF_MAX(65536), entry = BUF_MAX(65536), log = BUF_MAX(65536);
	rtmrs rtmr;
	char why[CC_WHY_MAX];
	struct err e;

	read_shared(&want, DERIVED "eventlog-aael-only-sha384.bin");
	read_shared(&entry, DERIVED "aael-entry-sha384-ccmr4.bin");
	registers_of(rtmr, buf_view(&want));
	CHECK_INT(cc_eventlog_assemble(&log, (struct view){ NULL, 0 }, buf_view(&entry), rtmr, why,
				       &e),
		  0);
	CHECK(strcmp(why, "") == 0);
	CHECK(view_eq(buf_view(&log), buf_view(&want)));
}

TEST(cc_eventlog_assemble__firmware_and_agent__as_the_recorded_sample)
{
	cleanup_buf struct buf sample = BUF_MAX(65536), log = BUF_MAX(65536), ccel = BUF_MAX(65536);
	struct tcg2_log l;
	struct tcg2_event ev;
	struct view aael = { NULL, 0 };
	rtmrs rtmr;
	char why[CC_WHY_MAX];
	struct err e;

	read_shared(&sample, LOGS "CCEL_AAEL_alibabacloud");
	registers_of(rtmr, buf_view(&sample));
	CHECK_INT(tcg2_open(&l, buf_view(&sample), TCG2_CCEL, &e), 0);
	/* Cut where the agent's entries begin; firmware's area has zeros behind its records. */
	for (size_t at = l.first; tcg2_next(&ev, &l, &at) == 1;)
		if (ev.index == 4 && !aael.p)
			aael = (struct view){ sample.p + ev.offset, l.end - ev.offset };
	CHECK(aael.p != NULL);
	buf_put(&ccel, sample.p, (size_t)(aael.p - sample.p));
	while (ccel.len < 32768)
		buf_putc(&ccel, 0);
	CHECK_INT(cc_eventlog_assemble(&log, buf_view(&ccel), aael, rtmr, why, &e), 0);
	CHECK(strcmp(why, "") == 0);
	CHECK_INT(log.len, l.end + 8);
	CHECK(memcmp(log.p, sample.p, l.end) == 0);
	for (int i = 0; i < 8; i++)
		CHECK_INT(log.p[l.end + i], 0xff);
}

/* A firmware log that fits the registers it leaves behind. */
static void firmware_log(struct buf *b, rtmrs rtmr)
{
	log_begin_one(b, HASH_SHA384);
	log_event(b, HASH_SHA384, 1, TCG2_EV_SEPARATOR, view_str("s"), view_str("s"));
	log_event(b, HASH_SHA384, 3, TCG2_EV_IPL, view_str("kernel"), view_str("kernel"));
	log_le(b, 0, 8);
	registers_of(rtmr, buf_view(b));
}

TEST(cc_eventlog_assemble__what_would_sink_the_evidence__is_left_out_with_a_reason)
{
	static const char *const words[] = {
		"RTMR0 holds",		/* a register differs */
		"RTMR3 holds",
		"no end mark",		/* firmware's log is cut */
		"event type 00000099",	/* what Trustee does not know */
		"old format",		/* no Spec ID */
		"cut short",		/* half an entry of the agent */
		"end mark in its middle",
		"neither firmware nor agent",
		"no sha384",
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		cleanup_buf struct buf ccel = BUF_MAX(4096), log = BUF_MAX(4096);
		struct view aael = { NULL, 0 };
		rtmrs rtmr = { { 0 } };
		char why[CC_WHY_MAX];
		struct err e;

		buf_puts(&log, "before");
		firmware_log(&ccel, rtmr);
		if (i < 2)
			rtmr[i * 3][47] ^= 1;
		if (i == 2)
			ccel.len -= 1;
		if (i == 3)
			ccel.p[65 + 4] = 0x99;
		if (i == 4)
			ccel.p[4] = 1;
		if (i == 5)
			aael = view_str("x");
		if (i == 6)
			aael = (struct view){ (const uint8_t *)"\0\0\0\0\0\0\0\0rest", 12 };
		if (i == 7)
			ccel.len = 0;
		if (i == 8) {
			buf_reset(&ccel);
			log_begin_one(&ccel, HASH_SHA512);
			log_le(&ccel, 0, 8);
		}
		CHECK_INT(cc_eventlog_assemble(&log, buf_view(&ccel), aael, rtmr, why, &e), 0);
		if (!strstr(why, words[i]))
			test_fail(__FILE__, __LINE__, "row %zu: \"%s\" lacks \"%s\"", i, why,
				  words[i]);
		CHECK_INT(log.len, 6);
	}
}

TEST(cc_eventlog_assemble__log_over_what_evidence_holds__is_left_out)
{
	cleanup_buf struct buf ccel = BUF_MAX(TCG2_LOG_MAX), log = BUF_MAX(TCG2_LOG_MAX);
	cleanup_free char *data = calloc(1, 100000);
	rtmrs rtmr;
	char why[CC_WHY_MAX];
	struct err e;

	log_begin_one(&ccel, HASH_SHA384);
	for (int i = 0; i < 8; i++)
		log_event(&ccel, HASH_SHA384, 1, 1, view_str(""),
			  (struct view){ (const uint8_t *)data, 100000 });
	log_le(&ccel, 0, 8);
	registers_of(rtmr, buf_view(&ccel));
	CHECK_INT(cc_eventlog_assemble(&log, buf_view(&ccel), (struct view){ NULL, 0 }, rtmr, why, &e),
		  0);
	CHECK(strstr(why, "exceeds 716800 bytes") != NULL);
	CHECK_INT(log.len, 0);
}

/* --- files ------------------------------------------------------------------------------------- */

static char root[64];

static void put(const char *path, struct view bytes)
{
	char full[256], *slash;

	snprintf(full, sizeof full, "%s%s", root, path);
	slash = strrchr(full, '/');
	*slash = '\0';
	CHECK_INT(fs_mkdirs(full, 0755, NULL), 0);
	*slash = '/';
	CHECK_INT(fs_write(full, bytes, 0644, NULL), 0);
}

static void clean(void)
{
	static const char *const paths[] = {
		CC_EVENTLOG_PATH, EVENTLOG_FILE, "/sys/firmware/acpi/tables/data",
		"/sys/firmware/acpi/tables", "/sys/firmware/acpi", "/sys/firmware", "/sys",
		EVENTLOG_DIR, "/run", "",
	};
	char full[256];

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		snprintf(full, sizeof full, "%s%s", root, paths[i]);
		(void)remove(full);
	}
}

TEST(cc_eventlog__files_below_root__both_one_none)
{
	struct attester_env env = { .root_fd = -1 };
	cleanup_buf struct buf ccel = BUF_MAX(4096), log = BUF_MAX(4096);
	rtmrs rtmr = { { 0 } };
	char why[CC_WHY_MAX];
	struct err e;

	snprintf(root, sizeof root, "/tmp/cc_eventlog.XXXXXX");
	CHECK(mkdtemp(root) != NULL);
	(void)atexit(clean);
	env.root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	CHECK(env.root_fd >= 0);
	CHECK_INT(cc_eventlog(&log, &env, rtmr, &e), 0);
	CHECK_INT(log.len, 0);
	firmware_log(&ccel, rtmr);
	put(CC_EVENTLOG_PATH, buf_view(&ccel));
	CHECK_INT(cc_eventlog_why(&log, &env, rtmr, why, &e), 0);
	CHECK(strcmp(why, "") == 0);
	CHECK_INT(log.len, ccel.len);
	buf_reset(&log);
	/* Something that is no log where ours should be. */
	put(EVENTLOG_FILE, view_str("x"));
	CHECK_INT(cc_eventlog_why(&log, &env, rtmr, why, &e), 0);
	CHECK(strstr(why, "no end mark") || strstr(why, "cut short"));
	CHECK_INT(log.len, 0);
	put(EVENTLOG_FILE, view_str(""));
	CHECK_INT(cc_eventlog(&log, &env, rtmr, &e), 0);
	CHECK_INT(log.len, ccel.len);
	(void)close(env.root_fd);
	/* --root of a development build: the devices' root is "/" then, the files' is that. */
	env.root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	CHECK(env.root_fd >= 0);
	buf_reset(&log);
	CHECK_INT(cc_eventlog(&log, &env, rtmr, &e), 0);
	CHECK_INT(log.len, 0);
	env.files_root = root;
	CHECK_INT(cc_eventlog(&log, &env, rtmr, &e), 0);
	CHECK_INT(log.len, ccel.len);
	env.files_root = "";
	(void)close(env.root_fd);
}
