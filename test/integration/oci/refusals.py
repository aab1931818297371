# SPDX-License-Identifier: Apache-2.0
"""What is refused starts nothing, leaves nothing, and says a code and a place and no more."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time

from box import Box, PYTHON, Skip, private, tree_digest


def refused(b, bundle, code, place="", verb="run", words=(), rc=1):
    """The call fails with that code; nothing ran, nothing is left, nothing secret is said."""
    log = b.tmp / "engine.log"
    log.unlink(missing_ok=True)
    before = tree_digest(bundle)
    r = b.oci(verb, "--bundle", bundle, "r", before=("--log", log, "--log-format", "json"))
    assert r.returncode == rc, (r.returncode, r.stdout, r.stderr)
    assert r.stdout == "", f"something ran: {r.stdout}"
    assert code in r.stderr and place in r.stderr, r.stderr
    line = json.loads(log.read_text().splitlines()[-1])
    assert line["level"] == "error" and code in line["msg"] and place in line["msg"], line
    for text in (r.stderr, log.read_text()):
        for secret in ("sealed.", "secret-name-xyz", "SECRET", b.env_canary, b.file_canary, *words):
            assert secret not in text.replace("oci.sealed-in-args", ""), (secret, text)
    assert tree_digest(bundle) == before
    b.nothing_left()


def denied_secret__env_or_file__starts_nothing(build):
    with Box(build) as b:
        refused(b, b.bundle(["echo", "ran"], env=["A=1", "SECRET=sealed.denied.d.d"]), "oci.unseal-failed", "process.env[2]")
        refused(b, b.bundle(["echo", "ran"], env=["SECRET=sealed.denied.d.d"]), "oci.unseal-failed", "process.env[1]", "create")
        f = b.tmp / "f"
        f.write_text("sealed.denied.d.d")
        refused(b, b.bundle(["echo", "ran"], mounts=[(f, "/tmp/f")]), "oci.unseal-failed", "mounts[", words=("/tmp/f",))
        # One good secret among bad ones is not delivered either.
        refused(b, b.secret_bundle(["echo", "ran"], env=["X=sealed.denied.d.d"]), "oci.unseal-failed", "process.env[2]")


def arguments_and_hooks__with_sealed_text__are_refused(build):
    with Box(build) as b:
        refused(b, b.bundle(["echo", "sealed.env.e.e"]), "oci.sealed-in-args", "process.args[1]")
        for kind in ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"):
            def hook(spec, kind=kind):
                spec["hooks"] = {kind: [{"path": "/bin/true"}, {"path": "/bin/true", "env": ["A=sealed.env.e.e"]}]}
            refused(b, b.bundle(["echo", "ran"], change=hook), "oci.sealed-in-args", f"hooks.{kind}[1].env[0]")
        assert b.requests() == []


def plaintext__that_is_no_text__is_refused_for_env_and_fine_in_a_file(build):
    with Box(build) as b:
        b.rule("sealed.nul.n.n", hex="610062")
        b.rule("sealed.latin.l.l", hex="e9")
        b.rule("sealed.long.l.l", text="x" * 200000)
        for name in ("nul.n.n", "latin.l.l", "long.l.l"):
            refused(b, b.bundle(["echo", "ran"], env=[f"SECRET=sealed.{name}"]), "oci.plaintext-not-text", "process.env[1]")
        f = b.tmp / "f"
        f.write_text("sealed.nul.n.n")
        r = b.oci("run", "-b", b.bundle(["cat", "/tmp/f"], mounts=[(f, "/tmp/f")]), "c")
        assert r.stdout == "a\0b", r


def config__that_others_decide_about__is_refused(build):
    with Box(build) as b:
        bundle = b.secret_bundle(["echo", "ran"])
        config = bundle / "config.json"
        config.chmod(0o664)
        refused(b, bundle, "oci.config")
        config.chmod(0o600)
        config.rename(bundle / "real.json")
        config.symlink_to("real.json")
        refused(b, bundle, "oci.config")
        config.unlink()
        os.mkfifo(config, 0o600)
        r = b.oci("run", "-b", bundle, "r")
        assert r.returncode == 1 and "oci.config" in r.stderr, r
        config.unlink()
        good = json.loads((bundle / "real.json").read_text())
        for text in ("", "{", json.dumps(good) + "x", json.dumps(good)[:-1] + ',"process":{}}',
                     json.dumps({**good, "Process": {"env": ["X=sealed.env.e.e"]}}), '{"a":' * 40 + "1" + "}" * 40,
                     json.dumps(good) + " " * (4 << 20)):
            config.write_text(text)
            config.chmod(0o600)
            refused(b, bundle, "oci.config")
        refused(b, b.tmp / "rootfs", "oci.config")


def hostile_secret_directory__each_trick__is_refused(build):
    with Box(build) as b:
        def folder(name):
            d = b.tmp / "dirs" / name
            d.mkdir(parents=True)
            (d / "a").write_text("sealed.file.f.f")
            return d
        d = folder("link-out")
        (d / "b").symlink_to("/etc/shadow")
        folder("link-up")
        (b.tmp / "dirs/link-up/b").symlink_to("../../secret")
        os.mkfifo(folder("fifo") / "b")
        deep = folder("deep")
        for _ in range(12):
            deep = deep / "d"
        deep.mkdir(parents=True)
        many = folder("many")
        for i in range(1100):
            (many / f"x{i}").touch()
        with open(folder("huge") / "b", "wb") as f:
            f.truncate(1 << 40)
        with open(folder("huge-sealed") / "b", "wb") as f:
            f.write(b"sealed.")
            f.truncate(2 << 20)
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(str(folder("socket") / "b"))
        for d in sorted((b.tmp / "dirs").iterdir()):
            start = time.monotonic()
            refused(b, b.bundle(["echo", "ran"], mounts=[(d, "/run/secrets")]), "oci.secret-files", "mounts[", words=("shadow",))
            assert time.monotonic() - start < 5, d
        assert b.requests() == []


def annotation__naming_no_bind_mount__is_refused(build):
    with Box(build) as b:
        def change(spec):
            spec["annotations"] = {"io.vouchsafe.secrets": "/nowhere"}
        refused(b, b.bundle(["echo", "ran"], change=change), "oci.config", "annotations")


def hub__stalled_or_away__fails_in_time_and_late_ones_are_waited_for(build):
    with Box(build, timeout=2) as b:
        b.rule("sealed.stall.s.s", text="x", stall=30)
        start = time.monotonic()
        refused(b, b.bundle(["echo", "ran"], env=["SECRET=sealed.stall.s.s"]), "oci.unseal-failed", "process.env[1]")
        b.rule("sealed.drop.d.d", drop=True)
        refused(b, b.bundle(["echo", "ran"], env=["SECRET=sealed.drop.d.d"]), "oci.unseal-failed")
        b.stop_hub()
        refused(b, b.secret_bundle(["echo", "ran"]), "oci.unseal-failed")
        assert time.monotonic() - start < 12
    with Box(build, timeout=10) as b:
        b.stop_hub()
        b.socket.unlink()
        p = b.popen("run", "-b", b.secret_bundle(["sh", "-c", "echo $SECRET"]), "c")
        time.sleep(1)
        b.start_hub()
        out, err = p.communicate(timeout=20)
        assert out == b.env_canary + "\n", (out, err)
        # The connection is lost in the middle: what has no answer is asked again.
        b.rule("sealed.drop.d.d", drop=True)
        p = b.popen("run", "-b", b.bundle(["sh", "-c", "echo $SECRET"], env=["SECRET=sealed.drop.d.d"]), "d")
        time.sleep(0.5)
        b.rule("sealed.drop.d.d", text="at last")
        out, err = p.communicate(timeout=20)
        assert out == "at last\n", (out, err)


JOURNAL = """
import os, socket, subprocess, sys
os.makedirs("/run/systemd/journal")
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("/run/systemd/journal/socket")
s.settimeout(5)
r = subprocess.run(sys.argv[1:], capture_output=True, text=True, stdin=subprocess.DEVNULL)
sys.stderr.write(r.stderr)
print(s.recv(65536).decode())
"""


def reason__of_a_refusal__goes_to_the_journal_only(build):
    with Box(build) as b:
        bundle = b.bundle(["echo", "ran"], env=["SECRET=sealed.denied.d.d"])
        argv = private(PYTHON, "-c", JOURNAL, *b.argv("create", "-b", bundle, "c"),
                       setup="mount -t tmpfs tmpfs /run")
        r = subprocess.run(argv, capture_output=True, text=True, timeout=30)
        fields = dict(line.split("=", 1) for line in r.stdout.strip().splitlines())
        assert fields["VOUCHSAFE_CODE"] == "oci.unseal-failed", r
        assert fields["VOUCHSAFE_PLACE"] == "process.env[1]" and fields["VOUCHSAFE_CONTAINER"] == "c"
        assert "kbs.policy-denied" in fields["MESSAGE"] and "secret-name-xyz" in fields["MESSAGE"], fields
        assert "secret-name-xyz" not in r.stderr and "policy" not in r.stderr, r.stderr


def log__as_text_and_as_json__is_what_engines_read(build):
    with Box(build) as b:
        bundle = b.bundle(["echo", "ran"], env=["SECRET=sealed.denied.d.d"])
        log = b.tmp / "l"
        b.oci("create", "-b", bundle, "c", before=("--log", log))
        assert 'level=error msg="vouchsafe-oci: oci.unseal-failed at process.env[1]' in log.read_text(), log.read_text()
        log.unlink()
        b.oci("create", "-b", bundle, "c", before=(f"--log={log}", "--log-format=json"))
        assert set(json.loads(log.read_text())) == {"level", "msg", "time"}, log.read_text()


def swap__in_clear__is_refused_and_a_permit_is_for_development_builds(build):
    with Box(build) as b:
        bundle = b.secret_bundle(["sh", "-c", "echo $SECRET"])
        swaps = b.tmp / "swaps"
        swaps.write_text("Filename Type Size Used Priority\n/dev/some-disk partition 1 0 -2\n")
        setup = f"mount --bind {swaps} /proc/swaps"

        def run(name):
            return subprocess.run(private(*b.argv("run", "-b", bundle, name), setup=setup), capture_output=True, text=True,
                                  stdin=subprocess.DEVNULL, timeout=30)
        dev = "DEVELOPMENT" in b.oci("version").stdout
        r = run("a")
        if dev:
            assert r.stdout == b.env_canary + "\n" and "oci.swap-in-clear" in r.stderr, r
        else:
            assert r.returncode == 1 and "oci.swap-in-clear" in r.stderr and r.stdout == "", r
        with open(b.conf, "a", encoding="utf-8") as f:
            f.write("[permit]\nallow_swap = false\n")
        r = run("b")
        assert r.returncode == 1 and r.stdout == "", r
        assert ("oci.swap-in-clear" if dev else "config.not-permitted") in r.stderr, r.stderr
        # A container without secrets has nothing to lose.
        b.settings(**b.values)
        bundle = b.bundle(["sh", "-c", "echo nothing secret"])
        r = run("c")
        assert r.stdout == "nothing secret\n", r


def state_folder__of_a_runtime_that_keeps_the_config__must_be_memory(build):
    with Box(build) as b:
        fake = b.tmp / "crun"
        fake.write_text(f'#!/bin/sh\nexec {shutil.which("runc")} "$@"\n')
        fake.chmod(0o755)
        b.more_settings(runtime=str(fake))
        refused(b, b.secret_bundle(["echo", "ran"]), "oci.root-on-disk")
        # Files alone do not go into the config.
        f = b.tmp / "f"
        f.write_text("sealed.file.f.f")
        r = b.oci("run", "-b", b.bundle(["cat", "/tmp/f"], mounts=[(f, "/tmp/f")]), "c")
        assert r.stdout == b.file_canary, r
        b.state = b.tmp / "memory-state"
        b.state.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", b.state], check=True)
        r = b.oci("run", "-b", b.secret_bundle(["sh", "-c", "echo $SECRET"]), "d")
        assert r.stdout == b.env_canary + "\n", r


def rootless__user_or_namespace__needs_root(build):
    with Box(build) as b:
        b.tmp.chmod(0o755)
        bundle = b.secret_bundle(["echo", "ran"])
        world = b.tmp / "vouchsafe-oci"
        shutil.copy(b.oci_bin, world)
        b.oci_bin = str(world)
        for before in (["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"], ["unshare", "-Ur"]):
            for verb in (["create", "-b", bundle, "c"], ["run", "-b", bundle, "c"], ["exec", "c", "sh"]):
                r = subprocess.run([*before, *b.argv(*verb)], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30)
                assert r.returncode != 0 and "oci.needs-root" in r.stderr and r.stdout == "", (before, verb, r)
        b.nothing_left()


def settings__that_are_wrong__are_refused_by_name(build):
    with Box(build) as b:
        bundle = b.bundle(["echo", "ran"])
        rows = [("config.unknown-key", 'sockett = "/x"\n'), ("config.value", "timeout_s = 0\n"),
                ("config.value", "timeout_s = 601\n"), ("config.value", 'secret_prefixes = ["relative"]\n'),
                ("config.value", 'socket = 5\n'), ("config.syntax", "socket = \n"), ("oci.runtime", 'runtime = "/nonexistent"\n'),
                ("oci.runtime", 'runtime = "no-such-program"\n'), ("oci.runtime", f'runtime = "{b.oci_bin}"\n')]
        for code, text in rows:
            b.conf.write_text(text)
            for verb in (["run", "-b", bundle, "c"], ["state", "c"]):
                r = b.oci(*verb)
                assert r.returncode == 1 and code in r.stderr and r.stdout == "", (text, r)
        b.settings(**b.values)
        b.conf.chmod(0o666)
        assert "config.value" in b.oci("state", "c").stderr
        b.conf.unlink()
        assert "general.system" in b.oci("state", "c").stderr
        # /etc/vouchsafe/oci.toml may not say where secrets come from.
        etc = b.tmp / "etc"
        etc.mkdir()
        for text, code in (('socket = "/x"\n', "config.unmeasured"), ('secret_prefixes = []\n', "config.unmeasured"),
                           ('timeout_s = 5\nmore_secret_prefixes = ["/x"]\n', "")):
            (etc / "oci.toml").write_text(text)
            r = subprocess.run(private(b.oci_bin, "--root", b.state, "state", "nobody",
                                       setup=f"mkdir -p {etc}/e; mount -t tmpfs tmpfs /mnt; cp -r /etc /mnt; "
                                             f"mkdir /mnt/etc/vouchsafe; cp {etc}/oci.toml /mnt/etc/vouchsafe; mount --bind /mnt/etc /etc"),
                               capture_output=True, text=True, timeout=30)
            assert code in r.stderr and ("does not exist" in r.stderr) == (code == ""), r


def checkpoint_and_restore__of_a_container_with_secrets__are_refused(build):
    with Box(build) as b:
        bundle = b.secret_bundle(["sleep", "100"])
        assert b.create(bundle, "c") == 0
        for argv in (["checkpoint", "c"], ["checkpoint", "--image-path", b.tmp / "img", "c"], ["checkpoint", "--unknown", "x", "c"],
                     ["restore", "--bundle", bundle, "d"], ["restore", f"-b={bundle}", "d"]):
            r = b.oci(*argv)
            assert r.returncode == 1 and "oci.no-checkpoint" in r.stderr, (argv, r)
        # Another name of the state folder is the same folder.
        (b.tmp / "alias").symlink_to(b.state)
        r = subprocess.run([b.oci_bin, "--vouchsafe-config", b.conf, "--root", b.tmp / "alias", "checkpoint", "c"], capture_output=True, text=True)
        assert r.returncode == 1 and "oci.no-checkpoint" in r.stderr, r
        creds = b.tmp / "creds"
        creds.mkdir()
        (creds / "key").write_text("sealed.file.f.f")
        r = b.oci("restore", "--bundle", b.bundle(["sh"], mounts=[(creds, "/run/secrets")]), "d")
        assert r.returncode == 1 and "oci.no-checkpoint" in r.stderr, r
        # Without secrets it is the runtime's business (which has no criu here, and says so).
        assert b.create(b.bundle(["sleep", "100"]), "plain") == 0
        for argv in (["checkpoint", "plain"], ["checkpoint", "nobody"]):
            r = b.oci(*argv)
            assert r.returncode != 0 and "oci." not in r.stderr and "vouchsafe" not in r.stderr, (argv, r)


CASES = [v for k, v in list(globals().items()) if "__" in k and callable(v) and not k.startswith("__")]
