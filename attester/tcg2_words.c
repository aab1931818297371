/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "attester/le.h"
#include "attester/tcg2.h"

#include <stdio.h>

/* What events say, for people. Everything here came from firmware or from the host. */
enum {
	TEXT_MAX = 4096, /* of one event, before it is cut to TCG2_WORDS_MAX */
	NODES_MAX = 64,  /* of a device path */
	VARIABLE_HEAD = 32,
	IMAGE_HEAD = 32,
	TAG_HEAD = 8,
	GPT_HEAD = 92,
	HEX_MAX = 16, /* bytes of data that are shown as hex */
};

bool tcg2_variable(struct tcg2_variable *out, const struct tcg2_event *ev)
{
	struct view d = ev->data;
	uint64_t name, data;

	switch (ev->type) {
	case TCG2_EV_EFI_VARIABLE_DRIVER_CONFIG:
	case TCG2_EV_EFI_VARIABLE_BOOT:
	case TCG2_EV_EFI_VARIABLE_BOOT2:
	case TCG2_EV_EFI_VARIABLE_AUTHORITY:
		break;
	default:
		return false;
	}
	if (d.len < VARIABLE_HEAD)
		return false;
	name = le64(d.p + 16);
	data = le64(d.p + 24);
	if (name > (d.len - VARIABLE_HEAD) / 2 || data != d.len - VARIABLE_HEAD - 2 * name)
		return false;
	out->guid = view_at(d, 0, 16);
	out->name = view_at(d, VARIABLE_HEAD, 2 * (size_t)name);
	out->data = view_at(d, VARIABLE_HEAD + 2 * (size_t)name, (size_t)data);
	return true;
}

bool tcg2_variable_is(const struct tcg2_variable *v, const char *name)
{
	size_t n = strlen(name);

	if (v->name.len != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (v->name.p[2 * i] != (uint8_t)name[i] || v->name.p[2 * i + 1] != 0)
			return false;
	return true;
}

bool tcg2_tag(struct tcg2_tag *out, const struct tcg2_event *ev)
{
	if (ev->type != TCG2_EV_EVENT_TAG || ev->data.len < TAG_HEAD ||
	    le32(ev->data.p + 4) != ev->data.len - TAG_HEAD)
		return false;
	out->id = le32(ev->data.p);
	out->data = view_at(ev->data, TAG_HEAD, ev->data.len - TAG_HEAD);
	return true;
}

/* --- text ------------------------------------------------------------------------------------- */

static void put_rune(struct buf *out, uint32_t c)
{
	if (c < 0x20 || (c >= 0x7f && c < 0xa0)) {
		buf_putc(out, '?');
	} else if (c < 0x80) {
		buf_putc(out, (uint8_t)c);
	} else if (c < 0x800) {
		buf_putc(out, (uint8_t)(0xc0 | c >> 6));
		buf_putc(out, (uint8_t)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		buf_putc(out, (uint8_t)(0xe0 | c >> 12));
		buf_putc(out, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
		buf_putc(out, (uint8_t)(0x80 | (c & 0x3f)));
	} else {
		buf_putc(out, (uint8_t)(0xf0 | c >> 18));
		buf_putc(out, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
		buf_putc(out, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
		buf_putc(out, (uint8_t)(0x80 | (c & 0x3f)));
	}
}

/* UTF-16 up to its NUL. False at half a surrogate pair. */
static bool put_utf16(struct buf *out, struct view v)
{
	for (size_t i = 0; i + 2 <= v.len && out->len < out->max - 4; i += 2) {
		uint32_t c = le16(v.p + i);

		if (c == 0)
			break;
		if (c >= 0xdc00 && c < 0xe000)
			return false;
		if (c >= 0xd800 && c < 0xdc00) {
			uint32_t low = i + 4 <= v.len ? le16(v.p + i + 2) : 0;

			if (low < 0xdc00 || low >= 0xe000)
				return false;
			c = 0x10000 + ((c & 0x3ff) << 10 | (low & 0x3ff));
			i += 2;
		}
		put_rune(out, c);
	}
	return true;
}

/* UTF-8 up to its NUL, as it is but for control characters. */
static bool put_utf8(struct buf *out, struct view v)
{
	const uint8_t *nul = v.len ? memchr(v.p, 0, v.len) : NULL;

	if (nul)
		v.len = (size_t)(nul - v.p);
	if (v.len > TEXT_MAX || !enc_is_utf8(v))
		return false;
	for (size_t i = 0; i < v.len; i++) {
		/* C1 controls are C2 80..9F. */
		bool c1 = v.p[i] == 0xc2 && v.p[i + 1] < 0xa0;

		buf_putc(out, v.p[i] < 0x20 || v.p[i] == 0x7f || c1 ? '?' : v.p[i]);
		i += c1;
	}
	return true;
}

/* The text of some bytes; false, and nothing appended, when they are no text or an empty one. */
static bool put_text(struct buf *out, struct view v)
{
	cleanup_buf struct buf b = BUF_MAX(TEXT_MAX);
	bool wide = v.len >= 2 && v.p[0] != 0 && v.p[1] == 0;

	if (!(wide ? put_utf16(&b, v) : put_utf8(&b, v)) || b.failed || b.len == 0)
		return false;
	buf_putv(out, buf_view(&b));
	return true;
}

bool tcg2_text(struct buf *out, const struct tcg2_event *ev)
{
	return put_text(out, ev->data);
}

/* --- device paths ----------------------------------------------------------------------------- */

static void put_guid(struct buf *out, const uint8_t *p)
{
	buf_printf(out, "%08X-%04X-%04X-%02X%02X-%02X%02X%02X%02X%02X%02X", le32(p), le16(p + 4),
		   le16(p + 6), p[8], p[9], p[10], p[11], p[12], p[13], p[14], p[15]);
}

static void put_guid_node(struct buf *out, const char *name, struct view d)
{
	buf_printf(out, "%s(", name);
	put_guid(out, d.p);
	buf_putc(out, ')');
}

static void put_hard_drive(struct buf *out, struct view d)
{
	buf_printf(out, "HD(%u,", le32(d.p));
	if (d.p[37] == 2) { /* the signature is a GUID */
		buf_puts(out, "GPT,");
		put_guid(out, d.p + 20);
	} else {
		buf_printf(out, "MBR,0x%08X", le32(d.p + 20));
	}
	buf_printf(out, ",0x%llX,0x%llX)", (unsigned long long)le64(d.p + 4),
		   (unsigned long long)le64(d.p + 12));
}

/* One node; d is what stands behind its head (UEFI specification, 10.3). */
static void put_node(struct buf *out, uint8_t type, uint8_t sub, struct view d)
{
	size_t before = out->len;

	switch (type << 8 | sub) {
	case 0x0101:
		if (d.len == 2)
			buf_printf(out, "Pci(0x%x,0x%x)", d.p[1], d.p[0]);
		break;
	case 0x0104:
	case 0x030a:
	case 0x0403:
		if (d.len >= 16)
			put_guid_node(out, type == 1 ? "VenHw" : type == 3 ? "VenMsg" : "VenMedia",
				      d);
		break;
	case 0x0201:
		if (d.len == 8 && le32(d.p) == 0x0a0341d0) /* PNP0A03 */
			buf_printf(out, "PciRoot(0x%x)", le32(d.p + 4));
		else if (d.len == 8)
			buf_printf(out, "Acpi(0x%x,0x%x)", le32(d.p), le32(d.p + 4));
		break;
	case 0x0302:
		if (d.len == 4)
			buf_printf(out, "Scsi(0x%x,0x%x)", le16(d.p), le16(d.p + 2));
		break;
	case 0x0312:
		if (d.len == 6)
			buf_printf(out, "Sata(0x%x,0x%x,0x%x)", le16(d.p), le16(d.p + 2),
				   le16(d.p + 4));
		break;
	case 0x0317:
		if (d.len == 12)
			buf_printf(out, "NVMe(0x%x)", le32(d.p));
		break;
	case 0x0401:
		if (d.len == 38)
			put_hard_drive(out, d);
		break;
	case 0x0404: {
		cleanup_buf struct buf name = BUF_MAX(TEXT_MAX);

		if (put_utf16(&name, d)) {
			buf_puts(out, "File(");
			buf_putv(out, buf_view(&name));
			buf_putc(out, ')');
		}
		break;
	}
	case 0x0406:
	case 0x0407:
		if (d.len == 16)
			put_guid_node(out, sub == 6 ? "FvFile" : "Fv", d);
		break;
	default:
		break;
	}
	if (out->len == before)
		buf_printf(out, "Path(%u,%u)", type, sub);
}

static bool put_path(struct buf *out, struct view path)
{
	cleanup_buf struct buf b = BUF_MAX(TEXT_MAX);

	for (unsigned n = 0; path.len > 0; n++) {
		size_t len = path.len >= 4 ? le16(path.p + 2) : 0;

		if (len < 4 || len > path.len || n == NODES_MAX)
			return false;
		if (path.p[0] == 0x7f)
			break;
		if (b.len > 0)
			buf_putc(&b, '/');
		put_node(&b, path.p[0], path.p[1], view_at(path, 4, len - 4));
		path = view_at(path, len, path.len - len);
	}
	if (b.failed || b.len == 0)
		return false;
	buf_putv(out, buf_view(&b));
	return true;
}

bool tcg2_image_path(struct buf *out, const struct tcg2_event *ev)
{
	struct view d = ev->data;

	/* Applications, and drivers of boot and run time. */
	if (ev->type < TCG2_EV_EFI_BOOT_SERVICES_APPLICATION || ev->type > 0x80000005u ||
	    d.len < IMAGE_HEAD || le64(d.p + 24) != d.len - IMAGE_HEAD)
		return false;
	return put_path(out, view_at(d, IMAGE_HEAD, d.len - IMAGE_HEAD));
}

/* --- any event -------------------------------------------------------------------------------- */

static void put_data(struct buf *out, struct view d)
{
	if (d.len > 0 && d.len <= HEX_MAX) {
		enc_hex(out, d);
		return;
	}
	buf_printf(out, "%zu bytes", d.len);
}

/* "SecureBoot = 01", "Boot0001 \"debian\"", "db, 3143 bytes". */
static void put_variable(struct buf *out, const struct tcg2_variable *v)
{
	struct view option = v->data;

	if (!put_utf16(out, v->name))
		buf_puts(out, "a variable whose name is no text");
	if (v->name.len == 16 && v->name.p[0] == 'B' && v->name.p[6] == 't' && option.len > 6) {
		cleanup_buf struct buf title = BUF_MAX(TEXT_MAX);

		if (put_utf16(&title, view_at(option, 6, option.len - 6))) {
			buf_puts(out, " \"");
			buf_putv(out, buf_view(&title));
			buf_putc(out, '"');
		}
		return;
	}
	if (v->data.len == 0) {
		buf_puts(out, ", empty");
		return;
	}
	buf_puts(out, v->data.len <= HEX_MAX ? " = " : ", ");
	put_data(out, v->data);
}

static void put_tag(struct buf *out, const struct tcg2_tag *tag)
{
	if (tag->id == TCG2_TAG_AAEL)
		buf_puts(out, "AAEL: ");
	else if (tag->id == TCG2_TAG_LOAD_OPTIONS)
		buf_puts(out, "kernel command line: ");
	else if (tag->id == TCG2_TAG_INITRD)
		buf_puts(out, "initrd: ");
	else
		buf_printf(out, "tag %08x: ", tag->id);
	if (!put_text(out, tag->data))
		put_data(out, tag->data);
}

/* A blob or table with its name: one byte length, then that. */
static bool put_named(struct buf *out, struct view d)
{
	return d.len > 0 && d.p[0] <= d.len - 1 && put_text(out, view_at(d, 1, d.p[0]));
}

static bool put_by_type(struct buf *out, const struct tcg2_event *ev)
{
	struct tcg2_variable variable;
	struct tcg2_tag tag;

	if (tcg2_variable(&variable, ev)) {
		put_variable(out, &variable);
		return true;
	}
	if (tcg2_tag(&tag, ev)) {
		put_tag(out, &tag);
		return true;
	}
	switch (ev->type) {
	case TCG2_EV_NO_ACTION:
		if (ev->data.len == 17 && memcmp(ev->data.p, "StartupLocality", 16) == 0) {
			buf_printf(out, "StartupLocality %u", ev->data.p[16]);
			return true;
		}
		return tcg2_text(out, ev);
	case TCG2_EV_SEPARATOR:
		buf_puts(out, "separator ");
		put_data(out, ev->data);
		return true;
	case 0x80000006u: /* EV_EFI_GPT_EVENT */
		if (ev->data.len < GPT_HEAD + 8)
			return false;
		buf_printf(out, "partition table, %llu partitions",
			   (unsigned long long)le64(ev->data.p + GPT_HEAD));
		return true;
	case 0x80000008u: /* EV_EFI_PLATFORM_FIRMWARE_BLOB */
		if (ev->data.len != 16)
			return false;
		buf_printf(out, "firmware at 0x%llx, 0x%llx bytes",
			   (unsigned long long)le64(ev->data.p),
			   (unsigned long long)le64(ev->data.p + 8));
		return true;
	case 0x8000000au: /* EV_EFI_PLATFORM_FIRMWARE_BLOB2 */
	case 0x8000000bu: /* EV_EFI_HANDOFF_TABLES2 */
		return put_named(out, ev->data);
	default:
		return tcg2_image_path(out, ev) || tcg2_text(out, ev);
	}
}

void tcg2_describe(struct buf *out, const struct tcg2_event *ev)
{
	cleanup_buf struct buf b = BUF_MAX(2 * TEXT_MAX + 256);
	struct view words;

	if (!put_by_type(&b, ev)) {
		buf_reset(&b);
		put_data(&b, ev->data);
	}
	words = buf_view(&b);
	if (words.len > TCG2_WORDS_MAX) {
		words.len = TCG2_WORDS_MAX - 3;
		/* Never half a character. */
		while (words.len > 0 && (words.p[words.len] & 0xc0) == 0x80)
			words.len--;
		buf_putv(out, words);
		buf_puts(out, "...");
		return;
	}
	buf_putv(out, words);
}
