/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/secrets/keyprovider.h"
#include "agent/base/enc.h"
#include "agent/base/json.h"
#include "agent/crypto/aead.h"

#include <stdio.h>

enum { KEK_BYTES = 32, IV_MAX = 32 };

struct packet {
	struct uri kid;
	struct buf wrapped;
	uint8_t iv[IV_MAX];
	size_t iv_len;
	bool gcm;
};

static void packet_done(struct packet *p)
{
	buf_done(&p->wrapped);
}

static int request_error(struct err *e, const char *what)
{
	return err_code(e, CODE_KEYPROVIDER_REQUEST, "%s", what);
}

/* The request's frame: what must be there by upstream's reader, though only annotation is used. */
static int annotation_of(struct buf *out, struct view request, struct err *e)
{
	cleanup_json struct json *doc = NULL;
	const struct json *unwrap, *dc;
	const char *text;

	if (json_parse(&doc, request, KEYPROVIDER_REQUEST_MAX, e) < 0)
		return err_wrap_code(e, CODE_KEYPROVIDER_REQUEST, "the request");
	unwrap = json_get(doc, "keyunwrapparams");
	if (!json_string(json_get(doc, "op")) || !json_is_object(json_get(doc, "keywrapparams")) ||
	    !json_is_object(unwrap))
		return request_error(e, "the request lacks op, keywrapparams or keyunwrapparams");
	dc = json_get(unwrap, "dc");
	if (dc && !json_is_null(dc) && !json_is_object(json_get(dc, "Parameters")))
		return request_error(e, "the request's dc has no Parameters");
	text = json_string(json_get(unwrap, "annotation"));
	if (!text)
		return request_error(e, "the request has no annotation");
	if (enc_base64_decode(out, ENC_B64, view_str(text), e) < 0)
		return err_wrap_code(e, CODE_KEYPROVIDER_REQUEST, "the annotation");
	return 0;
}

/* A member that may be missing: then it has its default. One of another type is an error. */
static int optional_text(const char **out, const struct json *doc, const char *key,
			 const char *otherwise, struct err *e)
{
	const struct json *v = json_get(doc, key);

	*out = v && !json_is_null(v) ? json_string(v) : otherwise;
	if (v && !json_is_null(v) && !*out)
		return err_code(e, CODE_KEYPROVIDER_REQUEST, "the packet's %s is no string", key);
	return 0;
}

static int read_cipher(struct packet *p, const struct json *doc, struct err *e)
{
	const char *iv, *type;
	int r;

	if ((r = optional_text(&iv, doc, "iv", NULL, e)) < 0 ||
	    (r = optional_text(&type, doc, "wrap_type", NULL, e)) < 0)
		return r;
	if (!iv || !type)
		return err_code(e, CODE_KEYPROVIDER_PACKET, "the packet has no iv or no wrap_type");
	p->gcm = strcmp(type, "A256GCM") == 0;
	if (!p->gcm && strcmp(type, "A256CTR") != 0)
		return err_code(e, CODE_KEYPROVIDER_PACKET, "wrap_type \"%.20s\", allowed A256GCM, A256CTR",
				type);
	p->iv_len = sizeof p->iv;
	if (enc_base64_decode_into(p->iv, &p->iv_len, ENC_B64, view_str(iv), e) < 0)
		return err_wrap_code(e, CODE_KEYPROVIDER_REQUEST, "the packet's iv");
	if (p->iv_len != (p->gcm ? AEAD_GCM_IV : AEAD_CTR_IV))
		return err_code(e, CODE_KEYPROVIDER_PACKET, "an iv of %zu bytes for %s", p->iv_len, type);
	return 0;
}

static int read_packet(struct packet *p, struct view text, struct err *e)
{
	cleanup_json struct json *doc = NULL;
	const char *kid, *wrapped, *provider, *version;
	int r;

	if (json_parse(&doc, text, KEYPROVIDER_PACKET_MAX, e) < 0)
		return err_wrap_code(e, CODE_KEYPROVIDER_REQUEST, "the packet");
	if (json_need_string(&kid, doc, "kid", "the packet", e) < 0 ||
	    json_need_string(&wrapped, doc, "wrapped_data", "the packet", e) < 0)
		return err_wrap_code(e, CODE_KEYPROVIDER_REQUEST, "annotation");
	if ((r = optional_text(&provider, doc, "provider", "kbs", e)) < 0 ||
	    (r = optional_text(&version, doc, "version", "0.1.0", e)) < 0)
		return r;
	/* Exact case here, unlike in sealed secrets (spec/trustee.md 7.3). */
	if (strcmp(provider, "kbs") != 0)
		return err_code(e, CODE_KEYPROVIDER_PROVIDER, "the packet needs provider \"%.40s\"", provider);
	if (strcmp(version, "0.1.0") != 0)
		return err_code(e, CODE_KEYPROVIDER_PACKET, "the packet has version \"%.20s\"", version);
	r = read_cipher(p, doc, e);
	if (r < 0)
		return r;
	if (uri_parse(&p->kid, view_str(kid), e) < 0)
		return err_wrap_code(e, CODE_KEYPROVIDER_PACKET, "the packet's kid");
	p->wrapped = BUF_MAX(KEYPROVIDER_OPTIONS_MAX + AEAD_GCM_TAG);
	if (enc_base64_decode(&p->wrapped, ENC_B64, view_str(wrapped), e) < 0)
		return err_wrap_code(e, CODE_KEYPROVIDER_REQUEST, "the packet's wrapped_data");
	return 0;
}

static int unwrap(struct secret *out, const struct packet *p, const struct secret *kek, struct err *e)
{
	cleanup_key32 struct key32 key = { 0 };
	const struct view iv = { p->iv, p->iv_len };
	int r;

	if (kek->len != KEK_BYTES)
		return err_code(e, CODE_KEYPROVIDER_KEK, "%s holds %zu bytes, want %d", p->kid.text,
				kek->len, KEK_BYTES);
	memcpy(key.b, secret_bytes(kek), KEK_BYTES);
	if (!p->gcm)
		return aead_ctr(out, &key, iv, buf_view(&p->wrapped), e);
	r = aead_gcm_open_appended(out, &key, iv, (struct view){ NULL, 0 }, buf_view(&p->wrapped), e);
	if (r == -ERR_VERIFY || r == -ERR_FORMAT)
		return err_wrap_code(e, CODE_KEYPROVIDER_UNWRAP, "under %s", p->kid.text);
	return r;
}

/* The bytes as decimal numbers, at most four characters each. */
static int write_reply(struct secret *out, const struct secret *options, struct err *e)
{
	static const char head[] = "{\"keyunwrapresults\":{\"optsdata\":[", tail[] = "]}}";
	cleanup_secret struct secret s = { 0 };
	int r = secret_alloc(&s, sizeof head + 4 * options->len + sizeof tail, e);

	if (r == 0)
		r = secret_append(&s, head, sizeof head - 1, e);
	for (size_t i = 0; r == 0 && i < options->len; i++) {
		char number[8];
		int n = snprintf(number, sizeof number, "%s%u", i ? "," : "", secret_bytes(options)[i]);

		r = secret_append(&s, number, (size_t)n, e);
		explicit_bzero(number, sizeof number);
	}
	if (r == 0)
		r = secret_append(&s, tail, sizeof tail - 1, e);
	if (r == 0)
		secret_move(out, &s);
	return r;
}

int keyprovider_unwrap(struct secret *out, struct view request, keyprovider_resource *resource,
		       void *ctx, struct deadline d, struct err *e)
{
	__attribute__((cleanup(packet_done))) struct packet p = { 0 };
	cleanup_buf struct buf text = BUF_MAX(KEYPROVIDER_PACKET_MAX);
	cleanup_secret struct secret kek = { 0 }, options = { 0 };
	int r;

	if ((r = annotation_of(&text, request, e)) < 0 ||
	    (r = read_packet(&p, buf_view(&text), e)) < 0 ||
	    (r = resource(ctx, &kek, &p.kid, d, e)) < 0 || (r = unwrap(&options, &p, &kek, e)) < 0)
		return r;
	return write_reply(out, &options, e);
}
