/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_UNIT_KBS_TRUSTEE_H
#define TEST_UNIT_KBS_TRUSTEE_H

#include "agent/kbs/client.h"
#include "test/unit/kbs/jwe_make.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

/*
 * A Trustee behind the callback of a client: it keeps the key of every token that it gives, and
 * encrypts to the key of the token that it is shown.
 */
#define TRUSTEE_COOKIE "kbs-session-id=0123456789abcdef0123456789abcdef"

enum { TRUSTEE_TOKENS = 64, TRUSTEE_SCRIPT = 16, LONG_MS = 10000 };

/* What a GET is answered with instead of the resource. */
struct trustee_answer {
	int status;       /* 0: code is how the round trip fails */
	const char *kind; /* of the error, or NULL: body as it is */
	const char *body;
	enum err_code code;
	int64_t retry_after_ms;
};

static struct trustee {
	pthread_mutex_t lock;
	int auths, attests, gets;
	char last_url[2048];
	char token[TRUSTEE_TOKENS][256];
	struct json *key[TRUSTEE_TOKENS]; /* tee-pubkey of that token */
	char init_data[256];              /* body of the last one, or "null" */
	int encrypt_to;                   /* this token's key rather than the shown one's; -1: no */
	const char *claims;               /* of the next tokens, or NULL */
	struct trustee_answer script[TRUSTEE_SCRIPT];
	int n_script, at_script;      /* each GET takes one; then the resource is given */
	struct trustee_answer always; /* when its status or code is set */
	atomic_llong clock;
} trustee = { .lock = PTHREAD_MUTEX_INITIALIZER, .encrypt_to = -1, .clock = 5000000 };

static inline int64_t trustee_now(void)
{
	return atomic_load(&trustee.clock);
}

static inline void trustee_says(struct http_reply *reply, int status, const char *body)
{
	reply->status = status;
	reply->body = BUF_MAX(1u << 20);
	buf_puts(&reply->body, body);
}

static inline void trustee_attest(const struct http_request *q, struct http_reply *reply)
{
	cleanup_buf struct buf claims = BUF_MAX(256), token = BUF_MAX(512), body = BUF_MAX(1024);
	cleanup_json struct json *doc = NULL;
	cleanup_buf struct buf key = BUF_MAX(4096);
	const char *toml;
	int n = trustee.attests++;
	struct err e;

	CHECK(n < TRUSTEE_TOKENS);
	CHECK(q->cookie && strcmp(q->cookie, TRUSTEE_COOKIE) == 0);
	CHECK_INT(json_parse(&doc, q->body, 1u << 20, &e), 0);
	toml = json_string(json_get(json_get(doc, "init-data"), "body"));
	(void)snprintf(trustee.init_data, sizeof trustee.init_data, "%s",
		       toml                                       ? toml
		       : json_is_null(json_get(doc, "init-data")) ? "null"
								  : "absent");
	CHECK_INT(json_canonical(&key, json_get(json_get(doc, "runtime-data"), "tee-pubkey"), &e),
		  0);
	CHECK_INT(json_parse(&trustee.key[n], buf_view(&key), 4096, &e), 0);
	buf_printf(&claims, "%s", trustee.claims ? trustee.claims : "{\"iat\":0,\"exp\":300}");
	buf_printf(&token, "t%d.", n);
	enc_base64(&token, ENC_B64U, buf_view(&claims));
	buf_puts(&token, ".s");
	(void)snprintf(trustee.token[n], sizeof trustee.token[n], "%s", buf_str(&token));
	buf_printf(&body, "{\"token\":\"%s\"}", buf_str(&token));
	trustee_says(reply, 200, buf_str(&body));
}

static inline int trustee_answers(const struct trustee_answer *a, struct http_reply *reply,
				  struct err *e)
{
	char body[512];

	if (a->status == 0)
		return err_code(e, a->code, "as the test wants");
	(void)snprintf(body, sizeof body,
		       "{\"type\":\"https://github.com/confidential-containers/kbs/errors/%s\","
		       "\"detail\":\"as the test wants\"}",
		       a->kind ? a->kind : "");
	trustee_says(reply, a->status, a->kind ? body : a->body ? a->body : "");
	reply->retry_after_ms = a->retry_after_ms;
	return 0;
}

static inline int trustee_get(const struct http_request *q, struct http_reply *reply, struct err *e)
{
	int n = 0;

	trustee.gets++;
	(void)snprintf(trustee.last_url, sizeof trustee.last_url, "%s", q->url);
	CHECK(!q->cookie && q->bearer && q->body.len == 0);
	while (n < trustee.attests && strcmp(trustee.token[n], q->bearer) != 0)
		n++;
	CHECK(n < trustee.attests);
	if (trustee.at_script < trustee.n_script)
		return trustee_answers(&trustee.script[trustee.at_script++], reply, e);
	if (trustee.always.status || trustee.always.code != CODE_OK)
		return trustee_answers(&trustee.always, reply, e);
	trustee_says(reply, 200, "");
	jwe_make(&reply->body, trustee.key[trustee.encrypt_to < 0 ? n : trustee.encrypt_to],
		 strstr(q->url, "/kbs/v0/"));
	return 0;
}

static inline int trustee_round_trip(void *ctx, const struct http_request *q,
				     struct http_reply *reply, struct err *e)
{
	struct http_reply got = { 0 };
	int r = 0;

	CHECK(ctx == &trustee);
	(void)pthread_mutex_lock(&trustee.lock);
	if (strcmp(q->method, "GET") == 0) {
		r = trustee_get(q, &got, e);
	} else if (strcmp(q->url, "http://t/kbs/v0/auth") == 0) {
		CHECK(!q->cookie && !q->bearer && strcmp(q->content_type, "application/json") == 0);
		trustee.auths++;
		trustee_says(&got, 200, "{\"nonce\":\"bm9uY2U=\",\"extra-params\":\"\"}");
		(void)snprintf(got.set_cookie, sizeof got.set_cookie, TRUSTEE_COOKIE);
	} else {
		CHECK(strcmp(q->url, "http://t/kbs/v0/attest") == 0 && !q->bearer);
		trustee_attest(q, &got);
	}
	(void)pthread_mutex_unlock(&trustee.lock);
	if (r == 0)
		*reply = got;
	return r;
}

static inline int trustee_evidence(void *ctx, struct view report_data, char **json, struct err *e)
{
	(void)ctx;
	CHECK_INT(report_data.len, 48);
	*json = strdup("{\"svn\":\"1\"}");
	return *json ? 0 : err_set(e, ERR_NOMEM, "no memory");
}

/* A client of it, whose clock is trustee.clock when frozen. */
static inline struct kbs *trustee_client(bool frozen)
{
	const struct kbs_config config = {
		.url = "http://t//",
		.key_alg = TEEKEY_P256,
		.evidence = { .tee = "sample", .evidence = trustee_evidence },
		.round_trip = trustee_round_trip,
		.round_trip_ctx = &trustee,
		.now_ms = frozen ? trustee_now : NULL,
	};
	struct kbs *k = NULL;
	struct err e;

	if (kbs_new(&k, &config, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s", e.msg);
	return k;
}

static inline void trustee_gone(struct kbs *k)
{
	kbs_free(k);
	for (int i = 0; i < TRUSTEE_TOKENS; i++)
		json_free(trustee.key[i]);
}

/* One kbs_get of kbs:///default/key/NAME: CODE_OK and the right plaintext, or the code. */
static inline enum err_code trustee_ask(struct kbs *k, const char *name, int64_t ms, struct err *e)
{
	cleanup_secret struct secret out = { 0 };
	char text[128], want[128];
	struct uri uri;
	int r;

	(void)snprintf(text, sizeof text, "kbs:///default/key/%s", name);
	(void)snprintf(want, sizeof want, "/kbs/v0/resource/default/key/%s", name);
	CHECK_INT(uri_parse(&uri, view_str(text), e), 0);
	r = kbs_get(k, &out, &uri, deadline_in(ms), e);
	if (r < 0) {
		CHECK_INT(r, -(int)e->kind);
		CHECK(!secret_bytes(&out));
		return e->code;
	}
	CHECK(secret_is(&out, want));
	return CODE_OK;
}

#endif
