/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/crypto/x509.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t touch(struct view v)
{
	uint8_t x = 0;

	for (size_t i = 0; i < v.len; i++)
		x ^= v.p[i];
	return x;
}

static void look(const struct x509_cert *c, const struct x509_cert *issuer)
{
	static const char *const oids[] = { "1.3.6.1.4.1.3704.1.1", "1.3.6.1.4.1.3704.1.2",
					    "1.3.6.1.4.1.3704.1.3.1", "1.3.6.1.4.1.3704.1.3.8",
					    "1.3.6.1.4.1.3704.1.3.9", "1.3.6.1.4.1.3704.1.4" };
	static const uint8_t half[ECDSA_INTEGER_MAX] = { 1 };
	struct ecdsa_signature s = { { half, sizeof half }, { half, sizeof half }, true };
	volatile uint8_t sink = 0;
	int64_t from, until;
	struct err e;

	if (strlen(x509_name(c)) >= X509_NAME_MAX || x509_der(c).len > X509_DER_MAX)
		__builtin_trap();
	for (const char *p = x509_name(c); *p; p++)
		if (*p < ' ' || *p > '~')
			__builtin_trap();
	x509_validity(c, &from, &until);
	sink ^= touch(x509_der(c));
	for (size_t i = 0; i < ARRAY_LEN(oids); i++) {
		struct view v;
		uint8_t n;

		if (x509_extension(&v, c, oids[i], &e) == 0)
			sink ^= touch(v);
		if (x509_extension_u8(&n, c, oids[i], &e) == 0 && (v.len < 3 || v.p[v.len - 1] != n))
			__builtin_trap();
	}
	(void)x509_issued(c, issuer, X509_AMD, &e);
	(void)x509_issued(c, issuer, X509_INTEL, &e);
	/* Nobody signed this. */
	if (x509_ecdsa_verify(c, ECDSA_P384, (struct view){ half, 8 }, s, &e) == 0)
		__builtin_trap();
	(void)sink;
}

/* One certificate in DER, or a chain in PEM, which is judged against its own last. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view in = { data, size };
	struct x509_chain chain = { 0 };
	struct x509_cert *c = NULL;
	struct err e;

	if (x509_load_any(&c, in, &e) == 0) {
		look(c, c);
		if (!x509_eq(c, c))
			__builtin_trap();
		x509_free(c);
	}
	(void)x509_chain_pem(&chain, in, &e);
	for (size_t i = 0; i < chain.n; i++)
		look(chain.cert[i], chain.cert[chain.n - 1]);
	x509_chain_done(&chain);
	return 0;
}
