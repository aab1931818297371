/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ATTESTER_SNP_CERTS_H
#define ATTESTER_SNP_CERTS_H

#include "agent/base/json.h"

/*
 * The certificates that the host hands to an SNP guest: the GHCB table, and the JSON list
 * `cert_chain`. Both are the host's; the signatures decide what they are worth.
 * Source: spec/evidence.md 2.3 and 7.2 (GHCB 4.1.8.1).
 *
 *   entry  16 GUID, in the order it is written   4 offset from the table's start   4 length
 *
 * little-endian; the table ends with an entry of zeros. Entries stand in front of the data, which
 * may stand in any order and with gaps, but no two share a byte.
 */
#define SNP_CERTS_TABLE_MAX (64u << 10) /* the table with its data, bytes */
#define SNP_CERTS_N_MAX     16          /* entries */
#define SNP_GUID_LEN        16
#define SNP_CERTS_JSON_MAX  (512u << 10) /* the JSON list, bytes */

enum snp_cert_type {
	SNP_CERT_EMPTY,
	SNP_CERT_ARK,
	SNP_CERT_ASK,
	SNP_CERT_VCEK,
	SNP_CERT_VLEK,
	SNP_CERT_CRL,
	SNP_CERT_OTHER,
};

struct snp_cert {
	enum snp_cert_type type;
	uint8_t guid[SNP_GUID_LEN];
	struct view data; /* DER or PEM; borrowed */
};

struct snp_certs {
	size_t n; /* 0: the host gave none */
	struct snp_cert cert[SNP_CERTS_N_MAX];
};

/*
 * Cut a table into its entries.
 *
 * out    set on success only
 * table  whole, at most SNP_CERTS_TABLE_MAX bytes, or empty (no certificates); must outlive *out
 *
 * Errors: ERR_FORMAT (no end, data outside, inside the entries, shared or of no length), ERR_LIMIT
 * (table, entries).
 */
int snp_certs_parse(struct snp_certs *out, struct view table, struct err *e) MUST_CHECK;

/* Append the list as JSON; null when there is none, never []: Trustee refuses that. */
void snp_certs_json(struct buf *out, const struct snp_certs *certs);

/*
 * Read that list back.
 *
 * out    set on success only
 * store  where the bytes go; *out borrows from it. Made with BUF_MAX(SNP_CERTS_TABLE_MAX), empty
 * list   null or NULL (absent) gives none
 *
 * Errors: ERR_FORMAT (also an empty list: Trustee refuses it), ERR_LIMIT, ERR_NOMEM.
 */
int snp_certs_from_json(struct snp_certs *out, struct buf *store, const struct json *list,
			struct err *e) MUST_CHECK;

/* The first of that type, or NULL. */
const struct snp_cert *snp_certs_find(const struct snp_certs *certs, enum snp_cert_type type);

/* "Empty", "ARK", "ASK", "VCEK", "VLEK", "CRL", "OTHER". */
const char *snp_cert_name(enum snp_cert_type type);

#endif
