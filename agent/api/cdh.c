/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/cdh.h"

#include "agent/api/status.h"
#include "agent/api/wire.h"

#define cleanup_input __attribute__((cleanup(wire_input_done)))

static enum api_status failed(const struct cdh_backend *b, const char *method,
			      const struct api_call *call, const char *prefix, const struct err *e,
			      char text[API_STATUS_TEXT])
{
	if (b->failed)
		b->failed(b->ctx, method, call, e);
	api_status_say(text, prefix, e);
	return API_INTERNAL;
}

/* The Rust server answers its decoder's text with code 2. */
static enum api_status malformed(const struct err *e, char text[API_STATUS_TEXT])
{
	api_status_say(text, NULL, e);
	return e->kind == ERR_NOMEM ? API_RESOURCE_EXHAUSTED : API_UNKNOWN;
}

static enum api_status unseal_end(const struct cdh_backend *b, int r, const struct api_call *call,
				  struct api_result *out, const struct err *e,
				  char text[API_STATUS_TEXT])
{
	out->secret_field = 1;
	if (r == 0)
		return API_OK;
	return failed(b, "UnsealSecret", call, "[CDH] [ERROR]: Unseal Secret failed", e, text);
}

static enum api_status unseal_local(void *ctx, const struct api_call *call, struct api_result *out,
				    char text[API_STATUS_TEXT])
{
	const struct cdh_backend *b = ctx;
	cleanup_input struct wire_input in = { 0 };
	struct err e = { 0 };
	int r;

	if (wire_unseal_decode(&in, call->payload, &e) < 0)
		return malformed(&e, text);
	r = b->unseal_cached(b->ctx, call->name, in.text, &out->secret, &e);
	return r == CDH_NOT_HERE ? API_NOT_LOCAL : unseal_end(b, r, call, out, &e, text);
}

static enum api_status unseal(void *ctx, const struct api_call *call, struct api_result *out,
			      char text[API_STATUS_TEXT])
{
	const struct cdh_backend *b = ctx;
	cleanup_input struct wire_input in = { 0 };
	struct err e = { 0 };
	int r;

	if (wire_unseal_decode(&in, call->payload, &e) < 0)
		return malformed(&e, text);
	r = b->unseal(b->ctx, call->name, in.text, call->deadline, &out->secret, &e);
	return unseal_end(b, r, call, out, &e, text);
}

static enum api_status get_resource(void *ctx, const struct api_call *call, struct api_result *out,
				    char text[API_STATUS_TEXT])
{
	const struct cdh_backend *b = ctx;
	cleanup_input struct wire_input in = { 0 };
	struct err e = { 0 };
	int r;

	if (wire_get_resource_decode(&in, call->payload, &e) < 0)
		return malformed(&e, text);
	r = b->get_resource(b->ctx, in.text, call->deadline, &out->secret, &e);
	out->secret_field = 1;
	if (r == 0)
		return API_OK;
	return failed(b, "GetResource", call, "[CDH] [ERROR]: Get Resource failed", &e, text);
}

/* An option that is wrong is a failed mount, as upstream's; only what is no message is code 2. */
static enum api_status secure_mount(void *ctx, const struct api_call *call, struct api_result *out,
				    char text[API_STATUS_TEXT])
{
	cleanup_secure_mount struct secure_mount m = { 0 };
	const struct cdh_backend *b = ctx;
	struct err e = { 0 };
	int r = secure_mount_parse(&m, call->payload, &e);

	(void)out;
	if (r < 0 && (e.code == CODE_API_MALFORMED || e.kind == ERR_NOMEM))
		return malformed(&e, text);
	if (r == 0)
		r = b->secure_mount(b->ctx, &m, call->name, call->deadline, &e);
	if (r == 0)
		return API_OK;
	return failed(b, "SecureMount", call, "[CDH] [ERROR]: Secure Mount failed", &e, text);
}

static enum api_status pull_image(void *ctx, const struct api_call *call, struct api_result *out,
				  char text[API_STATUS_TEXT])
{
	static const char prefix[] = "[CDH] [ERROR]: Image Pull error";
	const struct cdh_backend *b = ctx;
	struct err e;
	int r = CDH_NOT_HERE;

	out->message = BUF_MAX(1u << 20);
	if (b->pull_image)
		r = b->pull_image(b->ctx, call->payload, call->deadline, &out->message, &e);
	if (r == CDH_NOT_HERE)
		(void)err_code(&e, CODE_IMAGE_NOT_BUILT, "this version pulls no images");
	return r == 0 ? API_OK : failed(b, "PullImage", call, prefix, &e, text);
}

static enum api_status unwrap_key(void *ctx, const struct api_call *call, struct api_result *out,
				  char text[API_STATUS_TEXT])
{
	const struct cdh_backend *b = ctx;
	struct view request;
	struct err e = { 0 };

	if (wire_bytes_scan(&request, call->payload, 1, &e) < 0)
		return malformed(&e, text);
	out->secret_field = 1;
	if (b->unwrap_key(b->ctx, request, call->deadline, &out->secret, &e) == 0)
		return API_OK;
	return failed(b, "UnWrapKey", call,
		      e.code == CODE_KEYPROVIDER_REQUEST ?
			      "[ERROR] UnwrapKey Parse request failed" :
			      "[CDH] [ERROR]: Decrypt Image (UnwrapKey) failed",
		      &e, text);
}

void cdh_methods(struct api_method out[CDH_METHODS], struct cdh_backend *b)
{
	const struct api_method methods[CDH_METHODS] = {
		{ "api.SealedSecretService", "UnsealSecret", true, unseal,
		  b->unseal_cached ? unseal_local : NULL, b },
		{ "api.GetResourceService", "GetResource", true, get_resource, NULL, b },
		{ "api.SecureMountService", "SecureMount", true, secure_mount, NULL, b },
		{ "api.ImagePullService", "PullImage", true, pull_image, NULL, b },
		{ "keyprovider.KeyProviderService", "UnWrapKey", true, unwrap_key, NULL, b },
		{ "keyprovider.KeyProviderService", "WrapKey", false, NULL, NULL, b },
	};

	memcpy(out, methods, sizeof methods);
}
