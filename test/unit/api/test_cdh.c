/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/cdh.h"
#include "agent/api/wire.h"
#include "test/test.h"

static struct {
	int unseals, cached, resources, failures, mounts;
	char method[32], name[64], text[256];
	enum err_code code;
} saw;

static int give(struct secret *out, struct err *e)
{
	int r = secret_alloc(out, 4, e);

	return r < 0 ? r : secret_append(out, "open", 4, e);
}

static void note(const char *name, struct view text)
{
	(void)snprintf(saw.name, sizeof saw.name, "%s", name ?: "-");
	(void)snprintf(saw.text, sizeof saw.text, "%.*s", VIEW_ARG(text));
}

static int fake_unseal(void *ctx, const char *name, struct view sealed, struct deadline d,
		       struct secret *out, struct err *e)
{
	(void)ctx;
	saw.unseals++;
	note(name, sealed);
	if (view_is(sealed, "bad"))
		return err_code(e, CODE_SEALED_SIGNATURE, "kid kbs:///a/b/c");
	CHECK_INT(d.at_ms, 12345);
	return give(out, e);
}

static int fake_cached(void *ctx, const char *name, struct view sealed, struct secret *out,
		       struct err *e)
{
	(void)ctx;
	saw.cached++;
	note(name, sealed);
	if (view_is(sealed, "swapped"))
		return err_code(e, CODE_SEALED_BIND_MISMATCH, "DB_PASSWORD");
	return view_is(sealed, "hit") ? give(out, e) : CDH_NOT_HERE;
}

static int fake_resource(void *ctx, struct view uri, struct deadline d, struct secret *out,
			 struct err *e)
{
	(void)ctx;
	(void)d;
	saw.resources++;
	note(NULL, uri);
	if (!view_starts(uri, "kbs://"))
		return err_code(e, CODE_KBS_URI, "no scheme");
	return give(out, e);
}

static int fake_unwrap(void *ctx, struct view request, struct deadline d, struct secret *out,
		       struct err *e);

static int fake_mount(void *ctx, const struct secure_mount *m, const char *name, struct deadline d,
		      struct err *e)
{
	(void)ctx;
	CHECK_INT(d.at_ms, 12345);
	saw.mounts++;
	note(name, view_str(m->volume.device));
	if (strcmp(m->volume.device, "/dev/full") == 0)
		return err_code(e, CODE_VOLUME_NOT_EMPTY, "/dev/full holds ext4");
	return 0;
}

static void fake_failed(void *ctx, const char *method, const struct api_call *call,
			const struct err *e)
{
	(void)ctx;
	(void)call;
	saw.failures++;
	saw.code = e->code;
	(void)snprintf(saw.method, sizeof saw.method, "%s", method);
}

static struct cdh_backend backend = { .unseal = fake_unseal,
				      .unseal_cached = fake_cached,
				      .get_resource = fake_resource,
				      .unwrap_key = fake_unwrap,
				      .secure_mount = fake_mount,
				      .failed = fake_failed };
static struct api_method cdh[CDH_METHODS];

static const struct api_method *method(const char *service, const char *name)
{
	cdh_methods(cdh, &backend);
	for (size_t i = 0; i < CDH_METHODS; i++)
		if (strcmp(cdh[i].service, service) == 0 && strcmp(cdh[i].method, name) == 0)
			return &cdh[i];
	test_fail(__FILE__, __LINE__, "no method %s/%s", service, name);
}

struct outcome {
	enum api_status status;
	char text[API_STATUS_TEXT];
	struct api_result result;
};

static struct outcome call(const char *service, const char *name, bool local, struct view payload)
{
	const struct api_method *m = method(service, name);
	struct outcome o = { .result.message = BUF_MAX(4096) };
	struct api_call c = { .deadline = { 12345 }, .payload = payload, .name = "DB" };

	o.status = (local ? m->handle_local : m->handle)(m->ctx, &c, &o.result, o.text);
	return o;
}

#define PAYLOAD(s) ((struct view){ (const uint8_t *)(s), sizeof(s) - 1 })

TEST(cdh_unseal__good__is_a_secret_in_field_1)
{
	struct outcome o = call("api.SealedSecretService", "UnsealSecret", false,
				PAYLOAD("\x0a\x03yes"));

	CHECK_INT(o.status, API_OK);
	CHECK_INT(o.result.secret_field, 1);
	CHECK_INT(o.result.message.len, 0);
	CHECK(secret_eq(&o.result.secret, "open", 4));
	CHECK(strcmp(saw.name, "DB") == 0 && strcmp(saw.text, "yes") == 0);
	CHECK_INT(saw.failures, 0);
	secret_done(&o.result.secret);
}

TEST(cdh_unseal__failure__is_13_with_upstreams_text_then_ours)
{
	struct outcome o = call("api.SealedSecretService", "UnsealSecret", false,
				PAYLOAD("\x0a\x03" "bad"));

	CHECK_INT(o.status, API_INTERNAL);
	CHECK(strcmp(o.text, "[CDH] [ERROR]: Unseal Secret failed: sealed.signature: "
			     "kid kbs:///a/b/c") == 0);
	CHECK(o.result.secret.p == NULL);
	CHECK_INT(saw.failures, 1);
	CHECK_INT(saw.code, CODE_SEALED_SIGNATURE);
	CHECK(strcmp(saw.method, "UnsealSecret") == 0);
}

TEST(cdh_unseal__at_hand__is_answered_without_trustee)
{
	struct outcome o = call("api.SealedSecretService", "UnsealSecret", true,
				PAYLOAD("\x0a\x03hit"));

	CHECK_INT(o.status, API_OK);
	CHECK(secret_eq(&o.result.secret, "open", 4));
	secret_done(&o.result.secret);
	o = call("api.SealedSecretService", "UnsealSecret", true, PAYLOAD("\x0a\x04miss"));
	CHECK_INT(o.status, API_NOT_LOCAL);
	CHECK(o.result.secret.p == NULL);
	o = call("api.SealedSecretService", "UnsealSecret", true, PAYLOAD("\x0a\x07swapped"));
	CHECK_INT(o.status, API_INTERNAL);
	CHECK(strstr(o.text, "failed: sealed.bind-mismatch: DB_PASSWORD") != NULL);
	CHECK_INT(saw.unseals, 0);
	CHECK_INT(saw.cached, 3);
}

TEST(cdh_unseal__no_cache__has_no_local_way)
{
	backend.unseal_cached = NULL;
	CHECK(method("api.SealedSecretService", "UnsealSecret")->handle_local == NULL);
}

TEST(cdh__payload_that_does_not_decode__is_code_2)
{
	static const char *const names[][2] = { { "api.SealedSecretService", "UnsealSecret" },
						{ "api.GetResourceService", "GetResource" },
						{ "api.SecureMountService", "SecureMount" } };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct outcome o = call(names[i][0], names[i][1], false, PAYLOAD("\x0a\x09short"));

		CHECK_INT(o.status, API_UNKNOWN);
		CHECK(strncmp(o.text, "api.malformed: the payload is not a", 35) == 0);
	}
	CHECK_INT(saw.unseals + saw.resources + saw.failures, 0);
}

TEST(cdh_get_resource__good_and_bad)
{
	struct outcome o = call("api.GetResourceService", "GetResource", false,
				PAYLOAD("\x0a\x0ckbs:///a/b/c"));

	CHECK_INT(o.status, API_OK);
	CHECK(secret_eq(&o.result.secret, "open", 4));
	CHECK(strcmp(saw.text, "kbs:///a/b/c") == 0);
	secret_done(&o.result.secret);
	o = call("api.GetResourceService", "GetResource", false, PAYLOAD("\x0a\x01x"));
	CHECK_INT(o.status, API_INTERNAL);
	CHECK(strcmp(o.text, "[CDH] [ERROR]: Get Resource failed: kbs.bad-uri: no scheme") == 0);
	o = call("api.GetResourceService", "GetResource", false, PAYLOAD("\x0a\x02x\0"));
	CHECK_INT(o.status, API_UNKNOWN);
}

#define MOUNT(device)                                                                              \
	"\x0a\x0c" "block-device"                                                                  \
	"\x12\x17\x0a\x0a" "devicePath" "\x12\x09" device                                         \
	"\x12\x13\x0a\x0a" "sourceType" "\x12\x05" "empty"                                         \
	"\x12\x14\x0a\x0a" "targetType" "\x12\x06" "device"                                        \
	"\x12\x17\x0a\x0e" "encryptionType" "\x12\x05" "luks2"                                     \
	"\x22\x06" "/run/x"

TEST(cdh_secure_mount__good__is_an_empty_message)
{
	struct outcome o = call("api.SecureMountService", "SecureMount", false, PAYLOAD(MOUNT("/dev/good")));

	CHECK_INT(o.status, API_OK);
	CHECK(o.result.message.len == 0 && o.result.secret.p == NULL);
	CHECK_INT(saw.mounts, 1);
	CHECK(strcmp(saw.text, "/dev/good") == 0 && strcmp(saw.name, "DB") == 0);
	CHECK(method("api.SecureMountService", "SecureMount")->needs_trustee);
}

TEST(cdh_secure_mount__failure_and_bad_option__are_13_with_upstreams_text_then_ours)
{
	struct outcome o = call("api.SecureMountService", "SecureMount", false, PAYLOAD(MOUNT("/dev/full")));

	CHECK_INT(o.status, API_INTERNAL);
	CHECK(strcmp(o.text, "[CDH] [ERROR]: Secure Mount failed: volume.not-empty: /dev/full holds ext4") == 0);
	CHECK_INT(saw.failures, 1);
	CHECK(strcmp(saw.method, "SecureMount") == 0);
	o = call("api.SecureMountService", "SecureMount", false, PAYLOAD("\x0a\x03" "oss"));
	CHECK_INT(o.status, API_INTERNAL);
	CHECK(strcmp(o.text, "[CDH] [ERROR]: Secure Mount failed: volume.type-unsupported: "
			     "volume_type \"oss\"") == 0);
	CHECK_INT(saw.mounts, 1);
	CHECK_INT(saw.failures, 2);
}

TEST(cdh__what_is_not_built__says_so_under_upstreams_text)
{
	static const struct {
		const char *service, *name, *text;
	} rows[] = {
		{ "api.ImagePullService", "PullImage",
		  "[CDH] [ERROR]: Image Pull error: image.not-built: this version pulls no images" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct outcome o = call(rows[i].service, rows[i].name, false, PAYLOAD(""));

		CHECK_INT(o.status, API_INTERNAL);
		CHECK(strcmp(o.text, rows[i].text) == 0);
	}
	CHECK_INT(saw.failures, 1);
	CHECK(method("keyprovider.KeyProviderService", "WrapKey")->handle == NULL);
}

static int fake_unwrap(void *ctx, struct view request, struct deadline d, struct secret *out,
		       struct err *e)
{
	(void)ctx;
	(void)d;
	if (view_is(request, "no json"))
		return err_code(e, CODE_KEYPROVIDER_REQUEST, "JSON at offset 0");
	if (view_is(request, "other key"))
		return err_code(e, CODE_KEYPROVIDER_UNWRAP, "under kbs:///a/b/c");
	return give(out, e);
}

TEST(cdh_unwrap_key__by_what_the_backend_says__has_upstreams_two_texts)
{
	struct outcome o = call("keyprovider.KeyProviderService", "UnWrapKey", false,
				PAYLOAD("\x0a\x02hi"));

	CHECK_INT(o.status, API_OK);
	o = call("keyprovider.KeyProviderService", "UnWrapKey", false, PAYLOAD("\x0a\x07no json"));
	CHECK_INT(o.status, API_INTERNAL);
	CHECK(strncmp(o.text, "[ERROR] UnwrapKey Parse request failed: keyprovider.request", 59) == 0);
	o = call("keyprovider.KeyProviderService", "UnWrapKey", false, PAYLOAD("\x0a\x09other key"));
	CHECK(strncmp(o.text, "[CDH] [ERROR]: Decrypt Image (UnwrapKey) failed: keyprovider.unwrap-failed",
		      74) == 0);
	o = call("keyprovider.KeyProviderService", "UnWrapKey", false, PAYLOAD("\x0a\x7f"));
	CHECK_INT(o.status, API_UNKNOWN);
}
