/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/secrets/sealed.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* public_jwk of test/vectors/secrets/sealed.json, under which the seeds are signed. */
static const char jwk[] = "{\"kty\":\"EC\",\"use\":\"sig\",\"alg\":\"ES256\",\"crv\":\"P-256\","
			  "\"x\":\"9mb4eQ9CcTBZsPCW8zAGimrI1_J3tkKT42rrYsdiqPE\""
			  ",\"y\":\"Igp9HWVHESQc9x7TbYGr3DJ59-W-Pl9yAUONnrs5XR0\"}";

static int give(struct secret *out, const char *text, struct err *e)
{
	int r = secret_alloc(out, strlen(text), e);

	return r < 0 ? r : secret_append(out, text, strlen(text), e);
}

static int resource(void *ctx, struct secret *out, const struct uri *uri, struct deadline d,
		    struct err *e)
{
	struct uri again;

	(void)d;
	*(bool *)ctx = true;
	assert(uri_parse(&again, view_str(uri->text), e) == 0);
	assert(strcmp(again.text, uri->text) == 0);
	return give(out, "plain", e);
}

static int signing_key(void *ctx, struct secret *out, const struct uri *uri, struct deadline d,
		       struct err *e)
{
	(void)ctx;
	(void)uri;
	(void)d;
	return give(out, jwk, e);
}

/* The first byte chooses the rules, the rest is the sealed text. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "A", "B" };
	static const char *const uris[] = { "kbs:///test/secret/one", "kbs:///test/secret/two" };
	static const char *const kids[] = { "kbs:///test/signing/key", "file-key" };
	bool asked = false;
	cleanup_secret struct secret out = { 0 };
	struct err e = { 0 };
	struct sealed_rules rules = {
		.resource = resource,
		.signing_key = signing_key,
		.resource_ctx = &asked,
		.credential_dir = "/nonexistent",
	};
	int r;

	if (size == 0)
		return 0;
	rules.skip_verification = data[0] & 1;
	rules.kbs_keys_allowed = data[0] & 2;
	if (data[0] & 4) {
		rules.kids = kids;
		rules.n_kids = ARRAY_LEN(kids);
	}
	if (data[0] & 8) {
		rules.bind_names = names;
		rules.bind_uris = uris;
		rules.n_bind = ARRAY_LEN(names);
	}
	r = sealed_unseal(&out, &rules, data[0] & 16 ? names[data[0] >> 5 & 1] : NULL,
			  (struct view){ data + 1, size - 1 }, deadline_in(1000), &e);
	assert(r == 0 || (r == -(int)e.kind && e.kind == err_entry(e.code)->kind));
	assert((r == 0) == (secret_bytes(&out) != NULL));
	assert((r == 0) == asked);
	assert(r != 0 || secret_eq(&out, "plain", 5));
	return 0;
}
