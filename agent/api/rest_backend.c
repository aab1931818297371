/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/rest_backend.h"

#include "agent/api/aa_client.h"
#include "agent/api/rest_token.h"

enum { BODY_MAX = 4096 };

static const char aa_name[] = "Attestation Agent", cdh_name[] = "CDH";

void rest_backend_init(struct rest_backend *b, const struct rest_backend_config *config)
{
	*b = (struct rest_backend){ .config = config,
				    .aa = RPC_LINK(config->aa.path),
				    .cdh = RPC_LINK(config->cdh.path) };
}

void rest_backend_done(struct rest_backend *b)
{
	rpc_close(&b->aa);
	rpc_close(&b->cdh);
}

void rest_reply_text(struct rest_reply *out, int status, const char *text)
{
	*out = (struct rest_reply){ .status = status, .text = text };
}

void rest_reply_done(struct rest_reply *r)
{
	buf_done(&r->body);
	secret_done(&r->secret);
}

static void failed(struct rest_backend *b, const char *what, const struct err *e)
{
	if (b->config->failed)
		b->config->failed(b->config->ctx, what, e);
}

static void body(struct rest_reply *out, int status, enum rest_type type)
{
	*out = (struct rest_reply){ .status = status, .type = type, .body = BUF_MAX(BODY_MAX) };
}

/* A body that has found no memory must not leave cut short. */
static void body_end(struct rest_reply *out)
{
	if (!out->body.failed)
		return;
	rest_reply_done(out);
	rest_reply_text(out, 500, "Internal Server Error");
}

/* Is the service there? Its absence is another answer than a failed call. */
static bool ready(struct rest_backend *b, struct rpc_link *l, const char *what, struct deadline d,
		  struct rest_reply *out)
{
	bool cdh = l == &b->cdh;
	struct err e;

	if (rpc_ready(l, d, &e) == 0)
		return true;
	failed(b, what, &e);
	body(out, 500, REST_TYPE_NONE);
	rest_connect_failed(&out->body, cdh ? cdh_name : aa_name,
			    cdh ? b->config->cdh.addr : b->config->aa.addr);
	body_end(out);
	return false;
}

static void octets(struct rest_backend *b, int r, const char *what, const struct err *e,
		   struct secret *plain, struct rest_reply *out)
{
	if (r < 0) {
		failed(b, what, e);
		rest_reply_text(out, 500, rest_call_failed);
		return;
	}
	*out = (struct rest_reply){ .status = 200, .type = REST_TYPE_OCTETS };
	secret_move(&out->secret, plain);
}

static void get_resource(struct rest_backend *b, struct view uri, struct deadline d,
			 struct rest_reply *out)
{
	static const char what[] = "/cdh/resource";
	cleanup_secret struct secret plain = { 0 };
	struct err e;

	if (ready(b, &b->cdh, what, d, out))
		octets(b, aa_get_resource(&b->cdh, uri, d, &plain, &e), what, &e, &plain, out);
}

static void get_token(struct rest_backend *b, struct view type, struct deadline d,
		      struct rest_reply *out)
{
	static const char what[] = "/aa/token";
	cleanup_secret struct secret plain = { 0 };
	struct err e;
	int r;

	if (!ready(b, &b->aa, what, d, out))
		return;
	r = aa_get_token(&b->aa, type, d, &plain, &e);
	if (r == 0 && b->config->token_without_key)
		r = rest_token_strip(&plain, &e);
	octets(b, r, what, &e, &plain, out);
}

static void get_evidence(struct rest_backend *b, bool additional, struct view runtime_data,
			 struct deadline d, struct rest_reply *out)
{
	const char *what = additional ? "/aa/additional-evidence" : "/aa/evidence";
	cleanup_secret struct secret json = { 0 };
	struct err e;

	if (ready(b, &b->aa, what, d, out))
		octets(b, aa_get_evidence(&b->aa, additional, runtime_data, d, &json, &e), what, &e,
		       &json, out);
}

static void extend(struct rest_backend *b, const struct rest_entry *entry, struct deadline d,
		   struct rest_reply *out)
{
	static const char what[] = "/aa/aael";
	const struct aa_event event = { .domain = view_str(entry->domain),
					.operation = view_str(entry->operation),
					.content = view_str(entry->content) };
	int64_t result;
	struct err e;

	if (!ready(b, &b->aa, what, d, out))
		return;
	if (aa_extend(&b->aa, &event, d, &result, &e) < 0) {
		failed(b, what, &e);
		rest_reply_text(out, 500, rest_call_failed);
		return;
	}
	rest_reply_text(out, 200, rest_entry_result(result));
	out->type = REST_TYPE_JSON;
}

static void get_info(struct rest_backend *b, struct deadline d, struct rest_reply *out)
{
	struct rest_info info = { .version = b->config->version, .features = b->config->features };
	struct aa_tee tee;
	struct aa_tees more = { 0 };
	struct err e;
	int r = 0;

	if (info.features & REST_ATTESTATION) {
		r = rpc_ready(&b->aa, d, &e);
		if (r == 0)
			r = aa_get_tee(&b->aa, d, &tee, &e);
		if (r == 0)
			r = rpc_ready(&b->aa, d, &e);
		if (r == 0)
			r = aa_get_additional_tees(&b->aa, d, &more, &e);
		info.tee = tee.name;
	}
	if (r < 0) {
		failed(b, "/info", &e);
		*out = (struct rest_reply){ .hang_up = true };
		return;
	}
	for (; info.n_more < more.n && info.n_more < REST_TEES_MAX; info.n_more++)
		info.more[info.n_more] = more.tee[info.n_more].name;
	body(out, 200, REST_TYPE_JSON);
	rest_info_put(&out->body, &info);
	body_end(out);
}

void rest_backend_answer(struct rest_backend *b, const struct rest_route *route,
			 const struct rest_entry *entry, struct deadline d, struct rest_reply *out)
{
	struct view arg = buf_view(&route->arg);

	switch (route->action) {
	case REST_ANSWER:
		rest_reply_text(out, route->status, route->text);
		break;
	case REST_INFO:
		get_info(b, d, out);
		break;
	case REST_TOKEN:
		get_token(b, arg, d, out);
		break;
	case REST_EVIDENCE:
	case REST_ADDITIONAL:
		get_evidence(b, route->action == REST_ADDITIONAL, arg, d, out);
		break;
	case REST_AAEL:
		extend(b, entry, d, out);
		break;
	case REST_GET:
		get_resource(b, arg, d, out);
		break;
	}
}
