/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_CMD_INITDATA_H
#define CLI_CMD_INITDATA_H

#include "initdata/initdata.h"

/* What the subcommands of `vouchsafe initdata` share. */

int initdata_build(int argc, char **argv);
int initdata_inspect(int argc, char **argv);
int initdata_print_digest(int argc, char **argv);
int initdata_verify(int argc, char **argv);
int initdata_provision(int argc, char **argv);

/* What registers hold for an initdata. */
struct register_values {
	uint8_t pcr[32];
	uint8_t host_data[32];
	uint8_t mrconfigid[48];
};

/*
 * Read a file ("-" is standard input) of an owner and load it. *out is zeroed by the caller.
 * Errors: as fs_read() and initdata_load().
 */
int cli_load_initdata(struct initdata *out, const char *path, struct err *e) MUST_CHECK;

/* What the registers hold once the digest of d is bound. Errors: ERR_CRYPTO; *out is not set then. */
int cli_register_values(struct register_values *out, const struct initdata *d,
			struct err *e) MUST_CHECK;

#endif
