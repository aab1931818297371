/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/process.h"
#include "agent/base/enc.h"
#include "mounts/bundle.h"
#include "mounts/edit.h"
#include "mounts/span.h"

#include <stdio.h>

struct build {
	struct edits edits;
	struct node process;
};

static void build_done(struct build *b)
{
	edits_done(&b->edits);
}

static int find(struct node *out, struct node object, const char *key, struct err *e)
{
	int r = node_get(out, object, key, e);

	return r < 0 ? err_wrap_code(e, CODE_OCI_CONFIG, "the container's process") : 0;
}

static int wrong(const char *key, struct err *e)
{
	return err_code(e, CODE_OCI_CONFIG, "%s of the container's process has a wrong type", key);
}

/* An object with members; put() needs one to insert before. An empty one is replaced as a whole. */
static bool is_filled(struct node object)
{
	return object.v && json_is_object(object.v) && json_first(object.v);
}

/* Put a member into an object with members: in place of the one there, or first. */
static int put(struct build *b, struct node object, const char *key, struct buf *value,
	       struct err *e)
{
	cleanup_buf struct buf text = BUF_MAX(value->max + 256);
	struct node m;
	int r = find(&m, object, key, e);

	if (r < 0)
		return r;
	if (m.v)
		return edits_add(&b->edits, m.at, span_len(m.text, m.at), value, NULL, e);
	r = buf_check(value, key, e);
	if (r < 0)
		return r;
	json_put_string(&text, view_str(key));
	buf_putc(&text, ':');
	buf_putv(&text, buf_view(value));
	buf_putc(&text, ',');
	return edits_add(&b->edits, object.at + 1, 0, &text, NULL, e);
}

static int put_text(struct build *b, const char *key, const char *value, struct err *e)
{
	cleanup_buf struct buf v = BUF_MAX(BUNDLE_CONFIG_MAX);

	if (!enc_is_utf8(view_str(value)))
		return err_set(e, ERR_USAGE, "the option for %s is not UTF-8", key);
	json_put_string(&v, view_str(value));
	return put(b, b->process, key, &v, e);
}

static int put_word(struct build *b, struct node object, const char *key, const char *word,
		    struct err *e)
{
	cleanup_buf struct buf v = BUF_MAX(64);

	buf_puts(&v, word);
	return put(b, object, key, &v, e);
}

/* n strings, with a comma between them, none around. */
static int strings(struct buf *out, const char *const *list, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		if (!enc_is_utf8(view_str(list[i])))
			return err_set(e, ERR_USAGE, "an argument of exec is not UTF-8");
		if (i > 0)
			buf_putc(out, ',');
		json_put_string(out, view_str(list[i]));
	}
	return 0;
}

/* Append elements (JSON text, without brackets) to the array, or make it. */
static int append(struct build *b, struct node object, const char *key, struct view elements,
		  struct err *e)
{
	cleanup_buf struct buf text = BUF_MAX(BUNDLE_CONFIG_MAX);
	struct node m;
	int r = find(&m, object, key, e);

	if (r < 0 || elements.len == 0)
		return r;
	if (!m.v || json_is_null(m.v)) {
		buf_putc(&text, '[');
		buf_putv(&text, elements);
		buf_putc(&text, ']');
		return put(b, object, key, &text, e);
	}
	if (!json_is_array(m.v))
		return wrong(key, e);
	if (json_first(m.v))
		buf_putc(&text, ',');
	buf_putv(&text, elements);
	return edits_add(&b->edits, m.at + span_len(m.text, m.at) - 1, 0, &text, NULL, e);
}

static int args_and_env(struct build *b, const struct process_options *o, struct err *e)
{
	cleanup_buf struct buf args = BUF_MAX(BUNDLE_CONFIG_MAX), env = BUF_MAX(BUNDLE_CONFIG_MAX);
	int r;

	buf_putc(&args, '[');
	r = strings(&args, (const char *const *)o->args, o->n_args, e);
	buf_putc(&args, ']');
	if (r < 0 || (r = put(b, b->process, "args", &args, e)) < 0 ||
	    (r = strings(&env, o->env, o->n_env, e)) < 0 || (r = buf_check(&env, "env", e)) < 0)
		return r;
	return append(b, b->process, "env", buf_view(&env), e);
}

static int number(uint32_t *out, const char **s, struct err *e)
{
	uint64_t n = 0;
	const char *p = *s;

	while (*p >= '0' && *p <= '9' && n <= UINT32_MAX)
		n = n * 10 + (unsigned)(*p++ - '0');
	if (p == *s || n > UINT32_MAX)
		return err_set(e, ERR_USAGE, "\"%.40s\" is no user: want UID or UID:GID in numbers", *s);
	*out = (uint32_t)n;
	*s = p;
	return 0;
}

static int user(struct build *b, const struct process_options *o, struct err *e)
{
	cleanup_buf struct buf text = BUF_MAX(4096);
	const char *s = o->user ? o->user : "";
	uint32_t uid = 0, gid = 0;
	bool has_uid = s[0] != '\0', has_gid = false;
	struct node u;
	int r = has_uid ? number(&uid, &s, e) : 0;

	if (r == 0 && *s == ':') {
		s++;
		has_gid = true;
		r = number(&gid, &s, e);
	}
	if (r == 0 && *s)
		r = err_set(e, ERR_USAGE, "bytes behind the user: \"%.40s\"", s);
	if (r < 0 || (r = find(&u, b->process, "user", e)) < 0)
		return r;
	if (is_filled(u)) {
		char word[16];

		(void)snprintf(word, sizeof word, "%u", uid);
		if (has_uid && (r = put_word(b, u, "uid", word, e)) < 0)
			return r;
		(void)snprintf(word, sizeof word, "%u", gid);
		if (has_gid && (r = put_word(b, u, "gid", word, e)) < 0)
			return r;
		for (size_t i = 0; i < o->n_gids; i++)
			buf_printf(&text, "%s%u", i ? "," : "", o->gids[i]);
		r = buf_check(&text, "gids", e);
		return r < 0 ? r : append(b, u, "additionalGids", buf_view(&text), e);
	}
	if (u.v && !json_is_null(u.v) && !json_is_object(u.v))
		return wrong("user", e);
	if (!has_uid && o->n_gids == 0)
		return 0;
	buf_printf(&text, "{\"uid\":%u,\"gid\":%u,\"additionalGids\":[", uid, gid);
	for (size_t i = 0; i < o->n_gids; i++)
		buf_printf(&text, "%s%u", i ? "," : "", o->gids[i]);
	buf_puts(&text, "]}");
	return put(b, b->process, "user", &text, e);
}

static int caps(struct build *b, const struct process_options *o, struct err *e)
{
	static const char *const sets[] = { "bounding", "effective", "permitted", "ambient" };
	cleanup_buf struct buf list = BUF_MAX(8192), all = BUF_MAX(65536);
	struct node c, inheritable;
	int r;

	if (o->n_caps == 0)
		return 0;
	if ((r = strings(&list, o->caps, o->n_caps, e)) < 0 ||
	    (r = buf_check(&list, "capabilities", e)) < 0 ||
	    (r = find(&c, b->process, "capabilities", e)) < 0 ||
	    (r = find(&inheritable, c, "inheritable", e)) < 0)
		return r;
	if (is_filled(c)) {
		/* Ambient ones need inheritable ones, which exec does not add. */
		for (size_t i = 0; r == 0 && i < (inheritable.v ? 4 : 3); i++)
			r = append(b, c, sets[i], buf_view(&list), e);
		return r;
	}
	if (c.v && !json_is_null(c.v) && !json_is_object(c.v))
		return wrong("capabilities", e);
	for (size_t i = 0; i < 3; i++)
		buf_printf(&all, "%c\"%s\":[%s]", i ? ',' : '{', sets[i], buf_str(&list));
	buf_putc(&all, '}');
	return put(b, b->process, "capabilities", &all, e);
}

int process_build(struct buf *out, struct node config, const struct process_options *o,
		  struct err *e)
{
	__attribute__((cleanup(build_done))) struct build b = { 0 };
	cleanup_buf struct buf whole = BUF_MAX(2 * BUNDLE_CONFIG_MAX);
	struct view text;
	int r = find(&b.process, config, "process", e);

	if (r < 0)
		return r;
	if (!is_filled(b.process))
		return err_code(e, CODE_OCI_CONFIG, "the container's config has no process");
	if ((r = args_and_env(&b, o, e)) < 0 ||
	    (o->cwd && o->cwd[0] && (r = put_text(&b, "cwd", o->cwd, e)) < 0) ||
	    (o->apparmor && o->apparmor[0] &&
	     (r = put_text(&b, "apparmorProfile", o->apparmor, e)) < 0) ||
	    (o->label && o->label[0] && (r = put_text(&b, "selinuxLabel", o->label, e)) < 0) ||
	    (r = put_word(&b, b.process, "terminal", o->tty ? "true" : "false", e)) < 0 ||
	    (o->no_new_privs >= 0 &&
	     (r = put_word(&b, b.process, "noNewPrivileges", o->no_new_privs ? "true" : "false",
			   e)) < 0) ||
	    (r = user(&b, o, e)) < 0 || (r = caps(&b, o, e)) < 0)
		return r;
	/* Places count from the whole config; the process is cut out of it, edited. */
	text = (struct view){ config.text.p, b.process.at + span_len(config.text, b.process.at) };
	r = edits_apply(&whole, &b.edits, text, e);
	if (r == 0)
		buf_putv(out, (struct view){ whole.p + b.process.at, whole.len - b.process.at });
	return r < 0 ? r : buf_check(out, "the process", e);
}
