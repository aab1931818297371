/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_ENVIRONMENT_H
#define BASE_ENVIRONMENT_H

#include "agent/base/err.h"

/*
 * Forget the environment, but for what the service manager says (NOTIFY_SOCKET, WATCHDOG_*,
 * LISTEN_*, JOURNAL_STREAM): libraries take files and modules from it (OPENSSL_CONF,
 * OPENSSL_MODULES, SSLKEYLOGFILE, LD_*), and it is not measured. Before any other thread and
 * any crypto. Errors: ERR_NOMEM.
 */
int environment_forget(struct err *e) MUST_CHECK;

#endif
