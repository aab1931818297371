/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ATTESTER_TPM_LINK_H
#define ATTESTER_TPM_LINK_H

#include "agent/base/clock.h"
#include "agent/base/err.h"
#include "agent/base/mem.h"

/*
 * The bytes to a TPM and back, each step under a deadline; it knows nothing of commands but their
 * header (tag, size, code). tpm2-tss has transports of its own. They are not used because they
 * wait for ever (tcti-device and tcti-swtpm 3.2.1 ignore the timeout that receive is given;
 * tcti-swtpm already hangs in its init when the peer does not answer) and hide errno, without
 * which "no TPM", "not allowed" and "busy" are one and the same.
 */
#define TPM_LINK_MAX   4096 /* one command or reply, bytes: TPM2_MAX_RESPONSE_SIZE */
#define TPM_LINK_WHERE 128  /* room for the address, with its NUL */

struct tpm_link {
	int fd;      /* -1: closed */
	bool socket; /* of a swtpm, which serves one client at a time: do not keep it open */
	bool mid;    /* a command was sent and its reply not taken */
};

/* A link that is closed. */
#define TPM_LINK_CLOSED ((struct tpm_link){ .fd = -1 })

/*
 * Open what where names.
 *
 * l      closed; open on success only
 * where  an absolute path, or "swtpm:HOST:PORT" (numeric host, IPv6 in brackets)
 *
 * Errors: ERR_USAGE (where), tpm.none (nothing there), tpm.access, tpm.busy (another holds it),
 * tpm.timeout, tpm.failed.
 */
int tpm_link_open(struct tpm_link *l, const char *where, struct deadline d,
		  struct err *e) MUST_CHECK;

/*
 * Send one whole command. A reply that is still owed to an earlier one is waited for and dropped
 * first: closing a device that is at work would block in the kernel, so after a time-out a device
 * is better kept and used again.
 *
 * Errors: ERR_LIMIT (over TPM_LINK_MAX), tpm.timeout, tpm.busy, tpm.failed, tpm.reply. Only after
 * a time-out of a device may the link be used again.
 */
int tpm_link_send(struct tpm_link *l, struct view command, struct deadline d,
		  struct err *e) MUST_CHECK;

/*
 * Take the reply to it, whole; its size is checked against its header.
 * len  in: room in p; out: bytes, on success only
 * Errors: tpm.timeout, tpm.reply (its header lies), tpm.failed (closed, read failed).
 * As above, only after a time-out of a device may the link be used again.
 */
int tpm_link_receive(struct tpm_link *l, uint8_t *p, size_t *len, struct deadline d,
		     struct err *e) MUST_CHECK;

/* Idempotent. */
void tpm_link_close(struct tpm_link *l);

/* Say whether where is a socket's address. Nothing is checked beyond its first word. */
bool tpm_link_is_socket(const char *where);

#endif
