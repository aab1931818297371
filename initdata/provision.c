/* SPDX-License-Identifier: Apache-2.0 */
#include "initdata/provision.h"
#include "agent/base/clock.h"
#include "agent/base/fs.h"
#include "agent/base/json.h"
#include "initdata/initdata.h"

#include <errno.h>

static int fail_other(const struct provision_platform *p, bool absent, struct err *e)
{
	if (absent)
		return err_code(e, CODE_INITDATA_MISSING,
				"no initdata was delivered, but the register is set");
	if (p->bind)
		return err_code(e, CODE_INITDATA_PCR8_IN_USE,
				"the PCR holds another value than this initdata gives");
	return err_code(e, CODE_INITDATA_DIGEST_MISMATCH,
			"the register does not hold this initdata's digest");
}

/* Bind, and look: the device could have ignored it, another program could have been quicker. */
static int bind_now(const struct provision_platform *p, struct view digest, struct err *e)
{
	enum provision_register now = REGISTER_OTHER;
	int r = p->bind(p->ctx, digest, e);

	if (r < 0)
		return err_wrap(e, r, "bind the initdata");
	r = p->binding(p->ctx, digest, &now, e);
	if (r < 0)
		return err_wrap(e, r, "check the binding of the initdata");
	if (now == REGISTER_EMPTY)
		return err_code(e, CODE_TPM_FAILED, "the register is empty after it was extended");
	return now == REGISTER_MATCHES ? 0 : fail_other(p, false, e);
}

static int unbound(struct provision_result *out, const struct provision_platform *p,
		   const char *why, struct err *e)
{
	if (!p->permit_unbound)
		return err_code(e, CODE_INITDATA_UNBINDABLE, "%s", why);
	out->how = PROVISION_UNBOUND;
	return 0;
}

int provision_bind(struct provision_result *out, const struct provision_platform *p, bool absent,
		   const struct digest *digest, struct err *e)
{
	enum provision_register now = REGISTER_OTHER;
	int r;

	if (!p->binding)
		return unbound(out, p, "this platform has no register for the initdata", e);
	r = p->binding(p->ctx, digest_view(digest), &now, e);
	if (r < 0)
		return err_wrap(e, r, "compare the initdata with the register");
	if (now == REGISTER_MATCHES) {
		out->how = PROVISION_ALREADY;
		return 0;
	}
	if (now == REGISTER_OTHER)
		return fail_other(p, absent, e);
	if (!p->bind && absent)
		return unbound(out, p, "there is no initdata and the host binds none", e);
	if (!p->bind)
		return fail_other(p, false, e);
	r = bind_now(p, digest_view(digest), e);
	if (r == 0)
		out->how = PROVISION_BOUND;
	return r;
}

/* A reason of an earlier run. */
static int forget_reason(const char *root, struct err *e)
{
	cleanup_free char *path = fs_join(root, PROVISION_ERROR_PATH);

	if (!path)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	if (unlink(path) < 0 && errno != ENOENT && errno != ENOTDIR)
		return err_sys(e, errno, "remove %s", path);
	return 0;
}

int provision_run(struct provision_result *out, const struct view *delivered,
		  struct provision_platform *p, const char *root, struct err *e)
{
	cleanup_isolated struct isolated in = { 0 };
	struct provision_result done = { .dummy = !delivered };
	int r;

	r = isolated_load(&in, delivered ? *delivered : initdata_dummy(), e);
	if (r < 0)
		return r;
	done.alg = in.alg;
	done.digest = in.d.digest;
	r = p->open ? p->open(p, e) : 0;
	if (r < 0)
		return r;
	r = provision_bind(&done, p, !delivered, &done.digest, e);
	if (r < 0)
		return r;
	r = forget_reason(root, e);
	if (r < 0)
		return r;
	r = deliver_write(root, &in.d, e);
	if (r < 0)
		return err_wrap(e, r, "deliver the initdata's files");
	*out = done;
	return 0;
}

static int note_reason(const char *root, const struct err *why, struct err *e)
{
	cleanup_free char *folder = fs_join(root, "/run/vouchsafe");
	cleanup_free char *path = fs_join(root, PROVISION_ERROR_PATH);
	cleanup_buf struct buf b = BUF_MAX(16384);
	char now[24];
	int r;

	if (!folder || !path)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	clock_format(now, clock_wall_s());
	buf_printf(&b, "{\"code\":\"%s\",\"message\":", err_name(why));
	json_put_string(&b, view_str(why->msg));
	buf_printf(&b, ",\"time\":\"%s\"}\n", now);
	r = buf_check(&b, "reason", e);
	if (r < 0)
		return r;
	r = fs_mkdirs(folder, 0755, e);
	return r < 0 ? r : fs_write(path, buf_view(&b), 0600, e);
}

int provision_refuse(const char *root, const struct err *why, struct err *e)
{
	int r = deliver_remove_policy(root, e);
	int noted = note_reason(root, why, r < 0 ? NULL : e);

	return r < 0 ? r : noted;
}
