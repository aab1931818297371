/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SETUP_MEASURED_H
#define SETUP_MEASURED_H

#include "agent/base/buf.h"

/*
 * Which input may decide about trust (design §5.2). The image's own settings are
 * <root>/usr/lib/vouchsafe/vouchsafe.toml; they count as measured only when that file lies on
 * a mount whose block device is dm-verity with a root hash on the kernel command line, or in a
 * development build.
 */
enum image_key {
	IMAGE_PLATFORM,
	IMAGE_TPM,
	IMAGE_AK,
	IMAGE_PCR,
	IMAGE_ADDITIONAL,
	IMAGE_PERMIT_UNBOUND, /* permits from here on */
	IMAGE_PERMIT_SAMPLE,
	IMAGE_PERMIT_SWTPM,
	IMAGE_PERMIT_SWAP,
	IMAGE_PERMIT_DEBUG,
	IMAGE_KEYS
};

#define IMAGE_ADDITIONAL_MAX 2

struct image_settings {
	bool present;      /* the file exists */
	bool measured;     /* and counts: on dm-verity, or a development build */
	char why_not[128]; /* when not measured: what is missing, for doctor */

	char platform[32];     /* [platform] name, "" = detect */
	char tpm[128];         /* [tpm] device; default "/dev/tpmrm0" */
	uint32_t ak_handle;    /* [tpm] ak_handle; default 0x81010002 */
	unsigned initdata_pcr; /* [initdata] pcr; default 8 */
	char additional[IMAGE_ADDITIONAL_MAX][32]; /* [platform] additional: attester/device.h */
	size_t n_additional;

	/* [permit]; all true in a development build */
	bool unbound;    /* run although nothing can bind the initdata */
	bool sample;     /* the platform "sample" */
	bool swtpm;      /* a TPM over a socket */
	bool allow_swap; /* inject with a clear swap device on */
	bool debug;      /* evidence although the host may debug the guest */

	unsigned line[IMAGE_KEYS]; /* where the file says it, from 1; 0: it does not */
};

/*
 * Read the image's settings.
 * root  "" or a prefix (--root of a development build)
 *
 * Without the file: the defaults. A file that is there but not measured may still choose
 * platform, tpm and ak_handle (they are checked by Trustee, not trusted), never permits, pcr or
 * additional devices.
 * Errors: config.syntax, config.unknown-key, config.value, config.unmeasured (it has a permit,
 * pcr or additional), ERR_SYSTEM.
 */
int measured_load(struct image_settings *out, const char *root, struct err *e) MUST_CHECK;

/*
 * May an open file decide about trust: is it on dm-verity with a root hash on the kernel command
 * line, or is this a development build? why_not is filled when it may not.
 */
bool measured_file(int fd, char why_not[128]);

/* "platform.name"; static. */
const char *image_key_name(enum image_key key);

/* Append the value for a person. */
void image_put_value(struct buf *out, const struct image_settings *s, enum image_key key);

#endif
