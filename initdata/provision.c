/* SPDX-License-Identifier: Apache-2.0 */
#include "initdata/provision.h"
#include "agent/base/clock.h"
#include "agent/base/enc.h"
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

static int forget(const char *root, const char *what, struct err *e)
{
	cleanup_free char *path = fs_join(root, what);

	if (!path)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	if (unlink(path) < 0 && errno != ENOENT && errno != ENOTDIR)
		return err_sys(e, errno, "remove %s", path);
	return 0;
}

int provision_deliver(struct provision_result *out, const struct isolated *in,
		      struct provision_platform *p, const char *root, struct err *e)
{
	struct provision_result done = { .alg = in->alg, .digest = in->d.digest };
	int r = p->open ? p->open(p, e) : 0;

	if (r < 0)
		return r;
	/* Whoever sends the dummy might as well have sent nothing. */
	done.dummy = view_eq(in->d.text, initdata_dummy());
	r = provision_bind(&done, p, done.dummy, &done.digest, e);
	if (r < 0)
		return r;
	/* What is left of an earlier run. */
	if ((r = forget(root, PROVISION_ERROR_PATH, e)) < 0 ||
	    (r = forget(root, PROVISION_REPORT_PATH, e)) < 0)
		return r;
	r = deliver_write(root, &in->d, e);
	if (r < 0)
		return r == -ERR_NOMEM ? r : err_wrap_code(e, CODE_INITDATA_DELIVERY, "deliver");
	for (int f = 0; f < DELIVER_FILES; f++)
		done.file[f] = in->d.file[f].p != NULL;
	for (int f = 0; f < DELIVER_EXTRAS; f++)
		done.extra[f] = in->d.extra[f].p != NULL;
	*out = done;
	return 0;
}

int provision_run(struct provision_result *out, const struct view *delivered,
		  struct provision_platform *p, const char *root, struct err *e)
{
	cleanup_isolated struct isolated in = { 0 };
	const struct isolated_input what = {
		.form = ISOLATED_INITDATA,
		.bytes = delivered ? *delivered : initdata_dummy(),
	};
	int r = isolated_load(&in, &what, e);

	return r < 0 ? r : provision_deliver(out, &in, p, root, e);
}

static int note(const char *root, const char *what, const struct buf *text, mode_t mode,
		struct err *e)
{
	cleanup_free char *folder = fs_join(root, "/run/vouchsafe");
	cleanup_free char *path = fs_join(root, what);
	int r = buf_check(text, "report", e);

	if (r < 0)
		return r;
	if (!folder || !path)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	r = fs_mkdirs(folder, 0755, e);
	return r < 0 ? r : fs_write(path, buf_view(text), mode, e);
}

static int note_reason(const char *root, const struct err *why, struct err *e)
{
	cleanup_buf struct buf b = BUF_MAX(16384);
	char now[24];

	clock_format(now, clock_wall_s());
	buf_printf(&b, "{\"code\":\"%s\",\"message\":", err_name(why));
	json_put_string(&b, view_str(why->msg));
	buf_printf(&b, ",\"time\":\"%s\"}\n", now);
	return note(root, PROVISION_ERROR_PATH, &b, 0600, e);
}

int provision_refuse(const char *root, const struct err *why, struct err *e)
{
	int r = deliver_remove_policy(root, e);
	int noted = note_reason(root, why, r < 0 ? NULL : e);

	return r < 0 ? r : noted;
}

static void put_name(struct buf *b, const char *folder, const char *name)
{
	cleanup_buf struct buf path = BUF_MAX(256);

	buf_printf(&path, "%s%s", folder, name);
	if (b->len > 0 && b->p[b->len - 1] != '[')
		buf_putc(b, ',');
	json_put_string(b, buf_view(&path));
}

static void put_files(struct buf *b, const struct provision_result *done)
{
	buf_puts(b, ",\"files\":[");
	for (int f = 0; f < DELIVER_FILES; f++)
		if (done->file[f])
			put_name(b, "/run/peerpod/", deliver_name((enum deliver_file)f));
	for (int f = 0; f < DELIVER_FILES; f++)
		if (done->file[f] && f != DELIVER_POLICY)
			put_name(b, "/run/confidential-containers/initdata/",
				 deliver_name((enum deliver_file)f));
	for (int f = 0; f < DELIVER_EXTRAS; f++)
		if (done->extra[f])
			put_name(b, "", deliver_extra_path((enum deliver_extra)f));
	put_name(b, "/run/peerpod/", "initdata.digest");
	put_name(b, "", DELIVER_INITDATA_PATH);
	buf_putc(b, ']');
}

/* One a line. */
static void put_skipped(struct buf *b, struct view skipped)
{
	buf_puts(b, ",\"skipped\":[");
	for (size_t i = 0, from = 0; i < skipped.len; i++) {
		if (skipped.p[i] != '\n')
			continue;
		if (from > 0)
			buf_putc(b, ',');
		json_put_string(b, (struct view){ skipped.p + from, i - from });
		from = i + 1;
	}
	buf_putc(b, ']');
}

int provision_report(const char *root, const char *source, const struct provision_result *done,
		     const struct err *why, struct view skipped, struct err *e)
{
	static const char *const how[] = {
		[PROVISION_BOUND] = "bound",
		[PROVISION_ALREADY] = "already-bound",
		[PROVISION_UNBOUND] = "unbound",
	};
	cleanup_buf struct buf b = BUF_MAX(65536);
	char hex[2 * DIGEST_MAX + 1], now[24];

	clock_format(now, clock_wall_s());
	buf_printf(&b, "{\"source\":\"%s\",\"outcome\":\"%s\",\"time\":\"%s\"", source,
		   done ? how[done->how] : "refused", now);
	if (why)
		buf_printf(&b, ",\"code\":\"%s\"", err_name(why));
	if (done) {
		enc_hex_str(hex, digest_view(&done->digest));
		buf_printf(&b, ",\"dummy\":%s,\"algorithm\":\"%s\",\"digest\":\"%s\"",
			   done->dummy ? "true" : "false", hash_name(done->alg), hex);
		put_files(&b, done);
		put_skipped(&b, skipped);
	}
	buf_puts(&b, "}\n");
	return note(root, PROVISION_REPORT_PATH, &b, 0644, e);
}
