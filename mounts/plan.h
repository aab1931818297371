/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MOUNTS_PLAN_H
#define MOUNTS_PLAN_H

#include "mounts/edit.h"
#include "mounts/node.h"
#include "mounts/secretdir.h"

/*
 * What a container's config asks to be unsealed, and how the config changes for it.
 *
 *   plan_config()  read the config: environment, arguments, hooks, mounts     (no file is touched)
 *   plan_files()   look into the sources of the mounts, replicate folders
 *   plan_unseal()  let the caller unseal everything, check it
 *   plan_place()   write the unsealed files; the edits for the config are then complete
 */
#define PLAN_SECRETS_MAX     1024
#define PLAN_PLAINTEXT_MAX   (16u << 20)  /* bytes, all secrets of one container */
#define PLAN_ENV_MAX         (128u << 10) /* bytes of NAME=value: MAX_ARG_STRLEN of execve(2) */
#define PLAN_MOUNTS_MAX      4096
#define PLAN_ANNOTATED_MAX   64
#define PLAN_ANNOTATION      "io.vouchsafe.secrets"
#define PLAN_NAME_MAX        255

struct plan_env {
	size_t index;                 /* in process.env */
	size_t at;                    /* where its string stands in the text */
	struct view head;             /* "NAME=", borrowed from the document */
	struct view sealed;           /* the same */
	char name[PLAN_NAME_MAX + 1]; /* "" when it is longer */
	struct secret plain;
	struct secret quoted; /* the JSON string that takes its place */
};

struct plan_file {
	size_t mount;   /* index in mounts */
	size_t ordinal; /* among the sealed files of that mount, from 0 */
	char *path;     /* in the shadow folder: "f/2", "f/2/..2026/password" */
	char *name;     /* as the container sees it: "/etc/creds/password" */
	struct stat st;
	struct buf sealed;
	struct secret plain;
};

enum plan_verdict {
	PLAN_NOT_BIND,     /* no bind mount */
	PLAN_ABSENT,       /* its source is not there: the runtime will say so */
	PLAN_OTHER,        /* neither file nor folder, or on proc, sysfs and the like */
	PLAN_FILE,         /* a file that is not sealed */
	PLAN_FILE_SEALED,
	PLAN_DIR_OUTSIDE,  /* a folder under no prefix */
	PLAN_DIR,          /* a folder under a prefix, nothing sealed in it */
	PLAN_DIR_SEALED,   /* replicated as a whole */
};

struct plan_mount {
	size_t index;
	const char *destination; /* borrowed from the document; "" when it has none */
	char *source;            /* absolute; NULL when it has none */
	size_t source_at;        /* where the string stands in the text */
	bool bind;
	bool relative;  /* the source was relative to the bundle */
	bool annotated;
	enum plan_verdict verdict;
	struct secretdir_counts counts; /* of a folder */
};

struct plan {
	struct view text;
	struct plan_env *env;
	size_t n_env, room_env;
	struct plan_file *files;
	size_t n_files, room_files;
	struct plan_mount *mounts;
	size_t n_mounts, room_mounts;
	struct edits edits;
	bool terminal;  /* process.terminal */
	char place[64]; /* what is being looked at, for who may not know more: "process.env[3]" */
};

#define cleanup_plan __attribute__((cleanup(plan_done)))

/*
 * Read a container's config.
 *
 * p       zeroed before
 * config  must outlive p, with its text and document
 * bundle  absolute path that relative paths in the config start from
 *
 * Errors, with p->place filled: oci.config, oci.sealed-in-args, ERR_LIMIT, ERR_NOMEM.
 */
int plan_config(struct plan *p, struct node config, const char *bundle, struct err *e) MUST_CHECK;

/* The same for a process alone (exec). */
int plan_process(struct plan *p, struct node process, struct err *e) MUST_CHECK;

struct plan_rules {
	const char *const *prefixes; /* "/var/lib/kubelet/pods/?/volumes/x", with * for ?: one whole name */
	size_t n;
};

/*
 * Look into the sources of the bind mounts: regular files, and folders that a rule or the
 * annotation io.vouchsafe.secrets names.
 *
 * shadow  the container's folder, which gets f/ with replicas; -1: only look
 *
 * Errors, with p->place: oci.secret-files, oci.config (an annotation that names no bind mount),
 * ERR_SYSTEM, ERR_NOMEM.
 */
int plan_files(struct plan *p, const struct plan_rules *rules, int shadow, struct err *e) MUST_CHECK;

/* True when there is something to unseal. */
static inline bool plan_has_secrets(const struct plan *p)
{
	return p->n_env > 0 || p->n_files > 0;
}

struct plan_request {
	struct view sealed;
	const char *name;   /* of the variable, or the path in the container; NULL when over PLAN_NAME_MAX */
	struct secret *out;
};

/*
 * Unseal all of them, in any order, or fail: then *failed is the index of one that failed, and
 * those already unsealed are erased by the caller.
 */
typedef int plan_unseal_fn(void *ctx, struct plan_request *requests, size_t n, size_t *failed,
			   struct err *e);

/*
 * Errors, with p->place: those of unseal as oci.unseal-failed, oci.plaintext-not-text,
 * ERR_LIMIT (PLAN_PLAINTEXT_MAX), ERR_NOMEM.
 */
int plan_unseal(struct plan *p, plan_unseal_fn *unseal, void *ctx, struct err *e) MUST_CHECK;

/*
 * Write the unsealed files below shadow (and erase them here), and complete the edits: mounts
 * point into shadow_path, relative paths are absolute, environment values are plain.
 */
int plan_place(struct plan *p, int shadow, const char *shadow_path, struct err *e) MUST_CHECK;

/* Erase every plaintext: after the config is written, which cannot be done again in its plain form. */
void plan_forget(struct plan *p);

void plan_done(struct plan *p);

/* "not a bind mount", ...: for explain. */
const char *plan_verdict_text(enum plan_verdict v);

/* True when path is the pattern or lies below it; * in the pattern is one whole name. */
bool plan_under(const char *pattern, const char *path);

/* An absolute path without "//", "/." and "..", taken as text. NULL only for no memory. */
char *plan_clean_path(const char *path);

#endif
