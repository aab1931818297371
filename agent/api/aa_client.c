/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/aa_client.h"

#include "agent/api/fields.h"
#include "agent/api/frame.h"
#include "agent/api/wire.h"

static const char service[] = "attestation_agent.AttestationAgentService";

static int malformed(struct err *e, const char *method)
{
	return err_wrap_code(e, CODE_API_MALFORMED, "the reply of %s", method);
}

/* One bytes field in, one bytes field out, both number 1. */
static int bytes_call(struct rpc_link *l, const char *of, const char *method, struct view in,
		      struct deadline d, struct secret *out, struct err *e)
{
	cleanup_buf struct buf message = BUF_MAX(FRAME_MAX);
	cleanup_secret struct secret reply = { 0 };
	struct view found;
	int r;

	if (in.len > 0)
		field_put_bytes(&message, 1, in);
	r = buf_check(&message, "the request", e);
	if (r == 0)
		r = rpc_call(l, of, method, buf_view(&message), d, &reply, e);
	if (r < 0)
		return r;
	r = wire_bytes_scan(&found, (struct view){ secret_bytes(&reply), reply.len }, 1, e);
	if (r < 0)
		return malformed(e, method);
	if (found.len > 0)
		rpc_cut(&reply, found);
	else
		secret_done(&reply);
	secret_move(out, &reply);
	return 0;
}

int aa_get_token(struct rpc_link *l, struct view type, struct deadline d, struct secret *out,
		 struct err *e)
{
	return bytes_call(l, service, "GetToken", type, d, out, e);
}

int aa_get_evidence(struct rpc_link *l, bool additional, struct view runtime_data,
		    struct deadline d, struct secret *out, struct err *e)
{
	return bytes_call(l, service, additional ? "GetAdditionalEvidence" : "GetEvidence",
			  runtime_data, d, out, e);
}

int aa_get_resource(struct rpc_link *l, struct view uri, struct deadline d, struct secret *out,
		    struct err *e)
{
	return bytes_call(l, "api.GetResourceService", "GetResource", uri, d, out, e);
}

static int take_name(struct aa_tee *out, struct view name, struct err *e)
{
	if (name.len > AA_TEE_MAX)
		return err_set(e, ERR_FORMAT, "TEE name of %zu bytes, allowed %d", name.len,
			       AA_TEE_MAX);
	for (size_t i = 0; i < name.len; i++)
		if (name.p[i] <= ' ' || name.p[i] > '~')
			return err_set(e, ERR_FORMAT, "TEE name with a byte 0x%02x", name.p[i]);
	*out = (struct aa_tee){ 0 };
	if (name.len > 0)
		memcpy(out->name, name.p, name.len);
	return 0;
}

int aa_get_tee(struct rpc_link *l, struct deadline d, struct aa_tee *out, struct err *e)
{
	cleanup_secret struct secret reply = { 0 };
	int r = bytes_call(l, service, "GetTeeType", (struct view){ 0 }, d, &reply, e);

	if (r < 0)
		return r;
	if (take_name(out, (struct view){ secret_bytes(&reply), reply.len }, e) < 0)
		return malformed(e, "GetTeeType");
	return 0;
}

static int take_names(struct aa_tees *out, struct view rest, struct err *e)
{
	struct field f;
	int r = 0;

	while (r == 0 && rest.len > 0) {
		r = field_next(&f, &rest, e);
		if (r < 0 || f.number != 1)
			continue;
		r = field_want(&f, FIELD_BYTES, e);
		if (r == 0 && out->n == AA_TEES_MAX)
			r = err_set(e, ERR_FORMAT, "more than %d TEEs", AA_TEES_MAX);
		if (r == 0)
			r = take_name(&out->tee[out->n], f.bytes, e);
		if (r == 0)
			out->n++;
	}
	return r;
}

int aa_get_additional_tees(struct rpc_link *l, struct deadline d, struct aa_tees *out,
			   struct err *e)
{
	static const char method[] = "GetAdditionalTees";
	cleanup_secret struct secret reply = { 0 };
	struct aa_tees tees = { 0 };
	int r = rpc_call(l, service, method, (struct view){ 0 }, d, &reply, e);

	if (r < 0)
		return r;
	if (take_names(&tees, (struct view){ secret_bytes(&reply), reply.len }, e) < 0)
		return malformed(e, method);
	*out = tees;
	return 0;
}

int aa_extend(struct rpc_link *l, const struct aa_event *event, struct deadline d, int64_t *result,
	      struct err *e)
{
	static const char method[] = "ExtendRuntimeMeasurement";
	cleanup_buf struct buf message = BUF_MAX(FRAME_MAX);
	cleanup_secret struct secret reply = { 0 };
	struct view rest;
	struct field f;
	uint64_t value = 0;
	int r;

	field_put_bytes(&message, 1, event->domain);
	field_put_bytes(&message, 2, event->operation);
	field_put_bytes(&message, 3, event->content);
	if (event->has_register)
		field_put_varint(&message, 4, event->reg);
	r = buf_check(&message, "the entry", e);
	if (r == 0)
		r = rpc_call(l, service, method, buf_view(&message), d, &reply, e);
	if (r < 0)
		return r;
	rest = (struct view){ secret_bytes(&reply), reply.len };
	while (rest.len > 0) {
		r = field_next(&f, &rest, e);
		if (r == 0 && f.number == 1)
			r = field_want(&f, FIELD_VARINT, e);
		if (r < 0)
			return malformed(e, method);
		if (f.number == 1)
			value = f.value;
	}
	*result = (int64_t)value;
	return 0;
}
