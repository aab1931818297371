/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/volume/device.h"

#include <blkid/blkid.h>
#include <stdio.h>

static void free_probe(blkid_probe *p)
{
	blkid_free_probe(*p);
}

int signature_find(char name[32], const struct device *d, struct err *e)
{
	__attribute__((cleanup(free_probe))) blkid_probe probe = blkid_new_probe();
	const char *type = NULL;
	int r;

	name[0] = '\0';
	if (!probe)
		return err_set(e, ERR_NOMEM, "no memory for a probe");
	if (blkid_probe_set_device(probe, d->fd, 0, (blkid_loff_t)d->size) != 0 ||
	    blkid_probe_enable_superblocks(probe, 1) != 0 ||
	    blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_BADCSUM) != 0 ||
	    blkid_probe_enable_partitions(probe, 1) != 0)
		return err_code(e, CODE_VOLUME_DEVICE, "%s: cannot be probed", d->path);
	r = blkid_do_safeprobe(probe);
	if (r == 1)
		return 0;
	if (r == -1)
		return err_code(e, CODE_VOLUME_DEVICE, "%s: probing it failed", d->path);
	if (r == -2 || (blkid_probe_lookup_value(probe, "TYPE", &type, NULL) != 0 &&
			blkid_probe_lookup_value(probe, "PTTYPE", &type, NULL) != 0))
		type = r == -2 ? "several kinds at once" : "something known";
	(void)snprintf(name, 32, "%s", type);
	return 1;
}
