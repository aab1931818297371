/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ATTESTER_DEVICE_H
#define ATTESTER_DEVICE_H

#include "attester/attester.h"

/*
 * Devices that are attested beside the primary TEE. Source: spec/evidence.md 0.2, 1.2.
 *
 * They are never detected: measured configuration names them. Each makes the evidence of the
 * platform of its name, over a digest of its own; together they are one JSON object, whose exact text
 * is hashed into the primary's report data.
 */
#define DEVICES_MAX          2
#define DEVICES_EVIDENCE_MAX (DEVICES_MAX * (EVIDENCE_MAX + 64)) /* text, bytes */

/*
 * The device of that name beside this primary.
 *
 *   tpm           beside snp and sample: their hardware knows of no TPM. Beside tpm it would be the
 *                 primary twice, beside Azure's the primary is that TPM's already
 *   sampledevice  beside any; proves nothing
 *
 * Errors: config.value (no such device, or not beside that one).
 */
int device_by_name(const struct attester **out, struct view name, const struct attester *primary,
		   struct err *e) MUST_CHECK;

/*
 * {"tpm":{…},"sampledevice":{…}} of all of them, in their order, or "" of none.
 *
 * text         set on success only; malloc'd
 * report_data  the devices' digest, 1..REPORT_DATA_MAX bytes
 *
 * Errors: the first that a device has, whose evidence then nobody gets: as its platform, or
 * evidence.additional where that is a general one.
 */
int devices_evidence(char **text, const struct attester *const *devices, size_t n,
		     const struct attester_env *env, struct view report_data,
		     struct err *e) MUST_CHECK;

#endif
