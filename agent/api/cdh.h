/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_CDH_H
#define API_CDH_H

#include "agent/api/secure_mount.h"
#include "agent/api/service.h"

/*
 * The services of the confidential data hub on cdh.sock. Source: spec/local-api.md 2.2 to 2.6.
 *
 *   api.SealedSecretService/UnsealSecret     served
 *   api.GetResourceService/GetResource       served
 *   keyprovider.KeyProviderService/UnWrapKey served
 *   api.SecureMountService/SecureMount       served (secure_mount.h)
 *   api.ImagePullService/PullImage           13 image.not-built, or handed on (backend.pull_image)
 *   keyprovider.KeyProviderService/WrapKey   declared, 5, as upstream
 *
 * A failure is status 13 with upstream's text as its beginning (people and tests grep for it):
 * "[CDH] [ERROR]: Unseal Secret failed: CODE: reason".
 */

/* What the main puts behind the methods; called on several threads at a time. */
struct cdh_backend {
	/*
	 * Unseal one secret, as sealed_unseal().
	 * name    what it is for, or NULL when the caller does not say
	 * sealed  as it came, borrowed; its length is not checked yet
	 */
	int (*unseal)(void *ctx, const char *name, struct view sealed, struct deadline d,
		      struct secret *out, struct err *e);
	/*
	 * Optional: the same from what is at hand. Returns 0, CDH_NOT_HERE, or an error that ends
	 * the call. Must not wait for anything.
	 */
	int (*unseal_cached)(void *ctx, const char *name, struct view sealed, struct secret *out,
			     struct err *e);
	/* Get one resource. uri is UTF-8 without NUL, at most 4096 bytes, and not parsed yet. */
	int (*get_resource)(void *ctx, struct view uri, struct deadline d, struct secret *out,
			    struct err *e);
	/*
	 * Unwrap an image layer's key: request and reply are the key provider's JSON. An error with
	 * the code keyprovider.request gets upstream's text for what does not parse.
	 */
	int (*unwrap_key)(void *ctx, struct view request, struct deadline d, struct secret *out,
			  struct err *e);
	/*
	 * Open and mount a volume, or undo all that was done for it.
	 * m     checked by itself (secure_mount.h), not against rules; borrowed for the call
	 * name  as of unseal, for a sealed key
	 * Errors: volume.*, and what having the key gives.
	 */
	int (*secure_mount)(void *ctx, const struct secure_mount *m, const char *name,
			    struct deadline d, struct err *e);
	/*
	 * Optional: hand PullImage on to another data hub. request and *reply are the encoded
	 * messages. Returns CDH_NOT_HERE when measured configuration names none.
	 */
	int (*pull_image)(void *ctx, struct view request, struct deadline d, struct buf *reply,
			  struct err *e);
	/* Optional: a call failed for a reason of the backend's. Log and count it here. */
	void (*failed)(void *ctx, const char *method, const struct api_call *call,
		       const struct err *e);
	void *ctx;
};

#define CDH_NOT_HERE 1
#define CDH_METHODS  6

/* The methods over b, for ttrpc_server_listen(). b is borrowed as long as they are. */
void cdh_methods(struct api_method out[CDH_METHODS], struct cdh_backend *b);

#endif
