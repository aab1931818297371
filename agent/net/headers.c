/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/net/headers.h"

#include <strings.h>
#include <time.h>

/* The value behind "name:", without white space around it; empty when the line has another name. */
static struct view value_of(struct view line, const char *name)
{
	size_t n = strlen(name);

	if (line.len <= n || line.p[n] != ':' || strncasecmp((const char *)line.p, name, n) != 0)
		return (struct view){ NULL, 0 };
	line.p += n + 1;
	line.len -= n + 1;
	while (line.len > 0 && (line.p[0] == ' ' || line.p[0] == '\t')) {
		line.p++;
		line.len--;
	}
	while (line.len > 0 && (line.p[line.len - 1] == ' ' || line.p[line.len - 1] == '\t'))
		line.len--;
	return line;
}

static int digits(struct view v, size_t at, size_t n)
{
	int x = 0;

	for (size_t i = at; i < at + n; i++) {
		if (v.p[i] < '0' || v.p[i] > '9')
			return -1;
		x = x * 10 + (v.p[i] - '0');
	}
	return x;
}

int64_t headers_date(struct view v)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	static const char form[] = "aaa, 00 aaa 0000 00:00:00 GMT";
	struct tm t = { 0 };
	time_t s;

	if (v.len != sizeof form - 1)
		return 0;
	for (size_t i = 0; i < v.len; i++)
		if (form[i] != 'a' && form[i] != '0' && v.p[i] != (uint8_t)form[i])
			return 0;
	t.tm_mon = -1;
	for (int m = 0; m < 12; m++)
		if (memcmp(v.p + 8, months + 3 * m, 3) == 0)
			t.tm_mon = m;
	t.tm_mday = digits(v, 5, 2);
	t.tm_year = digits(v, 12, 4) - 1900;
	t.tm_hour = digits(v, 17, 2);
	t.tm_min = digits(v, 20, 2);
	t.tm_sec = digits(v, 23, 2);
	if (t.tm_mon < 0 || t.tm_mday < 1 || t.tm_mday > 31 || t.tm_year < 70 || t.tm_hour < 0 ||
	    t.tm_hour > 23 || t.tm_min < 0 || t.tm_min > 59 || t.tm_sec < 0 || t.tm_sec > 60)
		return 0;
	s = timegm(&t);
	return s > 0 ? (int64_t)s : 0;
}

static int64_t retry_after_ms(struct view v)
{
	int64_t s = 0;

	for (size_t i = 0; i < v.len; i++) {
		if (v.p[i] < '0' || v.p[i] > '9')
			return 0;
		s = s * 10 + (v.p[i] - '0');
		if (s > HEADERS_RETRY_AFTER_MAX_S)
			s = HEADERS_RETRY_AFTER_MAX_S;
	}
	return s * 1000;
}

/* Is there a cookie of that name ("name=") among "a=b; c=d"? */
static bool has_cookie(const char *cookies, const uint8_t *name, size_t n)
{
	for (const char *p = cookies; p; p = strstr(p, "; ")) {
		p += p[0] == ';' ? 2 : 0;
		if (strncmp(p, (const char *)name, n) == 0)
			return true;
	}
	return false;
}

/*
 * All cookies count, not one: a load balancer before several replicas sets one beside Trustee's,
 * and without it /attest goes to a replica that does not know the session.
 */
static void take_cookie(char cookies[HTTP_COOKIE_MAX], struct view v)
{
	const uint8_t *eq;
	size_t have = strlen(cookies), gap = have > 0 ? 2 : 0, n = 0;

	while (n < v.len && v.p[n] != ';')
		n++;
	while (n > 0 && (v.p[n - 1] == ' ' || v.p[n - 1] == '\t'))
		n--;
	eq = n > 0 ? memchr(v.p, '=', n) : NULL;
	if (!eq || eq == v.p || n >= HTTP_COOKIE_MAX - have - gap)
		return;
	/* Visible ASCII only: it goes back in a header. */
	for (size_t i = 0; i < n; i++)
		if (v.p[i] <= ' ' || v.p[i] >= 0x7f)
			return;
	if (has_cookie(cookies, v.p, (size_t)(eq - v.p) + 1))
		return;
	memcpy(cookies + have, "; ", gap);
	memcpy(cookies + have + gap, v.p, n);
	cookies[have + gap + n] = '\0';
}

bool headers_take(struct headers *h, struct http_reply *reply, struct view line)
{
	struct view v;

	if (line.len > HEADERS_MAX - h->bytes)
		return false;
	h->bytes += line.len;
	while (line.len > 0 && (line.p[line.len - 1] == '\r' || line.p[line.len - 1] == '\n'))
		line.len--;
	if (view_starts(line, "HTTP/")) {
		h->ended = false;
		reply->set_cookie[0] = '\0';
		reply->date = 0;
		reply->retry_after_ms = 0;
		return true;
	}
	h->ended = h->ended || line.len == 0;
	if (h->ended)
		return true;
	v = value_of(line, "set-cookie");
	if (v.len > 0)
		take_cookie(reply->set_cookie, v);
	v = value_of(line, "date");
	if (v.len > 0)
		reply->date = headers_date(v);
	v = value_of(line, "retry-after");
	if (v.len > 0)
		reply->retry_after_ms = retry_after_ms(v);
	return true;
}
