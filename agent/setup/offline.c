/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/setup/offline.h"
#include "agent/base/enc.h"
#include "agent/base/fs.h"
#include "agent/base/json.h"
#include "agent/base/version.h"

static void text_done(struct buf *b)
{
	if (b->p)
		explicit_bzero(b->p, b->len);
	buf_done(b);
}

/* An empty value cannot be held by a secret; upstream gives it as empty bytes. */
static int decode(struct secret *out, const char *text, struct err *e)
{
	size_t len = strlen(text) / 4 * 3;
	int r = secret_alloc(out, len > 0 ? len : 1, e);

	if (r < 0)
		return r;
	len = out->cap;
	r = enc_base64_decode_into(out->p, &len, ENC_B64, view_str(text), e);
	if (r == 0)
		out->len = len;
	return r;
}

/* Every value is decoded, so that a damaged file shows at once; *out keeps that of `path`. */
static int read_object(struct secret *out, bool *found, const struct json *doc, const char *path,
		       const char *file, struct err *e)
{
	if (!json_is_object(doc))
		return err_code(e, CODE_CONFIG_SYNTAX, "%s: want an object of strings", file);
	for (const struct json *m = json_first(doc); m; m = json_next(m)) {
		cleanup_secret struct secret value = { 0 };

		if (!json_string(m))
			return err_code(e, CODE_CONFIG_SYNTAX, "%s: \"%.80s\" is no string", file,
					json_key(m));
		if (decode(&value, json_string(m), e) < 0)
			return err_wrap_code(e, CODE_CONFIG_SYNTAX, "%s: \"%.80s\"", file, json_key(m));
		if (strcmp(json_key(m), path) == 0) {
			secret_move(out, &value);
			*found = true;
		}
	}
	return 0;
}

static int read_file(struct secret *out, bool *found, const char *root, const char *name,
		     const char *path, struct err *e)
{
	__attribute__((cleanup(text_done))) struct buf text = BUF_MAX(OFFLINE_FILE_MAX);
	cleanup_free char *file = fs_join(root, name);
	cleanup_json struct json *doc = NULL;
	int r;

	if (!file)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	r = fs_read(&text, file, OFFLINE_FILE_MAX, e);
	if (r == -(int)ERR_NOTFOUND)
		return 0;
	if (r < 0)
		return r;
	r = json_parse(&doc, buf_view(&text), OFFLINE_FILE_MAX, e);
	if (r < 0)
		return err_wrap_code(e, CODE_CONFIG_SYNTAX, "%s", file);
	return read_object(out, found, doc, path, file, e);
}

int offline_find(const char *root, struct secret *out, const struct uri *uri, struct err *e)
{
	static const char *const files[] = {
		"/etc/aa-offline_fs_kbc-keys.json",
		"/etc/aa-offline_fs_kbc-resources.json",
	};
	cleanup_secret struct secret value = { 0 };
	bool found = false;

	if (strcmp(uri->plugin, "resource") != 0)
		return err_code(e, CODE_KBS_PLUGIN_MISSING, "offline_fs_kbc has no plugin %s",
				uri->plugin);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		int r = read_file(&value, &found, root, files[i], uri->path, e);

		if (r < 0)
			return r;
	}
	if (!found)
		return err_code(e, CODE_KBS_NOT_FOUND, "%s is in no file of offline_fs_kbc", uri->text);
	secret_move(out, &value);
	return 0;
}

int offline_resource(const struct guest *g, struct secret *out, const struct uri *uri, struct err *e)
{
	if (!version_is_dev || !g->config.offline)
		return err_code(e, CODE_CONFIG_NOT_PERMITTED,
				"offline_fs_kbc: resources of files that nobody measured");
	return offline_find(g->root, out, uri, e);
}
