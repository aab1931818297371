/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_VOLUMES_H
#define CLI_VOLUMES_H

#include "agent/base/buf.h"
#include "agent/base/clock.h"
#include "agent/base/json.h"

#define VOLUMES_MAX 65536 /* bytes of the list of what is open */

/*
 * Has vouchsafe-mountd a record of any volume? While it has one it runs, so that asking it starts
 * nothing. Told from the folder of its records: 1, 0, or -1 when that cannot be read, as by those who
 * may not.
 */
int volumes_any(void);

/*
 * Ask it which are open.
 * text  its answer, an array (volume.h); list: the same, parsed
 * Errors: those of mountd_list(), ERR_FORMAT.
 */
int volumes_ask(struct buf *text, struct json **list, struct deadline d, struct err *e) MUST_CHECK;

/* Is this one of them keyed, without vouchsafe's tag in its header: opened by its form alone? */
bool volumes_untagged(const struct json *volume);

#endif
