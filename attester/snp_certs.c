/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/snp_certs.h"
#include "agent/base/enc.h"
#include "attester/byte_list.h"
#include "attester/le.h"

enum { ENTRY_LEN = 24, AT_OFFSET = 16, AT_LENGTH = 20, UUID_LEN = 36 };

static const struct {
	const char *name;
	uint8_t guid[SNP_GUID_LEN];
} types[] = {
	[SNP_CERT_EMPTY] = { "Empty", { 0 } },
	[SNP_CERT_ARK] = { "ARK",
			   { 0xc0, 0xb4, 0x06, 0xa4, 0xa8, 0x03, 0x49, 0x52, 0x97, 0x43, 0x3f, 0xb6,
			     0x01, 0x4c, 0xd0, 0xae } },
	[SNP_CERT_ASK] = { "ASK",
			   { 0x4a, 0xb7, 0xb3, 0x79, 0xbb, 0xac, 0x4f, 0xe4, 0xa0, 0x2f, 0x05, 0xae,
			     0xf3, 0x27, 0xc7, 0x82 } },
	[SNP_CERT_VCEK] = { "VCEK",
			    { 0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64, 0xad, 0xc5, 0xf4,
			      0xb9, 0x3b, 0xe8, 0xac, 0xcd } },
	[SNP_CERT_VLEK] = { "VLEK",
			    { 0xa8, 0x07, 0x4b, 0xc2, 0xa2, 0x5a, 0x48, 0x3e, 0xaa, 0xe6, 0x39,
			      0xc0, 0x45, 0xa0, 0xb8, 0xa1 } },
	[SNP_CERT_CRL] = { "CRL",
			   { 0x92, 0xf8, 0x1b, 0xc3, 0x58, 0x11, 0x4d, 0x3d, 0x97, 0xff, 0xd1, 0x9f,
			     0x88, 0xdc, 0x67, 0xea } },
	[SNP_CERT_OTHER] = { "OTHER", { 0 } },
};

static enum snp_cert_type type_of(const uint8_t guid[SNP_GUID_LEN])
{
	for (int t = SNP_CERT_EMPTY; t < SNP_CERT_OTHER; t++)
		if (memcmp(guid, types[t].guid, SNP_GUID_LEN) == 0)
			return (enum snp_cert_type)t;
	return SNP_CERT_OTHER;
}

const char *snp_cert_name(enum snp_cert_type type)
{
	return types[type <= SNP_CERT_OTHER ? type : SNP_CERT_OTHER].name;
}

const struct snp_cert *snp_certs_find(const struct snp_certs *certs, enum snp_cert_type type)
{
	for (size_t i = 0; i < certs->n; i++)
		if (certs->cert[i].type == type)
			return &certs->cert[i];
	return NULL;
}

/* One entry; its data must lie behind the entries, which is known only at the end. */
static int read_entry(struct snp_cert *out, struct view table, size_t i, struct err *e)
{
	const uint8_t *p = table.p + i * ENTRY_LEN;
	size_t at = le32(p + AT_OFFSET), n = le32(p + AT_LENGTH);

	if (n == 0)
		return err_set(e, ERR_FORMAT, "certificate %zu of the host's table is empty", i);
	if (at > table.len || n > table.len - at)
		return err_set(e, ERR_FORMAT,
			       "certificate %zu of the host's table: %zu bytes at %zu, the table has "
			       "%zu",
			       i, n, at, table.len);
	memcpy(out->guid, p, SNP_GUID_LEN);
	out->type = type_of(out->guid);
	if (out->type == SNP_CERT_EMPTY)
		return err_set(e, ERR_FORMAT, "certificate %zu of the host's table has no type", i);
	out->data = view_at(table, at, n);
	return 0;
}

static bool overlap(struct view a, struct view b)
{
	return a.p < b.p + b.len && b.p < a.p + a.len;
}

int snp_certs_parse(struct snp_certs *out, struct view table, struct err *e)
{
	struct snp_certs c = { 0 };
	struct view entries;
	int r;

	if (table.len > SNP_CERTS_TABLE_MAX)
		return err_set(e, ERR_LIMIT, "certificate table of %zu bytes, allowed %u", table.len,
			       SNP_CERTS_TABLE_MAX);
	for (; table.len > 0; c.n++) {
		if (table.len / ENTRY_LEN <= c.n)
			return err_set(e, ERR_FORMAT,
				       "the host's certificate table of %zu bytes has no end",
				       table.len);
		if (all_zero(view_at(table, c.n * ENTRY_LEN, ENTRY_LEN)))
			break;
		if (c.n == SNP_CERTS_N_MAX)
			return err_set(e, ERR_LIMIT, "over %d certificates in the host's table",
				       SNP_CERTS_N_MAX);
		r = read_entry(&c.cert[c.n], table, c.n, e);
		if (r < 0)
			return r;
	}
	entries = (struct view){ table.p, (c.n + 1) * ENTRY_LEN };
	for (size_t i = 0; i < c.n; i++) {
		if (overlap(c.cert[i].data, entries))
			return err_set(e, ERR_FORMAT,
				       "certificate %zu of the host's table lies in the table's "
				       "entries",
				       i);
		for (size_t j = 0; j < i; j++)
			if (overlap(c.cert[i].data, c.cert[j].data))
				return err_set(e, ERR_FORMAT,
					       "certificates %zu and %zu of the host's table share "
					       "bytes",
					       j, i);
	}
	*out = c;
	return 0;
}

/* --- JSON ------------------------------------------------------------------------------------ */

static void put_uuid(struct buf *out, const uint8_t guid[SNP_GUID_LEN])
{
	for (size_t i = 0; i < SNP_GUID_LEN; i++)
		buf_printf(out, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", guid[i]);
}

void snp_certs_json(struct buf *out, const struct snp_certs *certs)
{
	if (certs->n == 0) {
		buf_puts(out, "null");
		return;
	}
	for (size_t i = 0; i < certs->n; i++) {
		const struct snp_cert *c = &certs->cert[i];

		buf_puts(out, i ? ",{\"cert_type\":" : "[{\"cert_type\":");
		if (c->type == SNP_CERT_OTHER) {
			buf_puts(out, "{\"OTHER\":\"");
			put_uuid(out, c->guid);
			buf_puts(out, "\"}");
		} else {
			buf_printf(out, "\"%s\"", snp_cert_name(c->type));
		}
		buf_puts(out, ",\"data\":");
		byte_list_put(out, c->data);
		buf_putc(out, '}');
	}
	buf_putc(out, ']');
}

static int get_uuid(uint8_t guid[SNP_GUID_LEN], const char *text)
{
	char hex[2 * SNP_GUID_LEN];
	size_t n = 0;

	if (!text || strlen(text) != UUID_LEN)
		return -1;
	for (size_t i = 0; i < UUID_LEN; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash != (text[i] == '-'))
			return -1;
		if (!dash)
			hex[n++] = text[i];
	}
	return enc_hex_decode(guid, SNP_GUID_LEN, (struct view){ (const uint8_t *)hex, sizeof hex },
			      NULL);
}

static int get_type(struct snp_cert *c, const struct json *type, size_t i, struct err *e)
{
	const char *name = json_string(type);

	for (int t = SNP_CERT_EMPTY; name && t < SNP_CERT_OTHER; t++)
		if (strcmp(name, types[t].name) == 0) {
			c->type = (enum snp_cert_type)t;
			memcpy(c->guid, types[t].guid, SNP_GUID_LEN);
			return 0;
		}
	if (json_is_object(type) && json_count(type) == 1 &&
	    get_uuid(c->guid, json_string(json_get(type, "OTHER"))) == 0) {
		c->type = SNP_CERT_OTHER;
		return 0;
	}
	return err_set(e, ERR_FORMAT,
		       "cert_chain[%zu]: cert_type is none of Empty, ARK, ASK, VCEK, VLEK, CRL, "
		       "{OTHER: uuid}",
		       i);
}

static int get_data(struct buf *store, const struct json *list, size_t i, struct err *e)
{
	size_t bad;

	if (byte_list_get(store, list, &bad) < 0)
		return err_set(e, ERR_FORMAT, "cert_chain[%zu]: data is no list of bytes", i);
	return buf_check(store, "cert_chain", e);
}

int snp_certs_from_json(struct snp_certs *out, struct buf *store, const struct json *list,
			struct err *e)
{
	struct snp_certs c = { 0 };
	size_t at = 0;
	int r;

	if (!list || json_is_null(list)) {
		*out = c;
		return 0;
	}
	if (!json_is_array(list) || json_count(list) == 0)
		return err_set(e, ERR_FORMAT,
			       "cert_chain is neither null nor a list of certificates");
	for (const struct json *v = json_first(list); v; v = json_next(v), c.n++) {
		if (c.n == SNP_CERTS_N_MAX)
			return err_set(e, ERR_LIMIT, "cert_chain of over %d certificates",
				       SNP_CERTS_N_MAX);
		r = get_type(&c.cert[c.n], json_get(v, "cert_type"), c.n, e);
		if (r < 0)
			return r;
		at = store->len;
		r = get_data(store, json_get(v, "data"), c.n, e);
		if (r < 0)
			return r;
		c.cert[c.n].data.len = store->len - at;
	}
	/* Only now does the store stay where it is. */
	at = 0;
	for (size_t i = 0; i < c.n && store->p; i++) {
		c.cert[i].data.p = store->p + at;
		at += c.cert[i].data.len;
	}
	*out = c;
	return 0;
}
