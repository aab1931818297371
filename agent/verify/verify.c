/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/verify/verify.h"
#include "agent/base/enc.h"

#include <stdio.h>
#include <time.h>

enum { DATE_LEN = 32, FIELD_MAX = 64 };

/* "2030-01-24 17:58:26 UTC", or the seconds where a date has no such form. */
static const char *date(char out[DATE_LEN], int64_t at)
{
	struct tm tm;
	time_t t = (time_t)at;

	if (!gmtime_r(&t, &tm) || strftime(out, DATE_LEN, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
		(void)snprintf(out, DATE_LEN, "%lld", (long long)at);
	return out;
}

void verify_dates(struct findings *f, const char *name, const struct x509_cert *const *certs,
		  size_t n, const struct verify_want *want)
{
	char from_text[DATE_LEN], until_text[DATE_LEN], at_text[DATE_LEN];
	int64_t last = INT64_MAX;

	for (size_t i = 0; i < n; i++) {
		int64_t from, until;

		x509_validity(certs[i], &from, &until);
		last = until < last ? until : last;
		if (want->at >= from && want->at <= until)
			continue;
		finding_add(f, name, FINDING_BAD,
			    "the certificate \"%s\" %s: valid from %s until %s, asked at %s",
			    x509_name(certs[i]),
			    want->at < from ? "is not yet valid" : "has expired",
			    date(from_text, from), date(until_text, until), date(at_text, want->at));
		return;
	}
	finding_add(f, name, FINDING_OK, "all %zu certificates are valid at %s, the first expires %s", n,
		    date(at_text, want->at), date(until_text, last));
}

/* What the field must be: the bytes, cut to it or padded with zeros. */
static bool field_is(struct view field, struct view bytes)
{
	uint8_t want[FIELD_MAX] = { 0 };

	if (field.len > sizeof want)
		return false;
	memcpy(want, bytes.p, bytes.len < field.len ? bytes.len : field.len);
	return memcmp(want, field.p, field.len) == 0;
}

static const char *hex16(char out[40], struct view v)
{
	struct view head = { v.p, v.len < 16 ? v.len : 16 };

	enc_hex_str(out, head);
	if (v.len > 16)
		memcpy(out + 32, "...", 4);
	return out;
}

void verify_report_data(struct findings *f, struct view field, const struct verify_want *want)
{
	char has[40];

	if (!want->has_report_data)
		finding_add(f, "report-data", FINDING_UNKNOWN,
			    "not compared: nothing was said that it should be; it is %s",
			    hex16(has, field));
	else if (field_is(field, want->report_data))
		finding_add(f, "report-data", FINDING_OK, "it is what was expected");
	else
		finding_add(f, "report-data", FINDING_BAD, "it is %s, not what was expected",
			    hex16(has, field));
}

void verify_initdata(struct findings *f, const char *field_name, struct view field,
		     const struct verify_want *want)
{
	char has[40];

	if (!want->has_initdata)
		finding_add(f, "initdata", FINDING_UNKNOWN, "not compared: no initdata was given; %s is %s",
			    field_name, hex16(has, field));
	else if (field_is(field, digest_view(&want->initdata)))
		finding_add(f, "initdata", FINDING_OK, "%s is the digest of this initdata", field_name);
	else
		finding_add(f, "initdata", FINDING_BAD,
			    "%s is %s, not the digest of this initdata", field_name,
			    hex16(has, field));
}

static void verify_bare_snp(struct findings *f, const struct evidence *ev,
			    const struct verify_want *want)
{
	verify_snp(f, &ev->snp, &ev->certs, (struct view){ 0 }, want);
	verify_report_data(f, ev->snp.report_data, want);
	verify_initdata(f, "HOST_DATA", ev->snp.host_data, want);
}

static void verify_bare_tdx(struct findings *f, const struct evidence *ev,
			    const struct verify_want *want)
{
	verify_tdx(f, &ev->tdx, want);
	verify_report_data(f, ev->tdx.report_data, want);
	verify_initdata(f, "MRCONFIGID", ev->tdx.td.mr_config_id, want);
}

void verify_evidence(struct findings *f, const struct evidence *ev, const struct verify_want *want)
{
	if (want->test_roots)
		finding_add(f, "test-root", FINDING_WARN,
			    "TEST ROOT: certificates were judged by the roots given with --root-cert, "
			    "not by the hardware makers'. This proves nothing about hardware.");
	switch (ev->tee) {
	case EVIDENCE_SNP:
		verify_bare_snp(f, ev, want);
		break;
	case EVIDENCE_TDX:
		verify_bare_tdx(f, ev, want);
		break;
	case EVIDENCE_AZ_SNP:
	case EVIDENCE_AZ_TDX:
		verify_azure(f, ev, want);
		break;
	case EVIDENCE_TPM:
		verify_tpm(f, ev, want);
		break;
	default:
		verify_sample(f, ev, want);
	}
	verify_log(f, ev, want);
}

void verify_sample(struct findings *f, const struct evidence *ev, const struct verify_want *want)
{
	finding_add(f, "proof", FINDING_BAD,
		    "evidence of \"%s\" is signed by nobody: it proves nothing about the guest",
		    evidence_tee_name(ev->tee));
	if (!want->has_report_data)
		finding_add(f, "report-data", FINDING_UNKNOWN,
			    "not compared: nothing was said that it should be");
	else if (view_eq(buf_view(&ev->report_data), want->report_data))
		finding_add(f, "report-data", FINDING_OK, "it is what was expected");
	else
		finding_add(f, "report-data", FINDING_BAD, "it is not what was expected");
	if (want->has_initdata)
		finding_add(f, "initdata", FINDING_BAD, "this platform has no register for it");
}
