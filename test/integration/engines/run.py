# SPDX-License-Identifier: Apache-2.0
"""Real engines in front of vouchsafe-oci: podman and containerd's ctr."""

import pathlib
import shutil
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from world import Cases, Skip, World, can_mount, wait_for  # noqa: E402

BUILD = sys.argv[1]


def ready(w, tool):
    if not can_mount():
        raise Skip("needs root with CAP_SYS_ADMIN")
    if not shutil.which(tool):
        raise Skip(f"{tool} is not installed")
    w.resource("default/a/env", "plain env")
    w.resource("default/a/file", "plain file")
    w.resource("default/a/denied", "nobody's")
    w.start_tpm()
    w.provision_ak()
    w.start_trustee("--deny", "default/a/denied")
    w.keygen()
    w.provision(w.initdata())
    w.start_daemon()
    w.mount()
    w.oci_config(timeout_s=15)
    w.env = w.seal("kbs:///default/a/env")
    w.file = w.tmp / "sealed"
    w.file.write_text(w.seal("kbs:///default/a/file"))


def script(w):
    """Engines name a binary only; and podman's cleanup process forgets --runtime-flag (seen with 4.3):
    so two lines carry the option, as oci.toml in /usr/lib/vouchsafe does in an image."""
    path = w.tmp / "runtime"
    path.write_text(f'#!/bin/sh\nexec {w.dev}/vouchsafe-oci --vouchsafe-config {w.tmp}/oci.toml "$@"\n')
    path.chmod(0o755)
    return path


def podman(w, *argv, **kw):
    return w.run(["podman", "--root", w.tmp / "p/s", "--runroot", w.tmp / "p/rr", "--tmpdir", w.tmp / "p/t",
                  "--cgroup-manager", "cgroupfs", "--events-backend", "none", "--runtime", script(w), *argv], **kw)


# Rootless-looking limits: this sandbox may not raise them.
LIMITS = ("--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")


def podman_run__env_file_and_secret__are_unsealed():
    with World(BUILD) as w:
        ready(w, "podman")
        r = podman(w, "secret", "create", "s1", w.file)
        assert r.returncode == 0, r.stderr
        r = podman(w, "run", "--rm", *LIMITS, "-e", f"V={w.env}", "-v", f"{w.file}:/f:ro", "--secret", "s1",
                   "--rootfs", w.rootfs(), "/bin/sh", "-c", "echo $V; cat /f; echo; cat /run/secrets/s1")
        assert r.returncode == 0 and r.stdout == "plain env\nplain file\nplain file", (r.stdout, r.stderr)


def podman_exec__of_a_running_container__has_the_env():
    with World(BUILD) as w:
        ready(w, "podman")
        r = podman(w, "run", "-d", "--name", "c", *LIMITS, "-e", f"V={w.env}", "--rootfs", w.rootfs(),
                   "/bin/sh", "-c", "sleep 60")
        assert r.returncode == 0, r.stderr
        r = podman(w, "exec", "c", "/bin/sh", "-c", "echo exec sees $V")
        r2 = podman(w, "rm", "-f", "-t", "0", "c")
        assert r.stdout == "exec sees plain env\n", (r.stdout, r.stderr)
        assert r2.returncode == 0, r2.stderr
        # podman's own cleanup process may still be at its `delete`.
        shadow = w.mem / "vouchsafe-oci"
        wait_for(f"an empty {shadow}", lambda: not [x for x in shadow.rglob("*") if x.is_file()])


def podman_run__denied_secret__does_not_start_and_names_the_code():
    with World(BUILD) as w:
        ready(w, "podman")
        r = podman(w, "run", "--rm", *LIMITS, "-e", f"V={w.seal('kbs:///default/a/denied')}", "--rootfs", w.rootfs(),
                   "/bin/sh", "-c", "echo started")
        assert r.returncode != 0 and "started" not in r.stdout, r.stdout
        assert "oci.unseal-failed" in r.stderr or "kbs.policy-denied" in r.stderr, r.stderr
        assert "default/a/denied" not in r.stderr, "the name of the secret reaches the engine"


def containerd(w):
    conf = w.tmp / "containerd.toml"
    conf.write_text(f'''version = 2
root = "{w.tmp}/ctrd/root"
state = "{w.tmp}/ctrd/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "{w.tmp}/ctrd.sock"
[ttrpc]
address = "{w.tmp}/ctrd.sock.ttrpc"
''')
    w.start("containerd", ["containerd", "--config", conf])
    wait_for("containerd", lambda: ctr(w, "version").returncode == 0)
    return script(w)


def ctr(w, *argv):
    return w.run(["ctr", "-a", w.tmp / "ctrd.sock", *argv])


def ctr_run__env_and_mount__are_unsealed():
    with World(BUILD) as w:
        ready(w, "containerd")
        runtime = containerd(w)
        r = ctr(w, "run", "--rm", "--rootfs", "--runc-binary", runtime, "--env", f"V={w.env}",
                "--mount", f"type=bind,src={w.file},dst=/f,options=rbind:ro",
                w.rootfs(), "c1", "/bin/sh", "-c", "echo $V; cat /f")
        assert r.returncode == 0 and r.stdout == "plain env\nplain file", (r.stdout, r.stderr, w.log("containerd")[-800:])


def ctr_run__denied_secret__does_not_start():
    with World(BUILD) as w:
        ready(w, "containerd")
        runtime = containerd(w)
        r = ctr(w, "run", "--rm", "--rootfs", "--runc-binary", runtime, "--env",
                f"V={w.seal('kbs:///default/a/denied')}", w.rootfs(), "c2", "/bin/sh", "-c", "echo started")
        assert r.returncode != 0 and "started" not in r.stdout, r.stdout
        assert "oci.unseal-failed" in r.stderr or "kbs.policy-denied" in r.stderr, r.stderr


def main():
    c = Cases()
    for fn in (
        podman_run__env_file_and_secret__are_unsealed,
        podman_exec__of_a_running_container__has_the_env,
        podman_run__denied_secret__does_not_start_and_names_the_code,
        ctr_run__env_and_mount__are_unsealed,
        ctr_run__denied_secret__does_not_start,
    ):
        c.run(fn)
    return c.finish()


sys.exit(main())
