# SPDX-License-Identifier: Apache-2.0
"""A guest in a network of its own, where the clouds' metadata addresses are on the loopback."""

import base64
import gzip
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from world import PYTHON, Skip, World, wait_for  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
OWNER = ('version = "0.1.0"\nalgorithm = "sha256"\n\n[data]\n"aa.toml" = \'\'\'\n[token_configs.kbs]\n'
         'url = "https://kbs.example"\n\'\'\'\n"policy.rego" = "package owner\\n"\n')
DUMMY = b'algorithm = "sha256"\nversion = "0.1.0"\n\n[data]\n"aa.toml" = \'\'\'\n\'\'\''
APF = '{\n    "pod-name": "nginx"\n}\n'
AUTH = '{"auths":{}}\n'
PROBE = {"azure": "vendor=Microsoft Hv", "aws": "vendor=KVMKVMKVM,manufacturer=Amazon EC2",
         "gcp": "vendor=KVMKVMKVM,manufacturer=QEMU",
         "alibaba": "vendor=KVMKVMKVM,manufacturer=Alibaba Cloud"}
BASE64 = {"azure", "gcp"}


def encode(text):
    return base64.b64encode(gzip.compress(text if isinstance(text, bytes) else text.encode())).decode()


def cloud_config(files):
    """As cloud-api-adaptor's template writes it."""
    text = "#cloud-config\n\nwrite_files:\n"
    for path, content in files.items():
        text += f"  - path: {path}\n"
        if content:
            text += "    content: |\n" + "".join(f"      {line}\n" for line in content.splitlines())
    return text


def user_data(initdata=OWNER, **more):
    files = {"/run/peerpod/apf.json": APF, "/run/peerpod/auth.json": AUTH}
    if initdata is not None:
        files["/run/peerpod/initdata"] = encode(initdata) + "\n"
    files["/run/peerpod/scratch-space.marker"] = ""
    files.update(more.get("files", {}))
    return cloud_config(files)


class Guest(World):
    """World with `root` as the guest's own; with network=True in a namespace of its own."""

    def __init__(self, build, network=False, sample=False, **kw):
        super().__init__(build, **kw)
        self.inside = []
        self.served = 0
        if network:
            try:
                self.make_network()
            except Exception:
                self.close()
                raise
        if sample:
            self.image_settings('[platform]\nname = "sample"\n')
        elif network:
            self.start_tpm_inside()
        else:
            self.start_tpm()
        (self.root / "run/peerpod").mkdir(parents=True)
        (self.root / "run/peerpod/policy.rego").write_text("package allow_all\n")

    def make_network(self):
        hosts, resolv, ready = self.tmp / "hosts", self.tmp / "resolv.conf", self.tmp / "network"
        hosts.write_text("127.0.0.1 localhost\n169.254.169.254 metadata.google.internal\n")
        # Nobody answers there.
        resolv.write_text("nameserver 127.0.0.53\noptions timeout:30 attempts:3\n")
        script = (f"ip link set lo up && ip addr add 169.254.169.254/32 dev lo && "
                  f"ip addr add 100.100.100.200/32 dev lo && mount --bind {hosts} /etc/hosts && "
                  f"mount --bind {resolv} /etc/resolv.conf && touch {ready} && exec sleep 3600")
        holder = self.start("network", ["unshare", "--net", "--mount", "sh", "-c", script])
        wait_for("the network namespace", lambda: ready.exists() or holder.poll() is not None)
        if holder.poll() is not None:
            raise Skip("network and mount namespaces are not permitted here: " + self.log("network").strip())
        self.inside = ["nsenter", "-t", str(holder.pid), "-n", "-m"]

    def start_tpm_inside(self, name="tpm"):
        state = self.tmp / name
        state.mkdir(exist_ok=True)
        p = self.start("swtpm", [*self.inside, "swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}",
                                 "--server", "type=tcp,port=2321,bindaddr=127.0.0.1",
                                 "--ctrl", "type=tcp,port=2322,bindaddr=127.0.0.1",
                                 "--flags", "not-need-init,startup-clear"])

        def up():
            if p.poll() is not None:
                raise RuntimeError("swtpm ended: " + self.log("swtpm"))
            try:
                with open(f"/proc/{self.processes['network'].pid}/net/tcp") as f:
                    rows = [line.split() for line in f.readlines()[1:]]
            except OSError:
                return False
            return {2321, 2322} <= {int(r[1].split(":")[1], 16) for r in rows if r[3] == "0A"}

        wait_for("swtpm", up)
        self.image_settings('[tpm]\ndevice = "swtpm:127.0.0.1:2321"\n')

    def new_tpm(self):
        """Another TPM, whose PCRs are zero: the next boot."""
        self.stop("swtpm")
        self.served += 1
        if self.inside:
            self.start_tpm_inside(f"tpm{self.served}")
        else:
            self.start_tpm()

    def serve(self, cloud, text, *more):
        """Start a cloud's metadata service with this user-data."""
        self.stop("metadata")
        self.served += 1
        data, ready = self.tmp / f"user-data-{self.served}", self.tmp / f"ready-{self.served}"
        text = text.encode() if isinstance(text, str) else text
        data.write_bytes(base64.b64encode(text) if cloud in BASE64 and "--raw" not in more else text)
        self.requests_file = self.tmp / f"requests-{self.served}"
        self.requests_file.write_text("")
        p = self.start("metadata", [*self.inside, PYTHON, HERE / "metadata.py", "--cloud", cloud,
                                    "--user-data", data, "--log", self.requests_file, "--ready", ready,
                                    *(m for m in more if m != "--raw")])

        def up():
            if p.poll() is not None:
                raise RuntimeError("the metadata service ended: " + self.log("metadata"))
            return ready.exists()

        wait_for("the metadata service", up)

    def requests(self):
        return [json.loads(line) for line in self.requests_file.read_text().splitlines()]

    def provision_from(self, *argv, cloud=None, env=None, pause=10):
        """`initdata provision` without --from, on a machine that looks like that cloud's."""
        # Of nsenter nothing is to fail.
        more = [f"{k}={v}" for k, v in (env or {}).items()]
        argv = [*self.inside, "env", *more, self.dev / "vouchsafe", "--root", self.root, "initdata", "provision",
                *(["--probe", PROBE[cloud] if cloud else "vendor="]), "--pause", str(pause), *argv]
        # No proxy may come in between, whatever the environment says.
        all_env = {**os.environ, "http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9",
                   "all_proxy": "http://127.0.0.1:9", "no_proxy": ""}
        return self.run(argv, env=all_env)

    def cidata(self, text):
        d = self.root / "media/cidata"
        d.mkdir(parents=True, exist_ok=True)
        (d / "user-data").write_bytes(text if isinstance(text, bytes) else text.encode())

    def files(self):
        run = self.root / "run"
        return sorted(str(p.relative_to(run)) for p in run.rglob("*") if not p.is_dir())

    def read(self, path):
        return (self.root / path.lstrip("/")).read_text()

    def report(self):
        return json.loads(self.read("/run/vouchsafe/provision.json"))

    def clean(self):
        """The next boot: nothing in /run but what the image's tmpfiles put there."""
        subprocess.run(["rm", "-rf", self.root / "run"], check=True)
        (self.root / "run/peerpod").mkdir(parents=True)
        (self.root / "run/peerpod/policy.rego").write_text("package allow_all\n")
