/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/volume/luks.h"

#include "mounts/volume/dm.h"
#include "mounts/volume/luks_auth.h"
#include "mounts/volume/volume.h"

#include <errno.h>
#include <libcryptsetup.h>
#include <stdio.h>
#include <sys/mman.h>

#define VOLUME_KEY_BYTES 64 /* AES-256 in XTS */
#define HMAC_KEY_BYTES   32
#define KEY_BYTES_MAX    (VOLUME_KEY_BYTES + HMAC_KEY_BYTES)
#define SECTOR_BYTES     4096

struct luks {
	struct crypt_device *cd;
	struct secret volume_key;
	char said[160]; /* the library's last complaint */
};

static void hear(int level, const char *text, void *to)
{
	struct luks *l = to;
	size_t n = 0;

	if (!l || level != CRYPT_LOG_ERROR)
		return;
	for (; text[n] != '\0' && n < sizeof l->said - 1; n++)
		l->said[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : ' ';
	while (n > 0 && l->said[n - 1] == ' ')
		n--;
	l->said[n] = '\0';
}

/* r: the library's, a negative errno. */
static int failed(const struct luks *l, int r, const char *what, struct err *e)
{
	const char *name = strerrorname_np(-r) ?: "?";

	if (r == -ENOMEM)
		return err_set(e, ERR_NOMEM, "%s: no memory", what);
	if (r == -EBUSY || r == -EEXIST)
		return err_code(e, CODE_VOLUME_BUSY, "%s: %s (%s)", what, l->said, name);
	if (r == -ENOTSUP || r == -ENODEV || strstr(l->said, "device-mapper. Is dm_mod"))
		return err_code(e, CODE_VOLUME_KERNEL, "%s: %s (%s)", what, l->said, name);
	return err_code(e, CODE_VOLUME_MAPPING, "%s: %s (%s)", what, l->said, name);
}

int luks_image(struct err *e)
{
	int fd = memfd_create("luks-header", MFD_CLOEXEC);

	if (fd < 0)
		return err_sys(e, errno, "memfd_create");
	if (ftruncate(fd, LUKS_AREAS_END) < 0) {
		int saved = errno;

		(void)close(fd);
		return err_sys(e, saved, "size a memfd");
	}
	return fd;
}

static int begin(struct luks **out, int image, const char *device, struct err *e)
{
	cleanup_luks struct luks *l = calloc(1, sizeof *l);
	char path[32];
	int r;

	if (!l)
		return err_set(e, ERR_NOMEM, "no memory for a volume");
	(void)snprintf(path, sizeof path, "/proc/self/fd/%d", image);
	/* Until there is a handle the library prints; then it tells. */
	crypt_set_log_callback(NULL, hear, NULL);
	r = crypt_init_data_device(&l->cd, path, device);
	if (r < 0)
		return err_code(e, CODE_VOLUME_DEVICE, "%s: the device cannot be used (%s)", device,
				strerrorname_np(-r) ?: "?");
	crypt_set_log_callback(l->cd, hear, l);
	*out = take(l);
	return 0;
}

/* A random one with our mark, of n bytes. */
static int new_volume_key(struct luks *l, size_t n, struct err *e)
{
	int r = secret_alloc(&l->volume_key, n, e);

	if (r == 0)
		r = random_bytes(l->volume_key.p, n, e);
	if (r < 0)
		return r;
	l->volume_key.len = n;
	return luks_mark_make(l->volume_key.p, e);
}

static int add_key(struct luks *l, const struct secret *key, struct err *e)
{
	/* A key that cannot be guessed needs no cost; benchmarks would only take seconds. */
	static const struct crypt_pbkdf_type full = { .type = CRYPT_KDF_PBKDF2,
						      .hash = "sha256",
						      .iterations = 1000,
						      .flags = CRYPT_PBKDF_NO_BENCHMARK };
	static const struct crypt_pbkdf_type word = { .type = CRYPT_KDF_ARGON2ID,
						      .hash = "sha256",
						      .iterations = 4,
						      .max_memory_kb = 65536,
						      .parallel_threads = 1,
						      .flags = CRYPT_PBKDF_NO_BENCHMARK };
	int r = crypt_set_pbkdf_type(l->cd, luks_key_is_full(key) ? &full : &word);

	if (r == 0)
		r = crypt_keyslot_add_by_volume_key(l->cd, 0, (const char *)secret_bytes(&l->volume_key),
						    l->volume_key.len, (const char *)secret_bytes(key),
						    key->len);
	return r < 0 ? failed(l, r, "write the keyslot", e) : 0;
}

int luks_make(struct luks **out, int image, const char *device, uint64_t data_offset, bool integrity,
	      const struct secret *key, struct err *e)
{
	cleanup_luks struct luks *l = NULL;
	/* Also for the digest of the volume key: that one is random, whatever the caller's is. */
	struct crypt_pbkdf_type pbkdf = { .type = CRYPT_KDF_PBKDF2,
					  .hash = "sha256",
					  .iterations = 1000,
					  .flags = CRYPT_PBKDF_NO_BENCHMARK };
	struct crypt_params_luks2 params = { .pbkdf = &pbkdf,
					     .data_device = device,
					     .sector_size = SECTOR_BYTES,
					     .integrity = integrity ? "hmac(sha256)" : NULL };
	size_t key_bytes = VOLUME_KEY_BYTES + (integrity ? HMAC_KEY_BYTES : 0);
	int r = begin(&l, image, device, e);

	if (r == 0)
		r = new_volume_key(l, key_bytes, e);
	if (r < 0)
		return r;
	r = crypt_set_metadata_size(l->cd, LUKS_COPY, LUKS_AREAS_END - LUKS_COPIES);
	if (r == 0 && data_offset > 0)
		r = crypt_set_data_offset(l->cd, data_offset / 512);
	if (r == 0)
		r = crypt_format(l->cd, CRYPT_LUKS2, "aes", "xts-plain64", NULL,
				 (const char *)secret_bytes(&l->volume_key), key_bytes, &params);
	if (r < 0)
		return failed(l, r, "make the header", e);
	r = key ? add_key(l, key, e) : 0;
	if (r < 0)
		return r;
	*out = take(l);
	return 0;
}

int luks_put_token(struct luks *l, const char *json, struct err *e)
{
	int r = crypt_token_json_set(l->cd, 0, json);

	return r < 0 ? failed(l, r, "write the token", e) : 0;
}

const char *luks_uuid(const struct luks *l)
{
	return crypt_get_uuid(l->cd);
}

int luks_load(struct luks **out, int image, const char *device, struct err *e)
{
	cleanup_luks struct luks *l = NULL;
	int r = begin(&l, image, device, e);

	if (r < 0)
		return r;
	r = crypt_load(l->cd, CRYPT_LUKS2, NULL);
	if (r < 0)
		return err_code(e, CODE_VOLUME_HEADER, "libcryptsetup refuses the header: %s (%s)",
				l->said, strerrorname_np(-r) ?: "?");
	*out = take(l);
	return 0;
}

uint32_t luks_memory_kib(const struct luks *l)
{
	struct crypt_pbkdf_type kdf;
	uint32_t most = 0;

	for (int slot = 0; slot < crypt_keyslot_max(CRYPT_LUKS2); slot++)
		if (crypt_keyslot_get_pbkdf(l->cd, slot, &kdf) == 0 && kdf.max_memory_kb > most)
			most = kdf.max_memory_kb;
	return most;
}

int luks_unlock(struct luks *l, const struct secret *key, bool *marked, struct err *e)
{
	size_t n = KEY_BYTES_MAX;
	int r = secret_alloc(&l->volume_key, n, e);

	if (r < 0)
		return r;
	l->said[0] = '\0';
	r = crypt_volume_key_get(l->cd, CRYPT_ANY_SLOT, (char *)l->volume_key.p, &n,
				 (const char *)secret_bytes(key), key->len);
	if (r == -EPERM)
		return err_code(e, CODE_VOLUME_WRONG_KEY, "the key opens no keyslot");
	if (r < 0)
		return failed(l, r, "try the key", e);
	l->volume_key.len = n;
	return luks_mark_find(marked, l->volume_key.p, e);
}

int luks_activate(struct luks *l, const char *name, bool no_journal, struct err *e)
{
	uint32_t flags = no_journal ? CRYPT_ACTIVATE_NO_JOURNAL : 0;
	int r;

	l->said[0] = '\0';
	r = crypt_activate_by_volume_key(l->cd, name, (const char *)secret_bytes(&l->volume_key),
					 l->volume_key.len, flags);
	return r < 0 ? failed(l, r, name, e) : 0;
}

void luks_free(struct luks *l)
{
	if (!l)
		return;
	crypt_free(l->cd);
	secret_done(&l->volume_key);
	free(l);
}

/*
 * Told a name alone, the library would take the header from the disk below, which is the host's. It gets
 * an empty one, and goes by the mapping's UUID.
 */
static int deactivate(struct luks *l, const char *name)
{
	cleanup_close int image = luks_image(NULL);
	char path[32];
	int r;

	if (image < 0)
		return -ENOMEM;
	(void)snprintf(path, sizeof path, "/proc/self/fd/%d", image);
	crypt_set_log_callback(NULL, hear, l);
	r = crypt_init_by_name_and_header(&l->cd, name, path);
	if (r == 0)
		r = crypt_deactivate_by_name(l->cd, name, 0);
	crypt_free(l->cd);
	l->cd = NULL;
	crypt_set_log_callback(NULL, hear, NULL);
	return r;
}

int luks_close(const char *name, struct err *e)
{
	char below[VOLUME_MAPPER_MAX + 1];
	struct luks l = { 0 };
	int r = 0;

	if (dm_exists(name))
		r = deactivate(&l, name);
	if (r == -EBUSY)
		return failed(&l, r, name, e);
	/* Half made, the library does not know it; dm-integrity's may be there alone. */
	if (dm_exists(name)) {
		r = dm_remove(name, e);
		if (r < 0)
			return r;
	}
	(void)snprintf(below, sizeof below, "%.*s_dif", VOLUME_MAPPER_MAX - 4, name);
	return dm_exists(below) ? dm_remove(below, e) : 0;
}
