/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SETUP_GUEST_H
#define SETUP_GUEST_H

#include "agent/kbs/client.h"
#include "agent/net/https.h"
#include "agent/secrets/sealed.h"
#include "agent/setup/config.h"
#include "agent/setup/measured.h"
#include "attester/attester.h"
#include "attester/device.h"
#include "attester/tpm.h"
#include "initdata/initdata.h"
#include "initdata/provision.h"

#include <pthread.h>

/*
 * This guest, put together once by each main that needs it (vouchsafed, vouchsafe doctor):
 * image settings, platform, the bound initdata, the configuration in it, the Trustee clients.
 * Each step is a function, so that doctor can walk them one by one and report each.
 */

#define GUEST_TRUSTEES_MAX 65 /* the configured one and those of [trust] hosts */

/* One Trustee: the configured one (host "") or one that [trust] hosts lists. */
struct guest_trustee {
	char *host;
	struct kbs *kbs;
};

struct guest {
	char root[256]; /* "" or --root; set by the caller before the first step */
	/*
	 * Set by the caller as well, where kata-agent starts us by name and nobody provisions: the
	 * file it wrote (NULL: GUEST_INITDATA_PATH), none being the dummy; whether we bind it; and
	 * for who leaves attesting to another process, as kbs_config.passport (its ctx is g).
	 */
	const char *initdata_path;
	bool native, native_binds;
	int (*passport)(void *g, struct secret *json, struct deadline d, struct err *e);
	struct image_settings image;
	struct attester_env env;
	struct guest_tee *tee; /* what env.tee stands on; guest_tee.c */
	const struct attester *attester;
	const struct attester *devices[DEVICES_MAX]; /* attested beside it; image settings name them */
	size_t n_devices;
	struct initdata initdata;
	struct guest_config config;
	bool bound;         /* a register vouches for initdata */
	bool send_initdata; /* its text may be sent to Trustee */
	struct https *https;
	struct https *metadata; /* behind env.metadata: the cloud's own service, never by a proxy */
	struct guest_trustee trustees[GUEST_TRUSTEES_MAX]; /* [0] is the configured one */
	size_t n_trustees;                                 /* 0: config names no Trustee */
	struct teekey *key; /* made beforehand by the caller for the first of them, or NULL */
	pthread_mutex_t evidence_lock;                     /* an attester serves one thread at a time */
};

#define GUEST_INITDATA_PATH  "/run/confidential-containers/initdata/initdata.toml"
#define GUEST_CREDENTIAL_DIR "/run/confidential-containers/cdh/sealed-secret"
#define GUEST_CDH_SOCKET     "/run/confidential-containers/cdh.sock"

/*
 * Steps, in order; each needs those before it. *g is zeroed by the caller except root.
 *
 * image     the image's settings. Errors: as measured_load().
 * platform  TPM and attester. Errors: platform.*, tpm.*.
 * initdata  read the provisioned text again, hash it, compare with the register. Errors:
 *           initdata.* (not-provisioned, digest-mismatch, unbindable, …).
 * config    what it says, and the kernel command line where it counts. Errors: config.*
 *           (config.not-permitted: offline_fs_kbc in a normal build).
 * trustee   clients; sends nothing. Without a URL it does nothing. Errors: config.value, ERR_CRYPTO.
 */
int guest_open_image(struct guest *g, struct err *e) MUST_CHECK;
int guest_open_platform(struct guest *g, struct err *e) MUST_CHECK;
int guest_open_initdata(struct guest *g, struct err *e) MUST_CHECK;
int guest_open_config(struct guest *g, struct err *e) MUST_CHECK;
int guest_open_trustee(struct guest *g, struct err *e) MUST_CHECK;

/*
 * Part of the platform step: env.tee becomes a client of vouchsafe-teed's socket below the root;
 * where there is none, and we are root, the device itself. Nothing is asked yet.
 * Errors: ERR_LIMIT (root too long), ERR_NOMEM.
 */
int guest_open_tee(struct guest *g, struct err *e) MUST_CHECK;

/*
 * Before the platform step, for who started a vouchsafe-teed of its own: fd is our end of its
 * socket pair, closed by guest_close(). And whether that is needed: there is a device and no
 * socket. Errors: ERR_NOMEM.
 */
int guest_tee_pair(struct guest *g, int fd, struct err *e) MUST_CHECK;
bool guest_tee_wanted(const struct guest *g);

/* Part of guest_close(). */
void guest_close_tee(struct guest *g);

/*
 * Fill the platform's part of provisioning (provision.h): how the attester's register is compared and
 * bound, and the image's permit. After the platform step; *p borrows g.
 */
void guest_provision_platform(struct provision_platform *p, struct guest *g);

/*
 * Part of the initdata step with g->native: the rows of provision.h's table for g->initdata.
 * absent: it is the dummy, because there was none. Errors: as provision_bind().
 */
int guest_bind_native(struct guest *g, bool absent, struct err *e) MUST_CHECK;

/* Waits for running handshakes; erases keys and tokens. Safe on a half-opened guest. */
void guest_close(struct guest *g);

/*
 * The Trustee for a URI: that of its host when [trust] hosts lists it, else the configured one.
 * Returns NULL and fills *e (config.no-trustee) when there is none.
 */
struct kbs *guest_trustee_for(struct guest *g, const struct uri *uri, struct err *e);

/* Evidence of this guest, serialised; what the Trustee clients call. Errors: as the attester. */
int guest_evidence(void *guest, struct view report_data, char **json, struct err *e);

/*
 * The same of the devices beside it: kbs_evidence_source.additional. "" where there are none.
 * Errors: as devices_evidence().
 */
int guest_additional_evidence(void *guest, struct view report_data, char **text, struct err *e);

/*
 * Unsealing rules from the configuration; the caller adds its resource callbacks. Borrows from g;
 * credential_dir points into dir, which the caller owns.
 */
void guest_sealed_rules(struct sealed_rules *out, const struct guest *g, char dir[512]);

#endif
