/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/mountd.h"

/* One packet of mountd's protocol. What decodes is encoded again and must decode to the same. */
static volatile uint8_t sink;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static void compare(const struct mountd_message *a, const struct mountd_message *b)
{
	const struct mountd_volume *v = &a->volume, *w = &b->volume;

	if (a->kind != b->kind || a->time_ms != b->time_ms || a->done != b->done || a->total != b->total ||
	    a->code != b->code || !same(a->text, b->text) || !same(v->device, w->device) ||
	    !same(v->mapper, w->mapper) || !same(v->mount_point, w->mount_point) || v->major != w->major ||
	    v->minor != w->minor || v->keyed != w->keyed || v->encrypted != w->encrypted || v->xfs != w->xfs ||
	    v->filesystem != w->filesystem || v->integrity != w->integrity || v->n_mkfs_args != w->n_mkfs_args)
		abort();
	for (size_t i = 0; i < v->n_mkfs_args; i++)
		if (!same(v->mkfs_args[i], w->mkfs_args[i]))
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_mountd struct mountd_message m = { 0 }, again = { 0 };
	cleanup_buf struct buf b = BUF_MAX(MOUNTD_PACKET_MAX);
	struct err e = { 0 };

	if (mountd_decode(&m, (struct view){ data, size }, &e) < 0) {
		sink ^= (uint8_t)e.msg[0];
		return 0;
	}
	mountd_encode(&b, &m);
	if (buf_check(&b, "again", &e) < 0 || mountd_decode(&again, buf_view(&b), &e) < 0)
		abort();
	compare(&m, &again);
	return 0;
}
