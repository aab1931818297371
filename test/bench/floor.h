/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_BENCH_FLOOR_H
#define TEST_BENCH_FLOOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The parts of the bench's floor (floor.c). Whatever fails ends the program: it is a yardstick.
 */
enum { FLOOR_ROOM = 1 << 20, FLOOR_SECRETS = 1024, FLOOR_POINT = 65 };

extern struct floor_given {
	const char *url, *tpm;
	char *ca, *initdata, *sealed[FLOOR_SECRETS];
	size_t n_sealed;
} given;

__attribute__((format(printf, 1, 2), noreturn)) void die(const char *format, ...);
void need(bool ok, const char *what);

/* --- floor_http.c --- */
extern char reply[FLOOR_ROOM], cookie[256]; /* of the last request; NUL-terminated */

void http_open(void);
/* body: POST it; NULL: GET. bearer: a token, or NULL. Another status than 200 ends the program. */
void http(const char *path, const char *body, bool with_cookie, const char *bearer);

/* --- floor_tpm.c --- */
void tpm_open(void);
/* What vouchsafed asks the TPM at its start: is the initdata bound? */
void read_pcr8(void);
/* Append the evidence of spec/evidence.md 2.5; returns its length. */
size_t evidence(char *out, const uint8_t nonce[32]);

/* --- floor_crypto.c --- */
size_t b64(char *out, const void *in, size_t n);
/* n characters; out takes 3 more bytes than the result. */
size_t unb64u(uint8_t *out, const char *in, size_t n);
/* The string behind "name": in JSON whose strings have no escapes. */
const char *member(const char *json, const char *name, size_t *n);
/* The TEE key; its public half as JWK. */
void make_tee_key(char jwk[256]);
void sha384(uint8_t out[64], const void *in, size_t n);
/* Decrypt the JWE in reply; the plaintext is NUL-terminated. */
size_t jwe_open(char *out);
/* ECDSA P-256 by the key of that JWK. */
void verify(const char *jwk, const char *signed_text, size_t n, const char *signature, size_t ns);

#endif
