/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

/*
 * One error type for the whole program.
 *
 * A function that can fail returns int: 0 on success, -kind on failure, and takes a
 * `struct err *` last, which may be NULL. It never logs: the caller that stops the
 * error logs it, once. Messages name the thing and the limit, never a secret's bytes.
 *
 * Besides its kind (what a program does about it: retry, exit code, status) an error carries
 * a code (what a person looks up: `vouchsafe explain CODE`). Codes stand in codes.def, once.
 */

#define ERR_MSG_MAX 512

enum err_kind {
	ERR_OK = 0,
	ERR_USAGE,       /* the caller of the CLI or API asked for something malformed */
	ERR_SYSTEM,      /* a system call failed; err.sys is errno */
	ERR_NOMEM,       /* allocation or mlock(2) failed */
	ERR_FORMAT,      /* untrusted bytes do not parse */
	ERR_LIMIT,       /* untrusted bytes parse but exceed a stated cap */
	ERR_VERIFY,      /* a digest, signature or tag does not match; never retried */
	ERR_CRYPTO,      /* libcrypto failed for a reason other than ERR_VERIFY */
	ERR_DENIED,      /* the peer understood and refused (HTTP 401/403, policy) */
	ERR_NOTFOUND,    /* the named thing does not exist */
	ERR_NETWORK,     /* transport failure; the only kind that is retried by itself */
	ERR_TIMEOUT,     /* a deadline passed */
	ERR_DEVICE,      /* TPM, SNP, TDX or dm-crypt device failed; err.sys is its code */
	ERR_UNSUPPORTED, /* valid, but this build or platform cannot do it */
	ERR_INTERNAL,    /* a bug of ours, reported instead of aborting */
	ERR_KIND_COUNT
};

/* At whose side an operator looks first. */
enum err_side {
	SIDE_GUEST,   /* the pod VM image or this agent */
	SIDE_HOST,    /* hypervisor, cloud, node: what starts the VM and gives it devices */
	SIDE_NETWORK, /* between the guest and Trustee */
	SIDE_TRUSTEE, /* Trustee and who configures it */
	SIDE_OWNER,   /* who wrote the pod, its initdata or its sealed secrets */
	SIDE_CALLER,  /* the program or person that asked */
};

enum err_code {
#define CODE(id, name, kind, side, cause, remedy) CODE_##id,
#include "agent/base/codes.def"
#undef CODE
	CODE_COUNT
};

struct err {
	enum err_kind kind;
	enum err_code code; /* never CODE_OK in a filled error */
	int sys;            /* errno or TSS2_RC, 0 when there is none */
	char msg[ERR_MSG_MAX];
};

/* One row of the catalogue; all strings are static. */
struct err_entry {
	const char *name; /* "kbs.policy-denied": stable for ever */
	enum err_kind kind;
	enum err_side side;
};

/* Its words, which are large: only programs that show them to a person link them. */
struct err_words {
	const char *cause;  /* one sentence: what it means when this appears */
	const char *remedy; /* what to do about it */
};

#define MUST_CHECK   __attribute__((warn_unused_result))
#define PRINTF(f, a) __attribute__((format(printf, f, a)))

/*
 * Fill *e (unless NULL) with the general code of that kind and return -kind, so that
 * `return err_set(...)` reads as one act. For rooms that cannot know what their input is for.
 */
int err_set(struct err *e, enum err_kind kind, const char *fmt, ...) PRINTF(3, 4);

/* As err_set(), with a code of the catalogue; the kind is the catalogue's. */
int err_code(struct err *e, enum err_code code, const char *fmt, ...) PRINTF(3, 4);

/* As err_set() with ERR_SYSTEM; appends ": " and the name of errnum. */
int err_sys(struct err *e, int errnum, const char *fmt, ...) PRINTF(3, 4);

/* Prefix what is already in *e with "fmt: " and return r unchanged. r must be negative. */
int err_wrap(struct err *e, int r, const char *fmt, ...) PRINTF(3, 4);

/*
 * As err_wrap(), and say which code this failure has for the user; the kind becomes the
 * catalogue's and is what is returned (negative). For the caller that knows what failed.
 */
int err_wrap_code(struct err *e, enum err_code code, const char *fmt, ...) PRINTF(3, 4);

/* "verify", "limit", ...; stable: used in logs, metrics labels and JSON output. */
const char *err_kind_name(enum err_kind kind);

/* "guest", "host", "network", "trustee", "owner", "caller". */
const char *err_side_name(enum err_side side);

/* The catalogue's row. Never NULL; an unknown code gives that of "internal.bug". */
const struct err_entry *err_entry(enum err_code code);
const struct err_words *err_words(enum err_code code);

/* Look a code up by its name. Returns it, or -1 when there is none. */
int err_code_by_name(const char *name);

/* The name of the code in *e, e.g. "kbs.policy-denied". */
static inline const char *err_name(const struct err *e)
{
	return err_entry(e->code)->name;
}

#endif
