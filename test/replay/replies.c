/* SPDX-License-Identifier: Apache-2.0 */
#include "test/replay/replies.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/param_build.h>
#include <openssl/rand.h>

enum {
	CEK = 32,
	WRAPPED = CEK + 8,
	WRAPPED_TEXT = (WRAPPED * 8 + 5) / 6,
	IV = 12,
	TAG = 16,
	POINT = 65,
	HEAD_ROOM = 256, /* an HTTP head */
};

struct resource {
	char path[REPLIES_PATH_MAX];
	uint8_t cek[CEK];
	char *front, *back; /* of the body, on both sides of the encrypted_key */
	char *reply;        /* of the last attestation */
	size_t len;
};

struct replies {
	char cookie[64];
	char token[1024];
	char auth[512], attest[2048], refusal[REFUSALS][512];
	char *protected;
	EVP_PKEY *epk;
	pthread_mutex_t lock;
	bool attested;
	size_t n, largest;
	struct resource resource[REPLIES_RESOURCES_MAX];
};

static bool failed(const char *what)
{
	fprintf(stderr, "replay: %s\n", what);
	return false;
}

/* --- base64url ---------------------------------------------------------------------------- */

static char *b64u(const void *in, size_t n)
{
	char *out = malloc(4 * ((n + 2) / 3) + 1);
	int len;

	if (!out)
		abort();
	len = EVP_EncodeBlock((unsigned char *)out, in, (int)n);
	while (len > 0 && out[len - 1] == '=')
		len--;
	out[len] = '\0';
	for (char *p = out; *p; p++)
		*p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
	return out;
}

/* Exactly 32 bytes from the 43 characters at s. */
static bool unb64u32(uint8_t out[32], const char *s)
{
	unsigned char text[45], bytes[33];

	for (int i = 0; i < 43; i++) {
		char c = s[i];

		if (c == '\0' || c == '"')
			return false;
		text[i] = (unsigned char)(c == '-' ? '+' : c == '_' ? '/' : c);
	}
	text[43] = '=';
	if (s[43] != '"' || EVP_DecodeBlock(bytes, text, 44) != 33)
		return false;
	memcpy(out, bytes, 32);
	return true;
}

/* --- keys ----------------------------------------------------------------------------------- */

static EVP_PKEY *key_of_point(const uint8_t point[POINT])
{
	char group[] = "P-256";
	uint8_t copy[POINT];
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, copy, POINT),
		OSSL_PARAM_construct_end(),
	};
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	EVP_PKEY *key = NULL;

	memcpy(copy, point, POINT);
	if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(ctx);
	return key;
}

/* The tee-pubkey of a posted attestation. */
static EVP_PKEY *tee_key(const char *body)
{
	const char *jwk = strstr(body, "\"tee-pubkey\":{"), *end, *x, *y;
	uint8_t point[POINT] = { 4 };

	end = jwk ? strchr(jwk, '}') : NULL;
	x = jwk ? strstr(jwk, "\"x\":\"") : NULL;
	y = jwk ? strstr(jwk, "\"y\":\"") : NULL;
	if (!end || !x || !y || x > end || y > end || !unb64u32(point + 1, x + 5) ||
	    !unb64u32(point + 33, y + 5))
		return NULL;
	return key_of_point(point);
}

static bool derive_kek(uint8_t kek[32], EVP_PKEY *ours, EVP_PKEY *theirs)
{
	char info[] = "\0\0\0\x0e"
		      "ECDH-ES+A256KW"
		      "\0\0\0\0"
		      "\0\0\0\0"
		      "\0\0\x01\0";
	char hash[] = "SHA256";
	uint8_t z[32];
	size_t n = sizeof z;
	EVP_PKEY_CTX *ecdh = EVP_PKEY_CTX_new_from_pkey(NULL, ours, NULL);
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "SSKDF", NULL);
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, hash, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, z, sizeof z),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, sizeof info - 1),
		OSSL_PARAM_construct_end(),
	};
	bool ok = ecdh && ctx && EVP_PKEY_derive_init(ecdh) == 1 &&
		  EVP_PKEY_derive_set_peer(ecdh, theirs) == 1 &&
		  EVP_PKEY_derive(ecdh, z, &n) == 1 && n == sizeof z &&
		  EVP_KDF_derive(ctx, kek, 32, params) == 1;

	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	EVP_PKEY_CTX_free(ecdh);
	return ok;
}

static bool wrap(uint8_t out[WRAPPED + 8], const uint8_t kek[32], const uint8_t cek[CEK])
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int n = 0;
	bool ok;

	if (!c)
		return false;
	EVP_CIPHER_CTX_set_flags(c, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	ok = EVP_EncryptInit_ex2(c, EVP_aes_256_wrap(), kek, NULL, NULL) == 1 &&
	     EVP_EncryptUpdate(c, out, &n, cek, CEK) == 1 && n == WRAPPED;
	EVP_CIPHER_CTX_free(c);
	return ok;
}

/* --- resources ------------------------------------------------------------------------------ */

static bool seal(struct replies *r, struct resource *s, const uint8_t *plain, size_t len)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	uint8_t iv[IV], tag[TAG], *cipher = malloc(len + 1);
	char *iv_text, *tag_text, *text;
	int n = 0, m = 0;
	bool ok = c && cipher && RAND_bytes(s->cek, CEK) == 1 && RAND_bytes(iv, IV) == 1 &&
		  EVP_EncryptInit_ex2(c, EVP_aes_256_gcm(), s->cek, iv, NULL) == 1 &&
		  EVP_EncryptUpdate(c, NULL, &n, (const uint8_t *)r->protected,
				    (int)strlen(r->protected)) == 1 &&
		  EVP_EncryptUpdate(c, cipher, &n, plain, (int)len) == 1 &&
		  EVP_EncryptFinal_ex(c, cipher + n, &m) == 1 &&
		  EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, TAG, tag) == 1;

	EVP_CIPHER_CTX_free(c);
	if (!ok) {
		free(cipher);
		return failed("cannot encrypt a resource");
	}
	iv_text = b64u(iv, IV);
	tag_text = b64u(tag, TAG);
	text = b64u(cipher, len);
	ok = asprintf(&s->front, "{\"protected\":\"%s\",\"encrypted_key\":\"", r->protected) > 0 &&
	     asprintf(&s->back, "\",\"iv\":\"%s\",\"ciphertext\":\"%s\",\"tag\":\"%s\"}", iv_text,
		      text, tag_text) > 0;
	free(iv_text);
	free(tag_text);
	free(text);
	free(cipher);
	if (!ok)
		abort();
	n = (int)(strlen(s->front) + strlen(s->back)) + WRAPPED_TEXT + HEAD_ROOM;
	s->reply = malloc((size_t)n);
	if (!s->reply)
		abort();
	if ((size_t)n > r->largest)
		r->largest = (size_t)n;
	return true;
}

static bool add_file(struct replies *r, const char *file, const char *path)
{
	struct resource *s = &r->resource[r->n];
	uint8_t *plain = malloc(REPLIES_RESOURCE_MAX + 1);
	ssize_t n = -1;
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	bool ok;

	if (fd >= 0 && plain)
		n = read(fd, plain, REPLIES_RESOURCE_MAX + 1);
	if (fd >= 0)
		(void)close(fd);
	if (n < 0 || n > (ssize_t)REPLIES_RESOURCE_MAX || r->n + 1 > REPLIES_RESOURCES_MAX ||
	    strlen(path) >= REPLIES_PATH_MAX) {
		fprintf(stderr, "replay: %s: unreadable, too large or one too many\n", file);
		free(plain);
		return false;
	}
	(void)snprintf(s->path, sizeof s->path, "%s", path);
	ok = seal(r, s, plain, (size_t)n);
	r->n += ok;
	free(plain);
	return ok;
}

/* depth folders are still to come before the files. */
static bool add_folder(struct replies *r, const char *dir, const char *prefix, int depth)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	bool ok = d != NULL;

	if (!d)
		fprintf(stderr, "replay: cannot read %s\n", dir);
	while (ok && (entry = readdir(d)) != NULL) {
		char below[1024], path[REPLIES_PATH_MAX];
		struct stat st;

		if (entry->d_name[0] == '.')
			continue;
		if (snprintf(below, sizeof below, "%s/%s", dir, entry->d_name) >=
			    (int)sizeof below ||
		    snprintf(path, sizeof path, "%s%s%s", prefix, *prefix ? "/" : "",
			     entry->d_name) >= (int)sizeof path ||
		    stat(below, &st) < 0) {
			ok = failed("a path is too long");
			break;
		}
		if (S_ISDIR(st.st_mode) && depth > 0)
			ok = add_folder(r, below, path, depth - 1);
		else if (S_ISREG(st.st_mode) && depth == 0)
			ok = add_file(r, below, path);
	}
	if (d)
		(void)closedir(d);
	return ok;
}

/* --- the fixed part --------------------------------------------------------------------------- */

/* A reply of 200 with JSON. */
static size_t ok_head(char *out, size_t room, size_t body)
{
	return (size_t)snprintf(out, room,
				"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
				"Content-Length: %zu\r\n\r\n",
				body);
}

static void make_token(struct replies *r, long life_s)
{
	char claims[512];
	uint8_t signature[64] = { 0 };
	char *head, *body, *tail;

	(void)snprintf(
		claims, sizeof claims,
		"{\"eat_profile\":\"tag:github.com,2024:confidential-containers/Trustee\","
		"\"iat\":%lld,\"exp\":%lld,\"iss\":\"CoCo-Attestation-Service\",\"submods\":{"
		"\"cpu0\":{\"ear.status\":\"affirming\","
		"\"ear.appraisal-policy-id\":\"default\"}}}",
		(long long)time(NULL), (long long)time(NULL) + life_s);
	head = b64u("{\"typ\":\"JWT\",\"alg\":\"ES256\"}", 27);
	body = b64u(claims, strlen(claims));
	tail = b64u(signature, sizeof signature);
	(void)snprintf(r->token, sizeof r->token, "%s.%s.%s", head, body, tail);
	free(head);
	free(body);
	free(tail);
}

static void make_replies(struct replies *r)
{
	static const char nonce[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
	char challenge[128], token[1200];
	int n = snprintf(challenge, sizeof challenge, "{\"nonce\":\"%s\",\"extra-params\":\"\"}",
			 nonce);
	int m = snprintf(token, sizeof token, "{\"token\":\"%s\"}", r->token);

	(void)snprintf(r->cookie, sizeof r->cookie, "kbs-session-id=%032d", 7);
	(void)snprintf(r->auth, sizeof r->auth,
		       "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
		       "Set-Cookie: %s; Expires=Fri, 31 Dec 2049 23:59:59 GMT\r\n\r\n%s",
		       n, r->cookie, challenge);
	(void)snprintf(r->attest, sizeof r->attest,
		       "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
		       "Set-Cookie: %s; Expires=Fri, 31 Dec 2049 23:59:59 GMT\r\n\r\n%s",
		       m, r->cookie, token);
}

static void make_refusals(struct replies *r)
{
	static const struct {
		const char *status, *kind, *detail;
	} rows[REFUSALS] = {
		[NO_TOKEN] = { "401 Unauthorized", "TokenNotFound", "Attestation Token not found" },
		[BAD_TOKEN] = { "401 Unauthorized", "TokenVerifierError", "Token Verifier error" },
		[NO_SESSION] = { "401 Unauthorized", "AttestationError",
				 "Attestation error: RCAR handshake Attest failed" },
		[NO_PLUGIN] = { "404 Not Found", "PluginNotFound", "Plugin not found" },
		[DENIED] = { "401 Unauthorized", "PolicyDeny", "Access denied by policy" },
		[MISSING] = { "401 Unauthorized", "PluginInternalError", "Plugin internal error" },
	};

	for (size_t i = 0; i < REFUSALS; i++) {
		char body[256];
		int n = snprintf(
			body, sizeof body,
			"{\"type\":\"https://github.com/confidential-containers/kbs/errors/%s\","
			"\"detail\":\"%s\"}",
			rows[i].kind, rows[i].detail);

		(void)snprintf(r->refusal[i], sizeof r->refusal[i],
			       "HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s", rows[i].status, n,
			       body);
	}
}

static bool make_epk(struct replies *r)
{
	uint8_t point[POINT];
	char header[256], *x, *y;
	size_t n = 0;

	r->epk = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	if (!r->epk ||
	    EVP_PKEY_get_octet_string_param(r->epk, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point,
					    &n) != 1 ||
	    n != POINT)
		return failed("cannot make a key");
	x = b64u(point + 1, 32);
	y = b64u(point + 33, 32);
	(void)snprintf(header, sizeof header,
		       "{\"alg\":\"ECDH-ES+A256KW\",\"enc\":\"A256GCM\",\"epk\":{\"crv\":\"P-256\","
		       "\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}}",
		       x, y);
	r->protected = b64u(header, strlen(header));
	free(x);
	free(y);
	return true;
}

bool replies_load(struct replies **out, const char *dir, long token_life_s)
{
	struct replies *r = calloc(1, sizeof *r);

	if (!r)
		abort();
	(void)pthread_mutex_init(&r->lock, NULL);
	r->largest = 1024;
	make_token(r, token_life_s);
	make_replies(r);
	make_refusals(r);
	if (!make_epk(r) || !add_folder(r, dir, "", 2))
		return false;
	*out = r;
	return true;
}

/* --- answers ---------------------------------------------------------------------------------- */

size_t replies_largest(const struct replies *r)
{
	return r->largest;
}

static struct reply reply_of(const char *text)
{
	return (struct reply){ text, strlen(text) };
}

struct reply replies_auth(const struct replies *r)
{
	return reply_of(r->auth);
}

const char *replies_cookie(const struct replies *r)
{
	return r->cookie;
}

const char *replies_token(const struct replies *r)
{
	return r->token;
}

struct reply replies_refusal(const struct replies *r, enum refusal why)
{
	return reply_of(r->refusal[why]);
}

struct reply replies_attest(struct replies *r, const char *body, bool *attested)
{
	EVP_PKEY *tee = tee_key(body);
	uint8_t kek[32], wrapped[WRAPPED + 8];
	bool ok = tee && derive_kek(kek, r->epk, tee);

	EVP_PKEY_free(tee);
	(void)pthread_mutex_lock(&r->lock);
	for (size_t i = 0; ok && i < r->n; i++) {
		struct resource *s = &r->resource[i];
		size_t n, body_len = strlen(s->front) + WRAPPED_TEXT + strlen(s->back);
		char *key;

		ok = wrap(wrapped, kek, s->cek);
		if (!ok)
			break;
		key = b64u(wrapped, WRAPPED);
		n = ok_head(s->reply, HEAD_ROOM, body_len);
		s->len = n + (size_t)snprintf(s->reply + n, body_len + 1, "%s%s%s", s->front, key,
					      s->back);
		free(key);
	}
	r->attested = r->attested || ok;
	(void)pthread_mutex_unlock(&r->lock);
	*attested = ok;
	return ok ? reply_of(r->attest) : replies_refusal(r, NO_SESSION);
}

static size_t copy(char *out, struct reply from)
{
	memcpy(out, from.p, from.len);
	return from.len;
}

size_t replies_get(struct replies *r, const char *path, char *out, bool *delivered)
{
	size_t n = 0;

	*delivered = false;
	if (strncmp(path, "denied/", 7) == 0)
		return copy(out, replies_refusal(r, DENIED));
	(void)pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < r->n && r->attested && n == 0; i++)
		if (strcmp(r->resource[i].path, path) == 0)
			n = copy(out, (struct reply){ r->resource[i].reply, r->resource[i].len });
	*delivered = n > 0;
	if (n == 0)
		n = copy(out, replies_refusal(r, r->attested ? MISSING : BAD_TOKEN));
	(void)pthread_mutex_unlock(&r->lock);
	return n;
}
