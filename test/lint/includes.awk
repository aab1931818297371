# SPDX-License-Identifier: Apache-2.0
# Who may include whom. Reads every .c and .h; one line per breach, exit 1 if any.
#   usage: awk -f test/lint/includes.awk $(git ls-files '*.[ch]')
function layer(p) {
	if (p ~ /^agent\/base\//)   return "base"
	if (p ~ /^agent\/crypto\//) return "crypto"
	if (p ~ /^agent\/net\//)    return "net"
	if (p ~ /^attester\//)      return "attester"
	if (p ~ /^initdata\//)      return "initdata"
	if (p ~ /^agent\/kbs\//)    return "kbs"
	if (p ~ /^agent\/secrets\//) return "secrets"
	if (p ~ /^agent\/verify\//) return "verify"
	if (p ~ /^mounts\/volume\//) return "volume"
	if (p ~ /^mounts\//)        return "mounts"
	if (p ~ /^agent\/api\//)    return "api"
	if (p ~ /^agent\/setup\//)  return "setup"
	if (p ~ /^agent\/daemon\//) return "daemon"
	if (p ~ /^agent\/cli\//)    return "cli"
	if (p ~ /^test\//)          return "test"
	return "?"
}
BEGIN {
	may["base"] = " base "
	may["crypto"] = " base crypto "
	may["net"] = " base net "
	may["attester"] = " base crypto attester "
	may["initdata"] = " base crypto initdata "
	may["kbs"] = " base crypto attester kbs "
	may["secrets"] = " base crypto kbs secrets "
	may["mounts"] = " base crypto mounts "
	may["volume"] = " base crypto volume "
	may["verify"] = " base crypto attester verify "
	may["api"] = " base api "
	all = " base crypto net attester initdata kbs secrets mounts volume verify api setup "
	may["setup"] = all
	may["daemon"] = all "daemon "
	may["cli"] = all "cli "
	may["test"] = all "daemon cli test "
	# A library is included by the one file named here and by nothing else.
	only["curl/curl.h"] = "agent/net/https.c"
	only["microhttpd.h"] = "agent/api/rest.c"
	only["libcryptsetup.h"] = "mounts/volume/luks.c"
	only["blkid/blkid.h"] = "mounts/volume/signature.c"
	only["seccomp.h"] = "agent/daemon/sandbox_filters.c"
	only["cjson/cJSON.h"] = "agent/base/json.c"
	# tpm2-tss is large enough for a private split; nothing outside it sees a TSS type.
	prefix["tss2/"] = "attester/(tpm[.]c|tpm_nv[.]c|tpm_tss(_[a-z]+)?[.][ch])$"
	only["zlib.h"] = "agent/base/gunzip.c"
	only["zstd.h"] = "mounts/image/unpack.c"
	only["yaml.h"] = "initdata/userdata.c"
	only["protobuf-c/protobuf-c.h"] = "agent/api/wire.c"
}
/^[ \t]*#[ \t]*include[ \t]*"/ {
	split($0, q, "\"")
	if (index(may[layer(FILENAME)], " " layer(q[2]) " ") == 0) {
		print FILENAME ":" FNR ": " layer(FILENAME) " may not include " q[2]; bad = 1
	}
	if (q[2] == "attester/tpm_tss.h" && FILENAME !~ "^" prefix["tss2/"]) {
		print FILENAME ":" FNR ": " q[2] " is private to attester/tpm.c, tpm_nv.c and tpm_tss*.c"; bad = 1
	}
	if (q[2] ~ /\.c$/) { print FILENAME ":" FNR ": includes a .c"; bad = 1 }
}
/^[ \t]*#[ \t]*include[ \t]*</ {
	split($0, a, /[<>]/)
	if ((a[2] in only) && FILENAME != only[a[2]] && layer(FILENAME) != "test") {
		print FILENAME ":" FNR ": <" a[2] "> belongs to " only[a[2]]; bad = 1
	}
	for (p in prefix)
		if (index(a[2], p) == 1 && FILENAME !~ "^" prefix[p] && layer(FILENAME) != "test") {
			print FILENAME ":" FNR ": <" a[2] "> belongs to " prefix[p]; bad = 1
		}
	if (a[2] ~ /^openssl\// && layer(FILENAME) != "crypto" && layer(FILENAME) != "test") {
		print FILENAME ":" FNR ": <" a[2] "> belongs to agent/crypto/"; bad = 1
	}
}
layer(FILENAME) != "test" {
	line = " " $0
	gsub(/\/\*[^*]*\*\//, "", line)
	sub(/\/\*.*/, "", line)
	if (line ~ /^[ \t]*\*/) next
	if (line ~ /[^_a-zA-Z0-9](strcpy|strcat|sprintf|strtok|atoi|alloca|system|popen|realloc|memset)[ \t]*\(/ ||
	    line ~ /[^_a-zA-Z0-9]goto[ \t]/) {
		print FILENAME ":" FNR ": banned: " $0; bad = 1
	}
}
END { exit bad }
