/* SPDX-License-Identifier: Apache-2.0 */
/* verity_look PATH: what agent/setup/verity says of a mount, one word a line, then why. */
#include "agent/setup/verity.h"

#include <stdio.h>

int main(int argc, char **argv)
{
	static const char *const sources[] = { "unknown", "table", "cmdline" };
	static struct bootfacts facts = { .why = "nobody looked at the boot" };
	struct verity_mount m;

	if (argc != 2)
		return 64;
	verity_look(&m, "", argv[1], &facts);
	printf("known=%d\nown=%d\nverity=%d\nlower_only=%d\nread_only=%d\ntype=%s\nname=%s\nhash=%s\n"
	       "from=%s\nwhy=%s\n",
	       m.known, m.own, m.verity, m.lower_only, m.read_only, m.type, m.name, m.hash,
	       sources[m.from], m.why);
	return 0;
}
