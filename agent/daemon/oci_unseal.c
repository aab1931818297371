/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/ttrpc_client.h"
#include "agent/base/version.h"
#include "agent/daemon/oci.h"
#include "agent/setup/measured.h"
#include "mounts/swap.h"

#include <stdio.h>

static int swap_permit(bool *allowed, const struct oci *o, struct err *e)
{
	struct image_settings image;
	int r;

	if (o->set.swap_said) {
		*allowed = o->set.allow_swap;
		return 0;
	}
	r = measured_load(&image, "", e);
	if (r == 0)
		*allowed = image.allow_swap;
	return r;
}

int oci_check_disk(struct oci *o, bool env, struct err *e)
{
	bool clear, allowed = false;
	char device[256];
	struct err why;
	int r = swap_in_clear("", &clear, device, e);

	if (r < 0)
		return r;
	if (clear) {
		r = swap_permit(&allowed, o, e);
		if (r < 0)
			return r;
		r = err_code(&why, CODE_OCI_SWAP, "%.200s is swapped to in clear%s", device,
			     allowed ? "; a permit allows it" : "");
		if (!allowed) {
			if (e)
				*e = why;
			return r;
		}
		oci_warn(o, &why);
	}
	if (!env || oci_kind(&o->set) == OCI_RUNC)
		return 0;
	r = oci_state_root(o, e);
	if (r < 0)
		return r;
	return memfs_is_memory(o->state_root) ?
		       0 :
		       err_code(e, CODE_OCI_ROOT_ON_DISK, "%s keeps the config in %s", o->set.runtime,
				o->state_root);
}

struct batch {
	struct oci *o;
	struct ttrpc_request *call; /* n of them */
	size_t *of;                 /* n: which request it answers */
};

static void batch_done(struct batch *b, size_t n)
{
	for (size_t i = 0; b->call && i < n; i++)
		secret_done(&b->call[i].reply);
	free(b->call);
	free(b->of);
}

/* One connection. Returns how many answers came, or -kind when one was bad (its index in *failed). */
static int try_once(struct batch *b, struct plan_request *req, size_t n, bool *have, size_t *failed,
		    struct deadline d, struct err *e)
{
	struct ttrpc_client *c = NULL;
	size_t m = 0;
	int r, broken;

	for (size_t i = 0; i < n; i++) {
		if (have[i])
			continue;
		b->of[m] = i;
		b->call[m++] = (struct ttrpc_request){ .method = &ttrpc_unseal_secret,
						       .text = req[i].sealed,
						       .name = req[i].name };
	}
	*failed = b->of[0];
	r = ttrpc_client_open(&c, b->o->set.socket, d, e);
	if (r < 0)
		return r;
	broken = ttrpc_client_call(c, b->call, m, d, e);
	ttrpc_client_close(c);
	for (size_t k = 0; k < m; k++) {
		struct ttrpc_request *call = &b->call[k];

		if (call->result == 0) {
			secret_move(req[b->of[k]].out, &call->reply);
			have[b->of[k]] = true;
		} else if (broken == 0 || call->result != broken) {
			/* Refused by name, not lost with the connection. */
			*failed = b->of[k];
			if (e)
				*e = call->err;
			return call->result;
		}
	}
	return broken;
}

static int unseal_all(void *ctx, struct plan_request *req, size_t n, size_t *failed, struct err *e)
{
	struct batch b = { ctx, calloc(n + 1, sizeof *b.call), calloc(n + 1, sizeof *b.of) };
	struct deadline d = deadline_in((int64_t)b.o->set.timeout_s * 1000);
	cleanup_free bool *have = calloc(n + 1, sizeof *have);
	struct err first;
	int r;

	if (!b.call || !b.of || !have) {
		batch_done(&b, 0);
		return err_set(e, ERR_NOMEM, "no memory for requests");
	}
	/* The daemon may be restarted meanwhile: what has no answer yet is asked again. */
	while ((r = try_once(&b, req, n, have, failed, d, &first)) == -(int)ERR_NETWORK &&
	       first.code == CODE_API_UNREACHABLE && deadline_left_ms(d) > 0)
		(void)usleep(50 * 1000);
	batch_done(&b, n);
	if (r < 0) {
		struct err named = first;

		(void)snprintf(first.msg, sizeof first.msg, "%s: %.450s", err_name(&named), named.msg);
		if (e)
			*e = first;
	}
	return r;
}

int oci_unseal(struct oci *o, struct plan *p, struct err *e)
{
	return plan_unseal(p, unseal_all, o, e);
}
