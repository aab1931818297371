/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/daemon/vouchsafed_teed.h"
#include "agent/base/fs.h"
#include "agent/base/log.h"
#include "agent/daemon/teed_serve.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/socket.h>

/* Our signals are blocked in it; the end of the pair, which is ours too, is what ends it. */
static int serve(int pair, int root_fd)
{
	struct teed t = { .listen_fd = -1,
			  .pair_fd = pair,
			  .signals = -1,
			  .local = { .root_fd = root_fd, .wait_ms = TEE_LOCAL_MS } };
	struct err e;

	(void)prctl(PR_SET_NAME, "vouchsafe-teed", 0, 0, 0);
	/* Of all that we have it keeps two, and the log. */
	fs_close_others(pair, root_fd);
	if (teed_confine(&e) == 0 && teed_serve(&t, &e) == 0)
		return 0;
	log_err(LOG_LEVEL_ERROR, "the TEE's device is not served", &e);
	return 1;
}

int teed_fork(struct guest *g, struct err *e)
{
	int p[2], r;
	pid_t pid;

	if (geteuid() != 0 || !guest_tee_wanted(g))
		return 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, p) < 0)
		return err_sys(e, errno, "socket pair for the TEE's device");
	pid = fork();
	if (pid < 0) {
		r = err_sys(e, errno, "fork for the TEE's device");
		(void)close(p[0]);
		(void)close(p[1]);
		return r;
	}
	if (pid == 0)
		_exit(serve(p[1], g->env.root_fd));
	(void)close(p[1]);
	r = guest_tee_pair(g, p[0], e);
	if (r < 0)
		(void)close(p[0]);
	return r;
}
