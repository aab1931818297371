/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/volume/format.h"

#include "mounts/volume/lock.h"
#include "mounts/volume/mkfs.h"
#include "mounts/volume/record.h"

#include <errno.h>

#define SECTOR 4096u
#define EDGE   (1u << 20)
#define TOKEN  1024u

static int read_at(int image, uint64_t at, uint8_t *p, size_t n, struct err *e)
{
	ssize_t got = pread(image, p, n, (off_t)at);

	return got == (ssize_t)n ? 0 : err_sys(e, got < 0 ? errno : EIO, "read the header in memory");
}

static int write_image(int image, uint64_t at, const uint8_t *p, size_t n, struct err *e)
{
	ssize_t put = pwrite(image, p, n, (off_t)at);

	return put == (ssize_t)n ? 0 : err_sys(e, put < 0 ? errno : EIO, "write the header in memory");
}

void header_done(struct header *h)
{
	luks_free(h->luks);
	if (h->image >= 0)
		(void)close(h->image);
	*h = (struct header)HEADER_NONE;
}

static void hand_over(struct header *out, struct header *h)
{
	*out = *h;
	*h = (struct header)HEADER_NONE;
}

/* --- judging ------------------------------------------------------------------------------ */

/* A header that says of itself that vouchsafe made it; authentic or not, it is not scratch. */
static bool looks_ours(const uint8_t *raw)
{
	cleanup_luks_header struct luks_header h = { 0 };

	if (luks_header_load(&h, (struct view){ raw, LUKS_COPIES }, NULL) < 0)
		return false;
	return memmem(h.text.p, h.text.len, "\"type\":\"vouchsafe\"", 18) != NULL;
}

static int too_small(const struct device *d, const struct volume_spec *spec, struct err *e)
{
	uint64_t head = spec->keyed ? LUKS_DATA_OFFSET : 0, least = FORMAT_DATA_MIN;

	if (spec->target == VOLUME_FILESYSTEM && spec->fs == VOLUME_XFS)
		least = MKFS_XFS_MIN;
	/* Tags take 32 bytes of each 4096, and the journal up to 1/100 more. */
	if (spec->integrity)
		least += least / 32;
	if (d->size >= head + least)
		return 0;
	return err_code(e, CODE_VOLUME_TOO_SMALL, "%s has %llu bytes, this volume needs %llu", d->path,
			(unsigned long long)d->size, (unsigned long long)(head + least));
}

static int judge_empty(const struct device *d, const struct volume_spec *spec, const uint8_t *raw,
		       struct err *e)
{
	char found[32];
	int r;

	if (spec->source == VOLUME_ENCRYPTED)
		return err_code(e, CODE_VOLUME_NO_HEADER, "%s has no LUKS header", d->path);
	r = too_small(d, spec, e);
	if (r < 0 || !spec->keyed)
		return r;
	/* blkid knows the second copy too, but not a damaged first one beside it. */
	if (luks_header_detect(raw + LUKS_COPY, 6))
		return err_code(e, CODE_VOLUME_NOT_EMPTY, "%s holds a damaged LUKS header", d->path);
	r = signature_find(found, d, e);
	if (r > 0)
		return err_code(e, CODE_VOLUME_NOT_EMPTY, "%s holds %s", d->path, found);
	return r;
}

static int judge_intent(enum device_state *out, const struct device *d, const struct volume_spec *spec,
			const uint8_t *raw, const struct secret *key, struct err *e)
{
	int r;

	if (spec->source == VOLUME_ENCRYPTED)
		return err_code(e, CODE_VOLUME_INTERRUPTED, "%s: formatting was begun and never finished",
				d->path);
	r = luks_intent_check(raw, d->size, key, e);
	if (r < 0)
		return err_wrap(e, r, "%s", d->path);
	*out = STATE_INTERRUPTED;
	return too_small(d, spec, e);
}

int format_judge(enum device_state *out, const struct device *d, const struct volume_spec *spec,
		 const struct secret *key, struct err *e)
{
	cleanup_free uint8_t *raw = calloc(1, LUKS_COPIES);
	int r;

	if (!raw)
		return err_set(e, ERR_NOMEM, "no memory for a header");
	if (d->size < EDGE)
		return err_code(e, CODE_VOLUME_TOO_SMALL, "%s has %llu bytes", d->path,
				(unsigned long long)d->size);
	r = device_read(d, 0, raw, LUKS_COPIES, e);
	if (r < 0)
		return r;
	if (!spec->keyed && looks_ours(raw))
		return err_code(e, CODE_VOLUME_NOT_EMPTY,
				"%s holds a keyed volume of vouchsafe, and no key was given", d->path);
	if (spec->keyed && luks_intent_detect(raw, LUKS_COPIES))
		return judge_intent(out, d, spec, raw, key, e);
	if (spec->keyed && luks_header_detect(raw, LUKS_COPIES)) {
		*out = STATE_LUKS;
		return 0;
	}
	*out = STATE_EMPTY;
	return judge_empty(d, spec, raw, e);
}

/* --- a header that is there ---------------------------------------------------------------- */

/* Copy the keyslots' areas from one descriptor to the image, and hash them in their order. */
static int take_areas(struct digest *out, const struct luks_header *h, const struct device *from, int image,
		      struct err *e)
{
	cleanup_free uint8_t *area = malloc(LUKS_AREA_MAX);
	struct digest chain[2] = { 0 };

	if (!area)
		return err_set(e, ERR_NOMEM, "no memory for a keyslot");
	for (size_t i = 0; i < h->n_areas; i++) {
		const struct luks_area *a = &h->areas[i];
		int r = from ? device_read(from, a->offset, area, a->size, e) :
			       read_at(image, a->offset, area, a->size, e);

		if (r == 0 && from)
			r = write_image(image, a->offset, area, a->size, e);
		if (r == 0)
			r = digest_of(&chain[i > 0], HASH_SHA256, (struct view){ area, a->size }, e);
		/* Only a header with one keyslot can be tagged; the rest is never compared. */
		if (r < 0)
			return r;
	}
	*out = chain[0];
	return 0;
}

static int authenticate(const struct luks_header *h, const struct digest *area,
			const struct volume_rules *rules, const struct volume_spec *spec,
			const struct secret *key, struct err *e)
{
	int r;

	if (!h->tagged && rules->tags == VOLUME_TAGS_ALL)
		return err_code(e, CODE_VOLUME_HEADER_AUTH,
				"volume %s has no authentication tag, and the rules want one", h->uuid);
	if (!h->tagged)
		return 0;
	r = luks_auth_check(h, area, key, e);
	if (r < 0)
		return r;
	if (spec->target == VOLUME_FILESYSTEM && strcmp(h->token.fs, "none") != 0 &&
	    strcmp(h->token.fs, record_fs_name(spec->fs)) != 0)
		return err_code(e, CODE_VOLUME_FILESYSTEM, "volume %s holds %s, the request says %s", h->uuid,
				h->token.fs, record_fs_name(spec->fs));
	return 0;
}

static int fill_image(struct header *out, const struct device *d, const struct volume_rules *rules,
		      const struct volume_spec *spec, const struct secret *key, struct err *e)
{
	cleanup_luks_header struct luks_header h = { 0 };
	cleanup_free uint8_t *raw = calloc(1, LUKS_COPIES);
	struct digest area = { 0 };
	int r;

	if (!raw)
		return err_set(e, ERR_NOMEM, "no memory for a header");
	r = device_read(d, 0, raw, LUKS_COPIES, e);
	if (r == 0)
		r = luks_header_load(&h, (struct view){ raw, LUKS_COPIES }, e);
	if (r == 0)
		r = luks_header_check(&h, spec->integrity, e);
	if (r == 0 && d->size < h.data_offset + (1u << 20))
		r = err_code(e, CODE_VOLUME_TOO_SMALL, "the device has %llu bytes, its data begin at %llu",
			     (unsigned long long)d->size, (unsigned long long)h.data_offset);
	if (r == 0)
		r = take_areas(&area, &h, d, out->image, e);
	if (r == 0)
		r = authenticate(&h, &area, rules, spec, key, e);
	if (r == 0)
		r = luks_header_put(raw, &h, e);
	if (r < 0)
		return r;
	out->tagged = h.tagged;
	return write_image(out->image, 0, raw, LUKS_COPIES, e);
}

/* Requests with costly headers, which another program or the host made, take turns. */
static int unlock(const struct header *h, const struct volume_rules *rules, const struct secret *key,
		  struct deadline d, struct err *e)
{
	cleanup_close int turn = -1;
	bool marked = false;
	int r;

	if (luks_memory_kib(h->luks) > LOCK_MEMORY_KIB) {
		turn = lock_take(rules->state_dir, LOCK_MEMORY, d, e);
		if (turn < 0)
			return turn;
	}
	r = luks_unlock(h->luks, key, &marked, e);
	if (r < 0)
		return r;
	/* Whoever took the token away cannot take the mark away, which the keyslot encrypts. */
	if (marked && !h->tagged && rules->tags != VOLUME_TAGS_NONE)
		return err_code(e, CODE_VOLUME_HEADER_AUTH,
				"volume %s was made by vouchsafe, and the tag of its header was taken away",
				luks_uuid(h->luks));
	return 0;
}

int format_load(struct header *out, const struct device *dev, const struct volume_rules *rules,
		const struct volume_spec *spec, const struct secret *key, struct deadline d, struct err *e)
{
	cleanup_header struct header h = { .image = luks_image(e) };
	int r;

	if (h.image < 0)
		return h.image;
	r = fill_image(&h, dev, rules, spec, key, e);
	if (r == 0)
		r = luks_load(&h.luks, h.image, dev->path, e);
	if (r == 0)
		r = unlock(&h, rules, key, d, e);
	if (r < 0)
		return err_wrap(e, r, "%s", dev->path);
	hand_over(out, &h);
	return 0;
}

/* --- a new header --------------------------------------------------------------------------- */

/* What the library wrote into the image, through the same eyes as a disk's. */
static int read_back(struct luks_header *h, uint8_t *raw, int image, bool integrity, struct err *e)
{
	int r = read_at(image, 0, raw, LUKS_COPIES, e);

	if (r == 0)
		r = luks_header_load(h, (struct view){ raw, LUKS_COPIES }, e);
	return r < 0 ? r : luks_header_check(h, integrity, e);
}

static int add_tag(struct luks *l, int image, const struct volume_spec *spec, const struct secret *key,
		   struct err *e)
{
	cleanup_buf struct buf first = BUF_MAX(TOKEN), second = BUF_MAX(TOKEN);
	cleanup_luks_header struct luks_header h = { 0 };
	cleanup_free uint8_t *raw = calloc(1, LUKS_COPIES);
	const char *fs = spec->target == VOLUME_FILESYSTEM ? record_fs_name(spec->fs) : "none";
	struct digest area = { 0 };
	int r;

	if (!raw)
		return err_set(e, ERR_NOMEM, "no memory for a header");
	r = luks_auth_begin(&first, luks_uuid(l), fs, key, e);
	if (r == 0)
		r = luks_put_token(l, buf_str(&first), e);
	if (r == 0)
		r = read_back(&h, raw, image, spec->integrity, e);
	if (r == 0)
		r = take_areas(&area, &h, NULL, image, e);
	if (r == 0)
		r = luks_auth_end(&second, &h, &area, key, e);
	return r < 0 ? r : luks_put_token(l, buf_str(&second), e);
}

static int clear_keyed(const struct device *d, const struct secret *key, struct deadline t, struct err *e)
{
	uint8_t sector[SECTOR] = { 0 };
	int r = luks_intent_make(sector, d->size, key, e);

	if (r == 0)
		r = device_write(d, 0, (struct view){ sector, sizeof sector }, e);
	return r < 0 ? r : device_zero(d->path, SECTOR, LUKS_DATA_OFFSET - SECTOR, t, NULL, NULL, e);
}

static int clear_keyless(const struct device *d, struct deadline t, struct err *e)
{
	int r = device_zero(d->path, 0, EDGE, t, NULL, NULL, e);

	return r < 0 ? r : device_zero(d->path, d->size - EDGE, EDGE, t, NULL, NULL, e);
}

int format_begin(struct header *out, const struct device *dev, const struct volume_spec *spec,
		 const struct secret *key, struct deadline d, struct err *e)
{
	cleanup_header struct header h = { .image = luks_image(e), .tagged = key != NULL };
	int r;

	if (h.image < 0)
		return h.image;
	r = key ? clear_keyed(dev, key, d, e) : clear_keyless(dev, d, e);
	if (r == 0)
		r = luks_make(&h.luks, h.image, dev->path, key ? LUKS_DATA_OFFSET : 0, spec->integrity, key, e);
	if (r == 0 && key)
		r = add_tag(h.luks, h.image, spec, key, e);
	if (r < 0)
		return r;
	hand_over(out, &h);
	return 0;
}

int format_finish(const struct device *dev, const struct header *made, bool integrity, struct err *e)
{
	cleanup_luks_header struct luks_header h = { 0 };
	cleanup_free uint8_t *raw = calloc(1, LUKS_COPIES), *area = malloc(LUKS_AREA_MAX);
	int r;

	if (!raw || !area)
		return err_set(e, ERR_NOMEM, "no memory for a header");
	r = read_back(&h, raw, made->image, integrity, e);
	for (size_t i = 0; r == 0 && i < h.n_areas; i++) {
		r = read_at(made->image, h.areas[i].offset, area, h.areas[i].size, e);
		if (r == 0)
			r = device_write(dev, h.areas[i].offset, (struct view){ area, h.areas[i].size }, e);
	}
	if (r == 0)
		r = device_write(dev, SECTOR, (struct view){ raw + SECTOR, LUKS_COPIES - SECTOR }, e);
	return r < 0 ? r : device_write(dev, 0, (struct view){ raw, SECTOR }, e);
}
