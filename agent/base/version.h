/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_VERSION_H
#define BASE_VERSION_H

#include <stdbool.h>

/* "0.1.0 (abc1234)", followed by " DEVELOPMENT" in a build of make DEV=1. */
extern const char version_text[];

/*
 * A development build grants every permit of design §5: sample, a TPM over a socket, running
 * unbound, --root. It changes which input is trusted, never a check.
 */
extern const bool version_is_dev;

#endif
