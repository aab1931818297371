/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VOLUME_LUKS_H
#define VOLUME_LUKS_H

#include "agent/base/secret.h"
#include "mounts/volume/luks_header.h"

/*
 * libcryptsetup, and nothing else, behind a few verbs. It never reads a header from a disk: its
 * metadata device is always an image in memory that we made or checked, so what was judged is
 * what is used, however the host's disk changes meanwhile.
 *
 * The image is a memfd of LUKS_AREAS_END bytes, mostly hole: both copies, and the keyslots' areas.
 * Not for several threads at once (the library is not).
 */
struct luks; /* one header in use */

#define cleanup_luks __attribute__((cleanup(luks_freep)))

/* An empty image. Returns its descriptor, or -ERR_SYSTEM. */
int luks_image(struct err *e) MUST_CHECK;

/*
 * Make a new header in the image: aes-xts-plain64 with 512 bits, sectors of 4096 bytes, a random
 * volume key with our mark (luks_auth.h). It is ready for luks_activate(). With integrity the library
 * writes dm-integrity's superblock where the data begin; nothing else is written to the device.
 *
 * out          set on success only; borrows image
 * device       path of the device that the data are on
 * data_offset  where on it they begin, bytes
 * key          of keyslot 0: pbkdf2 at its minimum for one of LUKS_FULL bytes or more, else argon2id
 *              with 64 MiB; NULL for no keyslot at all
 *
 * Errors: volume.mapping, volume.kernel, volume.busy, volume.device, ERR_NOMEM.
 */
int luks_make(struct luks **out, int image, const char *device, uint64_t data_offset, bool integrity,
	      const struct secret *key, struct err *e) MUST_CHECK;

/* Put a token's text in place 0 of the image's header. Errors: volume.mapping. */
int luks_put_token(struct luks *l, const char *json, struct err *e) MUST_CHECK;

/* The UUID, borrowed. */
const char *luks_uuid(const struct luks *l);

/*
 * Take an image that was checked into use.
 * Errors: volume.header (the library refuses what we accepted), volume.device, ERR_NOMEM.
 */
int luks_load(struct luks **out, int image, const char *device, struct err *e) MUST_CHECK;

/* The memory that its keyslot of the highest cost takes to try, KiB. */
uint32_t luks_memory_kib(const struct luks *l);

/*
 * Try the key, and keep the volume key that it opens, in locked memory, for luks_activate().
 * marked  out: that volume key was made by luks_make()
 * Errors: volume.wrong-key, volume.mapping, ERR_NOMEM, ERR_CRYPTO.
 */
int luks_unlock(struct luks *l, const struct secret *key, bool *marked, struct err *e) MUST_CHECK;

/*
 * Map the data to /dev/mapper/NAME.
 * no_journal  of dm-integrity: faster, and torn by a power failure
 * Errors: volume.busy, volume.mapping, volume.kernel, ERR_NOMEM.
 */
int luks_activate(struct luks *l, const char *name, bool no_journal, struct err *e) MUST_CHECK;

/* Erases the volume key too. */
void luks_free(struct luks *l);

static inline void luks_freep(struct luks **l)
{
	luks_free(*l);
}

/*
 * Remove a mapping in whatever state, and dm-integrity's below it. One that is not there is removed.
 * Errors: volume.busy, volume.mapping.
 */
int luks_close(const char *name, struct err *e) MUST_CHECK;

#endif
