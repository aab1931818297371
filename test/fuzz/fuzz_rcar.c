/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/json.h"
#include "agent/kbs/rcar.h"
#include "agent/kbs/token.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void consistent(int r, const struct err *e)
{
	assert(r < 0 && r == -(int)e->kind && e->kind == err_entry(e->code)->kind);
}

/* A nonce that is accepted must be sent back as it was, whatever characters it has. */
static void challenge(struct view body)
{
	static const char jwk[] = "{\"kty\":\"EC\"}";
	__attribute__((cleanup(rcar_challenge_done))) struct rcar_challenge c = { 0 };
	cleanup_buf struct buf sent = BUF_MAX(RCAR_BODY_MAX);
	cleanup_json struct json *doc = NULL;
	struct err e = { 0 };
	struct digest d;
	int r = rcar_challenge(&c, body, &e);

	if (r < 0) {
		consistent(r, &e);
		assert(!c.nonce);
		return;
	}
	assert(c.nonce[0] && strlen(c.nonce) <= RCAR_NONCE_MAX);
	assert(rcar_report_data(&d, c.hash, c.nonce, view_str(jwk), "", &e) == 0);
	assert(d.len == hash_len(c.hash));
	rcar_attestation(&sent, c.nonce, view_str(jwk), "{}", "", (struct view){ NULL, 0 });
	assert(json_parse(&doc, buf_view(&sent), RCAR_BODY_MAX, &e) == 0);
	assert(strcmp(json_string(json_get(json_get(doc, "runtime-data"), "nonce")), c.nonce) == 0);
}

static void claims(struct view token)
{
	struct err e = { 0 };
	int64_t life = -1;
	bool valid;
	int r = token_life_ms(&life, token, &e);

	if (r < 0)
		consistent(r, &e);
	else
		assert(life >= 1000 && life <= TOKEN_LIFE_MAX_MS);
	r = token_valid_at(&valid, token, 1700000000, &e);
	if (r < 0)
		consistent(r, &e);
}

static void token(struct view body)
{
	cleanup_secret struct secret t = { 0 };
	struct err e = { 0 };
	int r = rcar_token(&t, body, &e);

	if (r < 0) {
		consistent(r, &e);
		assert(!secret_bytes(&t));
		return;
	}
	assert(t.len > 1 && secret_bytes(&t)[t.len - 1] == '\0');
	for (size_t i = 0; i + 1 < t.len; i++)
		assert(secret_bytes(&t)[i] > ' ' && secret_bytes(&t)[i] < 0x7f);
	claims((struct view){ secret_bytes(&t), t.len - 1 });
}

static void refusal(struct view body)
{
	static const int statuses[] = { 401, 404, 403, 429, 500, 200 };

	for (int step = RCAR_AUTH; step <= RCAR_RESOURCE; step++) {
		for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
			struct err e = { 0 };
			bool wants;
			int r = rcar_refusal(&wants, (enum rcar_step)step, statuses[i], body, "x",
					     &e);

			consistent(r, &e);
			assert(!wants ||
			       (step == RCAR_RESOURCE && e.code == CODE_KBS_TOKEN_REFUSED));
		}
	}
}

/* The first byte says what the rest is. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const readers[])(struct view) = { challenge, token, refusal, claims };

	if (size > 0)
		readers[data[0] % ARRAY_LEN(readers)]((struct view){ data + 1, size - 1 });
	return 0;
}
