# SPDX-License-Identifier: Apache-2.0
"""Composite evidence: devices beside the primary, both report data, all or none.
usage: run.py BUILD_DIR (with the development build in BUILD_DIR/dev)"""

import base64
import hashlib
import json
import os
import pathlib
import shutil
import sys

sys.dont_write_bytecode = True
TEST = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TEST / "integration"), str(TEST / "trustee"), str(TEST / "tools")]
from world import Cases, Skip, World  # noqa: E402
import ttrpc  # noqa: E402

BUILD = sys.argv[1]
AA = "attestation_agent.AttestationAgentService"


def world(devices, platform="sample", ak=True):
    w = World(BUILD)
    w.start_tpm()
    if ak:
        w.provision_ak()
    w.image_settings(f'[platform]\nname = "{platform}"\nadditional = {json.dumps(devices)}\n'
                     f'[tpm]\ndevice = "swtpm:127.0.0.1:{w.tpm_port}"\n')
    w.start_trustee("--allow-sample")
    w.resource("default/key/one", b"first")
    return w


def up(w):
    w.provision(w.initdata())
    w.start_daemon()
    return ttrpc.Client(str(w.root / "run/confidential-containers/attestation-agent/attestation-agent.sock"))


def claims(w):
    r = w.vouchsafe("token", check=True)
    token = json.loads(r.stdout)["token"] if r.stdout.lstrip().startswith("{") else r.stdout.strip()
    body = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


def both_devices__handshake__trustee_verifies_each_over_its_digest():
    with world(["tpm", "sampledevice"]) as w, up(w) as c:
        r = w.vouchsafe("get-resource", "kbs:///default/key/one", check=True)
        assert r.stdout == "first", r.stdout
        mods = claims(w)["submods"]
        names = [n for m in mods.values() for n in m["ear.veraison.annotated-evidence"]]
        assert "sample" in names and "tpm" in names and "sampledevice" in names, names
        tees = c.call(AA, "GetAdditionalTees")
        assert tees == ttrpc.field(1, b"tpm") + ttrpc.field(1, b"sampledevice"), tees


def both_devices__command__prints_what_verifies():
    import evidence
    with world(["tpm", "sampledevice"]) as w, up(w):
        digest = hashlib.sha384(b"x").digest()
        r = w.vouchsafe("evidence", "--additional", "--runtime-data-base64", base64.b64encode(digest).decode(),
                        check=True)
        trusted = evidence.TrustedAks()
        trusted.add(w.ak)
        got = evidence.verify_additional(r.stdout.strip(), digest, trusted)
        assert list(got) == ["tpm", "sampledevice"], list(got)
        assert got["tpm"]["report_data"] == digest[:32].hex()
        # Nothing asked for is the same as zeros.
        r = w.vouchsafe("evidence", "--additional", check=True)
        evidence.verify_additional(r.stdout.strip(), bytes(32), trusted)


def no_devices__command__prints_nothing():
    with world([]) as w, up(w) as c:
        assert c.call(AA, "GetAdditionalEvidence", ttrpc.field(1, b"x")) == b""
        assert c.call(AA, "GetAdditionalTees") == b""
        assert w.vouchsafe("evidence", "--additional", check=True).stdout.strip() == ""
        w.vouchsafe("get-resource", "kbs:///default/key/one", check=True)


def device_that_fails__handshake__fails_whole():
    with world(["sampledevice", "tpm"], ak=False) as w, up(w):
        r = w.vouchsafe("get-resource", "kbs:///default/key/one")
        assert r.returncode != 0 and "tpm.no-ak" in r.stderr, r.stderr
        r = w.vouchsafe("evidence", "--additional")
        assert r.returncode != 0 and r.stdout == "" and "tpm.no-ak" in r.stderr, (r.stdout, r.stderr)
        # The primary alone is still to be had by who asks for it alone.
        w.vouchsafe("evidence", check=True)
        assert w.metric("kbs_attestation_requests_total") == 0, "something was sent"


def settings_that_cannot_be__start__is_refused():
    for devices, platform, words in ((["tpm"], "tpm", "not beside tpm"), (["nvidia"], "sample", "allowed tpm"),
                                     (["tpm", "tpm"], "sample", "twice"),
                                     (["tpm", "sampledevice", "tpm"], "sample", "platform.additional"),
                                     ([1], "sample", "platform.additional")):
        with world(devices, platform) as w:
            r = w.provision(w.initdata(), check=False)
            assert r.returncode != 0 and "config.value" in r.stderr, (devices, r.stderr)
            # The reason is for who may read it.
            r = w.vouchsafe("doctor")
            assert words in r.stdout + r.stderr, (devices, r.stdout, r.stderr)


def one_device_was_exchanged__trustee__refuses():
    """The text that is sent is the text that was hashed: one more blank and it does not verify."""
    import evidence
    import teekey
    key = {"alg": "ECDH-ES+A256KW", "crv": "P-256", "kty": "EC", "x": "A" * 43, "y": "A" * 43}
    text = json.dumps({"sampledevice": {"svn": "2", "report_data": "AAAA"}})
    a, b = (teekey.primary_digest("sha384", "n", key, t) for t in (text, text + " "))
    assert a != b
    try:
        evidence.verify_additional(text, teekey.device_digest("sha384", "n", key))
    except evidence.Refused as e:
        assert "not this session" in str(e), e
    else:
        raise AssertionError("another session's device evidence was accepted")


CASES = [both_devices__handshake__trustee_verifies_each_over_its_digest,
         both_devices__command__prints_what_verifies, no_devices__command__prints_nothing,
         device_that_fails__handshake__fails_whole, settings_that_cannot_be__start__is_refused,
         one_device_was_exchanged__trustee__refuses]


def main():
    cases = Cases()
    missing = [p for p in ("swtpm",) if not shutil.which(p)]
    if not (pathlib.Path(BUILD) / "dev/vouchsafed").exists():
        missing.append(f"{BUILD}/dev (make DEV=1)")
    if missing or os.geteuid() != 0:
        def composite():
            raise Skip("missing " + ", ".join(missing or ["root"]))
        cases.run(composite)
        return cases.finish()
    for fn in CASES:
        cases.run(fn)
    return cases.finish()


if __name__ == "__main__":
    sys.exit(main())
