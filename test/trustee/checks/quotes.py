# SPDX-License-Identifier: Apache-2.0
"""TPM evidence: honest and altered quotes, the published vector, and a swtpm's own quote."""

import base64
import copy
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
import unittest

import evidence
import initdata
import policy as policy_module
import teekey
import tpmquote
from checks.client import SECRET, ServerCase, SoftTpm, b64, jws_payload
from errors import Refused

SHARED = os.path.join(os.path.dirname(os.path.abspath(__file__)), *[os.pardir] * 4, "shared")
DERIVED = os.path.join(os.environ.get("TEST_SHARED", SHARED), "vectors/evidence/derived")
INIT = 'version = "0.1.0"\nalgorithm = "sha256"\n\n[data]\n"aa.toml" = ""\n'


def flip(text, at=-1, decode=base64.b64decode, encode=b64):
    """@text (base64) with one bit of its byte @at turned."""
    data = bytearray(decode(text))
    data[at] ^= 1
    return encode(bytes(data))


class Evidence(ServerCase):
    settings = {}

    def setUp(self):
        super().setUp()
        self.tpm = SoftTpm()
        self.kbs.aks.add(self.tpm.ak)

    def begun(self):
        client = self.client()
        client.auth("tpm")
        return client

    def refused(self, reason, client, evidence_, **changes):
        self.refusal(client.attest(evidence_, **changes), "AttestationError")
        self.assertIn(reason, self.why())

    def test_honest_quote_is_attested_and_served(self):
        client = self.client()
        self.assertEqual(client.handshake(self.tpm), 200)
        self.assertEqual(client.decrypt(client.get()[2]), SECRET)
        claims = jws_payload(client.token)["submods"]["cpu0"]["ear.veraison.annotated-evidence"]
        self.assertEqual(claims["tpm"]["ak_public"], self.tpm.ak)
        self.assertEqual(claims["init_data"], "00" * 32)

    def test_each_altered_field_is_refused(self):
        def alter(reason, member, change):
            with self.subTest(reason):
                client = self.begun()
                good = self.tpm.evidence(client.digest())
                bad = copy.deepcopy(good)
                bad["tpm_quote"][member] = change(bad["tpm_quote"][member])
                self.refused(reason, client, bad)
        alter("signature is not", "signature", flip)
        alter("signature is not", "message", flip)
        alter("not RSASSA", "signature", lambda s: flip(s, 1))
        alter("TPMT_SIGNATURE ends", "signature", lambda s: b64(base64.b64decode(s)[:-1]))
        alter("bytes too many", "signature", lambda s: b64(base64.b64decode(s) + b"\0"))
        alter("pcrDigest", "pcrs", lambda p: ["11" * 32, *p[1:]])
        alter("pcrDigest", "pcrs", lambda p: [*p[:23], "11" * 32])
        alter("24 values", "pcrs", lambda p: p[:23])
        alter("24 values", "pcrs", lambda p: [*p[:23], "zz" * 32])
        alter("not base64", "message", lambda m: m.rstrip("=") + "*")
        alter("wrong type", "message", lambda m: None)

    def test_well_signed_but_wrong_quotes_are_refused(self):
        for reason, odd in (("magic", {"magic": 0xFF544348}), ("not a quote", {"kind": 0x8017}),
                            ("selection", {"select": b"\xff\xff\x00"}),
                            ("selection", {"select": b"\xff\xff\xff\x00"})):
            with self.subTest(reason):
                client = self.begun()
                self.refused(reason, client, self.tpm.evidence(client.digest(), **odd))
        client = self.begun()
        self.refused("extraData", client, self.tpm.evidence(bytes(48)))
        message = self.tpm.attest(client.digest()[:32]) + b"\0"
        ev = self.tpm.evidence(client.digest())
        ev["tpm_quote"] |= {"message": b64(message), "signature": b64(self.tpm.sign(message))}
        self.refused("too many", client, ev)

    def test_a_quote_serves_one_session_only(self):
        client = self.begun()
        ev = self.tpm.evidence(client.digest())
        client.auth("tpm")
        self.refused("extraData", client, ev)

    def test_unregistered_ak_is_refused(self):
        self.kbs.aks.clear()
        client = self.begun()
        self.refused("not registered", client, self.tpm.evidence(client.digest()))
        status, _, body = client.ask("POST", "/test/trusted-ak", {"ak_public": self.tpm.ak})
        self.assertEqual((status, json.loads(body)), (200, [self.tpm.ak]))
        self.assertEqual(client.handshake(self.tpm), 200)

    def test_ak_as_pem(self):
        self.kbs.aks.clear()
        pem = f"-----BEGIN PUBLIC KEY-----\n{self.tpm.ak}\n-----END PUBLIC KEY-----\n"
        client = self.client()
        self.assertEqual(client.ask("POST", "/test/trusted-ak", pem.encode())[0], 200)
        self.assertEqual(client.handshake(self.tpm), 200)
        self.assertEqual(client.ask("POST", "/test/trusted-ak", b"AAAA")[0], 400)

    def test_other_encodings_of_an_ak_are_refused(self):
        spki = base64.b64decode(self.tpm.ak)
        for other in (spki + b"\0", spki[:-1], b"",
                      spki.replace(b"\x30\x82\x01\x22\x30\x0d", b"\x30\x82\x01\x20\x30\x0b")
                      .replace(b"\x05\x00\x03\x82", b"\x03\x82")):  # without NULL parameters
            client = self.begun()
            ev = self.tpm.evidence(client.digest()) | {"ak_public": b64(other)}
            self.refused("canonical" if other[-9:] == spki[-9:] else "ak_public", client, ev)

    def test_init_data_must_be_in_pcr8(self):
        client = self.begun()
        self.refused("PCR 8", client, self.tpm.evidence(client.digest()), init=INIT)
        self.tpm.extend(8, hashlib.sha256(INIT.encode()).digest())
        self.assertEqual(client.handshake(self.tpm, init=INIT), 200)
        self.assertEqual(client.handshake(self.tpm), 200)
        client = self.begun()
        self.refused("PCR 8", client, self.tpm.evidence(client.digest()), init=INIT + "\n")
        claims = jws_payload(self.attested_tpm(INIT).token)
        claims = claims["submods"]["cpu0"]["ear.veraison.annotated-evidence"]
        self.assertEqual(claims["init_data_claims"]["data"], {"aa.toml": ""})

    def attested_tpm(self, init):
        client = self.client()
        self.assertEqual(client.handshake(self.tpm, init=init), 200)
        return client

    def test_long_init_data_digest_is_refused(self):
        text = INIT.replace("sha256", "sha384")
        digest = hashlib.sha384(text.encode()).digest()
        self.tpm.extend(8, digest[:32])
        client = self.begun()
        self.refused("48 bytes", client, self.tpm.evidence(client.digest()), init=text)
        self.assertEqual(client.handshake(self.tpm), 200)

    def test_malformed_init_data_is_refused(self):
        for reason, value in (("format", {"format": "json", "body": INIT}),
                              ("{format, body}", INIT), ("{format, body}", {"format": "toml"}),
                              ("algorithm", {"format": "toml", "body": 'version = "0.1.0"'}),
                              ("[data]", {"format": "toml", "body": INIT + "n = 1\n"})):
            with self.subTest(reason), self.assertRaisesRegex(Refused, "init-data"):
                try:
                    initdata.parse(value)
                except Refused as e:
                    self.assertIn(reason, str(e))
                    raise

    def test_pinned_pcr8(self):
        client = self.client()
        digest = hashlib.sha256(INIT.encode()).digest()
        client.ask("POST", "/test/expect-pcr8", {"pcr8": tpmquote.extended(digest).hex()})
        client.auth("tpm")
        self.refused("pinned", client, self.tpm.evidence(client.digest()))
        self.tpm.extend(8, digest)
        self.assertEqual(client.handshake(self.tpm), 200)

    def test_policy_pins_pcrs(self):
        client = self.client()
        self.assertEqual(client.handshake(self.tpm), 200)
        now = {"4": "00" * 32, "11": "00" * 32}
        for pcrs, want in ((now, 200), (now | {"11": "11" * 32}, 401)):
            policy = {"default": "deny", "rules": [{"effect": "allow", "pcrs": pcrs}]}
            body = {"policy": base64.urlsafe_b64encode(json.dumps(policy).encode()).decode().rstrip("=")}
            self.assertEqual(client.ask("POST", "/kbs/v0/resource-policy", body)[0], 200)
            self.assertEqual(client.get()[0], want, client.ask("GET", "/test/log")[2][-300:])
        self.assertIn("PCR 11 is another", json.loads(client.ask("GET", "/test/log")[2])[-1]["why"])
        for bad in ('{"rules": [{"effect": "allow", "pcrs": {"24": "%s"}}]}' % ("00" * 32),
                    '{"rules": [{"effect": "allow", "pcrs": {"4": "00"}}]}'):
            with self.assertRaises(ValueError):
                policy_module.parse(bad)

    def test_other_hashes_are_cut_to_32_bytes(self):
        for name in teekey.HASHES:
            self.serve(hash=name)
            self.kbs.aks.add(self.tpm.ak)
            self.assertEqual(self.client().handshake(self.tpm), 200)

    def test_other_platforms_have_no_verifier(self):
        client = self.client()
        self.assertEqual(client.auth("snp")[0], 200)
        self.refused("no verifier", client, {})


class Vector(unittest.TestCase):
    """The published tpm evidence; its tee-pubkey is no point, so no handshake."""

    def setUp(self):
        if not os.path.exists(os.path.join(DERIVED, "expected.json")):
            self.skipTest("no vectors here")
        self.expected = json.loads(self.read("expected.json"))
        self.evidence = json.loads(self.read("tpm-evidence.json"))
        self.digest = bytes.fromhex(self.expected["runtime_data_primary_sha384"])
        self.init = hashlib.sha256(self.read("initdata-sha256.toml")).digest()
        self.aks = evidence.TrustedAks()
        self.aks.add(b64(self.read("tpm-ak.spki.der")))

    def read(self, name):
        with open(os.path.join(DERIVED, name), "rb") as f:
            return f.read()

    def verify(self, ev=None, **changes):
        args = {"digest": self.digest, "trusted": self.aks, "init_digest": self.init}
        return evidence.verify_tpm(ev or self.evidence, **(args | changes))

    def refused(self, reason, ev=None, **changes):
        with self.assertRaisesRegex(Refused, reason):
            self.verify(ev, **changes)

    def test_it_verifies(self):
        claims = self.verify()
        self.assertEqual(claims["init_data"], self.expected["pcr8_after_initdata"])
        self.assertEqual(claims["report_data"], self.expected["tpm_nonce32"])
        self.assertEqual(claims["pcr23"], self.expected["pcr23_after_event"])
        self.assertEqual(self.init.hex(), self.expected["initdata_sha256"])
        self.assertEqual(tpmquote.extended(self.init).hex(), self.expected["pcr8_after_initdata"])
        self.verify(init_digest=None)
        self.verify(expect_pcr8=tpmquote.extended(self.init))

    def test_its_runtime_data_hash_but_its_key_is_refused(self):
        text = json.loads(self.read("runtime-data-primary.json"))
        digest = teekey.primary_digest("sha384", text["nonce"], text["tee-pubkey"], "")
        self.assertEqual(digest, self.digest)
        with self.assertRaisesRegex(Refused, "not on the curve"):
            teekey.check(text["tee-pubkey"])

    def test_parts(self):
        quote = tpmquote.parse_attest(self.read("tpm-quote32.attest.bin"))
        self.assertEqual(quote.extra.hex(), self.expected["tpm_nonce32"])
        self.assertEqual(len(tpmquote.parse_signature(
            self.read("tpm-quote32.tpmt-signature.bin"))), 256)

    def test_every_altered_byte_of_the_message_is_refused(self):
        for at in range(145):
            ev = copy.deepcopy(self.evidence)
            ev["tpm_quote"]["message"] = flip(ev["tpm_quote"]["message"], at)
            self.refused("signature", ev)

    def test_alterations(self):
        quote = self.evidence["tpm_quote"]

        def with_(**changes):
            return self.evidence | {"tpm_quote": quote | changes}
        self.refused("signature", with_(signature=flip(quote["signature"])))
        self.refused("extraData", digest=bytes(48))
        self.refused("extraData", digest=b"\1" + self.digest[1:])
        for i in range(24):
            pcrs = list(quote["pcrs"])
            pcrs[i] = "5a" * 32
            self.refused("pcrDigest", with_(pcrs=pcrs))
        self.refused("not registered", trusted=evidence.TrustedAks())
        self.refused("not registered|signature",
                     self.evidence | {"ak_public": SoftTpm().ak})
        self.refused("PCR 8", init_digest=bytes(32))
        self.refused("pinned", expect_pcr8=bytes(32))


class RealTpm(ServerCase):
    """A quote that swtpm makes and tpm2-tools carry, through the whole handshake."""
    settings = {}

    def setUp(self):
        missing = [t for t in ("swtpm", "tpm2_quote") if not shutil.which(t)]
        if missing:
            self.skipTest(f"no {missing[0]} here")
        super().setUp()
        self.folder = tempfile.mkdtemp(prefix="trustee-test-")
        self.addCleanup(shutil.rmtree, self.folder)
        socket = f"{self.folder}/sock"
        tpm = subprocess.Popen(["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.folder}",
                                "--server", f"type=unixio,path={socket}",
                                "--ctrl", f"type=unixio,path={socket}.ctrl",
                                "--flags", "startup-clear"], stderr=subprocess.DEVNULL)
        self.addCleanup(lambda: (tpm.terminate(), tpm.wait()))
        self.tcti = f"swtpm:path={socket}"
        for _ in range(100):
            if os.path.exists(socket + ".ctrl"):
                break
            time.sleep(0.05)

    def tool(self, *args):
        """Runs one command; there is no resource manager, so what it loaded is flushed after it."""
        for command in (args, ("tpm2_flushcontext", "-t")):
            subprocess.run([command[0], "-T", self.tcti, *command[1:]], cwd=self.folder,
                           check=True, stdout=subprocess.DEVNULL, timeout=60)

    def evidence(self, digest):
        self.tool("tpm2_quote", "-c", "0x81010002", "-l", "sha256:all", "-q", digest[:32].hex(),
                  "-m", "msg", "-s", "sig", "-f", "tss", "-o", "pcrs", "-F", "values",
                  "-g", "sha256")
        parts = {name: self.read(name) for name in ("msg", "sig", "pcrs")}
        values = [parts["pcrs"][i:i + 32].hex() for i in range(0, 24 * 32, 32)]
        return {"tpm_quote": {"signature": b64(parts["sig"]), "message": b64(parts["msg"]),
                              "pcrs": values}, "ak_public": self.ak}

    def read(self, name):
        with open(os.path.join(self.folder, name), "rb") as f:
            return f.read()

    def test_quote_of_a_software_tpm(self):
        self.tool("tpm2_createek", "-c", "ek", "-G", "rsa", "-u", "ek.pub")
        self.tool("tpm2_createak", "-C", "ek", "-c", "ak", "-G", "rsa", "-g", "sha256", "-s",
                  "rsassa", "-u", "ak.pem", "-f", "pem")
        self.tool("tpm2_evictcontrol", "-C", "o", "-c", "ak", "0x81010002")
        self.tool("tpm2_pcrextend", f"8:sha256={hashlib.sha256(INIT.encode()).hexdigest()}")
        client = self.client()
        status, _, body = client.ask("POST", "/test/trusted-ak", self.read("ak.pem"))
        self.assertEqual(status, 200, body)
        self.ak = json.loads(body)[0]
        client.auth("tpm")
        status, _, body = client.attest(self.evidence(client.digest()), init=INIT)
        self.assertEqual(status, 200, self.why())
        self.assertEqual(client.decrypt(client.get()[2]), SECRET)
