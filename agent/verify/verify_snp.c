/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "agent/verify/roots.h"
#include "agent/verify/verify.h"

#include <stdio.h>

/* Extensions of VCEKs and VLEKs. Source: AMD 57230, table "VCEK certificate extensions". */
#define AMD         "1.3.6.1.4.1.3704.1."
#define AMD_PRODUCT AMD "2"
#define AMD_HWID    AMD "4"
#define AMD_CSP     AMD "5"

enum { HWID_LEN = 64, HWID_TURIN = 8, ISSUERS_MAX = 2 + X509_CHAIN_MAX };

/* The chain of one report's key. Pointers without "own" are borrowed. */
struct snp_chain {
	struct x509_cert *own[6];
	size_t n_own;
	const struct x509_cert *vek, *issuer, *root;
	const struct x509_cert *issuers[ISSUERS_MAX]; /* candidates */
	size_t n_issuers;
	enum snp_generation generation;
};

#define cleanup_chain __attribute__((cleanup(chain_done)))

static void chain_done(struct snp_chain *c)
{
	while (c->n_own > 0)
		x509_free(c->own[--c->n_own]);
}

static const struct x509_cert *keep(struct snp_chain *c, struct x509_cert *cert)
{
	c->own[c->n_own++] = cert;
	return cert;
}

/* --- what the report says ------------------------------------------------------------------- */

static void check_says(struct findings *f, const struct snp_report *r)
{
	size_t at;

	if (r->version < SNP_VERSION_JUDGE)
		finding_add(f, "snp.version", FINDING_BAD,
			    "report of version %u: Trustee takes %d to %d (older firmware)", r->version,
			    SNP_VERSION_JUDGE, SNP_VERSION_MAX);
	else if (r->generation == SNP_UNKNOWN)
		finding_add(f, "snp.version", FINDING_BAD,
			    "report of a processor of family 0x%02x, model 0x%02x: neither Milan, Genoa "
			    "nor Turin", r->family, r->model);
	else
		finding_add(f, "snp.version", FINDING_OK, "report of version %u, processor %s",
			    r->version, snp_generation_name(r->generation));
	if (snp_report_reserved(&at, r))
		finding_add(f, "snp.reserved", FINDING_BAD,
			    "the reserved byte at offset 0x%zx is set: Trustee would verify other bytes",
			    at);
	finding_add(f, "snp.vmpl", r->vmpl == 0 ? FINDING_OK : FINDING_BAD,
		    "asked for at VMPL %u%s", r->vmpl,
		    r->vmpl == 0 ? "" : ", want 0: less privileged software of the guest asked");
	finding_add(f, "snp.debug",
		    bit_is_set(r->policy, SNP_POLICY_DEBUG) ? FINDING_BAD : FINDING_OK,
		    bit_is_set(r->policy, SNP_POLICY_DEBUG) ?
			    "the policy lets the host debug the guest: it reads and writes its memory" :
			    "the policy lets nobody debug the guest");
	finding_add(f, "snp.migration",
		    bit_is_set(r->policy, SNP_POLICY_MIGRATE_MA) ? FINDING_BAD : FINDING_OK,
		    bit_is_set(r->policy, SNP_POLICY_MIGRATE_MA) ?
			    "the policy lets a migration agent move the guest elsewhere" :
			    "the policy allows no migration agent");
}

/* --- the chain ------------------------------------------------------------------------------ */

/* The product that a key's certificate names, for reports too old to say their processor. */
static enum snp_generation product(const struct x509_cert *vek)
{
	struct view v;

	if (x509_extension(&v, vek, AMD_PRODUCT, NULL) < 0 || v.len < 3 || v.p[0] != 0x16)
		return SNP_UNKNOWN;
	v = (struct view){ v.p + 2, v.len - 2 };
	for (int g = SNP_MILAN; g <= SNP_TURIN; g++)
		if (view_starts(v, snp_generation_name((enum snp_generation)g)))
			return (enum snp_generation)g;
	return SNP_UNKNOWN;
}

static int add_maker(struct snp_chain *c, struct err *e)
{
	struct x509_cert *ark, *sub;
	int r = roots_amd(&ark, c->generation, ROOTS_ARK, e);

	if (r < 0)
		return r;
	c->root = keep(c, ark);
	r = roots_amd(&sub, c->generation,
		      strcmp(x509_name(c->vek), "SEV-VLEK") == 0 ? ROOTS_ASVK : ROOTS_ASK, e);
	if (r < 0)
		return r;
	c->issuers[c->n_issuers++] = keep(c, sub);
	return 0;
}

/* The first certificate of a test's file that issued itself is its root. */
static int add_test(struct snp_chain *c, const struct x509_chain *test, struct err *e)
{
	for (size_t i = 0; i < test->n; i++) {
		if (!x509_self_issued(test->cert[i]))
			c->issuers[c->n_issuers++] = test->cert[i];
		else if (!c->root)
			c->root = test->cert[i];
	}
	if (!c->root)
		return err_set(e, ERR_FORMAT, "no root among the certificates of --root-cert");
	return 0;
}

/*
 * What came with the report is the host's, so it only counts where the root vouches for it. But
 * where it came Trustee takes nothing else: of ASKs the last, and each ARK must be the root's.
 */
static int add_supplied(struct snp_chain *c, const struct snp_certs *certs, struct err *e)
{
	struct x509_cert *ask = NULL, *cert;
	int r = 0;

	for (size_t i = 0; i < certs->n && r == 0; i++) {
		enum snp_cert_type type = certs->cert[i].type;

		if (type != SNP_CERT_ASK && type != SNP_CERT_ARK)
			continue;
		r = x509_load_any(&cert, certs->cert[i].data, e);
		if (r == 0 && type == SNP_CERT_ASK) {
			x509_free(ask);
			ask = cert;
		} else if (r == 0) {
			r = x509_issued(cert, c->root, X509_AMD, e);
			if (r == 0)
				r = x509_issued(cert, cert, X509_AMD, e);
			x509_free(cert);
		}
		if (r < 0)
			r = err_wrap(e, r, "the %s that came with the report", snp_cert_name(type));
	}
	if (ask) {
		c->issuers[0] = keep(c, ask);
		c->n_issuers = 1;
	}
	return r;
}

static int find_chain(struct snp_chain *c, struct err *e)
{
	int r = err_set(e, ERR_VERIFY, "no certificate of an issuer");

	for (size_t i = 0; i < c->n_issuers; i++) {
		r = x509_issued(c->vek, c->issuers[i], X509_AMD, e);
		if (r == 0)
			r = x509_issued(c->issuers[i], c->root, X509_AMD, e);
		if (r == 0)
			r = x509_issued(c->root, c->root, X509_AMD, e);
		if (r == 0) {
			c->issuer = c->issuers[i];
			break;
		}
	}
	return r;
}

static int check_role(const struct snp_chain *c, const struct snp_report *r, struct err *e)
{
	static const char *const names[] = { [SNP_KEY_VCEK] = "SEV-VCEK", [SNP_KEY_VLEK] = "SEV-VLEK" };
	enum snp_key key = snp_report_key(r);

	if ((size_t)key >= ARRAY_LEN(names))
		return err_set(e, ERR_VERIFY, "the report says that no key signed it (%u)", key);
	if (strcmp(x509_name(c->vek), names[key]) != 0)
		return err_set(e, ERR_VERIFY, "the report says that a %s signed it, the certificate is "
			       "one of \"%s\"", names[key], x509_name(c->vek));
	return 0;
}

static void check_chain(struct findings *f, struct snp_chain *c, const struct snp_report *r,
			const struct snp_certs *certs, const struct verify_want *want)
{
	struct err e;
	int res = want->test_roots ? add_test(c, want->test_roots, &e) : add_maker(c, &e);

	if (res == 0)
		res = add_supplied(c, certs, &e);
	if (res == 0)
		res = check_role(c, r, &e);
	if (res == 0)
		res = find_chain(c, &e);
	finding_of(f, "snp.chain", res, &e, "\"%s\" of %s, issued by \"%s\", issued by %s \"%s\"",
		   x509_name(c->vek), snp_generation_name(c->generation),
		   c->issuer ? x509_name(c->issuer) : "", want->test_roots ? "TEST ROOT" : "AMD's root",
		   c->root ? x509_name(c->root) : "");
	if (res == 0) {
		const struct x509_cert *all[] = { c->vek, c->issuer, c->root };

		verify_dates(f, "snp.dates", all, ARRAY_LEN(all), want);
	}
}

/* --- what the certificate says, against the report ------------------------------------------ */

static void check_tcb(struct findings *f, const struct snp_chain *c, const struct snp_report *r)
{
	const struct snp_tcb *t = &r->reported_tcb;
	const struct {
		const char *oid, *name;
		bool there;
		uint8_t value;
	} rows[] = {
		{ AMD "3.1", "boot loader", true, t->bootloader },
		{ AMD "3.2", "TEE", true, t->tee },
		{ AMD "3.3", "SNP firmware", true, t->snp },
		{ AMD "3.8", "microcode", true, t->microcode },
		{ AMD "3.9", "FMC", t->has_fmc, t->fmc },
	};
	char fmc[16] = "";
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t n;

		if (!rows[i].there)
			continue;
		if (x509_extension_u8(&n, c->vek, rows[i].oid, &e) < 0) {
			finding_add(f, "snp.tcb", FINDING_BAD, "%s", e.msg);
			return;
		}
		if (n == rows[i].value)
			continue;
		finding_add(f, "snp.tcb", FINDING_BAD,
			    "the key is of %s version %u, the report says %u: the certificate is one of "
			    "another firmware (was it kept too long?)", rows[i].name, n, rows[i].value);
		return;
	}
	if (t->has_fmc)
		(void)snprintf(fmc, sizeof fmc, " fmc %u,", t->fmc);
	finding_add(f, "snp.tcb", FINDING_OK,
		    "the key is of the reported firmware:%s boot loader %u, tee %u, snp %u, microcode %u",
		    fmc, t->bootloader, t->tee, t->snp, t->microcode);
}

/* Bare bytes in certificates of before 2023, an OCTET STRING in newer ones; 8 bytes on Turin. */
static int hardware_id(struct view *out, const struct x509_cert *vek, struct err *e)
{
	int r = x509_extension(out, vek, AMD_HWID, e);

	if (r < 0)
		return r;
	if ((out->len == 2 + HWID_LEN || out->len == 2 + HWID_TURIN) && out->p[0] == 4 &&
	    out->p[1] == out->len - 2)
		*out = (struct view){ out->p + 2, out->len - 2 };
	if (out->len != HWID_LEN && out->len != HWID_TURIN)
		return err_set(e, ERR_FORMAT, "a hardware id of %zu bytes in \"%s\"", out->len,
			       x509_name(vek));
	return 0;
}

/* A VLEK says for which cloud AMD made it (IA5String or UTF8String); any cloud's verifies. */
static void check_cloud(struct findings *f, const struct x509_cert *vek)
{
	struct view id;
	struct err e;
	int r = x509_extension(&id, vek, AMD_CSP, &e);

	if (r == 0 && (id.len < 3 || (id.p[0] != 0x16 && id.p[0] != 0x0c) || id.p[1] != id.len - 2))
		r = err_set(&e, ERR_FORMAT, "the cloud that \"%s\" names is no text", x509_name(vek));
	finding_of(f, "snp.chip-id", r, &e, "a VLEK belongs to a cloud and not to a chip: %.*s",
		   r < 0 ? 0 : (int)id.len - 2, r < 0 ? "" : (const char *)id.p + 2);
}

static void check_chip(struct findings *f, const struct snp_chain *c, const struct snp_report *r)
{
	static const uint8_t zeros[HWID_LEN];
	struct view id;
	struct err e;
	int res;

	if (snp_report_key(r) == SNP_KEY_VLEK) {
		check_cloud(f, c->vek);
		return;
	}
	if (bit_is_set(r->key_info, SNP_KEY_CHIP_MASKED) &&
	    memcmp(r->chip_id.p, zeros, HWID_LEN) == 0) {
		finding_add(f, "snp.chip-id", FINDING_UNKNOWN, "the host masked the chip's id");
		return;
	}
	res = hardware_id(&id, c->vek, &e);
	if (res == 0 && (memcmp(id.p, r->chip_id.p, id.len) != 0 ||
			 memcmp(r->chip_id.p + id.len, zeros, HWID_LEN - id.len) != 0))
		res = err_set(&e, ERR_VERIFY, "the certificate is one of another chip");
	finding_of(f, "snp.chip-id", res, &e, "the key is this chip's");
}

/* --- the signature -------------------------------------------------------------------------- */

int verify_snp_signature(const struct snp_report *r, const struct x509_cert *vek, struct err *e)
{
	struct ecdsa_signature s = { .r = r->r, .s = r->s, .little = true };

	if (r->sig_algo != SNP_ALGO_P384)
		return err_set(e, ERR_UNSUPPORTED, "signature algorithm %u, want %d", r->sig_algo,
			       SNP_ALGO_P384);
	return x509_ecdsa_verify(vek, ECDSA_P384, r->signed_part, s, e);
}

/* Where AMD has the certificate that is missing. */
static void no_key(struct findings *f, const struct snp_report *r)
{
	const struct snp_tcb *t = &r->reported_tcb;
	char id[2 * HWID_LEN + 1], fmc[24] = "";
	bool turin = r->generation == SNP_TURIN;

	if (snp_report_key(r) != SNP_KEY_VCEK || bit_is_set(r->key_info, SNP_KEY_CHIP_MASKED) ||
	    r->generation == SNP_UNKNOWN) {
		finding_add(f, "snp.signature", FINDING_BAD,
			    "not verified: the evidence has no certificate of its key; give it with --vek");
		return;
	}
	enc_hex_str(id, (struct view){ r->chip_id.p, turin ? HWID_TURIN : HWID_LEN });
	if (turin)
		(void)snprintf(fmc, sizeof fmc, "fmcSPL=%02u&", t->fmc);
	finding_add(f, "snp.signature", FINDING_BAD,
		    "not verified: the evidence has no certificate of its key; give it with --vek: "
		    "https://kdsintf.amd.com/vcek/v1/%s/%s?%sblSPL=%02u&teeSPL=%02u&snpSPL=%02u&ucodeSPL=%02u",
		    snp_generation_name(r->generation), id, fmc, t->bootloader, t->tee, t->snp,
		    t->microcode);
}

void verify_snp(struct findings *f, const struct snp_report *r, const struct snp_certs *certs,
		struct view vek, const struct verify_want *want)
{
	cleanup_chain struct snp_chain c = { 0 };
	const struct snp_cert *own = NULL;
	struct x509_cert *cert;
	struct err e;
	int res;

	check_says(f, r);
	for (size_t i = 0; i < certs->n && !own; i++)
		if (certs->cert[i].type == SNP_CERT_VCEK || certs->cert[i].type == SNP_CERT_VLEK)
			own = &certs->cert[i];
	if (own)
		vek = own->data;
	else if (vek.len == 0)
		vek = want->vek;
	if (!own && vek.len == 0) {
		no_key(f, r);
		return;
	}
	if (x509_load_any(&cert, vek, &e) < 0) {
		finding_add(f, "snp.chain", FINDING_BAD, "the key's certificate: %s", e.msg);
		return;
	}
	c.vek = keep(&c, cert);
	c.generation = r->version < SNP_VERSION_JUDGE ? product(c.vek) : r->generation;
	check_chain(f, &c, r, certs, want);
	res = verify_snp_signature(r, c.vek, &e);
	finding_of(f, "snp.signature", res, &e, "the report is signed by that key");
	check_tcb(f, &c, r);
	check_chip(f, &c, r);
}
