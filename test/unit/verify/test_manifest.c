/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/crypto/pubkey.h"
#include "agent/verify/roots.h"
#include "test/unit/verify/vector.h"

#include <ftw.h>
#include <libgen.h>
#include <sys/stat.h>

/*
 * Every file of the shared evidence vectors has a row here, which says what MANIFEST.md says of it:
 * it holds, it holds but for one finding, it is refused, it is part of another or of a platform that
 * is not built. A file without a row fails, and so does a row without its file.
 */

#define AZ_SNP  TEST_DATA "az-snp-vtpm/"
#define AZ_TDX  TEST_DATA "az-tdx-vtpm/"
#define LOGS    "evidence/trustee/deps/eventlog/test_data/"
#define TOOLING "evidence/azure-cvm-tooling/az-cvm-vtpm/test/"
#define DERIVED "evidence/derived/"
#define ROOTS   VERIFIER "src/snp/"

struct row {
	const char *path;
	void (*judge)(const struct row *r, const struct buf *bytes);
	const char *with; /* whatever judge takes */
	const char *word;
};

/* As CHECK(), naming the file. */
#define HOLDS(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			test_fail(__FILE__, __LINE__, "%s: %s", judged, #x);                       \
	} while (0)

static const char *judged;

/* --- evidence -------------------------------------------------------------------------------- */

/* with: a VCEK or VLEK beside it; word: the one finding that does not hold. */
static void holds(const struct row *r, const struct buf *bytes)
{
	cleanup_evidence_file struct evidence_file f = { 0 };
	struct verify_want want = want_at(JUNE_2025);
	cleanup_buf struct buf vek = r->with ? shared_bytes(r->with) : BUF_MAX(1);
	struct findings found = { 0 };
	struct err e;

	if (evidence_file_load(&f, buf_view(bytes), NULL, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s: %s", r->path, e.msg);
	want.vek = buf_view(&vek);
	verify_evidence(&found, f.item[0], &want);
	check_all_hold(&found, r->word);
	if (r->word)
		check_finding(&found, r->word, FINDING_BAD, "");
}

/* word: why it is no evidence of a platform that is built. */
static void refused(const struct row *r, const struct buf *bytes)
{
	cleanup_evidence_file struct evidence_file f = { 0 };
	struct err e = { 0 };

	if (evidence_file_load(&f, buf_view(bytes), NULL, &e) == 0 || !strstr(e.msg, r->word))
		test_fail(__FILE__, __LINE__, "%s: \"%s\"", r->path, e.msg);
}

/* The last member of Azure's evidence: the first certificate of vcek.pem, or the TD quote. */
static void put_proof(struct buf *text, bool tdx)
{
	cleanup_buf struct buf raw = shared_bytes(tdx ? AZ_TDX "td-quote.bin" : AZ_SNP "vcek.pem");
	cleanup_x509_chain struct x509_chain c = { 0 };

	if (!tdx)
		HOLDS(x509_chain_pem(&c, buf_view(&raw), NULL) == 0);
	buf_printf(text, ",\"%s\":\"", tdx ? "td_quote" : "vcek");
	enc_base64(text, ENC_B64U, tdx ? buf_view(&raw) : x509_der(c.cert[0]));
	buf_puts(text, "\"}");
}

/* A tpm_quote alone: put together with the files beside it. word: what does not hold then. */
static void json_quote(const struct row *r, const struct buf *bytes)
{
	bool tdx = strstr(r->path, "tdx");
	cleanup_buf struct buf report = shared_bytes(tdx ? AZ_TDX "hcl-report.bin" :
							   AZ_SNP "hcl-report.bin");
	cleanup_buf struct buf text = BUF_MAX(ROOM);

	buf_puts(&text, "{\"version\":1,\"tpm_quote\":");
	buf_putv(&text, buf_view(bytes));
	buf_puts(&text, ",\"hcl_report\":\"");
	enc_base64(&text, ENC_B64U, buf_view(&report));
	buf_puts(&text, "\"");
	put_proof(&text, tdx);
	holds(r, &text);
}

/* The key in PEM. */
static struct buf pem_key(const struct buf *pem)
{
	cleanup_buf struct buf b64 = BUF_MAX(ROOM);
	struct buf der = BUF_MAX(ROOM);
	bool inside = false;

	for (size_t i = 0; i < pem->len; i++) {
		if (i == 0 || pem->p[i - 1] == '\n')
			inside = pem->p[i] != '-';
		if (inside && pem->p[i] > ' ')
			buf_putc(&b64, pem->p[i]);
	}
	HOLDS(enc_base64_decode(&der, ENC_B64, buf_view(&b64), NULL) == 0);
	return der;
}

/* The attestation key of a paravisor's report, or in a PEM file; DER. */
static struct buf ak_of(const char *path)
{
	cleanup_buf struct buf raw = shared_bytes(path);
	struct hcl_runtime rt = { 0 };
	struct hcl_report h;

	if (raw.p[0] == '-')
		return pem_key(&raw);
	HOLDS(hcl_parse(&h, buf_view(&raw), NULL) == 0);
	HOLDS(hcl_runtime_load(&rt, h.var_data, NULL) == 0);
	return rt.ak;
}

static struct view counted(const struct buf *b, size_t *at, size_t each)
{
	uint64_t n = 0;
	struct view v;

	HOLDS(b->len - *at >= 8);
	for (int k = 7; k >= 0; k--)
		n = n << 8 | b->p[*at + (size_t)k];
	*at += 8;
	HOLDS(n <= (b->len - *at) / each);
	v = (struct view){ b->p + *at, (size_t)n * each };
	*at += v.len;
	return v;
}

/* A quote as bincode: signature, message, PCRs, each with its length. with: the report of its key. */
static void bincode(const struct row *r, const struct buf *bytes)
{
	cleanup_buf struct buf ak = ak_of(r->with);
	uint8_t pcrs[ATTEST_PCRS][32];
	size_t at = 0;
	struct view signature = counted(bytes, &at, 1), message = counted(bytes, &at, 1);
	struct view values = counted(bytes, &at, 32);
	struct attest a;
	bool covers = false;

	HOLDS(at == bytes->len);
	HOLDS(values.len == sizeof pcrs);
	memcpy(pcrs, values.p, sizeof pcrs);
	HOLDS(pubkey_rsa_verify_sha256(buf_view(&ak), message, signature, NULL) == 0);
	HOLDS(attest_parse(&a, message, NULL) == 0);
	HOLDS(view_eq(a.nonce, view_str("challenge")));
	HOLDS(attest_covers(&covers, &a, pcrs, NULL) == 0);
	HOLDS(covers);
}

/* A quote's message alone: its key is not among the vectors. */
static void message(const struct row *r, const struct buf *bytes)
{
	struct attest a;

	HOLDS(attest_parse(&a, buf_view(bytes), NULL) == 0);
	HOLDS(view_eq(a.nonce, view_str(r->word)));
}

/* Its signature, which no key that is there made. */
static void signature(const struct row *r, const struct buf *bytes)
{
	cleanup_buf struct buf text = shared_bytes(AZ_SNP "tpm-quote.msg"), ak = ak_of(r->with);

	HOLDS(bytes->len == 256);
	HOLDS(pubkey_rsa_verify_sha256(buf_view(&ak), buf_view(&text), buf_view(bytes), NULL) ==
	      -ERR_VERIFY);
}

/* Of the evidence `with`: the same bytes. */
static void attest_of(const struct row *r, const struct buf *bytes)
{
	cleanup_evidence struct evidence *ev = shared_evidence(r->with);
	const struct buf *parts[] = { &ev->tpm.message, &ev->tpm.signature, &ev->tpm.ak };
	bool found = false;

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		found = found || view_eq(buf_view(parts[i]), buf_view(bytes));
	HOLDS(found);
}

/* --- the paravisor's report -------------------------------------------------------------------- */

/* with: a file with the key that it must have, DER; or NULL. */
static void hcl(const struct row *r, const struct buf *bytes)
{
	cleanup_hcl_runtime struct hcl_runtime rt = { 0 };
	struct hcl_report h;

	HOLDS(hcl_parse(&h, buf_view(bytes), NULL) == 0);
	HOLDS(h.kind == (strstr(r->path, "tdx") ? HCL_TDX : HCL_SNP));
	HOLDS(hcl_bound(&h, NULL) == 0);
	HOLDS(hcl_runtime_load(&rt, h.var_data, NULL) == 0);
	if (r->with) {
		cleanup_buf struct buf key = shared_bytes(r->with);

		HOLDS(view_eq(buf_view(&rt.ak), buf_view(&key)));
	}
}

/* with: the report that has exactly these runtime data; NULL: none has, but they are such. */
static void var_data(const struct row *r, const struct buf *bytes)
{
	cleanup_hcl_runtime struct hcl_runtime rt = { 0 };
	struct hcl_report h;

	HOLDS(hcl_runtime_load(&rt, buf_view(bytes), NULL) == 0 && rt.ak.len > 0);
	if (r->with) {
		cleanup_buf struct buf raw = shared_bytes(r->with);

		HOLDS(hcl_parse(&h, buf_view(&raw), NULL) == 0);
		HOLDS(view_eq(h.var_data, buf_view(bytes)));
	}
}

/* A public key in PEM; with: the quote that it made. */
static void ak_pem(const struct row *r, const struct buf *bytes)
{
	cleanup_buf struct buf raw = shared_bytes(r->with);
	const struct row quote = { r->with, NULL, r->path, NULL };

	HOLDS(bytes->len > 0);
	bincode(&quote, &raw);
}

/* --- certificates -------------------------------------------------------------------------------- */

/* VCEK, ASK, ARK of Milan, whose last two are ours. */
static void vcek_chain(const struct row *r, const struct buf *bytes)
{
	cleanup_x509_chain struct x509_chain c = { 0 };
	cleanup_x509 struct x509_cert *ark = NULL;

	(void)r;
	HOLDS(x509_chain_pem(&c, buf_view(bytes), NULL) == 0);
	HOLDS(c.n == 3);
	HOLDS(roots_amd(&ark, SNP_MILAN, ROOTS_ARK, NULL) == 0);
	HOLDS(x509_issued(c.cert[0], c.cert[1], X509_AMD, NULL) == 0);
	HOLDS(x509_issued(c.cert[1], c.cert[2], X509_AMD, NULL) == 0);
	HOLDS(x509_eq(c.cert[2], ark));
}

/* word: which generation's ASK, ARK and ASVK they are; ours are the same, byte for byte. */
static void amd_chain(const struct row *r, const struct buf *bytes)
{
	static const enum roots_amd order[] = { ROOTS_ASK, ROOTS_ARK, ROOTS_ASVK };
	enum snp_generation g = r->word[0] == 'm' ? SNP_MILAN : r->word[0] == 'g' ? SNP_GENOA : SNP_TURIN;
	cleanup_x509_chain struct x509_chain c = { 0 };

	HOLDS(x509_chain_pem(&c, buf_view(bytes), NULL) == 0);
	HOLDS(c.n == ARRAY_LEN(order));
	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		cleanup_x509 struct x509_cert *ours = NULL;

		HOLDS(roots_amd(&ours, g, order[i], NULL) == 0);
		HOLDS(x509_eq(ours, c.cert[i]));
	}
}

/* --- boot logs ------------------------------------------------------------------------------------ */

static void open_log(struct tcg2_log *log, struct tcg2_registers *regs, const struct buf *bytes,
		     enum hash_alg alg)
{
	HOLDS(tcg2_open(log, buf_view(bytes), TCG2_CCEL, NULL) == 0);
	HOLDS(tcg2_replay(regs, log, alg, NULL) == 0);
}

/* word: the first 16 digits of registers 1 to 4, as MANIFEST has them. */
static void replays(const struct row *r, const struct buf *bytes)
{
	enum hash_alg alg = strstr(r->path, "csv") ? HASH_SM3 : HASH_SHA384;
	struct tcg2_registers regs;
	struct tcg2_log log;
	char got[80] = "";

	open_log(&log, &regs, bytes, alg);
	for (unsigned i = 1; i <= 4; i++) {
		char hex[17];

		enc_hex_str(hex, (struct view){ regs.value[i].b, 8 });
		snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s", i > 1 ? " " : "",
			 regs.events[i] ? hex : "0");
	}
	if (strcmp(got, r->word) != 0)
		test_fail(__FILE__, __LINE__, "%s: %s, want %s", r->path, got, r->word);
}

static bool text_is(const struct json *object, const char *name, const char *want)
{
	const char *s = json_string(json_get(object, name));

	return s && want && strcmp(s, want) == 0;
}

/* Trustee's claims of the log `with`: register, type, digest, and whether that is the data's. */
static void parsed(const struct row *r, const struct buf *bytes)
{
	enum hash_alg alg = strstr(r->path, "csv") ? HASH_SM3 : HASH_SHA384;
	cleanup_buf struct buf raw = shared_bytes(r->with);
	cleanup_json struct json *doc = NULL;
	struct tcg2_registers regs;
	const struct json *claim;
	struct tcg2_event ev;
	struct tcg2_log log;
	size_t at, n = 0;

	HOLDS(json_parse(&doc, buf_view(bytes), ROOM, NULL) == 0);
	open_log(&log, &regs, &raw, alg);
	HOLDS(tcg2_trustee_takes(&log, NULL) == 0);
	claim = json_first(json_get(doc, "uefi_event_logs"));
	for (at = log.first; tcg2_next(&ev, &log, &at) == 1; n++, claim = json_next(claim)) {
		const struct json *d = json_first(json_get(claim, "digests"));
		char hex[2 * DIGEST_MAX + 1];
		uint64_t index = 0;
		bool is = false;

		enc_hex_str(hex, tcg2_digest(&ev, alg));
		HOLDS(tcg2_digest_true(&is, &ev, NULL) == 0);
		if (!claim || !json_u64(&index, json_get(claim, "index")) || index != ev.index ||
		    !text_is(claim, "type_name", tcg2_type_name(ev.type)) ||
		    !text_is(d, "digest", hex) || !text_is(d, "alg", tcg2_alg_name(tcg2_alg_id(alg))) ||
		    json_is_true(json_get(claim, "digest_matches_event")) != is)
			test_fail(__FILE__, __LINE__, "%s: event %zu", r->path, n);
	}
	HOLDS(claim == NULL && n > 0);
}

/* --- the rest ---------------------------------------------------------------------------------------- */

/* with: the test that reads it. */
static void elsewhere(const struct row *r, const struct buf *bytes)
{
	cleanup_buf struct buf source = vector_bytes(r->with);
	char name[256];

	(void)bytes;
	snprintf(name, sizeof name, "%s", r->path);
	if (!strstr(buf_str(&source), basename(name)))
		test_fail(__FILE__, __LINE__, "%s does not read %s", r->with, r->path);
}

static const struct row rows[] = {
	{ AZ_SNP "evidence-v0.json", holds, NULL, NULL },
	{ AZ_SNP "evidence-v1.json", holds, NULL, NULL },
	{ AZ_SNP "evidence-v2.json", holds, NULL, NULL },
	{ AZ_SNP "hcl-report.bin", hcl, NULL, NULL },
	{ AZ_SNP "quote.bin", bincode, AZ_SNP "hcl-report.bin", NULL },
	{ AZ_SNP "tpm-quote-v1.json", json_quote, NULL, "snp.version" },
	{ AZ_SNP "tpm-quote.msg", message, NULL, "challenge" },
	{ AZ_SNP "tpm-quote.sig", signature, AZ_SNP "hcl-report.bin", NULL },
	{ AZ_SNP "vcek.pem", vcek_chain, NULL, NULL },
	{ AZ_TDX "evidence-v0.json", holds, NULL, NULL },
	{ AZ_TDX "evidence-v1.json", holds, NULL, NULL },
	{ AZ_TDX "hcl-report.bin", hcl, NULL, NULL },
	{ AZ_TDX "td-quote.bin", holds, NULL, NULL },
	{ AZ_TDX "quote.bin", bincode, AZ_TDX "hcl-report.bin", NULL },
	{ AZ_TDX "tpm-quote-v1.json", json_quote, NULL, NULL },
	{ TEST_DATA "snp/test-report.bin", holds, TEST_DATA "snp/test-vcek.der", "snp.version" },
	{ TEST_DATA "snp/test-vcek.der", elsewhere, "test/unit/verify/test_recorded.c", NULL },
	{ TEST_DATA "snp/test-vlek-report.bin", holds, TEST_DATA "snp/test-vlek.der", "snp.vmpl" },
	{ TEST_DATA "snp/test-vlek.der", elsewhere, "test/unit/verify/test_recorded.c", NULL },
	{ TEST_DATA "snp/test-vcek-invalid-legacy.der", elsewhere, "test/unit/verify/test_recorded.c", NULL },
	{ TEST_DATA "snp/test-vcek-invalid-new.der", elsewhere, "test/unit/verify/test_recorded.c", NULL },
	{ E2E_SNP, holds, NULL, NULL },
	{ ROOTS "milan_ask_ark_asvk.pem", amd_chain, NULL, "milan" },
	{ ROOTS "genoa_ask_ark_asvk.pem", amd_chain, NULL, "genoa" },
	{ ROOTS "turin_ask_ark_asvk.pem", amd_chain, NULL, "turin" },
	{ TEST_DATA "tdx_quote_4.dat", holds, NULL, "tdx.debug" },
	{ TEST_DATA "tdx_quote_5.dat", holds, NULL, NULL },
	{ TEST_DATA "occlum_quote.dat", refused, NULL, "SGX" },
	{ TEST_DATA "parse_tdx_claims_expected.json", elsewhere, "test/integration/verify/run.py", NULL },
	{ TEST_DATA "tcbInfo.json", refused, NULL, "not those of any platform" },
	{ TEST_DATA "enclaveIdentity.json", refused, NULL, "not those of any platform" },
	{ "evidence/guest-components/attestation-agent/attester/test/tdx_report_1.bin", elsewhere,
	  "test/unit/attester/test_tdx_report.c", NULL },
	{ LOGS "CCEL_data", replays, NULL, "2dc712306a963ead 0fa3be56af61208b 0 0" },
	{ LOGS "CCEL_data_ovmf", replays, NULL, "8566f998798db094 775b9f6bfe99f8a3 94eaf7a7bf398ed8 0" },
	{ LOGS "CCEL_data_grub", replays, NULL, "cec0a104f691f60d 6c289e0c62182d41 08919d017ba0e52c 0" },
	{ LOGS "CCEL_data_gcp", replays, NULL, "3300980705adf09d 204d49f78d29918f 0 0" },
	{ LOGS "CCEL_AAEL_alibabacloud", replays, NULL,
	  "b796e1c11396c198 3b0b906140fcea68 35f2801338c1b5fc 5e4ecd49d3c7983d" },
	{ LOGS "CCEL_data_csv", replays, NULL, "d76c4b289abcdf0e 0559c2040dc2045f 287078930b845b37 0" },
	{ LOGS "CCEL_data_out.json", parsed, LOGS "CCEL_data", NULL },
	{ LOGS "CCEL_data_ovmf_out.json", parsed, LOGS "CCEL_data_ovmf", NULL },
	{ LOGS "CCEL_data_grub_out.json", parsed, LOGS "CCEL_data_grub", NULL },
	{ LOGS "CCEL_AAEL_alibabacloud_out.json", parsed, LOGS "CCEL_AAEL_alibabacloud", NULL },
	{ LOGS "CCEL_data_csv_out.json", parsed, LOGS "CCEL_data_csv", NULL },
	{ TEST_DATA "tpm_evidence.json", holds, NULL, "report-data" },
	{ TOOLING "hcl-report-snp.bin", hcl, NULL, NULL },
	{ TOOLING "hcl-report-tdx.bin", hcl, NULL, NULL },
	{ TOOLING "var-data.bin", var_data, NULL, NULL },
	{ TOOLING "akpub.pem", ak_pem, TOOLING "quote.bin", NULL },
	{ TOOLING "quote.bin", bincode, TOOLING "akpub.pem", NULL },
	{ TOOLING "certs.pem", vcek_chain, NULL, NULL },
	{ "evidence/kata-containers/src/agent/testdata/initdata.img", elsewhere,
	  "test/unit/initdata/test_blockdev.c", NULL },
	{ DERIVED "expected.json", elsewhere, "test/unit/kbs/test_rcar.c", NULL },
	{ DERIVED "initdata-sha256.toml", elsewhere, "test/unit/verify/test_recorded.c", NULL },
	{ DERIVED "runtime-data-primary.json", elsewhere, "test/unit/kbs/test_rcar.c", NULL },
	{ DERIVED "runtime-data-device.json", elsewhere, "test/unit/kbs/test_rcar.c", NULL },
	{ DERIVED "aael-entry-sha256-pcr23.bin", elsewhere, "test/unit/attester/test_eventlog_entry.c", NULL },
	{ DERIVED "aael-entry-sha384-ccmr4.bin", elsewhere, "test/unit/attester/test_eventlog_entry.c", NULL },
	{ DERIVED "eventlog-aael-only-sha384.bin", elsewhere, "test/unit/attester/test_cc_eventlog.c", NULL },
	{ DERIVED "tpm-evidence.json", holds, NULL, NULL },
	{ DERIVED "tpm-quote32.attest.bin", attest_of, DERIVED "tpm-evidence.json", NULL },
	{ DERIVED "tpm-quote32.tpmt-signature.bin", attest_of, DERIVED "tpm-evidence.json", NULL },
	{ DERIVED "tpm-ak.spki.der", attest_of, DERIVED "tpm-evidence.json", NULL },
	{ DERIVED "az-tpm-quote.json", elsewhere, "test/unit/verify/test_evidence.c", NULL },
	{ DERIVED "synthetic-hcl-snp.bin", hcl, DERIVED "tpm-ak.spki.der", NULL },
	{ DERIVED "synthetic-hcl-tdx.bin", hcl, DERIVED "tpm-ak.spki.der", NULL },
	{ DERIVED "synthetic-var-data.json", var_data, DERIVED "synthetic-hcl-snp.bin", NULL },
	/* Of platforms that are names only. */
	{ TEST_DATA "csv_evidence.json", refused, NULL, "attestation_report" },
	{ VERIFIER "src/csv/hrk.cert", refused, NULL, "" },
	{ TEST_DATA "cca-claims.json", refused, NULL, "" },
	{ TEST_DATA "cca/misc/cca-example-token.cbor", refused, NULL, "" },
	{ TEST_DATA "cca/misc/cpak-pub.json", refused, NULL, "" },
	{ TEST_DATA "cca/misc/kbs-request.json", refused, NULL, "" },
	{ TEST_DATA "cca/conf/tastore.json", refused, NULL, "" },
	{ TEST_DATA "cca/conf/rvstore.json", refused, NULL, "" },
	{ TEST_DATA "nvidia/hopperAttestationReport.txt", refused, NULL, "" },
	{ TEST_DATA "nvidia/hopperAttestationReport-claims.txt", refused, NULL, "" },
	{ TEST_DATA "nvidia/hopper_cert_chain_case1.txt", refused, NULL, "" },
	{ TEST_DATA "nvidia/hopper_cert_chain_case2.txt", refused, NULL, "" },
	{ TEST_DATA "nvidia/hopper_cert_chain_case3.txt", refused, NULL, "" },
	{ TEST_DATA "nvidia/hopper_cert_chain_case4.txt", refused, NULL, "" },
	{ TEST_DATA "nvidia/hopper_signing_cert.pem", refused, NULL, "" },
	{ VERIFIER "src/nvidia/nvidia_device_root.pem", refused, NULL, "" },
};

TEST(manifest__every_row__is_judged_as_it_says)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_buf struct buf bytes = shared_bytes(rows[i].path);

		judged = rows[i].path;
		rows[i].judge(&rows[i], &bytes);
	}
}

static size_t root_len, files;

static int has_row(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	if (type != FTW_F || strcmp(path + where->base, "MANIFEST.md") == 0)
		return 0;
	files++;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].path, path + root_len) == 0)
			return 0;
	test_fail(__FILE__, __LINE__, "%s has no row", path + root_len);
	return 1;
}

TEST(manifest__every_file__has_a_row)
{
	const char *root = test_shared("evidence");

	root_len = strlen(root) - strlen("evidence");
	files = 0;
	CHECK_INT(nftw(root, has_row, 16, FTW_PHYS), 0);
	CHECK_INT(files, ARRAY_LEN(rows));
}
