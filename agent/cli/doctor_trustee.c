/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/doctor.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

enum { CLOCK_TOLERANCE_S = 60 };

/* Cut the host out of an http(s) URL; false when it has none or is an address in brackets. */
static bool host_of(char out[256], const char *url)
{
	const char *p = strstr(url, "://");
	size_t n;

	if (!p || p[3] == '[')
		return false;
	p += 3;
	n = strcspn(p, ":/?#");
	if (n == 0 || n > 255)
		return false;
	(void)snprintf(out, 256, "%.*s", (int)n, p);
	return true;
}

static bool check_dns(struct doctor *d)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	char host[256], first[NI_MAXHOST] = "";
	int r, n = 0;

	if (d->guest.config.proxy) {
		doctor_say(d, "dns", VERDICT_SKIP, "the proxy resolves names");
		return true;
	}
	if (!host_of(host, d->guest.config.kbs_url)) {
		doctor_say(d, "dns", VERDICT_OK, "the URL has an address");
		return true;
	}
	r = getaddrinfo(host, NULL, &hints, &list);
	if (r != 0) {
		struct err e;

		(void)err_code(&e, CODE_NET_DNS, "%s: %s", host, gai_strerror(r));
		doctor_fail(d, "dns", &e);
		return false;
	}
	for (const struct addrinfo *a = list; a; a = a->ai_next, n++)
		if (n == 0)
			(void)getnameinfo(a->ai_addr, a->ai_addrlen, first, sizeof first, NULL, 0,
					  NI_NUMERICHOST);
	freeaddrinfo(list);
	doctor_say(d, "dns", VERDICT_OK, "%s is %s%s", host, first, n > 1 ? " and more" : "");
	return true;
}

static void check_clock(struct doctor *d, int64_t theirs)
{
	int64_t now = clock_wall_s();
	char mine[24], peer[24];

	clock_format(mine, now);
	if (theirs == 0) {
		doctor_say(d, "clock", VERDICT_NOTE, "here it is %s; Trustee sent no Date", mine);
		return;
	}
	clock_format(peer, theirs);
	if (llabs(now - theirs) > CLOCK_TOLERANCE_S) {
		struct err e;

		(void)err_code(&e, CODE_CLOCK_SKEW, "here it is %s, at Trustee %s", mine, peer);
		doctor_fail(d, "clock", &e);
		return;
	}
	doctor_say(d, "clock", VERDICT_OK, "%s, and Trustee's agrees", mine);
}

static bool check_connection(struct doctor *d)
{
	cleanup_free char *url = NULL;
	cleanup_http_reply struct http_reply reply = { 0 };
	struct http_request q = { .method = "GET", .reply_max = 65536, .deadline = d->deadline };
	struct err e;
	int n = (int)strlen(d->guest.config.kbs_url);

	while (n > 0 && d->guest.config.kbs_url[n - 1] == '/')
		n--;
	if (asprintf(&url, "%.*s/healthz", n, d->guest.config.kbs_url) < 0)
		return false;
	q.url = url;
	if (https_round_trip(d->guest.https, &q, &reply, &e) < 0) {
		doctor_fail(d, d->guest.config.plain_http ? "connection" : "tls", &e);
		if (e.code != CODE_CLOCK_SKEW)
			check_clock(d, 0);
		return false;
	}
	doctor_say(d, d->guest.config.plain_http ? "connection" : "tls",
		   d->guest.config.plain_http ? VERDICT_BAD : VERDICT_OK, "%s answers (status %d)%s",
		   url, reply.status, d->guest.config.plain_http ? ", in clear" : "");
	check_clock(d, reply.date);
	return true;
}

void doctor_check_trustee(struct doctor *d)
{
	struct kbs_stats stats = { 0 };
	struct err e;

	if (!d->have_config || !d->guest.config.kbs_url) {
		doctor_say(d, "trustee", VERDICT_SKIP, "no URL to try");
		return;
	}
	if (guest_open_trustee(&d->guest, &e) < 0) {
		doctor_fail(d, "trustee", &e);
		return;
	}
	if (!check_dns(d) || !check_connection(d)) {
		doctor_say(d, "trustee", VERDICT_SKIP, "it cannot be reached");
		return;
	}
	if (kbs_attest(d->guest.trustees[0].kbs, d->deadline, &e) < 0) {
		doctor_fail(d, "trustee", &e);
		return;
	}
	kbs_stats(d->guest.trustees[0].kbs, &stats);
	doctor_say(d, "trustee", VERDICT_OK,
		   "accepts the evidence of this guest; the token lasts %lld s",
		   (long long)(stats.token_left_ms / 1000));
}
