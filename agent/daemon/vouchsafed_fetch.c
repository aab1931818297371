/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/daemon/vouchsafed_fetch.h"
#include "agent/base/log.h"
#include "agent/setup/credentials.h"

#include <pthread.h>
#include <time.h>

enum { ROUND_MS = 60 * 1000, PAUSE_MIN_S = 1, PAUSE_MAX_S = 30, STACK_BYTES = 256 * 1024 };

static void *run(void *arg)
{
	struct guest *g = arg;
	struct timespec pause = { PAUSE_MIN_S, 0 };
	int said = CODE_OK;
	struct err e;

	while (guest_fetch_credentials(g, deadline_in(ROUND_MS), &e) < 0) {
		/* Once a reason, not once a round. */
		if (said != (int)e.code)
			log_err(LOG_LEVEL_WARN, "credentials are not all there yet", &e);
		said = (int)e.code;
		(void)nanosleep(&pause, NULL);
		pause.tv_sec = pause.tv_sec * 2 < PAUSE_MAX_S ? pause.tv_sec * 2 : PAUSE_MAX_S;
	}
	log_info("credentials are written", "n=%zu", g->config.n_credentials);
	return NULL;
}

int fetch_start(struct guest *g, struct err *e)
{
	pthread_attr_t a;
	pthread_t t;
	int n;

	if (g->config.n_credentials == 0)
		return 0;
	(void)pthread_attr_init(&a);
	(void)pthread_attr_setstacksize(&a, STACK_BYTES);
	(void)pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
	n = pthread_create(&t, &a, run, g);
	(void)pthread_attr_destroy(&a);
	return n == 0 ? 0 : err_sys(e, n, "thread for the credentials");
}
