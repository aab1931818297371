/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/crypto/x509.h"
#include "test/unit/crypto/certmaker.h"

static const struct cert_recipe amd_root = { .subject = "root", .issuer = "root", .ca = true,
					     .usage = "critical,keyCertSign" };
static const struct cert_recipe amd_leaf = { .subject = "leaf", .issuer = "root" };

struct pair {
	EVP_PKEY *root_key, *leaf_key;
	struct buf root, leaf;
	struct x509_cert *root_cert, *leaf_cert;
};

static void load(struct pair *p)
{
	struct err e = { 0 };

	if (x509_load(&p->root_cert, buf_view(&p->root), &e) < 0 ||
	    x509_load(&p->leaf_cert, buf_view(&p->leaf), &e) < 0)
		test_fail(__FILE__, __LINE__, "%s", e.msg);
}

static struct pair amd(const struct cert_recipe *root, const struct cert_recipe *leaf)
{
	struct pair p = { .root_key = cert_rsa_key(), .leaf_key = cert_ec_key("P-384") };

	p.root = cert_make(root, p.root_key, p.root_key);
	p.leaf = cert_make(leaf, p.leaf_key, p.root_key);
	load(&p);
	return p;
}

static void unload(struct pair *p)
{
	x509_free(p->root_cert);
	x509_free(p->leaf_cert);
	buf_done(&p->root);
	buf_done(&p->leaf);
	EVP_PKEY_free(p->root_key);
	EVP_PKEY_free(p->leaf_key);
}

TEST(x509_issued__amd_with_serial_zero__holds_and_dates_do_not_matter)
{
	struct cert_recipe leaf = amd_leaf;
	struct pair p;
	int64_t from, until;

	leaf.from = 1000000000;
	leaf.until = 1000000060;
	p = amd(&amd_root, &leaf);
	CHECK_INT(x509_issued(p.leaf_cert, p.root_cert, X509_AMD, NULL), 0);
	CHECK_INT(x509_issued(p.root_cert, p.root_cert, X509_AMD, NULL), 0);
	x509_validity(p.leaf_cert, &from, &until);
	CHECK_INT(from, 1000000000);
	CHECK_INT(until, 1000000060);
	CHECK(strcmp(x509_name(p.leaf_cert), "leaf") == 0);
	CHECK(x509_self_issued(p.root_cert));
	CHECK(!x509_self_issued(p.leaf_cert));
	CHECK(x509_eq(p.leaf_cert, p.leaf_cert));
	CHECK(!x509_eq(p.leaf_cert, p.root_cert));
	CHECK(view_eq(x509_der(p.leaf_cert), buf_view(&p.leaf)));
	unload(&p);
}

TEST(x509_issued__one_thing_wrong__is_refused_by_its_name)
{
	const struct {
		struct cert_recipe root, leaf;
		enum err_kind want;
		const char *words;
	} rows[] = {
		/* The signature's algorithm and each of PSS's parameters. */
		{ amd_root, { .subject = "leaf", .issuer = "root", .sign = CERT_PKCS1 }, ERR_UNSUPPORTED, "not signed by RSASSA-PSS" },
		{ amd_root, { .subject = "leaf", .issuer = "root", .md = EVP_sha256() }, ERR_UNSUPPORTED, "not signed by RSASSA-PSS" },
		{ amd_root, { .subject = "leaf", .issuer = "root", .mgf = EVP_sha1() }, ERR_UNSUPPORTED, "not signed by RSASSA-PSS" },
		{ amd_root, { .subject = "leaf", .issuer = "root", .salt = 20 }, ERR_UNSUPPORTED, "not signed by RSASSA-PSS" },
		{ amd_root, { .subject = "leaf", .issuer = "other" }, ERR_VERIFY, "names another issuer than \"root\"" },
		{ { .subject = "root", .issuer = "root", .usage = "critical,keyCertSign" }, amd_leaf, ERR_UNSUPPORTED, "\"root\" is not one of an issuer" },
		{ { .subject = "root", .issuer = "root", .ca = true }, amd_leaf, ERR_UNSUPPORTED, "\"root\" is not one of an issuer" },
		{ { .subject = "root", .issuer = "root", .ca = true, .usage = "critical,cRLSign" }, amd_leaf, ERR_UNSUPPORTED, "\"root\" is not one of an issuer" },
		/* Another key by the same name. */
		{ amd_root, amd_leaf, ERR_VERIFY, "the signature of the certificate \"leaf\" is not \"root\"'s" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct pair p = amd(&rows[i].root, &rows[i].leaf);
		struct err e = { 0 };

		if (i == ARRAY_LEN(rows) - 1) {
			struct pair other = amd(&amd_root, &amd_leaf);

			CHECK_ERR(x509_issued(p.leaf_cert, other.root_cert, X509_AMD, &e),
				  rows[i].want, e, rows[i].words);
			unload(&other);
		} else {
			CHECK_ERR(x509_issued(p.leaf_cert, p.root_cert, X509_AMD, &e), rows[i].want,
				  e, rows[i].words);
		}
		CHECK(x509_issued(p.leaf_cert, p.root_cert, X509_INTEL, NULL) < 0);
		unload(&p);
	}
}

TEST(x509_issued__intel__wants_p256_and_sha256)
{
	static const struct {
		const char *curve;
		const EVP_MD *(*md)(void);
		bool good;
	} rows[] = { { "P-256", EVP_sha256, true },
		     { "P-384", EVP_sha256, false },
		     { "P-256", EVP_sha384, false } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct cert_recipe root = amd_root, leaf = amd_leaf;
		struct pair p = { .root_key = cert_ec_key(rows[i].curve),
				  .leaf_key = cert_ec_key("P-256") };
		struct err e;

		root.sign = leaf.sign = CERT_ECDSA;
		leaf.md = rows[i].md();
		p.root = cert_make(&root, p.root_key, p.root_key);
		p.leaf = cert_make(&leaf, p.leaf_key, p.root_key);
		load(&p);
		if (rows[i].good) {
			CHECK_INT(x509_issued(p.leaf_cert, p.root_cert, X509_INTEL, NULL), 0);
		} else {
			CHECK_ERR(x509_issued(p.leaf_cert, p.root_cert, X509_INTEL, &e),
				  ERR_UNSUPPORTED, e, "not signed by ECDSA P-256 with SHA-256");
		}
		CHECK(x509_issued(p.leaf_cert, p.root_cert, X509_AMD, NULL) < 0);
		unload(&p);
	}
}

TEST(x509_load__malformed__is_a_format_error_and_leaves_out_untouched)
{
	struct pair p = amd(&amd_root, &amd_leaf);
	struct cert_recipe old = amd_leaf;
	cleanup_buf struct buf v1 = BUF_MAX(65536);
	struct x509_cert *c = p.leaf_cert;
	struct err e;

	for (size_t n = 0; n < p.leaf.len; n += 7)
		CHECK_INT(x509_load(&c, (struct view){ p.leaf.p, n }, &e), -ERR_FORMAT);
	buf_putc(&p.leaf, 0);
	CHECK_ERR(x509_load(&c, buf_view(&p.leaf), &e), ERR_FORMAT, e, "not the DER of one");
	CHECK_ERR(x509_load(&c, (struct view){ p.leaf.p, X509_DER_MAX + 1 }, &e), ERR_LIMIT, e,
		  "allowed 1..16384");
	old.version = 1;
	v1 = cert_make(&old, p.leaf_key, p.root_key);
	CHECK_ERR(x509_load(&c, buf_view(&v1), &e), ERR_FORMAT, e, "version 1, want 3");
	CHECK(c == p.leaf_cert);
	unload(&p);
}

TEST(x509_chain_pem__text__is_read_to_its_end)
{
	struct pair p = amd(&amd_root, &amd_leaf);
	cleanup_x509_chain struct x509_chain chain = { 0 };
	cleanup_buf struct buf pem = BUF_MAX(65536);
	cleanup_x509 struct x509_cert *one = NULL;
	struct err e;

	buf_puts(&pem, "\n");
	cert_pem(&pem, buf_view(&p.leaf));
	CHECK_INT(x509_load_any(&one, buf_view(&pem), NULL), 0);
	CHECK(x509_eq(one, p.leaf_cert));
	buf_puts(&pem, "\r\n");
	cert_pem(&pem, buf_view(&p.root));
	buf_put(&pem, " \n\0\0", 4);
	CHECK_INT(x509_chain_pem(&chain, buf_view(&pem), NULL), 0);
	CHECK_INT(chain.n, 2);
	CHECK(x509_eq(chain.cert[0], p.leaf_cert));
	CHECK(x509_eq(chain.cert[1], p.root_cert));
	CHECK_ERR(x509_load_any(&one, buf_view(&pem), &e), ERR_FORMAT, e, "2 certificates, want one");
	x509_free(one);
	one = NULL;
	CHECK_INT(x509_load_any(&one, buf_view(&p.root), NULL), 0);
	unload(&p);
}

TEST(x509_chain_pem__anything_else__is_refused)
{
	struct pair p = amd(&amd_root, &amd_leaf);
	cleanup_buf struct buf good = BUF_MAX(65536);
	struct err e;

	cert_pem(&good, buf_view(&p.leaf));
	for (int i = 0; i < 7; i++) {
		cleanup_x509_chain struct x509_chain chain = { 0 };
		cleanup_buf struct buf b = BUF_MAX(1u << 20);
		static const struct {
			enum err_kind want;
			const char *words;
		} rows[] = {
			{ ERR_FORMAT, "no certificate" },
			{ ERR_FORMAT, "no certificate" },
			{ ERR_FORMAT, "bytes that are no certificate in PEM, behind 0" },
			{ ERR_FORMAT, "behind 1 of them" },
			{ ERR_FORMAT, "certificate 1: a block of PEM" },
			{ ERR_LIMIT, "over 8 certificates" },
			{ ERR_LIMIT, "allowed 65536" },
		};

		if (i == 1)
			buf_puts(&b, " \n");
		if (i == 2)
			buf_puts(&b, "subject=x\n");
		if (i == 2 || i == 3)
			buf_putv(&b, buf_view(&good));
		if (i == 3)
			buf_puts(&b, "-----BEGIN X509 CRL-----\n");
		if (i == 4)
			buf_put(&b, good.p, good.len - 30);
		for (int k = 0; i == 5 && k < 9; k++)
			buf_putv(&b, buf_view(&good));
		for (int k = 0; i == 6 && k < 70000; k++)
			buf_putc(&b, '\n');
		CHECK_ERR(x509_chain_pem(&chain, buf_view(&b), &e), rows[i].want, e, rows[i].words);
	}
	unload(&p);
}

#define OID "1.3.6.1.4.1.3704.1.3.1"

TEST(x509_extension_u8__forms_of_der__only_the_shortest)
{
	static const struct {
		struct cert_ext ext;
		int want; /* -1: refused */
	} rows[] = {
		{ { OID, { 2, 1, 0 }, 3 }, 0 },	       { { OID, { 2, 1, 127 }, 3 }, 127 },
		{ { OID, { 2, 2, 0, 128 }, 4 }, 128 },  { { OID, { 2, 2, 0, 255 }, 4 }, 255 },
		{ { OID, { 2, 1, 128 }, 3 }, -1 },      { { OID, { 2, 2, 0, 127 }, 4 }, -1 },
		{ { OID, { 2, 2, 1, 0 }, 4 }, -1 },     { { OID, { 4, 1, 0 }, 3 }, -1 },
		{ { OID, { 2, 1 }, 2 }, -1 },	       { { OID, { 2, 1, 0, 0 }, 4 }, -1 },
		{ { OID, { 2, 3, 0, 0, 1 }, 5 }, -1 },  { { OID, { 0 }, 0 }, -1 },
		{ { OID, { 2, 0x81, 1, 5 }, 4 }, -1 },
	};
	EVP_PKEY *key = cert_ec_key("P-256");

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct cert_recipe r = { .subject = "x", .issuer = "x", .sign = CERT_ECDSA };
		cleanup_x509 struct x509_cert *c = NULL;
		cleanup_buf struct buf der = BUF_MAX(65536);
		uint8_t n = 77;
		struct err e;

		r.ext = &rows[i].ext;
		r.n_ext = 1;
		der = cert_make(&r, key, key);
		CHECK_INT(x509_load(&c, buf_view(&der), NULL), 0);
		if (rows[i].want >= 0) {
			CHECK_INT(x509_extension_u8(&n, c, OID, NULL), 0);
			CHECK_INT(n, rows[i].want);
		} else {
			CHECK_ERR(x509_extension_u8(&n, c, OID, &e), ERR_FORMAT, e, "no number of 0..255");
			CHECK_INT(n, 77);
		}
	}
	EVP_PKEY_free(key);
}

TEST(x509_extension__missing_or_twice__is_an_error)
{
	EVP_PKEY *key = cert_ec_key("P-256");
	struct cert_recipe r = { .subject = "x", .issuer = "x", .sign = CERT_ECDSA };
	static const struct cert_ext twice[] = { { OID, { 2, 1, 1 }, 3 }, { OID, { 2, 1, 2 }, 3 } };
	cleanup_x509 struct x509_cert *c = NULL;
	cleanup_buf struct buf der = BUF_MAX(65536);
	struct view v;
	struct err e;

	r.ext = twice;
	r.n_ext = 2;
	der = cert_make(&r, key, key);
	CHECK_INT(x509_load(&c, buf_view(&der), NULL), 0);
	CHECK_ERR(x509_extension(&v, c, OID, &e), ERR_FORMAT, e, "twice");
	CHECK_ERR(x509_extension(&v, c, "1.2.3.4", &e), ERR_NOTFOUND, e, "no extension 1.2.3.4");
	EVP_PKEY_free(key);
}

TEST(x509_name__what_a_terminal_must_not_see__is_empty)
{
	EVP_PKEY *key = cert_ec_key("P-256");
	struct cert_recipe r = { .subject = "a\033[31mb", .issuer = "x", .sign = CERT_ECDSA };
	cleanup_x509 struct x509_cert *c = NULL;
	cleanup_buf struct buf der = cert_make(&r, key, key);

	CHECK_INT(x509_load(&c, buf_view(&der), NULL), 0);
	CHECK(strcmp(x509_name(c), "") == 0);
	EVP_PKEY_free(key);
}
