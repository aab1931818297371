/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/clock.h"
#include "agent/base/fs.h"
#include "attester/az.h"
#include "attester/az_imds.h"
#include "attester/cache.h"
#include "test/unit/attester/fake_tpm.h"

#include <sys/file.h>
#include <sys/stat.h>

/*
 * Evidence recorded on Azure, taken apart into what the vTPM and the metadata service gave, given
 * by fakes, and put together again by the attesters: the same JSON comes out. Whole scenarios
 * against swtpm are in test/integration/azure.
 */
#define RECORDED "evidence/trustee/deps/verifier/test_data/"

static const uint8_t report_data[48] = {
	0x98, 0x2f, 0x5c, 0x6e, 0x45, 0xdf, 0x0e, 0xd3, 0xf1, 0x0b, 0x6f, 0x60,
	0xb0, 0x2f, 0x0c, 0x83, 0x90, 0xe2, 0x81, 0x30, 0x0f, 0x38, 0x05, 0xe2,
	0x27, 0x9c, 0x16, 0x16, 0x8c, 0xd6, 0xae, 0x9a, 0xa3, 0x98, 0xf6, 0x47,
	0xca, 0xa2, 0x33, 0x87, 0x48, 0xcd, 0x0f, 0xd9, 0xf5, 0xf8, 0x19, 0xef,
};
static const struct view data48 = { report_data, 48 };

/* --- a guest ---------------------------------------------------------------------------------- */

/* What the metadata service does, by request. */
struct script {
	int status[8]; /* 0: the good answer; negative: the transport fails with that kind */
	const char *body;
	int64_t retry_after_ms;
	unsigned n;
	char last_body[2048];
	struct buf good;
};

struct guest {
	struct fake_tpm *f;
	struct tpm *tpm;
	struct json *doc;
	struct script imds;
	struct attester_env env;
	struct buf hcl; /* the recorded report */
};

static int metadata(void *ctx, const struct http_request *q, struct http_reply *reply,
		    struct err *e)
{
	struct script *s = ctx;
	int status = s->n < ARRAY_LEN(s->status) ? s->status[s->n] : 0;

	s->n++;
	CHECK(q->bearer == NULL && q->cookie == NULL && q->reply_max > 0 && q->reply_max <= 65536);
	CHECK(q->headers && strcmp(q->headers[0], "Metadata: true") == 0);
	CHECK(deadline_left_ms(q->deadline) <= AZ_IMDS_TRY_MS);
	snprintf(s->last_body, sizeof s->last_body, "%.*s", (int)q->body.len,
		 q->body.p ? (const char *)q->body.p : "");
	if (status < 0)
		return err_set(e, (enum err_kind) - status, "the network");
	reply->status = status ? status : 200;
	reply->retry_after_ms = s->retry_after_ms;
	reply->body = BUF_MAX(1u << 20);
	if (status == 0)
		buf_putv(&reply->body, s->body ? view_str(s->body) : buf_view(&s->good));
	return 0;
}

/* URL-safe base64, padded or not. */
static void decode(struct buf *out, const struct json *doc, const char *key)
{
	const char *text = vector_text(doc, key);
	size_t n = strlen(text);

	while (n > 0 && text[n - 1] == '=')
		n--;
	CHECK_INT(enc_base64_decode(out, ENC_B64U, (struct view){ (const uint8_t *)text, n }, NULL),
		  0);
}

static void hex(struct buf *out, const struct json *doc, const char *key)
{
	const char *text = vector_text(doc, key);
	uint8_t bytes[1024];

	CHECK_INT(enc_hex_decode(bytes, strlen(text) / 2, view_str(text), NULL), 0);
	buf_put(out, bytes, strlen(text) / 2);
}

static void put_pem(struct buf *out, struct view der)
{
	cleanup_buf struct buf text = BUF_MAX(1u << 16);

	enc_base64(&text, ENC_B64, der);
	buf_puts(out, "-----BEGIN CERTIFICATE-----\\n");
	for (size_t i = 0; i < text.len; i += 64) {
		buf_put(out, text.p + i, text.len - i < 64 ? text.len - i : 64);
		buf_puts(out, "\\n");
	}
	buf_puts(out, "-----END CERTIFICATE-----\\n");
}

static void fill_imds(struct guest *g)
{
	cleanup_buf struct buf value = BUF_MAX(1u << 16);

	g->imds.good = BUF_MAX(1u << 17);
	if (json_get(g->doc, "vcek")) {
		decode(&value, g->doc, "vcek");
		buf_puts(&g->imds.good, "{\"vcekCert\":\"");
		put_pem(&g->imds.good, buf_view(&value));
		buf_puts(&g->imds.good, "\",\"certificateChain\":\"\",\"tcbm\":\"00\"}");
	} else {
		decode(&value, g->doc, "td_quote");
		buf_puts(&g->imds.good, "{\"quote\":\"");
		enc_base64(&g->imds.good, ENC_B64, buf_view(&value));
		buf_puts(&g->imds.good, "\"}");
	}
}

/* The AK as the TPM shows it: the recorded template with the report's modulus. */
static void fill_ak(struct fake_tpm *f, struct view spki)
{
	uint8_t bytes[512];
	size_t n = strlen(vector_text(f->vector.doc, "public")) / 2;

	CHECK(n > 258 && n <= sizeof bytes && spki.len == 294);
	vector_hex(bytes, n, f->vector.doc, "public");
	/* TPM2B_PUBLIC: its size, then the area, whose last field is the modulus; the SPKI ends
	 * with the modulus and the exponent (02 03 01 00 01). */
	memcpy(bytes + n - 256, spki.p + 294 - 5 - 256, 256);
	f->public = BUF_MAX(512);
	buf_put(&f->public, bytes + 2, n - 2);
	f->ak_handle = "\x81\x00\x00\x03";
}

static void fill_quote(struct fake_tpm *f, const struct json *quote)
{
	const struct json *pcr = json_first(json_get(quote, "pcrs"));
	struct buf *sig = &f->vector.quote.signature, *message = &f->vector.quote.message;

	buf_reset(message);
	hex(message, quote, "message");
	buf_reset(sig);
	buf_put(sig, "\0\x14\0\x0b\1\0", 6);
	hex(sig, quote, "signature");
	for (unsigned i = 0; i < 24; i++, pcr = json_next(pcr))
		CHECK_INT(enc_hex_decode(f->vector.quote.pcrs[i], 32, view_str(json_string(pcr)),
					 NULL),
			  0);
}

static void set_report(struct guest *g, struct view raw)
{
	struct fake_nv *nv = &g->f->nv[0];

	buf_done(&nv->bytes);
	*nv = (struct fake_nv){ .index = AZ_NV_REPORT,
				.attributes = 0x20002,
				.size = raw.len,
				.bytes = BUF_MAX(1u << 16) };
	buf_putv(&nv->bytes, raw);
}

static struct guest guest(const char *path)
{
	struct guest g = { .f = fake_tpm_start() };
	cleanup_hcl_runtime struct hcl_runtime rt = { 0 };
	struct hcl_report h;
	char where[64];
	struct err e = { 0 };

	/* The fake is one a process. */
	g.f->nv_starts = g.f->nv_reads = g.f->nv_writes = g.f->commands = 0;
	for (size_t i = 0; i < ARRAY_LEN(g.f->answer); i++)
		g.f->answer[i] = 0;
	g.doc = vector_json(test_shared(path));
	g.hcl = BUF_MAX(HCL_REPORT_MAX);
	decode(&g.hcl, g.doc, "hcl_report");
	CHECK_INT(hcl_parse(&h, buf_view(&g.hcl), NULL), 0);
	CHECK_INT(hcl_runtime_load(&rt, h.var_data, NULL), 0);
	fill_ak(g.f, buf_view(&rt.ak));
	fill_quote(g.f, json_get(g.doc, "tpm_quote"));
	set_report(&g, buf_view(&g.hcl));
	fill_imds(&g);
	snprintf(where, sizeof where, "swtpm:127.0.0.1:%u", g.f->port);
	if (tpm_open(&g.tpm, where, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s", e.msg);
	g.env = (struct attester_env){
		.root_fd = -1, .tpm = g.tpm, .initdata_pcr = 8, .metadata = metadata
	};
	CHECK_INT(attester_cache_new(&g.env.cache, NULL), 0);
	return g;
}

static void guest_done(struct guest *g)
{
	attester_cache_free(g->env.cache);
	tpm_close(g->tpm);
	json_free(g->doc);
	buf_done(&g->hcl);
	buf_done(&g->imds.good);
}

#define cleanup_guest __attribute__((cleanup(guest_done)))

static int evidence(struct guest *g, struct view rd, char **json, struct err *e)
{
	const char *name = json_get(g->doc, "vcek") ? "az-snp-vtpm" : "az-tdx-vtpm";

	g->env.metadata_ctx = &g->imds;
	return FAKE_SYNCED(attester_by_name(name)->evidence(&g->env, rd, json, e));
}

/* It fails with that code, and gives nothing. */
static void refused(struct guest *g, enum err_code want, const char *words)
{
	struct err e = { 0 };
	char *json = NULL;
	int r = evidence(g, data48, &json, &e);

	CHECK_ERR(r, err_entry(want)->kind, e, words);
	if (e.code != want)
		test_fail(__FILE__, __LINE__, "code %s, want %s: %s", err_name(&e),
			  err_entry(want)->name, e.msg);
	CHECK(json == NULL);
}

/* Both as RFC 8785 has them. */
static void same_json(const char *got, const struct json *want)
{
	cleanup_json struct json *doc = NULL;
	cleanup_buf struct buf a = BUF_MAX(1u << 20), b = BUF_MAX(1u << 20);

	CHECK_INT(json_parse(&doc, view_str(got), 1u << 20, NULL), 0);
	CHECK_INT(json_canonical(&a, doc, NULL), 0);
	CHECK_INT(json_canonical(&b, want, NULL), 0);
	if (!view_eq(buf_view(&a), buf_view(&b)))
		test_fail(__FILE__, __LINE__, "%.600s\n  recorded %.600s", buf_str(&a),
			  buf_str(&b));
}

/* --- recorded --------------------------------------------------------------------------------- */

TEST(az_snp_vtpm__recorded_version_2__comes_out_again)
{
	cleanup_guest struct guest g = guest(RECORDED "az-snp-vtpm/evidence-v2.json");
	cleanup_free char *json = NULL;
	struct err e = { 0 };

	if (evidence(&g, data48, &json, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s", e.msg);
	same_json(json, g.doc);
	CHECK_INT(g.f->nv_starts, 1);
	CHECK_INT(g.f->nv_writes, 1);
	CHECK_INT(fake_nv(g.f, AZ_NV_INPUT)->bytes.len, 48);
	CHECK(memcmp(fake_nv(g.f, AZ_NV_INPUT)->bytes.p, report_data, 48) == 0);
}

/* The recorded challenge is not in these reports: version 1 is for who cannot write it. */
static void version_1(const char *path)
{
	cleanup_guest struct guest g = guest(path);
	cleanup_free char *json = NULL;
	struct err e = { 0 };

	g.f->answer[CC_NV_DEFINE & 511] = 0x9a2;
	if (evidence(&g, view_str("challenge"), &json, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s: %s", path, e.msg);
	same_json(json, g.doc);
	CHECK_INT(g.f->nv_starts, 1);
}

TEST(az__recorded_version_1__comes_out_again)
{
	version_1(RECORDED "az-snp-vtpm/evidence-v1.json");
	version_1(RECORDED "az-tdx-vtpm/evidence-v1.json");
}

TEST(az__detection__by_type_and_asked_once)
{
	cleanup_guest struct guest g = guest(RECORDED "az-snp-vtpm/evidence-v2.json");

	CHECK(strcmp(attester_detect(&g.env)->name, "az-snp-vtpm") == 0);
	/* The beginning is left alone: the paravisor's next report is the first evidence's. */
	CHECK_INT(g.f->nv_starts, 0);
	CHECK_INT(g.f->nv_reads, 2);
	/* Kept also for who asks again when the report has gone. */
	g.f->nv[0].index = 0;
	CHECK(az_detect(&g.env, HCL_SNP) && !az_detect(&g.env, HCL_TDX));
	CHECK_INT(g.f->nv_reads, 2);
	attester_cache_drop(g.env.cache, view_str("hcl-type"));
	CHECK(strcmp(attester_detect(&g.env)->name, "tpm") == 0);
	g.env.tpm = NULL;
	CHECK(!az_detect(&g.env, HCL_SNP));
}

/* What does not show a report in its middle is read whole, once. */
TEST(az__detection__other_indexes__are_read_whole)
{
	static const struct {
		size_t size, at;
		uint8_t change;
		unsigned starts;
		const char *platform;
	} rows[] = {
		{ 2600, 1, 0x20, 1, "tpm" },    /* another magic */
		{ 2600, 0, 0x20, 0, "az-snp-vtpm" }, /* one that only its evidence will tell */
		{ 2600, 1224, 2 ^ 1, 1, "tpm" }, /* a VBS guest */
		{ 2600, 1224, 2 ^ 4, 0, "az-tdx-vtpm" },
		{ 100, 50, 1, 1, "tpm" },
		{ 1227, 50, 1, 1, "tpm" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_guest struct guest g = guest(RECORDED "az-snp-vtpm/evidence-v2.json");
		const struct attester *a;

		g.f->nv_reads = 0;
		set_report(&g, (struct view){ g.hcl.p, rows[i].size });
		g.f->nv[0].bytes.p[rows[i].at] ^= rows[i].change;
		a = attester_detect(&g.env);
		if (!a || strcmp(a->name, rows[i].platform) != 0)
			test_fail(__FILE__, __LINE__, "row %zu: %s", i, a ? a->name : "none");
		CHECK_INT(g.f->nv_starts, rows[i].starts);
		CHECK(attester_detect(&g.env) == a);
		CHECK_INT(g.f->nv_starts, rows[i].starts);
	}
}

/* Not written yet: reading its beginning makes the paravisor write it. */
static void write_report(struct fake_tpm *f)
{
	if (f->nv[0].bytes.len == 0)
		for (unsigned i = 0; i < f->nv[0].size; i++)
			buf_putc(&f->nv[0].bytes, i < 4 ? (uint8_t)"HCLA"[i] : i == 1224 ? 2 : 0);
}

TEST(az__detection__report_that_nobody_has_read_yet__is_asked_for)
{
	cleanup_guest struct guest g = guest(RECORDED "az-snp-vtpm/evidence-v2.json");

	buf_reset(&g.f->nv[0].bytes);
	g.f->on_nv_read = write_report;
	CHECK(az_detect(&g.env, HCL_SNP));
	CHECK_INT(g.f->nv_starts, 1);
	g.f->on_nv_read = NULL;
}

TEST(az__detection__a_tpm_in_trouble_is_asked_again)
{
	cleanup_guest struct guest g = guest(RECORDED "az-snp-vtpm/evidence-v2.json");

	tpm_set_wait(g.tpm, 300);
	g.f->answer[CC_NV_READ & 511] = 0x101;
	CHECK(!az_detect(&g.env, HCL_SNP));
	CHECK(attester_detect(&g.env) == NULL);
	CHECK(az_has_none(&g.env, NULL) < 0);
	g.f->answer[CC_NV_READ & 511] = 0;
	CHECK(az_detect(&g.env, HCL_SNP));
	/* Magic and type decide; what else is broken shall be said and not be taken for a bare TPM.
	 */
	attester_cache_drop(g.env.cache, view_str("hcl-type"));
	g.f->nv[0].bytes.p[1232] ^= 1;
	CHECK(az_detect(&g.env, HCL_SNP));
	g.f->nv[0].bytes.p[1] ^= 1;
	attester_cache_drop(g.env.cache, view_str("hcl-type"));
	CHECK(!az_detect(&g.env, HCL_SNP));
}

/* On bare SNP a TPM is the host's, which could bind any initdata in one of its own. */
TEST(az__detection__beside_sev_guest__the_hardware_decides)
{
	char dir[] = "/tmp/vouchsafe-az-XXXXXX", path[96];
	cleanup_guest struct guest g = guest(RECORDED "az-snp-vtpm/evidence-v2.json");
	cleanup_close int root = -1;

	CHECK(mkdtemp(dir) != NULL);
	root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	g.env.root_fd = root;
	CHECK(strcmp(attester_detect(&g.env)->name, "az-snp-vtpm") == 0);
	(void)snprintf(path, sizeof path, "%s/sys/devices/platform/sev-guest", dir);
	CHECK_INT(fs_mkdirs(path, 0755, NULL), 0);
	CHECK(!az_detect(&g.env, HCL_SNP));
	CHECK(strcmp(attester_detect(&g.env)->name, "snp") == 0);
	while (strlen(path) > strlen(dir) && rmdir(path) == 0)
		*strrchr(path, '/') = '\0';
	CHECK_INT(rmdir(dir), 0);
}

/* --- report ----------------------------------------------------------------------------------- */

TEST(az__report_data__of_1_to_48_bytes)
{
	cleanup_guest struct guest g = guest(RECORDED "az-snp-vtpm/evidence-v2.json");
	const uint8_t long_data[64] = { 1 };
	cleanup_free char *json = NULL;
	struct err e;

	CHECK_ERR(evidence(&g, (struct view){ long_data, 64 }, &json, &e), ERR_USAGE, e,
		  "64 bytes");
	CHECK_INT(e.code, CODE_AZURE_REPORT_DATA);
	CHECK_ERR(evidence(&g, (struct view){ long_data, 49 }, &json, &e), ERR_USAGE, e, "1..48");
	CHECK_INT(e.code, CODE_AZURE_REPORT_DATA);
	CHECK_ERR(evidence(&g, (struct view){ long_data, 0 }, &json, &e), ERR_USAGE, e, "0 bytes");
	CHECK_INT(g.f->commands, 0);
	g.env.tpm = NULL;
	refused(&g, CODE_TPM_NONE, "no TPM");
}

static void stale_once(struct fake_tpm *f)
{
	/* The first report is of other data; the paravisor renews it before the second reading. */
	static uint8_t *at;
	static uint8_t kept;

	if (f->nv_starts == 1) {
		at = f->nv[0].bytes.p + 32 + 0x50;
		kept = *at;
		*at ^= 1;
	} else if (f->nv_starts > 1 && at) {
		*at = kept;
	}
}

/* Who reads beside us makes pieces of two reports come together: they are read once more. */
TEST(az__torn_report__is_read_again_at_once)
{
	cleanup_guest struct guest g = guest(RECORDED "az-snp-vtpm/evidence-v2.json");
	cleanup_free char *json = NULL;
	int64_t start = clock_boot_ms();

	g.f->on_nv_read = stale_once;
	CHECK_INT(evidence(&g, data48, &json, NULL), 0);
	CHECK_INT(g.f->nv_starts, 2);
	CHECK(clock_boot_ms() - start < 1500);
}

TEST(az__report_that_is_wrong__has_its_code)
{
	static const struct {
		size_t at;
		uint8_t mask;
		enum err_code want;
	} rows[] = {
		{ 0, 1, CODE_AZURE_REPORT },           /* magic */
		{ 1216, 1, CODE_AZURE_REPORT },        /* data_size */
		{ 1220, 1, CODE_AZURE_REPORT },        /* version */
		{ 1224, 2 ^ 3, CODE_AZURE_REPORT },    /* type */
		{ 1224, 2 ^ 4, CODE_AZURE_REPORT },    /* of a TDX guest */
		{ 1228, 3, CODE_AZURE_REPORT },        /* hash type */
		{ 1232, 1, CODE_AZURE_REPORT },        /* var_size */
		{ 1236, 1, CODE_AZURE_REPORT },        /* no JSON */
		{ 1236 + 300, 1, CODE_AZURE_BINDING }, /* inside the AK's modulus */
		{ 32 + 0x50, 1, CODE_AZURE_BINDING },  /* report data */
		{ 32 + 0x50 + 63, 1, CODE_AZURE_BINDING },
		{ 32 + 0x30, 1, CODE_EVIDENCE_VMPL },
		{ 32 + 0x0a, 8, CODE_EVIDENCE_DEBUG },  /* policy, bit 19 */
		{ 32 + 0x34, 2, CODE_SNP_UNSUPPORTED }, /* signature algorithm */
		{ 32 + 0x00, 3 ^ 2, CODE_SNP_OLD_FIRMWARE },
		{ 32 + 0x00, 3 ^ 6, CODE_SNP_UNSUPPORTED },
		{ 32 + 0x188, 0x0f, CODE_SNP_UNSUPPORTED }, /* CPUID family */
		/* Trustee's parser wants zeros there. */
		{ 32 + 0x4c, 1, CODE_SNP_UNSUPPORTED },
		{ 32 + 0x182, 1, CODE_SNP_UNSUPPORTED }, /* reported_tcb */
		{ 32 + 0x18b, 1, CODE_SNP_UNSUPPORTED },
		{ 32 + 0x1f8, 1, CODE_SNP_UNSUPPORTED },
		{ 32 + 0x29f, 1, CODE_SNP_UNSUPPORTED },
		{ 32 + 0x49f, 1, CODE_SNP_UNSUPPORTED },
		{ 32 + 0x90, 1, CODE_AZURE_VCEK },          /* signed: measurement */
		{ 32 + 0x180, 1, CODE_AZURE_VCEK },         /* signed: reported_tcb */
		{ 32 + 0x2a0, 1, CODE_AZURE_VCEK },         /* R */
		{ 32 + 0x2e8, 1, CODE_AZURE_VCEK },         /* S */
	};
	cleanup_guest struct guest g = guest(RECORDED "az-snp-vtpm/evidence-v2.json");

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		set_report(&g, buf_view(&g.hcl));
		g.f->nv[0].bytes.p[rows[i].at] ^= rows[i].mask;
		refused(&g, rows[i].want, "");
	}
}

TEST(az__debug_is_permitted__the_report_goes_on_to_its_signature)
{
	cleanup_guest struct guest g = guest(RECORDED "az-snp-vtpm/evidence-v2.json");

	g.env.permit_debug = true;
	g.f->nv[0].bytes.p[32 + 0x0a] ^= 8;
	refused(&g, CODE_AZURE_VCEK, "signature");
}

TEST(az__stale_report__waits_no_longer_than_its_time)
{
	cleanup_guest struct guest g = guest(RECORDED "az-snp-vtpm/evidence-v2.json");
	const uint8_t other[48] = { 7 };
	int64_t start = clock_boot_ms(), took;
	char *json = NULL;
	struct err e = { 0 };

	CHECK_ERR(evidence(&g, (struct view){ other, 48 }, &json, &e), ERR_TIMEOUT, e,
		  "read 5 times");
	CHECK_INT(e.code, CODE_AZURE_STALE_REPORT);
	took = clock_boot_ms() - start;
	CHECK(took > 6000 && took < AZ_REPORT_MS + 1000);
	/* What somebody else wrote meanwhile is written again. */
	CHECK_INT(g.f->nv_writes, 5);
}

TEST(az__lock_of_another_process__is_waited_for)
{
	char dir[] = "/tmp/vouchsafe-az-XXXXXX";
	cleanup_guest struct guest g = guest(RECORDED "az-snp-vtpm/evidence-v2.json");
	cleanup_close int root = -1, held = -1;
	cleanup_free char *json = NULL;
	int64_t start = clock_boot_ms();
	struct err e = { 0 };
	struct stat st;

	CHECK(mkdtemp(dir) != NULL);
	root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	CHECK(mkdirat(root, "run", 0755) == 0 && mkdirat(root, "run/attestation-agent", 0755) == 0);
	held = openat(root, AZ_LOCK_FILE, O_RDONLY | O_CREAT | O_CLOEXEC, 0644);
	CHECK(held >= 0 && flock(held, LOCK_EX) == 0);
	g.env.root_fd = root;
	if (fork() == 0) {
		/* The lock goes when the last descriptor does. */
		(void)poll(NULL, 0, 700);
		_exit(0);
	}
	(void)close(take_fd(held));
	if (evidence(&g, data48, &json, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s", e.msg);
	CHECK(clock_boot_ms() - start > 500);
	/* Made by us it is for its owner alone: who can open it can hold it. */
	free(take(json));
	CHECK(unlinkat(root, AZ_LOCK_FILE, 0) == 0 && evidence(&g, data48, &json, &e) == 0);
	CHECK(fstatat(root, AZ_LOCK_FILE, &st, 0) == 0 && (st.st_mode & 0777) == 0600);
	CHECK(unlinkat(root, AZ_LOCK_FILE, 0) == 0 &&
	      unlinkat(root, "run/attestation-agent", AT_REMOVEDIR) == 0 &&
	      unlinkat(root, "run", AT_REMOVEDIR) == 0 && rmdir(dir) == 0);
}

TEST(az__ak_that_the_report_does_not_name__is_refused)
{
	cleanup_guest struct guest snp = guest(RECORDED "az-snp-vtpm/evidence-v2.json");

	/* A quote that is good, by a key that is good, of another machine. */
	buf_done(&snp.f->public);
	recorded_done(&snp.f->vector);
	snp.f->vector = recorded_quote();
	cleanup_json struct json *expected =
		vector_json(test_shared("evidence/derived/az-tpm-quote.json"));
	cleanup_buf struct buf der = BUF_MAX(4096);

	CHECK_INT(fs_read(&der, test_shared("evidence/derived/tpm-ak.spki.der"), 4096, NULL), 0);
	fill_ak(snp.f, buf_view(&der));
	fill_quote(snp.f, expected);
	/* The derived quote has its own nonce: ask for that; the report is then of version 1. */
	snp.f->answer[CC_NV_DEFINE & 511] = 0x149;
	cleanup_json struct json *want = vector_json(test_shared("evidence/derived/expected.json"));
	uint8_t rd[48];
	struct err e = { 0 };
	char *json = NULL;

	vector_hex(rd, sizeof rd, want, "runtime_data_primary_sha384");
	CHECK_ERR(evidence(&snp, (struct view){ rd, 48 }, &json, &e), ERR_VERIFY, e, "HCLAkPub");
	CHECK_INT(e.code, CODE_AZURE_WRONG_AK);
}

/* --- metadata service ------------------------------------------------------------------------- */

TEST(az_imds__bad_moments__are_asked_again)
{
	static const struct {
		int status[3];
		int64_t retry_after_ms;
		unsigned asked;
		int64_t at_least_ms;
	} rows[] = {
		{ { 0 }, 0, 1, 0 },          { { 429 }, 0, 2, 200 },
		{ { 500, 503 }, 0, 3, 600 }, { { -ERR_NETWORK, -ERR_TIMEOUT, 502 }, 0, 4, 1400 },
		{ { 429 }, 900, 2, 900 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_guest struct guest g = guest(RECORDED "az-snp-vtpm/evidence-v2.json");
		cleanup_free char *json = NULL;
		int64_t start = clock_boot_ms();

		memcpy(g.imds.status, rows[i].status, sizeof rows[i].status);
		g.imds.retry_after_ms = rows[i].retry_after_ms;
		CHECK_INT(evidence(&g, data48, &json, NULL), 0);
		CHECK_INT(g.imds.n, rows[i].asked);
		CHECK(clock_boot_ms() - start >= rows[i].at_least_ms);
	}
}

TEST(az_imds__answers_that_are_none__are_named)
{
	static const struct {
		int status;
		const char *body;
		enum err_code want;
		const char *words;
	} rows[] = {
		{ 404, NULL, CODE_AZURE_METADATA_REPLY, "status 404" },
		{ 204, NULL, CODE_AZURE_METADATA_REPLY, "status 204" },
		{ -ERR_LIMIT, NULL, CODE_AZURE_METADATA_REPLY, "the network" },
		{ -ERR_FORMAT, NULL, CODE_AZURE_METADATA_REPLY, "the network" },
		{ -ERR_NOMEM, NULL, CODE_GENERAL_NOMEM, "the network" },
		{ 0, "", CODE_AZURE_METADATA_REPLY, "VCEK" },
		{ 0, "<html>", CODE_AZURE_METADATA_REPLY, "VCEK" },
		{ 0, "{}", CODE_AZURE_METADATA_REPLY, "vcekCert" },
		{ 0, "{\"VcekCert\":\"x\"}", CODE_AZURE_METADATA_REPLY, "vcekCert" },
		{ 0, "{\"vcekCert\":null}", CODE_AZURE_METADATA_REPLY, "vcekCert" },
		{ 0, "{\"vcekCert\":\"\"}", CODE_AZURE_METADATA_REPLY, "VCEK" },
		{ 0,
		  "{\"vcekCert\":\"-----BEGIN PUBLIC KEY-----\\nAAAA\\n-----END PUBLIC "
		  "KEY-----\\n\"}",
		  CODE_AZURE_METADATA_REPLY, "VCEK" },
		{ 0,
		  "{\"vcekCert\":\"-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END "
		  "CERTIFICATE-----\\n\"}",
		  CODE_AZURE_METADATA_REPLY, "VCEK" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_guest struct guest g = guest(RECORDED "az-snp-vtpm/evidence-v2.json");

		g.imds.status[0] = rows[i].status;
		g.imds.body = rows[i].body;
		refused(&g, rows[i].want, rows[i].words);
		CHECK_INT(g.imds.n, 1);
	}
}

TEST(az_imds__nobody_is_there__is_named)
{
	cleanup_guest struct guest g = guest(RECORDED "az-snp-vtpm/evidence-v2.json");

	g.env.metadata = NULL;
	refused(&g, CODE_AZURE_METADATA, "no metadata service");
}

TEST(az_imds__kept_vcek_does_not_fit__is_fetched_again)
{
	cleanup_guest struct guest g = guest(RECORDED "az-snp-vtpm/evidence-v2.json");
	char *json = NULL;
	uint8_t key[72];

	CHECK_INT(evidence(&g, data48, &json, NULL), 0);
	free(take(json));
	memcpy(key, g.hcl.p + 32 + 0x1a0, 64);
	memcpy(key + 64, g.hcl.p + 32 + 0x180, 8);
	attester_cache_put(g.env.cache, (struct view){ key, 72 }, view_str("no certificate"));
	for (int i = 0; i < 2; i++) {
		CHECK_INT(evidence(&g, data48, &json, NULL), 0);
		free(take(json));
		CHECK_INT(g.imds.n, 2);
	}
}

TEST(az_imds__vcek__is_kept_for_that_chip_and_firmware)
{
	cleanup_guest struct guest g = guest(RECORDED "az-snp-vtpm/evidence-v2.json");
	char *json = NULL;

	for (int i = 0; i < 3; i++) {
		CHECK_INT(evidence(&g, data48, &json, NULL), 0);
		free(take(json));
	}
	CHECK_INT(g.imds.n, 1);
	/* New firmware, and another chip: another key, so another certificate is asked for. */
	for (int i = 0; i < 2; i++) {
		struct err e = { 0 };

		set_report(&g, buf_view(&g.hcl));
		g.f->nv[0].bytes.p[32 + (i ? 0x1a0 : 0x180)] ^= 1;
		CHECK_INT(evidence(&g, data48, &json, &e), -ERR_VERIFY);
		CHECK_INT(e.code, CODE_AZURE_VCEK);
		CHECK_INT(g.imds.n, 2 + i);
		/* What did not fit was not kept. */
		CHECK_INT(evidence(&g, data48, &json, &e), -ERR_VERIFY);
		CHECK_INT(g.imds.n, 3 + i);
		g.imds.n--;
	}
	set_report(&g, buf_view(&g.hcl));
	g.imds.n = 2;
	CHECK_INT(evidence(&g, data48, &json, NULL), 0);
	free(take(json));
	CHECK_INT(g.imds.n, 2);
	/* Without a cache it is asked for each time. */
	attester_cache_free(take(g.env.cache));
	CHECK_INT(evidence(&g, data48, &json, NULL), 0);
	free(take(json));
	CHECK_INT(g.imds.n, 3);
}

static int td_evidence(struct guest *g, struct err *e)
{
	char *json = NULL;
	int r;

	g->f->answer[CC_NV_DEFINE & 511] = 0x9a2;
	r = evidence(g, view_str("challenge"), &json, e);
	CHECK((r == 0) == (json != NULL));
	free(json);
	return r;
}

TEST(az_tdx_vtpm__request__standard_alphabet_then_the_other)
{
	cleanup_guest struct guest g = guest(RECORDED "az-tdx-vtpm/evidence-v1.json");
	struct err e = { 0 };

	g.imds.status[0] = 400;
	CHECK_INT(td_evidence(&g, &e), 0);
	CHECK_INT(g.imds.n, 2);
	CHECK(strstr(g.imds.last_body, "==") == NULL);
	CHECK(strpbrk(g.imds.last_body, "+/") == NULL);
	g.imds.n = 0;
	g.imds.status[0] = 0;
	CHECK_INT(td_evidence(&g, &e), 0);
	CHECK(strncmp(g.imds.last_body, "{\"report\":\"gQ", 13) == 0);
	CHECK(strcmp(g.imds.last_body + strlen(g.imds.last_body) - 4, "==\"}") == 0);
	/* Both refused: that is the answer. */
	g.imds.n = 0;
	g.imds.status[0] = g.imds.status[1] = 400;
	CHECK_ERR(td_evidence(&g, &e), ERR_FORMAT, e, "status 400");
	CHECK_INT(g.imds.n, 2);
}

/* What the service gives is cut and compared before it is sent on. */
TEST(az_tdx_vtpm__quote_that_is_wrong__has_its_code)
{
	static const struct {
		size_t at; /* in the quote; SIZE_MAX: none */
		enum err_code want;
	} rows[] = {
		{ 0, CODE_AZURE_METADATA_REPLY }, /* version */
		{ 4, CODE_AZURE_METADATA_REPLY }, /* TEE type */
		{ 48 + 0x208, CODE_AZURE_QUOTE }, /* report data */
		{ 48 + 0x208 + 63, CODE_AZURE_QUOTE }, { 48 + 0x88, CODE_AZURE_QUOTE }, /* MRTD */
		{ 48 + 0x78, CODE_AZURE_QUOTE },    /* attributes */
		{ 48 + 0x80, CODE_AZURE_QUOTE },    /* XFAM */
		{ 48 + 0xb8, CODE_AZURE_QUOTE },    /* MRCONFIGID */
		{ 48 + 0xe8, CODE_AZURE_QUOTE },    /* MROWNER */
		{ 48 + 0x118, CODE_AZURE_QUOTE },   /* MROWNERCONFIG */
		{ 48 + 0x148, CODE_AZURE_QUOTE },   /* RTMR0 */
		{ 48 + 0x207, CODE_AZURE_QUOTE },   /* RTMR3 */
		{ 632, CODE_AZURE_METADATA_REPLY }, /* size of the signature data */
	};
	cleanup_guest struct guest g = guest(RECORDED "az-tdx-vtpm/evidence-v1.json");

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cleanup_buf struct buf quote = BUF_MAX(1u << 16), body = BUF_MAX(1u << 17);
		struct err e = { 0 };

		decode(&quote, g.doc, "td_quote");
		quote.p[rows[i].at] ^= 1;
		buf_puts(&body, "{\"quote\":\"");
		/* The other alphabet, as it may come. */
		enc_base64(&body, ENC_B64U, buf_view(&quote));
		buf_puts(&body, "\"}");
		g.imds.body = buf_str(&body);
		CHECK_INT(td_evidence(&g, &e), -(int)err_entry(rows[i].want)->kind);
		if (e.code != rows[i].want)
			test_fail(__FILE__, __LINE__, "row %zu: %s: %s", i, err_name(&e), e.msg);
		g.imds.body = NULL;
	}
	static const char *const bad[] = { "{}", "{\"quote\":\"\"}",     "{\"quote\":\"!\"}",
					   "[]", "{\"quote\":\"AAAA\"}", "{\"quote\":1}",
					   "" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err e = { 0 };

		g.imds.body = bad[i];
		CHECK_INT(td_evidence(&g, &e), -ERR_FORMAT);
		CHECK_INT(e.code, CODE_AZURE_METADATA_REPLY);
	}
}

TEST(az_tdx_vtpm__debug_attribute__is_refused_without_a_permit)
{
	cleanup_guest struct guest g = guest(RECORDED "az-tdx-vtpm/evidence-v1.json");
	struct err e = { 0 };

	g.f->nv[0].bytes.p[32 + 0x200] |= 1;
	CHECK_INT(td_evidence(&g, &e), -(int)err_entry(CODE_EVIDENCE_DEBUG)->kind);
	CHECK_INT(e.code, CODE_EVIDENCE_DEBUG);
	g.env.permit_debug = true;
	/* On it goes, to the TDREPORT's own hashes. */
	CHECK_INT(td_evidence(&g, &e), -ERR_FORMAT);
	CHECK_INT(e.code, CODE_AZURE_REPORT);
}

TEST(az_tdx_vtpm__tdreport_that_is_wrong__has_its_code)
{
	static const struct {
		size_t at;
		uint8_t change;
	} rows[] = {
		{ 0, 0x81 ^ 0x80 },		 /* type */
		{ 3, 1 },	{ 0xc0, 1 },	 /* reserved */
		{ 0x020, 1 },	{ 0x050, 1 },	 /* the hashes */
		{ 0x100, 1 },	{ 0x1ee, 1 },	 /* TCB information */
		{ 0x208, 1 },	{ 0x210, 1 },	 /* XFAM, MRTD */
		{ 0x240, 1 },	{ 0x3ff, 1 },	 /* MRCONFIGID, reserved */
	};
	cleanup_guest struct guest g = guest(RECORDED "az-tdx-vtpm/evidence-v1.json");

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = { 0 };

		set_report(&g, buf_view(&g.hcl));
		g.f->nv[0].bytes.p[32 + rows[i].at] ^= rows[i].change;
		if (td_evidence(&g, &e) >= 0 || e.code != CODE_AZURE_REPORT)
			test_fail(__FILE__, __LINE__, "row %zu: %s: %s", i, err_name(&e), e.msg);
		CHECK_INT(g.imds.n, 0);
	}
}

/* --- registers -------------------------------------------------------------------------------- */

TEST(az__registers__are_the_tpms)
{
	static const char *const names[] = { "az-snp-vtpm", "az-tdx-vtpm" };
	const struct attester *tpm = attester_by_name("tpm");

	for (size_t i = 0; i < 2; i++) {
		const struct attester *a = attester_by_name(names[i]);

		CHECK(a->binding == tpm->binding && a->bind == tpm->bind &&
		      a->extend == tpm->extend && a->read_register == tpm->read_register);
		CHECK(a->log_register == 15 && a->log_hash == HASH_SHA256 && a->text_needs_sha256);
		CHECK(a->log_index == NULL);
	}
}
