/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_ATTESTER_VECTOR_H
#define TEST_ATTESTER_VECTOR_H

#include "agent/base/enc.h"
#include "agent/base/fs.h"
#include "agent/base/json.h"
#include "attester/tpm.h"
#include "test/test.h"

/* A JSON file of test vectors, whole. */
static inline struct json *vector_json(const char *path)
{
	cleanup_buf struct buf text = BUF_MAX(1u << 20);
	struct json *doc = NULL;
	struct err e;

	if (fs_read(&text, path, 1u << 20, &e) < 0 ||
	    json_parse(&doc, buf_view(&text), 1u << 20, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s: %s", path, e.msg);
	return doc;
}

static inline const char *vector_text(const struct json *doc, const char *key)
{
	const char *s = json_string(json_get(doc, key));

	if (!s)
		test_fail(__FILE__, __LINE__, "no member %s", key);
	return s;
}

/* A hex member, exactly n bytes. */
static inline void vector_hex(uint8_t *out, size_t n, const struct json *doc, const char *key)
{
	CHECK_INT(enc_hex_decode(out, n, view_str(vector_text(doc, key)), NULL), 0);
}

/* tpm evidence, taken apart into what a TPM gives. */
static inline struct tpm_quote vector_quote(const struct json *evidence)
{
	struct tpm_quote q = { .message = BUF_MAX(TPM_ATTEST_MAX),
			       .signature = BUF_MAX(TPM_SIG_MAX),
			       .ak = BUF_MAX(TPM_SPKI_MAX) };
	const struct json *quote = json_get(evidence, "tpm_quote");
	const struct json *pcr = json_first(json_get(quote, "pcrs"));

	CHECK_INT(enc_base64_decode(&q.message, ENC_B64, view_str(vector_text(quote, "message")),
				    NULL),
		  0);
	CHECK_INT(enc_base64_decode(&q.signature, ENC_B64,
				    view_str(vector_text(quote, "signature")), NULL),
		  0);
	CHECK_INT(enc_base64_decode(&q.ak, ENC_B64, view_str(vector_text(evidence, "ak_public")),
				    NULL),
		  0);
	for (unsigned i = 0; i < TPM_PCRS; i++, pcr = json_next(pcr)) {
		CHECK(json_string(pcr) != NULL);
		CHECK_INT(enc_hex_decode(q.pcrs[i], 32, view_str(json_string(pcr)), NULL), 0);
	}
	CHECK(pcr == NULL);
	return q;
}

/* Our own recorded quote; its origin is in the file. */
struct recorded {
	struct json *doc;
	struct json *evidence;
	const char *text; /* the evidence as it was printed */
	struct tpm_quote quote;
	uint8_t report_data[48];
};

static inline struct recorded recorded_quote(void)
{
	struct recorded r = { .doc = vector_json(test_vector("attester/quote.json")) };

	r.text = vector_text(r.doc, "evidence");
	CHECK_INT(json_parse(&r.evidence, view_str(r.text), 65536, NULL), 0);
	r.quote = vector_quote(r.evidence);
	vector_hex(r.report_data, sizeof r.report_data, r.doc, "report_data");
	return r;
}

static inline void recorded_done(struct recorded *r)
{
	tpm_quote_done(&r->quote);
	json_free(r->evidence);
	json_free(r->doc);
}

#define cleanup_recorded __attribute__((cleanup(recorded_done)))

#endif
