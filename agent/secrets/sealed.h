/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SECRETS_SEALED_H
#define SECRETS_SEALED_H

#include "agent/base/clock.h"
#include "agent/base/secret.h"
#include "agent/kbs/uri.h"

/*
 * Sealed secrets: "sealed." + JWS compact. Source: spec/trustee.md 6; vectors/trustee/derived/
 * sealed-secrets.json and extracted/sealed-secret-*.
 */
#define SEALED_TEXT_MAX (64u << 10) /* bytes */
#define SEALED_KIDS_MAX 64

/* What unsealing needs from outside and what measured configuration says. */
struct sealed_rules {
	/* Read a resource. Errors: as kbs_get(). */
	int (*resource)(void *ctx, struct secret *out, const struct uri *uri, struct deadline d,
			struct err *e);
	/* The same for the key that a kid names, so that it can be cached; NULL: resource does it.
	 */
	int (*signing_key)(void *ctx, struct secret *out, const struct uri *uri, struct deadline d,
			   struct err *e);
	void *resource_ctx;         /* of both */
	const char *credential_dir; /* where a kid that is no URI names a JWK file; NULL: nowhere */
	bool kbs_keys_allowed;      /* false: Trustee is spoken to over plain http without permit */
	bool skip_verification;  /* measured skip_sealed_secret_verification; kids overrules it */
	const char *const *kids; /* measured [sealed] kids; NULL: any; of no elements: none */
	size_t n_kids;
	/* measured [sealed] bind: name (an environment variable or file) -> URI; NULL: none */
	const char *const *bind_names;
	const char *const *bind_uris;
	size_t n_bind;
};

/*
 * Unseal one secret.
 *
 * name  what it is for (environment variable, file), checked against bind; NULL when unknown.
 *       A listed name wants its own URI, an unlisted name none that is bound to another name,
 *       and an unknown one wants some bound URI: see SECURITY.md
 * text  the sealed text; trailing white space is dropped, every leading "sealed." too. Unknown
 *       members of header and payload are ignored; a missing or repeated one is an error
 *
 * The algorithm and the kid are judged before anything is fetched. Kids compare as URIs in
 * canonical form where both are URIs, else byte by byte. With skip_verification (spec 6.4)
 * the text needs its prefix and header and signature may be any text.
 *
 * Errors: ERR_FORMAT (sealed.format, sealed.key), ERR_VERIFY (sealed.signature), ERR_UNSUPPORTED
 * (sealed.algorithm, sealed.version, sealed.provider-unsupported naming it), ERR_NOTFOUND
 * (sealed.key-missing), ERR_DENIED (sealed.kid-not-listed, sealed.bind-mismatch,
 * trust.plain-http), ERR_LIMIT, and what rules->resource gives.
 */
int sealed_unseal(struct secret *out, const struct sealed_rules *rules, const char *name,
		  struct view text, struct deadline d, struct err *e) MUST_CHECK;

/* True when text begins as a sealed secret does. */
bool sealed_is(struct view text);

/*
 * The owner's side: append the sealed text of a vault secret.
 * kid        written into the header
 * jwk        private signing key (P-256 JWK with d)
 * resource   resource URI; its canonical text is written
 * provider   "kbs", or NULL for it
 * Errors: ERR_FORMAT (sealed.key), ERR_USAGE (kbs.bad-uri; an empty kid or one that is not
 * UTF-8), ERR_UNSUPPORTED (sealed.provider-unsupported), ERR_LIMIT, ERR_CRYPTO, ERR_NOMEM.
 */
int sealed_make_vault(struct buf *out, const char *kid, const struct secret *jwk,
		      const char *resource, const char *provider, struct err *e) MUST_CHECK;

#endif
