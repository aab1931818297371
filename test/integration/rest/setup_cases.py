# SPDX-License-Identifier: Apache-2.0
"""Where it listens, whom it lets in, how it starts, what it gave up; its units."""
import contextlib
import os
import re
import shutil
import socket
import subprocess

from box import FOREIGN, OUTER, PORTS, PYTHON, TOP, Skip, wait_for
from world import free_port_pair


def outside_the_namespace__nothing_listens(box):
    with contextlib.closing(socket.socket()) as s:
        assert s.connect_ex(("127.0.0.1", PORTS["all"])) != 0, "reached from outside"
    with contextlib.closing(box.socket(OUTER, netns=box.node)) as node, contextlib.closing(box.socket()) as pod:
        # The cable itself works.
        node.listen()
        pod.connect(node.getsockname())
    for address in (FOREIGN, "127.0.0.1"):
        with contextlib.closing(box.socket(netns=box.node)) as s:
            s.settimeout(3)
            assert s.connect_ex((address, PORTS["all"])) != 0, f"reached from the node at {address}"


def foreign_peer__everything__is_forbidden(box):
    for method, path, body in (("GET", "/info", None), ("GET", "/cdh/resource/a/b/c", None), ("GET", "/nowhere", None),
                               ("POST", "/aa/aael", b"{}"), ("GET", "/aa/token?token_type=kbs", None)):
        r = box.call(method, path, body=body, source=FOREIGN)
        assert (r.status, r.text, r.ctype) == (403, "Forbidden", None), (path, r.status, r.text)
    assert not box.calls()
    with contextlib.closing(box.http(source=FOREIGN)) as c:
        assert [box.on(c, "GET", "/info").status for _ in range(3)] == [403] * 3
    for source in ("127.0.0.1", "127.9.8.7"):
        assert box.call("GET", "/info", source=source).status == 200


def foreign_peers__many__take_no_place_from_local_ones(box):
    crowd = [box.connect(source=FOREIGN) for _ in range(60)]
    assert box.get("/info").status == 200
    ended = 0
    for s in crowd:
        s.settimeout(0.05)
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            ended += s.recv(1) == b""
    assert ended >= 50, f"{ended} of 60 were let go"
    assert box.call("GET", "/info", source=FOREIGN).status == 403
    for s in crowd:
        s.close()


def run(box, *args, program=None, env=None):
    return subprocess.run([str(program or box.dev / "vouchsafe-rest"), *args], capture_output=True, text=True,
                          timeout=20, env=env)


def options__wrong_ones__end_with_a_word(box):
    normal = box.build / "vouchsafe-rest"
    rows = [
        (["-f", "none"], 1, "there are: resource, attestation, all"),
        (["--features=All"], 1, "unknown features"),
        (["-b", "0.0.0.0:8006"], 64, "no loopback address"),
        (["-b", "10.0.0.1:8006"], 64, "no loopback address"),
        (["-b", "[::]:8006"], 64, "no loopback address"),
        (["-b", "[::ffff:127.0.0.1]:8006"], 64, "no loopback address"),
        (["-b", "localhost:8006"], 64, "is not IP:PORT"),
        (["-b", "127.0.0.1"], 64, "is not IP:PORT"),
        (["-b", "127.0.0.1:0"], 64, "is not IP:PORT"),
        (["-b", "127.0.0.1:65536"], 64, "is not IP:PORT"),
        (["-b", "127.0.0.1:80x"], 64, "is not IP:PORT"),
        (["-b", "127.1:8006"], 64, "is not IP:PORT"),
        (["-b", "::1:8006"], 64, "is not IP:PORT"),
        (["-b", "[::1:8006"], 64, "is not IP:PORT"),
        (["-c", "/run/cdh.sock"], 64, "must be unix://"),
        (["-c", "unix://@abstract"], 64, "must be unix://"),
        (["-a", "vsock://1:2"], 64, "must be unix://"),
        (["-a", "unix:///" + "x" * 200], 64, "must be unix://"),
        (["--log", "loud"], 64, ""),
        (["--nonsense"], 64, "bad option"),
        (["argument"], 64, "unexpected argument"),
    ]
    for args, code, words in rows:
        r = run(box, *args)
        assert r.returncode == code and words in r.stderr, (args, r.returncode, r.stderr)
    r = run(box, "--version")
    assert r.returncode == 0 and re.match(r"vouchsafe-rest \d+\.\d+\.\d+ \(", r.stdout), r.stdout
    r = run(box, "--help")
    assert r.returncode == 0 and "--token-without-key" in r.stdout
    if normal.exists():
        r = run(box, "--root", "/tmp", program=normal)
        assert r.returncode == 64 and "development" in r.stderr, r.stderr


def bind__free_and_taken__serves_or_ends(box):
    port = free_port_pair()
    p = box.start("bound", [box.dev / "vouchsafe-rest", "-b", f"127.0.0.1:{port}", "-f", "all", "--root", box.root])
    wait_for("the server", lambda: "serving" in box.log("bound") or p.poll() is not None)
    with contextlib.closing(socket.create_connection(("127.0.0.1", port), 5)) as s:
        s.sendall(b"GET /info HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 " in s.recv(4096)
    r = run(box, "-b", f"127.0.0.1:{port}")
    assert r.returncode == 71 and "EADDRINUSE" in r.stderr, r.stderr
    assert box.stop("bound") == 0


def handed_over__what_is_no_loopback_listener__is_refused(box):
    launch = [PYTHON, TOP / "test/tools/listen_fd.py", "-"]
    r = subprocess.run([*launch, "0.0.0.0", "0", box.dev / "vouchsafe-rest"], capture_output=True, text=True, timeout=20)
    assert r.returncode == 71 and "no loopback address" in r.stderr, r.stderr
    # Descriptor 3 is a file, a socket that does not listen, or there are two.
    for opener, words in (("import os; os.dup2(os.open('/dev/null', 0), 3)", "no listening TCP socket"),
                          ("import os, socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); os.dup2(s.fileno(), 3)",
                           "no listening TCP socket"),
                          ("import os, socket; s = socket.socket(socket.AF_UNIX); s.bind(''); s.listen(); "
                           "os.dup2(s.fileno(), 3)", "no listening TCP socket"),
                          ("import os; os.dup2(os.open('/dev/null', 0), 3); os.dup2(3, 4); os.set_inheritable(3, True); N = 2",
                           "2 sockets were handed over"),
                          ("import os; N = 2; os.closerange(3, 9)", "descriptor 3 of LISTEN_FDS: EBADF")):
        text = (f"N = 1\n{opener}\nimport sys\nos.environ.update(LISTEN_FDS=str(N), LISTEN_PID=str(os.getpid()))\n"
                "os.set_inheritable(3, True) if N == 1 else None\nos.execv(sys.argv[1], sys.argv[1:])")
        r = subprocess.run([PYTHON, "-c", text, box.dev / "vouchsafe-rest"], capture_output=True, text=True, timeout=20)
        assert r.returncode == 71 and words in r.stderr, (opener, r.stderr)
    # Announced to another process: not ours.
    env = dict(os.environ, LISTEN_FDS="1", LISTEN_PID="1")
    r = run(box, "-b", "1.2.3.4:5", env=env)
    assert r.returncode == 64, r.stderr


def started__confinement__is_in_force(box):
    pid = box.processes["all"].pid
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
    assert status["Uid"].split() == ["64734"] * 4 and status["Gid"].split() == ["64733"] * 4, status["Uid"]
    assert status["Groups"].strip() == "", status["Groups"]
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    limits = open(f"/proc/{pid}/limits", encoding="ascii").read()
    assert re.search(r"Max core file size +0 +0 ", limits), limits
    inside = os.stat(f"/run/netns/{box.netns}").st_ino
    assert os.stat(f"/proc/{pid}/ns/net").st_ino != inside, "the process itself is in the pod's namespace"


def service_manager__is_told(box):
    path = box.tmp / "notify"
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as s:
        s.bind(str(path))
        s.settimeout(10)
        env = dict(os.environ, NOTIFY_SOCKET=str(path))
        os.chmod(path, 0o666)
        p = box.start("told", [PYTHON, TOP / "test/tools/listen_fd.py", "-", "127.0.0.1", "0",
                               box.dev / "vouchsafe-rest"], env=env)
        assert s.recv(4096) == b"READY=1"
        p.terminate()
        said = s.recv(4096)
        while said.startswith(b"STATUS="):
            said = s.recv(4096)
        assert said == b"STOPPING=1"
        assert box.stop("told") == 0


def failed_calls__in_the_log__with_reason_and_not_without_end(box):
    before = box.log("all").count("call failed")
    box.rules({"GetResource": {"*": {"fail": "[CDH] [ERROR]: Get Resource failed: kbs.policy-denied: the reason"}}})
    for _ in range(120):
        r = box.get("/cdh/resource/a/b/c")
        assert r.status == 500 and r.text == "ttrpc request error"
    new = box.log("all").split("call failed")[before + 1:]
    assert 1 <= len(new) <= 60, len(new)
    assert "route=/cdh/resource code=kbs.policy-denied" in new[0] and "the reason" in new[0], new[0]


def units(box, *argv):
    if not shutil.which("systemd-analyze"):
        raise Skip("systemd-analyze is not installed")
    folder = box.tmp / "units"
    if not folder.exists():
        folder.mkdir()
        for name in ("vouchsafe-rest.service", "vouchsafe-rest.socket"):
            text = (TOP / "systemd" / name).read_text()
            # The program as it stands here, so that verify finds it.
            (folder / name).write_text(text.replace("/usr/libexec/vouchsafe/", f"{box.dev}/"))
        # What CAA's image brings along, as far as ours refer to it.
        (folder / "netns@.service").write_text("[Service]\nType=oneshot\nExecStart=/bin/true\n")
        (folder / "vouchsafed.service").write_text("[Service]\nExecStart=/bin/true\n")
    return subprocess.run(["systemd-analyze", *argv], capture_output=True, text=True, timeout=60, cwd=folder,
                          env=dict(os.environ, SYSTEMD_UNIT_PATH=f"{folder}:", SYSTEMD_LOG_LEVEL="warning"))


def unit_files__verified__without_a_word(box):
    r = units(box, "verify", "--man=no", "./vouchsafe-rest.socket", "./vouchsafe-rest.service")
    ours = [line for line in (r.stdout + r.stderr).splitlines() if "vouchsafe-rest" in line or "cycle" in line.lower()]
    assert r.returncode == 0 and not ours, r.stderr


def unit_files__security__at_most_1_5(box):
    r = units(box, "security", "--offline=true", "--threshold=15", "./vouchsafe-rest.service")
    assert r.returncode == 0, r.stdout[-400:] + r.stderr


def cases(_):
    return [f for name, f in globals().items() if "__" in name and callable(f) and not name.startswith("_")]
