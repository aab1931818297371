/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ATTESTER_ATTESTER_H
#define ATTESTER_ATTESTER_H

#include "agent/base/err.h"
#include "agent/base/http.h"
#include "agent/base/mem.h"
#include "agent/crypto/digest.h"
#include "attester/tee.h"

/*
 * One platform that can vouch for this guest. Each lives in a file of its own and exports
 * nothing but one `const struct attester`; attester.c lists them in detection order.
 */

#define REPORT_DATA_MAX 64         /* bytes of freshness every platform can bind */
#define EVIDENCE_MAX    (1u << 20) /* JSON text of one platform's evidence, bytes */

/* What an attester may touch. Tests pass a temporary root and a simulator. */
struct attester_env {
	int root_fd; /* O_PATH of "/"; devices, their sysfs and our locks are opened beneath it */
	/*
	 * --root of a development build, a path from "/": the boot log and the agent's own lie there,
	 * as every file of the guest. NULL or "": none.
	 */
	const char *files_root;
	struct tpm *tpm;     /* attester/tpm.h; NULL when there is none */
	unsigned initdata_pcr; /* PCR that initdata is bound to where a TPM does it: 8 */
	bool permit_debug;     /* [permit] debug: evidence even of a guest that can be debugged */
	struct tee tee;      /* the TEE's device; .quote NULL when nobody serves it */
	/*
	 * The cloud's metadata service, plain HTTP, never through a proxy; NULL when there is none.
	 * Its answers are the host's: nothing in them is believed that the hardware does not sign.
	 */
	http_round_trip *metadata;
	void *metadata_ctx;
	struct attester_cache *cache; /* attester/cache.h: certificates fetched before; may be NULL */
};

/* What a platform's register says about the initdata. */
enum binding {
	BINDING_MATCHES, /* the register vouches for this digest */
	BINDING_EMPTY,   /* nothing has been bound yet */
	BINDING_OTHER,   /* the register holds something else */
};

struct attester {
	const char *name; /* KBS "tee" string: "tpm", "sample", "az-snp-vtpm", … */

	/* True when this platform is present. Cheap, changes nothing. NULL: only by name. */
	bool (*detect)(const struct attester_env *env);

	/*
	 * Produce evidence that binds report_data (1..REPORT_DATA_MAX bytes).
	 * *json is malloc'd NUL-terminated JSON, at most EVIDENCE_MAX bytes; set on success only.
	 * May block as long as what it asks does: a TPM 10 s, Azure's paravisor and metadata service
	 * 15 s each besides, the device of a TEE a minute, and TDX's up to three times while events are
	 * being measured. May be called by one thread at a time.
	 */
	int (*evidence)(const struct attester_env *env, struct view report_data, char **json,
			struct err *e);

	/*
	 * Compare the initdata register with this digest. NULL: the platform has no such register.
	 * digest  as computed, whole; the platform cuts or pads it to its register's size
	 */
	int (*binding)(const struct attester_env *env, struct view digest, enum binding *out,
		       struct err *e);

	/* Record the digest, where the guest does that itself (PCR). NULL: the host does it. */
	int (*bind)(const struct attester_env *env, struct view digest, struct err *e);

	/*
	 * Runtime measurements (attester/eventlog.h): extend a register with a digest, and read it.
	 * Both or neither; NULL: the platform has no such registers. Any thread may call.
	 *
	 * reg     as callers number them (a TPM's PCR)
	 * digest  of hash_len(log_hash) bytes, as the register
	 *
	 * Errors: eventlog.register (no such register, or not for events), the device's own. After
	 * an error of extend the register may have been extended all the same: read it.
	 */
	int (*extend)(const struct attester_env *env, unsigned reg, struct view digest,
		      struct err *e);
	int (*read_register)(const struct attester_env *env, unsigned reg, struct digest *out,
			     struct err *e);
	/* The number that the log gives a register. NULL: its own. */
	unsigned (*log_index)(unsigned reg);
	enum hash_alg log_hash;
	unsigned log_register; /* where nobody names one */

	/* Trustee takes the initdata text only with a 32-byte digest (vTPM and TPM). */
	bool text_needs_sha256;
};

/*
 * What an evidence() begins with: report data, held to its length, zero padded.
 * out  set on success only
 * Errors: ERR_USAGE (other than 1..REPORT_DATA_MAX bytes).
 */
int attester_data(uint8_t out[REPORT_DATA_MAX], struct view report_data, struct err *e) MUST_CHECK;

/*
 * And what it ends with: the text is given to the caller as *json, set on success only.
 * what  names it in messages
 * Errors: what marked text (ERR_LIMIT, ERR_NOMEM).
 */
int attester_give(char **json, struct buf *text, const char *what, struct err *e) MUST_CHECK;

/*
 * What a register that the host set at launch says about a digest, which it holds cut or zero padded
 * to its own size. All zero: nothing was bound.
 */
enum binding attester_compare(struct view reg, struct view digest);

/* The first whose detect() is true, or NULL. "sample" is never detected. */
const struct attester *attester_detect(const struct attester_env *env);

/* By KBS name. NULL when unknown or not built in. */
const struct attester *attester_by_name(const char *name);

/*
 * The error for a name that attester_by_name() does not know: platform.not-built for a platform of
 * Trustee's that this program has no evidence of, else platform.unknown.
 */
int attester_unknown(const char *name, struct err *e);

/* The names built in, in detection order, NULL-ended; for --version and messages. */
const char *const *attester_names(void);

#endif
