/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_DOCTOR_CONSOLE_H
#define CLI_DOCTOR_CONSOLE_H

#include "agent/cli/doctor.h"

/* Of doctor_check_posture(): does a login prompt or a shell sit at a terminal that is the host's? */
void doctor_check_console(struct doctor *d);

#endif
