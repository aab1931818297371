/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/fs.h"
#include "agent/base/version.h"
#include "agent/daemon/oci.h"
#include "agent/setup/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define IMAGE_PATH "/usr/lib/vouchsafe/oci.toml"
#define LOCAL_PATH "/etc/vouchsafe/oci.toml"

enum { SETTINGS_MAX = 64 * 1024, TIMEOUT_MAX_S = 600, MEMORY_MAX_MIB = 4096 };

/* What a pod's secrets come in: kubelet's volumes, podman's, and where a container looks for them. */
static const char *const default_prefixes[] = {
	"/var/lib/kubelet/pods/*/volumes/kubernetes.io~secret",
	"/var/lib/kubelet/pods/*/volumes/kubernetes.io~projected",
	"/run/secrets",
	"/var/run/secrets",
	"/var/lib/containers/storage/overlay-containers/*/userdata/secrets",
	"/var/lib/containers/storage/overlay-containers/*/userdata/run/secrets",
};

static int add_prefixes(struct oci_settings *s, const char *const *list, size_t n, struct err *e)
{
	char **all;

	if (n > OCI_LIST_MAX - s->n_prefixes)
		return err_code(e, CODE_CONFIG_VALUE, "more than %d secret prefixes", OCI_LIST_MAX);
	all = calloc(OCI_LIST_MAX, sizeof *all);
	if (!all)
		return err_set(e, ERR_NOMEM, "no memory for settings");
	if (s->n_prefixes > 0)
		memcpy(all, s->prefixes, s->n_prefixes * sizeof *all);
	free(s->prefixes);
	s->prefixes = all;
	for (size_t i = 0; i < n; i++) {
		if (list[i][0] != '/')
			return err_code(e, CODE_CONFIG_VALUE, "secret prefix \"%.100s\" is not absolute",
					list[i]);
		all[s->n_prefixes] = strdup(list[i]);
		if (!all[s->n_prefixes])
			return err_set(e, ERR_NOMEM, "no memory for settings");
		s->n_prefixes++;
	}
	return 0;
}

struct lists {
	char **replace, **more;
	size_t n_replace, n_more;
};

static void lists_done(struct lists *l)
{
	if (l->replace)
		settings_list_free(l->replace, l->n_replace);
	if (l->more)
		settings_list_free(l->more, l->n_more);
}

static int read_lists(struct oci_settings *s, const struct settings *in, struct err *e)
{
	__attribute__((cleanup(lists_done))) struct lists l = { 0 };
	int r = settings_list(&l.replace, &l.n_replace, in, "secret_prefixes", OCI_LIST_MAX, e);

	if (r < 0 || (r = settings_list(&l.more, &l.n_more, in, "more_secret_prefixes",
					OCI_LIST_MAX, e)) < 0)
		return r;
	if (l.replace) {
		for (size_t i = 0; i < s->n_prefixes; i++)
			free(s->prefixes[i]);
		s->n_prefixes = 0;
		r = add_prefixes(s, (const char *const *)l.replace, l.n_replace, e);
	}
	return r < 0 ? r : add_prefixes(s, (const char *const *)l.more, l.n_more, e);
}

static int read_permit(struct oci_settings *s, const struct settings *in, struct err *e)
{
	const struct toml *permit;
	int r = settings_table(&permit, in, "permit", e);

	if (r < 0 || !permit)
		return r;
	if (!version_is_dev)
		return err_code(e, CODE_CONFIG_NOT_PERMITTED, "%s has a permit", in->text_name);
	s->swap_said = toml_get(permit, "allow_swap") != NULL;
	return settings_bool(&s->allow_swap, in, "permit.allow_swap", e);
}

static int read_values(struct oci_settings *s, const struct settings *in, bool trusted,
		       struct err *e)
{
	static const char *const known[] = {
		"timeout_s",  "more_secret_prefixes", "runtime",    "socket",
		"memory_dir", "secret_prefixes",      "memory_mib", "permit.allow_swap",
	};
	static const char *const trust[] = { "runtime",	    "socket",	       "memory_dir",
					     "memory_mib", "secret_prefixes", "permit" };
	int r = settings_only(in, known, ARRAY_LEN(known), e);

	for (size_t i = 0; r == 0 && !trusted && i < ARRAY_LEN(trust); i++)
		if (toml_get(in->root, trust[i]))
			return err_code(e, CODE_CONFIG_UNMEASURED, "%s may not set %s",
					in->text_name, trust[i]);
	if (r < 0 || (r = settings_text(&s->runtime, in, "runtime", e)) < 0 ||
	    (r = settings_text(&s->socket, in, "socket", e)) < 0 ||
	    (r = settings_text(&s->memory_dir, in, "memory_dir", e)) < 0 ||
	    (r = settings_uint(&s->memory_mib, in, "memory_mib", MEMORY_MAX_MIB, e)) < 0 ||
	    (r = settings_uint(&s->timeout_s, in, "timeout_s", TIMEOUT_MAX_S, e)) < 0 ||
	    (r = read_lists(s, in, e)) < 0 || (r = read_permit(s, in, e)) < 0)
		return r;
	if (s->timeout_s == 0 || s->memory_mib == 0)
		return err_code(e, CODE_CONFIG_VALUE, "%s: timeout_s and memory_mib are at least 1",
				in->text_name);
	return 0;
}

static int read_file(struct oci_settings *s, const char *path, bool trusted, bool must, struct err *e)
{
	cleanup_close int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	cleanup_buf struct buf text = BUF_MAX(SETTINGS_MAX);
	cleanup_toml struct toml *root = NULL;
	struct stat st;
	int r;

	if (fd < 0 && errno == ENOENT && !must)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, errno, "open %s", path);
	if (!S_ISREG(st.st_mode) || (st.st_mode & (S_IWGRP | S_IWOTH)) ||
	    (st.st_uid != 0 && st.st_uid != geteuid()))
		return err_code(e, CODE_CONFIG_VALUE,
				"%s must be a regular file that only root can write", path);
	r = fs_read_fd(&text, fd, SETTINGS_MAX, path, e);
	if (r < 0)
		return r;
	r = toml_parse(&root, buf_view(&text), e);
	if (r < 0)
		return err_wrap_code(e, CODE_CONFIG_SYNTAX, "%s", path);
	return read_values(s, &(struct settings){ .text_name = path, .root = root }, trusted, e);
}

int oci_settings_load(struct oci_settings *s, const char *extra, struct err *e)
{
	int r;

	s->runtime = strdup("runc");
	s->socket = strdup("/run/confidential-containers/cdh.sock");
	s->memory_dir = strdup("/run/vouchsafe/oci");
	if (!s->runtime || !s->socket || !s->memory_dir)
		return err_set(e, ERR_NOMEM, "no memory for settings");
	s->memory_mib = 256;
	s->timeout_s = 50;
	r = add_prefixes(s, default_prefixes, ARRAY_LEN(default_prefixes), e);
	if (r < 0 || (r = read_file(s, IMAGE_PATH, true, false, e)) < 0 ||
	    (r = read_file(s, LOCAL_PATH, false, false, e)) < 0)
		return r;
	return extra ? read_file(s, extra, true, true, e) : 0;
}

/* The program at path, unless it is not one, or is ourselves (who would call himself for ever). */
static bool is_runtime(const char *path, const struct stat *self)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0 &&
	       !(st.st_dev == self->st_dev && st.st_ino == self->st_ino);
}

int oci_find_runtime(struct oci_settings *s, struct err *e)
{
	static const char *const dirs[] = { "/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
					    "/usr/bin",	       "/sbin",		 "/bin" };
	struct stat self;

	if (stat("/proc/self/exe", &self) < 0)
		return err_sys(e, errno, "stat /proc/self/exe");
	if (s->runtime[0] == '/')
		return is_runtime(s->runtime, &self) ?
			       0 :
			       err_code(e, CODE_OCI_RUNTIME, "%s is no other program",
					s->runtime);
	for (size_t i = 0; !strchr(s->runtime, '/') && i < ARRAY_LEN(dirs); i++) {
		cleanup_free char *path = NULL;

		if (asprintf(&path, "%s/%s", dirs[i], s->runtime) < 0) {
			path = NULL;
			return err_set(e, ERR_NOMEM, "no memory for a path");
		}
		if (!is_runtime(path, &self))
			continue;
		free(s->runtime);
		s->runtime = take(path);
		return 0;
	}
	return err_code(e, CODE_OCI_RUNTIME, "no program %.100s in /usr/local/sbin … /bin",
			s->runtime);
}

enum oci_kind oci_kind(const struct oci_settings *s)
{
	cleanup_free char *real = realpath(s->runtime, NULL);
	const char *slash = real ? strrchr(real, '/') : NULL;

	if (!slash)
		return OCI_OTHER;
	return strcmp(slash, "/runc") == 0 ? OCI_RUNC :
	       strcmp(slash, "/crun") == 0 ? OCI_CRUN :
					     OCI_OTHER;
}
