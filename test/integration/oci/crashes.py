# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the wrapper at many moments; and crun, which keeps its own copy of the config."""

import os
import random
import shutil
import subprocess

from box import Box, Skip, private, sleep_ms, stop


def swept(b, name):
    """After the next calls nothing readable is left, on disk or in memory."""
    assert not b.plain_on_disk(), b.plain_on_disk()
    b.oci("delete", "--force", name)
    assert not b.holds(b.env_canary, b.file_canary, where=b.mem), b.holds(b.env_canary, b.file_canary, where=b.mem)
    assert not b.shadows(), b.shadows()


def wrapper__killed_during_create__leaves_nothing_that_the_next_call_does_not_sweep(build):
    with Box(build) as b:
        for sealed in ("sealed.env.e.e", "sealed.file.f.f"):
            b.rule(sealed, text=b.env_canary if "env" in sealed else b.file_canary, stall=0.01)
        bundle = b.secret_bundle(["sleep", "100"])
        rng = random.Random(7)
        outcomes = {}
        for i in range(50):
            with open(b.tmp / "out", "wb") as out:
                p = subprocess.Popen(b.argv("create", "--bundle", bundle, f"c{i}"), stdin=subprocess.DEVNULL, stdout=out, stderr=out)
            sleep_ms(rng.uniform(0, 90))
            stop(p)
            outcomes[p.returncode] = outcomes.get(p.returncode, 0) + 1
            swept(b, f"c{i}")
        (b.tmp / "out").unlink()
        assert outcomes.get(-9, 0) >= 5, outcomes
        b.nothing_left()


def wrapper__killed_right_after_the_runtime_made_the_container__has_its_env_erased_by_the_next_call(build):
    with Box(build) as b:
        # A runtime that makes the container and then does not return.
        fake = b.tmp / "fake/runc"
        fake.parent.mkdir()
        fake.write_text(f'#!/bin/sh\ncase " $* " in *" create "*) {shutil.which("runc")} "$@" && sleep 100;; *) exec {shutil.which("runc")} "$@";; esac\n')
        fake.chmod(0o755)
        b.more_settings(runtime=str(fake))
        with open("/dev/null", "r+b") as null:
            p = subprocess.Popen(b.argv("create", "--bundle", b.secret_bundle(["sleep", "100"]), "c"), stdin=null, stdout=null, stderr=null)
        for _ in range(200):
            if b.runc("state", "c").returncode == 0:
                break
            sleep_ms(20)
        shadow, = [x for x in b.shadows() if len(x.name) == 32]
        assert b.env_canary in (shadow / "config.json").read_text()
        stop(p)
        r = b.oci("exec", "c", "true")
        assert not b.holds(b.env_canary, where=b.mem), (b.holds(b.env_canary, where=b.mem), r)
        assert "sealed.env.e.e" in (shadow / "config.json").read_text() and not (shadow / "sealed.json").exists()
        b.oci("delete", "--force", "c")
        b.nothing_left()


def wrapper__killed_during_exec_and_run__is_swept(build):
    with Box(build) as b:
        assert b.create(b.secret_bundle(["sleep", "1000"]), "c") == 0 and b.oci("start", "c").returncode == 0
        rng = random.Random(8)
        for _ in range(20):
            p = b.popen("exec", "c", "true")
            sleep_ms(rng.uniform(0, 60))
            stop(p)
            b.oci("exec", "c", "true")
            assert not b.holds(b.env_canary, where=b.mem)
            assert not [x for x in b.shadows() if x.name.startswith("x-")]
        bundle = b.secret_bundle(["sleep", "1000"])
        for i in range(20):
            p = b.popen("run", "--bundle", bundle, f"r{i}")
            sleep_ms(rng.uniform(0, 150))
            stop(p)
            b.oci("delete", "--force", f"r{i}")
            assert not b.plain_on_disk()
            assert not b.holds(b.env_canary, where=b.mem)
            assert len(b.shadows()) == 1, b.shadows()
        b.oci("delete", "--force", "c")
        (b.tmp / "c.out").unlink()
        b.nothing_left()


def memory_folder__on_a_ramfs_that_was_there__is_used(build):
    with Box(build) as b:
        top = b.tmp / "ram"
        top.mkdir()
        subprocess.run(["mount", "-t", "ramfs", "-o", "mode=0700", "ramfs", top], check=True)
        b.mem = top / "oci"
        b.more_settings(memory_dir=str(b.mem))
        r = b.oci("run", "-b", b.secret_bundle(["sh", "-c", "echo $SECRET; cat /tmp/secret"]), "c")
        assert r.stdout == f"{b.env_canary}\n{b.file_canary}", r
        with open("/proc/self/mounts") as f:
            assert len([line for line in f if str(b.tmp) in line]) == 1
        b.nothing_left()


def tmpfs_that_may_swap__is_not_trusted_with_plaintext(build):
    with Box(build) as b:
        b.mem.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", b.mem], check=True)
        r = b.oci("run", "-b", b.secret_bundle(["sh", "-c", "echo $SECRET"]), "c")
        assert r.stdout == b.env_canary + "\n", r
        with open("/proc/self/mounts") as f:
            ours = [line for line in f if str(b.mem) in line]
        assert len(ours) == 2 and ("noswap" in ours[1] or "ramfs" in ours[1]), ours


def crun__where_cgroups_allow__gets_env_and_files(build):
    with Box(build) as b:
        crun = shutil.which("crun")
        if not crun:
            raise Skip("crun is not installed")
        # crun wants cgroup 2 alone; a mount namespace shows it that.
        setup = "mount -t cgroup2 cgroup2 /sys/fs/cgroup"
        b.state = b.tmp / "memory-state"
        b.state.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", b.state], check=True)
        b.more_settings(runtime=crun)
        probe = subprocess.run(private(crun, "--cgroup-manager=disabled", "--root", b.state, "run", "-b", b.bundle(["sh", "-c", "echo up"]), "p", setup=setup),
                               capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
        if probe.stdout != "up\n":
            raise Skip(f"crun does not run here: {probe.stderr.strip()[:80]}")
        bundle = b.secret_bundle(["sh", "-c", "echo $SECRET; cat /tmp/secret; exit 4"])
        r = subprocess.run(private(*b.argv("run", "-b", bundle, "c", before=("--cgroup-manager=disabled",)), setup=setup),
                           capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
        assert (r.stdout, r.returncode) == (f"{b.env_canary}\n{b.file_canary}", 4), r
        script = (f'{" ".join(b.argv("create", "-b", b.secret_bundle(["sleep", "100"]), "d", before=("--cgroup-manager=disabled",)))} </dev/null >/dev/null 2>&1\n'
                  f'{" ".join(b.argv("start", "d", before=("--cgroup-manager=disabled",)))}\n'
                  f'{" ".join(b.argv("exec", "--env", "A=sealed.file.f.f", "d", "sh", before=("--cgroup-manager=disabled",)))} -c \'echo $SECRET $A\'\n'
                  f'{" ".join(b.argv("delete", "--force", "d", before=("--cgroup-manager=disabled",)))}\n')
        r = subprocess.run(private("sh", "-ec", script, setup=setup), capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
        assert r.stdout == f"{b.env_canary} {b.file_canary}\n", r
        assert not b.plain_on_disk() and os.listdir(b.state) == [], os.listdir(b.state)


CASES = [v for k, v in list(globals().items()) if "__" in k and callable(v) and not k.startswith("__")]
