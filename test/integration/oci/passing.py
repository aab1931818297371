# SPDX-License-Identifier: Apache-2.0
"""What only passes: byte for byte, whatever it is; and what may not pass because it cannot be read."""

import json
import os
import shutil
import subprocess

from box import Box

RECORD = """#!/bin/sh
for a; do printf '%s\\0' "$a"; done > {out}
env -0 | sort -z > {out}.env
echo to stdout
echo to stderr >&2
exit 9
"""


def fake_runtime(b):
    """A runtime named runc that writes down how it was called."""
    (b.tmp / "fake").mkdir(exist_ok=True)
    path = b.tmp / "fake/runc"
    path.write_text(RECORD.format(out=b.tmp / "argv"))
    path.chmod(0o755)
    b.more_settings(runtime=str(path))


def called(b):
    path = b.tmp / "argv"
    if not path.exists():
        return None
    argv = path.read_bytes().split(b"\0")[:-1]
    path.unlink()
    return [a.decode("utf-8", "surrogateescape") for a in argv]


def verbs__known_or_not__pass_byte_for_byte(build):
    with Box(build) as b:
        fake_runtime(b)
        for argv in (["state", "c"], ["kill", "c", "KILL"], ["start", "c"], ["list", "-q"], ["ps", "c", "--", "-x"], ["unknown", "--odd=1", ""],
                     ["--version"], ["-v"], ["--help"], ["features"], ["pause", "c"], ["update", "--resources", "-", "c"], [],
                     ["--debug", "--log", "/dev/null", "--log-format=json", "events", "--stats", "c"], ["-root", "/x", "state", "c"],
                     ["--", "state", "c"], ["--rootless", "auto", "state", "c"], ["spec", "--bundle", "create"], ["--unknown-global", "state"],
                     ["state", "with space", "new\nline", "caf\udce9"], ["--cgroup-manager=disabled", "--systemd-cgroup", "state", "x"]):
            r = subprocess.run([b.oci_bin, "--vouchsafe-config", b.conf, *argv], capture_output=True, text=True, timeout=10)
            assert called(b) == argv, argv
            assert (r.returncode, r.stdout, r.stderr) == (9, "to stdout\n", "to stderr\n"), (argv, r)
        assert not b.mem.exists()


def environment__of_a_passed_call__is_untouched(build):
    with Box(build) as b:
        fake_runtime(b)
        env = {"A": "1", "VOUCHSAFE_CONFIG": "/nonexistent", "PATH": "/usr/bin:/bin"}
        subprocess.run([b.oci_bin, "--vouchsafe-config", b.conf, "state", "c"], env=env, capture_output=True, timeout=10)
        got = dict(x.split("=", 1) for x in (b.tmp / "argv.env").read_text().split("\0")[:-1])
        for k in ("PWD", "_", "SHLVL", "OLDPWD"):
            got.pop(k, None)
        assert got == env, got


def real_runtime__and_wrapper__answer_the_same(build):
    with Box(build) as b:
        assert b.create(b.secret_bundle(["sleep", "100"]), "c") == 0
        for argv in (["state", "c"], ["list"], ["list", "-q"], ["--version"], ["features"], ["spec", "--help"], ["--help"], ["create", "--help"],
                     ["exec", "--help"], ["run", "-h"], ["exec"], ["create"]):
            ours, theirs = b.oci(*argv), b.runc(*argv)
            assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout), (argv, ours, theirs)


def options__that_cannot_be_read__stop_what_could_start_a_container(build):
    with Box(build) as b:
        fake_runtime(b)
        bundle = b.secret_bundle(["echo", "ran"])
        for argv in (["--unknown", "create", "-b", bundle, "c"], ["--unknown", "x", "run", "c"], ["--help=false", "create", "c"],
                     ["create", "--unknown", "-b", bundle, "c"], ["create", "--help=false", "c"], ["run", "-x", "c"],
                     ["create", "-b", bundle, "one", "two"], ["create", "--bundle"], ["exec", "--unknown", "c", "sh"],
                     ["exec", "--help=0", "c", "sh"], ["exec", "-tx", "c", "sh"], ["run", "--console-socket", "/x", "-b", bundle, "c"],
                     ["run", "--detach=maybe", "-b", bundle, "c"], ["create", "-b", bundle, "--", "-c"]):
            r = b.oci(*argv)
            assert r.returncode in (1, 255) and "oci.option" in r.stderr, (argv, r)
            assert called(b) is None, argv
        b.nothing_left()


def create__its_arguments__reach_the_runtime_with_our_bundle(build):
    with Box(build) as b:
        fake_runtime(b)
        bundle = b.secret_bundle(["echo", "ran"])
        r = b.oci("create", "--no-pivot", "c", "--bundle", bundle, "--pid-file=/p", "-console-socket", "/s", "--preserve-fds", "2",
                  before=("--debug", "--systemd-cgroup"))
        argv = called(b)
        shadow = argv[argv.index("--bundle") + 1]
        assert shadow.startswith(str(b.mem) + "/") and r.returncode == 9, r
        assert argv == ["--debug", "--systemd-cgroup", "--root", str(b.state), "create", "--bundle", shadow, "--no-pivot", "--pid-file=/p",
                        "-console-socket", "/s", "--preserve-fds", "2", "c"], argv
        # It failed (with 9), so nothing stays.
        b.nothing_left()


def exec__its_arguments__reach_the_runtime_with_our_process_file(build):
    with Box(build) as b:
        assert b.create(b.secret_bundle(["sleep", "100"]), "c") == 0
        fake_runtime(b)
        b.oci("exec", "--detach", "--pid-file", "/p", "--cwd", "/", "-e", "A=b", "-t", "--console-socket=/s", "--cgroup", "x", "-u", "1", "c", "ls", "-l", "--all")
        argv = called(b)
        assert argv[:4] == ["--root", str(b.state), "exec", "--process"] and argv[4].startswith(f"{b.mem}/x-"), argv
        assert argv[5:] == ["--detach", "--pid-file", "/p", "--console-socket=/s", "--cgroup", "x", "c"], argv
        assert not os.path.exists(argv[4])
        b.more_settings(runtime=shutil.which("runc"))


def create__refused_by_the_runtime__says_its_words_and_cleans_up(build):
    with Box(build) as b:
        bundle = b.secret_bundle(["echo", "ran"], mounts=[("/nonexistent/source", "/tmp/x")])
        for verb in ("create", "run"):
            r = b.oci(verb, "--bundle", bundle, "c")
            assert r.returncode == 1 and "/nonexistent/source" in r.stderr and r.stdout == "", r
            b.nothing_left()
        r = b.oci("run", "--bundle", b.secret_bundle(["/no/such/program"]), "c")
        assert r.returncode != 0 and "/no/such/program" in r.stderr, r
        b.nothing_left()


def name__taken_by_a_living_container__is_refused_and_that_one_lives(build):
    with Box(build) as b:
        assert b.create(b.secret_bundle(["sh", "-c", "cat /tmp/secret"]), "c") == 0
        r = b.oci("create", "--bundle", b.secret_bundle(["echo", "ran"]), "c")
        assert r.returncode == 1 and "oci.exists" in r.stderr, r
        assert b.oci("start", "c").returncode == 0
        b.runc("state", "c")
        for _ in range(100):
            if b.output("c"):
                break
            subprocess.run(["sleep", "0.05"])
        assert b.output("c") == b.file_canary


def runtimes_own_delete__without_us__is_swept_at_the_next_call(build):
    with Box(build) as b:
        assert b.create(b.secret_bundle(["sleep", "100"]), "c") == 0 and len(b.shadows()) == 1
        b.runc("delete", "--force", "c")
        assert len(b.shadows()) == 1
        r = b.oci("run", "--bundle", b.bundle(["echo", "next"]), "d")
        assert r.stdout == "next\n", r
        (b.tmp / "c.out").unlink()
        b.nothing_left()


def version__for_people__names_both(build):
    with Box(build) as b:
        r = b.oci("version")
        assert r.stdout.startswith("vouchsafe-oci ") and b.runc("--version").stdout in r.stdout, r


def explain__bundle__says_what_is_considered_and_touches_nothing(build):
    with Box(build) as b:
        creds = b.tmp / "creds"
        creds.mkdir()
        (creds / "password").write_text("sealed.file.f.f")
        (creds / "user").write_text("bob")
        bundle = b.secret_bundle(["sh"], mounts=[(creds, "/run/secrets"), (creds, "/creds"), ("/nonexistent", "/x")])
        r = b.oci("explain", bundle)
        for words in ("process.env[1] SECRET", "sealed file: unsealed into memory", "replicated in memory (2 files, 1 sealed",
                      "under no prefix", "its source is not there", "no bind mount"):
            assert words in r.stdout, (words, r.stdout, r.stderr)
        j = json.loads(b.oci("explain", "--json", bundle).stdout)
        assert j["env"] == [{"index": 1, "name": "SECRET"}] and j["error"] is None, j
        by = {m["destination"]: m for m in j["mounts"]}
        assert by["/run/secrets"]["unsealed"] == ["/run/secrets/password"] and by["/tmp/secret"]["unsealed"] == ["/tmp/secret"], by
        assert not by["/creds"]["considered"] and not by["/proc"]["considered"]
        bad = b.bundle(["sealed.env.e.e"])
        r = b.oci("explain", bad)
        assert r.returncode == 1 and "refused: oci.sealed-in-args at process.args[0]" in r.stdout, r
        assert json.loads(b.oci("explain", "--json", bad).stdout)["error"]["code"] == "oci.sealed-in-args"
        # Names are the pod's: none commands root's terminal, or writes a line of its own.
        odd = b.bundle(["sh"], mounts=[("/etc/hostname", "/x\033[31m\nrefused: \u009bno")])
        assert "] /x?[31m?refused: ?no <- /etc/hostname" in b.oci("explain", odd).stdout
        assert b.requests() == [] and not b.mem.exists()
        # Anybody who can read the bundle may ask.
        assert b.oci("explain", "--help").returncode == 0 and b.oci("explain", "--what").returncode == 64


CASES = [v for k, v in list(globals().items()) if "__" in k and callable(v) and not k.startswith("__")]
