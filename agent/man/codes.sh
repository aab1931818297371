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

# IN THE JOURNAL

Where standard error of a program of vouchsafe is the journal, each event is written with fields:
VOUCHSAFE_EVENT (what happened), VOUCHSAFE_CODE, VOUCHSAFE_KIND, VOUCHSAFE_SIDE, VOUCHSAFE_WHAT (the
reason), and one for each other key of the line, such as VOUCHSAFE_METHOD, VOUCHSAFE_UID and
VOUCHSAFE_NAME. MESSAGE_ID is that of the code, printed below with each; a line without a code has one
of its own text. An id is a UUID of version 8: FNV-1a of 128 bits over "vouchsafe/" and the code, and
never changes.

	journalctl VOUCHSAFE_CODE=kbs.policy-denied++
journalctl -u vouchsafed VOUCHSAFE_SIDE=trustee++
journalctl MESSAGE_ID=$(vouchsafe explain --json kbs.policy-denied | jq -r .message_id)

A line whose values cannot be told apart for sure (it is over the limit of 2048 bytes, or one
brings the control character 1F) has only MESSAGE, MESSAGE_ID and VOUCHSAFE_EVENT.

# CODES

T
"$1" explain | while read -r code _; do
	"$1" explain "$code" | sed 's/[*_\\`<>#]/\\&/g' | awk '
		NR == 1 { printf "*%s*\n", $0; next }
		{ sub(/^ +/, ""); line = line (line == "" ? "" : " ") $0 }
		END { sub(/means: +/, "", line); sub(/whose side: +/, "Side: ", line); sub(/ what to do: +/, ". ", line); sub(/ journal: +/, "++\nMESSAGE\\_ID ", line); printf "\t%s\n\n", line }'
done
