/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SETUP_OFFLINE_H
#define SETUP_OFFLINE_H

#include "agent/setup/guest.h"

/*
 * kbc.name = "offline_fs_kbc": resources out of two files instead of a Trustee, for development.
 * Source: spec/local-api.md 2.4, spec/trustee.md 3.7. The files are flat JSON objects
 * {"repository/type/tag": "standard base64"}; the later file wins; a missing one is none. They
 * are read afresh at each call. OFFLINE_FS_KBC_EXTRA_FILE_PATH is not read: it is environment.
 */
#define OFFLINE_FILE_MAX (8u << 20) /* bytes of each */

/*
 * One resource. Refused (config.not-permitted) unless this is a development build whose
 * configuration says so.
 * Errors besides: as offline_find().
 */
int offline_resource(const struct guest *g, struct secret *out, const struct uri *uri,
		     struct err *e) MUST_CHECK;

/*
 * The same without asking who permits it.
 * root  prefix of /etc
 * Errors: ERR_NOTFOUND (kbs.resource-missing; kbs.plugin-missing: the URI is of a plugin),
 * ERR_FORMAT (config.syntax: a file is no such object, or any of its values no base64),
 * ERR_LIMIT, ERR_SYSTEM, ERR_NOMEM.
 */
int offline_find(const char *root, struct secret *out, const struct uri *uri, struct err *e) MUST_CHECK;

#endif
