/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "agent/base/fs.h"
#include "agent/base/json.h"
#include "agent/base/version.h"
#include "agent/cli/doctor.h"
#include "initdata/provision.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { DELIVERED_MAX = 4 << 20, FINGERPRINT = 16, PROVISION_ERROR_MAX = 4096 };

static void check_build(struct doctor *d)
{
	if (version_is_dev)
		doctor_say(d, "build", VERDICT_BAD,
			   "%s: every permit is granted; never for a real pod", version_text);
	else
		doctor_say(d, "build", VERDICT_OK, "%s", version_text);
}

static void check_image(struct doctor *d)
{
	const struct image_settings *s = &d->guest.image;
	struct err e;

	if (guest_open_image(&d->guest, &e) < 0) {
		doctor_fail(d, "image", &e);
		return;
	}
	if (!s->measured)
		doctor_say(d, "image", VERDICT_NOTE,
			   "configuration not measured: %s; defaults hold and no permit counts",
			   s->why_not);
	else
		doctor_say(d, "image", version_is_dev || s->debug ? VERDICT_BAD : VERDICT_OK,
			   "settings are %s; permits:%s%s%s%s%s",
			   version_is_dev ? "taken as measured by this development build" :
					    "on dm-verity",
			   s->unbound ? " unbound" : "", s->sample ? " sample" : "",
			   s->swtpm ? " swtpm" : "", s->allow_swap ? " allow_swap" : "",
			   s->debug ? " debug" : "");
}

static void check_ak(struct doctor *d)
{
	cleanup_buf struct buf der = BUF_MAX(4096), about = BUF_MAX(1024);
	struct digest fingerprint;
	char hex[2 * DIGEST_MAX + 1];
	uint8_t pcr[32];
	struct err e;

	if (tpm_describe(d->guest.env.tpm, &about, &e) < 0) {
		doctor_fail(d, "tpm", &e);
		return;
	}
	if (tpm_pcr_read(d->guest.env.tpm, d->guest.image.initdata_pcr, pcr, &e) < 0) {
		doctor_fail(d, "tpm", &e);
		return;
	}
	doctor_say(d, "tpm", VERDICT_OK, "%s at %s, SHA-256 bank present", buf_str(&about),
		   d->guest.image.tpm);
	if (tpm_ak_public(d->guest.env.tpm, &der, &e) < 0 ||
	    digest_of(&fingerprint, HASH_SHA256, buf_view(&der), &e) < 0) {
		doctor_fail(d, "ak", &e);
		return;
	}
	enc_hex_str(hex, (struct view){ fingerprint.b, FINGERPRINT });
	doctor_say(d, "ak", VERDICT_OK,
		   "at handle 0x%08x, SHA-256 of its public key begins %s; Trustee must list it in "
		   "trusted_aks (vouchsafe tpm show)",
		   d->guest.image.ak_handle, hex);
}

/* SNP and TDX: ask the device as the attester does, for data of no use to anybody. */
static void check_tee(struct doctor *d)
{
	static const uint8_t nothing[TEE_DATA];
	const char *name = d->guest.attester->name;
	cleanup_tee_quote struct tee_quote q = { 0 };
	struct err e;

	if (strcmp(name, "snp") != 0 && strcmp(name, "tdx") != 0)
		return;
	if (d->guest.env.tee.quote(d->guest.env.tee.ctx, nothing, &q, &e) < 0) {
		doctor_fail(d, "device", &e);
		return;
	}
	if (q.kind == TEE_TDX)
		doctor_say(d, "device", VERDICT_OK, "gives a TD quote of %zu bytes", q.report.len);
	else
		doctor_say(d, "device", q.certs.len > 0 ? VERDICT_OK : VERDICT_NOTE,
			   "gives an SNP report%s",
			   q.certs.len > 0 ? " and the host's certificates" :
					     "; the host has no certificates, so Trustee must reach AMD's "
					     "key service or have the VCEK");
}

static void check_platform(struct doctor *d)
{
	struct err e;

	if (guest_open_platform(&d->guest, &e) < 0) {
		doctor_fail(d, "platform", &e);
		return;
	}
	d->have_platform = true;
	doctor_say(d, "platform",
		   strcmp(d->guest.attester->name, "sample") == 0 ? VERDICT_BAD : VERDICT_OK, "%s%s",
		   d->guest.attester->name,
		   strcmp(d->guest.attester->name, "sample") == 0 ? ": proves nothing" : "");
	if (d->guest.env.tpm)
		check_ak(d);
	else
		doctor_say(d, "tpm", VERDICT_SKIP, "this platform uses none");
	check_tee(d);
}

/* What the last provisioning said when it failed; its file belongs to root. */
static void check_provisioning(struct doctor *d)
{
	cleanup_free char *path = fs_join(d->guest.root, PROVISION_ERROR_PATH);
	cleanup_buf struct buf b = BUF_MAX(PROVISION_ERROR_MAX);
	cleanup_json struct json *said = NULL;
	const char *code = NULL, *message = NULL, *at = NULL;
	struct err e;

	if (!path || fs_read(&b, path, PROVISION_ERROR_MAX, &e) < 0)
		return;
	if (json_parse(&said, buf_view(&b), PROVISION_ERROR_MAX, &e) < 0 ||
	    json_need_string(&code, said, "code", path, &e) < 0 ||
	    json_need_string(&message, said, "message", path, &e) < 0 ||
	    json_need_string(&at, said, "time", path, &e) < 0 || err_code_by_name(code) < 0) {
		doctor_say(d, "provisioning", VERDICT_FAIL, "the last one failed; %s is not readable",
			   path);
		return;
	}
	(void)err_code(&e, (enum err_code)err_code_by_name(code), "the last one failed at %.30s: %.400s",
		       at, message);
	doctor_fail(d, "provisioning", &e);
}

static void check_delivered(struct doctor *d, const char *folder, const char *key)
{
	size_t len = 0;
	const char *text = initdata_get(&d->guest.initdata, key, &len);
	cleanup_free char *path = NULL;
	cleanup_buf struct buf b = BUF_MAX(DELIVERED_MAX);
	struct err e;

	if (!text || asprintf(&path, "%s%s/%s", d->guest.root, folder, key) < 0)
		return;
	if (fs_read(&b, path, DELIVERED_MAX, &e) < 0)
		return;
	if (!view_eq(buf_view(&b), (struct view){ (const uint8_t *)text, len }))
		doctor_say(d, "delivered", VERDICT_BAD,
			   "%s differs from the measured initdata; vouchsafe ignores it, other "
			   "programs may not",
			   path);
}

static void check_initdata(struct doctor *d)
{
	struct guest *g = &d->guest;
	char hex[2 * DIGEST_MAX + 1];
	struct err e;

	check_provisioning(d);
	if (!d->have_platform) {
		doctor_say(d, "initdata", VERDICT_SKIP, "no platform to compare it with");
		return;
	}
	if (guest_open_initdata(g, &e) < 0) {
		doctor_fail(d, "initdata", &e);
		return;
	}
	d->have_initdata = true;
	enc_hex_str(hex, digest_view(&g->initdata.digest));
	doctor_say(d, "initdata", g->bound ? VERDICT_OK : VERDICT_BAD, "%s %s, %s; %s",
		   hash_name(g->initdata.alg), hex,
		   g->bound ? "and the register says the same" : "UNBOUND: nothing vouches for it",
		   g->send_initdata ? "its text goes to Trustee" :
				      "Trustee can judge only the register, not the text");
	check_delivered(d, "/run/peerpod", "aa.toml");
	check_delivered(d, "/run/peerpod", "cdh.toml");
	check_delivered(d, "/run/peerpod", "policy.rego");
}

static void check_config(struct doctor *d)
{
	const struct guest_config *c = &d->guest.config;
	struct err e;

	if (!d->have_initdata) {
		doctor_say(d, "config", VERDICT_SKIP, "no initdata");
		return;
	}
	if (guest_open_config(&d->guest, &e) < 0) {
		doctor_fail(d, "config", &e);
		return;
	}
	d->have_config = true;
	if (!c->kbs_url) {
		(void)err_code(&e, CODE_CONFIG_NO_TRUSTEE,
			       "the initdata has no [token_configs.kbs] url");
		doctor_fail(d, "config", &e);
		return;
	}
	doctor_say(d, "config", c->plain_http ? VERDICT_BAD : VERDICT_OK, "Trustee %s, %s%s%s",
		   c->kbs_url,
		   c->plain_http ? "over plain http: anyone on the way reads and changes the "
				   "handshake" :
		   c->kbs_cert   ? "root certificate pinned" :
				   "the image's own roots (none pinned)",
		   c->proxy ? ", proxy " : "", c->proxy ? c->proxy : "");
	if (c->skip_sealed_verification)
		doctor_say(d, "sealed", VERDICT_BAD,
			   "skip_sealed_secret_verification is on: signatures are not checked");
	else if (c->n_kids == 0 && c->n_bind == 0)
		doctor_say(d, "sealed", VERDICT_NOTE,
			   "no [sealed] kids or bind: the control plane may swap one validly sealed "
			   "secret for another");
	else
		doctor_say(d, "sealed", VERDICT_OK, "%zu signing keys listed, %zu names bound",
			   c->n_kids, c->n_bind);
}

static void check_daemon(struct doctor *d)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(a.sun_path, sizeof a.sun_path, "%.60s%s", d->guest.root, GUEST_CDH_SOCKET);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
		doctor_say(d, "daemon", VERDICT_OK, "vouchsafed accepts calls on %s", a.sun_path);
	else
		doctor_say(d, "daemon", VERDICT_NOTE, "nothing accepts calls on %s (%s)", a.sun_path,
			   strerrorname_np(errno));
}

void doctor_check_guest(struct doctor *d)
{
	check_build(d);
	check_image(d);
	check_platform(d);
	check_initdata(d);
	check_config(d);
	check_daemon(d);
}
