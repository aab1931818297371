# SPDX-License-Identifier: Apache-2.0
"""`vouchsafe evidence verify`, `evidence show` and `reference-values`: recorded evidence against a
second implementation, evidence of test hardware under test roots, and what the commands print.
usage: run.py BUILD_DIR"""

import base64
import hashlib
import json
import os
import pathlib
import random
import shutil
import struct
import sys

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1] / "devices")]
import hardware  # noqa: E402
import second  # noqa: E402
from world import TOP, Cases, Skip, World  # noqa: E402

BUILD = pathlib.Path(sys.argv[1])
SHARED = pathlib.Path(os.environ.get("TEST_SHARED", TOP.parent / "shared"))
DATA = SHARED / "vectors/evidence/trustee/deps/verifier/test_data"
E2E = SHARED / "vectors/evidence/trustee/attestation-service/tests/e2e/evidence.json"
LOGS = SHARED / "vectors/evidence/trustee/deps/eventlog/test_data"
AT = "2025-06-01"
MUTATIONS = int(os.environ.get("VERIFY_MUTATIONS", "25"))


def tool(w, *argv, want=0, **kw):
    r = w.run([BUILD / "vouchsafe", *argv], **kw)
    assert r.returncode == want, (argv, r.returncode, r.stdout[-600:], r.stderr[-600:])
    return r


def states(r, item=0):
    """{finding: state} of --json; of a name with several the worst."""
    rank = ["ok", "warn", "unknown", "bad"]
    out = {}
    for f in json.loads(r.stdout)["evidence"][item]["findings"]:
        out[f["name"]] = max(out.get(f["name"], "ok"), f["state"], key=rank.index)
    return out


def need(path):
    if not path.exists():
        raise Skip("the shared vectors are not on this machine")
    return path


# --- recorded evidence, in parts that can be changed and put together again --------------------

def b64u(data):
    return base64.urlsafe_b64encode(data).decode()


def unb64u(text):
    return base64.urlsafe_b64decode(text)


def azure(name, snp):
    doc = json.loads((DATA / name).read_text())
    q, last = doc["tpm_quote"], "vcek" if snp else "td_quote"
    parts = {"hcl": unb64u(doc["hcl_report"]), "message": bytes.fromhex(q["message"]),
             "signature": bytes.fromhex(q["signature"]), "pcrs": b"".join(bytes.fromhex(p) for p in q["pcrs"]),
             last: unb64u(doc[last])}

    def build(p):
        pcrs = [p["pcrs"][i:i + 32].hex() for i in range(0, 768, 32)]
        return json.dumps({"version": doc["version"], "hcl_report": b64u(p["hcl"]), last: b64u(p[last]),
                           "tpm_quote": {"message": p["message"].hex(), "signature": p["signature"].hex(),
                                         "pcrs": pcrs}}).encode()

    def judge(j, p):
        return j.azure({**p, "pcrs": [p["pcrs"][i:i + 32] for i in range(0, 768, 32)]})

    return parts, build, judge, ()


def bare_snp(report, vek):
    parts = {"report": (DATA / report).read_bytes(), "vek": (DATA / vek).read_bytes()}
    return parts, lambda p: p["report"], lambda j, p: j.snp(p["report"], p["vek"], "milan"), ("vek",)


def bare_tdx(name):
    return {"quote": (DATA / name).read_bytes()}, lambda p: p["quote"], lambda j, p: j.tdx(p["quote"]), ()


def tpm(path):
    doc = json.loads(path.read_text())
    parts = {k: base64.b64decode(v) for k, v in (("message", doc["tpm_quote"]["message"]),
                                                 ("signature", doc["tpm_quote"]["signature"]),
                                                 ("ak", doc["ak_public"]))}
    parts["pcrs"] = b"".join(bytes.fromhex(p) for p in doc["tpm_quote"]["pcrs"])

    def build_doc(p):
        return {"tpm_quote": {"message": base64.b64encode(p["message"]).decode(),
                              "signature": base64.b64encode(p["signature"]).decode(),
                              "pcrs": [p["pcrs"][i:i + 32].hex() for i in range(0, 768, 32)]},
                "ak_public": base64.b64encode(p["ak"]).decode()}

    def judge(j, p):
        try:
            return j.tpm(build_doc(p))
        except Exception as x:
            raise second.Malformed from x

    return parts, lambda p: json.dumps(build_doc(p)).encode(), judge, ()


def compare(w, load, seed):
    """Unchanged, then with random bytes changed: both say the same of everything both look at."""
    parts, build, judge, extra = load
    j, rng = second.Judge(SHARED), random.Random(seed)
    file, vek = w.tmp / "evidence", w.tmp / "vek"
    turned = set()
    for n in range(MUTATIONS + 1):
        p = dict(parts)
        where = "nothing"
        if n:
            name = rng.choice(sorted(p))
            at = rng.randrange(len(p[name]))
            b = bytearray(p[name])
            b[at] ^= 1 << rng.randrange(8)
            p[name] = bytes(b)
            where = f"{name}[{at}]"
        file.write_bytes(build(p))
        argv = ["evidence", "verify", file, "--json", "--at", AT]
        if extra:
            vek.write_bytes(p["vek"])
            argv += ["--vek", vek]
        r = w.run([BUILD / "vouchsafe", *argv])
        assert r.returncode in (0, 65, 69, 76), (where, r)
        try:
            want = judge(j, p)
        except second.Malformed:
            assert r.returncode != 0, f"{where}: the second implementation finds no evidence there"
            continue
        if r.returncode in (65, 69):
            assert n, r.stdout
            continue  # stricter about form
        got = states(r)
        refused = any(not v for k, v in want.items() if k not in KNOWN_BAD)
        for name, holds in want.items():
            same = name in got and (got[name] != "bad") == holds
            # What follows from a certificate that does not parse is not looked at, which is stricter.
            if not same and not (holds and refused and got.get(name) in (None, "bad")):
                raise AssertionError(f"{where}: {name} is {got.get(name)}, the second says {holds}\n{r.stdout}")
        if n == 0:
            assert all(v for k, v in want.items() if k not in KNOWN_BAD), want
        else:
            turned |= {k for k, v in want.items() if not v}
    return turned


KNOWN_BAD = {"tdx.debug", "snp.version", "snp.vmpl"}  # of the recordings that have them


def second__azure_snp__says_the_same(w):
    need(DATA)
    turned = compare(w, azure("az-snp-vtpm/evidence-v2.json", True), 1)
    turned |= compare(w, azure("az-snp-vtpm/evidence-v1.json", True), 2)
    assert MUTATIONS < 25 or {"az.binding", "tpm.signature", "snp.signature"} <= turned, turned


def second__azure_tdx__says_the_same(w):
    need(DATA)
    compare(w, azure("az-tdx-vtpm/evidence-v1.json", False), 3)


def second__snp_reports__says_the_same(w):
    need(DATA)
    turned = compare(w, bare_snp("snp/test-report.bin", "snp/test-vcek.der"), 4)
    turned |= compare(w, bare_snp("snp/test-vlek-report.bin", "snp/test-vlek.der"), 5)
    assert MUTATIONS < 25 or {"snp.chain", "snp.signature"} <= turned, turned


def second__td_quotes__says_the_same(w):
    need(DATA)
    for i, name in enumerate(("tdx_quote_4.dat", "tdx_quote_5.dat", "az-tdx-vtpm/td-quote.bin")):
        compare(w, bare_tdx(name), 6 + i)


def second__tpm__says_the_same(w):
    need(DATA)
    compare(w, tpm(DATA / "tpm_evidence.json"), 9)
    compare(w, tpm(SHARED / "vectors/evidence/derived/tpm-evidence.json"), 10)


# --- test hardware ------------------------------------------------------------------------------

def snp_json(report, certs):
    """As Trustee has it, from the bytes, written by other code than vouchsafe's."""
    def tcb(at):
        t = report[at:at + 8]
        return {"fmc": None, "bootloader": t[0], "tee": t[1], "snp": t[6], "microcode": t[7]}

    def version(at):
        return {"build": report[at], "minor": report[at + 1], "major": report[at + 2]}

    u32 = lambda at: struct.unpack_from("<I", report, at)[0]  # noqa: E731
    u64 = lambda at: struct.unpack_from("<Q", report, at)[0]  # noqa: E731
    cut = lambda at, n: list(report[at:at + n])  # noqa: E731
    doc = {"version": u32(0), "guest_svn": u32(4), "policy": u64(8), "family_id": cut(16, 16), "image_id": cut(32, 16),
           "vmpl": u32(0x30), "sig_algo": u32(0x34), "current_tcb": tcb(0x38), "plat_info": u64(0x40),
           "key_info": u32(0x48), "report_data": cut(0x50, 64), "measurement": cut(0x90, 48),
           "host_data": cut(0xC0, 32), "id_key_digest": cut(0xE0, 48), "author_key_digest": cut(0x110, 48),
           "report_id": cut(0x140, 32), "report_id_ma": cut(0x160, 32), "reported_tcb": tcb(0x180),
           "cpuid_fam_id": report[0x188], "cpuid_mod_id": report[0x189], "cpuid_step": report[0x18A],
           "chip_id": cut(0x1A0, 64), "committed_tcb": tcb(0x1E0), "current": version(0x1E8),
           "committed": version(0x1EC), "launch_tcb": tcb(0x1F0), "launch_mit_vector": None,
           "current_mit_vector": None, "signature": {"r": cut(0x2A0, 72), "s": cut(0x2E8, 72)}}
    chain = [{"cert_type": k, "data": list(v)} for k, v in certs.items()] or None
    return {"attestation_report": doc, "cert_chain": chain}


def test_hardware__snp__holds_only_under_its_own_root(w):
    amd = hardware.Amd(w.tmp / "amd")
    initdata = w.tmp / "initdata.toml"
    initdata.write_text('version = "0.1.0"\nalgorithm = "sha256"\n[data]\n')
    digest = hashlib.sha256(initdata.read_bytes()).digest()
    report = amd.report(b"\x11" * 48, host_data=digest)
    file, roots = w.tmp / "snp.json", w.tmp / "roots.pem"
    certs = {"VCEK": hardware.der_of(amd.vcek), "ASK": hardware.der_of(amd.ask), "ARK": hardware.der_of(amd.ark)}
    file.write_text(json.dumps(snp_json(report, certs)))
    roots.write_text(amd.ark)
    argv = ["evidence", "verify", file, "--initdata", initdata, "--report-data", "11" * 48, "--json"]
    r = tool(w, *argv, "--root-cert", roots)
    assert "TEST ROOT" in r.stderr, r.stderr
    s = states(r)
    assert s.pop("test-root") == "warn" and set(s.values()) == {"ok"}, s
    assert json.loads(r.stdout)["test_root"] is True
    assert states(tool(w, *argv, want=76))["snp.chain"] == "bad"
    # An issuer of the host's own making, which no root vouches for.
    file.write_text(json.dumps(snp_json(report, {"VCEK": certs["VCEK"], "ASK": certs["ASK"]})))
    assert states(tool(w, *argv, want=76))["snp.chain"] == "bad"
    # Without the ASK among what came along, it is taken from the file; another root is another root.
    file.write_text(json.dumps(snp_json(report, {"VCEK": certs["VCEK"]})))
    assert states(tool(w, *argv, "--root-cert", roots, want=76))["snp.chain"] == "bad"
    roots.write_text(amd.ask + amd.ark)
    tool(w, *argv, "--root-cert", roots)
    other = hardware.Amd(w.tmp / "other")
    roots.write_text(other.ark + other.ask)
    s = states(tool(w, *argv, "--root-cert", roots, want=76))
    assert s["snp.chain"] == "bad" and s["snp.signature"] == "ok", s
    # A bare report with the certificate beside it.
    (w.tmp / "report.bin").write_bytes(report)
    (w.tmp / "vcek.pem").write_text(amd.vcek)
    roots.write_text(amd.ark + amd.ask)
    tool(w, "evidence", "verify", w.tmp / "report.bin", "--vek", w.tmp / "vcek.pem", "--root-cert", roots)


def test_hardware__snp_of_old_firmware__is_named(w):
    amd = hardware.Amd(w.tmp / "amd2")
    roots, file = w.tmp / "roots.pem", w.tmp / "snp.json"
    roots.write_text(amd.ark + amd.ask)
    report = amd.report(bytes(64))
    old = amd.vcek
    amd.update(ucode=0x80)
    for vcek, rep, want in ((amd.vcek, report, "snp.tcb"), (old, amd.report(bytes(64)), "snp.tcb"),
                            (amd.vcek, amd.report(bytes(64)), None)):
        file.write_text(json.dumps(snp_json(rep, {"VCEK": hardware.der_of(vcek)})))
        s = states(tool(w, "evidence", "verify", file, "--root-cert", roots, "--json", want=76 if want else 0))
        assert not want or s[want] == "bad", s
    for field, value, finding in (("vmpl", 1, "snp.vmpl"), ("policy", 0xB001F, "snp.debug"),
                                  ("policy", 0x7001F, "snp.migration"), ("version", 2, "snp.version"),
                                  ("cpuid", (0x19, 0x20, 0), "snp.chain")):
        file.write_text(json.dumps(snp_json(amd.report(bytes(64), **{field: value}),
                                            {"VCEK": hardware.der_of(amd.vcek)})))
        r = w.run([BUILD / "vouchsafe", "evidence", "verify", file, "--root-cert", roots, "--json"])
        if field == "cpuid":
            assert r.returncode in (65, 69, 76), r  # a processor that Trustee does not know
        else:
            assert states(r)[finding] == "bad" and r.returncode == 76, r.stdout


def test_hardware__tdx__holds_only_under_its_own_root(w):
    intel = hardware.Intel(w.tmp / "intel")
    file, roots = w.tmp / "tdx.json", w.tmp / "intel.pem"
    roots.write_text(intel.root)
    data, config = b"\x22" * 64, hashlib.sha384(b"config").digest()
    quote = intel.quote(intel.tdreport(data, mrconfigid=config))
    file.write_text(json.dumps({"quote": base64.b64encode(quote).decode(), "cc_eventlog": None}))
    argv = ["evidence", "verify", file, "--report-data", "22" * 64, "--json"]
    s = states(tool(w, *argv, "--root-cert", roots))
    assert s["tdx.chain"] == s["tdx.signature"] == s["report-data"] == "ok", s
    assert s["tdx.qe-identity"] == "warn" and s["event-log"] == "unknown", s
    s = states(tool(w, *argv, want=76))
    assert s["tdx.chain"] == "bad" and s["tdx.qe-identity"] == "bad" and s["tdx.signature"] == "ok", s
    debug = intel.quote(intel.tdreport(data, attributes=1))
    file.write_text(json.dumps({"quote": base64.b64encode(debug).decode()}))
    assert states(tool(w, *argv, "--root-cert", roots, want=76))["tdx.debug"] == "bad"


# --- event logs -----------------------------------------------------------------------------------

def record(index, kind, digests, data):
    body = b"".join(struct.pack("<H", a) + d for a, d in digests)
    return struct.pack("<III", index, kind, len(digests)) + body + struct.pack("<I", len(data)) + data


def log_head(algs):
    spec = b"Spec ID Event03\0" + bytes(4) + bytes([0, 2, 0, 2]) + struct.pack("<I", len(algs)) + \
        b"".join(struct.pack("<HH", a, n) for a, n in algs) + b"\0"
    return struct.pack("<II", 0, 3) + bytes(20) + struct.pack("<I", len(spec)) + spec


def replay(hash_name, digests):
    n = hashlib.new(hash_name).digest_size
    value = bytes(n)
    for d in digests:
        value = hashlib.new(hash_name, value + d).digest()
    return value


def event_log__of_a_td__leads_to_its_registers(w):
    intel = hardware.Intel(w.tmp / "intel3")
    roots, file = w.tmp / "intel3.pem", w.tmp / "tdx3.json"
    roots.write_text(intel.root)
    digests = [hashlib.sha384(b"kernel").digest(), hashlib.sha384(b"parameters").digest()]
    path = struct.pack("<BBH", 4, 4, 4 + 14) + "kernel\0".encode("utf-16-le") + bytes([0x7F, 0xFF, 4, 0])
    image = struct.pack("<QQQQ", 0, 0, 0, len(path)) + path
    options = b"LOADED_IMAGE::LoadOptions\0"
    tag = struct.pack("<II", 0x8F3B22ED, len(options)) + options
    log = log_head([(12, 48)]) + record(2, 0x80000003, [(12, digests[0])], image) + \
        record(3, 6, [(12, digests[1])], tag) + b"\xff" * 8
    rtmrs = [bytes(48), replay("sha384", digests[:1]), replay("sha384", digests[1:]), bytes(48)]
    quote = intel.quote(intel.tdreport(bytes(64), rtmrs=rtmrs))
    doc = {"quote": base64.b64encode(quote).decode(), "cc_eventlog": base64.b64encode(log).decode()}
    file.write_text(json.dumps(doc))
    argv = ["evidence", "verify", file, "--json", "--root-cert", roots]
    assert states(tool(w, *argv))["event-log"] == "ok"
    got = json.loads(tool(w, "reference-values", "--evidence", file, "--json").stdout)
    assert got["tdvfkernel"] == digests[0].hex() and got["tdvfkernelparams"] == digests[1].hex(), got
    assert got["rtmr_1"] == [rtmrs[1].hex()] and got["rtmr_2"] == [rtmrs[2].hex()]
    shown = json.loads(tool(w, "evidence", "show", file, "--json").stdout)["evidence"][0]["boot_log"]
    assert [(r["register"], r["matches"], len(r["events"])) for r in shown["registers"]] == \
        [("RTMR 1", True, 1), ("RTMR 2", True, 1)], shown
    assert "File(kernel)" in shown["registers"][0]["events"][0]["words"]
    # One event more than the registers have.
    longer = log[:-8] + record(2, 6, [(12, digests[0])], tag) + b"\xff" * 8
    file.write_text(json.dumps({**doc, "cc_eventlog": base64.b64encode(longer).decode()}))
    r = tool(w, *argv, want=76)
    assert states(r)["event-log"] == "bad" and "RTMR 1" in r.stdout
    file.write_text(json.dumps({**doc, "cc_eventlog": base64.b64encode(log[:-4]).decode()}))
    assert states(tool(w, *argv, want=76))["event-log"] == "bad"


def event_log__recorded__does_not_lead_elsewhere(w):
    need(LOGS)
    r = tool(w, "evidence", "verify", DATA / "tdx_quote_4.dat", "--event-log", LOGS / "CCEL_data", "--json",
             "--at", AT, want=76)
    assert states(r)["event-log"] == "bad"


def tpm_evidence(pcrs, nonce=bytes(32)):
    """A quote of these PCRs by a key that no TPM has."""
    key = rsa.generate_private_key(65537, 2048)
    message = bytes.fromhex("ff5443478018") + struct.pack(">H", 34) + b"\0\x0b" + bytes(32)
    message += struct.pack(">H", len(nonce)) + nonce + bytes(8 + 4 + 4) + b"\1" + bytes(8)
    message += struct.pack(">IHB", 1, 11, 3) + b"\xff" * 3 + struct.pack(">H", 32)
    message += hashlib.sha256(b"".join(pcrs)).digest()
    signature = bytes.fromhex("0014000b0100") + key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    spki = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    b64 = lambda b: base64.b64encode(b).decode()  # noqa: E731
    return {"tpm_quote": {"signature": b64(signature), "message": b64(message), "pcrs": [p.hex() for p in pcrs]},
            "ak_public": b64(spki)}


def event_log__of_a_uki_boot__says_what_was_booted(w):
    boot = json.loads((TOP / "test/vectors/attester/uki-boot.json").read_text())
    pcrs = [bytes.fromhex(p) for p in boot["pcrs"]]
    pcrs += [bytes(32)] * (24 - len(pcrs))
    file, log, cmdline = w.tmp / "uki.json", w.tmp / "uki.log", w.tmp / "uki.cmdline"
    file.write_text(json.dumps(tpm_evidence(pcrs)))
    log.write_bytes(base64.b64decode(boot["log"]))
    cmdline.write_text(boot["cmdline"] + "\n")
    s = states(tool(w, "evidence", "verify", file, "--event-log", log, "--json"))
    assert s["event-log"] == "ok" and s["tpm.signature"] == "ok", s
    shown = json.loads(tool(w, "evidence", "show", file, "--event-log", log, "--cmdline", cmdline, "--json").stdout)
    assert shown["evidence"][0]["boot_log"]["vouched_for"] is True
    b = shown["evidence"][0]["boot_log"]["boot"]
    root = boot["cmdline"].split("roothash=")[1].split()[0]
    assert b["unified_kernel_image"] and b["roothash"] == root and b["command_line"] == boot["cmdline"], b
    assert b[".cmdline"] and b[".linux"] and b[".initrd"], b
    registers = {r["register"]: r for r in shown["evidence"][0]["boot_log"]["registers"]}
    assert all(registers[f"PCR {i}"]["matches"] for i in (0, 4, 7, 11)) and registers["PCR 11"]["events"], registers.keys()
    text = tool(w, "evidence", "show", file, "--event-log", log, "--cmdline", cmdline).stdout
    assert root in text and "PCR 11" in text
    cmdline.write_text(boot["cmdline"] + " init=/bin/sh\n")
    b = json.loads(tool(w, "evidence", "show", file, "--event-log", log, "--cmdline", cmdline, "--json").stdout)
    b = b["evidence"][0]["boot_log"]["boot"]
    assert "roothash" not in b and "not the measured one" in b["command_line"], b
    # What the digest is not of stands in brackets, and is said in JSON.
    assert "EV_EFI_VARIABLE_DRIVER_CONFIG SecureBoot = 00" in text and "EV_EFI_BOOT_SERVICES_APPLICATION (PciRoot" in text
    assert [e["words_measured"] for e in registers["PCR 4"]["events"]] == [True, True, False, False], registers["PCR 4"]
    # Secure Boot's register is another's: nothing in the log counts.
    pcrs[7], seven = bytes(32), pcrs[7]
    file.write_text(json.dumps(tpm_evidence(pcrs)))
    shown = json.loads(tool(w, "evidence", "show", file, "--event-log", log, "--json").stdout)
    assert shown["evidence"][0]["boot_log"]["vouched_for"] is False
    # systemd's phases came on top of what the log has.
    pcrs[7], pcrs[11] = seven, hashlib.sha256(pcrs[11] + hashlib.sha256(b"sysinit").digest()).digest()
    file.write_text(json.dumps(tpm_evidence(pcrs)))
    shown = json.loads(tool(w, "evidence", "show", file, "--event-log", log, "--json").stdout)
    assert shown["evidence"][0]["boot_log"]["vouched_for"] is True
    # Firmware's PCR moved: the log is another boot's.
    pcrs[4] = bytes(32)
    file.write_text(json.dumps(tpm_evidence(pcrs)))
    r = tool(w, "evidence", "verify", file, "--event-log", log, "--json", want=76)
    assert states(r)["event-log"] == "bad" and "PCR 4" in r.stdout
    shown = json.loads(tool(w, "evidence", "show", file, "--event-log", log, "--json").stdout)
    assert shown["evidence"][0]["boot_log"]["vouched_for"] is False


def event_log__of_a_direct_boot__has_its_command_line(w):
    intel = hardware.Intel(w.tmp / "intel5")
    file, log, cmdline = w.tmp / "direct.json", w.tmp / "direct.log", w.tmp / "direct.cmdline"
    file.write_text(json.dumps({"quote": base64.b64encode(intel.quote(intel.tdreport(bytes(64)))).decode()}))
    root = "ab" * 32
    line, other = f"console=hvc0 roothash={root}", "console=hvc0 init=/bin/sh"
    wide = lambda s: s.encode("utf-16-le") + b"\0\0"  # noqa: E731
    sha = lambda b: hashlib.sha384(b).digest()  # noqa: E731
    options = b"LOADED_IMAGE::LoadOptions\0"
    tag = struct.pack("<II", 0x8F3B22ED, len(options)) + options

    def shown(*records):
        log.write_bytes(log_head([(12, 48)]) + b"".join(records) + b"\xff" * 8)
        cmdline.write_text(line + "\n")
        r = tool(w, "evidence", "show", file, "--event-log", log, "--cmdline", cmdline, "--json")
        return json.loads(r.stdout)["evidence"][0]["boot_log"]["boot"]

    given = [record(3, 6, [(12, sha(wide(s)))], tag) for s in (line, other)]
    b = shown(given[0])
    assert b["command_line"] == line and b["roothash"] == root and not b["unified_kernel_image"], b
    assert "not the measured one" in shown(given[1])["command_line"]
    section = record(3, 13, [(12, sha(b".cmdline\0"))], wide(".cmdline")) + \
        record(3, 13, [(12, sha(line.encode()))], wide(".cmdline"))
    b = shown(section, given[0])
    assert b["roothash"] == root and b["unified_kernel_image"] and not b["overridden_from_outside"], b
    # The image has the line, the kernel was given another: by its own record, whatever others say.
    for name in (13, 5, 6):
        b = shown(section, record(3, name, [(12, sha(wide(other)))], wide(other)), given[1])
        assert b["overridden_from_outside"] and "roothash" not in b and "given another" in b["command_line"], b


def show__this_machines_own_log__counts_where_it_fits(w):
    need_root = os.geteuid() == 0 and pathlib.Path("/sys/kernel/security").is_dir() and shutil.which("unshare")
    if not need_root:
        raise Skip("no root, no securityfs or no unshare")
    boot = json.loads((TOP / "test/vectors/attester/uki-boot.json").read_text())
    pcrs = [bytes.fromhex(p) for p in boot["pcrs"]]
    pcrs += [bytes(32)] * (24 - len(pcrs))
    file, log, cmdline = w.tmp / "own.json", w.tmp / "own.log", w.tmp / "own.cmdline"
    log.write_bytes(base64.b64decode(boot["log"]))
    cmdline.write_text(boot["cmdline"] + "\n")
    script = 'mount -t tmpfs tmpfs /sys/kernel/security && mkdir /sys/kernel/security/tpm0 && ' \
        'cp "$1" /sys/kernel/security/tpm0/binary_bios_measurements && mount --bind "$2" /proc/cmdline && ' \
        'exec "$3" evidence show "$4" --json'

    def shown():
        file.write_text(json.dumps(tpm_evidence(pcrs)))
        r = w.run(["unshare", "-m", "sh", "-c", script, "sh", log, cmdline, BUILD / "vouchsafe", file])
        if r.returncode == 32:
            raise Skip("no mounting here")
        assert r.returncode == 0, r
        return json.loads(r.stdout)["evidence"][0]

    b = shown()["boot_log"]["boot"]
    assert b["command_line"] == boot["cmdline"] and b["roothash"] in boot["cmdline"], b
    # The machine that tests run on has its root on no dm-verity, or not on that of the recorded boot.
    assert [m["path"] for m in b["mounts"]] == ["/", "/usr"], b
    assert all(not m["verity"] and m["why"] or not m["root_hash_measured"] for m in b["mounts"]), b
    pcrs[4] = bytes(32)
    assert "boot_log" not in shown(), "another machine's log"


def show__an_image__is_held_against_pcr_11(w):
    need(DATA)
    stub = pathlib.Path("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")
    if not stub.exists() or not shutil.which("objcopy"):
        raise Skip("no stub or no objcopy")
    root, image, file = "cd" * 32, w.tmp / "image.efi", w.tmp / "image.json"
    argv = ["objcopy"]
    for name, at, data in (("osrel", 0x20000, b"ID=debian\n"), ("linux", 0x2000000, stub.read_bytes()),
                           ("cmdline", 0x30000, f"quiet roothash={root}\n\0".encode())):
        (w.tmp / name).write_bytes(data)
        argv += ["--add-section", f".{name}={w.tmp / name}", "--change-section-vma", f".{name}={at:#x}"]
    w.run([*argv, stub, image], check=True)
    values = json.loads(tool(w, "reference-values", "--evidence", "none", "--uki", image, "--json").stdout)
    pcrs = [bytes(32)] * 24

    def shown():
        file.write_text(json.dumps(tpm_evidence(pcrs)))
        return json.loads(tool(w, "evidence", "show", file, "--uki", image, "--json").stdout)["evidence"][0]["image"]

    assert shown() == {"pcr11_matches": False}
    pcrs[11] = bytes.fromhex(values["tpm_pcr11"][0])
    assert shown() == {"pcr11_matches": True, "overridden_from_outside": False, "roothash": root,
                       "command_line": f"quiet roothash={root}"}
    pcrs[12] = b"\1" * 32
    assert shown()["overridden_from_outside"] is True
    for word in (b"enter-initrd", b"leave-initrd"):
        pcrs[11] = hashlib.sha256(pcrs[11] + hashlib.sha256(word).digest()).digest()
    assert shown()["boot_phases"] == "enter-initrd leave-initrd" and shown()["roothash"] == root
    text = tool(w, "evidence", "show", file, "--uki", image).stdout
    assert "pcr11 matches            yes" in text and root in text, text
    tool(w, "evidence", "show", file, "--uki", image, "--cmdline", file, want=64)
    # Where there is nothing to compare it with, that is said.
    (w.tmp / "empty").write_bytes(b"")
    shown = json.loads(tool(w, "evidence", "show", DATA / "tdx_quote_5.dat", "--uki", image, "--json").stdout)
    assert "not compared" in shown["evidence"][0]["image"], shown
    shown = json.loads(tool(w, "evidence", "show", E2E, "--event-log", image, "--json").stdout)
    assert "not compared" in shown["evidence"][0]["boot_log"], shown
    shown = json.loads(tool(w, "evidence", "show", DATA / "tdx_quote_5.dat", "--event-log", w.tmp / "empty", "--json").stdout)
    assert "cut short" in shown["evidence"][0]["boot_log"]["problem"], shown
    tool(w, "evidence", "show", file, "--uki", file, want=65)


# --- the commands ------------------------------------------------------------------------------------

def verify__exit_codes__are_as_documented(w):
    need(DATA)
    v2 = DATA / "az-snp-vtpm/evidence-v2.json"
    data = "982f5c6e45df0ed3f10b6f60b02f0c8390e281300f3805e2279c16168cd6ae9aa398f647caa2338748cd0fd9f5f819ef"
    tool(w, "evidence", "verify", v2, "--report-data", data, "--at", AT)
    tool(w, "evidence", "verify", v2, "--report-data-base64", base64.b64encode(bytes.fromhex(data)).decode())
    tool(w, "evidence", "verify", v2, "--report-data", data[:-2], want=76)
    tool(w, "evidence", "verify", v2, "--at", "2020-01-01T00:00:00Z", want=76)
    tool(w, "evidence", "verify", v2, "--at", "1577836800", want=76)
    tool(w, "evidence", "verify", v2, "--tee", "az-snp-vtpm", "--at", AT)
    tool(w, "evidence", "verify", v2, "--tee", "tpm", want=65)
    tool(w, "evidence", "verify", DATA / "az-snp-vtpm/evidence-v1.json", "--runtime-data", "challenge")
    tool(w, "evidence", "verify", w.tmp / "absent", want=66)
    tool(w, "evidence", "verify", DATA / "tcbInfo.json", want=65)
    tool(w, "evidence", "verify", DATA / "occlum_quote.dat", want=69)
    for bad in (["--at", "soon"], ["--at", ""], ["--report-data", "0"], ["--report-data", "zz"],
                ["--report-data", ""], ["--report-data", "00" * 65], ["--report-data-base64", "?"],
                ["--report-data", "00", "--runtime-data", "x"], ["--frob"], []):
        argv = ["evidence", "verify", *([v2] if bad else []), *bad]
        tool(w, *argv, want=64)
    error = json.loads(tool(w, "evidence", "verify", DATA / "tcbInfo.json", "--json", want=65).stdout)["error"]
    assert error["code"] == "general.format" and error["remedy"], error


def verify__other_wrappings__are_the_same(w):
    need(DATA)
    doc = json.loads((DATA / "az-snp-vtpm/evidence-v2.json").read_text())
    wants = states(tool(w, "evidence", "verify", DATA / "az-snp-vtpm/evidence-v2.json", "--json", "--at", AT))
    sample = {"sampledevice": {"svn": "2", "report_data": "AA=="}}
    for wrapped, n in (({"tee": "az-snp-vtpm", "evidence": doc}, 1),
                       ({"primary_evidence": doc, "additional_evidence": ""}, 1),
                       ({"primary_evidence": doc, "additional_evidence": json.dumps(sample)}, 2)):
        r = w.run([BUILD / "vouchsafe", "evidence", "verify", "-", "--json", "--at", AT], input=json.dumps(wrapped))
        assert states(r) == wants and len(json.loads(r.stdout)["evidence"]) == n, r.stdout
        assert r.returncode == (0 if n == 1 else 76), r  # a sample device proves nothing
    assert states(r, 1)["proof"] == "bad"


def verify__what_was_asked_and_cannot_be_checked__does_not_hold(w):
    need(DATA)
    log, boot = w.tmp / "asked.log", json.loads((TOP / "test/vectors/attester/uki-boot.json").read_text())
    log.write_bytes(base64.b64decode(boot["log"]))
    assert states(tool(w, "evidence", "verify", E2E, "--event-log", log, "--json", "--at", AT, want=76))["event-log"] == "bad"
    log.write_bytes(b"")
    for path in (DATA / "az-snp-vtpm/evidence-v2.json", DATA / "tdx_quote_5.dat"):
        r = tool(w, "evidence", "verify", path, "--event-log", log, "--json", "--at", AT, want=76)
        assert states(r)["event-log"] == "bad", r.stdout
    # Devices alone are nobody's primary evidence: anybody can make a TPM's.
    devices = w.tmp / "devices.json"
    devices.write_text(json.dumps({"tpm": tpm_evidence([bytes(32)] * 24, b"\x11" * 32)}))
    tool(w, "evidence", "verify", devices)
    for tee in ("az-snp-vtpm", "tpm"):
        tool(w, "evidence", "verify", devices, "--tee", tee, want=65)
    # Of several devices one may have no values; of all, nothing was compared.
    ref = w.tmp / "asked-reference.json"
    several = w.tmp / "several.json"
    several.write_text(json.dumps({"sampledevice": {"svn": "2", "report_data": "AAAA"}, **json.loads(devices.read_text())}))
    for names, want in (({"trusted_akz": ["00"]}, 76), ({"tpm_pcr11": ["00" * 32]}, 0), ({"tpm_pcr11": ["11" * 32]}, 76)):
        ref.write_text(json.dumps(names))
        tool(w, "evidence", "verify", devices, "--reference", ref, want=want)
    ref.write_text(json.dumps({"tpm_pcr11": ["00" * 32]}))
    r = tool(w, "evidence", "verify", several, "--reference", ref, "--json", want=76)
    assert not any("none of the names" in f["text"] for e in json.loads(r.stdout)["evidence"] for f in e["findings"]), r.stdout


def verify__devices__bind_what_they_are_asked_to(w):
    device = {"tpm": tpm_evidence([bytes(32)] * 24, b"\x11" * 32)}
    alone, both = w.tmp / "alone.json", w.tmp / "both.json"
    alone.write_text(json.dumps(device))
    both.write_text(json.dumps({"primary_evidence": tpm_evidence([bytes(32)] * 24, b"\x22" * 32),
                                "additional_evidence": json.dumps(device)}))
    for path, argv, want in ((alone, ["--report-data", "11" * 32], 0), (alone, ["--report-data", "22" * 32], 76),
                             (alone, ["--device-report-data", "11" * 32], 0),
                             (alone, ["--device-report-data", "22" * 32], 76),
                             (both, ["--report-data", "22" * 32], 0), (both, ["--report-data", "11" * 32], 76),
                             (both, ["--report-data", "22" * 32, "--device-report-data", "11" * 48], 0),
                             (both, ["--report-data", "22" * 32, "--device-report-data", "22" * 48], 76)):
        tool(w, "evidence", "verify", path, *argv, want=want)
    # A device with one bad bit spoils the whole.
    device["tpm"]["tpm_quote"]["pcrs"][23] = "01" + "00" * 31
    doc = json.loads(both.read_text())
    both.write_text(json.dumps({**doc, "additional_evidence": json.dumps(device)}))
    r = tool(w, "evidence", "verify", both, "--json", want=76)
    assert [e["holds"] for e in json.loads(r.stdout)["evidence"]] == [True, False], r.stdout
    assert json.loads(r.stdout)["holds"] is False and json.loads(r.stdout)["undecided"] == 6, r.stdout
    tool(w, "evidence", "verify", DATA / "tdx_quote_5.dat", "--device-report-data", "00", want=65)


def reference__of_a_tpm_beside_a_tee__are_its_names_too(w):
    amd = hardware.Amd(w.tmp / "amd4")
    roots, file, ref = w.tmp / "roots4.pem", w.tmp / "beside.json", w.tmp / "beside-reference.json"
    roots.write_text(amd.ark + amd.ask)
    device = tpm_evidence([bytes([i]) * 32 for i in range(24)])
    file.write_text(json.dumps({"primary_evidence": snp_json(amd.report(bytes(64)), {"VCEK": hardware.der_of(amd.vcek)}),
                                "additional_evidence": json.dumps({"tpm": device})}))
    values = json.loads(tool(w, "reference-values", "--evidence", file, "--json").stdout)
    assert values["trusted_aks"] == [device["ak_public"]] and values["tpm_pcr11"] == ["0b" * 32], values
    assert values["snp_launch_measurement"], values
    argv = ["evidence", "verify", file, "--reference", ref, "--root-cert", roots, "--json"]
    ref.write_text(json.dumps(values))
    r = tool(w, *argv)
    assert states(r)["reference"] == states(r, 1)["reference"] == "ok", r.stdout
    for name, wrong in (("trusted_aks", ["AAAA"]), ("tpm_pcr11", ["00" * 32]), ("snp_launch_measurement", ["00"])):
        ref.write_text(json.dumps({**values, name: wrong}))
        r = tool(w, *argv, want=76)
        assert states(r, name[0] == "t")["reference"] == "bad" and states(r, name[0] != "t")["reference"] == "ok", r.stdout
    # A misspelt name is said; what nobody registered of a device is not held against it.
    ref.write_text(json.dumps({"snp_lunch_measurement": ["00"], **{k: v for k, v in values.items() if k[0] != "t"}}))
    r = tool(w, *argv)
    assert states(r)["reference.other"] == "warn" and "snp_lunch_measurement" in r.stdout, r.stdout
    assert states(r, 1)["reference"] == "unknown", r.stdout


def reference__what_is_printed__compares_as_the_same(w):
    need(DATA)
    ref = w.tmp / "reference.json"
    for path in (DATA / "az-snp-vtpm/evidence-v2.json", DATA / "az-tdx-vtpm/evidence-v1.json", E2E,
                 DATA / "tdx_quote_5.dat", SHARED / "vectors/evidence/derived/tpm-evidence.json"):
        printed = tool(w, "reference-values", "--evidence", path, "--json").stdout
        message = json.loads(tool(w, "reference-values", "--evidence", path, "--message").stdout)
        assert message["version"] == "0.1.0" and message["type"] == "sample"
        assert json.loads(base64.b64decode(message["payload"], validate=True)) == json.loads(printed)
        for text in (printed, json.dumps(message)):
            ref.write_text(text)
            s = states(tool(w, "evidence", "verify", path, "--reference", ref, "--json", "--at", AT))
            assert s["reference"] == "ok", s
        values = json.loads(printed)
        for name, value in values.items():
            for wrong in (["00"], "00", [], None, 77):
                ref.write_text(json.dumps({**values, name: wrong}))
                if json.dumps(wrong) == json.dumps(value):
                    continue
                r = tool(w, "evidence", "verify", path, "--reference", ref, "--json", "--at", AT, want=76)
                assert states(r)["reference"] == "bad", (name, wrong)
            ref.write_text(json.dumps({k: v for k, v in values.items() if k != name}))
            r = tool(w, "evidence", "verify", path, "--reference", ref, "--json", "--at", AT)
            assert states(r)["reference"] == "unknown", name
        for nothing in ("{}", '{"frob":[1]}', "[]", "", "{"):
            ref.write_text(nothing)
            tool(w, "evidence", "verify", path, "--reference", ref, "--at", AT, want=76)


def reference__names_and_forms__are_those_of_trustees_policy(w):
    need(DATA)

    def of(path, *more):
        return json.loads(tool(w, "reference-values", "--evidence", path, "--json", *more).stdout)

    snp = of(E2E)
    assert snp["snp_bootloader"] == [10] and snp["snp_microcode"] == [25] and snp["snp_snp_svn"] == [23]
    assert snp["snp_tee_svn"] == [0] and snp["snp_smt_enabled"] is True and snp["snp_guest_abi_major"] == 0
    assert len(bytes.fromhex(snp["snp_launch_measurement"][0])) == 48
    az = of(DATA / "az-snp-vtpm/evidence-v2.json")
    assert len(base64.b64decode(az["measurement"][0], validate=True)) == 48  # Azure's claim is base64
    assert az["tcb_bootloader"] == ["4"] and az["smt_enabled"] == ["true"] and az["abi_minor"] == ["31"]
    claims = json.loads((DATA / "parse_tdx_claims_expected.json").read_text())["quote"]["body"]
    tdx = of(DATA / "tdx_quote_4.dat")
    assert all(tdx[k] == [claims[k]] for k in ("mr_td", "rtmr_1", "rtmr_2", "xfam", "mr_config_id")), tdx
    derived = SHARED / "vectors/evidence/derived"
    expected = json.loads((derived / "expected.json").read_text())
    doc = json.loads((derived / "tpm-evidence.json").read_text())
    got = of(derived / "tpm-evidence.json")
    assert got["trusted_aks"] == [doc["ak_public"]] and got["tpm_pcr11"] == [doc["tpm_quote"]["pcrs"][11]]
    assert got["tpm_pcr8"] == [expected["pcr8_after_initdata"]]
    alone = json.loads(tool(w, "reference-values", "--evidence", "none", "--json", "--initdata",
                            derived / "initdata-sha256.toml").stdout)
    assert alone["tpm_pcr8"] == alone["snp_pcr8"] == got["tpm_pcr8"]
    digest = hashlib.sha256((derived / "initdata-sha256.toml").read_bytes()).hexdigest()
    assert alone["snp_host_data"] == [digest] and alone["mr_config_id"] == [digest + "00" * 16]
    assert of(E2E, "--initdata", derived / "initdata-sha256.toml")["snp_host_data"] == [digest]
    commands = tool(w, "reference-values", "--evidence", E2E, "--commands").stdout.splitlines()
    assert "kbs-client config set-sample-reference-value snp_tee_svn 0 --as-integer" in commands
    assert "kbs-client config set-sample-reference-value snp_smt_enabled true --as-bool --as-single-value" in commands
    tool(w, "reference-values", "--evidence", "none", want=64)
    tool(w, "reference-values", "--json", "--message", want=64)


def show__every_recording__is_json_and_text(w):
    need(DATA)
    for path, member in ((DATA / "az-snp-vtpm/evidence-v0.json", "paravisor"), (DATA / "az-tdx-vtpm/evidence-v1.json", "tdx"),
                         (E2E, "snp"), (DATA / "tdx_quote_5.dat", "tdx"), (DATA / "tpm_evidence.json", "tpm"),
                         (DATA / "snp/test-vlek-report.bin", "snp")):
        item = json.loads(tool(w, "evidence", "show", path, "--json").stdout)["evidence"][0]
        assert member in item, item
        text = tool(w, "evidence", "show", path).stdout
        assert item["tee"] in text and "\x1b" not in text
    report = json.loads(E2E.read_text())["attestation_report"]
    snp = json.loads(tool(w, "evidence", "show", E2E, "--json").stdout)["evidence"][0]["snp"]
    assert bytes.fromhex(snp["measurement"]) == bytes(report["measurement"])
    assert snp["policy"]["debug_allowed"] is False and snp["policy"]["smt_allowed"] is True
    assert snp["reported_tcb"]["microcode"] == report["reported_tcb"]["microcode"]
    td = json.loads(tool(w, "evidence", "show", DATA / "tdx_quote_4.dat", "--json").stdout)["evidence"][0]["tdx"]
    assert td["td_attributes"]["debug"] is True
    tool(w, "evidence", "show", w.tmp / "absent", want=66)
    tool(w, "evidence", "show", DATA / "tcbInfo.json", want=65)


def live__tpm_guest__verifies_its_own_evidence(w):
    w.up()
    file = w.tmp / "live.json"
    file.write_text(w.vouchsafe("evidence", "--json", "--runtime-data", "hello", check=True).stdout)
    initdata = w.root / "run/confidential-containers/initdata/initdata.toml"
    ref = w.tmp / "live-reference.json"
    ref.write_text(w.vouchsafe("reference-values", "--json", "--initdata", initdata, check=True).stdout)
    assert json.loads(ref.read_text())["trusted_aks"] == [w.ak]
    r = tool(w, "evidence", "verify", file, "--runtime-data", "hello", "--initdata", initdata, "--reference", ref, "--json")
    s = states(r)
    assert s["report-data"] == s["initdata"] == s["reference"] == s["tpm.signature"] == "ok", s
    assert states(tool(w, "evidence", "verify", file, "--runtime-data", "hullo", "--json", want=76))["report-data"] == "bad"
    other = w.tmp / "other.toml"
    other.write_text('version = "0.1.0"\nalgorithm = "sha256"\n[data]\n')
    assert states(tool(w, "evidence", "verify", file, "--initdata", other, "--json", want=76))["initdata"] == "bad"
    shown = json.loads(tool(w, "evidence", "show", file, "--json").stdout)["evidence"][0]
    assert len(shown["tpm"]["pcrs"]) == 24


def main():
    c = Cases()
    with World(BUILD) as w:
        for fn in (
            second__azure_snp__says_the_same,
            second__azure_tdx__says_the_same,
            second__snp_reports__says_the_same,
            second__td_quotes__says_the_same,
            second__tpm__says_the_same,
            test_hardware__snp__holds_only_under_its_own_root,
            test_hardware__snp_of_old_firmware__is_named,
            test_hardware__tdx__holds_only_under_its_own_root,
            event_log__of_a_td__leads_to_its_registers,
            event_log__recorded__does_not_lead_elsewhere,
            event_log__of_a_uki_boot__says_what_was_booted,
            event_log__of_a_direct_boot__has_its_command_line,
            show__an_image__is_held_against_pcr_11,
            show__this_machines_own_log__counts_where_it_fits,
            verify__exit_codes__are_as_documented,
            verify__other_wrappings__are_the_same,
            verify__what_was_asked_and_cannot_be_checked__does_not_hold,
            verify__devices__bind_what_they_are_asked_to,
            reference__of_a_tpm_beside_a_tee__are_its_names_too,
            reference__what_is_printed__compares_as_the_same,
            reference__names_and_forms__are_those_of_trustees_policy,
            show__every_recording__is_json_and_text,
            live__tpm_guest__verifies_its_own_evidence,
        ):
            c.run(fn, w)
    return c.finish()


sys.exit(main())
