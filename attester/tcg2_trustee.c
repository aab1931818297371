/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"
#include "attester/le.h"
#include "attester/tcg2.h"

/*
 * What Trustee makes of each record's data on the way to its claims. A record that it cannot take
 * apart ends the attestation, however well the log replays: the data of many events are not what
 * was hashed, so that a replay does not vouch for them.
 */
enum {
	VARIABLE_HEAD = 32,
	IMAGE_HEAD = 32,
	TAG_HEAD = 8,
	NODE_HEAD = 4,
	NODES_MAX = 256,       /* Trustee's parser calls itself for each */
	END_NODE = 4,          /* the last node, which Trustee leaves off */
	HARD_DRIVE_SHORT = 41, /* a byte less than it has: Trustee reads that byte and panics */
};

static bool is_utf16(struct view v)
{
	for (size_t i = 0; i + 2 <= v.len; i += 2) {
		uint16_t c = le16(v.p + i), low = i + 4 <= v.len ? le16(v.p + i + 2) : 0;

		if (c < 0xd800 || c >= 0xe000)
			continue;
		if (c >= 0xdc00 || low < 0xdc00 || low >= 0xe000)
			return false;
		i += 2;
	}
	return true;
}

static const char *variable(struct view d)
{
	uint64_t name, data;

	if (d.len < VARIABLE_HEAD)
		return "the variable is cut short";
	name = le64(d.p + 16);
	data = le64(d.p + 24);
	if (name > (d.len - VARIABLE_HEAD) / 2 || data > d.len - VARIABLE_HEAD - 2 * name)
		return "the variable's sizes reach beyond its data";
	if (!is_utf16(view_at(d, VARIABLE_HEAD, 2 * (size_t)name)))
		return "the variable's name is no UTF-16";
	return NULL;
}

static const char *image(struct view d)
{
	struct view path;
	uint64_t n;

	if (d.len < IMAGE_HEAD)
		return "the image's description is cut short";
	n = le64(d.p + 24);
	if (n == 0)
		return NULL;
	if (n < END_NODE + NODE_HEAD || n - END_NODE > d.len - IMAGE_HEAD)
		return "the length of the image's path is out of range";
	path = view_at(d, IMAGE_HEAD, (size_t)n - END_NODE);
	for (size_t nodes = 0; path.len > 0; nodes++) {
		size_t len = path.len >= NODE_HEAD ? le16(path.p + 2) : 0;

		if (len < NODE_HEAD || len > path.len || nodes == NODES_MAX)
			return "the nodes of the image's path have lengths that cannot be";
		if (path.p[0] == 4 && path.p[1] == 1 && len == HARD_DRIVE_SHORT)
			return "the image's path has a hard drive of a byte too few";
		path = view_at(path, len, path.len - len);
	}
	return NULL;
}

/* A name with its length before it, which Trustee counts from the length's own byte on. */
static const char *named(struct view d)
{
	if (d.len == 0 || d.p[0] == 0 || d.p[0] > d.len)
		return "the length of its name is out of range";
	return enc_is_utf8(view_at(d, 1, d.p[0] - 1u)) ? NULL : "its name is no UTF-8";
}

static const char *tag(struct view d)
{
	size_t spaces = 0;
	uint32_t size;

	if (d.len < TAG_HEAD || (size = le32(d.p + 4)) > d.len - TAG_HEAD)
		return "the sizes of the tagged event disagree";
	if (le32(d.p) != TCG2_TAG_AAEL)
		return NULL;
	d = view_at(d, TAG_HEAD, size);
	for (size_t i = 0; i < d.len; i++)
		spaces += d.p[i] == ' ';
	if (!enc_is_utf8(d) || spaces < 2)
		return "the agent's event is no text of domain, operation and content";
	return NULL;
}

/* Any bytes do, but too few; the mark 2E 00 says that UTF-16 follows. */
static const char *loader(struct view d)
{
	if (d.len < 2)
		return "the loader's event has less than two bytes";
	if (d.p[0] == 0x2e && d.p[1] == 0 && (d.len == 2 || d.len % 2 != 0))
		return "the loader's event is no UTF-16";
	return NULL;
}

/* NULL, or why not. */
static const char *content(const struct tcg2_event *ev)
{
	switch (ev->type) {
	case TCG2_EV_POST_CODE:
	case TCG2_EV_ACTION:
	case TCG2_EV_COMPACT_HASH:
	case TCG2_EV_OMIT_BOOT_DEVICE_EVENTS:
	case TCG2_EV_EFI_ACTION:
		return enc_is_utf8(ev->data) ? NULL : "its text is no UTF-8";
	case TCG2_EV_EVENT_TAG:
		return tag(ev->data);
	case TCG2_EV_IPL:
		return loader(ev->data);
	case TCG2_EV_EFI_VARIABLE_DRIVER_CONFIG:
	case TCG2_EV_EFI_VARIABLE_BOOT:
	case TCG2_EV_EFI_VARIABLE_BOOT2:
	case TCG2_EV_EFI_VARIABLE_AUTHORITY:
		return variable(ev->data);
	case TCG2_EV_EFI_BOOT_SERVICES_APPLICATION:
		return image(ev->data);
	case TCG2_EV_EFI_PLATFORM_FIRMWARE_BLOB2:
	case TCG2_EV_EFI_HANDOFF_TABLES2:
		return named(ev->data);
	default:
		return NULL;
	}
}

int tcg2_trustee_takes(const struct tcg2_log *log, struct err *e)
{
	struct tcg2_event ev;
	size_t at = log->first;

	while (tcg2_next(&ev, log, &at) == 1) {
		const char *why;

		if (!tcg2_type_name(ev.type))
			return err_set(e, ERR_UNSUPPORTED,
				       "boot log: record at byte %zu: Trustee knows no event type "
				       "%08x",
				       ev.offset, ev.type);
		for (size_t i = 0; i < ev.n_digests; i++)
			if (tcg2_alg(ev.digests[i].alg) < 0)
				return err_set(e, ERR_UNSUPPORTED,
					       "boot log: record at byte %zu: Trustee compares no "
					       "digest of algorithm %04x",
					       ev.offset, ev.digests[i].alg);
		why = content(&ev);
		if (why)
			return err_set(e, ERR_FORMAT, "boot log: record at byte %zu: %s", ev.offset,
				       why);
	}
	return 0;
}
