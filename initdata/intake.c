/* SPDX-License-Identifier: Apache-2.0 */
#include "initdata/intake.h"
#include "agent/base/fs.h"
#include "agent/base/log.h"
#include "initdata/initdata.h"

#include <errno.h>
#include <time.h>

/* What cloud-init, or we in an earlier run, left. */
static int read_existing(struct buf *out, bool *there, const char *root, struct err *e)
{
	cleanup_free char *path = fs_join(root, INTAKE_EXISTING);
	int r;

	if (!path)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	r = fs_read(out, path, INITDATA_ENCODED_MAX, e);
	*there = r == 0;
	if (r == -ERR_NOTFOUND || r == 0)
		return 0;
	if (r == -ERR_LIMIT)
		return err_wrap_code(e, CODE_INITDATA_TOO_LARGE, "initdata");
	return r == -ERR_NOMEM ? r : err_wrap_code(e, CODE_INITDATA_SOURCE, "initdata");
}

static struct isolated_input input_of(const struct source_data *data, bool there,
				      const struct buf *existing)
{
	struct isolated_input in = { .bytes = buf_view(&data->bytes) };

	switch (data->form) {
	case SOURCE_PLAIN:
	case SOURCE_BASE64:
		in.form = data->form == SOURCE_PLAIN ? ISOLATED_USERDATA : ISOLATED_USERDATA_BASE64;
		in.has_existing = there;
		in.existing = buf_view(existing);
		break;
	case SOURCE_GZIP:
		in.form = ISOLATED_GZIP;
		break;
	case SOURCE_NOTHING:
		in.form = ISOLATED_INITDATA;
		in.bytes = there ? buf_view(existing) : initdata_dummy();
		break;
	}
	return in;
}

static bool is_dummy(const struct isolated *in)
{
	return view_eq(in->d.text, initdata_dummy());
}

/* Where nobody gave one, the file is there all the same. */
static int add_dummy(struct intake *out, struct err *e)
{
	int r;

	out->dummy = BUF_MAX(4096);
	r = initdata_encode(&out->dummy, initdata_dummy(), e);
	if (r == 0)
		out->in.d.extra[EXTRA_INITDATA] = buf_view(&out->dummy);
	return r;
}

static int try_once(struct intake *out, const struct source_env *env, struct err *e)
{
	cleanup_source_data struct source_data data = { 0 };
	cleanup_buf struct buf existing = BUF_MAX(INITDATA_ENCODED_MAX);
	struct isolated_input in;
	bool there = false;
	int r = source_fetch(&data, out->source, env, e);

	/* Native kata has no such file. */
	if (r == 0 && out->source != SOURCE_BLOCK)
		r = read_existing(&existing, &there, env->root, e);
	if (r < 0)
		return r;
	in = input_of(&data, there, &existing);
	r = isolated_load(&out->in, &in, e);
	if (r < 0 || out->source == SOURCE_BLOCK || there || !is_dummy(&out->in) ||
	    out->in.d.extra[EXTRA_INITDATA].p)
		return r;
	return add_dummy(out, e);
}

/* The source's own troubles, as far as waiting may help. */
static bool may_pass(enum source_kind kind, const struct err *e)
{
	if (kind == SOURCE_NONE || kind == SOURCE_BLOCK)
		return false;
	return e->code == CODE_USERDATA_UNAVAILABLE || e->code == CODE_USERDATA_SYNTAX ||
	       e->code == CODE_USERDATA_ENCODING || e->code == CODE_USERDATA_TOO_LARGE ||
	       (kind == SOURCE_CIDATA && e->code == CODE_INITDATA_SOURCE);
}

static void pause_for(int64_t ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

int intake_run(struct intake *out, enum source_kind kind, const struct source_env *env,
	       int64_t pause_ms, struct err *e)
{
	struct err why = { 0 };
	int r, tries = 0;

	out->source = kind;
	if (kind == SOURCE_AUTO) {
		r = source_choose(&out->source, env, e);
		if (r < 0)
			return r;
	}
	for (;;) {
		int64_t left;

		r = try_once(out, env, &why);
		tries++;
		if (r == 0 || !may_pass(out->source, &why) || tries == INTAKE_TRIES)
			break;
		log_debug("user-data", "try=%d code=%s why=\"%s\"", tries, err_name(&why), why.msg);
		left = deadline_left_ms(env->deadline);
		pause_for(pause_ms < left ? pause_ms : left);
		if (deadline_left_ms(env->deadline) == 0)
			break;
	}
	if (r == 0)
		return 0;
	if (e)
		*e = why;
	return tries == 1 ? r : err_wrap(e, r, "after %d tries", tries);
}

void intake_done(struct intake *i)
{
	isolated_done(&i->in);
	buf_done(&i->dummy);
	*i = (struct intake){ 0 };
}
