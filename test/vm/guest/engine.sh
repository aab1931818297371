#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# In the full pod image only: a container of $ENGINE (podman or containerd) with vouchsafe-oci as its
# runtime, a sealed value in its environment and one in a mounted file. Compares digests.
set -eu
dir=/run/vm-engine-$ENGINE
mkdir -p "$dir/rootfs"/{bin,proc,sys,dev,etc,tmp,run}
cp /bin/busybox "$dir/rootfs/bin/"
for a in sh cat sha256sum printf cut test; do ln -sf busybox "$dir/rootfs/bin/$a"; done
printf %s "$FILE_SEALED" >"$dir/password"
check='e=$(printf %s "$PASSWORD" | sha256sum | cut -d" " -f1); f=$(sha256sum </password | cut -d" " -f1)
test "$e" = "$ENV_SHA" && test "$f" = "$FILE_SHA" && echo container-has-its-secrets'
case $ENGINE in
podman)
	# /etc and /var are read-only.
	podman --cgroup-manager cgroupfs --events-backend none --network-config-dir "$dir/networks" --root "$dir/storage" \
		--runroot "$dir/state" --tmpdir "$dir/tmp" --runtime /usr/bin/vouchsafe-oci run --rm --network none \
		-e PASSWORD="$ENV_SEALED" -e ENV_SHA="$ENV_SHA" -e FILE_SHA="$FILE_SHA" -v "$dir/password:/password:ro" \
		--rootfs "$dir/rootfs" /bin/sh -c "$check"
	;;
containerd)
	cat >"$dir/config.toml" <<-END
		version = 2
		root = "$dir/root"
		state = "$dir/state"
		disabled_plugins = ["io.containerd.grpc.v1.cri"]
		[grpc]
		address = "$dir/sock"
		[ttrpc]
		address = "$dir/sock.ttrpc"
	END
	setsid containerd --config "$dir/config.toml" >"$dir/log" 2>&1 &
	for _ in $(seq 120); do
		! ctr -a "$dir/sock" version >/dev/null 2>&1 || break
		sleep 0.5
	done
	ctr -a "$dir/sock" run --rm --rootfs --runc-binary /usr/bin/vouchsafe-oci --env PASSWORD="$ENV_SEALED" \
		--env ENV_SHA="$ENV_SHA" --env FILE_SHA="$FILE_SHA" \
		--mount "type=bind,src=$dir/password,dst=/password,options=rbind:ro" "$dir/rootfs" vm-engine /bin/sh -c "$check"
	;;
esac
