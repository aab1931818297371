/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_DEVICES_REPORT_H
#define TEST_DEVICES_REPORT_H

#include "agent/base/buf.h"

/*
 * Reports that a fake device gives, signed by keys that test/devices/keys.py made into a folder:
 *
 *   snp.report  snp.key  snp.certs   template of 1184 bytes, VCEK key (PKCS#8 DER), table
 *   tdx.quote   tdx.key              template of a whole v4 quote, attestation key (PKCS#8 DER)
 *
 * Only what a request decides is written into the template, then it is signed.
 */
#define RTMRS     4
#define RTMR_SIZE 48

struct report_state {
	uint8_t rtmr[RTMRS][RTMR_SIZE];
	unsigned vmpl;
	bool debug;
};

/* True when everything is there. */
bool report_load(const char *folder);

bool report_snp(struct buf *out, const uint8_t data[64], const struct report_state *s);
bool report_tdx(struct buf *out, const uint8_t data[64], const struct report_state *s);

/* The certificate table. */
const struct buf *report_certs(void);

/* Of the quote's template. */
void report_mrconfigid(uint8_t out[RTMR_SIZE]);

/* The TDREPORT of the same TD. */
#define TDREPORT_SIZE 1024
void report_tdreport(uint8_t out[TDREPORT_SIZE], const uint8_t data[64], const struct report_state *s);

/* value = SHA-384(value || digest) */
bool report_extend(uint8_t value[RTMR_SIZE], const uint8_t digest[RTMR_SIZE]);

#endif
