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
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
import ttrpc  # noqa: E402
from run_checks import check_confined, need  # noqa: E402
from tee_devices import Teed  # noqa: E402
from world import World, wait_for  # noqa: E402

AA = "attestation_agent.AttestationAgentService"
UNAVAILABLE, FINDINGS, VERIFY = 69, 1, 76
LOG = '\n[eventlog_config]\nenable_eventlog = true\n'


class Guest(World):
    """A guest whose host launched it with the digest of its initdata."""

    def __init__(self, bench, kind, teed=True, log=False, bound=True, **ways):
        super().__init__(bench.build)
        self.devices, self.kind = bench.devices, kind
        keys = bench.devices.keys
        (self.tmp / "amd.pem").write_text((keys / "ark.pem").read_text() + (keys / "ask.pem").read_text())
        self.start_trustee("--amd-root", self.tmp / "amd.pem", "--intel-root", keys / "intel-root.pem")
        self.keygen()
        self.text = self.initdata(encode=False).read_bytes()
        if log:
            self.text = self.text.replace(b"[token_configs.kbs]", LOG.encode() + b"[token_configs.kbs]", 1)
        self.digest = hashlib.sha256(self.text).digest()
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
        return r.returncode, json.loads(r.stdout or "{}"), r.stderr


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


def other_initdata__than_the_host_launched__refused(b):
    for kind in ("snp", "tdx"):
        with Guest(b, kind, bound=False) as g:
            r = g.provision(g.file, check=False)
            need(r.returncode != 0 and "initdata.digest-mismatch" in r.stderr + r.stdout, r)
            need(not (g.root / "run/peerpod/aa.toml").exists(), "delivered all the same")


def provision__as_root_without_teed__uses_the_device_itself(b):
    for kind in ("snp", "tdx"):
        with Guest(b, kind, teed=False, rtmrs=False) as g:
            g.provision(g.file)
            need(g.devices.count("folders") == 0, "a folder is left")


def device_faults__seen_through_vouchsafed__keep_their_codes(b):
    for kind, knobs, code in (("snp", {"vmpl": 1}, "evidence.vmpl"), ("snp", {"hang": 1}, "tee.timeout"),
                              ("snp", {"busy": -1}, "tee.busy"), ("tdx", {"wrong_data": 1}, "tee.reply"),
                              ("tdx", {"timeout": 1}, "tee.timeout"), ("snp", {"interfere": -1}, "tee.interfered")):
        with Guest(b, kind, device=kind == "tdx") as g:
            g.provision(g.file)
            g.start_daemon()
            g.devices.set(**knobs)
            rc, got, err = g.evidence()
            need(rc != 0 and code in err + json.dumps(got), f"{kind} {knobs}: {rc} {str(got)[:200]} {err}")
            g.devices.set("reset")
            rc, got, err = g.evidence()
            need(rc == 0, f"after {kind} {knobs}: {err}")


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
        c = ttrpc.Client(str(g.root / "run/confidential-containers/attestation-agent/attestation-agent.sock"))
        c.call(AA, "ExtendRuntimeMeasurement",
               ttrpc.field(1, "d") + ttrpc.field(2, "o") + ttrpc.field(3, "c"))
        need(g.devices.count("extends") == n + 1, "not extended once")
        log = (g.root / "run/attestation-agent/eventlog").read_bytes()
        data = log[-(8 + len("d o c")):]
        need(data.endswith(b"d o c"), log)
        digest = hashlib.sha384(data).digest()
        need(digest in log and rtmr.read_bytes() == hashlib.sha384(before + digest).digest(), "RTMR3")


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
        c = ttrpc.Client(str(g.root / "run/confidential-containers/attestation-agent/attestation-agent.sock"))
        c.call(AA, "ExtendRuntimeMeasurement",
               ttrpc.field(1, "d") + ttrpc.field(2, "o") + ttrpc.field(3, "c") + b"\x20\x08")
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
    tdx__provision_evidence_unseal_doctor__end_to_end, other_initdata__than_the_host_launched__refused,
    provision__as_root_without_teed__uses_the_device_itself,
    device_faults__seen_through_vouchsafed__keep_their_codes,
    teed__killed_while_vouchsafed_waits__the_next_one_answers, teed__away__is_named,
    tdx_event__measured_by_the_agent__in_rtmr3_and_in_the_log,
    tdx_event__behind_firmware_s__eventlog_counts_from_there,
    native_kata__agent_forks_teed__confined_and_ends_with_it,
]
