# SPDX-License-Identifier: Apache-2.0
"""The whole guest on these devices: provisioning, vouchsafed, Trustee, native kata's role."""

import base64
import contextlib
import hashlib
import json
import os
import pathlib
import signal
import struct
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
import cclog  # noqa: E402
import shape  # noqa: E402
import ttrpc  # noqa: E402
from run_checks import check_confined, need  # noqa: E402
from tee_devices import Teed  # noqa: E402
from world import World, wait_for  # noqa: E402

AA = "attestation_agent.AttestationAgentService"
UNAVAILABLE, FINDINGS, VERIFY = 69, 1, 76
LOG = '\n[eventlog_config]\nenable_eventlog = true\n'


class Guest(World):
    """A guest whose host launched it with the digest of its initdata."""

    def __init__(self, bench, kind, teed=True, log=False, bound=True, algorithm="sha256", **ways):
        super().__init__(bench.build)
        self.devices, self.kind = bench.devices, kind
        keys = bench.devices.keys
        (self.tmp / "amd.pem").write_text((keys / "ark.pem").read_text() + (keys / "ask.pem").read_text())
        self.start_trustee("--amd-root", self.tmp / "amd.pem", "--intel-root", keys / "intel-root.pem")
        self.keygen()
        self.text = self.initdata(encode=False, algorithm=algorithm).read_bytes()
        if log:
            self.text = self.text.replace(b"[token_configs.kbs]", LOG.encode() + b"[token_configs.kbs]", 1)
        self.digest = hashlib.new(algorithm, self.text).digest()
        self.devices.bind_initdata(self.digest if bound else b"another")
        self.devices.platform(kind, **ways)
        self.file = self.tmp / "initdata.toml"
        self.file.write_bytes(self.text)
        self.teed = None
        if teed:
            self.teed = Teed(bench.program, self.root / "run/vouchsafe/teed.sock", self.tmp / "teed.log")
            self.teed.start("--wait", "2500")

    def close(self):
        if self.teed:
            self.teed.close()
        super().close()

    def unseal(self):
        self.resource("default/secret/1", "plaintext of the secret")
        sealed = self.seal("kbs:///default/secret/1")
        return ttrpc.Client(str(self.cdh_socket)).unseal(sealed)

    def evidence(self, data="hello"):
        r = self.vouchsafe("evidence", "--json", "--runtime-data", data)
        got = json.loads(r.stdout or "{}")
        need(r.returncode == 0 or set(got) <= {"error"}, f"a part of evidence: {list(got)}")
        return r.returncode, got, r.stderr

    def claims(self):
        body = self.vouchsafe("token", check=True).stdout.split(".")[1]
        return base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode()

    def measure(self, *event, register=b""):
        """One event, through the attestation agent's socket."""
        c = ttrpc.Client(str(self.root / "run/confidential-containers/attestation-agent/attestation-agent.sock"))
        c.call(AA, "ExtendRuntimeMeasurement", b"".join(ttrpc.field(i + 1, t) for i, t in enumerate(event)) + register)


# Of a report of version 3 the crate that wrote the recording says nothing of these, its successor null.
NEWER = (".attestation_report.launch_mit_vector", ".attestation_report.current_mit_vector")


def check_shape(kind, evidence):
    """Member for member as recorded; of tdx nobody recorded the whole: there are but two members."""
    if kind == "tdx":
        want = {"cc_eventlog": None, "quote": "+/" * 200}
        found = shape.differences(evidence, want, loose=(".quote",))
        need(list(evidence) == list(want) and not found, found)
        need(base64.b64decode(evidence["quote"], validate=True)[:2] == b"\4\0", "not the quote itself")
        return
    want = shape.recorded("attestation-service/tests/e2e/evidence.json")
    if want is None:
        print("     shape not compared: the shared vectors are not here", flush=True)
        return
    need(shape.sees_every_change(want) > 300, "too few changes to mean anything")
    # The recording has the VCEK alone; this host gives its whole chain.
    first = want["cert_chain"][0]
    need([c["cert_type"] for c in evidence["cert_chain"]] == ["VCEK", "ASK", "ARK"], "certificates")
    want["cert_chain"] = [first, dict(first, cert_type="ASK"), dict(first, cert_type="ARK")]
    found = shape.differences(evidence, want, newer=NEWER, loose=[f".cert_chain[{i}].data" for i in range(3)])
    need(not found, found)


def report_data(kind, evidence):
    if kind == "snp":
        return bytes(evidence["attestation_report"]["report_data"])
    return base64.b64decode(evidence["quote"])[568:632]


def end_to_end(b, kind, **ways):
    with Guest(b, kind, **ways) as g:
        g.provision(g.file)
        done = json.loads((g.root / "run/vouchsafe/provision.json").read_text())
        g.start_daemon()
        rc, got, err = g.evidence()
        need(rc == 0 and got["tee"] == kind, rc, got, err)
        need(report_data(kind, got["evidence"]) == b"hello".ljust(64, b"\0"), "report data")
        check_shape(kind, got["evidence"])
        need(g.unseal() == b"plaintext of the secret", "the secret")
        need(g.metric("kbs_attestation_requests_total") >= 0, "metrics")
        r = g.vouchsafe("doctor", "--json")
        found = {f["check"]: f for f in json.loads(r.stdout)["findings"]} if "findings" in r.stdout else {}
        need("device" in r.stdout and "tee." not in r.stdout, r.stdout, found)
        need(g.devices.count("folders") == 0, "a folder is left")
        return done


def snp_configfs__provision_evidence_unseal_doctor__end_to_end(b):
    end_to_end(b, "snp", device=False)


def snp_ioctl__provision_evidence_unseal_doctor__end_to_end(b):
    end_to_end(b, "snp", configfs=False)


def tdx__provision_evidence_unseal_doctor__end_to_end(b):
    end_to_end(b, "tdx")
    end_to_end(b, "tdx", rtmrs=False)


def initdata__each_algorithm__cut_or_padded_into_the_register_and_sent(b):
    for kind, size in (("snp", 32), ("tdx", 48)):
        for algorithm in ("sha256", "sha384", "sha512"):
            with Guest(b, kind, algorithm=algorithm) as g:
                g.provision(g.file)
                g.start_daemon()
                need(g.unseal() == b"plaintext of the secret", "the secret")
                claims = g.claims()
                need("init_data_claims" in claims, f"{kind} {algorithm}: the text was not sent")
                need(g.digest[:size].ljust(size, b"\0").hex() in claims, f"{kind} {algorithm}: the register")


def initdata__kept_back_or_never_set__refused(b):
    for kind in ("snp", "tdx"):
        with Guest(b, kind) as g:
            r = g.provision(g.tmp / "none", check=False)
            need(r.returncode != 0 and "initdata.missing" in r.stderr, f"{kind}: kept back: {r}")
            g.devices.bind_initdata(b"")
            g.devices.platform(kind)
            r = g.provision(g.file, check=False)
            need(r.returncode != 0 and "initdata.digest-mismatch" in r.stderr, f"{kind}: never set: {r}")
            need(not (g.root / "run/peerpod/aa.toml").exists(), "delivered all the same")


def tpm_in_trouble__beside_snp_and_tdx__does_not_matter(b):
    """The host may add a TPM; a platform that is in none of it goes on without. A folder cannot be opened as one."""
    for kind in ("snp", "tdx"):
        with Guest(b, kind) as g:
            g.image_settings(f'[tpm]\ndevice = "{g.tmp}"\n')
            g.provision(g.file)
            g.start_daemon()
            rc, got, err = g.evidence()
            need(rc == 0 and got["tee"] == kind, rc, got, err)
            g.image_settings(f'[tpm]\ndevice = "{g.tmp}"\n[platform]\nadditional = ["sampledevice"]\n')
            g.provision(g.file)
    b.devices.platform(None, configfs=False)
    with Guest(b, None) as g:
        g.image_settings(f'[tpm]\ndevice = "{g.tmp}"\n')
        r = g.provision(g.file, check=False)
        need(r.returncode != 0 and "tpm.failed" in r.stderr + r.stdout, r)


def other_initdata__than_the_host_launched__refused(b):
    for kind, algorithm in (("snp", "sha256"), ("tdx", "sha256"), ("snp", "sha512"), ("tdx", "sha384")):
        with Guest(b, kind, bound=False, algorithm=algorithm) as g:
            r = g.provision(g.file, check=False)
            need(r.returncode != 0 and "initdata.digest-mismatch" in r.stderr + r.stdout, r)
            need(not (g.root / "run/peerpod/aa.toml").exists(), "delivered all the same")


def tdx__host_s_quote_has_the_digest_and_the_td_has_not__is_not_believed(b):
    """Who makes quotes could write any MRCONFIGID into one; nobody verifies it before Trustee does."""
    for teed in (True, False):
        with Guest(b, "tdx", teed=teed, rtmrs=False) as g:
            g.devices.bind_initdata(bytes([g.digest[0] ^ 0xFF]) + g.digest[1:])
            g.devices.platform("tdx", rtmrs=False)
            for knobs, code in (({}, "initdata.digest-mismatch"), ({"other_td": -1}, "tee.reply")):
                g.devices.set(**knobs)
                r = g.provision(g.file, check=False)
                need(r.returncode != 0 and code in r.stderr + r.stdout, f"{knobs}: {r}")
                need(not (g.root / "run/peerpod/aa.toml").exists(), "delivered all the same")


def provision__as_root_without_teed__uses_the_device_itself(b):
    for kind in ("snp", "tdx"):
        with Guest(b, kind, teed=False, rtmrs=False) as g:
            g.provision(g.file)
            need(g.devices.count("folders") == 0, "a folder is left")


def device_faults__seen_through_vouchsafed__keep_their_codes(b):
    for kind, knobs, code in (("snp", {"vmpl": 1}, "evidence.vmpl"), ("snp", {"hang": 1}, "tee.timeout"),
                              ("snp", {"busy": -1}, "tee.busy"), ("tdx", {"wrong_data": 1}, "tee.reply"),
                              ("tdx", {"timeout": 1}, "tee.timeout"), ("snp", {"interfere": -1}, "tee.interfered"),
                              ("snp", {"truncated": 1}, "tee.reply"), ("tdx", {"oversized": 1}, "tee.reply")):
        with Guest(b, kind, device=kind == "tdx") as g:
            g.provision(g.file)
            g.start_daemon()
            g.devices.set(**knobs)
            rc, got, err = g.evidence()
            need(rc != 0 and code in err + json.dumps(got), f"{kind} {knobs}: {rc} {str(got)[:200]} {err}")
            g.devices.set("reset")
            rc, got, err = g.evidence()
            need(rc == 0, f"after {kind} {knobs}: {err}")


def snp_ioctl__vmpl_and_faults__seen_through_vouchsafed(b):
    for knobs, code in (({"vmpl": 3}, "evidence.vmpl"), ({"bad_size": 1}, "tee.reply"),
                        ({"certs_huge": 1}, "tee.reply")):
        with Guest(b, "snp", configfs=False) as g:
            g.provision(g.file)
            g.start_daemon()
            g.devices.set(**knobs)
            rc, got, err = g.evidence()
            need(rc != 0 and code in err + json.dumps(got), f"{knobs}: {rc} {str(got)[:200]} {err}")


def debug__with_the_permit__evidence_says_so(b):
    """A development build has every permit."""
    for kind in ("snp", "tdx"):
        with Guest(b, kind) as g:
            g.provision(g.file)
            g.start_daemon()
            g.devices.set(debug=1)
            rc, got, err = g.evidence()
            need(rc == 0, rc, got, err)
            flags = got["evidence"]["attestation_report"]["policy"] >> 19 if kind == "snp" else \
                base64.b64decode(got["evidence"]["quote"])[48 + 120]
            need(flags & 1, "the debug bit is gone")


@contextlib.contextmanager
def own_run():
    """A /run that is empty, for programs that take no --root."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"], check=True)
    try:
        yield pathlib.Path("/run")
    finally:
        subprocess.run(["umount", "-l", "/run"], check=True)


def debug__normal_build__binds_nothing_and_gives_no_evidence(b):
    """The programs as they are installed, at the literal paths; nothing of this image is measured."""
    for kind, ways in (("snp", {"device": False}), ("snp", {"configfs": False}), ("tdx", {"rtmrs": False})):
        with Guest(b, kind, teed=False, **ways) as g, own_run() as run:
            teed = Teed(b.build / "vouchsafe-teed", run / "vouchsafe/teed.sock", g.tmp / "teed.log")
            try:
                teed.start()
                program = [b.build / "vouchsafe", "initdata", "provision", "--from", g.file]
                g.devices.set(debug=1)
                r = g.run(program)
                need(r.returncode != 0 and "evidence.debug" in r.stderr, f"{kind} {ways}: {r}")
                need(not (run / "peerpod/aa.toml").exists(), "delivered all the same")
                g.devices.set(debug=0)
                g.run(program, check=True)
                g.start("normal", [b.build / "vouchsafed", "--log", "debug"])
                wait_for("vouchsafed", (run / "confidential-containers/cdh.sock").exists)
                evidence = [b.build / "vouchsafe", "evidence", "--runtime-data", "hello"]
                good = g.run(evidence, check=True)
                need(report_data(kind, json.loads(good.stdout)) == b"hello".ljust(64, b"\0"), "report data")
                g.devices.set(debug=1)
                r = g.run(evidence)
                need(r.returncode != 0 and r.stdout == "" and "evidence.debug" in r.stderr, f"{kind} {ways}: {r}")
            finally:
                g.stop("normal")
                teed.close()


def teed__killed_while_vouchsafed_waits__the_next_one_answers(b):
    with Guest(b, "snp", device=False) as g:
        g.provision(g.file)
        g.start_daemon()
        g.devices.set(hang=1)
        p = g.start("evidence", [g.dev / "vouchsafe", "--root", g.root, "evidence", "--runtime-data", "x"])
        wait_for("the request", lambda: g.devices.count("folders") == 1)
        g.teed.process.kill()
        g.teed.process.wait()
        g.teed.start("--wait", "2500")
        need(p.wait(20) == 0, g.log("evidence"))
        # The dead child may have been there still when that request began.
        need(g.evidence()[0] == 0, "the next one")
        need(g.devices.count("folders") == 0, "a folder is left")


def teed__away__is_named(b):
    with Guest(b, "snp", device=False) as g:
        g.provision(g.file)
        g.start_daemon()
        g.teed.close()
        rc, got, err = g.evidence()
        need(rc != 0 and "tee.unreachable" in err + json.dumps(got), rc, got, err)


def tdx_event__measured_by_the_agent__in_rtmr3_and_in_the_log(b):
    with Guest(b, "tdx", log=True) as g:
        g.provision(g.file)
        g.start_daemon()
        rtmr = pathlib.Path("/sys/devices/virtual/misc/tdx_guest/measurements/rtmr3:sha384")
        before, n = rtmr.read_bytes(), g.devices.count("extends")
        g.measure("d", "o", "c")
        need(g.devices.count("extends") == n + 1, "not extended once")
        log = (g.root / "run/attestation-agent/eventlog").read_bytes()
        data = log[-(8 + len("d o c")):]
        need(data.endswith(b"d o c"), log)
        digest = hashlib.sha384(data).digest()
        need(digest in log and rtmr.read_bytes() == hashlib.sha384(before + digest).digest(), "RTMR3")


def log_of(g):
    """The evidence's event log, held to the registers of its quote; None where it has none."""
    rc, got, err = g.evidence()
    need(rc == 0, rc, got, err)
    quote = base64.b64decode(got["evidence"]["quote"], validate=True)
    text = got["evidence"]["cc_eventlog"]
    if text is None:
        return None
    log = base64.b64decode(text, validate=True)
    need(b"".join(cclog.replay(log)) == quote[48 + 328:48 + 520], "the log does not lead to the quote's RTMRs")
    return log


def tdx_evidence__with_and_without_firmware_s_log__carries_what_replays(b):
    """A new guest has new registers: what is in them is all in the logs."""
    with Guest(b, "tdx", log=True) as g:
        g.provision(g.file)
        g.start_daemon()
        need(log_of(g) is None, "a log without any event")
        g.measure("domain", "first", "{}")
        g.measure("domain", "second", "b", register=b"\x20\x07")
        need(cclog.agents_events(log_of(g)) == [(4, "domain first {}"), (1, "domain second b")], "the agent's log")
        # Firmware measured as well, and says so: its log stands before ours.
        rtmr2 = pathlib.Path("/sys/devices/virtual/misc/tdx_guest/measurements/rtmr2:sha384")
        with rtmr2.open("r+b", buffering=0) as f:
            f.write(hashlib.sha384(b"kernel").digest())
        # One that nobody told of: the registers are ahead of the log, and evidence goes without it.
        need(log_of(g) is None, "a log that does not replay")
        ccel = g.root / "sys/firmware/acpi/tables/data/CCEL"
        ccel.parent.mkdir(parents=True)
        ccel.write_bytes(firmware_log([(3, b"kernel")]))
        log = log_of(g)
        need([e[0] for e in cclog.events(log)] == [3, 4, 1], "the order of both logs")
        for bad in (b"", b"\0" * 100, firmware_log([(3, b"kernel")])[:70], firmware_log([(3, b"other")])):
            ccel.write_bytes(bad)
            need(log_of(g) is None, f"CCEL of {len(bad)} bytes")


def firmware_log(events):
    """A CCEL area as firmware leaves it: Spec-ID (SHA-384), events (index, text), zeros."""
    spec = b"Spec ID Event03\0" + struct.pack("<II", 0, 2) + struct.pack("<IHHB", 1, 0xc, 48, 0)
    log = struct.pack("<II20xI", 1, 3, len(spec)) + spec
    for index, text in events:
        log += struct.pack("<IIIH", index, 13, 1, 0xc) + hashlib.sha384(text).digest()
        log += struct.pack("<I", len(text)) + text
    return log + bytes(64)


def tdx_event__behind_firmware_s__eventlog_counts_from_there(b):
    with Guest(b, "tdx", log=True) as g:
        g.provision(g.file)
        rtmr2 = pathlib.Path("/sys/devices/virtual/misc/tdx_guest/measurements/rtmr2:sha384")
        ccel = g.root / "sys/firmware/acpi/tables/data/CCEL"
        ccel.parent.mkdir(parents=True)
        with rtmr2.open("r+b", buffering=0) as f:
            f.write(hashlib.sha384(b"kernel").digest())
        ccel.write_bytes(firmware_log([(3, b"kernel")]))
        g.start_daemon()
        g.measure("d", "o", "c", register=b"\x20\x08")
        r = g.vouchsafe("eventlog", "--verify", "--json")
        got = json.loads(r.stdout)
        need(r.returncode == 0 and got["registers"][0]["register"] == 3 and got["verified"], r)
        need(got["registers"][0]["value"] == rtmr2.read_bytes().hex(), got)
        ccel.write_bytes(firmware_log([(3, b"another kernel")]))
        need(g.vouchsafe("eventlog", "--verify").returncode == VERIFY, "another log of firmware's")
        ccel.unlink()
        need(g.vouchsafe("eventlog", "--verify").returncode == VERIFY, "no log of firmware's")


# --- native kata ---------------------------------------------------------------------------------

def children(pid):
    return [int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def native_kata__agent_forks_teed__confined_and_ends_with_it(b):
    with Guest(b, "snp", teed=False) as g:
        name = g.tmp / "attestation-agent"
        os.symlink(g.dev / "vouchsafed", name)
        p = g.start("aa", [name, "--root", g.root, "-t", g.file, "--log", "debug"])
        # -t is a path below the root.
        f = g.root / str(g.file).lstrip("/")
        f.parent.mkdir(parents=True, exist_ok=True)
        f.write_bytes(g.text)
        sock = g.root / "run/confidential-containers/attestation-agent/attestation-agent.sock"

        def up():
            if p.poll() is not None:
                raise RuntimeError("attestation-agent ended: " + g.log("aa"))
            return sock.exists()
        wait_for("attestation-agent", up)
        child, = children(p.pid)
        need(pathlib.Path(f"/proc/{child}/comm").read_text().strip() == "vouchsafe-teed", "the child's name")
        check_confined(child)
        check_confined(p.pid, "64733")
        fds = [os.readlink(f"/proc/{child}/fd/{x}") for x in os.listdir(f"/proc/{child}/fd")]
        need(len([x for x in fds if x.startswith("socket:")]) == 1, fds)
        rc, got, err = g.evidence()
        need(rc == 0 and got["tee"] == "snp", rc, got, err)
        g.devices.set(hang=1)
        g.start("evidence", [g.dev / "vouchsafe", "--root", g.root, "evidence"])
        wait_for("the request", lambda: g.devices.count("folders") == 1)
        os.kill(p.pid, signal.SIGKILL)
        p.wait()
        with contextlib.suppress(TimeoutError):
            wait_for("the end of teed", lambda: not os.path.exists(f"/proc/{child}"), 5)
        need(not os.path.exists(f"/proc/{child}"), "teed outlives the agent")
        need(g.devices.count("folders") == 0, "a folder is left")


CASES = [
    snp_configfs__provision_evidence_unseal_doctor__end_to_end,
    snp_ioctl__provision_evidence_unseal_doctor__end_to_end,
    tdx__provision_evidence_unseal_doctor__end_to_end,
    initdata__each_algorithm__cut_or_padded_into_the_register_and_sent,
    initdata__kept_back_or_never_set__refused, tpm_in_trouble__beside_snp_and_tdx__does_not_matter,
    other_initdata__than_the_host_launched__refused,
    tdx__host_s_quote_has_the_digest_and_the_td_has_not__is_not_believed,
    provision__as_root_without_teed__uses_the_device_itself,
    device_faults__seen_through_vouchsafed__keep_their_codes,
    snp_ioctl__vmpl_and_faults__seen_through_vouchsafed, debug__with_the_permit__evidence_says_so,
    debug__normal_build__binds_nothing_and_gives_no_evidence,
    teed__killed_while_vouchsafed_waits__the_next_one_answers, teed__away__is_named,
    tdx_event__measured_by_the_agent__in_rtmr3_and_in_the_log,
    tdx_event__behind_firmware_s__eventlog_counts_from_there,
    tdx_evidence__with_and_without_firmware_s_log__carries_what_replays,
    native_kata__agent_forks_teed__confined_and_ends_with_it,
]
