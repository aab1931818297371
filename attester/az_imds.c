/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/az_imds.h"
#include "agent/base/enc.h"
#include "agent/base/json.h"
#include "agent/base/log.h"
#include "agent/crypto/x509.h"
#include "attester/tdx_quote.h"

#include <poll.h>

enum { REQUEST_MAX = 4096 };

static const char *const headers_get[] = { "Metadata: true", NULL };
static const char *const headers_post[] = { "Metadata: true", "Accept: application/json", NULL };

/* No memory stays what it is; anything else that is wrong with a reply is the reply's fault. */
static int bad_reply(int r, const char *what, struct err *e)
{
	return r == -ERR_NOMEM ? err_wrap(e, r, "%s", what)
			       : err_wrap_code(e, CODE_AZURE_METADATA_REPLY, "%s", what);
}

int az_imds_read_vcek(struct buf *der, struct view body, struct err *e)
{
	static const char what[] = "metadata service: VCEK";
	cleanup_json struct json *doc = NULL;
	cleanup_x509_chain struct x509_chain chain = { 0 };
	const char *pem;
	int r = json_parse(&doc, body, AZ_IMDS_REPLY_MAX, e);

	if (r == 0)
		r = json_need_string(&pem, doc, "vcekCert", "the reply", e);
	if (r == 0)
		r = x509_chain_pem(&chain, view_str(pem), e);
	if (r == 0 && chain.n != 1)
		r = err_set(e, ERR_FORMAT, "vcekCert holds %zu certificates, want 1", chain.n);
	if (r == 0)
		buf_putv(der, x509_der(chain.cert[0]));
	if (r == 0)
		r = buf_check(der, "VCEK", e);
	return r < 0 ? bad_reply(r, what, e) : 0;
}

int az_imds_read_quote(struct buf *quote, struct view body, struct err *e)
{
	static const char what[] = "metadata service: TD quote";
	cleanup_json struct json *doc = NULL;
	const char *text;
	int r = json_parse(&doc, body, AZ_IMDS_REPLY_MAX, e);

	if (r == 0)
		r = json_need_string(&text, doc, "quote", "the reply", e);
	if (r == 0 && enc_base64_decode(quote, ENC_B64, view_str(text), NULL) < 0) {
		buf_reset(quote);
		quote->failed = 0;
		r = enc_base64_decode(quote, ENC_B64U, view_str(text), e);
	}
	if (r == 0 && quote->len == 0)
		r = err_set(e, ERR_FORMAT, "an empty quote");
	return r < 0 ? bad_reply(r, what, e) : 0;
}

/* --- requests ------------------------------------------------------------------------------- */

static bool again_after(int r, const struct http_reply *reply, const struct err *e)
{
	if (r < 0)
		return e->kind == ERR_NETWORK || e->kind == ERR_TIMEOUT;
	return reply->status == 429 || reply->status >= 500;
}

/* What a try ended with, as the error of the whole. */
static int give_up(int r, const struct http_reply *reply, const struct http_request *q,
		   unsigned tries, struct err *e)
{
	if (r < 0)
		return err_wrap_code(e, CODE_AZURE_METADATA, "%s %s, tried %u times", q->method,
				     q->url, tries);
	return err_code(e, CODE_AZURE_METADATA, "%s %s: status %d, tried %u times", q->method, q->url,
			reply->status, tries);
}

/*
 * One exchange, as often as it takes. *reply is filled also with a status that is not 200: one
 * that will not change by asking again.
 */
static int ask(struct http_reply *reply, const struct attester_env *env, struct http_request *q,
	       struct deadline all, struct err *e)
{
	int64_t pause = AZ_IMDS_PAUSE_MS;

	if (!env->metadata)
		return err_code(e, CODE_AZURE_METADATA, "this program has no metadata service");
	q->reply_max = AZ_IMDS_REPLY_MAX;
	for (unsigned tries = 1;; tries++) {
		struct err why = { 0 };
		int64_t wait = pause;
		int r;

		q->deadline = deadline_min(all, deadline_in(AZ_IMDS_TRY_MS));
		r = env->metadata(env->metadata_ctx, q, reply, &why);
		if (r == 0 && !again_after(r, reply, &why))
			return 0;
		if (r == 0 && reply->retry_after_ms > wait)
			wait = reply->retry_after_ms;
		if (!again_after(r, reply, &why) || deadline_left_ms(all) <= wait) {
			if (e)
				*e = why;
			/* Too large, not HTTP, a redirect: not the service that is asked for. */
			if (r < 0 && !again_after(r, reply, &why))
				return bad_reply(r, q->url, e);
			r = give_up(r, reply, q, tries, e);
			http_reply_done(reply);
			return r;
		}
		log_debug("metadata service asked again", "url=%s status=%d code=%s pause_ms=%lld", q->url,
			  r == 0 ? reply->status : 0, err_name(&why), (long long)wait);
		http_reply_done(reply);
		*reply = (struct http_reply){ 0 };
		(void)poll(NULL, 0, (int)wait);
		pause = pause * 2 < AZ_IMDS_PAUSE_MAX ? pause * 2 : AZ_IMDS_PAUSE_MAX;
	}
}

static int fail_status(const struct http_request *q, int status, struct err *e)
{
	return err_code(e, CODE_AZURE_METADATA_REPLY, "%s %s: status %d", q->method, q->url, status);
}

int az_imds_vcek(struct buf *der, const struct attester_env *env, struct err *e)
{
	cleanup_http_reply struct http_reply reply = { 0 };
	struct http_request q = { .method = "GET",
				  .url = AZ_IMDS_URL "/metadata/THIM/amd/certification",
				  .headers = headers_get };
	int r = ask(&reply, env, &q, deadline_in(AZ_IMDS_MS), e);

	if (r < 0)
		return r;
	if (reply.status != 200)
		return fail_status(&q, reply.status, e);
	return az_imds_read_vcek(der, buf_view(&reply.body), e);
}

/* The service's documents do not say which alphabet it wants: the standard one, then the other. */
int az_imds_quote(struct buf *quote, const struct attester_env *env, struct view tdreport,
		  struct err *e)
{
	static const enum enc_alphabet alphabets[] = { ENC_B64, ENC_B64U };
	struct deadline all = deadline_in(AZ_IMDS_MS);
	struct http_request q = { .method = "POST",
				  .url = AZ_IMDS_URL "/acc/tdquote",
				  .content_type = "application/json",
				  .headers = headers_post };

	for (size_t i = 0;; i++) {
		cleanup_http_reply struct http_reply reply = { 0 };
		cleanup_buf struct buf body = BUF_MAX(REQUEST_MAX);
		int r;

		buf_puts(&body, "{\"report\":\"");
		enc_base64(&body, alphabets[i], tdreport);
		buf_puts(&body, "\"}");
		r = buf_check(&body, "request for a TD quote", e);
		if (r < 0)
			return r;
		q.body = buf_view(&body);
		r = ask(&reply, env, &q, all, e);
		if (r < 0)
			return r;
		if (reply.status == 200)
			return az_imds_read_quote(quote, buf_view(&reply.body), e);
		if (reply.status < 400 || i + 1 == ARRAY_LEN(alphabets))
			return fail_status(&q, reply.status, e);
	}
}
