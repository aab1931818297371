# SPDX-License-Identifier: Apache-2.0
"""Evidence of Azure's confidential VMs through the agent's own path: a swtpm with the key at
0x81000003, a paravisor in front of it (test/devices/paravisor.py), the metadata service at its own
address, test hardware that signs, and the test Trustee, which verifies all of it.

usage: run.py BUILD_DIR [CASE…]   (with the development build in BUILD_DIR/dev)
Runs itself again in a network and mount namespace of its own."""

import base64
import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
TEST = HERE.parents[1]
sys.path[:0] = [str(TEST / "integration"), str(TEST / "devices"), str(TEST / "trustee"), str(TEST / "tools")]
sys.dont_write_bytecode = True
from world import Cases, Skip, World, wait_for  # noqa: E402

INSIDE = "VOUCHSAFE_TEST_INSIDE"
LOCK = pathlib.Path("/run/attestation-agent/.hcl.lock")
RECORDED = {"snp": "az-snp-vtpm/evidence-v2.json", "tdx": "az-tdx-vtpm/evidence-v1.json"}
EXTRA = {"snp": "vcek", "tdx": "td_quote"}


def go_inside():
    """In a network with the metadata address and a /run of its own."""
    script = ("ip link set lo up && ip addr add 169.254.169.254/32 dev lo && mount -t tmpfs tmpfs /run && "
              "mkdir /run/attestation-agent && chown 64733:64733 /run/attestation-agent && exec \"$@\"")
    os.environ[INSIDE] = "1"
    os.execvp("unshare", ["unshare", "--net", "--mount", "sh", "-c", script, "sh", sys.executable, *sys.argv])


def need(yes, what):
    if not yes:
        raise AssertionError(what)


class Azure(World):
    """A guest of one kind, up to its Trustee."""

    def __init__(self, build, hardware, kind="snp", size=2600, **kw):
        super().__init__(build, **kw)
        import imds
        import paravisor
        self.kind, self.hardware = kind, hardware
        self.tee = f"az-{kind}-vtpm"
        self.start_tpm()
        self.vouchsafe("tpm", "provision-ak", "--handle", "81000003", check=True)
        self.pv = paravisor.Paravisor(self.tpm_port, hardware, kind, size)
        self.imds = imds.Imds(hardware)
        self.device()

    def device(self, more=""):
        self.image_settings(f'[tpm]\ndevice = "swtpm:127.0.0.1:{self.pv.port}"\n{more}')

    def roots(self):
        if self.kind == "snp":
            f = self.tmp / "amd.pem"
            f.write_text(self.hardware.ark + self.hardware.ask)
            return ["--amd-root", f]
        f = self.tmp / "intel.pem"
        f.write_text(self.hardware.root)
        return ["--intel-root", f]

    def begin(self, *trustee):
        self.start_trustee(*self.roots(), *trustee)
        self.resource("default/key/one", b"first")
        text = self.initdata(encode=False)
        text.write_text(text.read_text().replace(
            "[token_configs.kbs]", "[eventlog_config]\nenable_eventlog = true\n[token_configs.kbs]", 1))
        self.provision(text)
        self.start_daemon(level="debug")

    def restart_daemon(self):
        self.stop("vouchsafed")
        self.start_daemon(level="debug")

    def behave_all(self):
        """What a case set is gone, and the next report is a new one."""
        self.pv.fields, self.pv.codes = {}, {}
        self.pv.never_renews = self.pv.wrong_ak = self.pv.wrong_digest = self.pv.unwritten = False
        self.pv.claims = self.pv.edit = self.pv.on_renewal = self.pv.after = self.pv.before = None
        self.pv.without_user_data = False
        self.imds.behave()
        self.pv.made_at = -100.0

    def evidence_of(self, digest, root=None):
        """(evidence or None, stderr, seconds)"""
        start = time.monotonic()
        r = self.run([self.dev / "vouchsafe", "--root", root or self.root, "evidence", "--runtime-data-base64",
                      base64.b64encode(digest).decode()])
        took = time.monotonic() - start
        need(r.returncode == 0 or r.stdout == "", f"a part of evidence: {r.stdout[:200]}")
        return (json.loads(r.stdout) if r.returncode == 0 else None), r.stderr, took

    def good(self, digest=None, version=2):
        """Fresh evidence that a second implementation accepts. (evidence, seconds)"""
        import azure
        digest = digest or os.urandom(48)
        got, err, took = self.evidence_of(digest)
        need(got is not None, f"no evidence: {err}")
        roots = azure.load_roots(**{"amd" if self.kind == "snp" else "intel": self.roots()[1]})
        claims = azure.verify(self.tee, got, digest, roots)
        need(claims["evidence_version"] == version, f"version {claims['evidence_version']}")
        return got, took

    def refused(self, code, digest=None, within=None):
        got, err, took = self.evidence_of(digest or os.urandom(48))
        need(got is None, "evidence was given")
        need(code in err, f"{code} is not in: {err}")
        need(within is None or took < within, f"took {took:.1f} s")
        return err

    def tool(self, *argv, check=True):
        env = dict(os.environ, TPM2TOOLS_TCTI=f"swtpm:host=127.0.0.1,port={self.tpm_port}")
        return self.run(argv, env=env, check=check)

    def close(self):
        with contextlib.suppress(AttributeError):
            self.imds.close()
            self.pv.close()
        super().close()


# --- one guest of SNP --------------------------------------------------------------------------

def snp__evidence__is_of_the_recorded_shape_and_verifies(w):
    import shape
    got, _ = w.good(hashlib.sha384(b"data").digest())
    want = shape.recorded("deps/verifier/test_data/" + RECORDED[w.kind])
    if want is None:
        raise Skip("no recorded evidence here")
    need(shape.sees_every_change(want) > 100, "too few changes to mean anything")
    need(list(got) == ["version", "tpm_quote", "hcl_report", EXTRA[w.kind]], f"members {list(got)}")
    need(got["version"] == 2 and type(got["version"]) is int, f"version {got['version']!r}")
    if w.kind == "tdx":
        # Recorded is only version 1, over a challenge of 9 bytes.
        message = want["tpm_quote"]["message"]
        want["tpm_quote"]["message"] = message + "0" * (2 * (48 - 9))
    # A certificate's length differs with its issuer's names.
    found = shape.differences(got, want, loose=(f".{EXTRA[w.kind]}",))
    need(not found, "\n   ".join(found))


def snp__handshake__trustee_accepts_and_serves(w):
    w.behave_all()
    r = w.vouchsafe("get-resource", "kbs:///default/key/one", check=True)
    need(r.stdout == "first", r.stdout)
    claims = token_claims(w)
    need(w.tee in json.dumps(claims), "the token is of another platform")
    digest = hashlib.sha256(base64_initdata(w)).digest()
    pcr8 = hashlib.sha256(bytes(32) + digest).hexdigest()
    need(pcr8 in json.dumps(claims), "the token does not have PCR 8 of this initdata")


def token_claims(w):
    r = w.vouchsafe("token", check=True)
    body = json.loads(r.stdout)["token"].split(".")[1] if r.stdout.lstrip().startswith("{") else \
        r.stdout.strip().split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


def base64_initdata(w):
    return (w.root / "run/confidential-containers/initdata/initdata.toml").read_bytes()


def snp__fresh_report__is_read_at_once_without_a_sleep(w):
    w.behave_all()
    before = w.pv.reads_at_0
    _, took = w.good()
    need(w.pv.reads_at_0 == before + 1, f"{w.pv.reads_at_0 - before} readings")
    need(took < 1.0, f"took {took:.2f} s")


def snp__fresh_daemon__its_detection_costs_no_report(w):
    """What looks whether this is Azure must not begin the two seconds in which there is no new one."""
    w.behave_all()
    before = w.pv.reads_at_0
    w.restart_daemon()
    need(w.pv.reads_at_0 == before, "detection read the report's beginning")
    _, took = w.good()
    need(w.pv.reads_at_0 == before + 1 and took < 1.5, f"{w.pv.reads_at_0 - before} readings, {took:.2f} s")


def snp__report_of_a_moment_ago__waits_as_long_as_the_rate_limit(w):
    w.behave_all()
    w.good()
    before = w.pv.reads_at_0
    _, took = w.good()
    need(2.0 < took < 2.9, f"took {took:.2f} s")
    need(w.pv.reads_at_0 == before + 2, f"{w.pv.reads_at_0 - before} readings")


def snp__same_data_again__needs_no_new_report(w):
    w.behave_all()
    digest = os.urandom(48)
    w.good(digest)
    _, took = w.good(digest)
    need(took < 1.0, f"took {took:.2f} s")


def snp__data_of_32_bytes__are_bound_whole(w):
    w.behave_all()
    w.good(os.urandom(32))
    w.behave_all()
    w.good()


def snp__data_of_64_bytes__are_refused_early(w):
    w.behave_all()
    before = dict(w.pv.seen)
    w.refused("azure.report-data", os.urandom(64), within=1)
    need(w.pv.seen == before, "the TPM was asked")


def snp__upper_case_user_data__is_the_same(w):
    w.behave_all()
    w.pv.user_data_case = str.upper
    try:
        w.good()
    finally:
        w.pv.user_data_case = str.lower


def snp__never_renewed__is_stale_in_ten_seconds(w):
    w.behave_all()
    w.good()
    w.pv.never_renews = True
    w.refused("azure.stale-report", within=11.5)


def snp__another_ak_in_the_report__is_refused(w):
    w.behave_all()
    w.pv.wrong_ak = True
    w.refused("azure.wrong-ak", within=3)


def snp__report_of_other_data__is_refused(w):
    w.behave_all()
    w.pv.wrong_digest = True
    w.refused("azure.binding", within=3)


def snp__malformed_report__is_refused(w):
    for at, value in ((0, 0x49), (1224, 4), (1228, 2), (1232, 0xFF), (1216, 0), (1236, 0x20)):
        w.behave_all()

        def edit(report, at=at, value=value):
            report[at] = value

        w.pv.edit = edit
        w.refused("azure.", within=3)


def snp__report_that_trustee_refuses__is_named(w):
    for fields, code in (({"vmpl": 2}, "evidence.vmpl"), ({"version": 2}, "snp.old-firmware"),
                         ({"version": 6}, "snp.unsupported"), ({"cpuid": (0x17, 1, 1)}, "snp.unsupported")):
        w.behave_all()
        w.pv.fields = fields
        w.refused(code, within=3)
    for at in (0x4C, 0x183, 0x18B, 0x1F8, 0x29F):
        w.behave_all()
        w.pv.edit = lambda report, at=at: report.__setitem__(32 + at, 1)
        w.refused("snp.unsupported", within=3)


def snp__pcr_moves_during_the_quote__is_quoted_again(w):
    import mux
    w.behave_all()
    quotes = w.pv.seen.get(mux.QUOTE, 0)

    def once(code, _n):
        if code == mux.QUOTE and w.pv.seen[mux.QUOTE] == quotes + 1:
            w.pv.extend(16, os.urandom(32))

    w.pv.after = once
    w.good()
    need(w.pv.seen[mux.QUOTE] == quotes + 2, "not two quotes")
    w.behave_all()
    w.pv.after = lambda code, _n: w.pv.extend(16, os.urandom(32)) if code == mux.QUOTE else None
    w.refused("tpm.pcr-moved", within=4)


def snp__tpm_asks_to_retry__is_asked_again(w):
    import mux
    import paravisor as p
    for code in (p.NV_READ, p.NV_READ_PUBLIC, p.NV_WRITE):
        w.behave_all()
        w.pv.codes = {code: [mux.RC_RETRY, 3]}
        w.good()
    w.behave_all()
    w.pv.codes = {p.NV_READ: [mux.RC_RETRY, 0]}
    w.refused("tpm.busy", within=11)


def snp__tpm_errors__each_has_its_code(w):
    import paravisor as p
    for command, code, want in ((p.NV_WRITE, p.RC_LOCKOUT, "tpm.lockout"), (p.NV_READ, p.RC_LOCKOUT, "tpm.lockout"),
                                (p.NV_READ, 0x148, "tpm.nv-locked"), (p.NV_READ, 0x149, "tpm.nv-denied"),
                                (p.NV_READ, 0x146, "tpm.nv-size"), (p.NV_READ, 0x101, "tpm.failed"),
                                (p.NV_READ_PUBLIC, 0x18B, "tpm.nv-absent")):
        w.behave_all()
        w.pv.codes = {command: [code, 0]}
        if command == p.NV_READ_PUBLIC:
            # Also our own index is absent then, and cannot be defined a second time.
            w.refused("tpm.", within=3)
        else:
            w.refused(want, within=3)
    w.behave_all()
    w.pv.unwritten = True
    w.refused("tpm.nv-unwritten", within=3)
    w.behave_all()
    w.good()


def snp__index_shorter_than_it_says__is_a_lie(w):
    w.behave_all()
    w.pv.claims = 2700
    w.refused("tpm.reply", within=3)
    w.behave_all()
    w.pv.claims = 1300
    w.refused("azure.report", within=3)
    w.behave_all()
    w.pv.claims = 20000
    w.refused("tpm.nv-size", within=3)


def snp__input_cannot_be_written__version_1(w):
    import paravisor as p
    w.behave_all()
    w.pv.codes = {p.NV_WRITE: [0x149, 0]}
    got, _ = w.good(version=1)
    need(got["version"] == 1, "not version 1")
    w.behave_all()
    w.pv.codes = {p.NV_WRITE: [0x148, 0]}
    w.good(version=1)


def snp__paravisor_without_user_data__version_1(w):
    w.behave_all()
    w.pv.without_user_data = True
    _, took = w.good(version=1)
    need(took < 1.5, f"took {took:.1f} s")


def snp__index_of_another_sdk__is_used_and_left(w):
    def size():
        for line in w.tool("tpm2_nvreadpublic", "0x1400002").stdout.splitlines():
            if line.strip().startswith("size:"):
                return int(line.split(":")[1])
        return 0

    w.behave_all()
    w.tool("tpm2_nvundefine", "-C", "o", "0x1400002", check=False)
    w.tool("tpm2_nvdefine", "-C", "o", "-s", "64", "-a", "ownerread|ownerwrite", "0x1400002")
    w.good()
    need(size() == 64, f"size {size()}")
    w.behave_all()
    w.tool("tpm2_nvundefine", "-C", "o", "0x1400002")
    w.tool("tpm2_nvdefine", "-C", "o", "-s", "16", "-a", "ownerread|ownerwrite", "0x1400002")
    w.good()
    need(size() == 48, f"size {size()}")
    w.behave_all()
    w.good(os.urandom(32))
    need(size() == 32, f"size {size()}")


def snp__owner_password__version_1(w):
    w.behave_all()
    w.tool("tpm2_nvundefine", "-C", "o", "0x1400002")
    w.tool("tpm2_changeauth", "-c", "o", "secret")
    try:
        w.good(version=1)
    finally:
        w.tool("tpm2_changeauth", "-c", "o", "-p", "secret")
    w.behave_all()
    w.good()


def snp__vcek__is_fetched_once_and_after_an_update(w):
    w.restart_daemon()
    w.behave_all()
    w.good()
    w.behave_all()
    w.good()
    w.behave_all()
    # behave_all() forgets the requests: since then there was none.
    w.good()
    need(not w.imds.requests, f"asked again: {w.imds.requests}")
    w.behave_all()
    w.hardware.update(snp=9)
    w.good()
    need(len(w.imds.requests) == 1, f"{len(w.imds.requests)} requests after an update")
    request = w.imds.requests[0]
    need(request[:2] == ("GET", "/metadata/THIM/amd/certification") and request[2].get("Metadata") == "true",
         f"{request}")


def snp__metadata_has_a_bad_moment__is_asked_again(w):
    for faults in ([429, 500, 503], ["reset", 502], ["retry-after"], ["stall"]):
        w.restart_daemon()
        w.behave_all()
        w.imds.faults = list(faults)
        _, took = w.good()
        need(len(w.imds.requests) == len(faults) + 1, f"{faults}: {len(w.imds.requests)} requests")
        if faults == ["retry-after"]:
            need(took > 1.0, "Retry-After was not honoured")
        if faults == ["stall"]:
            need(took < 7, f"took {took:.1f} s")


def snp__metadata_gives_no_certificate__is_named(w):
    w.restart_daemon()
    cert = w.hardware.certification()
    other = dict(cert, vcekCert=w.hardware.ask)
    label = dict(cert, vcekCert=cert["vcekCert"].replace("CERTIFICATE", "TRUSTED CERTIFICATE"))
    two = dict(cert, vcekCert=cert["vcekCert"] * 2)
    for how, code in ((404, "azure.metadata-reply"), ("redirect", "azure.metadata-reply"),
                      ("huge", "azure.metadata-reply"), (b"<html>", "azure.metadata-reply"),
                      (b"", "azure.metadata-reply"), ({}, "azure.metadata-reply"),
                      ({"vcekCert": 1}, "azure.metadata-reply"), ({"vcekCert": ""}, "azure.metadata-reply"),
                      (label, "azure.metadata-reply"), (two, "azure.metadata-reply"), (other, "azure.vcek"),
                      (b'{"vcekCert":"a","vcekCert":"b"}', "azure.metadata-reply")):
        w.behave_all()
        w.imds.always = how
        w.refused(code, within=4)
    w.behave_all()
    w.imds.always = 500
    err = w.refused("azure.metadata", within=17)
    need("status 500" in err and "tried" in err, err)
    # What was refused was not kept.
    w.behave_all()
    w.good()


def snp__metadata_stalls__is_given_up(w):
    """It takes the request and is silent, or gives its answer a byte a second."""
    for how in ("stall", "drip"):
        w.restart_daemon()
        w.behave_all()
        w.imds.always = how
        err = w.refused("azure.metadata:", within=17)
        need(len(w.imds.requests) > 1 and "tried" in err, f"{how}: {len(w.imds.requests)} requests, {err}")
    w.behave_all()
    w.good()


def snp__metadata_gives_another_processor_s_certificate__is_refused(w):
    w.restart_daemon()
    w.behave_all()
    w.imds.always = dict(w.hardware.certification(), vcekCert=w.hardware.new_vcek()[1])
    w.refused("azure.vcek", within=4)
    w.behave_all()
    w.good()


def snp__metadata_is_not_there__is_named(w):
    w.restart_daemon()
    w.behave_all()
    subprocess.run(["ip", "addr", "del", "169.254.169.254/32", "dev", "lo"], check=True)
    try:
        w.refused("azure.metadata", within=17)
    finally:
        subprocess.run(["ip", "addr", "add", "169.254.169.254/32", "dev", "lo"], check=True)
    w.behave_all()
    w.good()


def snp__two_agents_at_once__each_gets_its_own(w):
    w.behave_all()
    second = w.tmp / "second"
    subprocess.run(["cp", "-a", w.root, second], check=True)
    for f in second.rglob("*.sock"):
        f.unlink()
    w.start("second", [w.dev / "vouchsafed", "--root", second, "--log", "debug"])
    wait_for("the second agent", (second / "run/confidential-containers/cdh.sock").exists)
    w.behave_all()
    wants = [os.urandom(48) for _ in range(4)]
    got = [None] * 4

    def ask(i):
        got[i] = w.evidence_of(wants[i], w.root if i % 2 else second)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    w.stop("second")
    import azure
    roots = azure.load_roots(amd=w.roots()[1])
    for want, (evidence, err, _) in zip(wants, got):
        need(evidence is not None, err)
        azure.verify(w.tee, evidence, want, roots)


def snp__lock_is_held__is_waited_for(w):
    w.behave_all()
    need(LOCK.exists(), f"no {LOCK}")
    with open(LOCK) as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        threading.Timer(1.0, lambda: fcntl.flock(f, fcntl.LOCK_UN)).start()
        _, took = w.good()
        need(took > 0.8, "was not waited for")
        time.sleep(0.5)
        fcntl.flock(f, fcntl.LOCK_EX)
        w.refused("azure.busy", within=16.5)


def snp__event__goes_into_pcr_15(w):
    import ttrpc
    service = "attestation_agent.AttestationAgentService"
    w.behave_all()
    before = w.good()[0]["tpm_quote"]["pcrs"]
    event = b"".join(ttrpc.field(i + 1, p) for i, p in enumerate((b"tests", b"Happened", b"something")))
    with ttrpc.Client(str(w.root / "run/confidential-containers/attestation-agent/attestation-agent.sock")) as c:
        need(c.call(service, "ExtendRuntimeMeasurement", event) == b"", "the event")
    w.behave_all()
    after = w.good()[0]["tpm_quote"]["pcrs"]
    need([i for i in range(24) if before[i] != after[i]] == [15], "not PCR 15 alone")
    r = w.vouchsafe("eventlog", "--verify")
    need(r.returncode == 0 and "Happened" in r.stdout, r.stdout + r.stderr)


def snp__sha512__trustee_hears_why(w):
    w.restart_daemon()
    w.behave_all()
    w.misbehave(kind="bad-hash", endpoint="auth", value="sha512", count=1)
    r = w.vouchsafe("get-resource", "kbs:///default/key/one")
    need(r.returncode != 0 and "azure.report-data" in r.stderr, r.stderr)


# --- other guests ------------------------------------------------------------------------------

def tdx__quote__either_alphabet(w):
    for wants, gives, requests in (("standard", "standard", 1), ("url", "url", 2), ("standard", "url", 1),
                                   ("url", "standard", 2)):
        w.behave_all()
        w.imds.wants, w.imds.gives = wants, gives
        w.good()
        need(len(w.imds.requests) == requests, f"{wants}/{gives}: {len(w.imds.requests)} requests")
        headers = w.imds.requests[0][2]
        need(headers.get("Content-Type") == "application/json" and headers.get("Accept") == "application/json",
             f"{headers}")


def tdx__quote_of_another_guest__is_refused(w):
    w.behave_all()
    w.imds.edit = lambda q: q[:568] + bytes([q[568] ^ 1]) + q[569:]
    w.refused("azure.quote", within=3)
    w.behave_all()
    w.imds.edit = lambda q: q[:48 + 136] + bytes([q[48 + 136] ^ 1]) + q[48 + 137:]
    w.refused("azure.quote", within=3)


def tdx__reply_that_is_no_quote__is_refused(w):
    for how in (404, {"quote": ""}, {"quote": "!"}, {"quote": "AAAA"}, {}, {"quote": {}}, b"[]", "huge"):
        w.behave_all()
        w.imds.always = how
        w.refused("azure.metadata-reply", within=4)
    w.behave_all()
    w.imds.edit = lambda q: q[:-1] + b"\1"
    w.refused("azure.metadata-reply", within=3)
    w.behave_all()
    w.imds.faults = [500, 429]
    w.good()


def tdx__tdreport_that_is_wrong__is_refused(w):
    for at in (0, 3, 0x20, 0x100, 0x210, 0x240):
        w.behave_all()
        w.pv.edit = lambda report, at=at: report.__setitem__(32 + at, report[32 + at] ^ 1)
        w.refused("azure.report", within=3)


def tdx__metadata_stalls__is_given_up(w):
    w.behave_all()
    w.imds.always = "stall"
    w.refused("azure.metadata:", within=17)
    w.behave_all()
    w.imds.faults = ["stall"]
    _, took = w.good()
    need(took < 8, f"took {took:.1f} s")


def tdx__wrong_ak_or_report__is_refused(w):
    w.behave_all()
    w.pv.wrong_ak = True
    w.refused("azure.wrong-ak", within=3)
    w.behave_all()
    w.pv.wrong_digest = True
    w.refused("azure.binding", within=3)


def sizes__report_of_2048_and_2900__verify(build, amd, intel):
    for kind, size in (("snp", 2048), ("snp", 2900), ("tdx", 2900)):
        with Azure(build, amd if kind == "snp" else intel, kind, size, tls=False) as w:
            w.begin()
            w.behave_all()
            got, _ = w.good()
            raw = base64.urlsafe_b64decode(got["hcl_report"])
            need(len(raw) == size and raw == w.pv.report, f"{size}: not the index's bytes")


def initdata__sha384__binds_32_bytes_and_its_text_stays_here(build, amd):
    """Trustee's verifier breaks on a digest of 48 bytes, and takes evidence without the text."""
    with Azure(build, amd, tls=False) as w:
        w.start_trustee(*w.roots())
        w.resource("default/key/one", b"first")
        w.provision(w.initdata(algorithm="sha384"))
        w.start_daemon()
        w.behave_all()
        r = w.vouchsafe("get-resource", "kbs:///default/key/one", check=True)
        claims = json.dumps(token_claims(w))
        digest = hashlib.sha384(base64_initdata(w)).digest()[:32]
        need(r.stdout == "first" and "init_data_claims" not in claims, "the text was sent")
        need(hashlib.sha256(bytes(32) + digest).hexdigest() in claims, "PCR 8 is not the digest's first 32 bytes")


def detection__no_report_or_another_kind__is_a_bare_tpm(build, amd):
    import paravisor as p
    with Azure(build, amd, tls=False) as w:
        for what in ("absent", "vbs"):
            w.behave_all()
            if what == "absent":
                w.pv.codes = {p.NV_READ_PUBLIC: [p.RC_HANDLE, 0]}
            else:
                w.pv.edit = lambda r: r.__setitem__(1224, 1)
            r = w.vouchsafe("doctor")
            need("az-snp-vtpm" not in r.stdout, f"{what}: {r.stdout}")
        w.behave_all()
        r = w.vouchsafe("doctor")
        need("az-snp-vtpm" in r.stdout, r.stdout)


def detection__tpm_does_not_say__is_no_platform(build, amd):
    import paravisor as p
    with Azure(build, amd, tls=False) as w:
        w.behave_all()
        w.pv.codes = {p.NV_READ: [p.RC_LOCKOUT, 0]}
        r = w.vouchsafe("doctor")
        line = [x for x in r.stdout.splitlines() if "platform" in x]
        need(line and "detect the platform" in r.stdout and "tpm.lockout" in r.stdout, r.stdout)


SNP = [snp__evidence__is_of_the_recorded_shape_and_verifies, snp__handshake__trustee_accepts_and_serves,
       snp__fresh_report__is_read_at_once_without_a_sleep, snp__fresh_daemon__its_detection_costs_no_report,
       snp__report_of_a_moment_ago__waits_as_long_as_the_rate_limit, snp__same_data_again__needs_no_new_report,
       snp__data_of_32_bytes__are_bound_whole, snp__data_of_64_bytes__are_refused_early,
       snp__upper_case_user_data__is_the_same, snp__never_renewed__is_stale_in_ten_seconds,
       snp__another_ak_in_the_report__is_refused, snp__report_of_other_data__is_refused,
       snp__malformed_report__is_refused, snp__report_that_trustee_refuses__is_named,
       snp__pcr_moves_during_the_quote__is_quoted_again, snp__tpm_asks_to_retry__is_asked_again,
       snp__tpm_errors__each_has_its_code, snp__index_shorter_than_it_says__is_a_lie,
       snp__input_cannot_be_written__version_1, snp__paravisor_without_user_data__version_1,
       snp__index_of_another_sdk__is_used_and_left, snp__owner_password__version_1,
       snp__vcek__is_fetched_once_and_after_an_update, snp__metadata_has_a_bad_moment__is_asked_again,
       snp__metadata_gives_no_certificate__is_named, snp__metadata_stalls__is_given_up,
       snp__metadata_gives_another_processor_s_certificate__is_refused, snp__metadata_is_not_there__is_named,
       snp__two_agents_at_once__each_gets_its_own, snp__lock_is_held__is_waited_for,
       snp__event__goes_into_pcr_15, snp__sha512__trustee_hears_why]
TDX = [snp__evidence__is_of_the_recorded_shape_and_verifies, snp__handshake__trustee_accepts_and_serves,
       tdx__quote__either_alphabet, tdx__quote_of_another_guest__is_refused,
       tdx__reply_that_is_no_quote__is_refused, tdx__tdreport_that_is_wrong__is_refused,
       tdx__metadata_stalls__is_given_up, tdx__wrong_ak_or_report__is_refused]
OTHERS = [sizes__report_of_2048_and_2900__verify, initdata__sha384__binds_32_bytes_and_its_text_stays_here,
          detection__no_report_or_another_kind__is_a_bare_tpm, detection__tpm_does_not_say__is_no_platform]


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    only = sys.argv[2:]
    cases = Cases()
    missing = [p for p in ("swtpm", "openssl", "ip", "unshare", "tpm2_nvdefine") if not shutil.which(p)]
    if not (build / "dev/vouchsafed").exists():
        missing.append(f"{build}/dev (make DEV=1)")
    if not missing and INSIDE not in os.environ:
        if subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True).returncode == 0:
            go_inside()
        missing.append("permission for network and mount namespaces")

    def wanted(fn):
        return not only or any(o in fn.__name__ for o in only)

    if missing:
        def azure():
            raise Skip("missing " + ", ".join(missing))
        cases.run(azure)
        return cases.finish()
    import hardware
    import tempfile
    with tempfile.TemporaryDirectory(prefix="vouchsafe-hw-") as d:
        amd, intel = hardware.Amd(f"{d}/amd"), hardware.Intel(f"{d}/intel")
        for kind, group, hw in (("snp", SNP, amd), ("tdx", TDX, intel)):
            chosen = [fn for fn in group if wanted(fn)]
            if not chosen:
                continue
            with Azure(build, hw, kind) as w:
                w.begin()
                for fn in chosen:
                    if not cases.run(fn, w) and "-v" in os.environ.get("VOUCHSAFE_TEST", ""):
                        print(w.log("vouchsafed")[-3000:])
        if wanted(OTHERS[0]):
            cases.run(OTHERS[0], build, amd, intel)
        for fn in OTHERS[1:]:
            if wanted(fn):
                cases.run(fn, build, amd)
    return cases.finish()


if __name__ == "__main__":
    sys.exit(main())
