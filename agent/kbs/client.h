/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KBS_CLIENT_H
#define KBS_CLIENT_H

#include "agent/base/http.h"
#include "agent/base/secret.h"
#include "agent/crypto/teekey.h"
#include "agent/kbs/uri.h"

/*
 * One Trustee: a TEE key, its token, and the handshake that gets one (RCAR 0.4.0).
 *
 * One attestation serves many: concurrent callers share one handshake, which runs on a thread
 * of its own with its own deadline (KBS_HANDSHAKE_MS); a caller waits with its own deadline and
 * one that leaves never cancels it. A handshake that failed for the network (ERR_NETWORK,
 * ERR_TIMEOUT) is begun again after a jittered pause that doubles up to KBS_PAUSE_MAX_MS, as long
 * as a caller waits; one that failed for another reason gives that reason to every caller for
 * KBS_REFUSAL_MS, so that a pod with fifty secrets does not attest fifty times.
 *
 *   state      event                          next
 *   no token   a caller                       handshake begins
 *   handshake  200 with a token               token; waiters go on
 *   handshake  network, 5xx, 429, time-out    pause (Retry-After is honoured), then handshake while
 * a caller waits handshake  anything else                  refusal, for KBS_REFUSAL_MS token      a
 * caller, enough life left     used token      a caller, < 30 s left          handshake begins (for
 * lives under 60 s: half of it) token      policy denial                  stale: used on, renewed
 * at the first call >= 30 s after it token      TokenNotFound & co. on a GET   dropped, one new
 * handshake within the call token      the same again in that call    dropped; refusal
 * (kbs.token-refused), for KBS_REFUSAL_MS
 *
 * Token rules (design §4): life is exp − iat counted on CLOCK_BOOTTIME from receipt; exp ≤ iat or
 * a life over 24 h is token.bad-life; no exp means 60 s. The cookie goes with /attest only; GETs
 * carry the Bearer token and never the cookie.
 */
#define KBS_HANDSHAKE_MS       (60 * 1000) /* one handshake, all its requests and the evidence */
#define KBS_REFRESH_MS         (30 * 1000) /* a token with less left is renewed before it is used */
#define KBS_STALE_MS           (30 * 1000) /* after a denial */
#define KBS_PAUSE_MIN_MS       250 /* first pause after a network failure; jitter is ± a half */
#define KBS_PAUSE_MAX_MS       (8 * 1000)
#define KBS_REFUSAL_MS         (5 * 1000)
#define KBS_RETRY_AFTER_MAX_MS (60 * 1000) /* a longer Retry-After of a reply counts as this */

struct kbs; /* opaque, thread-safe */

/* Make evidence. Filled by the mains from an attester. */
struct kbs_evidence_source {
	const char *tee; /* KBS tee name, e.g. "tpm" */
	/*
	 * report_data  the digest, 32, 48 or 64 bytes, unpadded
	 * json         malloc'd JSON value of primary_evidence; set on success only
	 */
	int (*evidence)(void *ctx, struct view report_data, char **json, struct err *e);
	void *ctx;
	/*
	 * Text of additional_evidence: a JSON object of device to evidence, each over these report
	 * data, or "" of none; malloc'd, set on success only. Sent as it is and hashed into the
	 * primary's report data; an error ends the handshake. NULL: there are no other devices.
	 */
	int (*additional)(void *ctx, struct view report_data, char **text, struct err *e);
};

struct kbs_config {
	const char *url; /* base, http(s)://host[:port][/path]; trailing slashes are dropped */
	enum teekey_alg key_alg;
	const struct teekey *key; /* made beforehand, for this Trustee alone; NULL, or of another kind: a new one */
	struct view initdata; /* the TOML text to send as init-data, or empty for null */
	struct kbs_evidence_source evidence;
	/*
	 * Instead of the handshake: what the attestation agent's GetToken("kbs") gives, for a process
	 * that does not attest (passport.h). NULL: the handshake.
	 */
	int (*passport)(void *ctx, struct secret *json, struct deadline d, struct err *e);
	void *passport_ctx;
	http_round_trip *round_trip;
	void *round_trip_ctx;
	int64_t (*now_ms)(void); /* for tests; NULL: clock_boot_ms() */
};

/* Counters since creation; for status, metrics and tests. */
struct kbs_stats {
	uint64_t handshakes; /* begun */
	uint64_t handshakes_failed;
	uint64_t quotes;       /* evidence made */
	uint64_t denials;      /* policy denials seen */
	uint64_t requests;     /* HTTP requests sent */
	int64_t token_left_ms; /* 0 when there is none */
	int64_t token_age_ms;  /* since its receipt; 0 when there is none */
};

/*
 * A client; makes the TEE key, sends nothing. Everything *config points to is copied, except
 * the callbacks' contexts, which must outlive the client.
 * Errors: ERR_FORMAT (config.value: url), ERR_CRYPTO, ERR_NOMEM.
 */
int kbs_new(struct kbs **out, const struct kbs_config *config, struct err *e) MUST_CHECK;

/*
 * Sends waiting callers home (net.broken, or the reason of their last try), waits for those with a
 * request on its way and for a running handshake (each at most its own deadline), then erases key
 * and token. No call may begin after it.
 */
void kbs_free(struct kbs *k);

/*
 * Fetch one resource.
 *
 * out       the plaintext; set on success only
 * deadline  the caller's; retries stop there
 *
 * Errors: ERR_DENIED (kbs.policy-denied, kbs.attestation-failed, kbs.auth-refused, …),
 * ERR_NOTFOUND (kbs.resource-missing, kbs.plugin-missing), ERR_VERIFY (tls.*, kbs.decrypt-failed,
 * token.bad-life), ERR_FORMAT (kbs.bad-reply), ERR_LIMIT, ERR_DEVICE (evidence.failed) and what
 * round_trip gives. What was retried until the deadline keeps the code of its last reason ("gave
 * up after …"), since that is what an operator can act upon; net.timeout when nothing answered.
 */
int kbs_get(struct kbs *k, struct secret *out, const struct uri *uri, struct deadline deadline,
	    struct err *e) MUST_CHECK;

/*
 * Make sure that there is a valid token (attest when not). Errors: as kbs_get().
 */
int kbs_attest(struct kbs *k, struct deadline deadline, struct err *e) MUST_CHECK;

/*
 * Attest with a fresh export key of its own and give token and key away, as GetToken must:
 * JSON {"token":"…","tee_keypair":"<PEM>"}. Cached with its token's life. Never the key that
 * kbs_get() decrypts with.
 */
int kbs_export_token(struct kbs *k, struct secret *out, struct deadline deadline,
		     struct err *e) MUST_CHECK;

/* Changes whenever a token is obtained or dropped; what is cached under one value dies with it. */
uint64_t kbs_generation(struct kbs *k);

/* CLOCK_BOOTTIME milliseconds at which the present token ends; 0 when there is none. */
int64_t kbs_token_end_ms(struct kbs *k);

void kbs_stats(struct kbs *k, struct kbs_stats *out);

#endif
