# SPDX-License-Identifier: Apache-2.0
"""Where initdata and user-data come from: each cloud's metadata service, drives, disks; and what
happens when they, or the system under provisioning, fail."""

import base64
import gzip
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import stat
import struct
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from cloud import APF, AUTH, BASE64, DUMMY, Guest, OWNER, PROBE, cloud_config, encode, user_data  # noqa: E402
from world import Cases, Skip, TOP, World  # noqa: E402

BUILD = pathlib.Path(sys.argv[1]).resolve()
SHARED = pathlib.Path(os.environ.get("TEST_SHARED", TOP / "../shared")) / "vectors/local"
FAULT = BUILD / "tools/faultinject.so"
CLOUDS = ("azure", "aws", "gcp", "alibaba")

# All that a full user-data leaves, and with what content and mode.
DELIVERED = {
    "peerpod/aa.toml": (0o644, '[token_configs.kbs]\nurl = "https://kbs.example"\n'),
    "peerpod/policy.rego": (0o644, "package owner\n"),
    "peerpod/initdata.digest": (0o644, hashlib.sha256(OWNER.encode()).hexdigest()),
    "peerpod/apf.json": (0o600, APF),
    "peerpod/auth.json": (0o600, AUTH),
    "peerpod/scratch-space.marker": (0o644, ""),
    "confidential-containers/initdata/aa.toml": (0o644, '[token_configs.kbs]\nurl = "https://kbs.example"\n'),
    "confidential-containers/initdata/initdata.toml": (0o644, OWNER),
}
EXTRAS = {"peerpod/apf.json", "peerpod/auth.json", "peerpod/initdata", "peerpod/scratch-space.marker"}


def pcr_of(text):
    text = text if isinstance(text, bytes) else text.encode()
    return hashlib.sha256(bytes(32) + hashlib.sha256(text).digest()).hexdigest()


def pcr8(w):
    r = w.run([*w.inside, w.dev / "vouchsafe", "--root", w.root, "tpm", "show", "--json"])
    return json.loads(r.stdout)["pcrs"][8]


def check_delivered(w, report=True):
    want = set(DELIVERED) | {"peerpod/initdata", "vouchsafe/provision.json"}
    # Nothing half written beside them either.
    assert want == set(w.files()) | (set() if report else {"vouchsafe/provision.json"}), w.files()
    for path, (mode, content) in DELIVERED.items():
        f = w.root / "run" / path
        assert stat.S_IMODE(f.stat().st_mode) == mode, path
        assert f.read_text() == content, path
    code = w.read("/run/peerpod/initdata")
    assert code.endswith("\n") and gzip.decompress(base64.b64decode(code)) == OWNER.encode()


def check_refused(w, r, code, left=()):
    """Outcome (c): whatever came before, nothing of the initdata is there."""
    assert r.returncode != 0 and r.stdout == "" and r.stderr == f"vouchsafe: {code}\n", r
    assert set(w.files()) == {"vouchsafe/provision-error", "vouchsafe/provision.json", *left}, w.files()
    why = json.loads(w.read("/run/vouchsafe/provision-error"))
    report = w.report()
    assert why["code"] == code and report["code"] == code and report["outcome"] == "refused", (why, report)
    # The reason may be read by root alone, the report by all.
    assert stat.S_IMODE((w.root / "run/vouchsafe/provision-error").stat().st_mode) == 0o600
    assert stat.S_IMODE((w.root / "run/vouchsafe/provision.json").stat().st_mode) == 0o644
    assert why["message"] not in json.dumps(report)
    return why["message"]


# --- each source ------------------------------------------------------------------------------
def cases__of_the_shared_vectors__leave_the_files_they_say():
    if not SHARED.is_dir():
        raise Skip("the shared vectors are not on this machine")
    for case in json.loads((SHARED / "peerpod/cases.json").read_text()):
        with Guest(BUILD) as w:
            source = SHARED / case["input"]
            w.cidata(source.read_bytes())
            before = set(w.files())
            r = w.provision_from()
            assert (r.returncode != 0) == (case["exit"] != 0), (case, r)
            given = {}
            for path, content in re.findall(r"  - path: (\S+)\n((?:    content: \|\n(?:      .*\n)*)?)",
                                            source.read_text()):
                given[path] = re.sub(r"^      ", "", content.removeprefix("    content: |\n"), flags=re.M)
            for path, content in case.get("files", {}).items():
                got = w.read(path)
                if content == "as given":
                    assert got == given[path], path
                elif content == "base64 + newline":
                    assert got == given[path] and base64.b64decode(got) and got.endswith("\n"), path
                elif content == "from initdata":
                    import tomllib
                    text = gzip.decompress(base64.b64decode(given["/run/peerpod/initdata"])).decode()
                    assert got == tomllib.loads(text)["data"][path.rsplit("/", 1)[1]], path
                else:
                    assert got == content, (path, got)
            for path in case.get("not_written", ()):
                assert path.removeprefix("/run/") not in set(w.files()) - before, path
                assert not (w.root / path.lstrip("/")).exists(), path
            if case["exit"]:
                check_refused(w, r, "userdata.syntax")
                assert w.report()["source"] == "cidata"
            else:
                assert pcr8(w) != "0" * 64 and "userdata" not in r.stderr


def cloud__each_by_its_heuristics__delivers():
    want = {
        "azure": [("GET", "/metadata/instance/compute/userData?api-version=2021-01-01&format=text")],
        "aws": [("PUT", "/latest/api/token"), ("GET", "/latest/user-data")],
        "gcp": [("GET", "/computeMetadata/v1/instance"), ("GET", "/computeMetadata/v1/instance/"),
                ("GET", "/computeMetadata/v1/instance/attributes/user-data")],
        "alibaba": [("GET", "/latest/user-data")],
    }
    for cloud in CLOUDS:
        with Guest(BUILD, network=True) as w:
            w.serve(cloud, user_data())
            if cloud == "alibaba":
                # Row 4 comes first, and nobody is there.
                (w.tmp / "hosts").write_text("127.0.0.1 localhost\n127.0.0.1 metadata.google.internal\n")
            r = w.provision_from(cloud=cloud)
            assert r.returncode == 0 and r.stderr == "" and f", source {cloud}\n" in r.stdout, (cloud, r)
            assert r.stdout.startswith("initdata bound, platform tpm: sha256 "), r
            check_delivered(w)
            assert pcr8(w) == pcr_of(OWNER)
            report = w.report()
            assert report["source"] == cloud and report["outcome"] == "bound" and not report["dummy"]
            assert {f.removeprefix("/run/") for f in report["files"]} == set(DELIVERED) | {"peerpod/initdata"}
            assert [(q["method"], q["path"]) for q in w.requests()] == want[cloud], w.requests()
            for q in w.requests():
                assert "via" not in q["headers"] and "cookie" not in q["headers"], q
                assert "content-type" not in q["headers"], q
            # Again: found bound.
            r = w.provision_from(cloud=cloud)
            assert r.stdout.startswith("initdata already bound"), r
            assert w.report()["outcome"] == "already-bound" and pcr8(w) == pcr_of(OWNER)
            check_delivered(w)
            # The host gives another: refused, and the first is undone. What it brought stays its own.
            w.serve(cloud, user_data(OWNER + "# other\n"))
            r = w.provision_from(cloud=cloud)
            check_refused(w, r, "initdata.pcr8-in-use", EXTRAS)
            w.serve(cloud, user_data(None))
            (w.root / "run/peerpod/initdata").unlink()
            check_refused(w, w.provision_from(cloud=cloud), "initdata.missing", EXTRAS - {"peerpod/initdata"})
            assert pcr8(w) == pcr_of(OWNER)


def source__by_name__overrules_the_heuristics():
    with Guest(BUILD, network=True, sample=True) as w:
        for cloud in CLOUDS:
            w.clean()
            w.serve(cloud, user_data())
            w.cidata("nonsense")
            r = w.provision_from("--source", cloud)
            assert r.returncode == 0 and w.report()["source"] == cloud, r
        for argv in (["--source", "Azure"], ["--source", ""], ["--timeout", "0"], ["--timeout", "3601"],
                     ["--timeout", "1s"], ["--timeout", "-1"], ["--from", "x", "--source", "aws"],
                     ["--pause", "x"], ["x"]):
            assert w.provision_from(*argv).returncode == 64, argv
        r = w.vouchsafe("initdata", "provision", "--probe", "manufacturer=x")
        assert r.returncode == 64, r


def aws__with_and_without_imdsv2__delivers():
    for imds in ("v1", "v2", "required"):
        with Guest(BUILD, network=True, sample=True) as w:
            w.serve("aws", user_data(), "--imds", imds)
            r = w.provision_from(cloud="aws")
            assert r.returncode == 0 and w.report()["source"] == "aws", (imds, r)
            check_delivered(w)
            put, get = w.requests()
            assert put["method"] == "PUT" and put["headers"]["x-aws-ec2-metadata-token-ttl-seconds"] == "60"
            assert put["headers"]["content-length"] == "0"
            assert ("x-aws-ec2-metadata-token" in get["headers"]) == (imds != "v1"), get


def base64__folded_or_bad__is_unfolded_or_refused():
    text = user_data().encode()
    one = base64.b64encode(text)
    good = (one + b"\n", base64.encodebytes(text), base64.encodebytes(text).replace(b"\n", b"\r\n"))
    bad = (one + b" ", one.rstrip(b"=") + b"!===", base64.urlsafe_b64encode(b"#cloud-config\n\xff\xfe\xfb"),
           text)
    with Guest(BUILD, network=True, sample=True) as w:
        for cloud in BASE64:
            for code in good:
                w.clean()
                w.serve(cloud, code, "--raw")
                r = w.provision_from(cloud=cloud)
                assert r.returncode == 0, r
                check_delivered(w)
            for code in bad:
                w.clean()
                w.serve(cloud, code, "--raw")
                check_refused(w, w.provision_from(cloud=cloud), "userdata.encoding")


def cidata__a_drive_that_is_not_mounted__is_not_taken_for_none():
    with Guest(BUILD) as w:
        label = w.root / "dev/disk/by-label"
        label.mkdir(parents=True)
        (label / "cidata").symlink_to("../../sr0")
        message = check_refused(w, w.provision_from(), "initdata.source")
        assert "after 10 tries" in message and "user-data: not there" in message, message
        assert w.report()["source"] == "cidata" and pcr8(w) == "0" * 64
        # Once it is mounted, all is well.
        w.cidata(user_data())
        w.clean()
        r = w.provision_from()
        assert r.returncode == 0, r
        check_delivered(w)


def none__what_cloud_init_left_or_the_dummy__is_bound():
    with Guest(BUILD) as w:
        for again in range(2):
            r = w.provision_from()
            assert r.stdout.startswith("initdata (none: the dummy) " + ("already " if again else "") + "bound"), r
            assert w.report()["source"] == "none" and w.report()["dummy"] is True
            assert w.read("/run/peerpod/policy.rego") == "package allow_all\n"
            assert gzip.decompress(base64.b64decode(w.read("/run/peerpod/initdata"))) == DUMMY
        assert pcr8(w) == pcr_of(DUMMY)
    with Guest(BUILD) as w:
        (w.root / "run/peerpod/initdata").write_text(encode(OWNER) + "\n")
        (w.root / "run/peerpod/apf.json").write_text(APF)
        r = w.provision_from()
        assert r.returncode == 0 and pcr8(w) == pcr_of(OWNER), r
        assert w.read("/run/peerpod/policy.rego") == "package owner\n"
        assert "/run/peerpod/apf.json" not in w.report()["files"]


def block__disk_of_native_kata__is_delivered():
    with Guest(BUILD) as w:
        dev = w.root / "dev"
        dev.mkdir()
        (w.tmp / "aa").write_text('[token_configs.kbs]\nurl = "https://kbs.example"\n')
        text = w.vouchsafe("initdata", "build", "--aa", w.tmp / "aa", "--image", dev / "vdb", check=True).stdout
        (dev / "vda").write_bytes(bytes(4096))
        r = w.provision_from(cloud="azure")
        assert r.returncode == 0 and ", source block\n" in r.stdout and pcr8(w) == pcr_of(text), r
        assert w.files() == sorted(["confidential-containers/initdata/aa.toml",
                                    "confidential-containers/initdata/initdata.toml", "peerpod/aa.toml",
                                    "peerpod/initdata.digest", "peerpod/policy.rego",
                                    "vouchsafe/provision.json"]), w.files()
        image = bytearray((dev / "vdb").read_bytes())
        for at, value, code in ((8, struct.pack("<Q", 0), "initdata.block"),
                                (8, struct.pack("<Q", 1 << 60), "initdata.too-large"),
                                (8, struct.pack("<Q", len(image)), "initdata.block"),
                                (16, b"\0\0", "initdata.encoding")):
            bad = bytearray(image)
            bad[at:at + len(value)] = value
            (dev / "vdb").write_bytes(bad)
            check_refused(w, w.provision_from(), code)


def block__a_real_device__is_read():
    if os.geteuid() != 0 or not shutil.which("losetup"):
        raise Skip("needs root and losetup")
    with Guest(BUILD) as w:
        image = w.tmp / "initdata.img"
        gz = gzip.compress(OWNER.encode())
        raw = b"initdata" + struct.pack("<Q", len(gz)) + gz
        image.write_bytes(raw + bytes(-len(raw) % 512))
        r = w.run(["losetup", "--find", "--show", "--read-only", image])
        if r.returncode != 0:
            raise Skip("no loop device: " + r.stderr.strip())
        loop = r.stdout.strip()
        try:
            (w.root / "dev").mkdir()
            os.mknod(w.root / "dev/vdq", stat.S_IFBLK | 0o600, os.stat(loop).st_rdev)
            r = w.provision_from()
            assert r.returncode == 0 and w.report()["source"] == "block" and pcr8(w) == pcr_of(OWNER), r
        finally:
            w.run(["losetup", "-d", loop])


def user_data__wants_what_only_initdata_may__is_named_and_ignored():
    with Guest(BUILD) as w:
        w.cidata(user_data(files={"/run/peerpod/aa.toml": "evil = 1", "/run/peerpod/cdh.toml": "evil = 2",
                                  "/run/peerpod/policy.rego": "evil", "/root/.ssh/authorized_keys": "evil",
                                  "/run/peerpod/../../etc/x": "evil"}))
        r = w.provision_from()
        assert r.returncode == 0, r
        check_delivered(w)
        assert r.stderr.splitlines() == [
            "warn: user-data: file skipped path=\"/run/peerpod/aa.toml\" why=only-the-initdata-may-set-it",
            "warn: user-data: file skipped path=\"/run/peerpod/cdh.toml\" why=only-the-initdata-may-set-it",
            "warn: user-data: file skipped path=\"/run/peerpod/policy.rego\" why=not-in-the-list",
            "warn: user-data: file skipped path=\"/root/.ssh/authorized_keys\" why=not-in-the-list",
            "warn: user-data: file skipped path=\"/run/peerpod/../../etc/x\" why=not-in-the-list"], r.stderr
        assert w.report()["skipped"][0] == "/run/peerpod/aa.toml" and len(w.report()["skipped"]) == 5


def user_data__bad_initdata_inside__is_refused_at_once():
    for initdata, code in (("x = \n", "initdata.syntax"), (OWNER.replace("0.1.0", "0.2.0"), "initdata.version")):
        with Guest(BUILD, network=True) as w:
            w.serve("alibaba", user_data(initdata))
            check_refused(w, w.provision_from(cloud="alibaba", pause=60000), code)
            assert pcr8(w) == "0" * 64 and len(w.requests()) == 1, w.requests()


# --- services on a bad day ----------------------------------------------------------------------
def service__first_two_tries_fail__the_third_delivers():
    with Guest(BUILD, network=True, sample=True) as w:
        for how in ("404", "500", "201", "reset", "garbage", "empty", "not-http", "redirect"):
            w.clean()
            w.serve("alibaba", user_data(), "--fail", "2", "--how", how)
            r = w.provision_from("--source", "alibaba", pause=50)
            assert r.returncode == 0, (how, r)
            check_delivered(w)
            # A GET on a broken connection may be sent once more by libcurl itself.
            times = [q["time"] for q in w.requests()]
            assert len(times) >= 3 and times[-1] - times[0] >= 0.1, (how, times)


def service__never_well__is_refused_after_ten_tries_or_the_timeout():
    with Guest(BUILD, network=True, sample=True) as w:
        for how, code, words in (("404", "userdata.unavailable", "status 404"),
                                 ("204", "userdata.unavailable", "status 204"),
                                 ("reset", "userdata.unavailable", "100.100.100.200"),
                                 ("redirect", "userdata.unavailable", "status 302"),
                                 ("garbage", "userdata.syntax", "line 1"),
                                 ("empty", "userdata.syntax", "line 1"),
                                 ("huge", "userdata.too-large", "2097152"),
                                 ("announced", "userdata.too-large", "2097152")):
            w.clean()
            w.serve("alibaba", user_data(), "--fail", "-1", "--how", how)
            message = check_refused(w, w.provision_from("--source", "alibaba", pause=0), code)
            assert message.startswith("after 10 tries: ") and words in message, (how, message)
        # The pause of 5 s does not outlast the timeout, nor does a peer that says nothing.
        for how in ("404", "drip", "silent"):
            w.clean()
            w.serve("alibaba", user_data(), "--fail", "-1", "--how", how)
            start = time.monotonic()
            r = w.provision_from("--source", "alibaba", "--timeout", "2", pause=5000)
            took = time.monotonic() - start
            check_refused(w, r, "userdata.unavailable")
            assert 1.8 < took < 3.5, (how, took)


def service__no_network__is_bounded():
    with Guest(BUILD, network=True, sample=True) as w:
        r = w.provision_from(cloud="azure", pause=0)
        assert "after 10 tries" in check_refused(w, r, "userdata.unavailable")
        w.run([*w.inside, "ip", "addr", "del", "169.254.169.254/32", "dev", "lo"], check=True)
        w.clean()
        check_refused(w, w.provision_from(cloud="azure", pause=0), "userdata.unavailable")


def gcp__name_server_is_silent__costs_no_more_than_the_timeout():
    with Guest(BUILD, network=True, sample=True) as w:
        (w.tmp / "hosts").write_text("127.0.0.1 localhost\n")
        # Takes queries, answers none.
        w.start("dns", [*w.inside, "/usr/bin/python3", "-c",
                        "import socket,time; s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);"
                        "s.bind(('127.0.0.53',53)); time.sleep(600)"])
        time.sleep(0.3)
        start = time.monotonic()
        r = w.provision_from("--timeout", "2", cloud="gcp")
        took = time.monotonic() - start
        assert 1.5 < took < 4, took
        assert r.returncode == 0 and w.report()["source"] == "none", r
        # Where the host says that this is GCP, there is no way around it.
        w.clean()
        start = time.monotonic()
        r = w.run([*w.inside, w.dev / "vouchsafe", "--root", w.root, "initdata", "provision", "--timeout", "2",
                   "--probe", "vendor=KVMKVMKVM,manufacturer=Google", "--pause", "10"])
        check_refused(w, r, "userdata.unavailable")
        assert time.monotonic() - start < 4


# --- the system fails --------------------------------------------------------------------------
def with_fault(w, function, n, error):
    mark = w.tmp / "mark"
    mark.unlink(missing_ok=True)
    r = w.provision_from("--timeout", "20", cloud="aws", pause=0,
                         env={"LD_PRELOAD": str(FAULT), "FAULT": f"{function}:{n}:{error}", "FAULT_MARK": str(mark)})
    return r, mark.exists()


def fault(function, *errors):
    if not FAULT.exists():
        raise Skip(f"{FAULT} is not built")
    hit = refused = 0
    with Guest(BUILD, network=True) as w:
        w.serve("aws", user_data())
        for n in range(1, 300):
            w.clean()
            w.new_tpm()
            r, happened = with_fault(w, function, n, errors[n % len(errors)])
            where = (function, n, r)
            left = set(w.files())
            if r.returncode == 0:
                check_delivered(w, report=False)
            else:
                refused += 1
                assert left <= {"vouchsafe/provision-error", "vouchsafe/provision.json"}, (where, left)
            hit += happened
            again = w.provision_from(cloud="aws", pause=0)
            assert again.returncode == 0, (where, again)
            check_delivered(w)
            assert pcr8(w) == pcr_of(OWNER), where
            if r.returncode == 0 and not happened:
                break
    assert hit >= 2 and n < 299, (hit, n)
    print(f"     {function}: {n - 1} calls failed one by one, {refused} times refused", flush=True)


def write__fails_at_each_call__complete_or_refused_and_the_next_run_works():
    fault("write", "ENOSPC", "EIO")


def fsync__fails_at_each_call__complete_or_refused_and_the_next_run_works():
    fault("fsync", "EIO", "EDQUOT")


def rename__fails_at_each_call__complete_or_refused_and_the_next_run_works():
    fault("rename", "EIO", "ENOSPC", "EROFS")


def connect__fails_at_each_call__complete_or_refused_and_the_next_run_works():
    fault("connect", "ECONNREFUSED", "ENETUNREACH")


def openat__fails_at_each_call__complete_or_refused_and_the_next_run_works():
    fault("openat", "EMFILE", "EACCES", "EIO")


def provision__killed_at_each_moment__the_next_run_ends_complete():
    killed = 0
    with Guest(BUILD, network=True) as w:
        w.serve("alibaba", user_data())
        for i in range(40):
            w.clean()
            w.new_tpm()
            p = subprocess.Popen([*w.inside, w.dev / "vouchsafe", "--root", w.root, "initdata", "provision",
                                  "--source", "alibaba"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(0.005 + i * 0.0012)
            p.send_signal(signal.SIGKILL)
            killed += p.wait() == -signal.SIGKILL
            if "confidential-containers/initdata/initdata.toml" in w.files():
                assert set(DELIVERED) <= set(w.files()), w.files()
            r = w.provision_from("--source", "alibaba")
            assert r.returncode == 0 and pcr8(w) == pcr_of(OWNER), r
            assert set(DELIVERED) <= set(w.files()), w.files()
    assert killed >= 5, killed


def capabilities__none_at_all__suffice():
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        raise Skip("needs root and setpriv")
    with Guest(BUILD, network=True) as w:
        w.serve("azure", user_data())
        w.inside += ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all", "--no-new-privs"]
        r = w.run([*w.inside, "sh", "-c", "grep CapEff /proc/self/status"])
        assert r.stdout.split() == ["CapEff:", "0" * 16], r
        r = w.provision_from(cloud="azure")
        assert r.returncode == 0 and r.stdout.startswith("initdata bound"), r
        check_delivered(w)


# --- the image ----------------------------------------------------------------------------------
def normal_build__options_of_tests__are_not_known():
    with World(BUILD) as w:
        for option in ("--probe", "--pause"):
            r = w.run([BUILD / "vouchsafe", "initdata", "provision", option, "1"])
            assert r.returncode == 64 and f"unknown option {option}" in r.stderr, r
        assert "--probe" not in w.run([BUILD / "vouchsafe", "initdata", "provision", "--help"]).stdout


def mount_unit__of_the_drive__is_read_only_and_verifies():
    unit = TOP / "systemd/media-cidata.mount"
    lines = unit.read_text().splitlines()
    options = next(x for x in lines if x.startswith("Options=")).removeprefix("Options=").split(",")
    assert {"ro", "nodev", "nosuid", "noexec"} <= set(options), options
    assert "Type=iso9660" in lines and "Where=/media/cidata" in lines and "What=/dev/disk/by-label/cidata" in lines
    assert any("Before=" in x and "vouchsafe-initdata.service" in x for x in lines)
    rule = (TOP / "systemd/90-vouchsafe-cidata.rules").read_text()
    assert 'ENV{SYSTEMD_WANTS}+="media-cidata.mount"' in rule and 'ENV{ID_FS_LABEL}=="cidata"' in rule
    if not shutil.which("systemd-analyze"):
        raise Skip("systemd-analyze is not installed")
    with World(BUILD) as w:
        r = w.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit])
        assert r.returncode == 0 and r.stderr.strip() == "", r


def main():
    c = Cases()
    only = sys.argv[2] if len(sys.argv) > 2 else ""
    for fn in (
        cases__of_the_shared_vectors__leave_the_files_they_say,
        cloud__each_by_its_heuristics__delivers,
        source__by_name__overrules_the_heuristics,
        aws__with_and_without_imdsv2__delivers,
        base64__folded_or_bad__is_unfolded_or_refused,
        cidata__a_drive_that_is_not_mounted__is_not_taken_for_none,
        none__what_cloud_init_left_or_the_dummy__is_bound,
        block__disk_of_native_kata__is_delivered,
        block__a_real_device__is_read,
        user_data__wants_what_only_initdata_may__is_named_and_ignored,
        user_data__bad_initdata_inside__is_refused_at_once,
        service__first_two_tries_fail__the_third_delivers,
        service__never_well__is_refused_after_ten_tries_or_the_timeout,
        service__no_network__is_bounded,
        gcp__name_server_is_silent__costs_no_more_than_the_timeout,
        write__fails_at_each_call__complete_or_refused_and_the_next_run_works,
        fsync__fails_at_each_call__complete_or_refused_and_the_next_run_works,
        rename__fails_at_each_call__complete_or_refused_and_the_next_run_works,
        connect__fails_at_each_call__complete_or_refused_and_the_next_run_works,
        openat__fails_at_each_call__complete_or_refused_and_the_next_run_works,
        provision__killed_at_each_moment__the_next_run_ends_complete,
        capabilities__none_at_all__suffice,
        normal_build__options_of_tests__are_not_known,
        mount_unit__of_the_drive__is_read_only_and_verifies,
    ):
        if only in fn.__name__:
            c.run(fn)
    return c.finish()


sys.exit(main())
