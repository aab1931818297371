#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# vouchsafe-codes(7) in scdoc, out of `vouchsafe explain`: agent/man/codes.sh PATH_OF_VOUCHSAFE
set -eu
cat <<'T'
vouchsafe-codes(7)

# NAME

vouchsafe-codes - every error code, what it means and what to do

# DESCRIPTION

A code never changes its meaning. *vouchsafe explain CODE* prints the same.

T
"$1" explain | while read -r code _; do
	"$1" explain "$code" | sed 's/[*_\\`<>#]/\\&/g' | awk '
		NR == 1 { printf "*%s*\n", $0; next }
		{ sub(/^ +/, ""); line = line (line == "" ? "" : " ") $0 }
		END { sub(/means: +/, "", line); sub(/whose side: +/, "Side: ", line); sub(/ what to do: +/, ". ", line); printf "\t%s\n\n", line }'
done
