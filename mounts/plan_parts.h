/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MOUNTS_PLAN_PARTS_H
#define MOUNTS_PLAN_PARTS_H

#include "mounts/plan.h"

/* What the files of the plan share; nobody else includes this. */

#define PLAN_PLACE(p, ...) ((void)snprintf((p)->place, sizeof (p)->place, __VA_ARGS__))

/*
 * Room for one more of n elements of `size` bytes in *list, zeroed.
 * Errors: ERR_LIMIT (max), ERR_NOMEM.
 */
int plan_grow(void **list, size_t *room, size_t n, size_t size, size_t max, const char *what,
	      struct err *e) MUST_CHECK;

#endif
