/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/secure_mount.h"

/* A SecureMountRequest as a caller of cdh.sock sends it. */
static volatile uint8_t sink;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void touch(const char *s)
{
	for (size_t i = 0; s && s[i]; i++)
		sink ^= (uint8_t)s[i];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_secure_mount struct secure_mount m = { 0 };
	struct err e = { 0 };

	if (secure_mount_parse(&m, (struct view){ data, size }, &e) < 0) {
		touch(e.msg);
		return 0;
	}
	if (!m.volume.mount_point || m.volume.mount_point[0] != '/' || m.volume.keyed != (m.key != NULL) ||
	    m.volume.n_mkfs_args > MOUNTD_ARGS_MAX)
		abort();
	touch(m.key);
	touch(m.volume.device);
	touch(m.volume.mapper);
	touch(m.volume.mount_point);
	for (size_t i = 0; i < m.volume.n_mkfs_args; i++)
		touch(m.volume.mkfs_args[i]);
	return 0;
}
