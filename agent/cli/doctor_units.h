/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_DOCTOR_UNITS_H
#define CLI_DOCTOR_UNITS_H

#include "agent/cli/doctor.h"

/*
 * systemd's units of ours, where systemd runs: systemctl is asked. With --root the one below it,
 * since the machine's own units are then not what is looked at.
 */
void doctor_check_units(struct doctor *d);

/* The sockets of vouchsafe-teed and vouchsafe-mountd, and what volumes need of the guest. */
void doctor_check_volumes(struct doctor *d);

#endif
