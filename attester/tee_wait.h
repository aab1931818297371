/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ATTESTER_TEE_WAIT_H
#define ATTESTER_TEE_WAIT_H

#include "agent/base/clock.h"

#include <stdbool.h>

#define TEE_PAUSE_FIRST_MS 20
#define TEE_PAUSE_MAX_MS   2000 /* the rate at which SNP's firmware lets a throttled guest ask */

/*
 * Pause before the next try: between half and all of *pause_ms, which is doubled up to the most.
 * False, at once, when the deadline would pass meanwhile.
 */
bool tee_wait(int64_t *pause_ms, struct deadline d);

#endif
