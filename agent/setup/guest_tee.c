/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/teed.h"
#include "agent/base/fs.h"
#include "agent/setup/guest.h"
#include "attester/sev_guest.h"
#include "attester/tdx_guest.h"
#include "attester/tee_local.h"
#include "attester/tsm.h"

#include <fcntl.h>

_Static_assert(TEED_DATA == TEE_DATA && TEED_DIGEST == TEE_DIGEST && TEED_RTMRS == TEE_RTMRS &&
		       TEED_REPORT_MAX == TEE_REPORT_MAX && TEED_CERTS_MAX == TEE_CERTS_MAX,
	       "teed's protocol carries what the attesters ask for");

struct guest_tee {
	struct teed_client client; /* of vouchsafe-teed */
	struct tee_local local;    /* or our own hands */
};

static int quote(void *ctx, const uint8_t data[TEE_DATA], struct tee_quote *out, struct err *e)
{
	struct teed_request q = { .op = TEED_QUOTE };
	cleanup_buf struct buf packet = { 0 };
	cleanup_tee_quote struct tee_quote made = { .report = BUF_MAX(TEE_REPORT_MAX),
						    .certs = BUF_MAX(TEE_CERTS_MAX) };
	struct teed_reply reply;
	int r;

	memcpy(q.data, data, TEE_DATA);
	r = teed_call(ctx, &q, &packet, &reply, deadline_in(TEED_CALL_MS), e);
	if (r < 0)
		return r;
	made.kind = reply.kind == TEED_SNP ? TEE_SNP : TEE_TDX;
	buf_putv(&made.report, reply.report);
	buf_putv(&made.certs, reply.certs);
	if ((r = buf_check(&made.report, "report", e)) < 0 ||
	    (r = buf_check(&made.certs, "certificates", e)) < 0)
		return r;
	*out = made;
	made = (struct tee_quote){ 0 };
	return 0;
}

static int extend(void *ctx, unsigned reg, const uint8_t digest[TEE_DIGEST], struct err *e)
{
	struct teed_request q = { .op = TEED_EXTEND, .reg = reg };
	cleanup_buf struct buf packet = { 0 };
	struct teed_reply reply;

	if (reg >= TEE_RTMRS)
		return err_code(e, CODE_EVENTLOG_REGISTER, "RTMR%u; there are 0 to %d", reg,
				TEE_RTMRS - 1);
	memcpy(q.data, digest, TEE_DIGEST);
	return teed_call(ctx, &q, &packet, &reply, deadline_in(TEED_CALL_MS), e);
}

static int use_client(struct guest *g, const char *path, int fd, struct err *e)
{
	cleanup_free struct guest_tee *t = calloc(1, sizeof *t);
	int r = t ? teed_client_init(&t->client, path, fd, e)
		  : err_set(e, ERR_NOMEM, "no memory for the TEE's device");

	if (r < 0)
		return r;
	g->tee = take(t);
	g->env.tee = (struct tee){ .quote = quote, .extend = extend, .ctx = &g->tee->client };
	return 0;
}

static int use_local(struct guest *g, struct err *e)
{
	struct guest_tee *t = calloc(1, sizeof *t);

	if (!t)
		return err_set(e, ERR_NOMEM, "no memory for the TEE's device");
	t->client.fd = -1;
	t->local = (struct tee_local){ .root_fd = g->env.root_fd, .wait_ms = TEE_LOCAL_MS };
	tee_local(&g->env.tee, &t->local);
	g->tee = t;
	return 0;
}

int guest_tee_pair(struct guest *g, int fd, struct err *e)
{
	return use_client(g, NULL, fd, e);
}

bool guest_tee_wanted(const struct guest *g)
{
	cleanup_free char *path = fs_join(g->root, TEED_SOCKET);
	cleanup_close int dir = -1;

	if (!path || access(path, F_OK) == 0)
		return false;
	dir = fs_open_beneath(g->env.root_fd, TSM_REPORT_DIR, O_PATH | O_DIRECTORY, 0, NULL);
	return dir >= 0 || sev_guest_present(g->env.root_fd) || tdx_guest_present(g->env.root_fd);
}

int guest_open_tee(struct guest *g, struct err *e)
{
	cleanup_free char *path = fs_join(g->root, TEED_SOCKET);

	if (g->tee)
		return 0;
	if (!path)
		return err_set(e, ERR_NOMEM, "no memory for a path");
	return geteuid() == 0 && access(path, F_OK) < 0 ? use_local(g, e)
							: use_client(g, path, -1, e);
}

void guest_close_tee(struct guest *g)
{
	struct guest_tee *t = take(g->tee);

	if (t && t->client.fd >= 0)
		(void)close(t->client.fd);
	g->env.tee = (struct tee){ 0 };
	free(t);
}
