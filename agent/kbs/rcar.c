/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/kbs/rcar.h"
#include "agent/base/json.h"

#include <ctype.h>
#include <stdio.h>

void rcar_request(struct buf *out, const char *tee)
{
	buf_puts(out, "{\"version\":\"" RCAR_VERSION "\",\"tee\":");
	json_put_string(out, view_str(tee));
	buf_puts(out, ",\"extra-params\":{\"supported-hash-algorithms\":[\"sha256\",\"sha384\","
		      "\"sha512\"]}}");
}

/* What the peer said, for a message: whole characters of visible ASCII, at most size - 1. */
static const char *printable(char *out, size_t size, const char *text)
{
	size_t n = 0;

	for (; text && text[n] && n < size - 1; n++)
		out[n] = text[n] >= ' ' && text[n] < 0x7f ? text[n] : '?';
	out[n] = '\0';
	return out;
}

/* No memory stays what it is; anything else that went wrong with a reply is the reply's fault. */
static int bad_reply(int r, const char *what, struct err *e)
{
	return r == -ERR_NOMEM ? err_wrap(e, r, "%s", what)
			       : err_wrap_code(e, CODE_KBS_BAD_REPLY, "%s", what);
}

/* spec/trustee.md 1.6: no object or no member: SHA-384; a member that is no known name fails. */
static int selected_hash(enum hash_alg *out, const struct json *extra, struct err *e)
{
	const struct json *v = json_get(extra, "selected-hash-algorithm");
	const char *name;
	char lower[16], shown[41];
	size_t i;

	*out = HASH_SHA384;
	if (!v)
		return 0;
	name = json_string(v);
	if (!name)
		return err_code(e, CODE_KBS_HASH, "selected-hash-algorithm is no string");
	for (i = 0; name[i] && i < sizeof lower - 1; i++)
		lower[i] = (char)tolower((unsigned char)name[i]);
	lower[i] = '\0';
	if (name[i] != '\0' || hash_by_name(out, view_str(lower), e) < 0)
		return err_code(e, CODE_KBS_HASH, "Trustee selects the hash \"%s\"",
				printable(shown, sizeof shown, name));
	return 0;
}

int rcar_challenge(struct rcar_challenge *out, struct view body, struct err *e)
{
	cleanup_json struct json *doc = NULL;
	struct rcar_challenge c = { 0 };
	const char *nonce;
	int r;

	if ((r = json_parse(&doc, body, RCAR_REPLY_MAX, e)) < 0)
		return bad_reply(r, "the challenge", e);
	if ((r = json_need_string(&nonce, doc, "nonce", "the challenge", e)) < 0)
		return bad_reply(r, "/auth", e);
	if (nonce[0] == '\0' || strlen(nonce) > RCAR_NONCE_MAX)
		return err_code(e, CODE_KBS_BAD_REPLY, "a nonce of %zu bytes, allowed 1..%u",
				strlen(nonce), RCAR_NONCE_MAX);
	r = selected_hash(&c.hash, json_get(doc, "extra-params"), e);
	if (r < 0)
		return r;
	c.nonce = strdup(nonce);
	if (!c.nonce)
		return err_set(e, ERR_NOMEM, "no memory for a nonce");
	*out = c;
	return 0;
}

void rcar_challenge_done(struct rcar_challenge *c)
{
	free(take(c->nonce));
}

static int hash_runtime_data(struct digest *out, enum hash_alg h, const char *nonce,
			     struct view jwk, const char *additional, struct err *e)
{
	cleanup_buf struct buf b = BUF_MAX(RCAR_BODY_MAX);
	int r;

	/* RFC 8785 order of the members; the JWK is canonical already. */
	buf_putc(&b, '{');
	if (additional) {
		buf_puts(&b, "\"additional-evidence\":");
		json_put_string(&b, view_str(additional));
		buf_putc(&b, ',');
	}
	buf_puts(&b, "\"nonce\":");
	json_put_string(&b, view_str(nonce));
	buf_puts(&b, ",\"tee-pubkey\":");
	buf_putv(&b, jwk);
	buf_putc(&b, '}');
	r = buf_check(&b, "runtime data", e);
	return r < 0 ? r : digest_of(out, h, buf_view(&b), e);
}

int rcar_report_data(struct digest *out, enum hash_alg h, const char *nonce, struct view jwk,
		     const char *additional, struct err *e)
{
	return hash_runtime_data(out, h, nonce, jwk, additional, e);
}

int rcar_device_report_data(struct digest *out, enum hash_alg h, const char *nonce, struct view jwk,
			    struct err *e)
{
	return hash_runtime_data(out, h, nonce, jwk, NULL, e);
}

void rcar_attestation(struct buf *out, const char *nonce, struct view jwk, const char *evidence,
		      const char *additional, struct view initdata)
{
	buf_puts(out, "{\"init-data\":");
	if (initdata.len > 0) {
		buf_puts(out, "{\"format\":\"toml\",\"body\":");
		json_put_string(out, initdata);
		buf_putc(out, '}');
	} else {
		buf_puts(out, "null");
	}
	buf_puts(out, ",\"runtime-data\":{\"nonce\":");
	json_put_string(out, view_str(nonce));
	buf_puts(out, ",\"tee-pubkey\":");
	buf_putv(out, jwk);
	buf_puts(out, "},\"tee-evidence\":{\"primary_evidence\":");
	buf_puts(out, evidence);
	buf_puts(out, ",\"additional_evidence\":");
	json_put_string(out, view_str(additional));
	buf_puts(out, "}}");
}

int rcar_token(struct secret *out, struct view body, struct err *e)
{
	cleanup_json struct json *doc = NULL;
	cleanup_secret struct secret s = { 0 };
	const char *token;
	size_t n;
	int r;

	if ((r = json_parse(&doc, body, RCAR_REPLY_MAX, e)) < 0)
		return bad_reply(r, "the reply of /attest", e);
	if ((r = json_need_string(&token, doc, "token", "the reply of /attest", e)) < 0)
		return bad_reply(r, "/attest", e);
	n = strlen(token);
	/* It goes into a header: nothing but the characters of a JWT. */
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)token[i]) && !strchr("-_.", token[i]))
			return err_code(e, CODE_TOKEN_FORMAT,
					"the token has a bad character at offset %zu", i);
	if (n == 0)
		return err_code(e, CODE_TOKEN_FORMAT, "the token is empty");
	if ((r = secret_alloc(&s, n + 1, e)) < 0 || (r = secret_append(&s, token, n + 1, e)) < 0)
		return r;
	secret_move(out, &s);
	return 0;
}

/* By kind of spec/trustee.md 1.10; at /auth and /attest every kind means that step was refused. */
static enum err_code code_of_kind(const char *kind)
{
	static const struct {
		const char *kind;
		enum err_code code;
	} rows[] = {
		{ "PolicyDeny", CODE_KBS_POLICY_DENIED },
		{ "PolicyEngineError", CODE_KBS_POLICY_BROKEN },
		{ "ParsePolicyError", CODE_KBS_POLICY_BROKEN },
		{ "PluginInternalError", CODE_KBS_NOT_FOUND },
		{ "PluginNotFound", CODE_KBS_PLUGIN_MISSING },
		{ "InvalidRequestPath", CODE_KBS_URI },
		{ "JweError", CODE_KBS_KEY_UNUSABLE },
		{ "TokenNotFound", CODE_KBS_TOKEN_REFUSED },
		{ "TokenVerifierError", CODE_KBS_TOKEN_REFUSED },
		{ "AttestationError", CODE_KBS_TOKEN_REFUSED },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].kind, kind) == 0)
			return rows[i].code;
	return CODE_KBS_UNEXPECTED_STATUS;
}

int rcar_refusal(bool *wants_token, enum rcar_step step, int status, struct view body,
		 const char *what, struct err *e)
{
	cleanup_json struct json *doc = NULL;
	char shown_kind[41], shown_detail[161], where[256];
	const char *type, *kind;
	enum err_code code;
	int r;

	*wants_token = false;
	if (status == 429)
		return err_code(e, CODE_KBS_BUSY, "%.200s: status 429", what);
	if (status >= 500)
		return err_code(e, CODE_KBS_SERVER_ERROR, "%.200s: status %d", what, status);
	if (status != 401 && status != 403 && status != 404)
		return err_code(e, CODE_KBS_UNEXPECTED_STATUS, "%.200s: status %d", what, status);
	if ((r = json_parse(&doc, body, RCAR_REPLY_MAX, e)) < 0 ||
	    (r = json_need_string(&type, doc, "type", "the error", e)) < 0) {
		(void)snprintf(where, sizeof where, "%.200s: status %d", what, status);
		return bad_reply(r, where, e);
	}
	kind = strrchr(type, '/');
	kind = kind ? kind + 1 : type;
	code = step == RCAR_AUTH     ? CODE_KBS_AUTH_REFUSED
	       : step == RCAR_ATTEST ? CODE_KBS_ATTESTATION_FAILED
				     : code_of_kind(kind);
	*wants_token = code == CODE_KBS_TOKEN_REFUSED;
	return err_code(
		e, code, "%.200s: %d %s: %s", what, status,
		printable(shown_kind, sizeof shown_kind, kind),
		printable(shown_detail, sizeof shown_detail, json_string(json_get(doc, "detail"))));
}
