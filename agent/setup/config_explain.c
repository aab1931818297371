/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "agent/base/version.h"
#include "agent/setup/config_parts.h"

enum { VALUE_MAX = 8192, SHOWN_MAX = 200, DER_MAX = 64 * 1024 };

#define PEM_BEGIN "-----BEGIN CERTIFICATE-----"
#define PEM_END   "-----END CERTIFICATE-----"

const char *config_from_name(enum config_from from)
{
	static const char *const names[] = {
		[FROM_DEFAULT] = "default",
		[FROM_AA] = "initdata aa.toml",
		[FROM_CDH] = "initdata cdh.toml",
		[FROM_OWN] = "initdata vouchsafe.toml",
		[FROM_CMDLINE] = "kernel command line",
		[FROM_IMAGE] = "image vouchsafe.toml",
		[FROM_BUILD] = "development build",
	};

	return names[from];
}

static bool put_fingerprint(struct buf *out, struct view code)
{
	cleanup_buf struct buf der = BUF_MAX(DER_MAX);
	struct digest d;

	if (initdata_unfold(&der, code, NULL) < 0 || digest_of(&d, HASH_SHA256, buf_view(&der), NULL) < 0)
		return false;
	buf_puts(out, "SHA-256 ");
	enc_hex(out, digest_view(&d));
	return true;
}

void config_put_certificates(struct buf *out, const char *pem)
{
	const char *p = pem, *end;
	bool any = false;

	while ((p = strstr(p, PEM_BEGIN)) != NULL) {
		p += strlen(PEM_BEGIN);
		end = strstr(p, PEM_END);
		if (!end)
			break;
		buf_puts(out, any ? ", " : "");
		if (!put_fingerprint(out, (struct view){ (const uint8_t *)p, (size_t)(end - p) }))
			buf_puts(out, "a damaged certificate");
		any = true;
		p = end;
	}
	if (!any)
		buf_printf(out, "no PEM certificate (%zu bytes)", strlen(pem));
}

static void put_cut(struct buf *out, const char *text)
{
	size_t n = strlen(text);

	if (n <= SHOWN_MAX) {
		buf_puts(out, text);
		return;
	}
	/* Not in the middle of a character. */
	for (n = SHOWN_MAX; n > 0 && ((uint8_t)text[n] & 0xc0) == 0x80; n--)
		;
	buf_put(out, text, n);
	buf_printf(out, "... (%zu bytes)", strlen(text));
}

/* A proxy's or server's password is not ours to show. */
static void put_url(struct buf *out, const char *url)
{
	const char *host = strstr(url, "://");
	size_t n = host ? strcspn(host + 3, "/?#") : 0;
	const char *at = host ? memrchr(host + 3, '@', n) : NULL;

	if (at) {
		buf_put(out, url, (size_t)(host + 3 - url));
		buf_puts(out, "***");
		url = at;
	}
	put_cut(out, url);
}

static void put_list(struct buf *out, char *const *list, size_t n, bool certificates)
{
	if (n == 0)
		buf_puts(out, "an empty list");
	for (size_t i = 0; i < n; i++) {
		buf_puts(out, i > 0 ? ", " : "");
		if (certificates)
			config_put_certificates(out, list[i]);
		else
			put_cut(out, list[i]);
	}
}

static void put_table(struct buf *out, const struct guest_config *c, enum config_key key)
{
	size_t n = 0;

	if (key == KEY_IMAGE_REGISTRY) {
		for (const struct toml *m = toml_first(c->image.registry); m; m = toml_next(m))
			n++;
		buf_printf(out, "a table of %zu", n);
		return;
	}
	n = key == KEY_BIND ? c->n_bind : c->n_credentials;
	if (n == 0)
		buf_puts(out, "an empty list");
	for (size_t i = 0; i < n; i++) {
		bool bind = key == KEY_BIND;

		buf_puts(out, i > 0 ? ", " : "");
		put_cut(out, bind ? c->bind_names[i] : c->credentials[i].path);
		buf_puts(out, " = ");
		put_cut(out, bind ? c->bind_uris[i] : c->credentials[i].uri);
	}
}

/* What nobody said, or said as nothing (an empty text), has the default. */
static bool is_set(const struct guest_config *c, enum config_key key)
{
	const struct config_row *row = &config_rows[key];

	if (c->origin[key].from == FROM_DEFAULT)
		return false;
	if (row->kind == KIND_TEXT || row->kind == KIND_URL || row->kind == KIND_CERT)
		return *(char *const *)(const void *)((const char *)c + row->at) != NULL;
	return true;
}

static void put_value(struct buf *out, const struct guest_config *c, enum config_key key)
{
	const struct config_row *row = &config_rows[key];
	const void *field = (const char *)c + row->at;
	const size_t *n = (const size_t *)(const void *)((const char *)c + row->at_n);

	if (!is_set(c, key)) {
		buf_puts(out, row->unset);
		return;
	}
	switch (row->kind) {
	case KIND_TEXT:
		put_cut(out, *(char *const *)field);
		break;
	case KIND_URL:
		put_url(out, *(char *const *)field);
		break;
	case KIND_LONG:
		buf_printf(out, "a text of %zu bytes", strlen(*(char *const *)field));
		break;
	case KIND_CERT:
		config_put_certificates(out, *(char *const *)field);
		break;
	case KIND_BOOL:
		buf_puts(out, *(const bool *)field ? "true" : "false");
		break;
	case KIND_UINT:
		buf_printf(out, "%u", *(const uint32_t *)field);
		break;
	case KIND_LIST:
	case KIND_CERTS:
		put_list(out, *(char *const *const *)field, *n, row->kind == KIND_CERTS);
		break;
	case KIND_UIDS:
		for (size_t i = 0; i < c->n_peer_uids; i++)
			buf_printf(out, "%s%u", i > 0 ? ", " : "", c->peer_uids[i]);
		if (c->n_peer_uids == 0)
			buf_puts(out, "an empty list");
		break;
	case KIND_TABLE:
		put_table(out, c, key);
		break;
	}
}

static enum config_measured measured_of(enum config_from from, bool bound)
{
	if (from == FROM_DEFAULT)
		return MEASURED_BUILT_IN;
	/* It is applied where it counts only; a development build says so of everything. */
	if (from == FROM_CMDLINE)
		return version_is_dev ? MEASURED_NO : MEASURED_YES;
	return bound ? MEASURED_YES : MEASURED_NO;
}

void config_explain(const struct guest_config *c, bool bound,
		    void (*visit)(void *ctx, const struct config_item *item), void *ctx)
{
	for (int key = 0; key < CONFIG_KEYS; key++) {
		cleanup_buf struct buf value = BUF_MAX(VALUE_MAX);
		struct config_origin from = c->origin[key];
		struct config_item item = { .key = config_rows[key].name };

		if (!config_rows[key].unset)
			continue;
		put_value(&value, c, (enum config_key)key);
		item.value = buf_check(&value, "a value", NULL) == 0 ? buf_str(&value) :
								       "(too long to show)";
		item.source = config_from_name(from.from);
		item.line = from.line;
		item.measured = measured_of(from.from, bound);
		visit(ctx, &item);
	}
}

void image_explain(const struct image_settings *s,
		   void (*visit)(void *ctx, const struct config_item *item), void *ctx)
{
	for (int key = 0; key < IMAGE_KEYS; key++) {
		cleanup_buf struct buf value = BUF_MAX(VALUE_MAX);
		struct config_item item = { .key = image_key_name((enum image_key)key),
					    .line = s->line[key] };
		bool permit = key >= IMAGE_PERMIT_UNBOUND;
		enum config_from from = version_is_dev && permit ? FROM_BUILD :
					s->line[key] > 0	 ? FROM_IMAGE :
								   FROM_DEFAULT;

		image_put_value(&value, s, (enum image_key)key);
		item.value = buf_str(&value);
		item.source = config_from_name(from);
		item.measured = from == FROM_DEFAULT		   ? MEASURED_BUILT_IN :
				from == FROM_IMAGE && s->measured && !version_is_dev ? MEASURED_YES :
										       MEASURED_NO;
		visit(ctx, &item);
	}
}
