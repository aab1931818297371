/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_ATTESTER_FAKE_TEE_H
#define TEST_ATTESTER_FAKE_TEE_H

#include "attester/attester.h"
#include "test/unit/attester/vector.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>

/* A TEE's device that answers with what a test put there, and the data where a device puts it. */
struct fake_tee {
	enum tee_kind kind;
	uint8_t report[TEE_REPORT_MAX + 64];
	size_t len;
	size_t data_at; /* where the answer carries the data; SIZE_MAX: nowhere */
	uint8_t certs[TEE_CERTS_MAX + 64];
	size_t certs_len;
	enum err_code fails; /* CODE_OK: it does not */
	void (*before)(struct fake_tee *f); /* called before each quote */

	unsigned quotes, extends;
	uint8_t data[TEE_DATA]; /* of the last request */
	unsigned reg;
	uint8_t digest[TEE_DIGEST];
};

static inline int fake_tee_quote(void *ctx, const uint8_t data[TEE_DATA], struct tee_quote *out,
				 struct err *e)
{
	struct fake_tee *f = ctx;

	f->quotes++;
	memcpy(f->data, data, TEE_DATA);
	if (f->fails != CODE_OK)
		return err_code(e, f->fails, "the device said no");
	if (f->before)
		f->before(f);
	if (f->data_at < f->len && f->len - f->data_at >= TEE_DATA)
		memcpy(f->report + f->data_at, data, TEE_DATA);
	*out = (struct tee_quote){ .kind = f->kind,
				   .report = BUF_MAX(sizeof f->report),
				   .certs = BUF_MAX(sizeof f->certs) };
	buf_put(&out->report, f->report, f->len);
	buf_put(&out->certs, f->certs, f->certs_len);
	return 0;
}

static inline int fake_tee_extend(void *ctx, unsigned reg, const uint8_t digest[TEE_DIGEST],
				  struct err *e)
{
	struct fake_tee *f = ctx;

	f->extends++;
	f->reg = reg;
	memcpy(f->digest, digest, TEE_DIGEST);
	return f->fails == CODE_OK ? 0 : err_code(e, f->fails, "the device said no");
}

static char fake_root_path[PATH_MAX];

static inline int fake_root_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static inline void fake_root_gone(void)
{
	(void)nftw(fake_root_path, fake_root_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* An empty folder as the root of devices and files; it goes with the test's process. */
static inline int fake_root(char path[PATH_MAX])
{
	const char *tmp = getenv("TMPDIR");
	int fd;

	(void)snprintf(path, PATH_MAX, "%s/vouchsafe-tee-XXXXXX", tmp ? tmp : "/tmp");
	CHECK(mkdtemp(path) != NULL);
	(void)snprintf(fake_root_path, sizeof fake_root_path, "%s", path);
	CHECK_INT(atexit(fake_root_gone), 0);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	CHECK(fd >= 0);
	return fd;
}

static inline void fake_file(const char *root, const char *path, const void *bytes, size_t len)
{
	cleanup_free char *full = fs_join(root, path), *dir = strdup(full);

	*strrchr(dir, '/') = '\0';
	CHECK_INT(fs_mkdirs(dir, 0755, NULL), 0);
	CHECK_INT(fs_write(full, (struct view){ bytes, len }, 0644, NULL), 0);
}

static inline struct attester_env fake_env_of(struct fake_tee *f, int root_fd)
{
	return (struct attester_env){
		.root_fd = root_fd,
		.initdata_pcr = 8,
		.tee = { .quote = fake_tee_quote, .extend = fake_tee_extend, .ctx = f },
	};
}

#endif
