/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/cc_eventlog.h"
#include "attester/eventlog.h"
#include "attester/le.h"
#include "attester/tdx_guest.h"
#include "attester/tdx_quote.h"
#include "test/unit/attester/fake_tee.h"

/* The platform tdx over a device and files of our own. */
enum {
	BODY = 48,
	AT_ATTRIBUTES = BODY + 120,
	AT_CONFIG_ID = BODY + 184,
	AT_RTMR0 = BODY + 328,
	AT_DATA = BODY + 520,
	SIZE = 1286, /* of the quote of version 4 without padding */
	CAP = 1u << 20,
};

static const struct attester *tdx(void)
{
	const struct attester *a = attester_by_name("tdx");

	CHECK(a != NULL);
	return a;
}

static char root[PATH_MAX];

static struct fake_tee *device(struct attester_env *env)
{
	static struct fake_tee f;
	cleanup_json struct json *doc = vector_json(test_vector("attester/tdx.json"));

	f = (struct fake_tee){ .kind = TEE_TDX, .data_at = AT_DATA };
	for (const struct json *v = json_first(json_get(doc, "quotes")); v; v = json_next(v))
		if (strcmp(vector_text(v, "name"), "v4-padded") == 0) {
			f.len = strlen(vector_text(v, "raw")) / 2;
			vector_hex(f.report, f.len, v, "raw");
		}
	CHECK_INT(f.len, SIZE + 70);
	memcpy(f.report + AT_RTMR0, (uint8_t[TEE_RTMRS * TEE_DIGEST]){ 0 }, TEE_RTMRS * TEE_DIGEST);
	*env = fake_env_of(&f, fake_root(root));
	return &f;
}

static void put_rtmr(unsigned i, const uint8_t value[TEE_DIGEST])
{
	char path[128];

	(void)snprintf(path, sizeof path, TDX_MEASUREMENTS_DIR "/rtmr%u:sha384", i);
	fake_file(root, path, value, TEE_DIGEST);
}

static void get_rtmr(unsigned i, uint8_t value[TEE_DIGEST])
{
	struct attester_env env;
	cleanup_close int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);

	env.root_fd = fd;
	CHECK_INT(tdx_rtmr_read(env.root_fd, i, value, NULL), 0);
}

/* Evidence, taken apart: the quote's bytes and the log's. */
struct parts {
	char *json;
	struct json *doc;
	struct buf quote, log;
	bool has_log;
};

#define cleanup_parts __attribute__((cleanup(parts_done)))

static void parts_done(struct parts *p)
{
	free(p->json);
	json_free(p->doc);
	buf_done(&p->quote);
	buf_done(&p->log);
}

static struct parts evidence(const struct attester_env *env, size_t data_len)
{
	struct parts p = { .quote = BUF_MAX(CAP), .log = BUF_MAX(CAP) };
	uint8_t data[TEE_DATA];
	struct err e;

	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(0xa0 + i);
	if (tdx()->evidence(env, (struct view){ data, data_len }, &p.json, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s", e.msg);
	CHECK(strlen(p.json) <= EVIDENCE_MAX);
	CHECK_INT(json_parse(&p.doc, view_str(p.json), CAP, NULL), 0);
	CHECK_INT(json_count(p.doc), 2);
	CHECK_INT(enc_base64_decode(&p.quote, ENC_B64, view_str(vector_text(p.doc, "quote")), NULL), 0);
	p.has_log = !json_is_null(json_get(p.doc, "cc_eventlog"));
	if (p.has_log)
		CHECK_INT(enc_base64_decode(&p.log, ENC_B64,
					    view_str(vector_text(p.doc, "cc_eventlog")), NULL),
			  0);
	return p;
}

TEST(tdx_evidence__no_log__is_the_quote_without_the_zeros_behind_it)
{
	struct attester_env env;
	struct fake_tee *f = device(&env);
	cleanup_parts struct parts p = evidence(&env, 48);

	CHECK(!p.has_log);
	CHECK_INT(f->quotes, 1);
	CHECK(view_eq(buf_view(&p.quote), (struct view){ f->report, SIZE }));
	for (size_t i = 0; i < TEE_DATA; i++) {
		CHECK_INT(f->data[i], i < 48 ? (uint8_t)(0xa0 + i) : 0);
		CHECK_INT(p.quote.p[AT_DATA + i], f->data[i]);
	}
}

TEST(tdx_evidence__one_wrong_field_of_the_quote__fails_with_its_code)
{
	static const struct {
		size_t at;
		uint8_t v;
		enum err_code code;
		const char *words;
	} rows[] = {
		{ 0, 3, CODE_TDX_QUOTE, "an SGX quote" },
		{ 0, 6, CODE_TDX_QUOTE, "version 6" },
		{ 4, 0, CODE_TDX_QUOTE, "an SGX quote" },
		{ 2, 3, CODE_TDX_QUOTE, "type 3" },
		{ SIZE, 1, CODE_TDX_QUOTE, "behind the quote's end" },
		{ AT_ATTRIBUTES, 1, CODE_EVIDENCE_DEBUG, "debug bit" },
	};
	struct attester_env env;
	struct fake_tee *f = device(&env);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t was = f->report[rows[i].at];
		char *json = NULL;
		struct err e;

		f->report[rows[i].at] = rows[i].v;
		CHECK_ERR(tdx()->evidence(&env, view_str("data"), &json, &e),
			  err_entry(rows[i].code)->kind, e, rows[i].words);
		CHECK_INT(e.code, rows[i].code);
		CHECK(json == NULL);
		f->report[rows[i].at] = was;
	}
}

TEST(tdx_evidence__debug_attribute__only_with_the_permit)
{
	struct attester_env env;
	struct fake_tee *f = device(&env);

	f->report[AT_ATTRIBUTES] |= 1;
	env.permit_debug = true;
	{
		cleanup_parts struct parts p = evidence(&env, 32);

		CHECK_INT(p.quote.p[AT_ATTRIBUTES] & 1, 1);
	}
}

TEST(tdx_evidence__device_at_fault__fails_with_its_code)
{
	struct attester_env env;
	struct fake_tee *f = device(&env);
	uint8_t long_data[TEE_DATA + 1] = { 0 };
	char *json = NULL;
	struct err e;

	CHECK_ERR(tdx()->evidence(&env, (struct view){ 0 }, &json, &e), ERR_USAGE, e, "0 bytes");
	CHECK_ERR(tdx()->evidence(&env, (struct view){ long_data, 65 }, &json, &e), ERR_USAGE, e,
		  "65 bytes, allowed 1..64");
	CHECK_INT(f->quotes, 0);
	f->len = 0;
	CHECK_ERR(tdx()->evidence(&env, view_str("data"), &json, &e), ERR_FORMAT, e, "0 bytes");
	f->len = TDX_QUOTE_MAX + 1;
	CHECK_ERR(tdx()->evidence(&env, view_str("data"), &json, &e), ERR_FORMAT, e, "32769 bytes");
	CHECK_INT(e.code, CODE_TDX_QUOTE);
	f->len = SIZE - 1;
	CHECK_ERR(tdx()->evidence(&env, view_str("data"), &json, &e), ERR_FORMAT, e, "cut short");
	f->len = SIZE;
	f->data_at = SIZE_MAX;
	CHECK_ERR(tdx()->evidence(&env, view_str("other"), &json, &e), ERR_FORMAT, e,
		  "does not carry the data");
	CHECK_INT(e.code, CODE_TEE_REPLY);
	f->kind = TEE_SNP;
	CHECK_ERR(tdx()->evidence(&env, view_str("data"), &json, &e), ERR_FORMAT, e, "another report");
	CHECK_INT(e.code, CODE_TEE_REPLY);
	f->fails = CODE_TEE_TIMEOUT;
	CHECK_ERR(tdx()->evidence(&env, view_str("data"), &json, &e), ERR_TIMEOUT, e,
		  "TD quote: the device said no");
	env.tee.quote = NULL;
	CHECK_ERR(tdx()->evidence(&env, view_str("data"), &json, &e), ERR_NOTFOUND, e, "nobody");
	CHECK(json == NULL);
}

/* --- the event log ---------------------------------------------------------------------------- */

/* As the kernel: the register's file becomes H(itself, digest). */
static int extend_file(void *ctx, unsigned reg, const uint8_t digest[TEE_DIGEST], struct err *e)
{
	struct digest before = { .len = TEE_DIGEST }, after;
	int r = fake_tee_extend(ctx, reg, digest, e);

	if (r < 0)
		return r;
	get_rtmr(reg, before.b);
	r = eventlog_extended(&after, HASH_SHA384, &before, (struct view){ digest, TEE_DIGEST }, e);
	if (r == 0)
		put_rtmr(reg, after.b);
	return r;
}

static void quote_files(struct fake_tee *f)
{
	for (unsigned i = 0; i < TEE_RTMRS; i++)
		get_rtmr(i, f->report + AT_RTMR0 + i * TEE_DIGEST);
}

static struct fake_tee *device_with_registers(struct attester_env *env)
{
	const uint8_t zero[TEE_DIGEST] = { 0 };
	struct fake_tee *f = device(env);

	for (unsigned i = 0; i < TEE_RTMRS; i++)
		put_rtmr(i, zero);
	env->tee.extend = extend_file;
	f->before = quote_files;
	return f;
}

static void measure(const struct attester_env *env, const uint64_t *reg, const char *content)
{
	const struct eventlog_config config = { .enabled = true };
	cleanup_eventlog struct eventlog *log = NULL;
	enum eventlog_result result = EVENTLOG_NOT_ENABLED;
	struct err e;

	if (eventlog_open(&log, root, tdx(), env, &config, &e) < 0 ||
	    eventlog_extend(log, view_str("domain"), view_str("operation"), view_str(content), reg,
			    &result, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s", e.msg);
	CHECK_INT(result, EVENTLOG_OK);
}

/* What the daemon's own log measures is what the evidence of the same guest carries. */
TEST(tdx_evidence__events_of_our_own__are_in_it_and_replay)
{
	static const uint64_t regs[] = { 17, 1, 7, 2, 8, 15, 0, 23 };
	static const unsigned index[] = { 4, 1, 1, 2, 3, 3, 4, 4, 4 };
	struct attester_env env;
	struct fake_tee *f = device_with_registers(&env);
	struct tcg2_event event;
	struct tcg2_log log;
	size_t at, n = 0;

	for (size_t i = 0; i < ARRAY_LEN(regs); i++) {
		measure(&env, &regs[i], "{\"image\":\"x\", \"digest\":\"y\"}");
		CHECK_INT(f->extends, i + 1);
		CHECK_INT(f->reg, index[i] - 1);
	}
	measure(&env, NULL, "the default register");
	CHECK_INT(f->reg, 3);
	{
		cleanup_parts struct parts p = evidence(&env, 48);
		uint8_t rtmr[TEE_RTMRS][TEE_DIGEST];

		CHECK(p.has_log);
		CHECK_INT(f->quotes, 1);
		CHECK_INT(tcg2_open(&log, buf_view(&p.log), TCG2_CCEL, NULL), 0);
		for (unsigned i = 0; i < TEE_RTMRS; i++)
			memcpy(rtmr[i], p.quote.p + AT_RTMR0 + i * TEE_DIGEST, TEE_DIGEST);
		CHECK_INT(cc_eventlog_replays(&log, rtmr, NULL), 0);
		at = log.first;
		while (tcg2_next(&event, &log, &at) == 1)
			CHECK_INT(event.index, index[n++]);
		CHECK_INT(n, ARRAY_LEN(index));
	}
	/* A log that fits is taken, whatever is on its way. */
	fake_file(root, EVENTLOG_WAL, "x", 1);
	{
		cleanup_parts struct parts p = evidence(&env, 48);

		CHECK(p.has_log);
		CHECK_INT(f->quotes, 2);
	}
}

TEST(tdx_evidence__log_that_does_not_fit__is_left_out)
{
	struct attester_env env;
	struct fake_tee *f = device_with_registers(&env);

	measure(&env, NULL, "event");
	f->before = NULL; /* the quote knows nothing of it, and never will */
	{
		cleanup_parts struct parts p = evidence(&env, 48);

		CHECK(!p.has_log);
		/* Tried again, since the registers differ from the quote; not for ever. */
		CHECK_INT(f->quotes, 3);
	}
}

/* An event between the quote and the log: the next quote has it. */
static void stale_once(struct fake_tee *f)
{
	if (f->quotes > 1)
		quote_files(f);
}

TEST(tdx_evidence__event_after_the_quote__a_second_quote_fits)
{
	struct attester_env env;
	struct fake_tee *f = device_with_registers(&env);

	measure(&env, NULL, "event");
	f->before = stale_once;
	{
		cleanup_parts struct parts p = evidence(&env, 48);

		CHECK(p.has_log);
		CHECK_INT(f->quotes, 2);
		CHECK_INT(p.quote.p[AT_DATA], 0xa0);
	}
}

/* The event is in the register and not yet in the log: its write-ahead file tells. */
static void end_event(struct fake_tee *f)
{
	cleanup_free char *wal = fs_join(root, EVENTLOG_WAL), *log = fs_join(root, EVENTLOG_FILE),
			  *held = fs_join(root, "/held");

	if (f->quotes > 1) {
		(void)unlink(wal);
		CHECK_INT(rename(held, log), 0);
	}
	quote_files(f);
}

TEST(tdx_evidence__event_on_its_way__is_waited_for)
{
	struct attester_env env;
	struct fake_tee *f = device_with_registers(&env);

	measure(&env, NULL, "event");
	{
		cleanup_free char *log = fs_join(root, EVENTLOG_FILE), *held = fs_join(root, "/held");

		CHECK_INT(rename(log, held), 0);
	}
	fake_file(root, EVENTLOG_WAL, "x", 1);
	f->before = end_event;
	{
		cleanup_parts struct parts p = evidence(&env, 48);

		CHECK(p.has_log);
		CHECK_INT(f->quotes, 2);
	}
}

TEST(tdx_evidence__log_too_large_for_it__is_left_out)
{
	cleanup_free char *content = malloc(EVENTLOG_CONTENT_MAX + 1);
	struct attester_env env;

	(void)device_with_registers(&env);
	for (size_t i = 0; i < EVENTLOG_CONTENT_MAX; i++)
		content[i] = 'x';
	content[EVENTLOG_CONTENT_MAX] = '\0';
	for (unsigned i = 0; i < 12; i++) {
		cleanup_parts struct parts p = { 0 };

		measure(&env, NULL, content);
		p = evidence(&env, 48);
		CHECK_INT(p.has_log, i < 10);
	}
}

/* --- registers ------------------------------------------------------------------------------- */

TEST(tdx_log_index__each_pcr__as_firmware_maps_it)
{
	for (unsigned reg = 0; reg < 32; reg++) {
		unsigned want = reg == 1 || reg == 7 ? 1 :
				reg >= 2 && reg <= 6 ? 2 :
				reg >= 8 && reg <= 15 ? 3 :
							4;

		CHECK_INT(tdx()->log_index(reg), want);
	}
	CHECK_INT(tdx()->log_hash, HASH_SHA384);
	CHECK_INT(tdx()->log_register, 17);
	CHECK(!tdx()->bind && !tdx()->text_needs_sha256);
}

TEST(tdx_extend__each_fault__says_so)
{
	struct attester_env env;
	struct fake_tee *f = device(&env);
	struct digest d = { .len = TEE_DIGEST }, out = { .len = 77 };
	struct err e;

	d.b[5] = 9;
	CHECK_INT(tdx()->extend(&env, 2, digest_view(&d), &e), 0);
	CHECK(f->reg == 1 && memcmp(f->digest, d.b, TEE_DIGEST) == 0);
	CHECK_ERR(tdx()->extend(&env, 2, (struct view){ d.b, 32 }, &e), ERR_INTERNAL, e, "32 bytes");
	f->fails = CODE_TEE_ACCESS;
	CHECK_ERR(tdx()->extend(&env, 2, digest_view(&d), &e), ERR_DEVICE, e, "said no");
	env.tee.extend = NULL;
	CHECK_ERR(tdx()->extend(&env, 2, digest_view(&d), &e), ERR_NOTFOUND, e, "nobody");
	CHECK_INT(f->extends, 2);
	/* A kernel without the files. */
	CHECK_INT(tdx()->read_register(&env, 17, &out, &e), -ERR_UNSUPPORTED);
	CHECK_INT(e.code, CODE_EVENTLOG_REGISTER);
	CHECK_INT(out.len, 77);
	put_rtmr(3, d.b);
	CHECK_INT(tdx()->read_register(&env, 17, &out, &e), 0);
	CHECK(out.len == TEE_DIGEST && out.b[5] == 9);
}

/* --- initdata -------------------------------------------------------------------------------- */

TEST(tdx_binding__mrconfigid__is_the_digest_padded_or_cut_to_48)
{
	static const struct {
		size_t digest, set;
		enum binding want;
	} rows[] = {
		{ 48, 48, BINDING_MATCHES }, { 64, 48, BINDING_MATCHES }, { 32, 32, BINDING_MATCHES },
		{ 48, 47, BINDING_OTHER },   { 32, 33, BINDING_OTHER },	  { 48, 0, BINDING_EMPTY },
		{ 0, 1, BINDING_OTHER },
	};
	struct attester_env env;
	struct fake_tee *f = device(&env);
	uint8_t digest[64];
	struct err e;

	for (size_t j = 0; j < sizeof digest; j++)
		digest[j] = (uint8_t)(j + 1);
	for (int from_files = 0; from_files < 2; from_files++)
		for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
			uint8_t id[TEE_DIGEST] = { 0 };
			enum binding b = 77;

			memcpy(id, digest, rows[i].set);
			if (from_files)
				fake_file(root, TDX_MEASUREMENTS_DIR "/mrconfigid", id, sizeof id);
			else
				memcpy(f->report + AT_CONFIG_ID, id, sizeof id);
			CHECK_INT(tdx()->binding(&env, (struct view){ digest, rows[i].digest }, &b,
						 &e),
				  0);
			CHECK_INT(b, rows[i].want);
		}
	CHECK_INT(f->quotes, ARRAY_LEN(rows)); /* none where the kernel has files */
}

TEST(tdx_binding__register_unreadable__says_nothing)
{
	struct attester_env env;
	struct fake_tee *f = device(&env);
	enum binding b = 77;
	struct err e;

	f->report[AT_ATTRIBUTES] |= 1;
	CHECK_ERR(tdx()->binding(&env, view_str("x"), &b, &e), ERR_DENIED, e, "debug bit");
	f->fails = CODE_TEE_BUSY;
	CHECK_ERR(tdx()->binding(&env, view_str("x"), &b, &e), ERR_DEVICE, e, "said no");
	/* A file of another size is a fault of its own, and no reason to ask elsewhere. */
	fake_file(root, TDX_MEASUREMENTS_DIR "/mrconfigid", "short", 5);
	f->fails = CODE_OK;
	CHECK_INT(tdx()->binding(&env, view_str("x"), &b, &e), -ERR_FORMAT);
	CHECK_INT(e.code, CODE_TEE_REPLY);
	CHECK_INT(b, 77);
}

TEST(tdx_detect__device_or_sysfs)
{
	struct attester_env env;

	(void)device(&env);
	CHECK(!tdx()->detect(&env));
	fake_file(root, "/sys/devices/virtual/misc/tdx_guest/uevent", "", 0);
	CHECK(tdx()->detect(&env));
	CHECK(attester_detect(&env) == tdx());
}

TEST(tdx_detect__device_alone)
{
	struct attester_env env;

	(void)device(&env);
	fake_file(root, TDX_GUEST_DEVICE, "", 0);
	CHECK(tdx()->detect(&env));
}
