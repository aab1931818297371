/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/net/headers.h"
#include "test/test.h"

/* Lines separated by '\n', as libcurl gives them: with their line ends. */
static bool feed(struct headers *h, struct http_reply *r, const char *lines)
{
	while (*lines) {
		size_t n = strcspn(lines, "\n");

		if (!headers_take(h, r,
				  (struct view){ (const uint8_t *)lines, n + (lines[n] == '\n') }))
			return false;
		lines += n + (lines[n] == '\n');
	}
	return true;
}

static struct http_reply after(const char *lines)
{
	struct http_reply r = { 0 };
	struct headers h = { 0 };

	CHECK(feed(&h, &r, lines));
	return r;
}

TEST(headers_take__a_challenge_reply__gives_cookie_date_and_pause)
{
	struct http_reply r = after(
		"HTTP/1.1 200 OK\r\n"
		"Content-Type: application/json\r\n"
		"set-COOKIE:kbs-session-id=0123abcd; Expires=Tue, 24 Nov 2099 10:05:00 GMT\r\n"
		"Date: \t Sun, 06 Nov 1994 08:49:37 GMT \r\n"
		"Retry-After: 7\r\n"
		"\r\n");

	CHECK(strcmp(r.set_cookie, "kbs-session-id=0123abcd") == 0);
	CHECK_INT(r.date, 784111777);
	CHECK_INT(r.retry_after_ms, 7000);
}

TEST(headers_take__nothing_of_interest__leaves_the_defaults)
{
	struct http_reply r =
		after("HTTP/1.0 401 Unauthorized\r\nServer: x\r\nSet-Cookies: a=b\r\n"
		      "X-Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nno colon\r\n:\r\n\r\n");

	CHECK(strcmp(r.set_cookie, "") == 0);
	CHECK_INT(r.date, 0);
	CHECK_INT(r.retry_after_ms, 0);
}

TEST(headers_take__several_cookies__are_joined)
{
	struct http_reply r =
		after("HTTP/1.1 200 OK\r\nSet-Cookie: LB=node-2; Path=/; HttpOnly\r\n"
		      "Set-Cookie: kbs-session-id=ff\r\nSet-Cookie: LB=again\r\n\r\n");

	CHECK(strcmp(r.set_cookie, "LB=node-2; kbs-session-id=ff") == 0);
	r = after("Set-Cookie: ab=1\r\nSet-Cookie: b=2\r\nSet-Cookie: a=3\r\nSet-Cookie: ab=4\r\n");
	CHECK(strcmp(r.set_cookie, "ab=1; b=2; a=3") == 0);
}

TEST(headers_take__malformed_cookie__counts_as_absent)
{
	static const char *const rows[] = {
		"Set-Cookie:\r\n",           "Set-Cookie: \t\r\n",     "Set-Cookie: ; Path=/\r\n",
		"Set-Cookie: name\r\n",      "Set-Cookie: =value\r\n", "Set-Cookie: a=b c\r\n",
		"Set-Cookie: a=b\tc\r\n",    "Set-Cookie: a=\x01\r\n", "Set-Cookie: a=\xc3\xa4\r\n",
		"Set-Cookie: a=\x7f\r\n",    "Set-Cookie : a=b\r\n",   " Set-Cookie: a=b\r\n",
		"Set-Cookie: a=b\rX: c\r\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (after(rows[i]).set_cookie[0] != '\0')
			test_fail(__FILE__, __LINE__, "row %zu: %s", i, rows[i]);
}

TEST(headers_take__cookies_at_and_over_their_room__fit_or_are_left_out)
{
	char line[HTTP_COOKIE_MAX + 64];
	struct http_reply r = { 0 };
	struct headers h = { 0 };
	int n = snprintf(line, sizeof line, "Set-Cookie: a=");

	/* One byte too many: "a=" and 4094 others need 4097 with their NUL. */
	for (size_t i = 0; i < HTTP_COOKIE_MAX - 2; i++)
		line[n + (int)i] = 'x';
	CHECK(headers_take(&h, &r,
			   (struct view){ (uint8_t *)line, (size_t)n + HTTP_COOKIE_MAX - 2 }));
	CHECK(r.set_cookie[0] == '\0');
	CHECK(headers_take(&h, &r,
			   (struct view){ (uint8_t *)line, (size_t)n + HTTP_COOKIE_MAX - 6 }));
	CHECK_INT(strlen(r.set_cookie), HTTP_COOKIE_MAX - 4);
	/* "; b=" would take the four bytes that are left, and leave none for the NUL. */
	CHECK(feed(&h, &r, "Set-Cookie: b=\r\n"));
	CHECK_INT(strlen(r.set_cookie), HTTP_COOKIE_MAX - 4);
	r.set_cookie[HTTP_COOKIE_MAX - 5] = '\0';
	CHECK(feed(&h, &r, "Set-Cookie: b=\r\n"));
	CHECK_INT(strlen(r.set_cookie), HTTP_COOKIE_MAX - 1);
}

TEST(headers_take__interim_reply_and_trailers__say_nothing)
{
	struct http_reply r =
		after("HTTP/1.1 103 Early Hints\r\nSet-Cookie: early=1\r\nRetry-After: 9\r\n"
		      "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"
		      "HTTP/1.1 200 OK\r\nSet-Cookie: real=1\r\n\r\n"
		      "Set-Cookie: trailer=1\r\nRetry-After: 8\r\n");

	CHECK(strcmp(r.set_cookie, "real=1") == 0);
	CHECK_INT(r.retry_after_ms, 0);
	CHECK_INT(r.date, 0);
}

TEST(headers_take__lines_over_the_cap__are_refused_and_change_nothing)
{
	static char line[HEADERS_MAX + 1];
	struct http_reply r = { 0 };
	struct headers h = { 0 };

	for (size_t i = 0; i < sizeof line; i++)
		line[i] = 'x';
	CHECK(!headers_take(&h, &r, (struct view){ (uint8_t *)line, sizeof line }));
	CHECK_INT(h.bytes, 0);
	CHECK(headers_take(&h, &r, (struct view){ (uint8_t *)line, HEADERS_MAX - 4 }));
	CHECK(!feed(&h, &r, "Set-Cookie: a=b\r\n"));
	CHECK(r.set_cookie[0] == '\0');
	CHECK(feed(&h, &r, "a:b\n"));
	/* A new status line does not begin the count anew. */
	CHECK(!feed(&h, &r, "HTTP/1.1 200 OK\r\n"));
}

TEST(headers_date__only_imf_fixdate__is_read)
{
	static const struct {
		const char *text;
		int64_t want;
	} rows[] = {
		{ "Thu, 20 Aug 2026 14:03:11 GMT", 1787234591 },
		{ "Thu, 29 Feb 2024 23:59:60 GMT", 1709251200 },
		{ "Tue, 24 Nov 2099 10:05:00 GMT", 4099197900 },
		{ "Sunday, 06-Nov-94 08:49:37 GMT", 0 },
		{ "Sun Nov  6 08:49:37 1994", 0 },
		{ "Sun, 06 Nov 1994 08:49:37 UTC", 0 },
		{ "Sun, 06 nov 1994 08:49:37 GMT", 0 },
		{ "Sun, 06 Now 1994 08:49:37 GMT", 0 },
		{ "Sun, 00 Nov 1994 08:49:37 GMT", 0 },
		{ "Sun, 32 Nov 1994 08:49:37 GMT", 0 },
		{ "Sun, 06 Nov 1994 24:49:37 GMT", 0 },
		{ "Sun, 06 Nov 1994 08:60:37 GMT", 0 },
		{ "Sun, 06 Nov 1994 08:49:61 GMT", 0 },
		{ "Sun, 06 Nov 1969 08:49:37 GMT", 0 },
		{ "Sun, 06 Nov 19-4 08:49:37 GMT", 0 },
		{ "Sun, 06 Nov 1994 08:49:37 GMTx", 0 },
		{ "Sun, 06 Nov 1994 08:49:37 GM", 0 },
		{ "", 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (headers_date(view_str(rows[i].text)) != rows[i].want)
			test_fail(__FILE__, __LINE__, "%s gave %lld", rows[i].text,
				  (long long)headers_date(view_str(rows[i].text)));
}

TEST(headers_take__retry_after__is_whole_seconds_with_a_cap)
{
	static const struct {
		const char *line;
		int64_t want;
	} rows[] = {
		{ "Retry-After: 0", 0 },
		{ "Retry-After: 120", 120000 },
		{ "Retry-After: 3601", 3600000 },
		{ "Retry-After: 99999999999999999999999999", 3600000 },
		{ "Retry-After: -1", 0 },
		{ "Retry-After: 1.5", 0 },
		{ "Retry-After: 12x", 0 },
		{ "Retry-After: +5", 0 },
		{ "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT", 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (after(rows[i].line).retry_after_ms != rows[i].want)
			test_fail(__FILE__, __LINE__, "%s", rows[i].line);
}
