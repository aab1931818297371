/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ATTESTER_TEE_LOCAL_H
#define ATTESTER_TEE_LOCAL_H

#include "attester/tee.h"

#include <sys/types.h>

/*
 * The TEE's device in this process's own hands: for vouchsafe-teed, and for programs of root where
 * that does not run. Reports come through configfs-tsm, SNP's else through /dev/sev-guest.
 *
 * Each request is made by a child process with a deadline: a device that never answers costs the
 * child, and the child's folder in configfs is removed behind it. While the kernel does not let such
 * a child go, further requests fail at once.
 */
#define TEE_LOCAL_MS 40000 /* for one request; the kernel itself gives a TD quote 30 s */

struct tee_local {
	int root_fd;     /* borrowed; devices, sysfs and configfs are looked for beneath it */
	int64_t wait_ms; /* for one request */
	int client;      /* who asks: when its socket hangs up, the request is given up; 0: nobody */
	pid_t stuck;     /* a child that was killed and has not ended; 0: none */
};

/*
 * Fill *out; it borrows l. One request at a time. What comes back has been held to what was asked:
 * its size, and the 64 bytes at their place (SNP 0x50; the report data of a TD quote).
 *
 * Errors of its callbacks: as tsm_quote(), sev_guest_quote(), tdx_rtmr_extend(); tee.no-quote (a TDX
 * guest without configfs-tsm); tee.timeout; ERR_SYSTEM, ERR_NOMEM.
 */
void tee_local(struct tee *out, struct tee_local *l);

/*
 * The requests without child and callbacks, in this thread: may block as long as the device does.
 * For tee_local's own children and tests.
 */
int tee_local_quote(int root_fd, const uint8_t data[TEE_DATA], struct tee_quote *out,
		    int64_t wait_ms, struct err *e) MUST_CHECK;

#endif
