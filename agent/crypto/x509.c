/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/crypto/x509.h"
#include "agent/crypto/ossl.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <time.h>

struct x509_cert {
	X509 *x;
	EVP_PKEY *pkey;
	struct buf der;
	int64_t from, until;
	char name[X509_NAME_MAX];
};

OSSL_CLEANUP(object, ASN1_OBJECT, ASN1_OBJECT_free)
#define cleanup_object __attribute__((cleanup(object_freep)))

void x509_free(struct x509_cert *c)
{
	if (!c)
		return;
	X509_free(c->x);
	EVP_PKEY_free(c->pkey);
	buf_done(&c->der);
	free(c);
}

static int to_seconds(int64_t *out, const ASN1_TIME *t)
{
	struct tm tm = { 0 };

	if (!t || ASN1_TIME_to_tm(t, &tm) != 1)
		return -1;
	*out = (int64_t)timegm(&tm);
	return 0;
}

/* The common name, when there is exactly one and a terminal may see it. */
static void common_name(char out[X509_NAME_MAX], const X509 *x)
{
	const X509_NAME *name = X509_get_subject_name(x);
	int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
	const ASN1_STRING *s;
	const uint8_t *p;
	int n;

	out[0] = '\0';
	if (at < 0 || X509_NAME_get_index_by_NID(name, NID_commonName, at) >= 0)
		return;
	s = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
	p = ASN1_STRING_get0_data(s);
	n = ASN1_STRING_length(s);
	if (n <= 0 || n >= X509_NAME_MAX)
		return;
	for (int i = 0; i < n; i++)
		if (p[i] < ' ' || p[i] > '~')
			return;
	memcpy(out, p, (size_t)n);
	out[n] = '\0';
}

static int fill(struct x509_cert *c, struct view der, struct err *e)
{
	const uint8_t *p = der.p;

	c->x = d2i_X509(NULL, &p, (long)der.len);
	c->pkey = c->x ? X509_get_pubkey(c->x) : NULL;
	ERR_clear_error();
	if (!c->x || p != der.p + der.len)
		return err_set(e, ERR_FORMAT, "not the DER of one certificate");
	if (X509_get_version(c->x) != X509_VERSION_3)
		return err_set(e, ERR_FORMAT, "a certificate of version %ld, want 3",
			       X509_get_version(c->x) + 1);
	if (!c->pkey)
		return err_set(e, ERR_FORMAT, "the certificate's public key does not parse");
	if (to_seconds(&c->from, X509_get0_notBefore(c->x)) < 0 ||
	    to_seconds(&c->until, X509_get0_notAfter(c->x)) < 0)
		return err_set(e, ERR_FORMAT, "the certificate's dates do not parse");
	common_name(c->name, c->x);
	/* Computes what later calls only read, so that threads may share c. */
	(void)X509_check_purpose(c->x, -1, 0);
	ERR_clear_error();
	buf_putv(&c->der, der);
	return buf_check(&c->der, "certificate", e);
}

int x509_load(struct x509_cert **out, struct view der, struct err *e)
{
	cleanup_x509 struct x509_cert *c = NULL;
	int r;

	if (der.len == 0 || der.len > X509_DER_MAX)
		return err_set(e, der.len ? ERR_LIMIT : ERR_FORMAT,
			       "certificate of %zu bytes, allowed 1..%u", der.len, X509_DER_MAX);
	c = calloc(1, sizeof *c);
	if (!c)
		return err_set(e, ERR_NOMEM, "no memory for a certificate");
	c->der = BUF_MAX(X509_DER_MAX);
	r = fill(c, der, e);
	if (r == 0)
		*out = take(c);
	return r;
}

/* --- PEM ------------------------------------------------------------------------------------ */

static void openssl_freep(void *pp)
{
	OPENSSL_free(*(void **)pp);
}

#define cleanup_openssl __attribute__((cleanup(openssl_freep)))

static const char begin[] = "-----BEGIN CERTIFICATE-----";

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\0';
}

static void skip_blank(struct view *v)
{
	while (v->len > 0 && is_blank(v->p[0])) {
		v->p++;
		v->len--;
	}
}

/* Take one block, and the bytes up to the next, off the front of *pem. */
static int take_block(struct x509_cert **out, struct view *pem, struct err *e)
{
	cleanup_bio BIO *bio = BIO_new_mem_buf(pem->p, (int)pem->len);
	cleanup_openssl char *name = NULL;
	cleanup_openssl char *header = NULL;
	cleanup_openssl uint8_t *der = NULL;
	long n = 0;
	int r;

	if (!bio)
		return ossl_err(e, "read PEM");
	r = PEM_read_bio(bio, &name, &header, &der, &n);
	ERR_clear_error();
	if (r != 1 || strcmp(name, "CERTIFICATE") != 0 || header[0] != '\0')
		return err_set(e, ERR_FORMAT, "a block of PEM that is no certificate");
	r = x509_load(out, (struct view){ der, (size_t)n }, e);
	if (r < 0)
		return r;
	n = BIO_pending(bio);
	*pem = (struct view){ pem->p + (pem->len - (size_t)n), (size_t)n };
	skip_blank(pem);
	return 0;
}

int x509_chain_pem(struct x509_chain *out, struct view pem, struct err *e)
{
	if (pem.len > X509_PEM_MAX)
		return err_set(e, ERR_LIMIT, "certificates in PEM of %zu bytes, allowed %u",
			       pem.len, X509_PEM_MAX);
	skip_blank(&pem);
	if (pem.len == 0)
		return err_set(e, ERR_FORMAT, "no certificate");
	while (pem.len > 0) {
		struct x509_cert *c;
		int r;

		if (!view_starts(pem, begin))
			return err_set(e, ERR_FORMAT,
				       "bytes that are no certificate in PEM, behind %zu of them",
				       out->n);
		if (out->n == X509_CHAIN_MAX)
			return err_set(e, ERR_LIMIT, "over %d certificates", X509_CHAIN_MAX);
		r = take_block(&c, &pem, e);
		if (r < 0)
			return err_wrap(e, r, "certificate %zu", out->n + 1);
		out->cert[out->n++] = c;
	}
	return 0;
}

void x509_chain_done(struct x509_chain *chain)
{
	while (chain->n > 0)
		x509_free(chain->cert[--chain->n]);
}

int x509_load_any(struct x509_cert **out, struct view bytes, struct err *e)
{
	cleanup_x509_chain struct x509_chain chain = { 0 };
	int r;

	if (bytes.len > 0 && bytes.p[0] == 0x30) /* SEQUENCE */
		return x509_load(out, bytes, e);
	r = x509_chain_pem(&chain, bytes, e);
	if (r < 0)
		return r;
	if (chain.n != 1)
		return err_set(e, ERR_FORMAT, "%zu certificates, want one", chain.n);
	*out = take(chain.cert[0]);
	chain.n = 0;
	return 0;
}

/* --- what a certificate says ---------------------------------------------------------------- */

struct view x509_der(const struct x509_cert *c)
{
	return buf_view(&c->der);
}

bool x509_eq(const struct x509_cert *a, const struct x509_cert *b)
{
	return view_eq(buf_view(&a->der), buf_view(&b->der));
}

const char *x509_name(const struct x509_cert *c)
{
	return c->name;
}

void x509_validity(const struct x509_cert *c, int64_t *from, int64_t *until)
{
	*from = c->from;
	*until = c->until;
}

bool x509_self_issued(const struct x509_cert *c)
{
	return X509_NAME_cmp(X509_get_issuer_name(c->x), X509_get_subject_name(c->x)) == 0;
}

/* --- who issued it -------------------------------------------------------------------------- */

static int check_algorithm(const struct x509_cert *c, const struct x509_cert *issuer,
			   enum x509_rules rules, struct err *e)
{
	int digest = NID_undef, key = NID_undef;
	uint32_t flags = 0;
	bool right;

	(void)X509_get_signature_info(c->x, &digest, &key, NULL, &flags);
	ERR_clear_error();
	/* The flag says of PSS that MGF1 has the same digest and the salt its length. */
	if (rules == X509_AMD)
		right = digest == NID_sha384 && key == NID_rsassaPss &&
			(flags & X509_SIG_INFO_TLS) && EVP_PKEY_is_a(issuer->pkey, "RSA");
	else
		right = digest == NID_sha256 && key == NID_X9_62_id_ecPublicKey &&
			ossl_on_curve(issuer->pkey, ECDSA_P256);
	if (!right)
		return err_set(e, ERR_UNSUPPORTED, "the certificate \"%s\" is not signed by %s",
			       c->name,
			       rules == X509_AMD ? "RSASSA-PSS with SHA-384" :
						   "ECDSA P-256 with SHA-256");
	return 0;
}

int x509_issued(const struct x509_cert *c, const struct x509_cert *issuer, enum x509_rules rules,
		struct err *e)
{
	uint32_t flags = X509_get_extension_flags(issuer->x);
	int r = check_algorithm(c, issuer, rules, e);

	if (r < 0)
		return r;
	if (X509_NAME_cmp(X509_get_issuer_name(c->x), X509_get_subject_name(issuer->x)) != 0)
		return err_set(e, ERR_VERIFY, "the certificate \"%s\" names another issuer than \"%s\"",
			       c->name, issuer->name);
	/* Without the extension libcrypto takes every usage for allowed. */
	if ((flags & EXFLAG_INVALID) || !(flags & EXFLAG_CA) || !(flags & EXFLAG_KUSAGE) ||
	    !(X509_get_key_usage(issuer->x) & KU_KEY_CERT_SIGN))
		return err_set(e, ERR_UNSUPPORTED, "the certificate \"%s\" is not one of an issuer",
			       issuer->name);
	r = X509_verify(c->x, issuer->pkey);
	ERR_clear_error();
	if (r != 1)
		return err_set(e, ERR_VERIFY,
			       "the signature of the certificate \"%s\" is not \"%s\"'s", c->name,
			       issuer->name);
	return 0;
}

/* --- extensions ----------------------------------------------------------------------------- */

int x509_extension(struct view *out, const struct x509_cert *c, const char *oid, struct err *e)
{
	cleanup_object ASN1_OBJECT *kind = OBJ_txt2obj(oid, 1);
	const ASN1_OCTET_STRING *content;
	int at;

	if (!kind)
		return ossl_err(e, "read an OID");
	at = X509_get_ext_by_OBJ(c->x, kind, -1);
	if (at < 0)
		return err_set(e, ERR_NOTFOUND, "the certificate \"%s\" has no extension %s",
			       c->name, oid);
	if (X509_get_ext_by_OBJ(c->x, kind, at) >= 0)
		return err_set(e, ERR_FORMAT, "the certificate \"%s\" has the extension %s twice",
			       c->name, oid);
	content = X509_EXTENSION_get_data(X509_get_ext(c->x, at));
	*out = (struct view){ ASN1_STRING_get0_data(content), (size_t)ASN1_STRING_length(content) };
	return 0;
}

int x509_extension_u8(uint8_t *out, const struct x509_cert *c, const char *oid, struct err *e)
{
	struct view v;
	int r = x509_extension(&v, c, oid, e);

	if (r < 0)
		return r;
	/* DER: the shortest form, with a zero in front where the number would be negative. */
	if (v.len == 3 && v.p[0] == 2 && v.p[1] == 1 && v.p[2] < 0x80)
		*out = v.p[2];
	else if (v.len == 4 && v.p[0] == 2 && v.p[1] == 2 && v.p[2] == 0 && v.p[3] >= 0x80)
		*out = v.p[3];
	else
		return err_set(e, ERR_FORMAT,
			       "the extension %s of the certificate \"%s\" is no number of 0..255",
			       oid, c->name);
	return 0;
}

int x509_ecdsa_verify(const struct x509_cert *c, enum ecdsa_curve curve, struct view message,
		      struct ecdsa_signature signature, struct err *e)
{
	int r = ossl_ecdsa_verify(c->pkey, curve, message, signature, e);

	return r < 0 ? err_wrap(e, r, "key of the certificate \"%s\"", c->name) : 0;
}
