# SPDX-License-Identifier: Apache-2.0
"""kill -9 at any moment: a container starts with plaintext or not at all, and a restart goes on."""

import pathlib
import random
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from world import Cases, Skip, World, can_mount  # noqa: E402

BUILD = sys.argv[1]
ROUNDS = 25
SECRET = "crash-canary-0f6f1c"


def command(w, name):
    return [str(x) for x in (w.dev / "vouchsafe-oci", "--vouchsafe-config", w.tmp / "oci.toml", "--root",
                             w.mem / "state", "run", "--bundle", w.tmp / "bundles/c", name)]


def ready(w):
    if not can_mount():
        raise Skip("needs root with CAP_SYS_ADMIN")
    w.resource("default/a/env", SECRET)
    w.resource("default/a/file", SECRET)
    w.up()
    w.mount()
    w.oci_config(timeout_s=5)
    f = w.tmp / "sealed"
    f.write_text(w.seal("kbs:///default/a/file"))
    w.bundle("c", ["sh", "-c", "echo \"got $V\"; cat /run/secrets/f"], env=[f"V={w.seal('kbs:///default/a/env')}"],
             mounts=[(f, "/run/secrets/f")])


def check(out, code):
    text = out.decode()
    if code == 0:
        assert text == f"got {SECRET}\n{SECRET}", text
    assert "sealed." not in text, "a container saw the sealed text"


def on_disk(w):
    r = subprocess.run(["grep", "-rlF", "--exclude-dir=mem", "--exclude-dir=resources", SECRET, w.tmp],
                       capture_output=True, text=True)
    return r.stdout


def daemon__killed_at_random_moments__containers_get_plaintext_or_do_not_start():
    with World(BUILD) as w:
        ready(w)
        rng = random.Random(1)
        good = bad = 0
        for i in range(ROUNDS):
            w.containers.append(f"d{i}")
            p = subprocess.Popen(command(w, f"d{i}"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            time.sleep(rng.uniform(0, 0.12))
            w.stop("vouchsafed", sig=signal.SIGKILL)
            out, _ = p.communicate(timeout=60)
            check(out, p.returncode)
            good, bad = good + (p.returncode == 0), bad + (p.returncode != 0)
            w.start_daemon()
        assert bad > 0, "no kill hit an injection"
        out = w.oci("run", "--bundle", w.tmp / "bundles/c", "last").stdout
        check(out.encode(), 0)
        assert not on_disk(w), on_disk(w)
        print(f"     {good} started, {bad} did not")


def wrapper__killed_at_random_moments__nothing_is_left_after_the_next_call():
    with World(BUILD) as w:
        ready(w)
        rng = random.Random(2)
        for i in range(ROUNDS):
            w.containers.append(f"w{i}")
            p = subprocess.Popen(command(w, f"w{i}"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            time.sleep(rng.uniform(0, 0.25))
            p.kill()
            out, _ = p.communicate(timeout=60)
            check(out, p.returncode)
            w.run(["runc", "--root", w.mem / "state", "delete", "-f", f"w{i}"])
        r = w.oci("run", "--bundle", w.tmp / "bundles/c", "last")
        check(r.stdout.encode(), r.returncode)
        assert r.returncode == 0, r.stderr
        shadow = w.mem / "vouchsafe-oci"
        left = [x for x in shadow.rglob("*") if x.is_file()] if shadow.exists() else []
        assert not [x for x in left if SECRET.encode() in x.read_bytes()], left
        assert not on_disk(w), on_disk(w)


def provision__killed_at_random_moments__the_next_one_ends_bound():
    for i in range(8):
        with World(BUILD) as w:
            w.start_tpm()
            w.provision_ak()
            w.start_trustee()
            w.keygen()
            file = w.initdata()
            rng = random.Random(i)
            p = subprocess.Popen([w.dev / "vouchsafe", "--root", w.root, "initdata", "provision", "--from", file],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(rng.uniform(0, 0.06))
            p.kill()
            p.wait()
            w.provision(file)
            w.provision(file)
            w.start_daemon()


def main():
    c = Cases()
    for fn in (
        daemon__killed_at_random_moments__containers_get_plaintext_or_do_not_start,
        wrapper__killed_at_random_moments__nothing_is_left_after_the_next_call,
        provision__killed_at_random_moments__the_next_one_ends_bound,
    ):
        c.run(fn)
    return c.finish()


sys.exit(main())
