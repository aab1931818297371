/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_VOUCHSAFED_VOLUME_H
#define DAEMON_VOUCHSAFED_VOLUME_H

#include "agent/daemon/vouchsafed_serve.h"

/*
 * SecureMount: the key is had here, where Trustee's client is; the disk is touched in
 * vouchsafe-mountd, which has never seen Trustee.
 *
 *   key          from                                                    kept afterwards
 *   sealed.…     unsealed, not through the cache                         no
 *   kbs:///…     the guest's Trustee, as GetResource                     no
 *   file:///…    a regular file on tmpfs or ramfs that the user          the caller's file
 *                vouchsafe may read: another one may be the host's
 *   none         mountd makes a random one that nobody sees              no
 *
 * The bytes are used as they are, a newline at the end too.
 */

/*
 * cdh_backend.secure_mount; its ctx is a struct serve.
 * Errors: volume.*, what unsealing and reading resources give.
 */
int serve_volume(void *ctx, const struct secure_mount *m, const char *name, struct deadline d,
		 struct err *e);

/*
 * Say where vouchsafe-mountd is, before root is given up: behind its unit's socket below root, or,
 * for native kata's data hub, started here, on a pair of sockets, from the folder that this
 * program lies in. That it cannot be started is logged: pods without volumes need none.
 */
void volume_prepare(const char *root, bool by_unit, bool start);

/* What was prepared. */
struct mountd_link volume_link(void);

#endif
