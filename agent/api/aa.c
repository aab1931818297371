/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/aa.h"

#include "agent/api/fields.h"
#include "agent/api/status.h"
#include "agent/base/enc.h"

enum { REPLY_MAX = 4 << 20 };

#define AA_PREFIX "[ERROR:attestation-agent] "

static enum api_status failed(const struct aa_backend *b, const char *method,
			      const struct api_call *call, const char *prefix, const struct err *e,
			      char text[API_STATUS_TEXT])
{
	if (b->failed)
		b->failed(b->ctx, method, call, e);
	api_status_say(text, prefix, e);
	return API_INTERNAL;
}

static enum api_status malformed(const struct err *e, char text[API_STATUS_TEXT])
{
	api_status_say(text, NULL, e);
	return API_UNKNOWN;
}

/* The fields that the requests have; views into the payload. */
struct request {
	struct view text[4]; /* by field number, 1..3 */
	bool has_register;
	uint64_t reg;
};

/* The last of a repeated singular field counts; unknown fields are skipped. */
static int decode(struct request *q, const struct api_call *call, bool is_text, struct err *e)
{
	struct view in = call->payload;
	struct field f;

	while (in.len > 0) {
		if (field_next(&f, &in, e) < 0)
			return err_wrap_code(e, CODE_API_MALFORMED, "the payload");
		if (f.number >= 1 && f.number <= 3) {
			if (field_want(&f, FIELD_BYTES, e) < 0)
				return err_wrap_code(e, CODE_API_MALFORMED, "the payload");
			if (is_text && (f.bytes.len > AA_TEXT_MAX || !enc_is_utf8(f.bytes)))
				return err_code(e, CODE_API_MALFORMED,
						"field %u of %zu bytes, want UTF-8 of at most %d",
						f.number, f.bytes.len, AA_TEXT_MAX);
			q->text[f.number] = f.bytes;
		} else if (f.number == 4) {
			if (field_want(&f, FIELD_VARINT, e) < 0)
				return err_wrap_code(e, CODE_API_MALFORMED, "RegisterIndex");
			q->has_register = true;
			q->reg = f.value;
		}
	}
	return 0;
}

/* Evidence by one of the backend's two functions; nothing to send leaves the field out. */
static enum api_status
evidence_by(int (*make)(void *ctx, struct view runtime_data, char **json, struct err *e),
	    const char *method, const struct aa_backend *b, const struct api_call *call,
	    struct api_result *out, char text[API_STATUS_TEXT])
{
	static const char prefix[] = AA_PREFIX "AA-KBC get evidence failed";
	cleanup_free char *json = NULL;
	struct request q = { 0 };
	struct err e = { 0 };

	if (decode(&q, call, false, &e) < 0)
		return malformed(&e, text);
	if (!make)
		return API_OK;
	if (q.text[1].len > AA_RUNTIME_DATA_MAX) {
		(void)err_set(&e, ERR_USAGE, "runtime data of %zu bytes, allowed %d", q.text[1].len,
			      AA_RUNTIME_DATA_MAX);
		return failed(b, method, call, prefix, &e, text);
	}
	if (make(b->ctx, q.text[1], &json, &e) < 0)
		return failed(b, method, call, prefix, &e, text);
	out->message = BUF_MAX(REPLY_MAX);
	if (json[0] != '\0')
		field_put_bytes(&out->message, 1, view_str(json));
	return API_OK;
}

static enum api_status get_evidence(void *ctx, const struct api_call *call, struct api_result *out,
				    char text[API_STATUS_TEXT])
{
	const struct aa_backend *b = ctx;

	return evidence_by(b->evidence, "GetEvidence", b, call, out, text);
}

/* Without devices the field is empty bytes, not {}. */
static enum api_status get_additional_evidence(void *ctx, const struct api_call *call,
					       struct api_result *out, char text[API_STATUS_TEXT])
{
	const struct aa_backend *b = ctx;

	return evidence_by(b->additional, "GetAdditionalEvidence", b, call, out, text);
}

static enum api_status get_token(void *ctx, const struct api_call *call, struct api_result *out,
				 char text[API_STATUS_TEXT])
{
	const struct aa_backend *b = ctx;
	struct request q = { 0 };
	struct err e = { 0 };

	if (decode(&q, call, true, &e) < 0)
		return malformed(&e, text);
	out->secret_field = 1;
	if (b->token(b->ctx, q.text[1], call->deadline, &out->secret, &e) < 0)
		return failed(b, "GetToken", call, AA_PREFIX "AA-KBC get token failed", &e, text);
	return API_OK;
}

static enum api_status extend(void *ctx, const struct api_call *call, struct api_result *out,
			      char text[API_STATUS_TEXT])
{
	const struct aa_backend *b = ctx;
	struct request q = { 0 };
	struct err e = { 0 };
	int result = 0;

	if (decode(&q, call, true, &e) < 0)
		return malformed(&e, text);
	if (b->extend(b->ctx, q.text[1], q.text[2], q.text[3], q.has_register ? &q.reg : NULL,
		      &result, &e) < 0)
		return failed(b, "ExtendRuntimeMeasurement", call,
			      AA_PREFIX "AA extend runtime measurement failed", &e, text);
	out->message = BUF_MAX(64);
	if (result != 0)
		field_put_varint(&out->message, 1, (uint64_t)result);
	return API_OK;
}

static enum api_status get_tee_type(void *ctx, const struct api_call *call, struct api_result *out,
				    char text[API_STATUS_TEXT])
{
	const struct aa_backend *b = ctx;
	struct request q = { 0 };
	struct err e = { 0 };

	if (decode(&q, call, false, &e) < 0)
		return malformed(&e, text);
	out->message = BUF_MAX(256);
	field_put_bytes(&out->message, 1, view_str(b->tee(b->ctx)));
	return API_OK;
}

static enum api_status get_additional_tees(void *ctx, const struct api_call *call,
					   struct api_result *out, char text[API_STATUS_TEXT])
{
	const struct aa_backend *b = ctx;
	struct request q = { 0 };
	struct err e = { 0 };
	const char *name;

	if (decode(&q, call, false, &e) < 0)
		return malformed(&e, text);
	if (!b->device)
		return API_OK;
	out->message = BUF_MAX(4096);
	for (size_t i = 0; (name = b->device(b->ctx, i)) != NULL; i++)
		field_put_bytes(&out->message, 1, view_str(name));
	return API_OK;
}

void aa_methods(struct api_method out[AA_METHODS], struct aa_backend *b)
{
	static const char service[] = "attestation_agent.AttestationAgentService";
	const struct api_method methods[AA_METHODS] = {
		/* A device may take seconds: on the pool that may wait. */
		{ service, "GetEvidence", true, get_evidence, NULL, b },
		{ service, "GetAdditionalEvidence", true, get_additional_evidence, NULL, b },
		{ service, "GetToken", true, get_token, NULL, b },
		{ service, "ExtendRuntimeMeasurement", true, extend, NULL, b },
		{ service, "GetTeeType", false, get_tee_type, NULL, b },
		{ service, "GetAdditionalTees", false, get_additional_tees, NULL, b },
		{ service, "BindInitData", false, NULL, NULL, b },
	};

	memcpy(out, methods, sizeof methods);
}
