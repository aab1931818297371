/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/clock.h"
#include "attester/attester.h"
#include "test/unit/attester/fake_tpm.h"

#include <sys/ioctl.h>

/* The same, over swtpm, is in test/integration/tpm. */

static struct tpm *open_fake(const struct fake_tpm *f)
{
	struct tpm *t = NULL;
	char where[64];
	struct err e;

	snprintf(where, sizeof where, "swtpm:127.0.0.1:%u", f->port);
	if (tpm_open(&t, where, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s", e.msg);
	tpm_set_wait(t, 3000);
	return t;
}

static int quote(struct tpm *t, const struct fake_tpm *f, struct err *e)
{
	cleanup_tpm_quote struct tpm_quote q = { 0 };
	int r = tpm_quote(t, &q, (struct view){ f->vector.report_data, 32 }, e);

	if (r < 0) {
		CHECK(q.message.p == NULL && q.signature.p == NULL && q.ak.p == NULL);
		return r;
	}
	CHECK(view_eq(buf_view(&q.message), buf_view(&f->vector.quote.message)));
	CHECK(view_eq(buf_view(&q.signature), buf_view(&f->vector.quote.signature)));
	CHECK(view_eq(buf_view(&q.ak), buf_view(&f->vector.quote.ak)));
	CHECK(memcmp(q.pcrs, f->vector.quote.pcrs, sizeof q.pcrs) == 0);
	return r;
}

TEST(tpm_quote__good_tpm__gives_what_it_said)
{
	struct fake_tpm *f = fake_tpm_start();
	cleanup_tpm struct tpm *t = open_fake(f);

	CHECK_INT(quote(t, f, NULL), 0);
	CHECK_INT(f->quotes, 1);
	CHECK_INT(f->reads, 3);
	/* One for the key, one quote, three readings; bench counts on no more. */
	CHECK_INT(f->commands, 5);
}

TEST(tpm__evidence__is_the_recorded_text)
{
	struct fake_tpm *f = fake_tpm_start();
	cleanup_tpm struct tpm *t = open_fake(f);
	struct attester_env env = { .root_fd = -1, .tpm = t, .initdata_pcr = 8 };
	cleanup_free char *json = NULL;

	CHECK(strcmp(attester_detect(&env)->name, "tpm") == 0);
	/* All 48 bytes of the report data: the quote has the first 32. */
	CHECK_INT(attester_by_name("tpm")->evidence(
			  &env, (struct view){ f->vector.report_data, 48 }, &json, NULL),
		  0);
	CHECK(strcmp(json, f->vector.text) == 0);
}

TEST(tpm_quote__a_pcr_moves_for_a_while__is_asked_again)
{
	struct fake_tpm *f = fake_tpm_start();
	cleanup_tpm struct tpm *t = open_fake(f);

	f->moves = 4;
	CHECK_INT(quote(t, f, NULL), 0);
	CHECK_INT(f->quotes, 5);
}

TEST(tpm_quote__a_pcr_always_moves__is_an_error_after_five)
{
	struct fake_tpm *f = fake_tpm_start();
	cleanup_tpm struct tpm *t = open_fake(f);
	struct err e;

	f->moves = 1000;
	CHECK_ERR(quote(t, f, &e), ERR_DEVICE, e, "during each of 5 quotes");
	CHECK_INT(e.code, CODE_TPM_PCR_MOVED);
	CHECK_INT(f->quotes, 5);
}

TEST(tpm_quote__another_nonce_in_the_answer__is_a_bad_reply)
{
	struct fake_tpm *f = fake_tpm_start();
	cleanup_tpm struct tpm *t = open_fake(f);
	cleanup_tpm_quote struct tpm_quote q = { 0 };
	uint8_t nonce[32] = { 1 };
	struct err e;

	CHECK_ERR(tpm_quote(t, &q, (struct view){ nonce, 32 }, &e), ERR_FORMAT, e, "not the nonce");
	CHECK_INT(e.code, CODE_TPM_REPLY);
}

TEST(tpm_quote__nonce_of_wrong_size__is_refused_before_any_command)
{
	struct fake_tpm *f = fake_tpm_start();
	cleanup_tpm struct tpm *t = open_fake(f);
	cleanup_tpm_quote struct tpm_quote q = { 0 };
	uint8_t nonce[65] = { 1 };
	struct err e;

	CHECK_ERR(tpm_quote(t, &q, (struct view){ nonce, 65 }, &e), ERR_USAGE, e, "65 bytes");
	CHECK_ERR(tpm_quote(t, &q, (struct view){ nonce, 0 }, &e), ERR_USAGE, e, "0 bytes");
	CHECK_INT(f->commands, 0);
}

TEST(tpm_quote__signature_not_by_the_ak__is_a_bad_reply)
{
	struct fake_tpm *f = fake_tpm_start();
	cleanup_tpm struct tpm *t = open_fake(f);
	struct err e;

	f->bad_block = true;
	CHECK_ERR(quote(t, f, &e), ERR_FORMAT, e, "not signed by the AK");
	CHECK_INT(e.code, CODE_TPM_REPLY);
	f->bad_signature = true;
	CHECK_ERR(quote(t, f, &e), ERR_FORMAT, e, "hash 000c");
	CHECK_INT(e.code, CODE_TPM_REPLY);
}

/* One byte of an answer changed, whichever it is: no evidence, and few words for it. */
static void each_byte(uint32_t command, size_t from, size_t end, bool of_pcrs)
{
	static const uint8_t changes[] = { 0x01, 0x80 };
	struct fake_tpm *f = fake_tpm_start();
	cleanup_tpm struct tpm *t = open_fake(f);

	f->patch_cc = command;
	for (size_t at = from; at < end; at++)
		for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
			struct err e = { 0 };
			int r;

			f->patch_at = (unsigned)at;
			f->patch_xor = changes[i];
			r = quote(t, f, &e);
			f->patch_xor = 0;
			if (r >= 0)
				test_fail(__FILE__, __LINE__, "byte %zu of %x does not count", at, command);
			if (e.code != CODE_TPM_REPLY &&
			    !(of_pcrs && (e.code == CODE_TPM_PCR_MOVED || e.code == CODE_TPM_NO_BANK)))
				test_fail(__FILE__, __LINE__, "byte %zu of %x: %s: %s", at, command,
					  err_name(&e), e.msg);
		}
	CHECK_INT(quote(t, f, NULL), 0);
}

TEST(tpm_quote__each_byte_of_the_quote_changed__is_a_bad_reply)
{
	each_byte(CC_QUOTE, 0, 2 + 145 + 262, false);
}

/* Behind the update counter: selection, and eight digests with their sizes. */
TEST(tpm_quote__each_byte_of_the_pcrs_changed__never_becomes_evidence)
{
	each_byte(CC_PCR_READ, 4, 4 + 10 + 4 + 8 * 34, true);
}

TEST(tpm_pcr_read__one_wrong_field__is_a_bad_reply)
{
	static const struct {
		unsigned at, change;
		enum err_code want;
		const char *words;
	} rows[] = {
		{ 7, 1, CODE_TPM_REPLY, "TPM2_PCR_Read" },        /* no selection */
		{ 7, 1 | 16, CODE_TPM_REPLY, "TPM2_PCR_Read" },   /* 16 of them */
		{ 7, 1 | 32, CODE_TPM_REPLY, "TPM2_PCR_Read" },   /* more than a reply has */
		{ 9, 0x0b ^ 0x0c, CODE_TPM_REPLY, "do not fit" }, /* the SHA-384 bank */
		{ 10, 3 ^ 4, CODE_TPM_REPLY, "TPM2_PCR_Read" },   /* size of the mask */
		{ 10, 3 ^ 5, CODE_TPM_REPLY, "TPM2_PCR_Read" },
		{ 12, 1, CODE_TPM_REPLY, "do not fit" }, /* PCR 8 was not given as well */
		{ 12, 1 ^ 3, CODE_TPM_REPLY, "do not fit" }, /* one that nobody asked for besides */
		{ 12, 1 ^ 2, CODE_TPM_REPLY, "do not fit" }, /* that one alone */
		{ 17, 1, CODE_TPM_NO_BANK, "no PCRs" },
		{ 17, 1 ^ 2, CODE_TPM_REPLY, "TPM2_PCR_Read" },
		{ 17, 1 ^ 9, CODE_TPM_REPLY, "TPM2_PCR_Read" },
		{ 19, 32 ^ 20, CODE_TPM_REPLY, "do not fit" },
		{ 19, 32 ^ 31, CODE_TPM_REPLY, "do not fit" },
	};
	struct fake_tpm *f = fake_tpm_start();
	cleanup_tpm struct tpm *t = open_fake(f);

	f->patch_cc = CC_PCR_READ;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t pcr[32] = { 0x77 };
		struct err e = { 0 };
		int r;

		f->patch_at = rows[i].at;
		f->patch_xor = rows[i].change;
		r = tpm_pcr_read(t, 8, pcr, &e);
		f->patch_xor = 0;
		if (r >= 0 || e.code != rows[i].want || !strstr(e.msg, rows[i].words))
			test_fail(__FILE__, __LINE__, "row %zu: %d %s: %s", i, r, err_name(&e), e.msg);
		CHECK_INT(pcr[0], 0x77);
	}
}

/* The key at the handle, of which one thing is not an AK's. Keys that tools make: test/integration/tpm. */
TEST(tpm_ak_public__one_wrong_field__is_a_bad_ak)
{
	static const struct {
		unsigned at;
		uint8_t change;
		const char *words;
	} rows[] = {
		{ 5, 0x04, "not a signing key" }, /* attributes: sign */
		{ 5, 0x02, "not a signing key" }, /* decrypt */
		{ 5, 0x01, "not restricted" },
		{ 13, 0x14 ^ 0x16, "RSASSA/SHA-256" }, /* scheme: RSAPSS */
		{ 15, 0x0b ^ 0x0c, "RSASSA/SHA-256" }, /* hash: SHA-384 */
		{ 16, 0x08 ^ 0x04, "shorter than 2048 bits" },
		{ 21, 0x02, "exponent" }, /* even */
		{ 22, 0x01, "modulus" },  /* of no bytes */
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fake_tpm *f = fake_tpm_start();
		cleanup_tpm struct tpm *t = open_fake(f);
		cleanup_buf struct buf der = BUF_MAX(TPM_SPKI_MAX);
		struct err e = { 0 };
		uint8_t bytes[512];
		size_t n = strlen(vector_text(f->vector.doc, "public")) / 2;
		int r;

		vector_hex(bytes, n, f->vector.doc, "public");
		bytes[2 + rows[i].at] ^= rows[i].change;
		f->public = BUF_MAX(512);
		buf_put(&f->public, bytes + 2, rows[i].at == 22 ? 24 : n - 2);
		r = FAKE_SYNCED(tpm_ak_public(t, &der, &e));
		if (r >= 0 || e.code != CODE_TPM_BAD_AK || !strstr(e.msg, rows[i].words))
			test_fail(__FILE__, __LINE__, "row %zu: %d %s: %s", i, r, err_name(&e), e.msg);
		CHECK_INT(der.len, 0);
	}
}

TEST(tpm__answers_by_code__become_ours)
{
	static const struct {
		uint32_t command, answer;
		enum err_code want;
		const char *words;
	} rows[] = {
		{ CC_READ_PUBLIC, 0x18b, CODE_TPM_NO_AK, "no key at 81010002" },
		{ CC_QUOTE, 0x9a2, CODE_TPM_BAD_AK, "password or policy" },
		{ CC_QUOTE, 0x98e, CODE_TPM_BAD_AK, "password or policy" },
		{ CC_QUOTE, 0x12f, CODE_TPM_BAD_AK, "password or policy" },
		{ CC_QUOTE, 0x922, CODE_TPM_BUSY, "TPM2_Quote: TSS2_RC 0x922" },
		{ CC_QUOTE, 0x908, CODE_TPM_BUSY, "0x908" },
		{ CC_READ_PUBLIC, 0x902, CODE_TPM_BUSY, "out of memory for object contexts" },
		{ CC_QUOTE, 0x903, CODE_TPM_BUSY, "session" },
		{ CC_QUOTE, 0x921, CODE_TPM_LOCKOUT, "TPM2_Quote: TSS2_RC 0x921" },
		{ CC_READ_PUBLIC, 0x100, CODE_TPM_FAILED,
		  "TPM2_ReadPublic: TSS2_RC 0x100: tpm:error" },
		{ CC_PCR_READ, 0x101, CODE_TPM_FAILED, "TPM2_PCR_Read: TSS2_RC 0x101" },
		/* The same base as a missing handle, but a parameter's error. */
		{ CC_READ_PUBLIC, 0x1c4, CODE_TPM_FAILED, "0x1c4" },
	};
	struct fake_tpm *f = fake_tpm_start();
	cleanup_tpm struct tpm *t = open_fake(f);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = { 0 };
		int r;

		f->answer[rows[i].command & 511] = rows[i].answer;
		r = quote(t, f, &e);
		f->answer[rows[i].command & 511] = 0;
		CHECK_ERR(r, err_entry(rows[i].want)->kind, e, rows[i].words);
		CHECK_INT(e.code, rows[i].want);
		CHECK(strstr(e.msg, "swtpm:127.0.0.1:") != NULL);
		if (e.code == CODE_TPM_FAILED || e.code == CODE_TPM_BUSY)
			CHECK_INT(e.sys, rows[i].answer);
		/* It goes on where the TPM does. */
		CHECK_INT(quote(t, f, &e), 0);
	}
}

TEST(tpm__retry_for_a_while__is_waited_for)
{
	struct fake_tpm *f = fake_tpm_start();
	cleanup_tpm struct tpm *t = open_fake(f);

	f->answer[CC_QUOTE & 511] = 0x922;
	f->answer_times = 7;
	CHECK_INT(quote(t, f, NULL), 0);
}

TEST(tpm__no_sha256_bank__is_named)
{
	struct fake_tpm *f = fake_tpm_start();
	cleanup_tpm struct tpm *t = open_fake(f);
	uint8_t pcr[32] = { 0x77 };
	struct err e;

	f->no_bank = true;
	CHECK_ERR(tpm_pcr_read(t, 8, pcr, &e), ERR_UNSUPPORTED, e, "SHA-256 bank");
	CHECK_INT(e.code, CODE_TPM_NO_BANK);
	CHECK_INT(pcr[0], 0x77);
	CHECK_ERR(quote(t, f, &e), ERR_UNSUPPORTED, e, "SHA-256 bank");
	/* A TPM would take this extend and do nothing. */
	CHECK_ERR(tpm_pcr_extend(t, 8, pcr, &e), ERR_UNSUPPORTED, e, "SHA-256 bank");
	CHECK_INT(f->extends, 0);
}

TEST(tpm_pcr__number_out_of_range__is_refused)
{
	struct fake_tpm *f = fake_tpm_start();
	cleanup_tpm struct tpm *t = open_fake(f);
	uint8_t pcr[32];
	struct err e;

	CHECK_ERR(tpm_pcr_read(t, 24, pcr, &e), ERR_USAGE, e, "PCR 24, allowed 0..23");
	CHECK_ERR(tpm_pcr_extend(t, 24, pcr, &e), ERR_USAGE, e, "PCR 24");
	CHECK_INT(f->commands, 0);
}

TEST(tpm__bind_with_a_register_that_does_not_follow__is_in_use)
{
	struct fake_tpm *f = fake_tpm_start();
	cleanup_tpm struct tpm *t = open_fake(f);
	const struct attester *tpm = attester_by_name("tpm");
	struct attester_env env = { .root_fd = -1, .tpm = t, .initdata_pcr = 8 };
	uint8_t digest[32];
	enum binding b = BINDING_OTHER;
	struct err e;

	vector_hex(digest, 32, f->vector.doc, "initdata_digest");
	CHECK_INT(tpm->binding(&env, (struct view){ digest, 32 }, &b, NULL), 0);
	CHECK_INT(b, BINDING_MATCHES);
	/* The fake's PCR 8 always holds the bound value: as if the extend had just led to it. */
	CHECK_INT(tpm->bind(&env, (struct view){ digest, 32 }, NULL), 0);
	CHECK_INT(f->extends, 1);
	env.initdata_pcr = 9;
	CHECK_ERR(tpm->bind(&env, (struct view){ digest, 32 }, &e), ERR_VERIFY, e, "PCR 9");
	CHECK_INT(e.code, CODE_INITDATA_PCR8_IN_USE);
}

TEST(tpm__event_in_a_register_that_is_not_for_events__names_the_register)
{
	struct fake_tpm *f = fake_tpm_start();
	cleanup_tpm struct tpm *t = open_fake(f);
	const struct attester *tpm = attester_by_name("tpm");
	struct attester_env env = { .root_fd = -1, .tpm = t, .initdata_pcr = 9 };
	struct digest d = { .len = 32 }, value = { .len = 77 };
	struct err e;

	CHECK_ERR(tpm->extend(&env, 9, digest_view(&d), &e), ERR_UNSUPPORTED, e,
		  "PCR 9 has the initdata");
	CHECK_ERR(tpm->read_register(&env, 9, &value, &e), ERR_UNSUPPORTED, e, "PCR 9");
	CHECK_ERR(tpm->extend(&env, 24, digest_view(&d), &e), ERR_UNSUPPORTED, e,
		  "PCR 24, allowed 0..23");
	CHECK_INT(e.code, CODE_EVENTLOG_REGISTER);
	CHECK_INT(f->commands, 0);
	CHECK_INT(value.len, 77);
	f->answer[CC_PCR_EXTEND & 511] = 0x907;
	CHECK_ERR(tpm->extend(&env, 17, digest_view(&d), &e), ERR_UNSUPPORTED, e, "locality 0");
	CHECK_INT(e.code, CODE_EVENTLOG_REGISTER);
	f->answer[CC_PCR_EXTEND & 511] = 0x101;
	CHECK_ERR(tpm->extend(&env, 15, digest_view(&d), &e), ERR_DEVICE, e, "TPM2_PCR_Extend");
	CHECK_INT(tpm->extend(&env, 15, digest_view(&d), NULL), -ERR_DEVICE);
	f->answer[CC_PCR_EXTEND & 511] = 0;
	CHECK_INT(tpm->extend(&env, 15, digest_view(&d), NULL), 0);
	CHECK_INT(tpm->read_register(&env, 15, &value, NULL), 0);
	CHECK(view_eq(digest_view(&value), (struct view){ f->vector.quote.pcrs[15], 32 }));
}

static void put(int fd, const char *bytes, size_t n)
{
	CHECK(write(fd, bytes, n) == (ssize_t)n);
}

static void never(int fd)
{
	char c;

	(void)recv(fd, &c, 1, 0);
}

static void hang_up(int fd)
{
	(void)shutdown(fd, SHUT_RDWR);
}

static void half(int fd)
{
	put(fd, "\x80\x01\x00\x00\x00\x20\x00\x00", 8);
	(void)shutdown(fd, SHUT_RDWR);
}

static void huge(int fd)
{
	put(fd, "\x80\x01\x00\x00\x10\x01\x00\x00\x00\x00", 10);
}

static void short_size(int fd)
{
	put(fd, "\x80\x01\x00\x00\x00\x09\x00\x00\x00\x00", 10);
}

static void nonsense(int fd)
{
	put(fd, "HTTP/1.1 400 Bad Request\r\n", 26);
}

/* Success, and parameters that end early: libtss2 reads on in its own buffer. */
static void cut_parameters(int fd)
{
	put(fd, "\x80\x01\x00\x00\x00\x0c\x00\x00\x00\x00\x01\x18", 12);
}

TEST(tpm__malformed_or_missing_replies__are_named_and_do_not_last)
{
	static const struct {
		void (*raw)(int fd);
		enum err_code want;
		const char *words;
	} rows[] = {
		{ never, CODE_TPM_TIMEOUT, "TPM2_ReadPublic: does not answer" },
		{ hang_up, CODE_TPM_FAILED, "closed the connection" },
		{ half, CODE_TPM_FAILED, "closed the connection" },
		{ huge, CODE_TPM_REPLY, "reply of 4097 bytes, allowed 10..4096" },
		{ short_size, CODE_TPM_REPLY, "reply of 9 bytes" },
		{ nonsense, CODE_TPM_REPLY, "reply of" },
		{ cut_parameters, CODE_TPM_BAD_AK, "not an RSA key" },
	};
	struct fake_tpm *f = fake_tpm_start();
	cleanup_tpm struct tpm *t = open_fake(f);

	tpm_set_wait(t, 400);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct deadline d = deadline_in(2000);
		struct err e = { 0 };
		int r;

		f->raw = rows[i].raw;
		r = quote(t, f, &e);
		f->raw = NULL;
		CHECK_ERR(r, err_entry(rows[i].want)->kind, e, rows[i].words);
		CHECK_INT(e.code, rows[i].want);
		CHECK(deadline_left_ms(d) > 0);
		CHECK(strstr(e.msg, "swtpm:127.0.0.1:") != NULL);
		CHECK_INT(quote(t, f, &e), 0);
	}
}

TEST(tpm__between_operations__the_swtpm_is_free_for_others)
{
	struct fake_tpm *f = fake_tpm_start();
	cleanup_tpm struct tpm *a = open_fake(f), *b = open_fake(f);

	CHECK_INT(quote(a, f, NULL), 0);
	CHECK_INT(quote(b, f, NULL), 0);
	CHECK_INT(quote(a, f, NULL), 0);
}

TEST(tpm__swtpm_went_away__is_none_and_found_again)
{
	struct fake_tpm *f = fake_tpm_start();
	cleanup_tpm struct tpm *t = open_fake(f);
	struct err e;

	CHECK_INT(quote(t, f, NULL), 0);
	CHECK_INT(shutdown(f->listener, SHUT_RDWR), 0);
	CHECK_ERR(quote(t, f, &e), ERR_NOTFOUND, e, "swtpm:127.0.0.1:");
	CHECK_INT(e.code, CODE_TPM_NONE);
}

TEST(tpm_device__late_reply__is_dropped_and_the_device_used_again)
{
	char where[64];
	struct fake_tpm *f = fake_tpm_start_device(where);
	cleanup_tpm struct tpm *t = NULL;
	struct err e;

	CHECK_INT(tpm_open(&t, where, NULL), 0);
	tpm_set_wait(t, 300);
	CHECK_INT(quote(t, f, NULL), 0);
	f->hold = true;
	CHECK_ERR(quote(t, f, &e), ERR_TIMEOUT, e, "TPM2_ReadPublic: does not answer");
	CHECK_INT(e.code, CODE_TPM_TIMEOUT);
	CHECK(strstr(e.msg, "/dev/pts/") != NULL);
	CHECK_ERR(quote(t, f, &e), ERR_TIMEOUT, e, "does not answer");
	f->hold = false;
	CHECK_INT(quote(t, f, NULL), 0);
	/* 5 each, and the one that was late; none was sent while it was awaited. */
	CHECK_INT(f->commands, 5 + 1 + 5);
}

TEST(tpm_device__bad_reply__is_opened_anew)
{
	char where[64];
	struct fake_tpm *f = fake_tpm_start_device(where);
	cleanup_tpm struct tpm *t = NULL;
	struct err e;

	CHECK_INT(tpm_open(&t, where, NULL), 0);
	tpm_set_wait(t, 2000);
	f->raw = short_size;
	CHECK_ERR(quote(t, f, &e), ERR_FORMAT, e, "reply of 9 bytes");
	f->raw = NULL;
	CHECK_INT(quote(t, f, NULL), 0);
	/* A code of the TPM is no reason to. */
	f->answer[CC_QUOTE & 511] = 0x921;
	CHECK_INT(quote(t, f, NULL), -ERR_DEVICE);
	f->answer[CC_QUOTE & 511] = 0;
	CHECK_INT(quote(t, f, NULL), 0);
}

static void *release(void *slave)
{
	(void)poll(NULL, 0, 100);
	CHECK(ioctl(*(int *)slave, TIOCNXCL) == 0);
	return NULL;
}

/* As /dev/tpm0, which admits one program at a time. */
TEST(tpm_device__held_by_another__is_waited_for_and_then_busy)
{
	char where[64];
	cleanup_tpm struct tpm *t = NULL;
	cleanup_close int slave = -1;
	pthread_t thread;
	struct err e;

	/* Root may open it all the same. */
	if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
		test_skip("cannot become another user");
	(void)fake_tpm_start_device(where);
	slave = open(where, O_RDWR | O_NOCTTY | O_CLOEXEC);
	CHECK(slave >= 0 && ioctl(slave, TIOCEXCL) == 0);
	CHECK_ERR(tpm_open(&t, where, &e), ERR_DEVICE, e, "Device or resource busy");
	CHECK_INT(e.code, CODE_TPM_BUSY);
	CHECK(t == NULL);
	CHECK_INT(pthread_create(&thread, NULL, release, &slave), 0);
	CHECK_INT(tpm_open(&t, where, NULL), 0);
	CHECK_INT(pthread_join(thread, NULL), 0);
}

struct user {
	struct tpm *t;
	const struct fake_tpm *f;
	int failed;
};

static void *quote_often(void *arg)
{
	struct user *u = arg;

	for (int i = 0; i < 10; i++)
		if (quote(u->t, u->f, NULL) < 0)
			u->failed++;
	return NULL;
}

TEST(tpm__several_threads__take_turns)
{
	struct fake_tpm *f = fake_tpm_start();
	cleanup_tpm struct tpm *t = open_fake(f);
	struct user users[4];
	pthread_t threads[4];

	for (size_t i = 0; i < ARRAY_LEN(users); i++) {
		users[i] = (struct user){ t, f, 0 };
		CHECK_INT(pthread_create(&threads[i], NULL, quote_often, &users[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(users); i++) {
		CHECK_INT(pthread_join(threads[i], NULL), 0);
		CHECK_INT(users[i].failed, 0);
	}
	CHECK_INT(f->quotes, 40);
}
