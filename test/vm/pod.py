# SPDX-License-Identifier: Apache-2.0
"""The pod VM's surroundings: the owner's keys and initdata, Trustee, disks, TPM, and the machine."""
import base64
import hashlib
import json
import os
import pathlib
import re
import secrets
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "integration")]
from machine import Died, Machine  # noqa: E402
from world import Skip, wait_for  # noqa: E402

VM = pathlib.Path(os.environ.get("VM", HERE.parents[1] / "build/vm")).resolve()
MIB = 1 << 20
POLICY = "package agent_policy\n\ndefault CreateContainerRequest := true\n"
# Only in containers and in locked memory; looked for in the guest's memory and files.
CANARY = "canary-" + secrets.token_hex(16)
FILE_CANARY = "canary-" + secrets.token_hex(16)
SEALED = ("env", "file", "volume")
PINS = ("4", "8", "11")
VOLUME, IMAGE_STORE = (f"/dev/disk/by-id/virtio-{n}" for n in ("volume", "image"))


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


def user_data(encoded):
    return "#cloud-config\n\nwrite_files:\n" + "".join(
        f"  - path: {path}\n    content: |\n" + "".join(f"      {line}\n" for line in text.splitlines())
        for path, text in (("/run/peerpod/apf.json", "{}"), ("/run/peerpod/initdata", encoded)))


class Pod:
    """The owner's side, Trustee, the disks and the TPM of one pod VM, and the machine that is up."""

    def __init__(self, w, build, profile):
        self.w = w
        self.full = profile == "full"
        self.image = VM / "image" / profile
        self.m = None
        self.panics = []
        self.pcrs = json.loads((self.image / "pcrs.json").read_text())
        # What a cloud's TPM comes with: a persistent attestation key. Its state then moves into the machine.
        w.start_tpm()
        w.provision_ak()
        w.stop("swtpm")
        self.tpm = w.tmp / "tpm"
        w.start_trustee("--tls-name", "10.0.2.2", "--max-life", "7200")
        w.keygen()
        w.resource("default/pod/env", CANARY)
        w.resource("default/pod/file", FILE_CANARY)
        w.resource("default/pod/volume", secrets.token_bytes(32))
        w.resource("default/pod/plain", "plain")
        for n in PINS:
            w.resource(f"default/pod/pin{n}", f"pinned {n}")
        self.sealed = {n: w.seal(f"kbs:///default/pod/{n}") for n in SEALED}
        w.url_inside = f"https://10.0.2.2:{w.port}"
        (w.tmp / "policy.rego").write_text(POLICY)
        self.text, self.initdata = self.make_initdata()
        self.pcr8 = self.pcr8_of(self.text)
        self.volume = self.disk("volume.img", 128)
        self.image_store = self.disk("image.img", 64)
        keys = w.tmp / "more/keys"
        w.run(["/usr/bin/python3", "-B", HERE.parent / "devices/keys.py", keys], check=True)
        self.share = w.tmp / "share.erofs"
        subprocess.run([HERE / "share.sh", build, self.share, keys.parent], check=True)

    def disk(self, name, mib):
        file = self.w.tmp / name
        with open(file, "wb") as f:
            f.truncate(mib * MIB)
        return file

    @staticmethod
    def pcr8_of(text):
        return hashlib.sha256(bytes(32) + hashlib.sha256(text).digest()).hexdigest()

    def make_initdata(self, name="initdata", cdh=None):
        """(text, encoded); kata's block device with it is NAME.img of the folder."""
        w = self.w
        aa = w.tmp / "aa.toml"
        aa.write_text(f"[token_configs.kbs]\nurl = \"{w.url_inside}\"\ncert = '''\n{(w.tmp / 'ca.pem').read_text()}'''\n")
        argv = [w.dev / "vouchsafe", "initdata", "build", "--algorithm", "sha256", "--aa", aa, "--policy", w.tmp / "policy.rego"]
        if cdh:
            (w.tmp / "cdh.toml").write_text(cdh)
            argv += ["--cdh", w.tmp / "cdh.toml"]
        text = w.run(argv, check=True).stdout.encode()
        w.run([*argv, "--image", w.tmp / f"{name}.img"], check=True)
        return text, w.run([*argv, "--encode"], check=True).stdout.strip()

    def cidata(self, encoded):
        """A drive labelled cidata, as libvirt attaches."""
        w = self.w
        folder = w.tmp / "cidata"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "user-data").write_text(user_data(encoded))
        (folder / "meta-data").write_text("instance-id: vm-test\n")
        iso = w.tmp / "cidata.iso"
        w.run(["genisoimage", "-quiet", "-V", "cidata", "-r", "-o", iso, folder], check=True)
        return iso

    def boot(self, name, drives, disk=None, ready=True, more=(), variables=VM / "keys/vars.fd"):
        """ready: its door opens, and no panic is what was meant."""
        self.off()
        drives = [(self.share, "share", True), *drives]
        for attempt in (1, 2):
            self.well = ready
            self.m = Machine(self.w.tmp / name, disk or self.image / "disk.img", self.tpm, variables, drives,
                             memory=2048 if self.full else 1024, more=more)
            if not ready:
                return self.m
            try:
                self.m.wait_ready(600)
                return self.m
            except Died as e:
                self.well = False
                self.off()
                if attempt == 2 or "Kernel panic" not in str(e) or "verity" in str(e):
                    raise
                print(f"     the emulator's guest panicked, once more: {str(e)[-200:]}", flush=True)
        return None

    def off(self):
        if self.m:
            self.m.close()
            if self.well and self.m.damage():
                self.panics.append(f"{self.m.folder.name}: {self.m.damage()}")
            self.m = None

    def up(self):
        if not self.m:
            raise Skip("the machine is not up")
        return self.m

    def wait_state(self, unit, seconds=240):
        def look():
            state = self.m.run(f"systemctl is-active {unit}").out.strip()
            return state if state in ("active", "failed") else None
        return wait_for(unit, look, seconds)

    def wait_active(self, unit, seconds=240):
        state = self.wait_state(unit, seconds)
        if state != "active":
            raise AssertionError(f"{unit} is {state}: " + self.m.run(f"systemctl status -l --no-pager {unit}; journalctl -b --no-pager -u {unit} | tail -20").out)

    def pcr(self, n):
        return self.m.run(f"cat /sys/class/tpm/tpm0/pcr-sha256/{n}", check=True).out.strip().lower()

    def log(self, *units):
        return self.m.run("journalctl -b --no-pager " + " ".join(f"-u {u}" for u in units) + " | tail -20").out

    def policy(self, pcrs, pcr8=None):
        rules = [{"effect": "allow", "tee": "tpm", "pcr8": pcr8 or self.pcr8, "pcrs": pcrs}]
        body = json.dumps({"default": "deny", "rules": rules}).encode()
        self.w.trustee("/kbs/v0/resource-policy", {"policy": base64.urlsafe_b64encode(body).decode().rstrip("=")})

    def pin(self):
        """The policy of this image and initdata."""
        self.policy({n: self.pcrs[n] for n in ("4", "11")})

    def why(self):
        """What Trustee says of the last resource that was asked for."""
        return [x["why"] for x in self.w.trustee("/test/log") if x["endpoint"] == "resource"][-1]


def status_of(text):
    """The lines of /proc/PID/status in it."""
    return dict(x.split(":\t", 1) for x in text.splitlines() if re.match(r"\w+:\t", x))
