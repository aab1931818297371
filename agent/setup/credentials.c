/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/setup/credentials.h"
#include "agent/base/fs.h"
#include "agent/setup/offline.h"
#include "mounts/memfs.h"
#include "mounts/swap.h"

#include <errno.h>
#include <fcntl.h>

enum { FOLDER_MODE = 0755, FILE_MODE = 0600 };

/* The folder is there, and nothing put into it can reach a disk in clear. */
static int check_folder(const char *folder, const struct credential_rules *rules, struct err *e)
{
	cleanup_close int fd = -1;
	char device[256] = "";
	bool clear = false;
	int r;

	/* Of the folder, or of the nearest that exists: what is made below lies on the same. */
	if (!memfs_is_memory(folder))
		return err_code(e, CODE_CREDENTIAL_ON_DISK, "%s is neither on tmpfs nor on ramfs", folder);
	r = fs_mkdirs(folder, FOLDER_MODE, e);
	if (r < 0)
		return r;
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "open %s", folder);
	if (rules->allow_swap || memfs_never_swaps(fd))
		return 0;
	r = swap_in_clear(rules->root, &clear, device, e);
	if (r < 0)
		return r;
	return clear ? err_code(e, CODE_OCI_SWAP, "swap on %s is on and %s may be swapped out", device,
				folder)
		     : 0;
}

static int fetch_one(struct guest_credential *c, const struct credential_rules *rules,
		     struct deadline d, struct err *e)
{
	cleanup_free char *path = fs_join(rules->root, c->path);
	cleanup_free char *folder = path ? strdup(path) : NULL;
	cleanup_secret struct secret value = { 0 };
	struct uri uri;
	int r;

	if (!folder)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	*strrchr(folder, '/') = '\0';
	r = check_folder(folder, rules, e);
	if (r < 0)
		return r;
	if ((r = uri_parse(&uri, view_str(c->uri), e)) < 0 ||
	    (r = rules->resource(rules->resource_ctx, &value, &uri, d, e)) < 0)
		return err_wrap(e, r, "%s", c->uri);
	r = fs_write(path, (struct view){ secret_bytes(&value), value.len }, FILE_MODE, e);
	if (r == 0)
		c->written = true;
	return r;
}

int credentials_fetch(struct guest_credential *list, size_t n, const struct credential_rules *rules,
		      struct deadline d, struct err *e)
{
	struct err first = { 0 }, one;
	size_t missing = 0;
	int r = 0;

	for (size_t i = 0; i < n; i++) {
		int k;

		if (list[i].written)
			continue;
		if (deadline_left_ms(d) == 0)
			k = err_set(&one, ERR_TIMEOUT, "%s: no time was left for it", list[i].path);
		else
			k = fetch_one(&list[i], rules, d, &one);
		if (k < 0 && missing++ == 0) {
			first = one;
			r = k;
		}
	}
	if (r == 0)
		return 0;
	if (e)
		*e = first;
	return err_wrap(e, r, "%zu of %zu credentials are not there yet", missing, n);
}

static int resource(void *ctx, struct secret *out, const struct uri *uri, struct deadline d,
		    struct err *e)
{
	struct guest *g = ctx;
	struct kbs *k;

	if (g->config.offline)
		return offline_resource(g, out, uri, e);
	k = guest_trustee_for(g, uri, e);
	return k ? kbs_get(k, out, uri, d, e) : -(int)ERR_NOTFOUND;
}

int guest_fetch_credentials(struct guest *g, struct deadline d, struct err *e)
{
	const struct credential_rules rules = { g->root, g->image.allow_swap, resource, g };

	return credentials_fetch(g->config.credentials, g->config.n_credentials, &rules, d, e);
}
