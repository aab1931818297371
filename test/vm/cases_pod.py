# SPDX-License-Identifier: Apache-2.0
"""Cases of the first boot, in order; each takes the Pod."""
import json
import os
import random
import re
import shlex
import time

import uki
from pod import CANARY, FILE_CANARY, IMAGE_STORE, PINS, POLICY, VM, VOLUME, sha, status_of, user_data
from world import Skip, wait_for

GUEST = "/opt/test/test/vm/guest"
HARDENED = ("boot", "verity", "read-only", "secure-boot", "credentials", "init-on-free", "swap", "core-dumps", "cloud-init",
            "console")
SEED = random.randrange(1 << 32)
RANDOM = random.Random(SEED)


def boot__secure_boot_verity_and_cidata__vouchsafed_is_ready(pod):
    m = pod.boot("first", [(pod.cidata(pod.initdata), "cidata", True), (pod.volume, "volume", False),
                           (pod.image_store, "image", False)])
    pod.wait_active("vouchsafed.service")
    r = m.run("cat /proc/cmdline; cat /sys/block/dm-0/dm/name /sys/block/dm-0/dm/uuid; findmnt -no SOURCE,FSTYPE,OPTIONS /;"
              "mount -t efivarfs efivarfs /sys/firmware/efi/efivars 2>/dev/null;"
              "od -An -tu1 -j4 /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c;"
              "test -S /run/confidential-containers/cdh.sock && echo socket; touch /usr/x 2>&1")
    assert r.out.splitlines()[0] == (pod.image / "cmdline").read_text(), ("the command line is another", r)
    assert f"roothash={(pod.image / 'roothash').read_text()}" in r.out and "CRYPT-VERITY-" in r.out, r
    assert {"systemd.import_credentials=no", "init_on_free=1"} <= set(r.out.split()), r
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
    r = pod.w.run([tool, "calculate", "--bank=sha256", f"--linux={VM}/kernel/cloud/vmlinuz", f"--osrel={pod.image}/osrel",
                   f"--cmdline={pod.image}/cmdline", f"--initrd={pod.image}/initrd", "--phase=", "--json=short"], check=True)
    found = {x["hash"] for x in json.loads(r.stdout)["sha256"]}
    assert pod.pcrs["11"] in found, (found, pod.pcrs)


def verity__root_hash_made_anew_from_the_root__is_what_pcr_11_pins(pod):
    """The owner's way: from the root file system to the value in the policy, without the image's own UKI."""
    tree, image = pod.w.tmp / "tree", pod.image
    r = pod.w.run(["/usr/sbin/veritysetup", "format", image / "root.erofs", tree, f"--salt={0:064d}"], check=True)
    root_hash = re.search(r"Root hash:\s+([0-9a-f]{64})", r.stdout)[1]
    line = (image / "cmdline").read_text()
    assert line.split()[0] == f"roothash={root_hash}", (line, root_hash)
    parts = {".linux": (VM / "kernel/cloud/vmlinuz").read_bytes(), ".osrel": (image / "osrel").read_bytes(),
             ".cmdline": line.encode(), ".initrd": (image / "initrd").read_bytes()}
    assert uki.pcr11(parts) == pod.pcr(11) == pod.pcrs["11"]
    other = line.replace(root_hash, root_hash[:-1] + ("0" if root_hash[-1] != "0" else "1"))
    assert uki.pcr11({**parts, ".cmdline": other.encode()}) != pod.pcrs["11"]
    assert root_hash in pod.m.run("dmsetup table root", check=True).out


def event_log__by_tpm2_eventlog__replays_to_the_registers(pod):
    m = pod.up()
    r = m.run("tpm2_eventlog /sys/kernel/security/tpm0/binary_bios_measurements", timeout=100)
    found = re.search(r"^pcrs:\n.*?^ +sha256:\n((?: +\d+ *: 0x[0-9a-f]{64}\n?)+)", r.out, re.M | re.S)
    assert found, r
    replayed = {int(n): v for n, v in re.findall(r"(\d+) *: 0x([0-9a-f]{64})", found[1])}
    assert {0, 4, 7, 11} <= set(replayed), replayed
    wrong = {n: v for n, v in replayed.items() if v != pod.pcr(n)}
    assert not wrong, wrong
    assert replayed[4] == pod.pcrs["4"] and replayed[11] == pod.pcrs["11"]


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
    pod.pin()
    # A secret that is no canary: what the door carries lies in this test's buffers.
    r = m.run("vouchsafe get-resource kbs:///default/pod/plain", timeout=120)
    assert r.rc == 0 and r.out == "plain", (r, pod.log("vouchsafed"))


def trustee__each_pin_another__is_denied_by_its_name(pod):
    m = pod.up()
    zeros = "0" * 64
    good = {n: pod.pcrs[n] for n in ("4", "11")}
    try:
        for n in PINS:
            pod.policy(good if n == "8" else {**good, n: zeros}, pcr8=zeros if n == "8" else None)
            r = m.run(f"vouchsafe get-resource kbs:///default/pod/pin{n}", timeout=120)
            assert r.rc == 77 and "kbs.policy-denied" in r.err and not r.out, (n, r)
            # Of PCR 8 the rules say nothing: none is for this initdata.
            assert pod.why().endswith("default" if n == "8" else f"PCR {n} is another"), (n, pod.why())
    finally:
        pod.pin()
    r = m.run("vouchsafe get-resource kbs:///default/pod/pin4", timeout=120)
    assert r.rc == 0 and r.out == "pinned 4", r


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
    phases |= {"a secret is asked for": begin, "the first secret is there": end}
    assert list(phases.values()) == sorted(phases.values()), phases
    (VM / "phases.json").write_text(json.dumps(phases))


def times__of_this_boot__are_told(pod):
    m = pod.up()
    text = m.run("systemd-analyze --no-pager; systemd-analyze critical-chain --no-pager vouchsafed.service | sed 1,3d", timeout=100).out
    for line in text.splitlines():
        if line.strip():
            print("     " + line, flush=True)
    assert re.search(r"Startup finished in [\w. ]+s \(kernel\) \+ [\w. ]+s \(userspace\)", text), text
    chain = [x.split()[0] for x in re.sub(r"[└─]", " ", text).splitlines() if "@" in x or "+" in x]
    assert "vouchsafed.service" in chain and "vouchsafe-initdata.service" in chain, text


def caa_units__the_chain_of_a_pod__is_in_order(pod):
    m = pod.up()
    found = json.loads(wait_for("the stand-in of kata-agent", lambda: m.run("cat /run/kata-agent.json").out, 120))
    assert found["policy"] == POLICY and found["connected"] is True, found
    units = ("systemd-tmpfiles-setup.service", "vouchsafe-initdata.service", "vouchsafed.service")
    stamps = [int(x) / 1e6 for x in m.run("; ".join(f"systemctl show -P ActiveEnterTimestampMonotonic {u}" for u in units),
                                         check=True).out.split()]
    assert len(stamps) == 3 and all(stamps) and [*stamps, found["at"]] == sorted([*stamps, found["at"]]), (stamps, found)
    pod.wait_active("netns@podns.service")
    pod.wait_active("vouchsafe-rest.socket")
    ask = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8006/info', timeout=60).read().decode())"
    r = m.run(f"ip netns exec podns python3 -c {shlex.quote(ask)}", timeout=120)
    assert r.rc == 0 and json.loads(r.out)["tee"] == "tpm", r
    failed = m.run("systemctl --failed --plain --no-legend").out
    assert not failed.strip(), failed


def agent_calls(pod, *words):
    env = {"ENV_SEALED": pod.sealed["env"], "FILE_SEALED": pod.sealed["file"], "ENV_SHA": sha(CANARY), "FILE_SHA": sha(FILE_CANARY)}
    r = pod.up().run(f"python3 -B {GUEST}/agent_calls.py {' '.join(words)}", timeout=400, **env)
    assert r.rc == 0 and r.out.splitlines()[-1:] == ["agent-calls-done"], (r, pod.log("vouchsafed", "vouchsafe-mountd"))
    return r.out


def kata_agent_s_calls__env_sealed_volume_and_trusted_storage__over_one_connection(pod):
    agent_calls(pod, "kata", IMAGE_STORE)
    raw = pod.image_store.read_bytes()
    # Without a key the header is in memory only: the disk looks random.
    assert b"LUKS" not in raw[:4096] and b"a layer of an image" not in raw and any(raw[:4096]), raw[:64]


def teed_s_unit__a_character_device__may_open_it_and_gives_its_report(pod):
    """DeviceAllow= and the other limits of vouchsafe-teed.service, with /dev/sev-guest by CUSE."""
    m = pod.up()
    r = m.run(f"python3 -B {GUEST}/teed_unit.py", timeout=200)
    assert r.rc == 0 and "teed-unit-gives-a-report" in r.out, (r, pod.log("vouchsafe-teed"))


def doctor__inside__is_healthy_and_finds_each_hardening(pod):
    m = pod.up()
    r = m.run("vouchsafe doctor --json", timeout=150)
    found = json.loads(r.out)
    worse = [f for f in found["findings"] if f["verdict"] in ("bad", "fail")]
    assert found["healthy"] and not worse, worse
    for check in HARDENED:
        verdicts = [(f["verdict"], f["text"]) for f in found["findings"] if f["check"] == check]
        assert verdicts and all(v == "ok" for v, _ in verdicts), (check, verdicts)
    boot, root = found["boot"], found["verity"][0]
    assert boot["log"] and boot["log_replays"] and boot["uki"] and boot["cmdline_measured"] and boot["secure_boot"], boot
    assert root["verity"] and root["measured"] and root["read_only"] and root["root_hash_from"] == "table", root
    assert root["root_hash"] == (pod.image / "roothash").read_text(), root


def doctor__hardenings_taken_away__names_each(pod):
    """What can be taken away while it runs, one after the other, from a healthy guest."""
    m = pod.up()
    for check, verdict, spoil, mend in (
            ("swap", "bad", "mkswap /dev/disk/by-id/virtio-image >/dev/null && swapon /dev/disk/by-id/virtio-image",
             "swapoff -a; dd if=/dev/zero of=/dev/disk/by-id/virtio-image bs=1M count=1 conv=fsync 2>/dev/null"),
            ("core-dumps", "note", "echo core >/proc/sys/kernel/core_pattern", "echo '|/bin/false' >/proc/sys/kernel/core_pattern"),
            ("cloud-init", "note", "mkdir /run/cloud-init", "rmdir /run/cloud-init"),
            ("console", "note", "setsid -c busybox sleep 300 </dev/ttyS0 >/dev/null 2>&1 & sleep 1", "pkill -x busybox")):
        m.run(spoil, check=True)
        r = m.run("vouchsafe doctor --json --offline", timeout=150)
        m.run(mend)
        got = [(f["verdict"], f.get("remedy"), f["text"]) for f in json.loads(r.out)["findings"] if f["check"] == check]
        assert [v for v, *_ in got] == [verdict], (check, got)
    r = m.run("vouchsafe doctor --json --offline", timeout=150)
    left = [f for f in json.loads(r.out)["findings"] if f["check"] in HARDENED and f["verdict"] != "ok"]
    assert not left, left


def console__of_the_image__has_no_shell_and_no_reason(pod):
    m = pod.up()
    r = m.run("systemctl list-units --all --plain --no-legend '*getty*' 'debug-shell*' 'emergency*' 'rescue*'; cat /etc/shadow; "
              "cat /proc/sys/kernel/core_pattern /proc/swaps; ls /usr/bin/cloud-init")
    assert not re.search(r"^(\S*getty@|console-getty|debug-shell|emergency\.|rescue\.)\S* +\S+ +active", r.out, re.M), r
    assert re.search(r"^root:!", r.out, re.M) and "|/bin/false\n" in r.out and "cloud-init" not in r.out, r
    assert len([x for x in r.out.splitlines() if x.startswith("Filename")]) == 1 and "/dev/" not in r.out.split("Filename")[1], r
    text = m.console()
    assert "login:" not in text and "10.0.2.2" not in text, text[-2000:]


def secrets_env(pod, runtime):
    return {"RUNTIME": runtime, "ENV_SEALED": pod.sealed["env"], "FILE_SEALED": pod.sealed["file"], "ENV_SHA": sha(CANARY),
            "FILE_SHA": sha(FILE_CANARY)}


def container(pod, runtime, hold=""):
    m = pod.up()
    if not hold:
        r = m.run(f"bash {GUEST}/container.sh", timeout=240, **secrets_env(pod, runtime))
        assert r.rc == 0 and "container-has-its-secrets" in r.out, (r, pod.log("vouchsafed"))
        return
    m.run(f"setsid bash {GUEST}/container.sh >/run/hold.log 2>&1 &", HOLD=1, **secrets_env(pod, runtime))
    wait_for("the container", lambda: "has-its-secrets" in m.run("cat /run/hold.log").out, 240)


def container__crun__has_env_and_file(pod):
    container(pod, "crun")


def container__runc__has_env_and_file(pod):
    container(pod, "runc")


def engine(pod, name):
    m = pod.up()
    r = m.run(f"bash {GUEST}/engine.sh", timeout=400, ENGINE=name, **secrets_env(pod, "crun"))
    assert r.rc == 0 and "container-has-its-secrets" in r.out, (r, m.run(f"tail -5 /run/vm-engine-{name}/log").out)


def engine__podman__has_env_and_file(pod):
    engine(pod, "podman")


def engine__containerd__has_env_and_file(pod):
    engine(pod, "containerd")


def volume__keyed_by_trustee__is_made_and_written(pod):
    m = pod.up()
    r = m.run(f"mkdir -p /run/vouchsafe-volumes/data; "
              f"vouchsafe volume open --timeout 120 --key {pod.sealed['volume']} --mapper data {VOLUME} /run/vouchsafe-volumes/data && "
              "echo kept >/run/vouchsafe-volumes/data/file && vouchsafe volume list && vouchsafe volume close data && "
              "! test -e /run/vouchsafe-volumes/data/file && ! test -e /dev/mapper/data", timeout=300)
    assert r.rc == 0, (r, pod.log("vouchsafe-mountd", "vouchsafed"))
    raw = pod.volume.read_bytes()
    assert b"LUKS\xba\xbe" in raw and b"kept\n" not in raw


def cloud_volume__as_the_forwarder_calls__opens_again_and_keeps_its_data(pod):
    out = agent_calls(pod, "cloud", VOLUME, "encrypted")
    assert "file of before: kept" in out, out


def sandboxes__as_run__no_capability_and_seccomp(pod):
    m = pod.up()
    r = m.run(f"python3 -B {GUEST}/sandboxes.py {pod.sealed['volume']} {VOLUME}", timeout=240)
    assert r.rc == 0, (r, pod.log("vouchsafe-mountd"))
    found = json.loads(r.out)
    for name, uid, caps in (("vouchsafed", "64733", 0), ("vouchsafe-rest", None, 0), ("vouchsafe-teed", "0", 0),
                            ("vouchsafe-mountd", "0", 1 << 21)):
        s = status_of(found[name]["status"])
        got = {c: int(s[c], 16) for c in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")}
        assert got["CapEff"] == got["CapPrm"] == got["CapBnd"] == caps and got["CapInh"] == got["CapAmb"] == 0, (name, got)
        assert s["Seccomp"].strip() == "2" and s["NoNewPrivs"].strip() == "1", (name, s)
        uids = set(s["Uid"].split())
        assert uids == {uid} if uid else "0" not in uids and len(uids) == 1, (name, uids)
    # What it mounts must be seen by all.
    assert found["vouchsafe-mountd"]["mounts"] == found["1"]["mounts"] != found["vouchsafed"]["mounts"], found
    hold = {"vouchsafed": 2.0, "vouchsafe-rest": 1.5, "vouchsafe-initdata": 3.0, "vouchsafe-teed": 3.0, "vouchsafe-volumes": 3.0,
            "vouchsafe-mountd": 3.0}
    levels = {u: float(re.search(r"exposure level.*: ([\d.]+)", m.run(f"systemd-analyze security --no-pager {u}.service 2>/dev/null",
                                                                   timeout=60).out)[1]) for u in hold}
    print("     exposure: " + ", ".join(f"{u} {v}" for u, v in levels.items()), flush=True)
    assert all(levels[u] <= limit for u, limit in hold.items()), levels


def kill9__of_each_process_at_random__service_goes_on_and_nothing_is_left(pod):
    """Each program is killed while it works, at a random moment: a kill that met nobody counts for none."""
    m = pod.up()
    times = 6 if pod.full else 2
    work = {
        "vouchsafed": (f"vouchsafe unseal {pod.sealed['env']}", 1.0),
        "vouchsafe-rest": ("ip netns exec podns busybox wget -qO- http://127.0.0.1:8006/cdh/resource/default/pod/plain", 1.0),
        "vouchsafe-mountd": (f"vouchsafe volume open --timeout 60 --key {pod.sealed['volume']} --mapper k {VOLUME} /run/vouchsafe-volumes/data", 2.5),
        "vouchsafe-teed": (f"python3 -B {GUEST}/teed_unit.py ask", 1.5),
        "vouchsafe-oci": (f"bash {GUEST}/container.sh", 1.5),
    }
    m.run("mkdir -p /run/vouchsafe-volumes/data")
    hits = dict.fromkeys(work, 0)
    for name, (command, most) in work.items():
        for _ in range(8 * times):
            if hits[name] == times:
                break
            comm = name[:15]
            r = m.run(f"({command} >/run/kill.out 2>&1 &); for i in $(seq 300); do pgrep -x {comm} >/dev/null && break; sleep 0.1; done; "
                      f"sleep {RANDOM.uniform(0, most):.2f}; for i in $(seq 40); do pkill -9 -x {comm} && echo hit && break; sleep 0.05; done; sleep 2; "
                      "vouchsafe-oci delete -f vm-crun >/dev/null 2>&1; vouchsafe volume close k >/dev/null 2>&1", timeout=200, **secrets_env(pod, "crun"))
            hits[name] += "hit" in r.out
            # Too late for a program that is soon done, on a machine faster than this number knows.
            most = most if "hit" in r.out else most / 2
    print(f"     killed (seed {SEED}): " + ", ".join(f"{n} {h}" for n, h in hits.items()), flush=True)
    assert all(h == times for h in hits.values()), hits
    # All of it works as before, without help.
    pod.wait_active("vouchsafed.service")
    wait_for("a secret", lambda: m.run(f"vouchsafe unseal {pod.sealed['env']} | sha256sum", timeout=120).out.startswith(sha(CANARY)), 120)
    assert pod.pcr(8) == pod.pcr8
    agent_calls(pod, "cloud", VOLUME, "encrypted")
    container(pod, "crun")
    r = m.run("ip netns exec podns busybox wget -qO- http://127.0.0.1:8006/cdh/resource/default/pod/plain", timeout=120)
    assert r.out == "plain", r
    # caa-data: closed by the forwarder's hand, of which its record knows nothing until the name is used again.
    left = m.run("dmsetup ls | grep -v '^root'; grep -E ' /run/(vouchsafe-volumes|cloud-volumes|vouchsafe-oci)/' /proc/mounts; "
                 "ls /run/vouchsafe/volumes | grep -vx -e lock -e caa-data.json").out
    assert not left.strip(), left
    # The needle comes in two halves, so that this command line is none.
    half = len(CANARY) // 2
    for needle in (CANARY, FILE_CANARY):
        r = m.run(f"n=\"{needle[:half]}\"\"{needle[half:]}\"; grep -rlsF \"$n\" /run /var /tmp /etc /dev/shm; journalctl -b | grep -cF \"$n\"", timeout=200)
        assert r.out.strip() == "0", r
    # And the search finds what is there.
    r = m.run(f"n=\"{CANARY[:half]}\"\"{CANARY[half:]}\"; echo \"$n\" >/run/needle; grep -rlsF \"$n\" /run; rm /run/needle")
    assert r.out.strip() == "/run/needle", r


def canaries(pod):
    """How often each lies in the guest's memory."""
    dump = pod.w.tmp / "memory"
    dump.unlink(missing_ok=True)
    pod.up().memory_image(dump)
    data = dump.read_bytes()
    dump.unlink()
    return {name: data.count(text.encode()) for name, text in (("env", CANARY), ("file", FILE_CANARY))}


def memory_image__while_a_container_holds_them__has_the_canaries(pod):
    """Else the search of the case below would show nothing. The container is deleted then."""
    m = pod.up()
    container(pod, "crun", hold=True)
    pod.held = canaries(pod)
    m.run("crun kill vm-crun-hold KILL; sleep 2; vouchsafe-oci --vouchsafe-config /run/vm-oci/crun.toml delete -f vm-crun-hold", timeout=60)
    pod.released = time.monotonic()
    assert pod.held["env"] and pod.held["file"], pod.held


def memory_image__after_release__has_no_canary(pod):
    m = pod.up()
    # The cache keeps what was unsealed for a minute, in locked memory. Cases that unseal neither ran meanwhile.
    m.run(f"sleep {max(0, pod.released + 66 - time.monotonic()):.0f}", timeout=120)
    m.run("vouchsafe status", timeout=60)
    left = canaries(pod)
    print(f"     copies in the guest's memory: {pod.held} while a container holds them, {left} after", flush=True)
    assert left == {"env": 0, "file": 0}, left


def memory_image__after_kills__has_no_canary(pod):
    pod.released = time.monotonic()
    memory_image__after_release__has_no_canary(pod)


def initdata__another_while_pcr8_is_set__no_socket_and_no_policy(pod):
    refused(pod, user_data("H4sIAAAAAAAAAwMAAAAAAAAAAAA="), "initdata.schema", "malformed")
    other = pod.w.run([pod.w.dev / "vouchsafe", "initdata", "build", "--policy", pod.w.tmp / "policy.rego", "--encode"], check=True).stdout
    refused(pod, user_data(other.strip()), "initdata.pcr8-in-use", "another")


def initdata__missing_while_pcr8_is_set__no_socket_and_no_policy(pod):
    refused(pod, None, "initdata.source", "missing")


def refused(pod, text, code, what):
    m = pod.up()
    m.run("mkdir -p /run/other && rm -f /run/other/* && umount -l /media/cidata; mount --bind /run/other /media/cidata; cp /etc/kata-opa/allow-all.rego /run/peerpod/policy.rego",
          check=True)
    if text:
        m.put("/run/other/user-data", text)
    m.run("systemctl restart vouchsafe-initdata.service", timeout=300)
    check_refused(pod, code, what)
    assert pod.pcr(8) == pod.pcr8, (what, pod.pcr(8))


def check_refused(pod, code, what):
    """Outcome (c): nothing of ours runs, no socket, no policy, and the code is where doctor finds it."""
    m = pod.up()
    r = m.run("systemctl is-active vouchsafe-initdata vouchsafed kata-agent; ls /run/peerpod/policy.rego /run/confidential-containers/cdh.sock "
              "/run/confidential-containers/attestation-agent/attestation-agent.sock; cat /run/vouchsafe/provision-error")
    lines = r.out.splitlines()
    assert lines[0] == "failed" and "active" not in lines[1:3] and "policy.rego\n" not in r.out and ".sock\n" not in r.out, (what, r)
    assert json.loads(lines[-1])["code"].startswith(code), (what, r)
    r = m.run("vouchsafe doctor --json --offline", timeout=150)
    said = [f for f in json.loads(r.out)["findings"] if f["check"] == "provisioning"]
    assert len(said) == 1 and said[0]["verdict"] == "fail" and said[0].get("code", "").startswith(code), (what, said)


CASES = (
    boot__secure_boot_verity_and_cidata__vouchsafed_is_ready,
    pcr4_and_pcr11__after_boot__are_the_predicted_ones,
    pcr11__by_systemd_measure__is_the_same,
    verity__root_hash_made_anew_from_the_root__is_what_pcr_11_pins,
    event_log__by_tpm2_eventlog__replays_to_the_registers,
    trustee__policy_pins_pcr_4_8_and_11__the_secret_comes,
    first_secret__after_boot__is_timed,
    times__of_this_boot__are_told,
    trustee__each_pin_another__is_denied_by_its_name,
    caa_units__the_chain_of_a_pod__is_in_order,
    kata_agent_s_calls__env_sealed_volume_and_trusted_storage__over_one_connection,
    pcr8__initdata_bound__once_and_not_again_after_restarts,
    container__crun__has_env_and_file,
    container__runc__has_env_and_file,
)
# With the packages of the full image.
ENGINES = (engine__podman__has_env_and_file, engine__containerd__has_env_and_file)
CASES_END = (
    memory_image__while_a_container_holds_them__has_the_canaries,
    doctor__inside__is_healthy_and_finds_each_hardening,
    doctor__hardenings_taken_away__names_each,
    console__of_the_image__has_no_shell_and_no_reason,
    teed_s_unit__a_character_device__may_open_it_and_gives_its_report,
    volume__keyed_by_trustee__is_made_and_written,
    cloud_volume__as_the_forwarder_calls__opens_again_and_keeps_its_data,
    sandboxes__as_run__no_capability_and_seccomp,
    memory_image__after_release__has_no_canary,
    kill9__of_each_process_at_random__service_goes_on_and_nothing_is_left,
)
KILLED = (memory_image__after_kills__has_no_canary,)
LAST = (initdata__another_while_pcr8_is_set__no_socket_and_no_policy, initdata__missing_while_pcr8_is_set__no_socket_and_no_policy)
