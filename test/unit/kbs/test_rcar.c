/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/kbs/rcar.h"
#include "test/unit/crypto/vector.h"

#define KBS_ERRORS "https://github.com/confidential-containers/kbs/errors/"

static void check_digest(const struct digest *d, const char *hex, const char *name)
{
	char got[2 * DIGEST_MAX + 1];

	enc_hex_str(got, digest_view(d));
	if (strcmp(got, hex) != 0)
		test_fail(__FILE__, __LINE__, "%s: %s, want %s", name, got, hex);
}

TEST(rcar_report_data__own_vectors__hold_for_every_hash)
{
	cleanup_json struct json *doc = vector_json(test_vector("kbs/report-data.json"));
	int n = 0;

	for (const struct json *c = json_first(json_get(doc, "cases")); c; c = json_next(c)) {
		for (int h = HASH_SHA256; h <= HASH_SHA512; h++, n++) {
			char key[32];
			struct digest d;
			struct err e;

			(void)snprintf(key, sizeof key, "primary_%s", hash_name((enum hash_alg)h));
			CHECK_INT(rcar_report_data(&d, (enum hash_alg)h, vector_str(c, "nonce"),
						   view_str(vector_str(c, "jwk")),
						   vector_str(c, "additional"), &e),
				  0);
			check_digest(&d, vector_str(c, key), vector_str(c, "name"));
			(void)snprintf(key, sizeof key, "device_%s", hash_name((enum hash_alg)h));
			CHECK_INT(rcar_device_report_data(&d, (enum hash_alg)h,
							  vector_str(c, "nonce"),
							  view_str(vector_str(c, "jwk")), &e),
				  0);
			check_digest(&d, vector_str(c, key), vector_str(c, "name"));
		}
	}
	CHECK_INT(n, 15);
}

/* Both texts of the evidence vectors, and their digests. */
TEST(rcar_report_data__evidence_vectors__hold)
{
	cleanup_json struct json *want = vector_json(test_shared("evidence/derived/expected.json"));
	cleanup_json struct json *primary =
		vector_json(test_shared("evidence/derived/runtime-data-primary.json"));
	cleanup_json struct json *device =
		vector_json(test_shared("evidence/derived/runtime-data-device.json"));
	cleanup_buf struct buf jwk = BUF_MAX(8192);
	struct digest d;

	CHECK_INT(json_canonical(&jwk, json_get(primary, "tee-pubkey"), NULL), 0);
	CHECK_INT(rcar_report_data(&d, HASH_SHA384, vector_str(primary, "nonce"), buf_view(&jwk),
				   vector_str(primary, "additional-evidence"), NULL),
		  0);
	check_digest(&d, vector_str(want, "runtime_data_primary_sha384"), "primary");
	CHECK_INT(rcar_device_report_data(&d, HASH_SHA384, vector_str(device, "nonce"),
					  buf_view(&jwk), NULL),
		  0);
	check_digest(&d, vector_str(want, "runtime_data_device_sha384"), "device");
}

TEST(rcar_report_data__shared_vectors__hold)
{
	cleanup_json struct json *doc =
		vector_json(test_shared("trustee/derived/report-data.json"));
	int n = 0;

	for (const struct json *c = json_first(json_get(doc, "cases")); c; c = json_next(c)) {
		const struct json *digests = json_get(c, "digests");
		cleanup_buf struct buf jwk = BUF_MAX(8192);
		struct err e;

		CHECK_INT(json_canonical(&jwk, json_get(c, "tee_pubkey"), &e), 0);
		for (int h = HASH_SHA256; h <= HASH_SHA512; h++, n++) {
			const struct json *want = json_get(digests, hash_name((enum hash_alg)h));
			struct digest d;

			CHECK_INT(rcar_report_data(&d, (enum hash_alg)h, vector_str(c, "nonce"),
						   buf_view(&jwk),
						   vector_str(c, "additional_evidence"), &e),
				  0);
			check_digest(&d, vector_str(want, "primary"), vector_str(c, "name"));
			CHECK_INT(rcar_device_report_data(&d, (enum hash_alg)h,
							  vector_str(c, "nonce"), buf_view(&jwk),
							  &e),
				  0);
			check_digest(&d, vector_str(want, "device"), vector_str(c, "name"));
		}
	}
	CHECK(n >= 6);
}

TEST(rcar_request__any_tee__is_the_body_of_spec_1_4)
{
	cleanup_buf struct buf b = BUF_MAX(4096);

	rcar_request(&b, "tpm");
	CHECK(view_is(buf_view(&b),
		      "{\"version\":\"0.4.0\",\"tee\":\"tpm\",\"extra-params\":{"
		      "\"supported-hash-algorithms\":[\"sha256\",\"sha384\",\"sha512\"]}}"));
}

TEST(rcar_attestation__with_and_without_initdata__is_the_body_of_spec_1_7)
{
	cleanup_buf struct buf b = BUF_MAX(4096), c = BUF_MAX(4096);

	rcar_attestation(&b, "n\"1", view_str("{\"kty\":\"EC\"}"), "{\"svn\":\"1\"}", "",
			 (struct view){ NULL, 0 });
	CHECK(view_is(buf_view(&b),
		      "{\"init-data\":null,\"runtime-data\":{\"nonce\":\"n\\\"1\","
		      "\"tee-pubkey\":{\"kty\":\"EC\"}},\"tee-evidence\":{"
		      "\"primary_evidence\":{\"svn\":\"1\"},\"additional_evidence\":\"\"}}"));
	rcar_attestation(&c, "n", view_str("{}"), "{}", "{\"nvidia\":{}}",
			 view_str("version = \"0.1.0\"\n"));
	CHECK(view_is(
		buf_view(&c),
		"{\"init-data\":{\"format\":\"toml\",\"body\":\"version = \\\"0.1.0\\\"\\n\"},"
		"\"runtime-data\":{\"nonce\":\"n\",\"tee-pubkey\":{}},\"tee-evidence\":{"
		"\"primary_evidence\":{},\"additional_evidence\":\"{\\\"nvidia\\\":{}}\"}}"));
}

static int read_challenge(const char *body, struct rcar_challenge *c, struct err *e)
{
	*c = (struct rcar_challenge){ 0 };
	return rcar_challenge(c, view_str(body), e);
}

#define cleanup_challenge __attribute__((cleanup(rcar_challenge_done)))

TEST(rcar_challenge__usual_and_strange_but_right__keeps_the_nonce_as_it_is)
{
	static const struct {
		const char *body, *nonce;
		enum hash_alg hash;
	} rows[] = {
		{ "{\"nonce\":\"AAEC=\",\"extra-params\":\"\"}", "AAEC=", HASH_SHA384 },
		{ "{\"nonce\":\"n\"}", "n", HASH_SHA384 },
		{ "{\"nonce\":\"n\",\"extra-params\":null}", "n", HASH_SHA384 },
		{ "{\"nonce\":\"n\",\"extra-params\":[\"selected-hash-algorithm\"]}", "n",
		  HASH_SHA384 },
		{ "{\"nonce\":\"n\",\"extra-params\":{\"Selected-hash-algorithm\":\"sha256\"}}",
		  "n", HASH_SHA384 },
		{ "{\"x\":1,\"extra-params\":{\"selected-hash-algorithm\":\"sHa512\",\"y\":2},"
		  "\"nonce\":\"{\\\"a\\\":\\\"\\u00e4\\n\\\"}\"}",
		  "{\"a\":\"\xc3\xa4\n\"}", HASH_SHA512 },
		{ "{\"nonce\":\"n\",\"extra-params\":{\"selected-hash-algorithm\":\"sha256\"}}",
		  "n", HASH_SHA256 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_challenge struct rcar_challenge c;
		struct err e;

		if (read_challenge(rows[i].body, &c, &e) < 0)
			test_fail(__FILE__, __LINE__, "row %zu: %s", i, e.msg);
		CHECK(strcmp(c.nonce, rows[i].nonce) == 0);
		CHECK_INT(c.hash, rows[i].hash);
	}
}

TEST(rcar_challenge__malformed__is_a_bad_reply_and_leaves_out_untouched)
{
	static const char *const rows[] = {
		"",
		"{",
		"[]",
		"\"nonce\"",
		"{}",
		"{\"nonce\":null}",
		"{\"nonce\":1}",
		"{\"nonce\":[\"n\"]}",
		"{\"nonce\":{\"nonce\":\"n\"}}",
		"{\"nonce\":\"\"}",
		"{\"Nonce\":\"n\"}",
		"{\"nonce\":\"n\",\"nonce\":\"m\"}",
		"{\"nonce\":\"n\",\"extra-params\":{\"a\":1,\"a\":2}}",
		"{\"nonce\":\"n\\u0000m\"}",
		"{\"nonce\":\"\\ud800\"}",
		"{\"nonce\":\"\xff\"}",
		"{\"nonce\":\"n\"}x",
		"{\"nonce\":\"n\",\"extra-params\":",
		"{\"nonce\":\"n",
		"<html>404</html>",
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct rcar_challenge c;
		struct err e = { 0 };

		CHECK_INT(read_challenge(rows[i], &c, &e), -ERR_FORMAT);
		if (e.code != CODE_KBS_BAD_REPLY || c.nonce)
			test_fail(__FILE__, __LINE__, "row %zu: %s", i, err_name(&e));
	}
}

TEST(rcar_challenge__nonce_at_and_over_its_cap)
{
	for (size_t over = 0; over <= 1; over++) {
		cleanup_buf struct buf b = BUF_MAX(2 * RCAR_NONCE_MAX);
		cleanup_challenge struct rcar_challenge c = { 0 };
		struct err e = { 0 };

		buf_puts(&b, "{\"nonce\":\"");
		for (size_t i = 0; i < RCAR_NONCE_MAX + over; i++)
			buf_putc(&b, 'n');
		buf_puts(&b, "\"}");
		CHECK_INT(rcar_challenge(&c, buf_view(&b), &e), over ? -ERR_FORMAT : 0);
		CHECK(!over || strstr(e.msg, "65537 bytes, allowed 1..65536"));
	}
}

TEST(rcar_challenge__shared_selected_hash__holds)
{
	cleanup_json struct json *doc =
		vector_json(test_shared("trustee/derived/selected-hash.json"));
	int n = 0;

	for (const struct json *v = json_first(json_get(doc, "cases")); v; v = json_next(v), n++) {
		const char *want = vector_str(v, "result");
		cleanup_buf struct buf b = BUF_MAX(4096);
		cleanup_challenge struct rcar_challenge c = { 0 };
		struct err e = { 0 };
		int r;

		buf_puts(&b, "{\"nonce\":\"n\",\"extra-params\":");
		CHECK_INT(json_canonical(&b, json_get(v, "extra-params"), &e), 0);
		buf_putc(&b, '}');
		r = rcar_challenge(&c, buf_view(&b), &e);
		if (strcmp(want, "error") == 0) {
			CHECK_INT(r, -ERR_UNSUPPORTED);
			CHECK_INT(e.code, CODE_KBS_HASH);
		} else if (r != 0 || strcmp(hash_name(c.hash), want) != 0) {
			test_fail(__FILE__, __LINE__, "%s, want %s", buf_str(&b), want);
		}
	}
	CHECK_INT(n, 15);
}

TEST(rcar_challenge__strange_hash_name__is_shown_without_its_control_characters)
{
	struct rcar_challenge c;
	struct err e = { 0 };

	CHECK_ERR(read_challenge("{\"nonce\":\"n\",\"extra-params\":{\"selected-hash-algorithm\":"
				 "\"\\u001b[2Jsha\xc3\xa4\"}}",
				 &c, &e),
		  ERR_UNSUPPORTED, e, "\"?[2Jsha??\"");
	/* A name that begins as a known one and goes on is another. */
	CHECK_INT(read_challenge("{\"nonce\":\"n\",\"extra-params\":{\"selected-hash-algorithm\":"
				 "\"sha256          \"}}",
				 &c, &e),
		  -ERR_UNSUPPORTED);
}

TEST(rcar_token__a_jwt__is_taken_with_its_nul)
{
	cleanup_secret struct secret t = { 0 };
	struct err e;

	CHECK_INT(rcar_token(&t, view_str("{\"x\":[],\"token\":\"aB-_9.e30.c\"}"), &e), 0);
	CHECK(secret_eq(&t, "aB-_9.e30.c", sizeof "aB-_9.e30.c"));
}

TEST(rcar_token__malformed__leaves_out_untouched)
{
	static const struct {
		const char *body;
		enum err_code code;
	} rows[] = {
		{ "", CODE_KBS_BAD_REPLY },
		{ "{\"token\":\"a.b.c\"", CODE_KBS_BAD_REPLY },
		{ "a.b.c", CODE_KBS_BAD_REPLY },
		{ "\"a.b.c\"", CODE_KBS_BAD_REPLY },
		{ "{\"token\":null}", CODE_KBS_BAD_REPLY },
		{ "{\"token\":{}}", CODE_KBS_BAD_REPLY },
		{ "{\"Token\":\"a.b.c\"}", CODE_KBS_BAD_REPLY },
		{ "{\"token\":\"a.b.c\",\"token\":\"d.e.f\"}", CODE_KBS_BAD_REPLY },
		{ "{\"token\":\"\"}", CODE_TOKEN_FORMAT },
		{ "{\"token\":\"a.b c\"}", CODE_TOKEN_FORMAT },
		{ "{\"token\":\"a.b.c\\r\\nX: y\"}", CODE_TOKEN_FORMAT },
		{ "{\"token\":\"a.b.c=\"}", CODE_TOKEN_FORMAT },
		{ "{\"token\":\"\xc3\xa4\"}", CODE_TOKEN_FORMAT },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_secret struct secret t = { 0 };
		struct err e = { 0 };

		CHECK_INT(rcar_token(&t, view_str(rows[i].body), &e), -ERR_FORMAT);
		if (e.code != rows[i].code || secret_bytes(&t))
			test_fail(__FILE__, __LINE__, "row %zu: %s", i, err_name(&e));
	}
}

struct refusal {
	enum rcar_step step;
	int status;
	const char *type; /* NULL: the body is no JSON */
	enum err_code code;
	bool wants_token;
};

static void check_refusal(const struct refusal *row)
{
	cleanup_buf struct buf body = BUF_MAX(4096);
	struct err e = { 0 };
	bool wants = !row->wants_token;
	int r;

	if (row->type)
		buf_printf(&body, "{\"detail\":\"why it is so\",\"type\":\"" KBS_ERRORS "%s\"}",
			   row->type);
	else
		buf_puts(&body, "<html>no</html>");
	r = rcar_refusal(&wants, row->step, row->status, buf_view(&body), "kbs:///a/b/c", &e);
	if (r != -(int)err_entry(row->code)->kind || e.code != row->code ||
	    wants != row->wants_token)
		test_fail(__FILE__, __LINE__, "step %d status %d %s: %s, wants %d", (int)row->step,
			  row->status, row->type ? row->type : "-", err_name(&e), wants);
	CHECK(strstr(e.msg, "kbs:///a/b/c"));
	if (row->type && (row->status == 401 || row->status == 404))
		CHECK(strstr(e.msg, "why it is so") && strstr(e.msg, row->type));
}

TEST(rcar_refusal__every_kind_and_status__has_its_code)
{
	static const struct refusal rows[] = {
		{ RCAR_RESOURCE, 401, "PolicyDeny", CODE_KBS_POLICY_DENIED, false },
		{ RCAR_RESOURCE, 403, "PolicyDeny", CODE_KBS_POLICY_DENIED, false },
		{ RCAR_RESOURCE, 401, "PolicyEngineError", CODE_KBS_POLICY_BROKEN, false },
		{ RCAR_RESOURCE, 401, "ParsePolicyError", CODE_KBS_POLICY_BROKEN, false },
		{ RCAR_RESOURCE, 401, "PluginInternalError", CODE_KBS_NOT_FOUND, false },
		{ RCAR_RESOURCE, 404, "PluginNotFound", CODE_KBS_PLUGIN_MISSING, false },
		{ RCAR_RESOURCE, 404, "InvalidRequestPath", CODE_KBS_URI, false },
		{ RCAR_RESOURCE, 401, "JweError", CODE_KBS_KEY_UNUSABLE, false },
		{ RCAR_RESOURCE, 401, "TokenNotFound", CODE_KBS_TOKEN_REFUSED, true },
		{ RCAR_RESOURCE, 401, "TokenVerifierError", CODE_KBS_TOKEN_REFUSED, true },
		{ RCAR_RESOURCE, 401, "AttestationError", CODE_KBS_TOKEN_REFUSED, true },
		{ RCAR_RESOURCE, 401, "AdminAuthAccess", CODE_KBS_UNEXPECTED_STATUS, false },
		{ RCAR_RESOURCE, 401, "policydeny", CODE_KBS_UNEXPECTED_STATUS, false },
		{ RCAR_RESOURCE, 401, "", CODE_KBS_UNEXPECTED_STATUS, false },
		{ RCAR_AUTH, 401, "AttestationError", CODE_KBS_AUTH_REFUSED, false },
		{ RCAR_AUTH, 404, "PluginNotFound", CODE_KBS_AUTH_REFUSED, false },
		{ RCAR_ATTEST, 401, "AttestationError", CODE_KBS_ATTESTATION_FAILED, false },
		{ RCAR_ATTEST, 401, "TokenNotFound", CODE_KBS_ATTESTATION_FAILED, false },
		{ RCAR_RESOURCE, 401, NULL, CODE_KBS_BAD_REPLY, false },
		{ RCAR_AUTH, 404, NULL, CODE_KBS_BAD_REPLY, false },
		{ RCAR_RESOURCE, 429, NULL, CODE_KBS_BUSY, false },
		{ RCAR_AUTH, 429, "PolicyDeny", CODE_KBS_BUSY, false },
		{ RCAR_RESOURCE, 500, NULL, CODE_KBS_SERVER_ERROR, false },
		{ RCAR_RESOURCE, 503, "TokenNotFound", CODE_KBS_SERVER_ERROR, false },
		{ RCAR_ATTEST, 599, NULL, CODE_KBS_SERVER_ERROR, false },
		{ RCAR_RESOURCE, 400, NULL, CODE_KBS_UNEXPECTED_STATUS, false },
		{ RCAR_RESOURCE, 413, NULL, CODE_KBS_UNEXPECTED_STATUS, false },
		{ RCAR_RESOURCE, 204, NULL, CODE_KBS_UNEXPECTED_STATUS, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_refusal(&rows[i]);
}

TEST(rcar_refusal__what_the_peer_says__is_shown_as_plain_ascii_and_cut)
{
	static const char body[] =
		"{\"type\":\"PolicyDeny\",\"detail\":\"\\u001b]0;x\\u0007\\n\xe2\x82\xac\"}";
	cleanup_buf struct buf longer = BUF_MAX(8192);
	struct err e = { 0 };
	bool wants;

	CHECK_ERR(rcar_refusal(&wants, RCAR_RESOURCE, 401, view_str(body), "x", &e), ERR_DENIED, e,
		  "x: 401 PolicyDeny: ?]0;x??\?\?\?");
	buf_puts(&longer, "{\"type\":\"");
	for (int i = 0; i < 3000; i++)
		buf_putc(&longer, 't');
	buf_puts(&longer, "\",\"detail\":5}");
	CHECK_INT(rcar_refusal(&wants, RCAR_RESOURCE, 401, buf_view(&longer), "x", &e),
		  -ERR_FORMAT);
	CHECK(strlen(e.msg) < 64);
}

TEST(rcar__shared_transcript__bodies_match_and_replies_read)
{
	cleanup_json struct json *doc =
		vector_json(test_shared("trustee/derived/rcar-sample-transcript.json"));
	const struct json *auth = json_first(json_get(doc, "steps")), *attest = json_next(auth);
	const struct json *sent = json_get(json_get(attest, "request"), "body");
	cleanup_buf struct buf reply = BUF_MAX(8192), jwk = BUF_MAX(8192), ours = BUF_MAX(8192),
			       want = BUF_MAX(8192), evidence = BUF_MAX(8192),
			       again = BUF_MAX(8192);
	cleanup_json struct json *parsed = NULL;
	cleanup_challenge struct rcar_challenge c = { 0 };
	cleanup_secret struct secret token = { 0 };
	struct digest d;
	struct err e;

	CHECK_INT(json_canonical(&reply, json_get(json_get(auth, "response"), "body"), &e), 0);
	CHECK_INT(rcar_challenge(&c, buf_view(&reply), &e), 0);
	CHECK_INT(json_canonical(&jwk, json_get(json_get(sent, "runtime-data"), "tee-pubkey"), &e),
		  0);
	CHECK_INT(rcar_report_data(&d, c.hash, c.nonce, buf_view(&jwk), "", &e), 0);
	buf_puts(&evidence, "{\"svn\":\"1\",\"report_data\":\"");
	enc_base64(&evidence, ENC_B64, digest_view(&d));
	buf_puts(&evidence, "\"}");
	rcar_attestation(&ours, c.nonce, buf_view(&jwk), buf_str(&evidence), "",
			 (struct view){ NULL, 0 });
	CHECK_INT(json_parse(&parsed, buf_view(&ours), 8192, &e), 0);
	CHECK_INT(json_canonical(&again, parsed, &e), 0);
	CHECK_INT(json_canonical(&want, sent, &e), 0);
	CHECK(view_eq(buf_view(&again), buf_view(&want)));
	buf_reset(&reply);
	CHECK_INT(json_canonical(&reply, json_get(json_get(attest, "response"), "body"), &e), 0);
	CHECK_INT(rcar_token(&token, buf_view(&reply), &e), 0);
	for (const struct json *b = json_first(json_get(doc, "error_bodies")); b;
	     b = json_next(b)) {
		int64_t status = 0;
		bool wants;

		CHECK(json_integer(&status, json_get(b, "status")));
		buf_reset(&reply);
		CHECK_INT(json_canonical(&reply, json_get(b, "body"), &e), 0);
		CHECK(rcar_refusal(&wants, RCAR_RESOURCE, (int)status, buf_view(&reply), "x", &e) <
		      0);
		CHECK(e.code != CODE_KBS_UNEXPECTED_STATUS && e.code != CODE_KBS_BAD_REPLY);
	}
}
