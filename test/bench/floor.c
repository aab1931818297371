/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor for `make bench`: the TPM commands, the requests and the crypto that a sealed secret
 * costs vouchsafed, straight down one file. No daemon, no check of what it is told, no locked
 * memory, no limits: a yardstick, never to be used with real secrets.
 *
 *   floor cold --url URL --tpm WHERE --sealed FILE [--ca FILE] [--initdata FILE]
 *   floor hold …     the same, then waits to be looked at, until a signal ends it
 *   floor cpu N MS … N attestations, each with all secrets, MS milliseconds apart; prints the
 *                    nanoseconds of CPU that one took
 *   floor warm SOCKET    answers every ttrpc request from memory, to give the cost of a round trip
 *
 * WHERE is a device path or HOST:PORT of a swtpm. FILE of --sealed has one sealed secret a line,
 * all of one signing key. After the first secret its length is printed.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_mu.h>

enum { AK = 0x81010002, ROOM = 1 << 20, SECRETS = 1024 };

static struct {
	const char *url, *tpm;
	char *ca, *initdata, *sealed[SECRETS];
	size_t n_sealed;
} given;

static CURL *curl;
static char reply[ROOM], cookie[256], token[ROOM], signing_key[4096];
static size_t reply_len;
static EVP_PKEY *tee_key;
static char tee_jwk[256];
static ESYS_CONTEXT *esys;

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)fputs("floor: ", stderr);
	(void)vfprintf(stderr, format, ap);
	(void)fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

static void need(bool ok, const char *what)
{
	if (!ok)
		die("%s", what);
}

/* --- encodings ------------------------------------------------------------------------------ */

static size_t b64(char *out, const void *in, size_t n)
{
	return (size_t)EVP_EncodeBlock((unsigned char *)out, in, (int)n);
}

static size_t b64u(char *out, const void *in, size_t n)
{
	size_t len = b64(out, in, n);

	while (len > 0 && out[len - 1] == '=')
		out[--len] = '\0';
	for (char *p = out; *p; p++)
		*p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
	return len;
}

/* n characters; out takes 3 more bytes than the result. */
static size_t unb64u(uint8_t *out, const char *in, size_t n)
{
	char *text = malloc(n + 4);
	size_t pad = (4 - n % 4) % 4;
	int len;

	need(text != NULL && pad < 3, "base64url");
	for (size_t i = 0; i < n; i++)
		text[i] = in[i] == '-' ? '+' : in[i] == '_' ? '/' : in[i];
	memcpy(text + n, "===", pad);
	len = EVP_DecodeBlock(out, (const unsigned char *)text, (int)(n + pad));
	free(text);
	need(len >= 0, "base64url");
	return (size_t)len - pad;
}

/* The string behind "name": in JSON whose strings have no escapes. */
static const char *member(const char *json, const char *name, size_t *n)
{
	char key[64];
	const char *p;

	(void)snprintf(key, sizeof key, "\"%s\":", name);
	p = strstr(json, key);
	if (!p)
		die("no \"%s\" in a reply", name);
	p += strlen(key);
	p += strspn(p, " ") + 1;
	*n = strcspn(p, "\"");
	return p;
}

/* --- HTTP ------------------------------------------------------------------------------------- */

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
	(void)size;
	(void)ctx;
	need(n < ROOM - reply_len, "a reply is too large");
	memcpy(reply + reply_len, p, n);
	reply_len += n;
	reply[reply_len] = '\0';
	return n;
}

static size_t on_header(char *p, size_t size, size_t n, void *ctx)
{
	(void)size;
	(void)ctx;
	if (n > 12 && strncasecmp(p, "set-cookie: ", 12) == 0)
		(void)snprintf(cookie, sizeof cookie, "%.*s", (int)strcspn(p + 12, ";\r"), p + 12);
	return n;
}

static void http_open(void)
{
	need(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK, "curl");
	curl = curl_easy_init();
	need(curl != NULL, "curl");
}

static void http(const char *path, const char *body, bool with_cookie, const char *bearer)
{
	struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
	static char line[ROOM];
	char url[4096];
	CURLcode code;
	long status = 0;

	curl_easy_reset(curl);
	(void)snprintf(url, sizeof url, "%s/kbs/v0/%s", given.url, path);
	(void)curl_easy_setopt(curl, CURLOPT_URL, url);
	if (given.ca) {
		struct curl_blob blob = { given.ca, strlen(given.ca), CURL_BLOB_NOCOPY };

		(void)curl_easy_setopt(curl, CURLOPT_CAINFO, NULL);
		(void)curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
		(void)curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &blob);
	}
	(void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	(void)curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_USERAGENT, "vouchsafe");
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
	if (body) {
		headers = curl_slist_append(headers, "Content-Type: application/json");
		(void)curl_easy_setopt(curl, CURLOPT_POST, 1L);
		(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
		(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
	}
	if (bearer) {
		(void)snprintf(line, sizeof line, "Authorization: Bearer %s", bearer);
		headers = curl_slist_append(headers, line);
	}
	if (with_cookie)
		(void)curl_easy_setopt(curl, CURLOPT_COOKIE, cookie);
	(void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	reply_len = 0;
	code = curl_easy_perform(curl);
	if (code != CURLE_OK)
		die("%s: %s", url, curl_easy_strerror(code));
	(void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200)
		die("%s: status %ld: %s", url, status, reply);
	curl_slist_free_all(headers);
}

/* --- TPM ----------------------------------------------------------------------------------------
 */

static struct {
	TSS2_TCTI_CONTEXT_COMMON_V1 v1;
	int fd;
} tcti = { .fd = -1 };

static TSS2_RC tcti_transmit(TSS2_TCTI_CONTEXT *c, size_t n, const uint8_t *p)
{
	(void)c;
	return write(tcti.fd, p, n) == (ssize_t)n ? TSS2_RC_SUCCESS : TSS2_TCTI_RC_IO_ERROR;
}

/* A device gives a whole reply or nothing; a socket may give pieces. */
static TSS2_RC tcti_receive(TSS2_TCTI_CONTEXT *c, size_t *n, uint8_t *p, int32_t timeout)
{
	size_t room = *n, have = 0;
	uint32_t want = 10;

	(void)c;
	(void)timeout;
	*n = 4096;
	if (!p)
		return TSS2_RC_SUCCESS;
	while (have < want) {
		ssize_t k = read(tcti.fd, p + have, room - have);

		if (k <= 0)
			return TSS2_TCTI_RC_IO_ERROR;
		have += (size_t)k;
		if (have >= 10) {
			memcpy(&want, p + 2, sizeof want);
			want = ntohl(want);
		}
	}
	*n = have;
	return TSS2_RC_SUCCESS;
}

static void tcti_finalize(TSS2_TCTI_CONTEXT *c)
{
	(void)c;
	(void)close(tcti.fd);
}

static void tpm_open(void)
{
	const char *colon = strrchr(given.tpm, ':');

	if (colon) {
		struct sockaddr_in a = { .sin_family = AF_INET };
		char host[64];

		(void)snprintf(host, sizeof host, "%.*s", (int)(colon - given.tpm), given.tpm);
		a.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
		need(inet_pton(AF_INET, host, &a.sin_addr) == 1, "--tpm");
		tcti.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		need(connect(tcti.fd, (struct sockaddr *)&a, sizeof a) == 0,
		     "cannot connect to the TPM");
	} else {
		tcti.fd = open(given.tpm, O_RDWR | O_CLOEXEC);
		need(tcti.fd >= 0, "cannot open the TPM");
	}
	tcti.v1 = (TSS2_TCTI_CONTEXT_COMMON_V1){
		.magic = 1,
		.version = 1,
		.transmit = tcti_transmit,
		.receive = tcti_receive,
		.finalize = tcti_finalize,
	};
	need(Esys_Initialize(&esys, (TSS2_TCTI_CONTEXT *)(void *)&tcti, NULL) == 0, "ESYS");
}

static TPML_PCR_SELECTION pcrs(uint32_t mask)
{
	return (TPML_PCR_SELECTION){
		.count = 1,
		.pcrSelections[0] = { .hash = TPM2_ALG_SHA256,
				      .sizeofSelect = 3,
				      .pcrSelect = { mask & 0xff, mask >> 8 & 0xff,
						     mask >> 16 & 0xff } },
	};
}

static void pcr_read(uint32_t mask, uint8_t out[24][32])
{
	while (mask) {
		TPML_PCR_SELECTION want = pcrs(mask), *got = NULL;
		TPML_DIGEST *values = NULL;

		need(Esys_PCR_Read(esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &want, NULL,
				   &got, &values) == 0 &&
			     values->count > 0,
		     "TPM2_PCR_Read");
		for (uint32_t i = 0, n = 0; i < 24; i++) {
			if (got->pcrSelections[0].pcrSelect[i / 8] >> i % 8 & 1) {
				memcpy(out[i], values->digests[n++].buffer, 32);
				mask &= ~(UINT32_C(1) << i);
			}
		}
		Esys_Free(got);
		Esys_Free(values);
	}
}

/* What vouchsafed asks the TPM at its start: is the initdata bound? */
static void read_pcr8(void)
{
	uint8_t values[24][32];

	pcr_read(1 << 8, values);
}

static size_t spki(uint8_t *out, const TPM2B_PUBLIC *ak)
{
	static const uint8_t head[] = { 0x30, 0x82, 0x01, 0x22, 0x30, 0x0d, 0x06, 0x09, 0x2a,
					0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05,
					0x00, 0x03, 0x82, 0x01, 0x0f, 0x00, 0x30, 0x82, 0x01,
					0x0a, 0x02, 0x82, 0x01, 0x01, 0x00 };
	static const uint8_t tail[] = { 0x02, 0x03, 0x01, 0x00, 0x01 };

	need(ak->publicArea.unique.rsa.size == 256, "the AK is no RSA-2048 key");
	memcpy(out, head, sizeof head);
	memcpy(out + sizeof head, ak->publicArea.unique.rsa.buffer, 256);
	memcpy(out + sizeof head + 256, tail, sizeof tail);
	return sizeof head + 256 + sizeof tail;
}

/* Append the evidence of spec/evidence.md 2.5. */
static size_t evidence(char *out, const uint8_t nonce[32])
{
	const TPMT_SIG_SCHEME scheme = { .scheme = TPM2_ALG_RSASSA,
					 .details.rsassa.hashAlg = TPM2_ALG_SHA256 };
	const TPML_PCR_SELECTION all = pcrs(0xffffff);
	TPM2B_DATA qualifying = { .size = 32 };
	TPM2B_ATTEST *quoted = NULL;
	TPMT_SIGNATURE *signature = NULL;
	TPM2B_PUBLIC *public = NULL;
	uint8_t values[24][32], bytes[1024];
	size_t n = 0, len = 0;
	ESYS_TR ak;
	char *p = out;

	need(Esys_TR_FromTPMPublic(esys, AK, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &ak) == 0 &&
		     Esys_ReadPublic(esys, ak, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &public,
				     NULL, NULL) == 0,
	     "TPM2_ReadPublic");
	memcpy(qualifying.buffer, nonce, 32);
	need(Esys_Quote(esys, ak, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &qualifying,
			&scheme, &all, &quoted, &signature) == 0,
	     "TPM2_Quote");
	pcr_read(0xffffff, values);
	need(Tss2_MU_TPMT_SIGNATURE_Marshal(signature, bytes, sizeof bytes, &n) == 0, "signature");
	p = stpcpy(p, "{\"tpm_quote\":{\"signature\":\"");
	p += b64(p, bytes, n);
	p = stpcpy(p, "\",\"message\":\"");
	p += b64(p, quoted->attestationData, quoted->size);
	p = stpcpy(p, "\",\"pcrs\":[");
	for (int i = 0; i < 24; i++) {
		p = stpcpy(p, i ? "\",\"" : "\"");
		for (int j = 0; j < 32; j++)
			p += sprintf(p, "%02x", values[i][j]);
	}
	len = spki(bytes, public);
	p = stpcpy(p, "\"]},\"ak_public\":\"");
	p += b64(p, bytes, len);
	p = stpcpy(p, "\"}");
	Esys_Free(quoted);
	Esys_Free(signature);
	Esys_Free(public);
	(void)Esys_TR_Close(esys, &ak);
	return (size_t)(p - out);
}

/* --- keys
 * ----------------------------------------------------------------------------------------- */

static EVP_PKEY *ec_key(const char *x, size_t nx, const char *y, size_t ny)
{
	char group[] = "P-256";
	uint8_t point[1 + 33 + 33] = { 4 };
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, 65),
		OSSL_PARAM_construct_end(),
	};
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	EVP_PKEY *key = NULL;

	need(nx == 43 && ny == 43, "EC key");
	(void)unb64u(point + 1, x, nx);
	(void)unb64u(point + 33, y, ny);
	need(ctx && EVP_PKEY_fromdata_init(ctx) == 1 &&
		     EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) == 1,
	     "EC key");
	EVP_PKEY_CTX_free(ctx);
	return key;
}

static EVP_PKEY *ec_key_of_json(const char *json)
{
	size_t nx, ny;
	const char *x = member(json, "x", &nx), *y = member(json, "y", &ny);

	return ec_key(x, nx, y, ny);
}

static void make_tee_key(void)
{
	uint8_t point[65];
	char x[48], y[48];
	size_t n = 0;

	tee_key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	need(tee_key &&
		     EVP_PKEY_get_octet_string_param(tee_key, OSSL_PKEY_PARAM_PUB_KEY, point,
						     sizeof point, &n) == 1 &&
		     n == 65,
	     "TEE key");
	(void)b64u(x, point + 1, 32);
	(void)b64u(y, point + 33, 32);
	(void)snprintf(tee_jwk, sizeof tee_jwk,
		       "{\"alg\":\"ECDH-ES+A256KW\",\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%s\","
		       "\"y\":\"%s\"}",
		       x, y);
}

static void content_key(uint8_t cek[64], EVP_PKEY *epk, const uint8_t wrapped[40])
{
	char info[] = "\0\0\0\x0e"
		      "ECDH-ES+A256KW"
		      "\0\0\0\0"
		      "\0\0\0\0"
		      "\0\0\x01\0";
	char hash[] = "SHA256";
	uint8_t z[32], kek[32];
	size_t nz = sizeof z;
	int n = 0;
	EVP_PKEY_CTX *ecdh = EVP_PKEY_CTX_new_from_pkey(NULL, tee_key, NULL);
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "SSKDF", NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, hash, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, z, sizeof z),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, sizeof info - 1),
		OSSL_PARAM_construct_end(),
	};

	need(ecdh && EVP_PKEY_derive_init(ecdh) == 1 && EVP_PKEY_derive_set_peer(ecdh, epk) == 1 &&
		     EVP_PKEY_derive(ecdh, z, &nz) == 1 &&
		     EVP_KDF_derive(ctx, kek, 32, params) == 1,
	     "ECDH");
	EVP_CIPHER_CTX_set_flags(c, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	need(EVP_DecryptInit_ex2(c, EVP_aes_256_wrap(), kek, NULL, NULL) == 1 &&
		     EVP_DecryptUpdate(c, cek, &n, wrapped, 40) == 1 && n == 32,
	     "unwrap");
	EVP_CIPHER_CTX_free(c);
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	EVP_PKEY_CTX_free(ecdh);
}

/* Decrypt the JWE in reply; the plaintext is NUL-terminated. */
static size_t jwe_open(char *out)
{
	static uint8_t cipher[ROOM];
	uint8_t header[1024], wrapped[48], cek[64], iv[16], tag[20];
	size_t nprot, nkey, niv, ntext, ntag, len;
	const char *protected = member(reply, "protected", &nprot);
	const char *key = member(reply, "encrypted_key", &nkey), *ivt = member(reply, "iv", &niv);
	const char *text = member(reply, "ciphertext", &ntext), *tagt = member(reply, "tag", &ntag);
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	EVP_PKEY *epk;
	int n = 0, m = 0;

	need(nprot < 1024 && nkey == 54 && niv == 16 && ntag == 22, "JWE");
	len = unb64u(header, protected, nprot);
	header[len] = '\0';
	(void)unb64u(wrapped, key, nkey);
	(void)unb64u(iv, ivt, niv);
	(void)unb64u(tag, tagt, ntag);
	len = unb64u(cipher, text, ntext);
	epk = ec_key_of_json((const char *)header);
	content_key(cek, epk, wrapped);
	need(EVP_DecryptInit_ex2(c, EVP_aes_256_gcm(), cek, iv, NULL) == 1 &&
		     EVP_DecryptUpdate(c, NULL, &n, (const uint8_t *)protected, (int)nprot) == 1 &&
		     EVP_DecryptUpdate(c, (uint8_t *)out, &n, cipher, (int)len) == 1 &&
		     EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, 16, tag) == 1 &&
		     EVP_DecryptFinal_ex(c, (uint8_t *)out + n, &m) == 1,
	     "decrypt");
	out[n + m] = '\0';
	EVP_PKEY_free(epk);
	EVP_CIPHER_CTX_free(c);
	return (size_t)(n + m);
}

/* --- the way of a secret
 * ---------------------------------------------------------------------------- */

/* The report data's first 32 bytes: all that a TPM quote has of it. */
static void report_data(uint8_t out[EVP_MAX_MD_SIZE], const char *nonce, size_t n)
{
	char text[1024];
	int len = snprintf(text, sizeof text,
			   "{\"additional-evidence\":\"\",\"nonce\":\"%.*s\",\"tee-pubkey\":%s}",
			   (int)n, nonce, tee_jwk);

	need(EVP_Digest(text, (size_t)len, out, NULL, EVP_sha384(), NULL) == 1, "SHA-384");
}

static char *put_initdata(char *p)
{
	if (!given.initdata)
		return stpcpy(p, "null");
	p = stpcpy(p, "{\"format\":\"toml\",\"body\":\"");
	for (const char *c = given.initdata; *c; c++) {
		if (*c == '\n' || *c == '\t')
			p = stpcpy(p, *c == '\n' ? "\\n" : "\\t");
		else if (*c == '"' || *c == '\\')
			p += sprintf(p, "\\%c", *c);
		else
			*p++ = *c;
	}
	return stpcpy(p, "\"}");
}

static void attest(void)
{
	static char body[ROOM];
	uint8_t hash[EVP_MAX_MD_SIZE];
	const char *nonce, *t;
	size_t n;
	char *p;

	http("auth",
	     "{\"version\":\"0.4.0\",\"tee\":\"tpm\",\"extra-params\":{\"supported-hash-"
	     "algorithms\":[\"sha256\","
	     "\"sha384\",\"sha512\"]}}",
	     false, NULL);
	nonce = member(reply, "nonce", &n);
	report_data(hash, nonce, n);
	p = stpcpy(body, "{\"init-data\":");
	p = put_initdata(p);
	p += sprintf(p,
		     ",\"runtime-data\":{\"nonce\":\"%.*s\",\"tee-pubkey\":%s},\"tee-evidence\":{"
		     "\"primary_evidence\":",
		     (int)n, nonce, tee_jwk);
	p += evidence(p, hash);
	(void)stpcpy(p, ",\"additional_evidence\":\"\"}}");
	http("attest", body, true, NULL);
	t = member(reply, "token", &n);
	(void)snprintf(token, sizeof token, "%.*s", (int)n, t);
	signing_key[0] = '\0';
}

static void get(char *out, const char *uri, size_t n)
{
	char path[4096];

	need(n > 7 && strncmp(uri, "kbs:///", 7) == 0, "no kbs:/// URI");
	(void)snprintf(path, sizeof path, "resource/%.*s", (int)n - 7, uri + 7);
	http(path, NULL, false, token);
	(void)jwe_open(out);
}

static void verify(const char *signed_text, size_t n, const char *signature, size_t ns)
{
	uint8_t raw[80], der[80], *p = der;
	EVP_PKEY *key = ec_key_of_json(signing_key);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	ECDSA_SIG *sig = ECDSA_SIG_new();
	int len;

	need(ns == 86 && unb64u(raw, signature, ns) == 64, "signature");
	(void)ECDSA_SIG_set0(sig, BN_bin2bn(raw, 32, NULL), BN_bin2bn(raw + 32, 32, NULL));
	len = i2d_ECDSA_SIG(sig, &p);
	need(EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
		     EVP_DigestVerify(ctx, der, (size_t)len, (const uint8_t *)signed_text, n) == 1,
	     "the signature does not match");
	ECDSA_SIG_free(sig);
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
}

static size_t unseal(const char *sealed)
{
	static char plain[ROOM];
	char head[4096], payload[8192];
	const char *h = sealed + strlen("sealed."), *p = strchr(h, '.'),
		   *s = p ? strchr(p + 1, '.') : NULL;
	const char *kid, *name;
	size_t n;

	need(strncmp(sealed, "sealed.", 7) == 0 && s && p - h < 4096 && s - p < 8192,
	     "no sealed secret");
	head[unb64u((uint8_t *)head, h, (size_t)(p - h))] = '\0';
	payload[unb64u((uint8_t *)payload, p + 1, (size_t)(s - p) - 1)] = '\0';
	kid = member(head, "kid", &n);
	if (!signing_key[0]) {
		get(plain, kid, n);
		(void)snprintf(signing_key, sizeof signing_key, "%.4000s", plain);
	}
	verify(h, (size_t)(s - h), s + 1, strlen(s + 1));
	name = member(payload, "name", &n);
	get(plain, name, n);
	return strlen(plain);
}

static void unseal_all(bool say)
{
	for (size_t i = 0; i < given.n_sealed; i++) {
		size_t n = unseal(given.sealed[i]);

		if (say && i == 0) {
			printf("%zu\n", n);
			(void)fflush(stdout);
		}
	}
}

static int64_t cpu_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* Paused as vouchsafed is, which attests anew only when its token has ended: caches get cold. */
static void repeat(unsigned long times, unsigned long pause_ms)
{
	const struct timespec pause = { (time_t)(pause_ms / 1000),
					(long)(pause_ms % 1000 * 1000000) };
	int64_t before;

	/* The first one pays for loading and for the connection; vouchsafed's was made before, too.
	 */
	attest();
	unseal_all(false);
	(void)nanosleep(&pause, NULL);
	before = cpu_ns();
	for (unsigned long i = 0; i < times; i++) {
		attest();
		unseal_all(false);
		(void)nanosleep(&pause, NULL);
	}
	printf("%lld\n", (long long)((cpu_ns() - before) / (int64_t)(times ? times : 1)));
}

/* --- a round trip's floor
 * ----------------------------------------------------------------------------- */

static bool read_all(int fd, uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t k = read(fd, p, n);

		if (k <= 0)
			return false;
		p += k;
		n -= (size_t)k;
	}
	return true;
}

static void *echo(void *arg)
{
	/* Response{status: {}, payload: UnsealSecretOutput{plaintext: 16 bytes}} */
	static const char body[] = "\x0a\x00\x12\x12\x0a\x10"
				   "0123456789abcdef";
	int fd = (int)(intptr_t)arg;
	uint8_t *in = malloc(ROOM), out[10 + sizeof body - 1] = { 0 };
	uint32_t n = htonl(sizeof body - 1);

	need(in != NULL, "memory");
	memcpy(out, &n, 4);
	out[8] = 2;
	memcpy(out + 10, body, sizeof body - 1);
	for (;;) {
		if (!read_all(fd, in, 10))
			break;
		memcpy(&n, in, 4);
		if (ntohl(n) > ROOM || !read_all(fd, in + 10, ntohl(n)))
			break;
		memcpy(out + 4, in + 4, 4);
		if (write(fd, out, sizeof out) != (ssize_t)sizeof out)
			break;
	}
	free(in);
	(void)close(fd);
	return NULL;
}

static void warm(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	need(strlen(path) < sizeof a.sun_path, "the path is too long");
	memcpy(a.sun_path, path, strlen(path));
	(void)unlink(path);
	need(bind(listener, (struct sockaddr *)&a, sizeof a) == 0 && listen(listener, 64) == 0,
	     "socket");
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		pthread_t t;

		need(fd >= 0 && pthread_create(&t, NULL, echo, (void *)(intptr_t)fd) == 0,
		     "thread");
		(void)pthread_detach(t);
	}
}

/* --- start
 * ---------------------------------------------------------------------------------------------- */

static char *slurp(const char *path)
{
	char *text = malloc(ROOM);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, ROOM - 1) : -1;

	if (n < 0)
		die("cannot read %s", path);
	(void)close(fd);
	text[n] = '\0';
	return text;
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "url", required_argument, NULL, 'u' },
		{ "tpm", required_argument, NULL, 't' },
		{ "ca", required_argument, NULL, 'c' },
		{ "initdata", required_argument, NULL, 'i' },
		{ "sealed", required_argument, NULL, 's' },
		{ 0 },
	};
	char *line, *rest = NULL;

	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (o) {
		case 'u':
			given.url = optarg;
			break;
		case 't':
			given.tpm = optarg;
			break;
		case 'c':
			given.ca = slurp(optarg);
			break;
		case 'i':
			given.initdata = slurp(optarg);
			break;
		case 's':
			rest = slurp(optarg);
			break;
		default:
			exit(64);
		}
	}
	while (rest && (line = strsep(&rest, "\n")) != NULL && given.n_sealed < SECRETS)
		if (*line)
			given.sealed[given.n_sealed++] = line;
	need(given.url && given.tpm && given.n_sealed > 0, "--url, --tpm and --sealed are needed");
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	unsigned long times = 0, pause_ms = 0;

	if (strcmp(mode, "warm") == 0 && argc == 3)
		warm(argv[2]);
	if (strcmp(mode, "cpu") == 0 && argc > 3) {
		times = strtoul(argv[2], NULL, 10);
		pause_ms = strtoul(argv[3], NULL, 10);
		argc -= 2;
		argv += 2;
	} else if (strcmp(mode, "cold") != 0 && strcmp(mode, "hold") != 0) {
		fprintf(stderr, "usage: floor cold|hold|cpu N MS --url URL --tpm WHERE --sealed "
				"FILE [--ca FILE]\n"
				"             [--initdata FILE]\n       floor warm SOCKET\n");
		return 64;
	}
	parse(argc - 1, argv + 1);
	tpm_open();
	read_pcr8();
	make_tee_key();
	http_open();
	if (strcmp(mode, "cpu") == 0) {
		repeat(times, pause_ms);
		return 0;
	}
	attest();
	unseal_all(true);
	if (strcmp(mode, "hold") == 0)
		(void)pause();
	return 0;
}
