# SPDX-License-Identifier: Apache-2.0
"""In the pod image only: the calls that kata-agent and the forwarder make on cdh.sock, by a client of
the tests' own (test/tools/ttrpc.py). Plaintext is compared by digest and printed nowhere.

  agent_calls.py kata DEVICE             sealed variable, sealed volume, trusted image storage twice
  agent_calls.py cloud DEVICE empty|encrypted    a cloud volume, unmounted and closed as the forwarder does

ENV_SEALED, FILE_SEALED, ENV_SHA, FILE_SHA in the environment.
"""
import hashlib
import os
import pathlib
import subprocess
import sys

sys.dont_write_bytecode = True
TOP = pathlib.Path("/opt/test/test")
sys.path[:0] = [str(TOP / "tools"), str(TOP / "integration/mountd")]
import packets  # noqa: E402
import ttrpc  # noqa: E402

CDH = "/run/confidential-containers/cdh.sock"
IMAGE = "/run/kata-containers/image/"
SHARED = pathlib.Path("/run/kata-containers/shared/containers/vm-test/secret")
CLOUD = pathlib.Path("/run/cloud-volumes/data")


def sha(data):
    return hashlib.sha256(data).hexdigest()


def secure_mount(client, options, at):
    client.call("api.SecureMountService", "SecureMount", packets.message(options, at), 120)


def mounted(at):
    rows = [x.split() for x in open("/proc/mounts")]
    return [r for r in rows if r[1] == str(at).rstrip("/")]


def sealed_volume(client):
    """A Kubernetes secret volume: key → ..data/key → ..2026/key, as kata-agent rewrites it."""
    real = SHARED / "..2026"
    real.mkdir(parents=True, exist_ok=True)
    (real / "password").write_text(os.environ["FILE_SEALED"])
    for link, to in ((SHARED / "..data", "..2026"), (SHARED / "password", "..data/password")):
        link.unlink(missing_ok=True)
        link.symlink_to(to)
    path = (SHARED / "password").resolve()
    text = path.read_text()
    assert text.startswith("sealed."), text[:20]
    plain = client.unseal(text)
    path.with_name("password.unsealed").write_bytes(plain)
    (SHARED / "password").unlink()
    (SHARED / "password").symlink_to("..2026/password.unsealed")
    assert sha((SHARED / "password").read_bytes()) == os.environ["FILE_SHA"]
    path.with_name("password.unsealed").unlink()


def kata(device):
    with ttrpc.Client(CDH) as c:
        assert sha(c.unseal(os.environ["ENV_SEALED"])) == os.environ["ENV_SHA"]
        sealed_volume(c)
        major, minor = packets.number_of(device)
        options = {"deviceId": f"{major}:{minor}", "sourceType": "empty", "targetType": "fileSystem", "filesystemType": "ext4",
                   "mkfsOpts": "-E lazy_journal_init", "encryptionType": "luks2", "dataIntegrity": "false"}
        os.makedirs(IMAGE, exist_ok=True)
        secure_mount(c, options, IMAGE)
        pathlib.Path(IMAGE, "layer").write_text("a layer of an image")
        # The next container lists the device too.
        secure_mount(c, options, IMAGE)
        assert pathlib.Path(IMAGE, "layer").read_text() == "a layer of an image", "made anew"
        row, = mounted(IMAGE)
        assert row[0].startswith("/dev/mapper/") and row[2] == "ext4" and "noatime" in row[3], row
        try:
            c.unseal(os.environ["ENV_SEALED"][:-4] + "AAAA")
            raise AssertionError("a changed secret was unsealed")
        except ttrpc.Status as e:
            assert e.code == 13, e
    os.sync()
    subprocess.run(["vouchsafe", "volume", "close", "--all"], check=True)
    assert not mounted(IMAGE)


def cloud(device, expected):
    CLOUD.mkdir(parents=True, exist_ok=True)
    with open(device, "rb") as f:
        kind = "encrypted" if f.read(4) == b"LUKS" else "empty"
    assert kind == expected, f"the device is {kind}, want {expected}"
    options = {"devicePath": device, "sourceType": kind, "targetType": "fileSystem", "encryptionType": "luks2",
               "filesystemType": "ext4", "key": "kbs:///default/pod/volume", "mapperName": "caa-data"}
    with ttrpc.Client(CDH) as c:
        secure_mount(c, options, CLOUD)
        row, = mounted(CLOUD)
        assert row[0] == "/dev/mapper/caa-data", row
        file = CLOUD / "file"
        print("file of before:", file.read_text().strip() if file.exists() else None)
        file.write_text("kept\n")
    subprocess.run(["umount", CLOUD], check=True)
    subprocess.run(["cryptsetup", "close", "caa-data"], check=True)
    assert not os.path.exists("/dev/mapper/caa-data") and not mounted(CLOUD)


{"kata": kata, "cloud": cloud}[sys.argv[1]](*sys.argv[2:])
print("agent-calls-done")
