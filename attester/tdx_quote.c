/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/tdx_quote.h"
#include "attester/le.h"

enum {
	HEADER_LEN = 48,
	BODY_10_LEN = 584,
	BODY_15_LEN = 648,
	KEY_P256 = 2,
	TEE_SGX = 0,
	TEE_TDX = 0x81,
	CERT_QE = 6,  /* the QE report with what certifies it */
	CERT_PEM = 5, /* the chain of the PCK */
	QE_REPORT_DATA = SGX_REPORT_LEN - TDX_REPORT_DATA,
};

/* Takes fields off the front; the first that is missing is the error. */
struct reader {
	struct view in;
	size_t at;
};

static int take_bytes(struct view *out, struct reader *r, size_t n, const char *what, struct err *e)
{
	if (n > r->in.len - r->at)
		return err_set(e, ERR_FORMAT,
			       "quote cut short: %s of %zu bytes at %zu, there are %zu", what, n,
			       r->at, r->in.len);
	*out = view_at(r->in, r->at, n);
	r->at += n;
	return 0;
}

static int take_uint(uint32_t *out, struct reader *r, size_t n, const char *what, struct err *e)
{
	struct view v = { 0 };
	int rc = take_bytes(&v, r, n, what, e);

	if (rc == 0)
		*out = n == 2 ? le16(v.p) : le32(v.p);
	return rc;
}

/* Certification data: its type must be want; the rest of the reader becomes exactly its content. */
static int take_certification(struct reader *r, uint32_t want, struct err *e)
{
	uint32_t type = 0, n = 0;
	int rc = take_uint(&type, r, 2, "certification type", e);

	if (rc < 0 || (rc = take_uint(&n, r, 4, "certification size", e)) < 0)
		return rc;
	if (type != want)
		return err_set(e, ERR_UNSUPPORTED, "quote with certification data of type %u, want %u",
			       type, want);
	if (n != r->in.len - r->at)
		return err_set(e, ERR_FORMAT,
			       "quote's certification data of %u bytes where %zu are", n,
			       r->in.len - r->at);
	return 0;
}

/* data is the signature data, whole. */
static int parse_sig(struct quote_sig *out, struct view data, bool wrapped, struct err *e)
{
	struct reader in = { .in = data };
	struct quote_sig s = { 0 };
	uint32_t n = 0;
	int r;

	if ((r = take_bytes(&s.signature, &in, QUOTE_SIG_LEN, "signature", e)) < 0 ||
	    (r = take_bytes(&s.key, &in, QUOTE_KEY_LEN, "attestation key", e)) < 0 ||
	    (wrapped && (r = take_certification(&in, CERT_QE, e)) < 0) ||
	    (r = take_bytes(&s.qe_report, &in, SGX_REPORT_LEN, "QE report", e)) < 0 ||
	    (r = take_bytes(&s.qe_signature, &in, QUOTE_SIG_LEN, "QE signature", e)) < 0 ||
	    (r = take_uint(&n, &in, 2, "authentication data's size", e)) < 0)
		return r;
	if (n > TDX_QUOTE_AUTH_MAX)
		return err_set(e, ERR_LIMIT, "quote's authentication data of %u bytes, allowed %d", n,
			       TDX_QUOTE_AUTH_MAX);
	if ((r = take_bytes(&s.auth, &in, n, "authentication data", e)) < 0 ||
	    (r = take_certification(&in, CERT_PEM, e)) < 0)
		return r;
	s.pem = view_at(data, in.at, data.len - in.at);
	if (s.pem.len > 0 && s.pem.p[s.pem.len - 1] == '\0')
		s.pem.len--;
	if (s.pem.len == 0 || memchr(s.pem.p, '\0', s.pem.len))
		return err_set(e, ERR_FORMAT, "quote's certificate chain is no text");
	s.qe_report_data = view_at(s.qe_report, QE_REPORT_DATA, TDX_REPORT_DATA);
	*out = s;
	return 0;
}

/* The reader stands behind the body: signature data, then nothing or zeros. */
static int parse_rest(struct quote_sig *sig, struct view *raw, struct reader *in, bool wrapped,
		      struct err *e)
{
	struct view data = { 0 };
	uint32_t n = 0;
	int r = take_uint(&n, in, 4, "size of the signature data", e);

	if (r < 0 || (r = take_bytes(&data, in, n, "signature data", e)) < 0)
		return r;
	if (!all_zero(view_at(in->in, in->at, in->in.len - in->at)))
		return err_set(e, ERR_FORMAT, "bytes behind the quote's end at %zu", in->at);
	*raw = view_at(in->in, 0, in->at);
	return parse_sig(sig, data, wrapped, e);
}

struct header {
	uint16_t version, key_type;
	uint32_t tee_type;
};

static int parse_header(struct header *h, struct view raw, struct err *e)
{
	if (raw.len > TDX_QUOTE_MAX)
		return err_set(e, ERR_LIMIT, "quote of %zu bytes, allowed %u", raw.len,
			       TDX_QUOTE_MAX);
	if (raw.len < HEADER_LEN)
		return err_set(e, ERR_FORMAT, "quote of %zu bytes, its header has %d", raw.len,
			       HEADER_LEN);
	*h = (struct header){ le16(raw.p), le16(raw.p + 2), le32(raw.p + 4) };
	if (h->version < 3 || h->version > 5)
		return err_set(e, ERR_UNSUPPORTED, "quote of version %u, known are 3 (SGX), 4 and 5",
			       h->version);
	if (h->key_type != KEY_P256)
		return err_set(e, ERR_UNSUPPORTED,
			       "quote with an attestation key of type %u, want %d (ECDSA P-256)",
			       h->key_type, KEY_P256);
	return 0;
}

static int take_body(struct view *body, enum tdx_body *type, struct reader *in, uint16_t version,
		     struct err *e)
{
	uint32_t t = TDX_BODY_10, size = BODY_10_LEN;
	int r = 0;

	if (version == 5 && ((r = take_uint(&t, in, 2, "body type", e)) < 0 ||
			     (r = take_uint(&size, in, 4, "body size", e)) < 0))
		return r;
	if (t != TDX_BODY_10 && t != TDX_BODY_15)
		return err_set(e, ERR_UNSUPPORTED, "quote with a body of type %u, known are 2 and 3",
			       t);
	if (size != (t == TDX_BODY_15 ? BODY_15_LEN : BODY_10_LEN))
		return err_set(e, ERR_FORMAT, "quote with a body of type %u and %u bytes, want %d", t,
			       size, t == TDX_BODY_15 ? BODY_15_LEN : BODY_10_LEN);
	*type = (enum tdx_body)t;
	return take_bytes(body, in, size, "body", e);
}

static void cut_body(struct tdx_quote *q, struct view b)
{
	q->tee_tcb_svn = view_at(b, 0, 16);
	q->mr_seam = view_at(b, 16, TDX_MR);
	q->mrsigner_seam = view_at(b, 64, TDX_MR);
	q->seam_attributes = le64(b.p + 112);
	q->td.attributes = le64(b.p + 120);
	q->td.xfam = le64(b.p + 128);
	q->td.mr_td = view_at(b, 136, TDX_MR);
	q->td.mr_config_id = view_at(b, 184, TDX_MR);
	q->td.mr_owner = view_at(b, 232, TDX_MR);
	q->td.mr_owner_config = view_at(b, 280, TDX_MR);
	for (size_t i = 0; i < TDX_RTMRS; i++)
		q->td.rtmr[i] = view_at(b, 328 + i * TDX_MR, TDX_MR);
	q->report_data = view_at(b, 520, TDX_REPORT_DATA);
	if (q->body_type == TDX_BODY_15) {
		q->tee_tcb_svn2 = view_at(b, 584, 16);
		q->mr_servicetd = view_at(b, 600, TDX_MR);
	}
}

int tdx_quote_parse(struct tdx_quote *out, struct view raw, struct err *e)
{
	struct reader in = { .in = raw, .at = HEADER_LEN };
	struct tdx_quote q = { 0 };
	struct view body = { 0 };
	struct header h;
	int r = parse_header(&h, raw, e);

	if (r < 0)
		return r;
	if (h.version == 3 || h.tee_type == TEE_SGX)
		return err_set(e, ERR_UNSUPPORTED,
			       "an SGX quote (version %u, TEE type %x), which is an enclave's and no "
			       "guest's",
			       h.version, h.tee_type);
	if (h.tee_type != TEE_TDX)
		return err_set(e, ERR_UNSUPPORTED, "quote of TEE type %x, TDX has %x", h.tee_type,
			       TEE_TDX);
	if (!all_zero(view_at(raw, 8, 4)))
		return err_set(e, ERR_FORMAT, "quote has a byte set in the reserved 4 from 8");
	q.version = h.version;
	q.key_type = h.key_type;
	q.tee_type = h.tee_type;
	q.qe_vendor = view_at(raw, 12, 16);
	q.user_data = view_at(raw, 28, 20);
	r = take_body(&body, &q.body_type, &in, h.version, e);
	if (r < 0)
		return r;
	cut_body(&q, body);
	q.signed_part = view_at(raw, 0, in.at);
	r = parse_rest(&q.sig, &q.raw, &in, true, e);
	if (r < 0)
		return r;
	*out = q;
	return 0;
}

int sgx_quote_parse(struct sgx_quote *out, struct view raw, struct err *e)
{
	struct reader in = { .in = raw, .at = HEADER_LEN };
	struct sgx_quote q = { 0 };
	struct header h;
	int r = parse_header(&h, raw, e);

	if (r < 0)
		return r;
	if (h.version != 3 || h.tee_type != TEE_SGX)
		return err_set(e, ERR_UNSUPPORTED,
			       "quote of version %u and TEE type %x, SGX's have 3 and 0", h.version,
			       h.tee_type);
	q.qe_vendor = view_at(raw, 12, 16);
	q.user_data = view_at(raw, 28, 20);
	r = take_bytes(&q.body, &in, SGX_REPORT_LEN, "body", e);
	if (r < 0)
		return r;
	q.report_data = view_at(q.body, QE_REPORT_DATA, TDX_REPORT_DATA);
	q.signed_part = view_at(raw, 0, in.at);
	r = parse_rest(&q.sig, &q.raw, &in, false, e);
	if (r < 0)
		return r;
	*out = q;
	return 0;
}
