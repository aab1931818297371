/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/rest_query.h"
#include "agent/api/rest_route.h"
#include "agent/api/rest_token.h"
#include "agent/base/enc.h"

#include <assert.h>

/*
 * What a container sends to the REST API. The first byte chooses features and method, the
 * rest is a request target; and, as it is, an event-log entry and a token reply.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const methods[] = { "GET", "POST", "HEAD", "X" };

static void check_route(unsigned features, const char *method, struct view target)
{
	struct rest_route r;

	rest_route(&r, features, method, target);
	assert(!r.arg.failed || r.action == REST_ANSWER);
	switch (r.action) {
	case REST_ANSWER:
		assert(r.status >= 400 && r.status < 500);
		assert(r.text && r.text[0]);
		break;
	case REST_GET:
		assert(features & REST_RESOURCE);
		assert(view_starts(buf_view(&r.arg), "kbs:///") && enc_is_utf8(buf_view(&r.arg)));
		assert(!memchr(r.arg.p, '?', r.arg.len) && !memchr(r.arg.p, ' ', r.arg.len));
		break;
	case REST_TOKEN:
		assert(enc_is_utf8(buf_view(&r.arg)));
		__attribute__((fallthrough));
	case REST_EVIDENCE:
	case REST_ADDITIONAL:
		assert((features & REST_ATTESTATION) && strcmp(method, "GET") == 0);
		break;
	case REST_AAEL:
		assert((features & REST_ATTESTATION) && strcmp(method, "POST") == 0);
		break;
	case REST_INFO:
		assert(strcmp(method, "GET") == 0);
		break;
	}
	rest_route_done(&r);
}

static void check_query(struct view query)
{
	cleanup_buf struct buf out = BUF_MAX(REST_VALUE_MAX);

	if (query.len > REST_TARGET_MAX || !rest_query_get(&out, query, "runtime_data"))
		return;
	assert(!out.failed && enc_is_utf8(buf_view(&out)));
}

static void check_entry(struct view body)
{
	struct rest_entry entry;
	struct err e;

	if (rest_entry_parse(&entry, body, &e) < 0)
		return;
	assert(strlen(entry.domain) + strlen(entry.operation) + strlen(entry.content) <= body.len);
	rest_entry_done(&entry);
}

static void check_token(struct view reply)
{
	cleanup_secret struct secret s = { 0 };
	struct err e;

	if (reply.len == 0 || reply.len > 65536 || secret_alloc(&s, reply.len, &e) < 0)
		return;
	if (secret_append(&s, reply.p, reply.len, &e) < 0 || rest_token_strip(&s, &e) < 0)
		return;
	assert(s.len <= reply.len);
	if (s.len > 0 && s.p[0] == '{')
		assert(s.len >= 12 && !memchr(s.p + 10, '"', s.len - 12) &&
		       !memchr(s.p, '\\', s.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view rest = { data + 1, size - 1 };

	if (size == 0)
		return 0;
	check_route(1 + data[0] % 3, methods[data[0] / 3 % 4], rest);
	check_query(rest);
	check_entry(rest);
	check_token(rest);
	return 0;
}
