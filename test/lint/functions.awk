# SPDX-License-Identifier: Apache-2.0
# No function over 100 lines, no file over 600. K&R: a function's body begins with "{" alone in column 1.
FNR == 1 { if (NR > 1 && lines > 600) { print prev ": " lines " lines, allowed 600"; bad = 1 } open = 0 }
{ lines = FNR; prev = FILENAME }
/^\{$/ { open = FNR }
/^\}$/ && open { if (FNR - open > 100) { print FILENAME ":" open ": function of " FNR - open " lines, allowed 100"; bad = 1 } open = 0 }
END { if (lines > 600) { print prev ": " lines " lines, allowed 600"; bad = 1 } exit bad }
