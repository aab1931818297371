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
	/* The same for the key that a kid names, so that it can be cached; NULL: resource does it. */
	int (*signing_key)(void *ctx, struct secret *out, const struct uri *uri, struct deadline d,
			   struct err *e);
	void *resource_ctx; /* of both */
	const char *credential_dir; /* where a kid that is no URI names a JWK file; NULL: nowhere */
	bool kbs_keys_allowed;      /* false: Trustee is spoken to over plain http without permit */
	bool skip_verification;     /* measured skip_sealed_secret_verification */
	const char *const *kids;    /* measured [sealed] kids; NULL: any */
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
 *       With bind rules, a secret for an unlisted or unknown name must not be one of the bound
 *       URIs' substitutes: see SECURITY.md
 * text  the sealed text; trailing white space is dropped, every leading "sealed." too
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
 * resource   canonical resource URI
 * Errors: ERR_FORMAT (sealed.key), ERR_USAGE (kbs.bad-uri), ERR_CRYPTO.
 */
int sealed_make_vault(struct buf *out, const char *kid, const struct secret *jwk,
		      const char *resource, const char *provider, struct err *e) MUST_CHECK;

#endif
