/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INITDATA_USERDATA_H
#define INITDATA_USERDATA_H

#include "initdata/deliver.h"

/*
 * What a cloud hands to a pod VM: cloud-config text, of which only write_files is accepted, and
 * of its entries only path and content. Stricter than YAML: no anchors, aliases, tags, directives
 * or second document. Source: spec/local-api.md 5.6.
 *
 * The text is the host's. What it brings is unmeasured: the initdata in it is bound later, the
 * other files configure no trust. aa.toml and cdh.toml, which upstream takes from it, are skipped:
 * only the initdata may set them.
 */
#define USERDATA_TEXT_MAX    (2u << 20) /* bytes */
#define USERDATA_BASE64_MAX  (3u << 20) /* the same as base64 with line breaks; bytes */
#define USERDATA_ENTRIES_MAX 64         /* of write_files */
#define USERDATA_PATH_MAX    4096       /* bytes */
#define USERDATA_SKIPPED_MAX 8192       /* bytes of userdata.skipped */

struct userdata {
	struct buf content[DELIVER_EXTRAS]; /* owned */
	bool has[DELIVER_EXTRAS];
	struct buf skipped; /* owned; paths that are not delivered, one a line, plain ASCII, cut */
};

#define cleanup_userdata __attribute__((cleanup(userdata_done)))

/*
 * Read cloud-config text.
 *
 * out   zeroed by the caller; set on success only
 * text  borrowed for the call
 *
 * Errors: userdata.too-large, userdata.syntax (with the line where there is one), ERR_NOMEM.
 */
int userdata_load(struct userdata *out, struct view text, struct err *e) MUST_CHECK;

/*
 * The same for base64 of it, as some clouds give it: strict but for line breaks.
 * Errors: as above, userdata.encoding.
 */
int userdata_load_base64(struct userdata *out, struct view code, struct err *e) MUST_CHECK;

void userdata_done(struct userdata *u);

#endif
