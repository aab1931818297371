/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/daemon/vouchsafed_aa.h"
#include "agent/base/enc.h"
#include "agent/base/json.h"
#include "agent/base/log.h"
#include "agent/daemon/vouchsafed_metrics.h"

#include <stdio.h>

enum { AS_REPLY_MAX = 256 * 1024, AS_BODY_MAX = 2 << 20 };

/* Platforms pad with zeros: none at all is the same as zeros (coco_as asks so). */
static struct view or_zeros(struct view runtime_data)
{
	static const uint8_t none[32] = { 0 };

	return runtime_data.len > 0 ? runtime_data : (struct view){ none, sizeof none };
}

static int evidence(void *ctx, struct view runtime_data, char **json, struct err *e)
{
	struct serve_aa *s = ctx;

	return guest_evidence(s->guest, or_zeros(runtime_data), json, e);
}

static int additional(void *ctx, struct view runtime_data, char **text, struct err *e)
{
	struct serve_aa *s = ctx;
	int r = guest_additional_evidence(s->guest, or_zeros(runtime_data), text, e);

	if (r == 0 && (*text)[0] != '\0')
		count(COUNTED_EVIDENCE);
	return r;
}

static const char *device(void *ctx, size_t i)
{
	struct serve_aa *s = ctx;

	return i < s->guest->n_devices ? s->guest->devices[i]->name : NULL;
}

static int evidence_for_caller(void *ctx, struct view runtime_data, char **json, struct err *e)
{
	int r = evidence(ctx, runtime_data, json, e);

	if (r == 0)
		count(COUNTED_EVIDENCE);
	return r;
}

/* POST {as}/attestation of evidence that binds nothing: a token that proves the platform only. */
static int coco_as_token(struct serve_aa *s, struct deadline d, struct secret *out, struct err *e)
{
	const char *base = s->guest->config.coco_as_url;
	cleanup_buf struct buf body = BUF_MAX(AS_BODY_MAX);
	cleanup_http_reply struct http_reply reply = { 0 };
	cleanup_free char *json = NULL, *url = NULL;
	struct http_request q = { .method = "POST", .content_type = "application/json",
				  .reply_max = AS_REPLY_MAX, .deadline = d };
	int n, r;

	if (!base)
		return err_code(e, CODE_CONFIG_NO_TRUSTEE,
				"aa.toml has no [token_configs.coco_as] url");
	r = evidence(s, (struct view){ NULL, 0 }, &json, e);
	if (r < 0)
		return r;
	buf_puts(&body, "{\"verification_requests\":[{\"tee\":");
	json_put_string(&body, view_str(s->guest->attester->name));
	buf_puts(&body, ",\"evidence\":\"");
	enc_base64(&body, ENC_B64U, view_str(json));
	buf_puts(&body, "\"}],\"policy_ids\":[]}");
	r = buf_check(&body, "the attestation request", e);
	if (r < 0)
		return r;
	for (n = (int)strlen(base); n > 0 && base[n - 1] == '/'; n--)
		continue;
	if (asprintf(&url, "%.*s/attestation", n, base) < 0)
		return err_set(e, ERR_NOMEM, "no memory for a URL");
	q.url = url;
	q.body = buf_view(&body);
	r = https_round_trip(s->guest->https ? s->guest->https : s->https, &q, &reply, e);
	if (r < 0)
		return r;
	if (reply.status != 200)
		return err_code(e, CODE_KBS_ATTESTATION_FAILED, "%s: status %d: %.160s", url, reply.status,
				buf_str(&reply.body));
	if (reply.body.len == 0)
		return err_code(e, CODE_KBS_BAD_REPLY, "%s: an empty token", url);
	if ((r = secret_alloc(out, reply.body.len, e)) < 0)
		return r;
	r = secret_append(out, reply.body.p, reply.body.len, e);
	explicit_bzero(reply.body.p, reply.body.len);
	return r;
}

static int token(void *ctx, struct view type, struct deadline d, struct secret *out, struct err *e)
{
	struct serve_aa *s = ctx;
	int r;

	if (view_is(type, "coco_as")) {
		r = coco_as_token(s, d, out, e);
		if (r == 0)
			count(COUNTED_TOKEN_COCO_AS);
		return r;
	}
	if (!view_is(type, "kbs"))
		return err_set(e, ERR_USAGE, "token type \"%.*s\", allowed kbs, coco_as", VIEW_ARG(type));
	if (s->guest->n_trustees == 0)
		return err_code(e, CODE_CONFIG_NO_TRUSTEE, "the initdata has no [token_configs.kbs] url");
	r = kbs_export_token(s->guest->trustees[0].kbs, out, d, e);
	if (r == 0)
		count(COUNTED_TOKEN_KBS);
	return r;
}

static int extend(void *ctx, struct view domain, struct view operation, struct view content,
		  const uint64_t *reg, int *result, struct err *e)
{
	struct serve_aa *s = ctx;
	enum eventlog_result got;
	int r = eventlog_extend(s->log, domain, operation, content, reg, &got, e);

	if (r < 0)
		return r;
	if (got == EVENTLOG_OK)
		count(COUNTED_EVENT);
	*result = (int)got;
	return 0;
}

static const char *tee(void *ctx)
{
	struct serve_aa *s = ctx;

	return s->guest->attester->name;
}

void serve_failed(void *ctx, const char *method, const struct api_call *call, const struct err *e)
{
	(void)ctx;
	count_failure(e);
	log_warn("call failed", "method=%s uid=%u pid=%d name=\"%s\" code=%s kind=%s side=%s what=\"%s\"",
		 method, call->peer.uid, call->peer.pid, call->name ? call->name : "-", err_name(e),
		 err_kind_name(e->kind), err_side_name(err_entry(e->code)->side), e->msg);
}

int serve_aa_open(struct serve_aa *s, struct guest *g, struct err *e)
{
	const struct eventlog_config log = { .enabled = g->config.eventlog_enabled,
					     .has_init_pcr = g->config.has_init_pcr,
					     .init_pcr = g->config.init_pcr };
	const struct https_config https = { .ca_pem = g->config.kbs_cert, .proxy = g->config.proxy,
					    .no_proxy = g->config.no_proxy };
	int r;

	s->guest = g;
	r = eventlog_open(&s->log, g->root, g->attester, &g->env, &log, e);
	if (r == 0 && g->config.coco_as_url && !g->https)
		r = https_new(&s->https, &https, e);
	return r;
}

void serve_aa_close(struct serve_aa *s)
{
	eventlog_close(s->log);
	https_free(s->https);
	*s = (struct serve_aa){ 0 };
}

struct aa_backend serve_aa_backend(struct serve_aa *s)
{
	return (struct aa_backend){
		.evidence = evidence_for_caller,
		.additional = additional,
		.device = device,
		.token = token,
		.extend = extend,
		.tee = tee,
		.failed = serve_failed,
		.ctx = s,
	};
}
