/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_VOUCHSAFED_TEED_H
#define DAEMON_VOUCHSAFED_TEED_H

#include "agent/setup/guest.h"

/*
 * Where vouchsafed was started as root and nobody else serves the TEE's device (native kata): fork
 * vouchsafe-teed's main over a socket pair, before root is given up. The child confines itself and
 * ends with us. Does nothing where it is not needed. Between guest_open_image() and
 * guest_open_platform(). Errors: ERR_SYSTEM, ERR_NOMEM.
 */
int teed_fork(struct guest *g, struct err *e) MUST_CHECK;

#endif
