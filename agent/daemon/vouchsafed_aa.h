/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_VOUCHSAFED_AA_H
#define DAEMON_VOUCHSAFED_AA_H

#include "agent/api/aa.h"
#include "agent/setup/guest.h"
#include "attester/eventlog.h"

/* What vouchsafed does for the attestation agent's methods. Thread-safe after serve_aa_open(). */
struct serve_aa {
	struct guest *guest;
	struct eventlog *log;
	struct https *https; /* for an attestation service without a KBS; NULL otherwise */
};

#define GUEST_AA_SOCKET "/run/confidential-containers/attestation-agent/attestation-agent.sock"

/* Opens the event log and ends what a killed program left of it. Errors: eventlog.*, ERR_NOMEM. */
int serve_aa_open(struct serve_aa *s, struct guest *g, struct err *e) MUST_CHECK;
void serve_aa_close(struct serve_aa *s);

/* The callbacks of the AA service; their ctx is s. */
struct aa_backend serve_aa_backend(struct serve_aa *s);

/* One line for a call that failed, however it came; for cdh_backend.failed and aa_backend.failed. */
void serve_failed(void *ctx, const char *method, const struct api_call *call, const struct err *e);

#endif
