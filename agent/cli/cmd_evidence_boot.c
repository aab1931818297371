/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/cmd_evidence_show.h"

void show_boot(struct facts *f, const struct evidence *ev, const struct show_log *with)
{
	(void)f;
	(void)ev;
	(void)with;
}
