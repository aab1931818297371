# SPDX-License-Identifier: Apache-2.0
"""The cases of kata.py: kata-agent's part of the launch. Runs in a mount and a network namespace."""

import base64
import hashlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
import traceback
import urllib.error
import urllib.request

sys.dont_write_bytecode = True
TESTS = pathlib.Path(__file__).resolve().parents[2]
for p in ("integration", "integration/tpm", "tools"):
    sys.path.insert(0, str(TESTS / p))
import mux  # noqa: E402
import ttrpc  # noqa: E402
from world import World, wait_for  # noqa: E402

BUILD = pathlib.Path(sys.argv[1]).resolve()
RUN = pathlib.Path("/run/confidential-containers")
AA_SOCKET = RUN / "attestation-agent/attestation-agent.sock"
CDH_SOCKET = RUN / "cdh.sock"
INITDATA = RUN / "initdata"
BIN = pathlib.Path("/usr/local/bin")
AA_ARGS = ["--attestation_sock", f"unix://{AA_SOCKET}", "--initdata-toml", INITDATA / "initdata.toml"]
LAUNCH_TIMEOUT = 6
# Upstream's, where none was delivered (spec/local-api.md 5.6).
DUMMY = b'algorithm = "sha256"\nversion = "0.1.0"\n\n[data]\n"aa.toml" = \'\'\'\n\'\'\''
OWN, REST = 64733, 64734


def sh(*argv):
    subprocess.run([str(a) for a in argv], check=True, capture_output=True)


class Guest(World):
    """A guest whose /run is empty and whose programs are the development build's, by upstream's names."""

    def __init__(self, token_life=None):
        super().__init__(BUILD)
        self.token_life = token_life
        sh("ip", "link", "set", "lo", "up")
        sh("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
        upper, work = self.tmp / "upper", self.tmp / "work"
        sh("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", self.root)
        upper, work = self.root / "upper", self.root / "work"
        upper.mkdir()
        work.mkdir()
        sh("mount", "-t", "overlay", "overlay", "-o", f"lowerdir=/usr,upperdir={upper},workdir={work}", "/usr")
        # What `make install install-kata` lays out, with the development build.
        libexec = pathlib.Path("/usr/libexec/vouchsafe")
        libexec.mkdir(parents=True, exist_ok=True)
        for name, to in (("attestation-agent", "vouchsafed"), ("confidential-data-hub", "vouchsafed"),
                         ("api-server-rest", "vouchsafe-rest")):
            (libexec / to).write_bytes((self.dev / to).read_bytes())
            (libexec / to).chmod(0o755)
            (BIN / name).unlink(missing_ok=True)
            (BIN / name).symlink_to(libexec / to)
        pathlib.Path("/usr/lib/vouchsafe").mkdir(exist_ok=True)
        self.old_root, self.root = self.root, pathlib.Path("/")

    def image_settings(self, text):
        pathlib.Path("/usr/lib/vouchsafe/vouchsafe.toml").write_text(text)

    def machine(self):
        """TPM, Trustee and the owner's things; nothing of the guest runs yet."""
        self.start_tpm()
        # The kernel's resource manager lets several processes at a TPM; swtpm serves one.
        self.mux = mux.Mux(self.tpm_port)
        self.image_settings(f'[tpm]\ndevice = "swtpm:127.0.0.1:{self.mux.port}"\n')
        self.provision_ak()
        self.start_trustee(*(["--token-life", str(self.token_life)] if self.token_life else []))
        self.keygen()

    def kata_initdata(self, own=""):
        """What kata-agent leaves of an initdata disk."""
        text = self.initdata(encode=False, own=own, cdh='[kbc]\nname = "cc_kbc"\nurl = ""\n').read_bytes()
        INITDATA.mkdir(parents=True, exist_ok=True)
        (INITDATA / "initdata.toml").write_bytes(text)
        (INITDATA / "aa.toml").write_text((self.tmp / "aa.toml").read_text())
        (INITDATA / "cdh.toml").write_text((self.tmp / "cdh.toml").read_text())
        return text

    def launch(self, name, args, wait_socket=None, env=None, wait=True):
        """As kata-agent does it: unlink, spawn, look once a second for at most the timeout and once more."""
        if wait_socket is not None and wait_socket.exists():
            wait_socket.unlink()
        old = self.processes.get(name)
        if old is not None:
            self.processes[f"{name}-{old.pid}"] = old
        p = self.start(name, [BIN / name, *args], env={"PATH": "/usr/bin:/bin", "HOME": "/", **(env or {})})
        if wait_socket is None or not wait:
            return p
        for _ in range(LAUNCH_TIMEOUT + 1):
            time.sleep(1)
            if wait_socket.exists():
                return p
            if p.poll() is not None:
                raise RuntimeError(f"{name} ended with {p.returncode}: " + self.log(name))
        raise RuntimeError(f"wait for {wait_socket} to exist timeout: " + self.log(name))

    def launch_all(self, initdata=True):
        aa = [*AA_ARGS[:2]]
        cdh = []
        if initdata:
            aa = [*AA_ARGS, "-c", INITDATA / "aa.toml"]
            cdh = ["-c", INITDATA / "cdh.toml"]
        self.aa = self.launch("attestation-agent", aa, AA_SOCKET)
        self.cdh = self.launch("confidential-data-hub", cdh, CDH_SOCKET,
                               {"OCICRYPT_KEYPROVIDER_CONFIG": "/etc/ocicrypt_config.json"})
        self.client = ttrpc.Client(str(CDH_SOCKET))
        self.rest = self.launch("api-server-rest", ["--features", "all"])

    def pcr8(self):
        return json.loads(self.vouchsafe("tpm", "show", "--json", check=True).stdout)["pcrs"][8]

    def http(self, path):
        def ask():
            try:
                with urllib.request.urlopen("http://127.0.0.1:8006" + path, timeout=30) as reply:
                    return reply.status, reply.read()
            except urllib.error.HTTPError as e:
                return e.code, e.read()
            except OSError:
                return None
        return wait_for("the REST API", ask)

    def close(self):
        for name in list(self.processes)[::-1]:
            self.stop(name)
        sh("umount", "-l", "/usr")
        sh("umount", "-l", self.old_root)
        self.root = self.old_root
        super().close()


def bound(digest):
    return hashlib.sha256(bytes(32) + digest[:32]).hexdigest()


def status(pid):
    out = {}
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        key, _, value = line.partition(":")
        out[key] = value.split()
    return out


def check_confined(p, uid):
    s = status(p.pid)
    assert s["Uid"] == [str(uid)] * 4 and s["Gid"] == [str(OWN)] * 4 and s["Groups"] == [], s
    for caps in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(s[caps][0], 16) == 0, (caps, s[caps])
    assert s["NoNewPrivs"] == ["1"] and s["Seccomp"] == ["2"], s
    limits = pathlib.Path(f"/proc/{p.pid}/limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", limits), limits
    # Not dumpable: what belongs to the process belongs to root.
    assert os.stat(f"/proc/{p.pid}/mem").st_uid == 0
    for t in os.listdir(f"/proc/{p.pid}/task"):
        text = pathlib.Path(f"/proc/{p.pid}/task/{t}/status").read_text()
        assert "Seccomp:\t2" in text and "CapEff:\t0000000000000000" in text, (t, text)


def expect(got, want):
    assert got == want, (got, want)


def launch__with_initdata__each_socket_in_time_confined_and_one_quote():
    with Guest() as g:
        g.machine()
        g.resource("default/a/b", "the secret")
        text = g.kata_initdata()
        g.launch_all()
        expect(g.pcr8(), bound(hashlib.sha256(text).digest()))
        for p, uid in ((g.aa, OWN), (g.cdh, OWN), (g.rest, REST)):
            check_confined(p, uid)
        # One socket each.
        names = {p.name: sorted(str(x) for x in RUN.rglob("*.sock")) for p in [AA_SOCKET]}
        expect(names, {AA_SOCKET.name: [str(AA_SOCKET), str(CDH_SOCKET)]})
        for s in (AA_SOCKET, CDH_SOCKET):
            st = s.stat()
            expect((st.st_mode & 0o7777, st.st_uid, st.st_gid), (0o660, OWN, OWN))
        # kata-agent's folder stays root's.
        expect(INITDATA.stat().st_uid, 0)
        expect(g.client.unseal(g.seal("kbs:///default/a/b")), b"the secret")
        expect(g.client.get_resource("kbs:///default/a/b"), b"the secret")
        expect(g.http("/cdh/resource/default/a/b"), (200, b"the secret"))
        code, token = g.http("/aa/token?token_type=kbs")
        assert code == 200 and set(json.loads(token)) == {"token", "tee_keypair"}, (code, token[:80])
        info = json.loads(g.http("/info")[1])
        expect(info["tee"], "tpm")
        # The data hub has no key of its own: the agent attested, once, for all of them.
        expect(g.metric("kbs_attestation_successes_total"), 1)
        # Which file -c named did not count, and that is said.
        assert "configuration file not read" in g.log("attestation-agent"), g.log("attestation-agent")
        # A client that is connected stays so.
        time.sleep(1)
        expect(g.client.get_resource("kbs:///default/a/b"), b"the secret")
        for name in ("api-server-rest", "confidential-data-hub", "attestation-agent"):
            expect(g.stop(name), 0)
        assert not AA_SOCKET.exists() and not CDH_SOCKET.exists()


def launch__again_after_unlink__works_and_extends_nothing():
    with Guest() as g:
        g.machine()
        g.resource("default/a/b", "the secret")
        g.kata_initdata()
        g.launch_all()
        before = g.pcr8()
        extends = g.mux.seen.get(mux.PCR_EXTEND, 0)
        expect(g.client.get_resource("kbs:///default/a/b"), b"the secret")
        # The agent was killed and starts again; what it had launched still runs.
        g.stop("api-server-rest", signal.SIGKILL)
        g.launch_all()
        expect(g.pcr8(), before)
        expect(g.mux.seen.get(mux.PCR_EXTEND, 0), extends)
        expect(g.client.get_resource("kbs:///default/a/b"), b"the secret")
        # And with nothing running, sockets left behind.
        for name in list(g.processes):
            if name.startswith(("attestation-agent", "confidential-data-hub", "api-server-rest")):
                g.stop(name, signal.SIGKILL)
        assert AA_SOCKET.exists() and CDH_SOCKET.exists()
        g.launch_all()
        expect(g.pcr8(), before)
        expect(g.client.get_resource("kbs:///default/a/b"), b"the secret")


def launch__without_initdata__binds_the_dummy():
    with Guest() as g:
        g.machine()
        g.launch_all(initdata=False)
        expect(g.pcr8(), bound(hashlib.sha256(DUMMY).digest()))
        try:
            g.client.get_resource("kbs:///default/a/b")
            raise AssertionError("there is no Trustee")
        except ttrpc.Status as e:
            assert "config.no-trustee" in str(e), e
        expect(json.loads(g.http("/info")[1])["tee"], "tpm")
        expect(g.metric("kbs_attestation_successes_total"), 0)


def launch__other_initdata_than_bound__no_socket():
    with Guest() as g:
        g.machine()
        g.kata_initdata()
        aa = g.launch("attestation-agent", AA_ARGS, AA_SOCKET)
        before = g.pcr8()
        g.stop("attestation-agent", signal.SIGKILL)
        AA_SOCKET.unlink()
        g.kata_initdata(own="[sealed]\nkids = []\n")
        for name, args, sock in (("attestation-agent", AA_ARGS, AA_SOCKET), ("confidential-data-hub", [], CDH_SOCKET)):
            p = g.launch(name, args, sock, wait=False)
            expect(p.wait(10), 78)
            assert not sock.exists()
            assert "initdata." in g.log(name), g.log(name)
        expect(g.pcr8(), before)
        assert aa.returncode is not None


def launch__file_named_is_not_there__no_socket():
    with Guest() as g:
        g.machine()
        p = g.launch("attestation-agent", AA_ARGS, AA_SOCKET, wait=False)
        expect(p.wait(10), 78)
        assert "initdata.not-provisioned" in g.log("attestation-agent"), g.log("attestation-agent")
        expect(g.pcr8(), "00" * 32)


def agent__restarted_with_a_new_key__data_hub_follows():
    with Guest(token_life=6) as g:
        g.machine()
        g.resource("default/a/b", "the secret")
        g.kata_initdata()
        g.launch_all()
        expect(g.client.get_resource("kbs:///default/a/b"), b"the secret")
        g.stop("attestation-agent", signal.SIGKILL)
        g.aa = g.launch("attestation-agent", AA_ARGS, AA_SOCKET)
        end = time.monotonic() + 8
        while time.monotonic() < end:
            expect(g.client.get_resource("kbs:///default/a/b"), b"the secret")
            time.sleep(0.3)
        assert g.metric("kbs_attestation_successes_total") >= 2


def agent__gone__data_hub_says_so_and_recovers():
    with Guest() as g:
        g.machine()
        g.resource("default/a/b", "the secret")
        g.kata_initdata()
        g.launch_all()
        g.stop("attestation-agent", signal.SIGKILL)
        try:
            g.client.get_resource("kbs:///default/a/b", timeout=3)
            raise AssertionError("there is no agent")
        except ttrpc.Status as e:
            assert "attestation agent" in str(e) or e.args[0] == 4, e
        assert "api.unreachable" in g.log("confidential-data-hub"), g.log("confidential-data-hub")
        g.launch("attestation-agent", AA_ARGS, AA_SOCKET)
        expect(g.client.get_resource("kbs:///default/a/b"), b"the secret")


def command_line__each_spelling_of_upstream__is_taken():
    with Guest() as g:
        g.machine()
        text = g.kata_initdata()
        file = INITDATA / "initdata.toml"
        uri = f"unix://{AA_SOCKET}"
        digest = base64.b64encode(hashlib.sha256(text).digest()).decode()
        other = RUN / "attestation-agent/other.sock"
        for args, sock in (
            (["-a", uri, "-t", file, "-c", INITDATA / "aa.toml"], AA_SOCKET),
            (["--attestation_sock", uri, "--initdata_toml", file], AA_SOCKET),
            ([f"--attestation_sock={uri}", f"--initdata-toml={file}", "--config-file=/no/such/file"], AA_SOCKET),
            (["--attestation-sock", uri, "--config", "/no/such/file"], AA_SOCKET),
            (["-i", digest], AA_SOCKET),
            (["--initdata-digest", digest, "--initdata-toml", file], AA_SOCKET),
            (["--initdata_digest", "b3RoZXI=", "-t", file], AA_SOCKET),  # the file wins
            (["-a", f"unix://{other}"], other),
            (["-a", "unix:///run/elsewhere/aa.sock"], pathlib.Path("/run/elsewhere/aa.sock")),
            ([], AA_SOCKET),
        ):
            p = g.launch("attestation-agent", args, sock)
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(str(sock))
            check_confined(p, OWN)
            expect(g.stop("attestation-agent"), 0)
        for name in ("attestation-agent", "confidential-data-hub", "api-server-rest"):
            for option in ("--version", "-h") + (("-V",) if name != "api-server-rest" else ()):
                r = g.run([BIN / name, option])
                assert r.returncode == 0 and "vouchsafe" in r.stdout and r.stderr == "", (name, option, r)


def command_line__what_upstream_refuses__is_refused():
    with Guest() as g:
        g.machine()
        text = g.kata_initdata()
        del text
        for name, args, code in (
            ("attestation-agent", ["-a", "tcp://127.0.0.1:1"], 64),
            ("attestation-agent", ["-a", "unix://@abstract"], 64),
            ("attestation-agent", ["--frobnicate"], 64),
            ("attestation-agent", ["-t"], 64),
            ("attestation-agent", ["operand"], 64),
            ("attestation-agent", ["-i", "b3RoZXI="], 78),
            ("attestation-agent", ["-i", "???"], 78),
            ("confidential-data-hub", ["--config", "x"], 64),
            ("confidential-data-hub", ["-t", "x"], 64),
            ("api-server-rest", ["--features", "none"], 1),
        ):
            r = g.run([BIN / name, *args], timeout=20)
            assert r.returncode == code and r.stderr != "", (name, args, r)
            assert not AA_SOCKET.exists() and not CDH_SOCKET.exists()


if __name__ == "__main__":
    try:
        globals()[sys.argv[2]]()
    except Exception:
        traceback.print_exc()
        sys.exit(1)
