# SPDX-License-Identifier: Apache-2.0
"""Cases that boot a machine of their own, in order; each takes the Pod."""
import hashlib
import json
import re
import shutil
import socket
import struct
import subprocess
import time

import uki
from cases_pod import HARDENED, agent_calls, check_refused
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from machine import Machine
from pod import HERE, VM, VOLUME
from world import Skip, free_port_pair, wait_for

STUB = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"
# vm-test-pcr8.service of the tests' image extends PCR 8 when the machine says this.
SOMEBODY = ("-smbios", "type=1,serial=extend-pcr8")
DUMMY_PCR8 = "4b58b30becd30d16f7f60d56b32661d921ae0d3310c6a89f5d552f9bfee921a9"


def boot__second_with_kata_block_device__bound_and_the_volume_kept_its_data(pod):
    m = pod.boot("second", [(pod.w.tmp / "initdata.img", "initdata", True), (pod.volume, "volume", False)])
    pod.wait_active("vouchsafed.service")
    assert pod.pcr(8) == pod.pcr8
    report = json.loads(m.run("cat /run/vouchsafe/provision.json", check=True).out)
    assert report["source"] == "block", report
    assert "file of before: kept" in agent_calls(pod, "cloud", VOLUME, "encrypted")
    r = m.run("mkdir -p /run/vouchsafe-volumes/data; "
              f"vouchsafe volume open --timeout 120 --key {pod.sealed['volume']} --mapper data {VOLUME} /run/vouchsafe-volumes/data && "
              "cat /run/vouchsafe-volumes/data/file", timeout=300)
    assert r.rc == 0 and r.out.splitlines()[-1] == "kept", (r, pod.log("vouchsafe-mountd", "vouchsafed"))


def in_use(pod):
    """Does the volume's file system say that it was not unmounted? Read on the host, with the owner's key."""
    key, volume_key = pod.w.tmp / "key", pod.w.tmp / "volume-key"
    key.write_bytes((pod.w.resources / "default/pod/volume").read_bytes())
    volume_key.unlink(missing_ok=True)
    pod.w.run(["/usr/sbin/cryptsetup", "-q", "luksDump", "--dump-volume-key", "--volume-key-file", volume_key, "--key-file", key, pod.volume],
              check=True)
    head = json.loads(pod.w.run(["/usr/sbin/cryptsetup", "luksDump", "--dump-json-metadata", pod.volume], check=True).stdout)
    with open(pod.volume, "rb") as f:
        f.seek(int(head["segments"]["0"]["offset"]))
        sector = f.read(4096)
    # aes-xts-plain64: the sector's number, here 0, is the tweak.
    clear = Cipher(algorithms.AES(volume_key.read_bytes()), modes.XTS(bytes(16))).decryptor().update(sector)
    magic, = struct.unpack_from("<H", clear, 1024 + 56)
    assert magic == 0xEF53, hex(magic)
    needs_recovery = 4
    return bool(struct.unpack_from("<I", clear, 1024 + 96)[0] & needs_recovery)


def shutdown__with_an_open_volume__closes_it(pod):
    m = pod.up()
    m.run("sync")
    assert in_use(pod), "it is open"
    assert m.power_off(), m.console()[-2000:]
    assert not m.damage(), m.console()[-2000:]
    assert not in_use(pod), "it was left as if the power had failed"


def boot__pcr8_set_by_somebody_else_and_no_initdata__no_socket_and_no_policy(pod):
    m = pod.boot("extended", [], more=SOMEBODY)
    assert pod.wait_state("vouchsafe-initdata.service") == "failed"
    set_before = hashlib.sha256(bytes(32) + b"\x11" * 32).hexdigest()
    assert pod.pcr(8) == set_before, pod.pcr(8)
    check_refused(pod, "initdata.missing", "no initdata")
    # The host reads the code, and nothing more.
    text = m.console()
    assert "initdata.missing" in text and "the register is set" not in text, text[-1500:]


def initdata__the_right_one_while_pcr8_is_set_by_somebody_else__no_socket_and_no_policy(pod):
    m = pod.up()
    set_before = pod.pcr(8)
    m.run("mkdir /run/late && mount --bind /run/late /media/cidata", check=True)
    m.put("/run/late/user-data", (pod.w.tmp / "cidata/user-data").read_text())
    m.run("cp /etc/kata-opa/allow-all.rego /run/peerpod/policy.rego; systemctl restart vouchsafe-initdata.service", timeout=300)
    check_refused(pod, "initdata.pcr8-in-use", "another value")
    assert pod.pcr(8) == set_before, pod.pcr(8)


def boot__pcr8_set_by_somebody_else_and_initdata__no_socket_and_no_policy(pod):
    pod.boot("extended2", [(pod.cidata(pod.initdata), "cidata", True)], more=SOMEBODY)
    assert pod.wait_state("vouchsafe-initdata.service") == "failed"
    check_refused(pod, "initdata.pcr8-in-use", "another value")


def boot__no_initdata_and_empty_pcr8__the_dummy_is_bound_and_no_trustee_known(pod):
    m = pod.boot("bare", [])
    pod.wait_active("vouchsafed.service")
    assert pod.pcr(8) == DUMMY_PCR8, pod.pcr(8)
    r = m.run("vouchsafe get-resource kbs:///default/pod/plain", timeout=120)
    assert r.rc != 0 and "config.no-trustee" in r.err, r


def command_line__changed_and_signed__the_policy_denies_by_name(pod):
    w = pod.w
    folder = w.tmp / "changed"
    folder.mkdir()
    line = (pod.image / "cmdline").read_text()
    for word in (" systemd.import_credentials=no", " init_on_free=1"):
        assert word in line, line
        line = line.replace(word, "")
    (folder / "cmdline").write_text(line + " systemd.debug_shell=1")
    uki.build(STUB, folder / "unsigned",
              {n: str(folder / n if n == "cmdline" else pod.image / n) for n in ("osrel", "uname", "cmdline", "initrd")} |
              {"linux": str(VM / "kernel/cloud/vmlinuz")})
    w.run(["sbsign", "--key", VM / "keys/db.key", "--cert", VM / "keys/db.pem", "--output", folder / "uki.efi", folder / "unsigned"], check=True)
    w.run([HERE / "disk.sh", folder / "uki.efi", pod.image / "root.erofs", pod.image / "root.verity", folder / "disk.img"], check=True)
    pod.pin()
    m = pod.boot("changed", [(pod.cidata(pod.initdata), "cidata", True)], disk=folder / "disk.img")
    pod.wait_active("vouchsafed.service")
    r = m.run("vouchsafe get-resource kbs:///default/pod/plain", timeout=120)
    assert r.rc == 77 and "kbs.policy-denied" in r.err and "plain\n" not in r.out, r
    assert pod.pcr(11) == uki.predict(folder / "uki.efi")["11"] != pod.pcrs["11"]
    assert "PCR 4, 11 is another" in pod.why(), pod.why()


def doctor__in_a_guest_without_them__names_the_words_that_lack(pod):
    m = pod.up()
    found = json.loads(m.run("vouchsafe doctor --json --offline", timeout=150).out)["findings"]
    lack = {f["check"]: f for f in found if f["check"] in HARDENED and f["verdict"] != "ok"}
    assert set(lack) == {"credentials", "init-on-free"} and all(f["remedy"] for f in lack.values()), lack


def verity_disk__one_byte_flipped__the_boot_stops(pod):
    disk = pod.w.tmp / "flipped.img"
    shutil.copy(pod.image / "disk.img", disk)
    at = root_offset(disk)
    with open(disk, "r+b") as f:
        # A byte that the file system itself never looks at: only verity can tell.
        f.seek(at + 3)
        byte = f.read(1)
        f.seek(at + 3)
        f.write(bytes([byte[0] ^ 1]))
    m = pod.boot("flipped", [], disk=disk, ready=False)
    assert m.wait_end(400), "it went on: " + m.console()[-1500:]
    assert "dm-verity device corrupted" in m.console(), m.console()[-2500:]
    disk.unlink()


def uki__unsigned__does_not_boot(pod):
    m = pod.boot("unsigned", [], disk=unsigned(pod), ready=False)
    wait_for("the firmware's refusal", lambda: "Access Denied" in m.console() or m.proc.poll() is not None, 300)
    assert "Access Denied" in m.console() and "Linux" not in m.console(), m.console()[-1500:]


def uki__unsigned_without_secure_boot__boots_and_doctor_names_it(pod):
    """What the case before refuses boots where nothing is asked: it was the signature."""
    m = pod.boot("insecure", [(pod.cidata(pod.initdata), "cidata", True)], disk=unsigned(pod),
                 variables="/usr/share/OVMF/OVMF_VARS_4M.fd")
    pod.wait_active("vouchsafed.service")
    assert pod.pcr(11) == pod.pcrs["11"]
    found = json.loads(m.run("vouchsafe doctor --json --offline", timeout=150).out)["findings"]
    lack = {f["check"]: f for f in found if f["check"] in HARDENED and f["verdict"] != "ok"}
    assert set(lack) == {"secure-boot"} and lack["secure-boot"]["text"] == "off", lack


def unsigned(pod):
    disk = pod.w.tmp / "unsigned.img"
    if not disk.exists():
        pod.w.run([HERE / "disk.sh", pod.image / "uki.unsigned", pod.image / "root.erofs", pod.image / "root.verity", disk], check=True)
    return disk


def root_offset(disk):
    r = subprocess.run(["sfdisk", "-d", disk], capture_output=True, text=True, check=True)
    line = next(x for x in r.stdout.splitlines() if 'name="root"' in x)
    return int(re.search(r"start=\s*(\d+)", line)[1]) * 512


# --- the production image, from outside ---------------------------------------------------------------
CREDENTIAL = """[[credentials]]
path = "/run/confidential-containers/cdh/kbs/plain"
resource_uri = "kbs:///default/pod/plain"
"""


def production_image__from_outside__attests_gets_its_secret_and_has_no_prompt(pod):
    """It has no door: Trustee's log, its console, its ports are what there is to see."""
    pod.off()
    if why := pod.production():
        raise Skip(f"the production image cannot be built here: {why}")
    w, image = pod.w, VM / "image/pod"
    pcrs = json.loads((image / "pcrs.json").read_text())
    text, encoded = pod.make_initdata("production", cdh=CREDENTIAL)
    iso = pod.cidata(encoded)
    before = len(w.trustee("/test/log"))
    ports = [(free_port_pair(), n) for n in (22, 8006, 15150)]
    # As long as its initdata are not known it gets nothing, though its image is.
    pod.policy({n: pcrs[n] for n in ("4", "11")}, pcr8="0" * 64)
    m = pod.m = Machine(w.tmp / "production", image / "disk.img", pod.tpm, VM / "keys/vars.fd", [(iso, "cidata", True)],
                        forward=ports)
    pod.well = True

    def asked(status):
        if m.proc.poll() is not None:
            raise m.died("the guest ended")
        return [x for x in w.trustee("/test/log")[before:] if x["endpoint"] == "resource" and x["status"] == status]

    wait_for("the policy's refusal", lambda: [x for x in asked(401) if x["why"].startswith("default")], 400)
    assert not asked(200), "the secret went out against the policy"
    pod.policy({n: pcrs[n] for n in ("4", "11")}, pcr8=pod.pcr8_of(text))
    given = wait_for("the first secret", lambda: asked(200), 240)[0]
    print(f"     from QEMU's start to the secret: {time.monotonic() - m.begin:.0f} s", flush=True)
    assert given["path"].endswith("/resource/default/pod/plain"), given
    assert pcrs["4"] != pod.pcrs["4"] and pcrs["11"] != pod.pcrs["11"], "the tests' image was booted"
    # Nobody answers at the keyboard.
    quiet = m.console()
    for keys in ("\r\n", "root\r\n", "\x03\x04", "id\r\n", "\x1b[A"):
        m.type(keys)
        time.sleep(1)
    time.sleep(3)
    said = m.console()[len(quiet):]
    assert not re.search(r"login|[Pp]assword|uid=|sh:|# ?$|\$ ?$", said), said
    whole = m.console()
    assert not re.search(r"login:|[Pp]assword|10\.0\.2\.2|kbs:///|plain", whole), whole[-2000:]
    assert not door_answers(m), "it has a door"
    for here, there in ports:
        with socket.create_connection(("127.0.0.1", here), 20) as s:
            s.settimeout(20)
            try:
                got = s.recv(64)
            except ConnectionResetError:
                got = b""
            assert got == b"", f"port {there} answers {got!r}"
    pod.off()
    pod.pin()


def door_answers(m):
    m.port.settimeout(3)
    try:
        m.port.sendall(b'{"run": "id", "timeout": 5}\n')
        return m.port.recv(100)
    except (TimeoutError, BlockingIOError):
        return b""


CASES = (
    boot__second_with_kata_block_device__bound_and_the_volume_kept_its_data,
    shutdown__with_an_open_volume__closes_it,
    boot__pcr8_set_by_somebody_else_and_no_initdata__no_socket_and_no_policy,
)
FULL = (
    initdata__the_right_one_while_pcr8_is_set_by_somebody_else__no_socket_and_no_policy,
    boot__pcr8_set_by_somebody_else_and_initdata__no_socket_and_no_policy,
    boot__no_initdata_and_empty_pcr8__the_dummy_is_bound_and_no_trustee_known,
)
CASES_END = (
    command_line__changed_and_signed__the_policy_denies_by_name,
    doctor__in_a_guest_without_them__names_the_words_that_lack,
    verity_disk__one_byte_flipped__the_boot_stops,
    uki__unsigned__does_not_boot,
)
FULL_END = (uki__unsigned_without_secure_boot__boots_and_doctor_names_it,)
PRODUCTION = (production_image__from_outside__attests_gets_its_secret_and_has_no_prompt,)
