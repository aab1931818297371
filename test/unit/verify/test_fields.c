/* SPDX-License-Identifier: Apache-2.0 */
#include "test/unit/verify/vector.h"

/*
 * What findings say of each field that is judged. Structures that were parsed from genuine
 * evidence are changed behind their signature, so that one finding alone turns.
 */

static void judge_snp(struct findings *f, const struct evidence *ev)
{
	struct verify_want want = want_at(JUNE_2025);

	*f = (struct findings){ 0 };
	verify_snp(f, &ev->snp, &ev->certs, (struct view){ 0 }, &want);
}

enum snp_field { VERSION, VMPL, DEBUG_BIT, MIGRATE_BIT, ALGO, BOOTLOADER, TEE_SVN, SNP_SVN, MICROCODE,
		 FMC, SIGNED_BY_VLEK, SIGNED_BY_NONE, CHIP, MASKED, GENERATION };

static void change(struct snp_report *r, enum snp_field field)
{
	static const uint8_t zeros[64];

	switch (field) {
	case VERSION:
		r->version = 2;
		break;
	case VMPL:
		r->vmpl = 1;
		break;
	case DEBUG_BIT:
		r->policy |= 1u << SNP_POLICY_DEBUG;
		break;
	case MIGRATE_BIT:
		r->policy |= 1u << SNP_POLICY_MIGRATE_MA;
		break;
	case ALGO:
		r->sig_algo = 2;
		break;
	case BOOTLOADER:
		r->reported_tcb.bootloader++;
		break;
	case TEE_SVN:
		r->reported_tcb.tee++;
		break;
	case SNP_SVN:
		r->reported_tcb.snp++;
		break;
	case MICROCODE:
		r->reported_tcb.microcode++;
		break;
	case FMC:
		r->reported_tcb.has_fmc = true;
		break;
	case SIGNED_BY_VLEK:
		r->key_info |= SNP_KEY_VLEK << 2;
		break;
	case SIGNED_BY_NONE:
		r->key_info |= SNP_KEY_NONE << 2;
		break;
	case CHIP:
		r->chip_id = (struct view){ zeros, 64 };
		break;
	case MASKED:
		r->chip_id = (struct view){ zeros, 64 };
		r->key_info |= 1u << SNP_KEY_CHIP_MASKED;
		break;
	case GENERATION:
		r->generation = SNP_MILAN;
	}
}

TEST(verify_snp__one_field_wrong__turns_its_own_finding)
{
	static const struct {
		enum snp_field field;
		const char *name;
		enum finding_state state;
		const char *words, *also;
	} rows[] = {
		{ VERSION, "snp.version", FINDING_BAD, "version 2", NULL },
		{ VMPL, "snp.vmpl", FINDING_BAD, "VMPL 1, want 0", NULL },
		{ DEBUG_BIT, "snp.debug", FINDING_BAD, "reads and writes its memory", NULL },
		{ MIGRATE_BIT, "snp.migration", FINDING_BAD, "migration agent", NULL },
		{ ALGO, "snp.signature", FINDING_BAD, "algorithm 2, want 1", NULL },
		{ BOOTLOADER, "snp.tcb", FINDING_BAD, "boot loader version 10, the report says 11", NULL },
		{ TEE_SVN, "snp.tcb", FINDING_BAD, "TEE version 0, the report says 1", NULL },
		{ SNP_SVN, "snp.tcb", FINDING_BAD, "SNP firmware version 23, the report says 24", NULL },
		{ MICROCODE, "snp.tcb", FINDING_BAD, "microcode version 25, the report says 26", NULL },
		{ FMC, "snp.tcb", FINDING_BAD, "no extension 1.3.6.1.4.1.3704.1.3.9", NULL },
		{ SIGNED_BY_VLEK, "snp.chain", FINDING_BAD, "says that a SEV-VLEK signed it", "snp.chip-id" },
		{ SIGNED_BY_NONE, "snp.chain", FINDING_BAD, "no key signed it", NULL },
		{ CHIP, "snp.chip-id", FINDING_BAD, "another chip", NULL },
		{ MASKED, "snp.chip-id", FINDING_UNKNOWN, "masked", NULL },
		{ GENERATION, "snp.chain", FINDING_BAD, "names another issuer than \"SEV-Milan\"", NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_evidence struct evidence *ev = shared_evidence(E2E_SNP);
		struct findings f;

		judge_snp(&f, ev);
		check_all_hold(&f, NULL);
		change(&ev->snp, rows[i].field);
		judge_snp(&f, ev);
		check_finding(&f, rows[i].name, rows[i].state, rows[i].words);
		if (rows[i].also)
			check_finding(&f, rows[i].also, FINDING_BAD, "no extension");
		else
			check_all_hold(&f, rows[i].name);
	}
}

/* Also under a test's root, where no chain of AMD is looked for. */
TEST(verify_snp__processor_unknown__is_bad_by_itself)
{
	cleanup_evidence struct evidence *ev = shared_evidence(E2E_SNP);
	struct findings f;

	ev->snp.generation = SNP_UNKNOWN;
	judge_snp(&f, ev);
	check_finding(&f, "snp.version", FINDING_BAD, "neither Milan, Genoa nor Turin");
	check_finding(&f, "snp.chain", FINDING_BAD, "");
}

TEST(verify_snp__no_certificate__says_where_amd_has_it)
{
	cleanup_evidence struct evidence *ev = shared_evidence(E2E_SNP);
	struct verify_want want = want_at(JUNE_2025);
	struct view vcek = ev->certs.cert[0].data;
	struct findings f;

	ev->certs.n = 0;
	judge_snp(&f, ev);
	check_finding(&f, "snp.signature", FINDING_BAD,
		      "https://kdsintf.amd.com/vcek/v1/Genoa/");
	check_finding(&f, "snp.signature", FINDING_BAD,
		      "?blSPL=10&teeSPL=00&snpSPL=23&ucodeSPL=25");
	want.vek = vcek;
	f = (struct findings){ 0 };
	verify_snp(&f, &ev->snp, &ev->certs, (struct view){ 0 }, &want);
	check_all_hold(&f, NULL);
	want.vek.len--;
	f = (struct findings){ 0 };
	verify_snp(&f, &ev->snp, &ev->certs, (struct view){ 0 }, &want);
	check_finding(&f, "snp.chain", FINDING_BAD, "not the DER");
}

/* As Trustee: a good one behind it does not help. */
TEST(verify_snp__first_certificate_of_the_key__is_the_one)
{
	cleanup_evidence struct evidence *ev = shared_evidence(E2E_SNP);
	struct findings f;

	ev->certs.cert[1] = ev->certs.cert[0];
	ev->certs.cert[0].data = view_str("");
	ev->certs.n = 2;
	judge_snp(&f, ev);
	check_finding(&f, "snp.chain", FINDING_BAD, "the key's certificate");
	ev->certs.cert[0] = ev->certs.cert[1];
	ev->certs.cert[1].data = view_str("");
	judge_snp(&f, ev);
	check_all_hold(&f, NULL);
}

/* The host supplies ASK and ARK too; only AMD's count. */
TEST(verify_snp__supplied_issuers__are_the_only_ones_and_the_root_must_vouch_for_them)
{
	cleanup_evidence struct evidence *ev = shared_evidence(E2E_SNP);
	cleanup_buf struct buf ask = vector_bytes("agent/verify/roots/amd_genoa_ask.der");
	cleanup_buf struct buf ark = vector_bytes("agent/verify/roots/amd_genoa_ark.der");
	cleanup_buf struct buf other = vector_bytes("agent/verify/roots/amd_milan_ark.der");
	struct findings f;

	ev->certs.cert[1] = (struct snp_cert){ .type = SNP_CERT_ASK, .data = buf_view(&ask) };
	ev->certs.cert[2] = (struct snp_cert){ .type = SNP_CERT_ARK, .data = buf_view(&ark) };
	ev->certs.n = 3;
	judge_snp(&f, ev);
	check_all_hold(&f, NULL);
	ev->certs.cert[2].data = buf_view(&other);
	judge_snp(&f, ev);
	check_finding(&f, "snp.chain", FINDING_BAD, "the ARK that came with the report");
	/* Each of them, not the first alone; of ASKs the last. */
	ev->certs.cert[3] = ev->certs.cert[2];
	ev->certs.cert[2].data = buf_view(&ark);
	ev->certs.n = 4;
	judge_snp(&f, ev);
	check_finding(&f, "snp.chain", FINDING_BAD, "the ARK that came with the report");
	ev->certs.cert[3] = (struct snp_cert){ .type = SNP_CERT_ASK, .data = buf_view(&other) };
	judge_snp(&f, ev);
	check_finding(&f, "snp.chain", FINDING_BAD, "names another issuer");
	/* What the root issued is no root. */
	ev->certs.cert[2].data = buf_view(&ask);
	ev->certs.n = 3;
	judge_snp(&f, ev);
	check_finding(&f, "snp.chain", FINDING_BAD, "the ARK that came with the report");
	ev->certs.cert[2].data = buf_view(&ark);
	ev->certs.n = 4;
	ev->certs.cert[3] = ev->certs.cert[1];
	ev->certs.cert[1].data = buf_view(&other);
	judge_snp(&f, ev);
	check_all_hold(&f, NULL);
	ev->certs.cert[1].data = view_str("");
	judge_snp(&f, ev);
	check_finding(&f, "snp.chain", FINDING_BAD, "the ASK that came with the report");
	/* Trustee does not fall back on its own, so it is said here. */
	ev->certs.cert[1].data = buf_view(&ask);
	ev->certs.n = 2;
	ask.p[ask.len - 1] ^= 1;
	judge_snp(&f, ev);
	check_finding(&f, "snp.chain", FINDING_BAD, "");
}

TEST(verify_snp__reserved_byte__is_named_by_its_place)
{
	cleanup_evidence struct evidence *ev = shared_evidence(E2E_SNP);
	struct findings f;

	ev->report[0x18b] = 1;
	judge_snp(&f, ev);
	check_finding(&f, "snp.reserved", FINDING_BAD, "offset 0x18b");
	check_finding(&f, "snp.signature", FINDING_BAD, "does not match");
}

static void judge_tdx(struct findings *f, const struct tdx_quote *q)
{
	struct verify_want want = want_at(JUNE_2025);

	*f = (struct findings){ 0 };
	verify_tdx(f, q, &want);
}

TEST(verify_tdx__one_thing_wrong__turns_its_own_finding)
{
	cleanup_evidence struct evidence *ev = shared_evidence(TEST_DATA "tdx_quote_5.dat");
	uint8_t qe[SGX_REPORT_LEN], signer[TDX_MR];
	struct tdx_quote q = ev->tdx;
	struct findings f;

	judge_tdx(&f, &q);
	check_all_hold(&f, NULL);
	check_finding(&f, "tdx.migration", FINDING_OK, "");
	for (unsigned bit = 0; bit < 64; bit++) {
		const char *name = bit < 8 ? "tdx.debug" : "tdx.migration";
		bool bad = bit < 8 || bit == 29;

		q = ev->tdx;
		q.td.attributes |= 1ull << bit;
		judge_tdx(&f, &q);
		check_finding(&f, name, bad ? FINDING_BAD : FINDING_OK, bit == 0 ? "debugged" : "");
		check_all_hold(&f, bad ? name : NULL);
	}
	q = ev->tdx;
	q.seam_attributes = 1;
	judge_tdx(&f, &q);
	check_finding(&f, "tdx.module", FINDING_BAD, "attributes");
	check_all_hold(&f, "tdx.module");
	q = ev->tdx;
	memcpy(signer, q.mrsigner_seam.p, sizeof signer);
	signer[47] = 1;
	q.mrsigner_seam = (struct view){ signer, sizeof signer };
	judge_tdx(&f, &q);
	check_finding(&f, "tdx.module", FINDING_BAD, "not signed by Intel");
	check_all_hold(&f, "tdx.module");

	/* Another enclave than Intel's, which the same PCK could vouch for. */
	q = ev->tdx;
	for (unsigned i = 0; i < 3; i++) {
		static const size_t at[] = { 128 + 31, 256, 48 };

		memcpy(qe, ev->tdx.sig.qe_report.p, sizeof qe);
		qe[at[i]] ^= 2;
		q.sig.qe_report = (struct view){ qe, sizeof qe };
		judge_tdx(&f, &q);
		check_finding(&f, "tdx.qe-identity", FINDING_BAD, i == 2 ? "debugging" : "not Intel's");
		check_finding(&f, "tdx.qe-signature", FINDING_BAD, "does not match");
	}
}

TEST(verify_tdx_key_bound__each_byte__counts)
{
	cleanup_evidence struct evidence *ev = shared_evidence(TEST_DATA "tdx_quote_5.dat");
	struct quote_sig s = ev->tdx.sig;
	uint8_t data[64];

	memcpy(data, s.qe_report_data.p, sizeof data);
	s.qe_report_data = (struct view){ data, sizeof data };
	CHECK_INT(verify_tdx_key_bound(&s, NULL), 0);
	for (size_t i = 0; i < sizeof data; i++) {
		data[i] ^= 1;
		CHECK_INT(verify_tdx_key_bound(&s, NULL), -ERR_VERIFY);
		data[i] ^= 1;
	}
}

static size_t count(const char *text, const char *what)
{
	size_t n = 0;

	for (const char *p = text; (p = strstr(p, what)) != NULL; p++)
		n++;
	return n;
}

TEST(verify_tdx__chain_of_another_length_or_order__is_refused)
{
	cleanup_evidence struct evidence *ev = shared_evidence(TEST_DATA "tdx_quote_5.dat");
	static const char begin[] = "-----BEGIN CERTIFICATE-----";
	cleanup_buf struct buf text = BUF_MAX(ROOM);
	struct tdx_quote q = ev->tdx;
	struct view part[3], pem = q.sig.pem;
	struct findings f;
	const char *p;

	buf_putv(&text, pem);
	CHECK_INT(count(buf_str(&text), begin), 3);
	p = buf_str(&text);
	for (int i = 0; i < 3; i++) {
		const char *next = strstr(p + 1, begin);

		part[i] = (struct view){ (const uint8_t *)p, next ? (size_t)(next - p) : strlen(p) };
		p = next;
	}
	for (int i = 0; i < 5; i++) {
		static const struct {
			int order[4];
			const char *words;
		} rows[] = {
			{ { 0, 1, -1 }, "a chain of 2 certificates, want exactly 3" },
			{ { 0, 1, 2, 2 }, "a chain of 4 certificates" },
			{ { 1, 0, 2, -1 }, "is one of \"Intel SGX PCK Platform CA\", want a PCK" },
			{ { 0, 2, 1, -1 }, "the PCK's issuer is \"Intel SGX Root CA\"" },
			{ { 0, 1, 1, -1 }, "names another issuer" },
		};
		cleanup_buf struct buf chain = BUF_MAX(ROOM);

		for (int k = 0; k < 4 && rows[i].order[k] >= 0; k++) {
			buf_putv(&chain, part[rows[i].order[k]]);
			buf_putc(&chain, '\n');
		}
		q.sig.pem = buf_view(&chain);
		judge_tdx(&f, &q);
		check_finding(&f, "tdx.chain", FINDING_BAD, rows[i].words);
	}
	q.sig.pem = (struct view){ 0 };
	judge_tdx(&f, &q);
	check_finding(&f, "tdx.chain", FINDING_BAD, "no certificate");
	check_finding(&f, "tdx.qe-signature", FINDING_BAD, "not verified");
}

TEST(verify_azure__user_data_of_another_nonce__is_an_older_report)
{
	cleanup_evidence struct evidence *ev =
		shared_evidence(TEST_DATA "az-snp-vtpm/evidence-v2.json");
	struct verify_want want = want_at(JUNE_2025);
	struct findings f = { 0 };

	ev->runtime.user_data[47] ^= 1;
	verify_evidence(&f, ev, &want);
	check_finding(&f, "az.user-data", FINDING_BAD, "older one");
	check_all_hold(&f, "az.user-data");
	ev->runtime.has_user_data = false;
	f = (struct findings){ 0 };
	verify_evidence(&f, ev, &want);
	check_finding(&f, "az.user-data", FINDING_BAD, "has no user-data");
}

TEST(verify_azure__td_quote_of_another_report__is_refused)
{
	cleanup_evidence struct evidence *ev =
		shared_evidence(TEST_DATA "az-tdx-vtpm/evidence-v1.json");
	cleanup_evidence struct evidence *other = shared_evidence(TEST_DATA "tdx_quote_5.dat");
	struct verify_want want = want_at(JUNE_2025);
	struct findings f = { 0 };

	ev->tdx = other->tdx;
	verify_evidence(&f, ev, &want);
	check_finding(&f, "az.td-quote", FINDING_BAD, "something else");
	check_all_hold(&f, "az.td-quote");
}

TEST(verify__fields_of_report_data_and_initdata__are_cut_or_padded)
{
	cleanup_evidence struct evidence *ev = shared_evidence(E2E_SNP);
	struct verify_want want = want_at(JUNE_2025);
	struct findings f = { 0 };
	uint8_t data[64];

	memcpy(data, ev->snp.report_data.p, 64);
	want.has_report_data = want.has_initdata = true;
	want.report_data = (struct view){ data, 64 };
	want.initdata.len = 48; /* HOST_DATA has room for 32 of them: zeros */
	verify_evidence(&f, ev, &want);
	check_all_hold(&f, NULL);
	check_finding(&f, "report-data", FINDING_OK, "");
	check_finding(&f, "initdata", FINDING_OK, "HOST_DATA");
	want.initdata.b[40] = 1; /* behind the cut */
	want.report_data.len = 63;
	f = (struct findings){ 0 };
	verify_evidence(&f, ev, &want);
	check_finding(&f, "initdata", FINDING_OK, "HOST_DATA");
	check_finding(&f, "report-data", data[63] ? FINDING_BAD : FINDING_OK, "");
	want.initdata.b[31] = 1;
	data[0] ^= 1;
	f = (struct findings){ 0 };
	verify_evidence(&f, ev, &want);
	check_finding(&f, "initdata", FINDING_BAD, "not the digest of this initdata");
	check_finding(&f, "report-data", FINDING_BAD, "not what was expected");
}

/* Trustee does not look: a digest over other banks can be one over 24 values that nobody measured. */
TEST(verify_tpm_quote__selection__is_of_sha256)
{
	cleanup_evidence struct evidence *ev =
		shared_evidence("evidence/derived/tpm-evidence.json");
	struct verify_want want = want_at(JUNE_2025);
	struct findings f = { 0 };

	verify_tpm(&f, ev, &want);
	CHECK(finding_get(&f, "tpm.selection") == NULL);
	ev->tpm.attest.n_selections = 2;
	verify_tpm(&f, ev, &want);
	check_finding(&f, "tpm.selection", FINDING_BAD, "2 banks");
	f = (struct findings){ 0 };
	ev->tpm.attest.pcr_hash = 0x0012;
	verify_tpm(&f, ev, &want);
	check_finding(&f, "tpm.selection", FINDING_BAD, "algorithm 0x0012");
}
