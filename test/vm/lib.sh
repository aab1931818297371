# SPDX-License-Identifier: Apache-2.0
# Sourced by the scripts of this folder. VM is where all that is built here lies, TOP the repository.
TOP=$(cd "$(dirname "$0")/../.." && pwd)
VM=${VM:-$TOP/build/vm}
LANG=C.UTF-8
export LANG LC_ALL=C.UTF-8
mkdir -p "$VM"
# Without links: systemctl --root= follows none that lead out of the root.
VM=$(cd "$VM" && pwd -P)

began=$(date +%s)
say() { printf '[%4d s] %s\n' $(($(date +%s) - began)) "$*" >&2; }
# What cannot be had: named, with the exit code by which the callers skip.
lack() {
	echo "skip: $*" >&2
	exit 77
}
need() {
	for tool in "$@"; do
		command -v "$tool" >/dev/null 2>&1 || lack "$tool is not installed (test/packages.sh vm)"
	done
}
# changed STAMP TEXT...: whether TEXT differs from what the stamp holds; done_with writes it.
changed() {
	stamp=$1
	shift
	[ "$(cat "$stamp" 2>/dev/null)" != "$*" ]
}
done_with() {
	stamp=$1
	shift
	printf '%s\n' "$*" >"$stamp"
}

# Debian's package sources as this machine has them (their hosts are nobody's business here), for
# SUITE in place of the machine's release where one is given.
debian_sources() {
	apt-get indextargets --format '$(ORIGIN)|$(REPO_URI)|$(CODENAME)|$(COMPONENT)' 'Created-By: Packages' |
		while IFS='|' read -r origin uri code component; do
			[ "$origin" = Debian ] || continue
			if [ -n "${1:-}" ]; then
				# The archive itself, not its security or updates companions.
				case $uri$code in *security* | *-updates) continue ;; esac
				code=$1
			fi
			echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $code $component"
		done | sort -u
}
