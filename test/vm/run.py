# SPDX-License-Identifier: Apache-2.0
"""The pod VM, booted under OVMF with a software TPM: make vm-test, make vm-test-full.

  run.py BUILD test|full [CASE]...      CASE: part of a case's name
"""
import hashlib
import json
import os
import pathlib
import random
import re
import secrets
import shlex
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "integration"))
import uki  # noqa: E402
from machine import Died, Machine, need_tools  # noqa: E402
from world import Cases, Skip, World, wait_for  # noqa: E402

BUILD = pathlib.Path(sys.argv[1]).resolve()
PROFILE = sys.argv[2]
ONLY = sys.argv[3:]
FULL = PROFILE == "full"
VM = pathlib.Path(os.environ.get("VM", HERE.parents[1] / "build/vm")).resolve()
IMAGE = VM / "image" / PROFILE
MIB = 1 << 20
BEGIN = time.monotonic()
POLICY = "package agent_policy\n\ndefault CreateContainerRequest := true\n"
# Only in containers and in locked memory; looked for in the guest's memory and files.
CANARY = "canary-" + secrets.token_hex(16)
FILE_CANARY = "canary-" + secrets.token_hex(16)


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


class Pod:
    """The owner's side, Trustee, the disks and the TPM of one pod VM, and the machine that is up."""

    def __init__(self):
        self.w = w = World(BUILD)
        self.m = None
        self.died = None
        self.pcrs = json.loads((IMAGE / "pcrs.json").read_text())
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
        self.sealed = {n: w.seal(f"kbs:///default/pod/{n}") for n in ("env", "file", "volume")}
        w.url_inside = f"https://10.0.2.2:{w.port}"
        (w.tmp / "policy.rego").write_text(POLICY)
        self.initdata = self.make_initdata()
        self.digest = hashlib.sha256(self.initdata_text).digest()
        self.pcr8 = hashlib.sha256(bytes(32) + self.digest).hexdigest()
        self.volume = w.tmp / "volume.img"
        with open(self.volume, "wb") as f:
            f.truncate(128 * MIB)
        self.share = w.tmp / "share.erofs"
        subprocess.run([HERE / "share.sh", BUILD, self.share], check=True)

    def make_initdata(self):
        w = self.w
        aa = w.tmp / "aa.toml"
        aa.write_text(f"[token_configs.kbs]\nurl = \"{w.url_inside}\"\ncert = '''\n{(w.tmp / 'ca.pem').read_text()}'''\n")
        argv = [w.dev / "vouchsafe", "initdata", "build", "--algorithm", "sha256", "--aa", aa, "--policy", w.tmp / "policy.rego"]
        self.initdata_text = w.run(argv, check=True).stdout.encode()
        # Kata's block device, of the same text.
        w.run([*argv, "--image", w.tmp / "initdata.img"], check=True)
        return w.run([*argv, "--encode"], check=True).stdout.strip()

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

    def boot(self, name, drives, disk=None, ready=True, tpm=None):
        self.off()
        self.died = None
        drives = [(self.share, "share", True), *drives]
        for attempt in (1, 2):
            self.m = Machine(self.w.tmp / name, disk or IMAGE / "disk.img", tpm or self.tpm, VM / "keys/vars.fd", drives,
                             memory=2048 if FULL else 1024)
            if not ready:
                return self.m
            try:
                self.seconds_to_door = self.m.wait_ready(600)
                return self.m
            except Died as e:
                self.died = e
                self.off()
                if attempt == 2 or "Kernel panic" not in str(e) or "verity" in str(e):
                    raise
                print(f"     the emulator's guest panicked, once more: {str(e)[-200:]}", flush=True)
        return None

    def off(self):
        if self.m:
            self.m.close()
            self.m = None

    def up(self):
        if not self.m:
            raise Skip("the machine is not up")
        return self.m

    def wait_active(self, unit, seconds=240):
        def look():
            state = self.m.run(f"systemctl is-active {unit}").out.strip()
            return state if state in ("active", "failed") else None
        state = wait_for(unit, look, seconds)
        if state != "active":
            raise AssertionError(f"{unit} is {state}: " + self.m.run(f"systemctl status -l --no-pager {unit}; journalctl -b --no-pager -u {unit} | tail -20").out)

    def pcr(self, n):
        return self.m.run(f"cat /sys/class/tpm/tpm0/pcr-sha256/{n}", check=True).out.strip().lower()

    def policy(self, pcrs):
        rules = [{"effect": "allow", "tee": "tpm", "pcr8": self.pcr8, "pcrs": pcrs}]
        body = json.dumps({"default": "deny", "rules": rules}).encode()
        import base64
        self.w.trustee("/kbs/v0/resource-policy", {"policy": base64.urlsafe_b64encode(body).decode().rstrip("=")})


def user_data(encoded):
    return "#cloud-config\n\nwrite_files:\n" + "".join(
        f"  - path: {path}\n    content: |\n" + "".join(f"      {line}\n" for line in text.splitlines())
        for path, text in (("/run/peerpod/apf.json", "{}"), ("/run/peerpod/initdata", encoded)))


# --- the first boot -------------------------------------------------------------------------------
def boot__secure_boot_verity_and_cidata__vouchsafed_is_ready(pod):
    m = pod.boot("first", [(pod.cidata(pod.initdata), "cidata", True), (pod.volume, "volume", False)])
    pod.wait_active("vouchsafed.service")
    r = m.run("cat /proc/cmdline; cat /sys/block/dm-0/dm/name /sys/block/dm-0/dm/uuid; findmnt -no SOURCE,FSTYPE,OPTIONS /;"
              "mount -t efivarfs efivarfs /sys/firmware/efi/efivars 2>/dev/null;"
              "od -An -tu1 -j4 /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c;"
              "test -S /run/confidential-containers/cdh.sock && echo socket; touch /usr/x 2>&1")
    assert f"roothash={(IMAGE / 'roothash').read_text()}" in r.out and "CRYPT-VERITY-" in r.out, r
    assert re.search(r"/dev/mapper/root\s+erofs\s+ro", r.out) and "\nsocket\n" in r.out and "Read-only" in r.out, r
    assert re.search(r"^\s+1$", r.out, re.M), ("Secure Boot is off", r)


def pcr4_and_pcr11__after_boot__are_the_predicted_ones(pod):
    pod.up()
    assert pod.pcr(4) == pod.pcrs["4"], (pod.pcr(4), pod.pcrs)
    assert pod.pcr(11) == pod.pcrs["11"], (pod.pcr(11), pod.pcrs)


def pcr11__by_systemd_measure__is_the_same(pod):
    tool = "/usr/lib/systemd/systemd-measure"
    if not os.path.exists(tool):
        raise Skip(f"no {tool}")
    r = pod.w.run([tool, "calculate", "--bank=sha256", f"--linux={VM}/kernel/cloud/vmlinuz", f"--osrel={IMAGE}/osrel",
                   f"--cmdline={IMAGE}/cmdline", f"--initrd={IMAGE}/initrd", "--phase=", "--json=short"], check=True)
    found = {x["hash"] for x in json.loads(r.stdout)["sha256"]}
    assert pod.pcrs["11"] in found, (found, pod.pcrs)


def pcr8__initdata_bound__once_and_not_again_after_restarts(pod):
    m = pod.up()
    assert pod.pcr(8) == pod.pcr8, (pod.pcr(8), pod.pcr8)
    m.run("systemctl restart vouchsafe-initdata.service vouchsafed.service", timeout=200, check=True)
    pod.wait_active("vouchsafed.service")
    assert pod.pcr(8) == pod.pcr8
    assert m.run("cat /run/peerpod/policy.rego", check=True).out == POLICY
    assert m.run("cat /run/second-extend").rc != 0, "the image's own drop-in extended too"


def trustee__policy_pins_pcr_4_8_and_11__the_secret_comes(pod):
    m = pod.up()
    pod.policy({n: pod.pcrs[n] for n in ("4", "11")})
    # A secret that is no canary: what the door carries lies in this test's buffers.
    r = m.run("vouchsafe get-resource kbs:///default/pod/plain", timeout=120)
    assert r.rc == 0 and r.out == "plain", (r, m.run("journalctl -b --no-pager -u vouchsafed | tail -20").out)


def doctor__inside__is_healthy(pod):
    m = pod.up()
    r = m.run("vouchsafe doctor --json", timeout=150)
    found = json.loads(r.out)
    worse = [f for f in found["findings"] if f["verdict"] in ("bad", "fail")]
    assert found["healthy"] and not worse, worse
    text = json.dumps(found["findings"])
    assert "verity" in text, [f["text"] for f in found["findings"]]


def caa_units__the_chain_of_a_pod__is_in_order(pod):
    m = pod.up()
    found = json.loads(wait_for("the stand-in of kata-agent", lambda: m.run("cat /run/kata-agent.json").out, 120))
    assert found["policy"] == POLICY and found["connected"] is True, found
    # Behind the restart of vouchsafe-initdata above it was stopped and started with it.
    pod.wait_active("netns@podns.service")
    pod.wait_active("vouchsafe-rest.socket")
    ask = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8006/info', timeout=60).read().decode())"
    r = m.run(f"ip netns exec podns python3 -c {shlex.quote(ask)}", timeout=120)
    assert r.rc == 0 and json.loads(r.out)["tee"] == "tpm", r
    failed = m.run("systemctl --failed --plain --no-legend").out
    assert not failed.strip(), failed


def console__of_the_image__has_no_shell_and_no_reason(pod):
    m = pod.up()
    r = m.run("systemctl list-units --all --plain --no-legend '*getty*' 'debug-shell*' 'emergency*' 'rescue*'; cat /etc/shadow; "
              "cat /proc/sys/kernel/core_pattern /proc/swaps; ls /usr/bin/cloud-init")
    assert not re.search(r"^(\S*getty@|console-getty|debug-shell|emergency\.|rescue\.)\S* +\S+ +active", r.out, re.M), r
    assert re.search(r"^root:!", r.out, re.M) and "/bin/false" in r.out and "cloud-init" not in r.out, r
    assert len([x for x in r.out.splitlines() if x.startswith("Filename")]) == 1 and "/dev/" not in r.out.split("Filename")[1], r
    text = m.console()
    assert "login:" not in text and "10.0.2.2" not in text, text[-2000:]


def container(pod, runtime, hold=""):
    m = pod.up()
    env = {"RUNTIME": runtime, "ENV_SEALED": pod.sealed["env"], "FILE_SEALED": pod.sealed["file"], "ENV_SHA": sha(CANARY),
           "FILE_SHA": sha(FILE_CANARY)}
    if not hold:
        r = m.run("bash /opt/test/test/vm/guest/container.sh", timeout=240, **env)
        assert r.rc == 0 and "container-has-its-secrets" in r.out, (r, m.run("journalctl -b --no-pager -u vouchsafed | tail").out)
        return
    m.run("setsid bash /opt/test/test/vm/guest/container.sh >/run/hold.log 2>&1 &", HOLD=1, **env)
    wait_for("the container", lambda: "has-its-secrets" in m.run("cat /run/hold.log").out, 240)


def container__crun__has_env_and_file(pod):
    container(pod, "crun")


def container__runc__has_env_and_file(pod):
    container(pod, "runc")


def engine(pod, name):
    m = pod.up()
    r = m.run("bash /opt/test/test/vm/guest/engine.sh", timeout=400, ENGINE=name, ENV_SEALED=pod.sealed["env"],
              FILE_SEALED=pod.sealed["file"], ENV_SHA=sha(CANARY), FILE_SHA=sha(FILE_CANARY))
    assert r.rc == 0 and "container-has-its-secrets" in r.out, (r, m.run(f"tail -5 /run/vm-engine-{name}/log").out)


def engine__podman__has_env_and_file(pod):
    engine(pod, "podman")


def engine__containerd__has_env_and_file(pod):
    engine(pod, "containerd")


def volume__keyed_by_trustee__is_made_and_written(pod):
    m = pod.up()
    if m.run("test -x /usr/libexec/vouchsafe/vouchsafe-mountd").rc != 0:
        raise Skip("vouchsafe-mountd is not in the image")
    r = m.run(f"mkdir -p /mnt/data 2>/dev/null; mkdir -p /run/vouchsafe-volumes/data; "
              f"vouchsafe volume open --timeout 120 --key {pod.sealed['volume']} --mapper data {VOLUME} /run/vouchsafe-volumes/data && "
              "echo kept >/run/vouchsafe-volumes/data/file && vouchsafe volume list && vouchsafe volume close data && "
              "! test -e /run/vouchsafe-volumes/data/file && ! test -e /dev/mapper/data", timeout=300)
    assert r.rc == 0, (r, m.run("journalctl -b --no-pager -u vouchsafe-mountd -u vouchsafed | tail -20").out)
    raw = pod.volume.read_bytes()
    assert b"LUKS\xba\xbe" in raw and b"kept\n" not in raw


def sandboxes__as_run__no_capability_and_seccomp(pod):
    m = pod.up()
    r = m.run("p=$(systemctl show -P MainPID vouchsafed); cat /proc/$p/status; systemd-analyze security --no-pager "
              "vouchsafed.service vouchsafe-rest.service vouchsafe-initdata.service 2>/dev/null; "
              "for u in vouchsafed vouchsafe-rest vouchsafe-initdata vouchsafe-mountd vouchsafe-teed; do "
              "systemctl cat $u >/dev/null 2>&1 && echo \"level $u $(systemd-analyze security --no-pager $u.service 2>/dev/null | "
              "sed -n 's/.*Overall exposure level.*: \\([0-9.]*\\).*/\\1/p')\"; done", timeout=240)
    s = dict(x.split(":", 1) for x in r.out.splitlines() if re.match(r"\w+:\t", x))
    assert int(s["CapEff"], 16) == int(s["CapBnd"], 16) == int(s["CapPrm"], 16) == 0 and s["Seccomp"].strip() == "2", r
    assert s["NoNewPrivs"].strip() == "1" and s["Uid"].split() == ["64733"] * 4, s
    levels = {x.split()[1]: float(x.split()[2]) for x in r.out.splitlines() if x.startswith("level ") and len(x.split()) == 3}
    hold = {"vouchsafed": 2.0, "vouchsafe-rest": 1.5, "vouchsafe-initdata": 3.0}
    assert all(levels.get(u, 9) <= limit for u, limit in hold.items()), levels
    print("     exposure: " + ", ".join(f"{u} {v}" for u, v in levels.items()), flush=True)


def kill9__of_each_process_at_random__service_goes_on_and_nothing_is_left(pod):
    m = pod.up()
    rounds = 12 if FULL else 4
    names = ["vouchsafed", "vouchsafe-rest", "vouchsafe-mountd", "vouchsafe-teed"]
    for i in range(rounds):
        delay = random.uniform(0, 2)
        m.run(f"(vouchsafe unseal {pod.sealed['env']} | sha256sum >/run/kill.out) 2>/dev/null & "
              f"sleep {delay:.2f}; pkill -9 -x {names[i % len(names)][:15]}; wait", timeout=150)
    pod.wait_active("vouchsafed.service")
    end = time.monotonic() + 120
    while True:
        r = m.run(f"vouchsafe unseal {pod.sealed['env']} | sha256sum", timeout=120)
        if r.out.startswith(sha(CANARY)):
            break
        assert time.monotonic() < end, (r, m.run("systemctl status --no-pager vouchsafed").out)
    assert pod.pcr(8) == pod.pcr8
    # The needle comes in two halves, so that this command line is none.
    half = len(CANARY) // 2
    r = m.run(f"grep -rlF \"{CANARY[:half]}\"\"{CANARY[half:]}\" /run /var /tmp /etc 2>/dev/null; journalctl -b | grep -cF \"{CANARY[:half]}\"\"{CANARY[half:]}\"", timeout=200)
    assert r.out.strip() == "0", r


def memory_image__after_release__has_no_canary(pod):
    m = pod.up()
    dump = pod.w.tmp / "memory"

    def count(what):
        dump.unlink(missing_ok=True)
        m.memory_image(dump)
        out = {}
        data = dump.read_bytes()
        for name, text in what.items():
            n = at = 0
            at = data.find(text.encode())
            while at >= 0:
                n, at = n + 1, data.find(text.encode(), at + 1)
            out[name] = n
        dump.unlink()
        return out

    # While a container holds them they must be found: the search works.
    container(pod, "crun", hold=True)
    held = count({"env": CANARY, "file": FILE_CANARY})
    assert held["env"] and held["file"], held
    m.run("crun kill vm-crun-hold KILL; sleep 2; vouchsafe-oci --vouchsafe-config /run/vm-oci/crun.toml delete -f vm-crun-hold", timeout=60)
    # The cache keeps what was unsealed for a minute, in locked memory.
    m.run("sleep 65", timeout=120)
    m.run("vouchsafe status", timeout=60)
    left = count({"env": CANARY, "file": FILE_CANARY})
    print(f"     copies in the guest's memory: {held} while a container holds them, {left} after", flush=True)
    assert left == {"env": 0, "file": 0}, left


def times__of_this_boot__are_told(pod):
    m = pod.up()
    text = m.run("systemd-analyze --no-pager; systemd-analyze critical-chain --no-pager vouchsafed.service | sed 1,3d; "
                 "systemctl show -P ActiveEnterTimestampMonotonic vouchsafe-initdata.service vouchsafed.service; "
                 "systemctl show -P InactiveExitTimestampMonotonic vouchsafe-initdata.service", timeout=100).out
    for line in text.splitlines():
        if line.strip():
            print("     " + line, flush=True)


def first_secret__after_boot__is_timed(pod):
    m = pod.up()
    r = m.run("systemctl is-active vouchsafed; begin=$(cut -d' ' -f1 /proc/uptime); vouchsafe get-resource kbs:///default/pod/plain; "
              "echo; echo $begin $(cut -d' ' -f1 /proc/uptime)", timeout=150)
    begin, end = map(float, r.out.splitlines()[-1].split())
    print(f"     from kernel start to vouchsafed's first secret: {end:.1f} s, of them the first request {end - begin:.1f} s", flush=True)
    assert "plain" in r.out, r
    # For make bench.
    stamps = m.run("systemctl show -P InactiveExitTimestampMonotonic vouchsafe-initdata.service; "
                   "systemctl show -P ActiveEnterTimestampMonotonic vouchsafe-initdata.service vouchsafed.service | grep .",
                   check=True).out.split()
    names = ("provisioning begins", "initdata is bound and delivered", "vouchsafed is ready")
    phases = {name: int(us) / 1e6 for name, us in zip(names, stamps, strict=True)}
    (VM / "phases.json").write_text(json.dumps({**phases, "a secret is asked for": begin, "the first secret is there": end}))


def initdata__another_while_pcr8_is_set__no_socket_and_no_policy(pod):
    refused(pod, user_data("H4sIAAAAAAAAAwMAAAAAAAAAAAA="), "malformed")
    other = pod.w.run([pod.w.dev / "vouchsafe", "initdata", "build", "--policy", pod.w.tmp / "policy.rego", "--encode"], check=True).stdout
    refused(pod, user_data(other.strip()), "another")


def initdata__missing_while_pcr8_is_set__no_socket_and_no_policy(pod):
    refused(pod, None, "missing")


def refused(pod, text, what):
    m = pod.up()
    m.run("mkdir -p /run/other && rm -f /run/other/* && umount -q /run/other-mounted 2>/dev/null; umount -l /media/cidata; "
          "mkdir -p /run/other && mount --bind /run/other /media/cidata; cp /etc/kata-opa/allow-all.rego /run/peerpod/policy.rego",
          check=True)
    if text:
        m.put("/run/other/user-data", text)
    m.run("systemctl restart vouchsafe-initdata.service", timeout=300)
    r = m.run("systemctl is-active vouchsafe-initdata vouchsafed; ls /run/peerpod/policy.rego /run/confidential-containers/cdh.sock; "
              "cat /run/vouchsafe/provision-error")
    assert r.out.startswith("failed\n") and "\nactive" not in r.out and "policy.rego\n" not in r.out and "cdh.sock\n" not in r.out, (what, r)
    assert "initdata." in r.out, (what, r)
    assert pod.pcr(8) == pod.pcr8, what


# --- later boots ------------------------------------------------------------------------------------
def boot__second_with_kata_block_device__bound_and_the_volume_kept_its_data(pod):
    m = pod.boot("second", [(pod.w.tmp / "initdata.img", "initdata", True), (pod.volume, "volume", False)])
    pod.wait_active("vouchsafed.service")
    assert pod.pcr(8) == pod.pcr8
    report = json.loads(m.run("cat /run/vouchsafe/provision.json", check=True).out)
    assert report["source"] == "block", report
    if m.run("test -x /usr/libexec/vouchsafe/vouchsafe-mountd").rc != 0:
        return
    r = m.run("mkdir -p /run/vouchsafe-volumes/data; "
              f"vouchsafe volume open --timeout 120 --key {pod.sealed['volume']} --mapper data {VOLUME} /run/vouchsafe-volumes/data && "
              "cat /run/vouchsafe-volumes/data/file", timeout=300)
    assert r.rc == 0 and r.out.splitlines()[-1] == "kept", (r, m.run("journalctl -b --no-pager -u vouchsafe-mountd -u vouchsafed | tail -20").out)


def shutdown__with_an_open_volume__closes_it(pod):
    m = pod.up()
    assert m.power_off(), m.console()[-2000:]
    assert "Kernel panic" not in m.console(), m.console()[-2000:]


def command_line__changed_and_signed__the_policy_denies_by_name(pod):
    w = pod.w
    folder = w.tmp / "changed"
    folder.mkdir()
    (folder / "cmdline").write_text((IMAGE / "cmdline").read_text() + " systemd.debug_shell=1")
    uki.build("/usr/lib/systemd/boot/efi/linuxx64.efi.stub", folder / "unsigned",
              {n: str(folder / n if n == "cmdline" else IMAGE / n) for n in ("osrel", "uname", "cmdline", "initrd")} |
              {"linux": str(VM / "kernel/cloud/vmlinuz")})
    w.run(["sbsign", "--key", VM / "keys/db.key", "--cert", VM / "keys/db.pem", "--output", folder / "uki.efi", folder / "unsigned"], check=True)
    w.run([HERE / "disk.sh", folder / "uki.efi", IMAGE / "root.erofs", IMAGE / "root.verity", folder / "disk.img"], check=True)
    m = pod.boot("changed", [(pod.cidata(pod.initdata), "cidata", True)], disk=folder / "disk.img")
    pod.wait_active("vouchsafed.service")
    r = m.run("vouchsafe get-resource kbs:///default/pod/plain", timeout=120)
    assert r.rc == 77 and "kbs.policy-denied" in r.err and "plain\n" not in r.out, r
    assert pod.pcr(11) == uki.predict(folder / "uki.efi")["11"] != pod.pcrs["11"]
    why = [x["why"] for x in w.trustee("/test/log") if x["endpoint"] == "resource"][-1]
    assert "PCR 4, 11 is another" in why, why


def verity_disk__one_byte_flipped__the_boot_stops(pod):
    disk = pod.w.tmp / "flipped.img"
    shutil.copy(IMAGE / "disk.img", disk)
    at = root_offset(disk)
    with open(disk, "r+b") as f:
        # A byte that the file system itself never looks at: only verity can tell.
        f.seek(at + 3)
        byte = f.read(1)
        f.seek(at + 3)
        f.write(bytes([byte[0] ^ 1]))
    m = pod.boot("flipped", [], disk=disk, ready=False)
    ended(m, ("Kernel panic", "verity"), 400)
    assert '"ready"' not in m.pending.decode()


def uki__unsigned__does_not_boot(pod):
    disk = pod.w.tmp / "unsigned.img"
    pod.w.run([HERE / "disk.sh", IMAGE / "uki.unsigned", IMAGE / "root.erofs", IMAGE / "root.verity", disk], check=True)
    m = pod.boot("unsigned", [], disk=disk, ready=False)
    wait_for("the firmware's refusal", lambda: "Access Denied" in m.console() or m.proc.poll() is not None, 300)
    assert "Access Denied" in m.console() and "Linux" not in m.console(), m.console()[-1500:]


def ended(m, words, seconds):
    """The machine stopped by itself, without its door having opened, and said one of the words."""
    assert m.wait_end(seconds), "it went on: " + m.console()[-1500:]
    assert any(w in m.console() for w in words), m.console()[-2500:]


def root_offset(disk):
    r = subprocess.run(["sfdisk", "-d", disk], capture_output=True, text=True, check=True)
    line = next(x for x in r.stdout.splitlines() if 'name="root"' in x)
    return int(re.search(r"start=\s*(\d+)", line)[1]) * 512


VOLUME = "/dev/disk/by-id/virtio-volume"


# --- scripts in a guest of their own -------------------------------------------------------------------
def guest_scripts(cases):
    """Each test/vm/guest/*.sh that says what it needs; its own ok, FAIL and skip lines count."""
    for script in sorted((HERE / "guest").glob("*.sh")):
        wants = [x.removeprefix("# vm:").split() for x in script.read_text().splitlines()[:5] if x.startswith("# vm:")]
        if not wants or (ONLY and not any(o in script.stem for o in ONLY)):
            continue
        if "full" in wants[0] and not FULL:
            print(f"     {script.stem}: in make vm-test-full", flush=True)
            continue
        begin = time.monotonic()
        r = subprocess.run([HERE / "run.sh", "-b", BUILD, *(x for x in wants[0] if x != "full"), script], capture_output=True, text=True)
        if r.returncode == 70:
            print(f"     {script.stem}: the guest died, once more", flush=True)
            r = subprocess.run([HERE / "run.sh", "-b", BUILD, *(x for x in wants[0] if x != "full"), script], capture_output=True, text=True)
        rows = [x for x in r.stdout.splitlines() if re.match(r"(ok  |FAIL|skip) ", x)]
        for row in rows:
            print(f"{row[:4]} {script.stem}__{row[5:]}", flush=True)
        n = {w: sum(x.startswith(w) for x in rows) for w in ("ok", "FAIL", "skip")}
        if r.returncode == 77:
            print(f"skip {script.stem}: {r.stderr.strip().splitlines()[-1]}", flush=True)
            n["skip"] += 1
        elif r.returncode != 0 and not n["FAIL"] or not rows:
            print(f"FAIL {script.stem}: exit {r.returncode}\n{r.stdout[-2000:]}{r.stderr[-500:]}", flush=True)
            n["FAIL"] += 1
        cases.passed += n["ok"]
        cases.failed += n["FAIL"]
        cases.skipped += n["skip"]
        print(f"     {script.stem}: {time.monotonic() - begin:.0f} s", flush=True)


CASES = (
    boot__secure_boot_verity_and_cidata__vouchsafed_is_ready,
    pcr4_and_pcr11__after_boot__are_the_predicted_ones,
    pcr11__by_systemd_measure__is_the_same,
    trustee__policy_pins_pcr_4_8_and_11__the_secret_comes,
    first_secret__after_boot__is_timed,
    times__of_this_boot__are_told,
    caa_units__the_chain_of_a_pod__is_in_order,
    pcr8__initdata_bound__once_and_not_again_after_restarts,
    doctor__inside__is_healthy,
    console__of_the_image__has_no_shell_and_no_reason,
    container__crun__has_env_and_file,
    container__runc__has_env_and_file,
    *((engine__podman__has_env_and_file, engine__containerd__has_env_and_file) if FULL else ()),
    volume__keyed_by_trustee__is_made_and_written,
    sandboxes__as_run__no_capability_and_seccomp,
    memory_image__after_release__has_no_canary,
    kill9__of_each_process_at_random__service_goes_on_and_nothing_is_left,
    initdata__another_while_pcr8_is_set__no_socket_and_no_policy,
    initdata__missing_while_pcr8_is_set__no_socket_and_no_policy,
    boot__second_with_kata_block_device__bound_and_the_volume_kept_its_data,
    shutdown__with_an_open_volume__closes_it,
    command_line__changed_and_signed__the_policy_denies_by_name,
    verity_disk__one_byte_flipped__the_boot_stops,
    uki__unsigned__does_not_boot,
)


def main():
    missing = need_tools()
    if missing:
        print(f"skip vm-test: not installed here: {', '.join(missing)} (test/packages.sh vm)\n0 passed, 0 failed, 1 skipped")
        return 0
    r = subprocess.run([HERE / "image.sh", PROFILE, BUILD])
    if r.returncode == 77:
        print("skip vm-test: the image cannot be built here, see above\n0 passed, 0 failed, 1 skipped")
        return 0
    if r.returncode != 0:
        print("FAIL image: it was not built\n0 passed, 1 failed, 0 skipped")
        return 1
    cases = Cases()
    pod = Pod()
    try:
        for case in CASES:
            if not ONLY or any(o in case.__name__ for o in ONLY) or case.__name__.startswith("boot__secure"):
                cases.run(case, pod)
        pod.off()
    finally:
        pod.off()
        pod.w.close()
    guest_scripts(cases)
    print(f"vm-test ({PROFILE}): {time.monotonic() - BEGIN:.0f} s", flush=True)
    return cases.finish()


if __name__ == "__main__":
    sys.exit(main())
