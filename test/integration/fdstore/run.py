# SPDX-License-Identifier: Apache-2.0
"""Clients of the real vouchsafed stay connected over kill -9 and restart: a service manager that
keeps descriptors as systemd's store does (sd_notify(3)), and gives them to the next process."""

import array
import contextlib
import fcntl
import os
import pathlib
import random
import select
import signal
import socket
import sys
import threading
import time

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[1]))
sys.path.insert(0, str(HERE.parents[2] / "tools"))
from ttrpc import Broken, Client, field, fields, last  # noqa: E402
from world import Cases, Skip, World, wait_for  # noqa: E402

BUILD = sys.argv[1]
ROUNDS = 60
FIRST_FREE = 100


def high(fd):
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, FIRST_FREE)


class Manager:
    """Reads NOTIFY_SOCKET in a thread; what was sent before a death is handled before a start."""

    def __init__(self, w, *argv, most=16, env=None):
        self.w, self.argv, self.most, self.env = w, argv, most, env or {}
        self.kept = {}
        self.refused = self.ready = 0
        self.pid = None
        self.lock = threading.RLock()
        self.path = w.tmp / "notify"
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(str(self.path))
        self.path.chmod(0o666)
        self.sock.setblocking(False)
        self.end = False
        self.thread = threading.Thread(target=self.loop)
        self.thread.start()

    def loop(self):
        while not self.end:
            select.select([self.sock], [], [], 0.02)
            self.read_all()

    def read_all(self):
        with self.lock:
            with contextlib.suppress(BlockingIOError):
                while True:
                    self.message(*self.sock.recvmsg(4096, socket.CMSG_SPACE(4 * 8)))
            for name, fd in list(self.kept.items()):
                p = select.poll()
                p.register(fd, 0)
                if p.poll(0):
                    os.close(self.kept.pop(name))

    def message(self, text, control, *_):
        fds = array.array("i")
        for _level, _kind, data in control:
            fds.frombytes(data[:len(data) - len(data) % fds.itemsize])
        lines = text.decode().split("\n")
        names = [x[7:] for x in lines if x.startswith("FDNAME=")]
        self.ready += "READY=1" in lines
        if "FDSTORE=1" in lines:
            assert len(fds) == 1 and len(names) == 1
            if names[0] in self.kept:
                os.close(self.kept.pop(names[0]))
            if len(self.kept) >= self.most:
                self.refused += 1
            else:
                self.kept[names[0]] = high(fds[0])
        elif "FDSTOREREMOVE=1" in lines and names[0] in self.kept:
            os.close(self.kept.pop(names[0]))
        for fd in fds:
            os.close(fd)

    def start(self):
        with self.lock:
            before = self.ready
            names = sorted(self.kept)
            fds = [self.kept[n] for n in names]
            argv = [str(a) for a in (self.w.dev / "vouchsafed", "--root", self.w.root, *self.argv)]
            with open(self.w.tmp / "vouchsafed.log", "ab") as f:
                out = high(f.fileno())
            env = {"PATH": os.environ["PATH"], "NOTIFY_SOCKET": str(self.path), "LISTEN_FDS": str(len(fds)),
                   "LISTEN_FDNAMES": ":".join(names), **self.env}
            self.pid = os.fork()
            if self.pid == 0:
                try:
                    os.setsid()
                    os.closerange(3, FIRST_FREE)
                    for i, fd in enumerate(fds):
                        os.dup2(fd, 3 + i)
                    os.dup2(out, 1)
                    os.dup2(out, 2)
                    os.closerange(FIRST_FREE, 4096)
                    os.execve(argv[0], argv, {**env, "LISTEN_PID": str(os.getpid())})
                finally:
                    os._exit(127)
            os.close(out)

        def is_ready():
            if os.waitpid(self.pid, os.WNOHANG)[0]:
                self.pid = None
                raise RuntimeError("vouchsafed ended: " + self.w.log("vouchsafed"))
            return self.ready > before

        wait_for("READY=1", is_ready)

    def stop(self, sig=signal.SIGKILL):
        if self.pid is None:
            return None
        os.kill(self.pid, sig)
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        self.read_all()
        code = os.waitpid(self.pid, 0)[1]
        self.pid = None
        return code

    def restart(self, sig=signal.SIGKILL):
        code = self.stop(sig)
        self.start()
        return code

    def names(self):
        self.read_all()
        return sorted(self.kept)

    def close(self):
        self.stop()
        self.end = True
        self.thread.join()
        for fd in self.kept.values():
            os.close(fd)
        self.sock.close()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.close()


def ready(w):
    if os.geteuid() != 0:
        raise Skip("only root's connections are kept")
    w.resource("default/a/small", "a small value")
    w.resource("default/a/large", LARGE)
    w.start_tpm()
    w.provision_ak()
    w.start_trustee()
    w.keygen()
    w.provision(w.initdata())


LARGE = bytes(i * 7 % 251 for i in range(1500000))
SMALL = "kbs:///default/a/small"


def aa_socket(w):
    return str(w.root / "run/confidential-containers/attestation-agent/attestation-agent.sock")


def tee_type(c):
    return c.call("attestation_agent.AttestationAgentService", "GetTeeType", b"", 10)


def clients__connected_before_kill__call_on_the_same_connections():
    with World(BUILD) as w:
        ready(w)
        with Manager(w, "--fd-store") as m, Client(str(w.cdh_socket)) as cdh, Client(aa_socket(w)) as aa:
            sealed = w.seal(SMALL)
            assert cdh.unseal(sealed) == b"a small value"
            kind = tee_type(aa)
            wait_for("two in the store", lambda: m.names() == ["aa-2", "cdh-1"] or m.names() == ["aa-1", "cdh-2"])
            for _ in range(3):
                m.restart()
                assert cdh.unseal(sealed) == b"a small value"
                assert tee_type(aa) == kind
            assert m.restart(signal.SIGTERM) == 0, "SIGTERM"
            assert cdh.get_resource(SMALL) == b"a small value"
            assert tee_type(aa) == kind
            assert "connections taken over n=2 of=2" in w.log("vouchsafed"), w.log("vouchsafed")
        assert w.metric("kbs_attestation_successes_total") == 5


def request__sent_while_nobody_runs__is_answered_by_the_successor():
    with World(BUILD) as w:
        ready(w)
        with Manager(w, "--fd-store") as m, Client(str(w.cdh_socket)) as c:
            assert c.get_resource(SMALL) == b"a small value"
            wait_for("one in the store", lambda: len(m.names()) == 1)
            m.stop()
            stream = c.start("api.GetResourceService", "GetResource", field(1, SMALL), 20)
            m.start()
            assert b"a small value" in c.finish(stream, 20)


def daemon__killed_at_random_moments__answers_are_right_or_the_connection_ends():
    with World(BUILD) as w:
        ready(w)
        rng = random.Random(3)
        ended = kept = lost = 0
        with Manager(w, "--fd-store") as m:
            c = Client(str(w.cdh_socket))
            assert c.get_resource(SMALL) == b"a small value"
            took = time.monotonic()
            assert c.get_resource("kbs:///default/a/large") == LARGE
            took = time.monotonic() - took
            for i in range(ROUNDS):
                large = i % 2
                # With a token at hand the kill meets the reply and not the handshake.
                assert c.get_resource(SMALL) == b"a small value"
                t = threading.Timer(rng.uniform(0, 1.5 * took if large else 0.03), m.stop)
                t.start()
                try:
                    stream = c.start("api.GetResourceService", "GetResource",
                                     field(1, "kbs:///default/a/large" if large else SMALL), 20)
                    if rng.random() < 0.5:
                        t.join()
                    got = last(fields(c.finish(stream, 0.3)), 1, b"")
                    assert got == (LARGE if large else b"a small value"), f"{len(got)} bytes"
                except Broken:
                    lost += 1
                t.join()
                m.start()
                try:
                    # Answers to what a former process took never come; others may come first.
                    assert c.get_resource(SMALL, timeout=10) == b"a small value"
                    kept += 1
                except Broken as why:
                    assert "no answer" not in str(why), why
                    assert large, f"a connection with small frames only ended: {why}"
                    ended += 1
                    c.close()
                    c = Client(str(w.cdh_socket))
                assert m.refused == 0
                if not large:
                    continue
                # The next round is a small one: nothing large may be left over.
                c.close()
                c = Client(str(w.cdh_socket))
                assert c.get_resource(SMALL) == b"a small value"
                wait_for("one in the store", lambda: len(m.names()) == 1)
            c.close()
        print(f"     large call {took * 1000:.0f} ms; {kept} went on, {ended} ended, {lost} calls without an answer")
        assert kept >= ROUNDS // 2


def connections__a_flood__do_not_fill_the_store():
    with World(BUILD) as w:
        ready(w)
        with Manager(w, "--fd-store") as m, contextlib.ExitStack() as stack:
            clients = [stack.enter_context(Client(str(w.cdh_socket))) for _ in range(40)]
            for c in clients[:2]:
                assert c.get_resource(SMALL) == b"a small value"
            wait_for("twelve", lambda: len(m.names()) == 12)
            time.sleep(0.5)
            assert len(m.names()) == 12 and m.refused == 0
            m.restart()
            assert sum(answers(c) for c in clients) == 12
            stack.close()
            wait_for("an empty store", lambda: not m.names())


def answers(c):
    try:
        return c.get_resource(SMALL) == b"a small value"
    except Broken:
        return False


def store__what_is_not_ours__is_ended_and_removed():
    with World(BUILD) as w:
        ready(w)
        with Manager(w, "--fd-store") as m:
            ends = []
            for name in ("other", "cdh-", "cdh-01", "cdh-1000000000", "cdh-7x", "aa-9"):
                mine, theirs = socket.socketpair()
                ends.append((name, mine))
                m.kept[name] = high(theirs.fileno())
                theirs.close()
            m.restart()
            # A socketpair's peer is root too: the well-formed name is served.
            wait_for("removal", lambda: m.names() == ["aa-9"])
            for name, mine in ends:
                mine.settimeout(5 if name != "aa-9" else 0.2)
                try:
                    assert mine.recv(1) == b"", name
                except TimeoutError:
                    assert name == "aa-9", name
            assert "connections taken over n=1 of=6" in w.log("vouchsafed")


def option__absent_or_no_manager__nothing_is_kept():
    with World(BUILD) as w:
        ready(w)
        with Manager(w) as m, Client(str(w.cdh_socket)) as c:
            assert c.get_resource(SMALL) == b"a small value"
            time.sleep(0.3)
            assert not m.names()
            mine, theirs = socket.socketpair()
            m.kept["cdh-1"] = high(theirs.fileno())
            theirs.close()
            m.restart()
            os.close(m.kept.pop("cdh-1"))
            mine.settimeout(5)
            assert mine.recv(1) == b"", "the daemon still has it"
            m.stop()
        w.start_daemon("--fd-store")
        with Client(str(w.cdh_socket)) as c:
            assert c.get_resource(SMALL) == b"a small value"


def variables__malformed__are_named_and_ignored():
    with World(BUILD) as w:
        ready(w)
        with Manager(w, "--fd-store", env={"LISTEN_FDS": "2", "LISTEN_FDNAMES": "cdh-1"}), \
                Client(str(w.cdh_socket)) as c:
            assert c.get_resource(SMALL) == b"a small value"
            assert "what the service manager handed over is not used" in w.log("vouchsafed")


def main():
    c = Cases()
    for fn in (
        clients__connected_before_kill__call_on_the_same_connections,
        request__sent_while_nobody_runs__is_answered_by_the_successor,
        daemon__killed_at_random_moments__answers_are_right_or_the_connection_ends,
        connections__a_flood__do_not_fill_the_store,
        store__what_is_not_ours__is_ended_and_removed,
        option__absent_or_no_manager__nothing_is_kept,
        variables__malformed__are_named_and_ignored,
    ):
        c.run(fn)
    return c.finish()


sys.exit(main())
