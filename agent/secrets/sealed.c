/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/secrets/sealed.h"
#include "agent/base/enc.h"
#include "agent/base/json.h"
#include "agent/crypto/jws.h"
#include "agent/secrets/sealed_key.h"

#include <strings.h>

#define PREFIX "sealed."

/* What a payload says; borrowed from its document. */
struct payload {
	bool vault;       /* else envelope */
	const char *name; /* of a vault */
	const char *provider;
};

bool sealed_is(struct view text)
{
	return view_starts(text, PREFIX);
}

static struct view trim(struct view text)
{
	while (text.len > 0 && strchr(" \t\r\n", text.p[text.len - 1]) &&
	       text.p[text.len - 1] != '\0')
		text.len--;
	return text;
}

/* Malformed input is the owner's doing; limits and memory keep their own kind. */
static int malformed(struct err *e, int r, const char *what)
{
	if (r == -ERR_FORMAT)
		return err_wrap_code(e, CODE_SEALED_FORMAT, "%s", what);
	return err_wrap(e, r, "%s", what);
}

static int need_string(const char **out, const struct json *doc, const char *key, struct err *e)
{
	int r = json_need_string(out, doc, key, "payload", e);

	return r < 0 ? malformed(e, r, "sealed secret") : 0;
}

static int need_object(const struct json *doc, const char *key, struct err *e)
{
	if (!json_is_object(json_get(doc, key)))
		return err_code(e, CODE_SEALED_FORMAT,
				"sealed secret: payload needs an object \"%s\"", key);
	return 0;
}

/* The members that only an envelope has; their content is the KMS's. */
static int check_envelope(const struct json *doc, struct err *e)
{
	static const char *const names[] = { "key_id", "encrypted_key", "encrypted_data", "iv" };
	const char *text;
	int r = need_string(&text, doc, "wrap_type", e);

	if (r < 0)
		return r;
	if (strcmp(text, "A256GCM") != 0 && strcmp(text, "A256CTR") != 0)
		return err_code(e, CODE_SEALED_FORMAT,
				"sealed secret: wrap_type \"%.40s\", want A256GCM or A256CTR",
				text);
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(names); i++)
		r = need_string(&text, doc, names[i], e);
	return r;
}

static int read_payload(struct payload *p, const struct json *doc, struct err *e)
{
	const char *version, *type;
	int r = need_string(&version, doc, "version", e);

	if (r < 0)
		return r;
	if (strcmp(version, "0.1.0") != 0)
		return err_code(e, CODE_SEALED_VERSION,
				"sealed secret of version \"%.40s\", want \"0.1.0\"", version);
	r = need_string(&type, doc, "type", e);
	if (r < 0)
		return r;
	p->vault = strcmp(type, "vault") == 0;
	if (!p->vault && strcmp(type, "envelope") != 0)
		return err_code(e, CODE_SEALED_FORMAT,
				"sealed secret of type \"%.40s\", want \"vault\" or \"envelope\"",
				type);
	r = p->vault ? need_string(&p->name, doc, "name", e) : check_envelope(doc, e);
	if (r == 0)
		r = need_string(&p->provider, doc, "provider", e);
	if (r == 0)
		r = need_object(doc, "provider_settings", e);
	if (r == 0)
		r = need_object(doc, "annotations", e);
	return r;
}

/* Does the measured [sealed] bind let this URI be used for that name? */
static int check_bind(const struct sealed_rules *rules, const char *name, const struct uri *uri,
		      struct err *e)
{
	bool bound = false;
	struct uri own;

	for (size_t i = 0; i < rules->n_bind; i++) {
		int r = uri_parse(&own, view_str(rules->bind_uris[i]), e);

		if (r < 0)
			return err_wrap_code(e, CODE_SEALED_BIND_MISMATCH, "bind of \"%.60s\"",
					     rules->bind_names[i]);
		if (name && strcmp(rules->bind_names[i], name) == 0) {
			if (strcmp(own.text, uri->text) == 0)
				return 0;
			return err_code(
				e, CODE_SEALED_BIND_MISMATCH,
				"\"%.60s\" is bound to %.180s, the sealed secret names %.180s",
				name, own.text, uri->text);
		}
		bound = bound || strcmp(own.text, uri->text) == 0;
	}
	if (rules->n_bind == 0 || bound == !name)
		return 0;
	return name ? err_code(e, CODE_SEALED_BIND_MISMATCH,
			       "%.180s is bound to another name than \"%.60s\"", uri->text, name)
		    : err_code(e, CODE_SEALED_BIND_MISMATCH,
			       "%.180s is bound to no name, and what it is for is not known",
			       uri->text);
}

static int unseal_payload(struct secret *out, const struct sealed_rules *rules, const char *name,
			  struct view text, struct deadline d, struct err *e)
{
	cleanup_json struct json *doc = NULL;
	cleanup_secret struct secret plain = { 0 };
	struct payload p = { 0 };
	struct uri uri;
	int r = json_parse(&doc, text, SEALED_TEXT_MAX, e);

	if (r < 0)
		return malformed(e, r, "payload of the sealed secret");
	r = read_payload(&p, doc, e);
	if (r < 0)
		return r;
	if (!p.vault || strcasecmp(p.provider, "kbs") != 0)
		return err_code(e, CODE_SEALED_PROVIDER_UNSUPPORTED,
				"sealed secret of type %s with provider \"%.60s\"",
				p.vault ? "vault" : "envelope", p.provider);
	r = uri_parse(&uri, view_str(p.name), e);
	if (r < 0)
		return err_wrap_code(e, CODE_SEALED_FORMAT, "name of the sealed secret");
	r = check_bind(rules, name, &uri, e);
	if (r < 0)
		return r;
	r = rules->resource(rules->resource_ctx, &plain, &uri, d, e);
	if (r < 0)
		return err_wrap(e, r, "%s", uri.text);
	secret_move(out, &plain);
	return 0;
}

/* Spec 6.4: four parts with the literal prefix; only the payload is looked at. */
static int unseal_unverified(struct secret *out, const struct sealed_rules *rules, const char *name,
			     struct view text, struct deadline d, struct err *e)
{
	cleanup_buf struct buf payload = BUF_MAX(SEALED_TEXT_MAX);
	const uint8_t *dots[3];
	size_t n = 0;
	int r;

	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i] != '.')
			continue;
		if (n < 3)
			dots[n] = text.p + i;
		n++;
	}
	if (n != 3 || !sealed_is(text))
		return err_code(e, CODE_SEALED_FORMAT,
				"sealed secret has %zu parts, want \"sealed\" and three more",
				n + 1);
	r = enc_base64_decode(&payload, ENC_B64U,
			      (struct view){ dots[1] + 1, (size_t)(dots[2] - dots[1]) - 1 }, e);
	if (r < 0)
		return malformed(e, r, "payload of the sealed secret");
	return unseal_payload(out, rules, name, buf_view(&payload), d, e);
}

int sealed_unseal(struct secret *out, const struct sealed_rules *rules, const char *name,
		  struct view text, struct deadline d, struct err *e)
{
	cleanup_jws struct jws j = { 0 };
	cleanup_secret struct secret key = { 0 };
	int r;

	if (text.len > SEALED_TEXT_MAX)
		return err_set(e, ERR_LIMIT, "sealed secret of %zu bytes, allowed %u", text.len,
			       SEALED_TEXT_MAX);
	text = trim(text);
	if (rules->skip_verification && !rules->kids)
		return unseal_unverified(out, rules, name, text, d, e);
	while (sealed_is(text)) {
		text.p += strlen(PREFIX);
		text.len -= strlen(PREFIX);
	}
	r = jws_parse(&j, text, e);
	if (r < 0)
		return malformed(e, r, "sealed secret");
	/* Before anything is fetched: alg and kid are the host's until the signature is verified.
	 */
	if (strcmp(j.alg, "ES256") != 0)
		return err_code(e, CODE_SEALED_ALGORITHM, "signed with \"%s\", want \"ES256\"",
				j.alg);
	r = sealed_key_find(&key, rules, j.kid, d, e);
	if (r == 0)
		r = jws_verify_es256(&j, (struct view){ secret_bytes(&key), key.len }, e);
	if (r < 0)
		return r;
	secret_done(&key);
	return unseal_payload(out, rules, name, buf_view(&j.payload), d, e);
}

int sealed_make_vault(struct buf *out, const char *kid, const struct secret *jwk,
		      const char *resource, const char *provider, struct err *e)
{
	cleanup_buf struct buf header = BUF_MAX(SEALED_TEXT_MAX),
			       payload = BUF_MAX(SEALED_TEXT_MAX);
	struct uri uri;
	int r;

	if (provider && strcmp(provider, "kbs") != 0)
		return err_code(e, CODE_SEALED_PROVIDER_UNSUPPORTED,
				"provider \"%.60s\", want \"kbs\"", provider);
	if (kid[0] == '\0' || !enc_is_utf8(view_str(kid)))
		return err_set(e, ERR_USAGE, "the kid is %s", kid[0] ? "not UTF-8" : "empty");
	if (strlen(kid) > JWS_KID_MAX)
		return err_set(e, ERR_LIMIT, "kid of %zu bytes, allowed %d", strlen(kid),
			       JWS_KID_MAX);
	r = uri_parse(&uri, view_str(resource), e);
	if (r < 0)
		return r;
	buf_puts(&header, "{\"alg\":\"ES256\",\"kid\":");
	json_put_string(&header, view_str(kid));
	buf_putc(&header, '}');
	buf_puts(&payload, "{\"version\":\"0.1.0\",\"type\":\"vault\",\"name\":");
	json_put_string(&payload, view_str(uri.text));
	buf_puts(&payload, ",\"provider\":\"kbs\",\"provider_settings\":{},\"annotations\":{}}");
	r = buf_check(&header, "header of the sealed secret", e);
	if (r == 0)
		r = buf_check(&payload, "payload of the sealed secret", e);
	if (r < 0)
		return r;
	buf_puts(out, PREFIX);
	return jws_sign_es256(out, buf_view(&header), buf_view(&payload), jwk, e);
}
