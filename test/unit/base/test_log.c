/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/buf.h"
#include "agent/base/log.h"
#include "test/test.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* A journal of our own: a datagram socket, and what came last. */
static char dir[64], path[96], got[16384];
static int journal = -1;

static void begin(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	(void)snprintf(dir, sizeof dir, "/tmp/vouchsafe-test-XXXXXX");
	CHECK(mkdtemp(dir) != NULL);
	(void)snprintf(path, sizeof path, "%s/socket", dir);
	(void)snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
	journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CHECK(journal >= 0 && bind(journal, (struct sockaddr *)&a, sizeof a) == 0);
	log_use_journal(path);
}

static void end(void)
{
	(void)close(journal);
	CHECK_INT(unlink(path), 0);
	CHECK_INT(rmdir(dir), 0);
}

static void receive(void)
{
	ssize_t n = recv(journal, got, sizeof got - 1, MSG_DONTWAIT);

	CHECK(n > 0);
	got[n] = '\0';
}

static bool has_line(const char *line)
{
	size_t n = strlen(line);

	for (const char *p = strstr(got, line); p; p = strstr(p + 1, line))
		if ((p == got || p[-1] == '\n') && p[n] == '\n')
			return true;
	return false;
}

#define CHECK_LINE(line)                                                                           \
	do {                                                                                       \
		if (!has_line(line))                                                               \
			test_fail(__FILE__, __LINE__, "no \"%s\" in\n%s", (line), got);            \
	} while (0)

/* What fn() writes to fd 2. */
static void capture(struct buf *out, void (*fn)(void))
{
	int ends[2], saved = dup(STDERR_FILENO);
	char piece[8192];
	ssize_t n;

	CHECK(pipe(ends) == 0 && dup2(ends[1], STDERR_FILENO) >= 0);
	fn();
	CHECK(dup2(saved, STDERR_FILENO) >= 0);
	(void)close(saved);
	(void)close(ends[1]);
	while ((n = read(ends[0], piece, sizeof piece)) > 0)
		buf_put(out, piece, (size_t)n);
	(void)close(ends[0]);
}

TEST(log_line__stderr_is_the_journal__every_key_is_a_field)
{
	char id[33], line[64];

	begin();
	log_warn("call failed", "method=%s uid=%u name=\"%s\" code=%s what=\"%s\"", "GetResource", 7u,
		 "A B", "kbs.policy-denied", "no \"more\" than that");
	receive();
	CHECK_LINE("PRIORITY=4");
	CHECK_LINE("SYSLOG_IDENTIFIER=test_log");
	CHECK_LINE("MESSAGE=call failed method=GetResource uid=7 name=\"A B\" code=kbs.policy-denied "
		   "what=\"no \"more\" than that\"");
	CHECK_LINE("VOUCHSAFE_EVENT=call failed");
	CHECK_LINE("VOUCHSAFE_METHOD=GetResource");
	CHECK_LINE("VOUCHSAFE_UID=7");
	CHECK_LINE("VOUCHSAFE_NAME=A B");
	CHECK_LINE("VOUCHSAFE_CODE=kbs.policy-denied");
	CHECK_LINE("VOUCHSAFE_WHAT=no \"more\" than that");
	log_message_id(id, "kbs.policy-denied");
	(void)snprintf(line, sizeof line, "MESSAGE_ID=%s", id);
	CHECK_LINE(line);
	end();
}

TEST(log_err__any_code__has_that_code_s_message_id)
{
	char id[33], line[64];
	struct err e;

	begin();
	(void)err_code(&e, CODE_TLS_EXPIRED, "x");
	log_err(LOG_LEVEL_ERROR, "cannot serve", &e);
	receive();
	log_message_id(id, "tls.expired");
	(void)snprintf(line, sizeof line, "MESSAGE_ID=%s", id);
	CHECK_LINE(line);
	CHECK_LINE("PRIORITY=3");
	CHECK_LINE("VOUCHSAFE_KIND=verify");
	end();
}

TEST(log_line__without_code__has_the_message_s_id)
{
	char id[33], line[64];

	begin();
	log_info("stopping", "drain_ms=%d", 5);
	receive();
	log_message_id(id, "stopping");
	(void)snprintf(line, sizeof line, "MESSAGE_ID=%s", id);
	CHECK_LINE(line);
	log_warn("nothing more", "%s", "");
	receive();
	CHECK_LINE("MESSAGE=nothing more");
	end();
}

TEST(log_line__hostile_value__makes_no_field_of_its_own)
{
	static const char *const values[] = {
		"x code=ok", "x\" code=ok what=\"", "x\nVOUCHSAFE_CODE=ok\n", "x\x1f" "code=ok",
		"x\x1f" "code=ok\x1f", "\x1f", "x\nMESSAGE_ID=0",
	};

	begin();
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		log_warn("call failed", "name=%s code=%s what=\"%s\"", values[i], "kbs.busy", values[i]);
		receive();
		CHECK(!has_line("VOUCHSAFE_CODE=ok") && !has_line("MESSAGE_ID=0"));
		CHECK(strstr(got, "VOUCHSAFE_CODE=") == NULL || has_line("VOUCHSAFE_CODE=kbs.busy"));
		for (const char *p = got; *p; p++)
			CHECK(*p == '\n' || (unsigned char)*p >= ' ');
	}
	end();
}

TEST(log_line__over_the_limit__is_cut_and_has_no_fields)
{
	static char longer[3 * LOG_LINE_MAX];

	begin();
	for (size_t i = 0; i < sizeof longer - 1; i++)
		longer[i] = 'y';
	log_info("m", "a=%s b=%s", longer, "1");
	receive();
	CHECK(strlen(got) < 2 * LOG_LINE_MAX);
	CHECK(!strstr(got, "VOUCHSAFE_A="));
	CHECK_LINE("VOUCHSAFE_EVENT=m");
	end();
}

static void say(void)
{
	log_warn("odd", "a=%s b=\"%s\"", "1\n2", "x\x1fy");
}

TEST(log_line__stderr_is_no_journal__is_one_line_of_text)
{
	cleanup_buf struct buf b = BUF_MAX(8192);

	/* What a unit leaves behind for a child whose stderr goes elsewhere. */
	(void)setenv("JOURNAL_STREAM", "1:2", 1);
	capture(&b, say);
	if (strcmp(buf_str(&b), "warn: odd a=1?2 b=\"x y\"\n") != 0)
		test_fail(__FILE__, __LINE__, "line is %s", buf_str(&b));
}

static void hidden(void)
{
	struct err e;

	log_codes_only(true);
	(void)err_code(&e, CODE_KBS_POLICY_DENIED, "kbs:///team/secret code=ok");
	log_err(LOG_LEVEL_WARN, "call failed", &e);
	log_warn("call failed", "method=%s name=%s code=%s", "UnsealSecret", "DB_PASSWORD", "x.y");
	log_codes_only(false);
}

TEST(log_codes_only__what_and_names__do_not_reach_stderr)
{
	cleanup_buf struct buf out = BUF_MAX(4096);

	(void)unsetenv("JOURNAL_STREAM");
	capture(&out, hidden);
	CHECK(strcmp(buf_str(&out), "warn: call failed code=kbs.policy-denied kind=denied\n"
				    "warn: call failed method=UnsealSecret code=x.y\n") == 0);
}

TEST(log_line__no_journal_socket__falls_back_to_stderr_with_priority)
{
	cleanup_buf struct buf b = BUF_MAX(8192);

	log_use_journal("/no/such/socket");
	capture(&b, say);
	CHECK(strncmp(buf_str(&b), "<4>warn: odd a=", 15) == 0);
}

static void say_long(void)
{
	static char longer[3 * LOG_LINE_MAX];

	for (size_t i = 0; i < sizeof longer - 1; i++)
		longer[i] = 'z';
	log_warn(longer, "a=%s", longer);
	log_debug("not shown", "%s", "");
}

TEST(log_line__long__ends_with_a_newline_and_levels_hold)
{
	cleanup_buf struct buf b = BUF_MAX(65536);

	capture(&b, say_long);
	CHECK(b.len < LOG_LINE_MAX + 512 && b.p[b.len - 1] == '\n');
	CHECK(strchr(buf_str(&b), '\n') == (const char *)b.p + b.len - 1);
	CHECK(!strstr(buf_str(&b), "not shown"));
}

TEST(log_message_id__every_code__is_a_uuid_of_its_own)
{
	static char ids[CODE_COUNT][33];

	for (int i = 0; i < (int)CODE_COUNT; i++) {
		log_message_id(ids[i], err_entry((enum err_code)i)->name);
		CHECK_INT(strlen(ids[i]), 32);
		CHECK_INT(strspn(ids[i], "0123456789abcdef"), 32);
		CHECK(ids[i][12] == '8' && strchr("89ab", ids[i][16]));
		for (int k = 0; k < i; k++)
			CHECK(strcmp(ids[i], ids[k]) != 0);
	}
}

/* Written down once; a change here would break what people search their journals for. */
TEST(log_message_id__known__stays_the_same)
{
	char id[33];

	log_message_id(id, "kbs.policy-denied");
	CHECK(strcmp(id, "68a8572aa5aa8b078d159d19020ac6ba") == 0);
	log_message_id(id, "guest is ready");
	CHECK(strcmp(id, "6a1b4cee47a58642863b8db7d83c1deb") == 0);
}
