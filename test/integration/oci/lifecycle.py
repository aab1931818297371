# SPDX-License-Identifier: Apache-2.0
"""create, run, exec, delete: what they mean to an engine, with secrets inside."""

import json
import os
import pathlib
import pty
import signal
import subprocess
import time

from box import Box, stop, tree_digest, wait_until

SHOW = 'echo "$SECRET"; cat /tmp/secret; echo; stat -c %a /tmp/secret'


def run__env_and_file__are_plain_inside_and_nowhere_else(build):
    with Box(build) as b:
        bundle = b.secret_bundle(["sh", "-c", SHOW + "; exit 7"])
        before = tree_digest(bundle), (b.tmp / "secret0").read_bytes()
        r = b.oci("run", "--bundle", bundle, "c")
        assert r.stdout.splitlines() == [b.env_canary, b.file_canary, "440"], (r.stdout, r.stderr)
        assert r.returncode == 7 and r.stderr == "", (r.returncode, r.stderr)
        assert before == (tree_digest(bundle), (b.tmp / "secret0").read_bytes())
        b.nothing_left()
        assert sorted((q["sealed"], q["name"]) for q in b.requests()) == [
            ("sealed.env.e.e", "SECRET"), ("sealed.file.f.f", "/tmp/secret")], b.requests()


def create_start_delete__in_steps__erase_after_create_and_clean_up_after_delete(build):
    with Box(build) as b:
        bundle = b.secret_bundle(["sh", "-c", SHOW + "; sleep 100"])
        assert b.create(bundle, "c") == 0, b.output("c")
        state = json.loads(b.oci("state", "c").stdout)
        assert state["status"] == "created"
        shadow = b.mem / pathlib.Path(state["bundle"]).name
        assert b.shadows() == [shadow] and shadow.stat().st_mode & 0o777 == 0o700
        assert not (shadow / "sealed.json").exists()
        config = (shadow / "config.json").read_text()
        assert "sealed.env.e.e" in config and b.env_canary not in config
        assert b.file_canary in (shadow / "f").glob("*").__next__().read_text()
        assert not b.plain_on_disk(), b.plain_on_disk()
        assert not b.holds(b.env_canary, where=b.mem)
        assert b.oci("start", "c").returncode == 0
        wait_until(lambda: "440" in b.output("c"), "the container's output")
        assert b.output("c").splitlines() == [b.env_canary, b.file_canary, "440"]
        assert b.oci("kill", "c", "KILL").returncode == 0
        wait_until(lambda: json.loads(b.oci("state", "c").stdout)["status"] == "stopped", "the end")
        assert b.oci("delete", "c").returncode == 0
        (b.tmp / "c.out").unlink()
        b.nothing_left()


def create__container_without_secrets__is_the_same_container(build):
    with Box(build) as b:
        def relative(spec):
            spec["root"]["path"] = "../rootfs"
            (b.tmp / "bundle1" / "hosts").write_text("from the bundle")
            spec["mounts"].append({"source": "hosts", "destination": "/tmp/hosts", "options": ["bind"]})
            spec["annotations"] = {"big": "x"}
        bundle = b.bundle(["sh", "-c", "cat /tmp/hosts; echo $A"], env=["A=unsealed."], change=relative)
        r = b.oci("run", "-b", bundle, "c")
        assert r.stdout == "from the bundleunsealed.\n", (r.stdout, r.stderr)
        assert b.requests() == []
        b.nothing_left()


def create__bundle_in_the_working_directory__is_found(build):
    with Box(build) as b:
        bundle = b.secret_bundle(["sh", "-c", SHOW])
        r = b.oci("run", "c", cwd=bundle)
        assert b.env_canary in r.stdout, (r.stdout, r.stderr)


def run__ended_by_a_signal__has_the_shells_exit_code(build):
    with Box(build) as b:
        r = b.oci("run", "--bundle", b.secret_bundle(["sh", "-c", "kill -9 $$"]), "c")
        # In a pid namespace of its own the first process ignores that; ask from outside.
        assert r.returncode in (0, 137), r
        p = b.popen("run", "--bundle", b.secret_bundle(["sleep", "100"]), "d")
        wait_until(lambda: b.runc("state", "d").returncode == 0 and
                   json.loads(b.runc("state", "d").stdout)["status"] == "running", "the container")
        assert b.runc("kill", "d", "KILL").returncode == 0
        p.communicate(timeout=20)
        assert p.returncode == 137, p.returncode
        b.nothing_left()


def run__signal_to_the_wrapper__reaches_the_container(build):
    with Box(build) as b:
        bundle = b.secret_bundle(["sh", "-c", "trap 'echo got it; exit 42' TERM; echo ready; while :; do sleep 0.1; done"])
        p = b.popen("run", "--bundle", bundle, "c")
        assert p.stdout.readline() == "ready\n"
        p.send_signal(signal.SIGTERM)
        out, err = p.communicate(timeout=20)
        assert (out, p.returncode) == ("got it\n", 42), (out, err, p.returncode)
        b.nothing_left()


def exec__signal_to_the_wrapper__reaches_the_process(build):
    with Box(build) as b:
        assert b.create(b.secret_bundle(["sleep", "100"]), "c") == 0 and b.oci("start", "c").returncode == 0
        p = b.popen("exec", "c", "sh", "-c",
                    "trap 'echo $SECRET; exit 43' USR1; echo ready; while :; do sleep 0.1; done")
        assert p.stdout.readline() == "ready\n", p.communicate()
        p.send_signal(signal.SIGUSR1)
        out, err = p.communicate(timeout=20)
        assert (out, p.returncode) == (b.env_canary + "\n", 43), (out, err, p.returncode)


def run__standard_input__is_handed_on_to_its_end(build):
    with Box(build) as b:
        text = "".join(f"line {i}\n" for i in range(20000))
        r = b.oci("run", "--bundle", b.secret_bundle(["sh", "-c", "cat; echo err >&2"]), "c", stdin=text)
        assert r.stdout == text and r.stderr == "err\n" and r.returncode == 0, (len(r.stdout), r.stderr)


def under_terminal(argv, answer, seconds=20):
    """Run argv with a terminal; answer maps output seen to what is then typed, once each."""
    pid, fd = pty.fork()
    if pid == 0:
        subprocess.run(["stty", "rows", "33", "cols", "77"])
        os.execv(argv[0], argv)
    out, end, left = b"", time.monotonic() + seconds, dict(answer)
    while time.monotonic() < end:
        try:
            out += os.read(fd, 4096)
        except OSError:
            break
        for seen in [s for s in left if s in out]:
            os.write(fd, left.pop(seen))
    os.close(fd)
    return out, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run__interrupt_at_the_terminal__reaches_a_container_without_one(build):
    with Box(build) as b:
        bundle = b.secret_bundle(["sh", "-c", "trap 'echo got it; exit 44' INT; test -t 1 || echo ready; while :; do sleep 0.1; done"])
        out, code = under_terminal(b.argv("run", "--bundle", bundle, "c"), {b"ready": b"\x03"})
        assert b"got it" in out and code == 44, (out, code)
        b.nothing_left()


def exec__interrupt_at_the_terminal__comes_once(build):
    with Box(build) as b:
        assert b.create(b.secret_bundle(["sleep", "100"]), "c") == 0 and b.oci("start", "c").returncode == 0
        # busybox's shell runs a trap once a signal, at the latest after its sleep.
        script = "n=0; trap 'n=$((n+1))' INT; echo ready; for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.1; done; echo n=$n"
        out, code = under_terminal(b.argv("exec", "c", "sh", "-c", script), {b"ready": b"\x03"})
        assert b"n=1" in out and code == 0, (out, code)
        out, code = under_terminal(b.argv("exec", "-t", "c", "sh", "-c", "stty size; test -t 0 && echo $SECRET"), {})
        assert b"33 77" in out and b.env_canary.encode() in out and code == 0, (out, code)


def run__terminal__is_the_containers_own_with_our_size(build):
    with Box(build) as b:
        bundle = b.secret_bundle(["sh", "-c", 'stty size; test -t 0 && test -t 1 && echo "$SECRET"; read x; echo "[$x]"'],
                                 terminal=True)
        out, code = under_terminal(b.argv("run", "--bundle", bundle, "c"), {b.env_canary.encode(): b"typed\r"})
        assert b"33 77" in out and b.env_canary.encode() in out and b"[typed]" in out and code == 0, (out, code)
        b.nothing_left()


def run_detach__pid_file_and_streams__keep_their_meaning(build):
    with Box(build) as b:
        with open(b.tmp / "out", "wb") as out:
            r = subprocess.run(b.argv("run", "--detach", "--pid-file", b.tmp / "pid", "--bundle",
                                      b.secret_bundle(["sh", "-c", SHOW + "; sleep 100"]), "c"),
                               stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=30)
        assert r.returncode == 0, (b.tmp / "out").read_text()
        state = json.loads(b.runc("state", "c").stdout)
        assert state["status"] == "running" and state["pid"] == int((b.tmp / "pid").read_text())
        wait_until(lambda: "440" in (b.tmp / "out").read_text(), "output")
        assert not b.holds(b.env_canary, where=b.mem)
        assert b.oci("delete", "--force", "c").returncode == 0
        (b.tmp / "out").unlink()
        b.nothing_left()


def run__without_subreaper__still_has_the_exit_code(build):
    with Box(build) as b:
        r = b.oci("run", "--no-subreaper", "--no-pivot", "--bundle", b.secret_bundle(["sh", "-c", "echo $SECRET; exit 6"]), "c")
        assert (r.stdout, r.returncode) == (b.env_canary + "\n", 6), r


def run__user_namespace__sees_the_files_as_the_original_would_be_seen(build):
    with Box(build) as b:
        def mapped(spec):
            spec["linux"]["namespaces"].append({"type": "user"})
            spec["linux"]["uidMappings"] = spec["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 1000}]
        b.tmp.chmod(0o755)
        for name in ("a", "b"):
            (b.rootfs() / "tmp" / name).touch()
        for name, mode in (("open", 0o444), ("closed", 0o400)):
            (b.tmp / name).write_text("sealed.file.f.f")
            (b.tmp / name).chmod(mode)
        os.chown(b.tmp / "closed", 100000, 100000)
        r = b.oci("run", "-b", b.bundle(["sh", "-c", "echo $S; cat /tmp/a; echo; cat /tmp/b"], env=["S=sealed.env.e.e"], change=mapped,
                                        mounts=[(b.tmp / "open", "/tmp/a"), (b.tmp / "closed", "/tmp/b")]), "c")
        assert r.stdout == f"{b.env_canary}\n{b.file_canary}\n{b.file_canary}", r
        b.nothing_left()


def run_keep__stopped_container__stays_until_deleted(build):
    with Box(build) as b:
        r = b.oci("run", "--keep", "--bundle", b.secret_bundle(["sh", "-c", "exit 3"]), "c")
        assert r.returncode == 3
        assert json.loads(b.oci("state", "c").stdout)["status"] == "stopped"
        assert len(b.shadows()) == 1
        assert b.oci("delete", "c").returncode == 0
        b.nothing_left()


def exec__without_process__has_the_containers_environment_unsealed(build):
    with Box(build) as b:
        b.rule("sealed.more.m.m", text="more plaintext")
        assert b.create(b.secret_bundle(["sleep", "100"]), "c") == 0 and b.oci("start", "c").returncode == 0
        r = b.oci("exec", "c", "sh", "-c", 'echo "$SECRET"; cat /tmp/secret')
        assert (r.stdout, r.returncode) == (f"{b.env_canary}\n{b.file_canary}", 0), (r.stdout, r.stderr)
        r = b.oci("exec", "--env", "MORE=sealed.more.m.m", "-e", "X=y", "--cwd", "/creds", "--user", "7:8",
                  "--additional-gids", "9", "c", "sh", "-c", 'echo "$MORE $X $SECRET"; pwd; id -u; id -g; id -G; exit 5')
        assert r.stdout.splitlines() == [f"more plaintext y {b.env_canary}", "/creds", "7", "8", "8 9"], (r.stdout, r.stderr)
        assert r.returncode == 5
        assert [p.name for p in b.shadows() if p.name.startswith("x-")] == []
        assert not b.plain_on_disk()


def exec__process_file__is_unsealed_and_left_as_it_was(build):
    with Box(build) as b:
        assert b.create(b.secret_bundle(["sleep", "100"]), "c") == 0 and b.oci("start", "c").returncode == 0
        f = b.tmp / "process.json"
        f.write_text(json.dumps({"terminal": False, "cwd": "/", "args": ["sh", "-c", "echo $P"], "user": {"uid": 0, "gid": 0},
                                 "env": ["PATH=/bin", "P=sealed.env.e.e"]}))
        f.chmod(0o600)
        before = f.read_bytes()
        r = b.oci("exec", "--process", f, "c")
        assert (r.stdout, r.returncode) == (b.env_canary + "\n", 0), (r.stdout, r.stderr)
        r = b.oci("exec", "-d", "--pid-file", b.tmp / "pid", "-p", f, "c")
        assert r.returncode == 0 and int((b.tmp / "pid").read_text()) > 1, r
        assert f.read_bytes() == before
        f.chmod(0o620)
        r = b.oci("exec", "--process", f, "c")
        assert r.returncode == 255 and "oci.config" in r.stderr and r.stdout == "", r


def exec__in_the_foreground__erases_the_process_file_while_it_runs(build):
    with Box(build) as b:
        assert b.create(b.secret_bundle(["sleep", "100"]), "c") == 0 and b.oci("start", "c").returncode == 0
        p = b.popen("exec", "c", "sh", "-c", "echo $SECRET; sleep 100")
        assert p.stdout.readline() == b.env_canary + "\n"
        wait_until(lambda: not [x for x in b.shadows() if x.name.startswith("x-")], "the erasing", 3)
        assert not b.holds(b.env_canary, where=b.mem)
        for pid in (p.pid, *children(p.pid)):
            for name in ("environ", "cmdline"):
                assert b.env_canary.encode() not in pathlib.Path(f"/proc/{pid}/{name}").read_bytes()
        stop(p)


def children(pid):
    path = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
    return [int(c) for c in path.read_text().split()] if path.exists() else []


def run__while_it_runs__plaintext_is_in_no_argv_or_environment_of_ours(build):
    with Box(build) as b:
        p = b.popen("run", "--bundle", b.secret_bundle(["sh", "-c", "echo up; sleep 100"]), "c")
        assert p.stdout.readline() == "up\n"
        for name in ("environ", "cmdline"):
            assert b.env_canary.encode() not in pathlib.Path(f"/proc/{p.pid}/{name}").read_bytes()
        assert not b.plain_on_disk(), b.plain_on_disk()
        assert not b.holds(b.env_canary, where=b.mem)
        b.runc("kill", "c", "KILL")
        p.communicate(timeout=20)
        b.nothing_left()


def exec__container_that_bare_runc_made__is_unsealed_too(build):
    with Box(build) as b:
        bundle = b.bundle(["sleep", "100"], env=["SECRET=sealed.env.e.e"])
        with open("/dev/null", "r+b") as null:
            r = subprocess.run(["runc", "--root", b.state, "run", "-d", "-b", bundle, "c"], stdin=null, stdout=null, stderr=null)
        assert r.returncode == 0
        r = b.oci("exec", "c", "sh", "-c", "echo $SECRET")
        assert r.stdout == b.env_canary + "\n", (r.stdout, r.stderr)


def exec__unknown_container__is_refused_in_the_runtimes_words(build):
    with Box(build) as b:
        r = b.oci("exec", "nobody", "sh")
        assert r.returncode == 255 and "does not exist" in r.stderr and r.stdout == "", r


def preserve_fds__and_listen_fds__reach_the_container(build):
    with Box(build) as b:
        (b.tmp / "given").write_text("through a descriptor\n")
        bundle = b.secret_bundle(["sh", "-c", "cat <&3; echo $SECRET"])
        argv = b.argv("run", "--preserve-fds", "1", "--bundle", bundle, "c")
        r = subprocess.run(["sh", "-c", 'f=$1; shift; exec 3<"$f"; exec "$@"', "sh", b.tmp / "given", *argv],
                           capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30)
        assert r.stdout == f"through a descriptor\n{b.env_canary}\n", (r.stdout, r.stderr)
        # Socket activation names the process it is for: the wrapper must put the runtime in its place.
        bundle = b.secret_bundle(["sh", "-c", 'cat <&3; echo "$LISTEN_FDS $LISTEN_PID"'])
        argv = b.argv("run", "--bundle", bundle, "d")
        r = subprocess.run(["sh", "-c", 'f=$1; shift; exec 3<"$f"; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"', "sh",
                            b.tmp / "given", *argv], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30)
        assert r.stdout == "through a descriptor\n1 1\n", (r.stdout, r.stderr)


def create__ten_at_once__all_start(build):
    with Box(build) as b:
        bundles = [b.secret_bundle(["sh", "-c", SHOW]) for _ in range(10)]
        ps = [b.popen("run", "--bundle", x, f"c{i}") for i, x in enumerate(bundles)]
        for p in ps:
            out, err = p.communicate(timeout=60)
            assert b.env_canary in out and p.returncode == 0, (out, err)
        b.nothing_left()


CASES = [v for k, v in list(globals().items()) if "__" in k and callable(v) and not k.startswith("__")]
