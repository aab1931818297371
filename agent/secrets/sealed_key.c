/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/secrets/sealed_key.h"
#include "agent/base/fs.h"
#include "agent/crypto/jwk.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* uri is NULL when the kid is none. */
static bool is_listed(const struct sealed_rules *rules, const char *kid, const struct uri *uri)
{
	struct uri listed;

	for (size_t i = 0; i < rules->n_kids; i++) {
		if (strcmp(rules->kids[i], kid) == 0)
			return true;
		if (uri && uri_parse(&listed, view_str(rules->kids[i]), NULL) == 0 &&
		    strcmp(listed.text, uri->text) == 0)
			return true;
	}
	return false;
}

static int from_trustee(struct secret *out, const struct sealed_rules *rules, const struct uri *uri,
			struct deadline d, struct err *e)
{
	int r;

	if (!rules->kbs_keys_allowed)
		return err_code(e, CODE_TRUST_PLAIN_HTTP,
				"signing key %.200s would come from Trustee over plain http",
				uri->text);
	r = (rules->signing_key ? rules->signing_key : rules->resource)(rules->resource_ctx, out,
									uri, d, e);
	if (r < 0 && e->code == CODE_KBS_NOT_FOUND)
		return err_wrap_code(e, CODE_SEALED_KEY_MISSING, "signing key %.160s", uri->text);
	return r < 0 ? err_wrap(e, r, "signing key %.160s", uri->text) : 0;
}

static int read_key(struct secret *out, int fd, const char *kid, struct err *e)
{
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "stat signing key \"%.160s\"", kid);
	if (!S_ISREG(st.st_mode))
		return err_code(e, CODE_SEALED_KEY, "signing key \"%.160s\" is not a regular file",
				kid);
	r = secret_read(out, fd, JWK_TEXT_MAX, kid, e);
	if (r == -ERR_LIMIT)
		return err_code(e, CODE_SEALED_KEY, "signing key \"%.160s\" is over %u bytes", kid,
				JWK_TEXT_MAX);
	return r < 0 ? err_wrap(e, r, "signing key") : 0;
}

static int missing(struct err *e, const char *kid, const char *why)
{
	return err_code(e, CODE_SEALED_KEY_MISSING, "signing key \"%.160s\": %s", kid, why);
}

static int from_directory(struct secret *out, const struct sealed_rules *rules, const char *kid,
			  struct err *e)
{
	cleanup_close int dir = -1;
	cleanup_close int fd = -1;

	if (!rules->credential_dir)
		return missing(e, kid, "no resource URI, and there is no credential directory");
	if (kid[0] == '/')
		return missing(e, kid,
			       "neither a resource URI nor a name in the credential directory");
	dir = open(rules->credential_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 && (errno == ENOENT || errno == ENOTDIR))
		return missing(e, kid, "the credential directory is not there");
	if (dir < 0)
		return err_sys(e, errno, "open %s", rules->credential_dir);
	fd = fs_open_beneath(dir, kid, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, e);
	if (fd == -ERR_NOTFOUND)
		return missing(e, kid, "not in the credential directory");
	/* These are the kid's doing, which is the host's until it is verified: no system failure.
	 */
	if (fd < 0 && (e->sys == EXDEV || e->sys == ELOOP || e->sys == ENAMETOOLONG))
		return missing(e, kid, "leads out of the credential directory");
	if (fd < 0)
		return err_wrap(e, fd, "signing key");
	return read_key(out, fd, kid, e);
}

int sealed_key_find(struct secret *out, const struct sealed_rules *rules, const char *kid,
		    struct deadline d, struct err *e)
{
	struct err own;
	struct uri uri;
	int r;

	e = e ? e : &own;
	r = uri_parse(&uri, view_str(kid), e);
	if (rules->kids && !is_listed(rules, kid, r == 0 ? &uri : NULL))
		return err_code(e, CODE_SEALED_KID_NOT_LISTED,
				"signing key \"%.160s\" is not listed", kid);
	if (r == 0)
		return from_trustee(out, rules, &uri, d, e);
	if (r != -ERR_USAGE)
		return r;
	/* What was meant as a URI is no file name. */
	if (strncmp(kid, "kbs:", 4) == 0 || strncmp(kid, "kbs+", 4) == 0)
		return err_wrap_code(e, CODE_SEALED_FORMAT, "kid of the sealed secret");
	return from_directory(out, rules, kid, e);
}
