/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/cmd_evidence_show.h"

void show_uki(struct facts *f, const struct tcg2_log *log, enum hash_alg alg, struct view cmdline)
{
	(void)f;
	(void)log;
	(void)alg;
	(void)cmdline;
}
