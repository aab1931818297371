/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_UNIT_CRYPTO_CERTMAKER_H
#define TEST_UNIT_CRYPTO_CERTMAKER_H

#include "agent/base/buf.h"
#include "test/test.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

/* Certificates of a test's own, with keys made on the spot, wrong wherever a row says so. */

enum cert_sign { CERT_PSS, CERT_PKCS1, CERT_ECDSA };

struct cert_ext {
	const char *oid;
	uint8_t bytes[72];
	int len;
};

struct cert_recipe {
	const char *subject, *issuer; /* common names */
	long version;                 /* 0: 3 */
	long serial;
	bool ca;
	const char *usage; /* "critical,keyCertSign"; NULL: no such extension */
	int64_t from, until;
	enum cert_sign sign;
	const EVP_MD *md, *mgf; /* NULL: of the rules; SHA-384 for PSS, SHA-256 for ECDSA */
	int salt;               /* 0: the digest's length */
	const struct cert_ext *ext;
	size_t n_ext;
};

static inline EVP_PKEY *cert_rsa_key(void)
{
	return EVP_RSA_gen(2048);
}

static inline EVP_PKEY *cert_ec_key(const char *curve)
{
	return EVP_EC_gen(curve);
}

static inline void cert_extend(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	CHECK(ext && X509_add_ext(x, ext, -1) == 1);
	X509_EXTENSION_free(ext);
}

static inline void cert_extend_raw(X509 *x, const char *oid, const uint8_t *p, int n)
{
	ASN1_OBJECT *kind = OBJ_txt2obj(oid, 1);
	ASN1_OCTET_STRING *content = ASN1_OCTET_STRING_new();
	X509_EXTENSION *ext;

	CHECK(kind && content && ASN1_OCTET_STRING_set(content, p, n) == 1);
	ext = X509_EXTENSION_create_by_OBJ(NULL, kind, 0, content);
	CHECK(ext && X509_add_ext(x, ext, -1) == 1);
	X509_EXTENSION_free(ext);
	ASN1_OCTET_STRING_free(content);
	ASN1_OBJECT_free(kind);
}

static inline void cert_sign(X509 *x, EVP_PKEY *key, const struct cert_recipe *r)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *how = NULL;
	const EVP_MD *md = r->md ? r->md : r->sign == CERT_ECDSA ? EVP_sha256() : EVP_sha384();

	CHECK(ctx && EVP_DigestSignInit(ctx, &how, md, NULL, key) == 1);
	if (r->sign == CERT_PSS)
		CHECK(EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING) == 1 &&
		      EVP_PKEY_CTX_set_rsa_mgf1_md(how, r->mgf ? r->mgf : md) == 1 &&
		      EVP_PKEY_CTX_set_rsa_pss_saltlen(how, r->salt ? r->salt : EVP_MD_get_size(md)) == 1);
	CHECK(X509_sign_ctx(x, ctx) > 0);
	EVP_MD_CTX_free(ctx);
}

static inline void cert_name(X509_NAME *name, const char *cn)
{
	CHECK(X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const uint8_t *)"Test", -1, -1,
					 0) == 1);
	CHECK(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)cn, -1, -1, 0) ==
	      1);
}

/* DER of a certificate for key, signed by issuer_key. */
static inline struct buf cert_make(const struct cert_recipe *r, EVP_PKEY *key, EVP_PKEY *issuer_key)
{
	struct buf out = BUF_MAX(65536);
	X509 *x = X509_new();
	uint8_t *der = NULL;
	int n;

	CHECK(x && X509_set_version(x, r->version ? r->version - 1 : 2) == 1);
	CHECK(ASN1_INTEGER_set(X509_get_serialNumber(x), r->serial) == 1);
	cert_name(X509_get_subject_name(x), r->subject);
	cert_name(X509_get_issuer_name(x), r->issuer);
	CHECK(ASN1_TIME_set(X509_getm_notBefore(x), (time_t)(r->from ? r->from : 1700000000)) != NULL);
	CHECK(ASN1_TIME_set(X509_getm_notAfter(x), (time_t)(r->until ? r->until : 2000000000)) != NULL);
	CHECK(X509_set_pubkey(x, key) == 1);
	if (r->ca)
		cert_extend(x, NID_basic_constraints, "critical,CA:TRUE");
	if (r->usage)
		cert_extend(x, NID_key_usage, r->usage);
	for (size_t i = 0; i < r->n_ext; i++)
		cert_extend_raw(x, r->ext[i].oid, r->ext[i].bytes, r->ext[i].len);
	cert_sign(x, issuer_key, r);
	n = i2d_X509(x, &der);
	CHECK(n > 0);
	buf_put(&out, der, (size_t)n);
	OPENSSL_free(der);
	X509_free(x);
	return out;
}

/* The same as PEM text, appended. */
static inline void cert_pem(struct buf *out, struct view der)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long n;

	CHECK(bio && PEM_write_bio(bio, "CERTIFICATE", "", der.p, (long)der.len) > 0);
	n = BIO_get_mem_data(bio, &text);
	buf_put(out, text, (size_t)n);
	BIO_free(bio);
}

#endif
