/* SPDX-License-Identifier: Apache-2.0 */
#include "attester/uki.h"
#include "attester/le.h"

enum {
	LFANEW = 0x3c,       /* where the DOS header names the PE header */
	COFF = 24,           /* PE signature and COFF header */
	OPT_HEADERS = 60,    /* within the optional header of PE32+ */
	OPT_CHECKSUM = 64,
	OPT_DIRS = 108,      /* number of data directories */
	OPT_MIN = 112,
	DIR_CERTS = 4,       /* the certificate table's directory: offset in the file and size */
	DIRS_MAX = 16,
	SECTION = 40,
	MAGIC_PE32PLUS = 0x20b,
};

static const char *const names[UKI_PARTS] = {
	[UKI_LINUX] = ".linux",     [UKI_OSREL] = ".osrel", [UKI_CMDLINE] = ".cmdline",
	[UKI_INITRD] = ".initrd",   [UKI_UCODE] = ".ucode", [UKI_SPLASH] = ".splash",
	[UKI_DTB] = ".dtb",	    [UKI_UNAME] = ".uname", [UKI_SBAT] = ".sbat",
	[UKI_PCRPKEY] = ".pcrpkey",
};

const char *uki_part_name(enum uki_part part)
{
	return names[part];
}

bool uki_measures(unsigned stub, enum uki_part part)
{
	switch (part) {
	case UKI_UCODE:
		return stub >= 256;
	case UKI_UNAME:
	case UKI_SBAT:
		return stub >= 254;
	default:
		return true;
	}
}

/* --- PE ---------------------------------------------------------------------------------------- */

static int bad(const char *why, struct err *e)
{
	return err_set(e, ERR_FORMAT, "PE file: %s", why);
}

/* "#### LoaderInfo: systemd-stub 252.39-1 ####" */
static unsigned stub_version(struct view magic)
{
	static const char before[] = "#### LoaderInfo: systemd-stub ";
	unsigned version = 0;

	if (!view_starts(magic, before))
		return 0;
	for (size_t i = sizeof before - 1; i < magic.len && version < 10000; i++) {
		if (magic.p[i] < '0' || magic.p[i] > '9')
			break;
		version = version * 10 + magic.p[i] - '0';
	}
	return version;
}

static int take_part(struct uki *u, const uint8_t *name, struct view raw, uint32_t virtual_size,
		     struct err *e)
{
	char word[9] = { 0 };
	struct view content = { raw.p, virtual_size };

	memcpy(word, name, 8);
	if (strcmp(word, ".profile") == 0)
		u->profiles = true;
	if (strcmp(word, ".sdmagic") == 0)
		u->stub = stub_version(raw);
	for (int i = 0; i < UKI_PARTS; i++) {
		if (strcmp(word, names[i]) != 0)
			continue;
		if (u->part[i].p && !u->profiles)
			return err_set(e, ERR_FORMAT, "PE file: section %s is there twice", word);
		if (virtual_size > raw.len)
			return err_set(e, ERR_UNSUPPORTED,
				       "PE file: section %s reaches beyond its data", word);
		if (!u->part[i].p)
			u->part[i] = content;
	}
	return 0;
}

/* Sections by their place in the file, as firmware hashes them. */
static void insert(struct uki *u, uint32_t offset, uint32_t size)
{
	size_t i = u->n_sections++;

	for (; i > 0 && u->sections[i - 1].offset > offset; i--)
		u->sections[i] = u->sections[i - 1];
	u->sections[i].offset = offset;
	u->sections[i].size = size;
}

static int read_sections(struct uki *u, size_t at, unsigned n, struct err *e)
{
	if (n == 0 || n > UKI_SECTIONS_MAX)
		return err_set(e, ERR_LIMIT, "PE file: %u sections, allowed 1..%d", n,
			       UKI_SECTIONS_MAX);
	if (u->file.len - at < (size_t)n * SECTION)
		return bad("its section table is cut short", e);
	for (unsigned i = 0; i < n; i++, at += SECTION) {
		const uint8_t *p = u->file.p + at;
		uint32_t size = le32(p + 16), offset = le32(p + 20);
		int r;

		if (size == 0)
			continue;
		if (offset > u->file.len || size > u->file.len - offset)
			return bad("a section's data reach beyond the file", e);
		insert(u, offset, size);
		r = take_part(u, p, view_at(u->file, offset, size), le32(p + 8), e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The optional header at `at`, of that size. */
static int read_optional(struct uki *u, size_t at, uint16_t size, struct err *e)
{
	const uint8_t *p = u->file.p + at;
	uint32_t dirs, certs_at;

	if (size < OPT_MIN || u->file.len - at < size)
		return bad("its optional header is cut short", e);
	if (le16(p) != MAGIC_PE32PLUS)
		return bad("it is not PE32+", e);
	dirs = le32(p + OPT_DIRS);
	if (dirs > DIRS_MAX || size < OPT_MIN + 8 * dirs)
		return bad("its data directories do not fit into its optional header", e);
	u->headers = le32(p + OPT_HEADERS);
	if (u->headers < at + size || u->headers > u->file.len)
		return bad("the size of its headers is out of range", e);
	u->checksum = (uint32_t)at + OPT_CHECKSUM;
	if (dirs <= DIR_CERTS)
		return 0;
	u->certificates = (uint32_t)at + OPT_MIN + 8 * DIR_CERTS;
	certs_at = le32(u->file.p + u->certificates);
	u->signature_size = le32(u->file.p + u->certificates + 4);
	if (u->signature_size == 0)
		return certs_at == 0 ? 0 : bad("its certificate table has no size", e);
	if (certs_at < u->headers || certs_at > u->file.len ||
	    u->signature_size != u->file.len - certs_at)
		return bad("its certificate table is not the file's end", e);
	return 0;
}

int uki_parse(struct uki *out, struct view file, struct err *e)
{
	struct uki u = { .file = file };
	uint32_t pe;
	uint16_t optional;
	int r;

	if (file.len > UKI_FILE_MAX)
		return err_set(e, ERR_LIMIT, "PE file of %zu bytes, allowed 0..%u", file.len,
			       UKI_FILE_MAX);
	if (file.len < LFANEW + 4 || file.p[0] != 'M' || file.p[1] != 'Z')
		return bad("it does not begin with MZ", e);
	pe = le32(file.p + LFANEW);
	if (pe > file.len || file.len - pe < COFF || memcmp(file.p + pe, "PE\0\0", 4) != 0)
		return bad("there is no PE header where it should be", e);
	optional = le16(file.p + pe + 20);
	r = read_optional(&u, pe + COFF, optional, e);
	if (r == 0)
		r = read_sections(&u, pe + COFF + optional, le16(file.p + pe + 6), e);
	if (r < 0)
		return r;
	*out = u;
	return 0;
}

/*
 * As EDK2 (DxeTpm2MeasureBootLib) does: the headers without checksum and certificate directory,
 * the sections' data in the order of the file, and what the file has besides, without certificates.
 */
int uki_authenticode(struct digest *out, const struct uki *u, enum hash_alg alg, struct err *e)
{
	struct view parts[UKI_SECTIONS_MAX + 4];
	size_t n = 0, at = (size_t)u->checksum + 4, hashed = u->headers, rest;

	parts[n++] = view_at(u->file, 0, u->checksum);
	if (u->certificates) {
		parts[n++] = view_at(u->file, at, u->certificates - at);
		at = (size_t)u->certificates + 8;
	}
	parts[n++] = view_at(u->file, at, u->headers - at);
	for (size_t i = 0; i < u->n_sections; i++) {
		parts[n++] = view_at(u->file, u->sections[i].offset, u->sections[i].size);
		hashed += u->sections[i].size;
	}
	rest = u->file.len - u->signature_size;
	if (rest > hashed)
		parts[n++] = view_at(u->file, hashed, rest - hashed);
	return digest_parts(out, alg, parts, n, e);
}

/* --- prediction --------------------------------------------------------------------------------- */

static int extend(struct digest *pcr, enum hash_alg alg, struct view digest, struct err *e)
{
	const struct view parts[] = { digest_view(pcr), digest };
	struct digest next;
	int r = digest_parts(&next, alg, parts, ARRAY_LEN(parts), e);

	if (r == 0)
		*pcr = next;
	return r;
}

/* Extend with the digest of some bytes. */
static int measure(struct digest *pcr, enum hash_alg alg, struct view bytes, struct err *e)
{
	struct digest d;
	int r = digest_of(&d, alg, bytes, e);

	return r < 0 ? r : extend(pcr, alg, digest_view(&d), e);
}

static int need_uki(const struct uki *u, struct err *e)
{
	if (u->stub == 0 || !u->part[UKI_LINUX].p)
		return err_set(e, ERR_UNSUPPORTED,
			       "no unified kernel image: it has no systemd-stub or no section "
			       ".linux");
	return 0;
}

int uki_pcr11(struct digest *out, const struct uki *u, enum hash_alg alg, struct err *e)
{
	struct digest pcr = { .len = hash_len(alg) };
	int r = need_uki(u, e);

	if (r == 0 && u->profiles)
		r = err_set(e, ERR_UNSUPPORTED,
			    "unified kernel image with several profiles: what is measured depends "
			    "on the one chosen");
	for (int i = 0; r == 0 && i < UKI_PARTS; i++) {
		/* An empty section is none to the stub. */
		if (u->part[i].len == 0 || !uki_measures(u->stub, (enum uki_part)i))
			continue;
		r = measure(&pcr, alg,
			    (struct view){ (const uint8_t *)names[i], strlen(names[i]) + 1 }, e);
		if (r == 0)
			r = measure(&pcr, alg, u->part[i], e);
	}
	if (r == 0)
		*out = pcr;
	return r;
}

int uki_pcr11_phase(struct digest *pcr, enum hash_alg alg, const char *word, struct err *e)
{
	return measure(pcr, alg, view_str(word), e);
}

/* Extend with the Authenticode hash of an image. */
static int measure_image(struct digest *pcr, const struct uki *u, enum hash_alg alg, struct err *e)
{
	struct digest d;
	int r = uki_authenticode(&d, u, alg, e);

	return r < 0 ? r : extend(pcr, alg, digest_view(&d), e);
}

int uki_pcr4(struct digest *out, const struct uki *u, enum hash_alg alg, bool kernel,
	     struct err *e)
{
	static const uint8_t separator[4] = { 0 };
	struct digest pcr = { .len = hash_len(alg) };
	struct uki inner;
	int r = need_uki(u, e);

	if (r == 0 && kernel) {
		r = uki_parse(&inner, u->part[UKI_LINUX], e);
		if (r < 0)
			return err_wrap(e, r, "kernel in section .linux");
	}
	if (r == 0)
		r = measure(&pcr, alg, view_str("Calling EFI Application from Boot Option"), e);
	if (r == 0)
		r = measure(&pcr, alg, (struct view){ separator, sizeof separator }, e);
	if (r == 0)
		r = measure_image(&pcr, u, alg, e);
	if (r == 0 && kernel)
		r = measure_image(&pcr, &inner, alg, e);
	if (r == 0)
		*out = pcr;
	return r;
}
