/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/rest_route.h"

#include "agent/api/rest_query.h"
#include "agent/base/enc.h"
#include "agent/base/json.h"

#include <netinet/in.h>

const char rest_call_failed[] = "ttrpc request error";

const struct rest_route rest_forbidden = { .status = 403, .text = "Forbidden" };
const struct rest_route rest_too_large = { .status = 413, .text = "Payload Too Large" };
const struct rest_route rest_busy = { .status = 503, .text = "Service Unavailable" };

int rest_features_parse(unsigned *out, const char *word, struct err *e)
{
	if (strcmp(word, "resource") == 0)
		*out = REST_RESOURCE;
	else if (strcmp(word, "attestation") == 0)
		*out = REST_ATTESTATION;
	else if (strcmp(word, "all") == 0)
		*out = REST_ALL;
	else
		return err_set(e, ERR_USAGE,
			       "unknown features \"%.40s\"; there are: resource, attestation, all",
			       word);
	return 0;
}

const char *rest_features_name(unsigned features)
{
	return features == REST_ALL           ? "all"
	       : features == REST_ATTESTATION ? "attestation"
					      : "resource";
}

bool rest_peer_is_local(const struct sockaddr *peer)
{
	if (peer->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)peer;

		return ntohl(in->sin_addr.s_addr) >> 24 == 127;
	}
	if (peer->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)peer;

		return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
	}
	return false;
}

static void answer(struct rest_route *out, int status, const char *text)
{
	out->action = REST_ANSWER;
	out->status = status;
	out->text = text;
}

/* --- routes -------------------------------------------------------------------------- */

static const char not_found[] = "URL NOT FOUND", bad_request[] = "BAD REQUEST";

static void route_token(struct rest_route *out, struct view query)
{
	if (rest_query_get(&out->arg, query, "token_type"))
		out->action = REST_TOKEN;
	else
		answer(out, 400, bad_request);
}

static void route_evidence(struct rest_route *out, enum rest_action action, struct view query)
{
	cleanup_buf struct buf text = BUF_MAX(REST_VALUE_MAX), encoding = BUF_MAX(REST_VALUE_MAX);

	if (!rest_query_get(&text, query, "runtime_data")) {
		answer(out, 400, bad_request);
		return;
	}
	out->action = action;
	if (!rest_query_get(&encoding, query, "encoding")) {
		out->arg.failed = text.failed;
		buf_putv(&out->arg, buf_view(&text));
		return;
	}
	if (!view_is(buf_view(&encoding), "base64") ||
	    enc_base64_decode(&out->arg, ENC_B64U, buf_view(&text), NULL) < 0)
		answer(out, 400, bad_request);
}

/* path begins with the slash behind /aa. */
static void route_aa(struct rest_route *out, const char *method, struct view path,
		     struct view query)
{
	bool get = strcmp(method, "GET") == 0;

	if (get && view_is(path, "/token"))
		route_token(out, query);
	else if (get && view_is(path, "/evidence"))
		route_evidence(out, REST_EVIDENCE, query);
	else if (get && view_is(path, "/additional-evidence"))
		route_evidence(out, REST_ADDITIONAL, query);
	else if (strcmp(method, "POST") == 0 && view_is(path, "/aael"))
		out->action = REST_AAEL;
	else
		answer(out, 404, not_found);
}

/* path begins with the slash behind /cdh. Whatever follows /resource is the resource's path. */
static void route_cdh(struct rest_route *out, struct view path)
{
	static const char prefix[] = "/resource";

	if (!view_starts(path, "/resource/")) {
		answer(out, 404, not_found);
		return;
	}
	out->action = REST_GET;
	buf_puts(&out->arg, "kbs://");
	buf_put(&out->arg, path.p + sizeof prefix - 1, path.len - (sizeof prefix - 1));
}

/*
 * Path and query of a target: origin form, or the absolute form that RFC 9112 3.2.2 wants
 * every server to take. A fragment does not belong there and is dropped.
 */
static struct view split_target(struct view target, struct view *query)
{
	struct view path;

	target = rest_cut(&target, '#');
	*query = target;
	path = rest_cut(query, '?');
	if (view_starts(path, "http://")) {
		path = (struct view){ path.p + 7, path.len - 7 };
		(void)rest_cut(&path, '/');
		/* Back onto the slash; an authority alone means "/", which is nowhere. */
		if (path.p)
			path = (struct view){ path.p - 1, path.len + 1 };
	}
	return path;
}

/* Bytes that a request target cannot have; what is beyond ASCII must be UTF-8. */
static bool target_is_sound(struct view target)
{
	for (size_t i = 0; i < target.len; i++)
		if (target.p[i] <= ' ' || target.p[i] == 0x7f)
			return false;
	return target.len > 0 && enc_is_utf8(target);
}

static void decide(struct rest_route *out, unsigned features, const char *method, struct view path,
		   struct view query)
{
	if (view_is(path, "/info")) {
		if (strcmp(method, "GET") == 0)
			out->action = REST_INFO;
		else
			answer(out, 405, "Method Not Allowed");
	} else if (view_starts(path, "/aa/")) {
		if (features & REST_ATTESTATION)
			route_aa(out, method, (struct view){ path.p + 3, path.len - 3 }, query);
		else
			answer(out, 404, "Attestation Feature Not Enabled");
	} else if (view_starts(path, "/cdh/")) {
		if (features & REST_RESOURCE)
			route_cdh(out, (struct view){ path.p + 4, path.len - 4 });
		else
			answer(out, 404, "Resource Feature Not Enabled");
	} else {
		answer(out, 404, not_found);
	}
}

void rest_route(struct rest_route *out, unsigned features, const char *method, struct view target)
{
	struct view path, query;

	*out = (struct rest_route){ .arg = BUF_MAX(REST_VALUE_MAX) };
	if (target.len > REST_TARGET_MAX) {
		answer(out, 414, "URI Too Long");
		return;
	}
	if (!target_is_sound(target)) {
		answer(out, 400, bad_request);
		return;
	}
	path = split_target(target, &query);
	decide(out, features, method, path, query);
	if (out->arg.failed)
		answer(out, 500, "Internal Server Error");
}

void rest_route_done(struct rest_route *r)
{
	buf_done(&r->arg);
}

/* --- bodies and answers -------------------------------------------------------------- */

int rest_entry_parse(struct rest_entry *out, struct view body, struct err *e)
{
	struct rest_entry entry = { 0 };
	struct json *doc;
	int r = json_parse(&doc, body, REST_BODY_MAX, e);

	if (r < 0)
		return r;
	r = json_is_object(doc) ? 0 : err_set(e, ERR_FORMAT, "not a JSON object");
	if (r == 0)
		r = json_need_string(&entry.domain, doc, "domain", "the entry", e);
	if (r == 0)
		r = json_need_string(&entry.operation, doc, "operation", "the entry", e);
	if (r == 0)
		r = json_need_string(&entry.content, doc, "content", "the entry", e);
	if (r < 0) {
		json_free(doc);
		return r;
	}
	entry.doc = doc;
	*out = entry;
	return 0;
}

void rest_entry_done(struct rest_entry *entry)
{
	json_free(entry->doc);
	*entry = (struct rest_entry){ 0 };
}

void rest_entry_refused(struct buf *out, const struct err *e)
{
	buf_printf(out, "Illegal AAEL eventry format: %s", e->msg);
}

const char *rest_entry_result(int64_t result)
{
	switch (result) {
	case 0:
		return "{\"success\":\"true\"}";
	case 1:
		return "{\"success\":\"false\",\"message\": "
		       "\"The platform does not support runtime measurement\"}";
	case 2:
		return "{\"success\":\"false\",\"message\": "
		       "\"Attestation Agent does not enable eventlog recording\"}";
	default:
		return "{\"success\":\"false\",\"message\": "
		       "\"Unknown runtime measurement result\"}";
	}
}

void rest_info_put(struct buf *out, const struct rest_info *info)
{
	buf_puts(out, "{\"version\":");
	json_put_string(out, view_str(info->version));
	if (info->tee) {
		buf_puts(out, ",\"tee\":");
		json_put_string(out, view_str(info->tee));
	}
	for (size_t i = 0; i < info->n_more && i < REST_TEES_MAX; i++) {
		buf_puts(out, i == 0 ? ",\"additional_tees\":[" : ",");
		json_put_string(out, view_str(info->more[i]));
	}
	if (info->n_more > 0)
		buf_putc(out, ']');
	buf_puts(out, ",\"feature\":");
	json_put_string(out, view_str(rest_features_name(info->features)));
	buf_putc(out, '}');
}

void rest_connect_failed(struct buf *out, const char *service, const char *addr)
{
	buf_printf(out, "ttrpc connect to %s addr: %s failed", service, addr);
}
