# SPDX-License-Identifier: Apache-2.0
# The map names every module of a room, or its family (config*): awk -f map.awk ARCHITECTURE.md FILE...
BEGIN { bad = 0 }
FNR == 1 {
	if (FILENAME != "ARCHITECTURE.md") {
		room = FILENAME
		sub(/[^\/]*$/, "", room)
		name = substr(FILENAME, length(room) + 1)
		sub(/\.[ch]$/, "", name)
		found = 0
		n = split(words[room], w, " ")
		for (i = 1; i <= n; i++) {
			stem = w[i]
			if (w[i] == name || (sub(/\*$/, "", stem) && index(name, stem) == 1))
				found = 1
		}
		if (!found) {
			print "ARCHITECTURE.md: the rooms do not name " FILENAME
			bad = 1
		}
		nextfile
	}
}
/^## Rooms/ { rooms = 1 }
rooms && /^```/ { inside = !inside; if (!inside) rooms = 0; next }
inside {
	if ($0 ~ /^[^ ]/)
		room = $1
	line = $0
	gsub(/[^A-Za-z0-9_*-]/, " ", line)
	words[room] = words[room] " " line
}
END { exit bad }
