#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# In the pod image only: a container by vouchsafe-oci under $RUNTIME with a sealed value in its
# environment and one in a file. It compares digests and prints no plaintext.
#   RUNTIME=crun ENV_SEALED=sealed.… FILE_SEALED=sealed.… ENV_SHA=… FILE_SHA=… [HOLD=1]
set -eu
dir=/run/vm-bundle-$RUNTIME
mkdir -p "$dir/rootfs"/{bin,proc,sys,dev,etc,tmp,run/secrets} "$dir/secrets"
cp /bin/busybox "$dir/rootfs/bin/"
for a in sh cat sha256sum printf sleep cut test; do ln -sf busybox "$dir/rootfs/bin/$a"; done
printf %s "$FILE_SEALED" >"$dir/secrets/password"
mkdir -p /run/vm-oci
sed "s,^runtime.*,runtime = \"$(command -v "$RUNTIME")\"," /usr/lib/vouchsafe/oci.toml >/run/vm-oci/$RUNTIME.toml
cat >"$dir/check" <<'END'
e=$(printf %s "$PASSWORD" | sha256sum | cut -d' ' -f1)
f=$(sha256sum </run/secrets/password | cut -d' ' -f1)
test "$e" = "$ENV_SHA" && test "$f" = "$FILE_SHA" && echo container-has-its-secrets
END
cd "$dir"
rm -f config.json
runc spec
ENV_SEALED=$ENV_SEALED ENV_SHA=$ENV_SHA FILE_SHA=$FILE_SHA HOLD=${HOLD:-} python3 - <<'END'
import json, os
c = json.load(open("config.json"))
text = open("check").read() + ("sleep 600\n" if os.environ["HOLD"] else "")
c["process"]["terminal"] = False
c["process"]["args"] = ["sh", "-c", text]
c["process"]["env"] = ["PATH=/bin", "PASSWORD=" + os.environ["ENV_SEALED"], "ENV_SHA=" + os.environ["ENV_SHA"],
                       "FILE_SHA=" + os.environ["FILE_SHA"]]
c["mounts"].append({"source": os.path.abspath("secrets/password"), "destination": "/run/secrets/password",
                    "type": "bind", "options": ["bind", "ro"]})
json.dump(c, open("config.json", "w"))
END
chmod 0600 config.json
exec vouchsafe-oci --vouchsafe-config /run/vm-oci/$RUNTIME.toml run --bundle "$dir" "vm-$RUNTIME${HOLD:+-hold}"
