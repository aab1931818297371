#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# vm: -t -u -d 64 -T 400
# kata-agent's launch without systemd: the three names one after the other, the wait-socket unlinked
# before each, with the kernel's own TPM driver; trusted image storage through the mountd that the data
# hub started before it gave root up.
set -u
set -- $SPARE
DISK=$1
RUN=/run/confidential-containers AA=/run/confidential-containers/attestation-agent/attestation-agent.sock
CDH=/run/confidential-containers/cdh.sock IMAGE=/run/kata-containers/image
W=$(mktemp -d)
fails=0
pass() { echo "ok   $1 ($(cut -d' ' -f1 /proc/uptime))"; }
fail() { echo "FAIL $1: $2"; fails=$((fails + 1)); }
check() { # NAME WHAT: the last command's outcome
	if [ $? -eq 0 ]; then pass "$1"; else fail "$1" "$2: $(tail -n 3 "$W"/log.* 2>/dev/null | tr '\n' ' ')"; fi
}
there() { # SOCKET: as long as kata-agent waits
	n=0
	until [ -S "$1" ] || [ $n -ge 70 ]; do sleep 0.1; n=$((n + 1)); done
	[ -S "$1" ]
}
pcr8() { tpm2_pcrread -T device:/dev/tpmrm0 sha256:8 | sed -n 's/.*8 *: *0x//p' | tr 'A-F' 'a-f'; }
mkdir -p /usr/local/bin "$RUN" "$IMAGE" /etc
for p in attestation-agent:vouchsafed confidential-data-hub:vouchsafed api-server-rest:vouchsafe-rest vouchsafe-mountd:vouchsafe-mountd \
	vouchsafe-teed:vouchsafe-teed; do
	cp "$BUILD/${p#*:}" "/usr/local/bin/${p%:*}"
done
ip link set lo up 2>/dev/null
"$BUILD/vouchsafe" tpm provision-ak >"$W/log.ak" 2>&1
check tpm_driver__ak__is_made "provision-ak"

launch() {
	rm -f "$AA"
	/usr/local/bin/attestation-agent --attestation_sock "unix://$AA" >>"$W/log.aa" 2>&1 &
	AGENT=$!
	there "$AA" || return 1
	rm -f "$CDH"
	OCICRYPT_KEYPROVIDER_CONFIG=/etc/ocicrypt_config.json /usr/local/bin/confidential-data-hub >>"$W/log.cdh" 2>&1 &
	HUB=$!
	there "$CDH" || return 1
	/usr/local/bin/api-server-rest --features all >>"$W/log.rest" 2>&1 &
	REST=$!
}
launch
check launch__each_socket__in_time "a socket did not come"
# The dummy initdata's digest, extended once (spec/evidence.md 4.3).
[ "$(pcr8)" = 4b58b30becd30d16f7f60d56b32661d921ae0d3310c6a89f5d552f9bfee921a9 ]
check pcr8__without_initdata__holds_the_dummy "PCR 8 is $(pcr8)"
bad=
for pid in "$AGENT" "$HUB" "$REST"; do
	grep -q '^CapEff:.*0000000000000000' "/proc/$pid/status" && grep -q '^Seccomp:.2' "/proc/$pid/status" &&
		! grep -q '^Uid:.0' "/proc/$pid/status" || bad="$bad $(cat "/proc/$pid/comm")"
done
[ -z "$bad" ]
check roles__as_run__gave_root_up "not confined:$bad"
"$BUILD/vouchsafe" evidence >"$W/evidence" 2>"$W/log.evidence" && grep -q tpm_quote "$W/evidence"
check evidence__of_the_agent__is_a_quote "evidence"

mount_storage() {
	"$BUILD/vouchsafe" volume open --timeout 200 "$DISK" "$IMAGE" >"$W/log.open" 2>&1
}
mount_storage && grep -q " $IMAGE ext4 " /proc/mounts && dmsetup table | grep -q crypt
check secure_mount__by_the_hubs_own_mountd__is_encrypted "volume open"
cp /bin/busybox "$IMAGE/x" 2>/dev/null && cmp -s /bin/busybox "$IMAGE/x"
check storage__written__reads_back "the mounted volume"
before=$(pcr8)
kill -9 "$HUB" "$REST" "$AGENT" 2>/dev/null
sleep 1
launch && [ "$(pcr8)" = "$before" ]
check launch__again_after_kill9__extends_nothing "PCR 8 was $before, is $(pcr8)"
mount_storage
check secure_mount__again__is_no_error "volume open again"
kill "$REST" "$HUB" "$AGENT" 2>/dev/null
exit $((fails > 0))
