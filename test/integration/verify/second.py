# SPDX-License-Identifier: Apache-2.0
"""Evidence judged a second time, by other code: struct, hashlib, python-cryptography, and openssl(1)
for chains (Debian 12's Python cannot verify RSASSA-PSS certificates). One function a platform; each
gives {name of vouchsafe's finding: True or False} for what is signed, bound or derived."""

import base64
import functools
import hashlib
import json
import pathlib
import re
import struct
import subprocess
import tempfile

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

GENERATION = {(0x19, m): "milan" for m in range(0x10)}
GENERATION.update({(0x19, m): "genoa" for m in [*range(0x10, 0x20), *range(0xA0, 0xB0)]})
GENERATION.update({(0x1A, m): "turin" for m in range(0x12)})
QE_SIGNER = "dc9e2a7c6f948f17474e34a7fc43ed030f7c1563f1babddf6340c82e0e54a8c5"
AMD = "1.3.6.1.4.1.3704.1."


class Malformed(Exception):
    """No evidence at all; vouchsafe must refuse it too, as an error or by a finding."""


def pems(text):
    return re.findall(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", text, re.S)


def pem_of(der):
    return b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"


@functools.lru_cache(maxsize=None)
def issued(chain, root):
    """chain: PEM of leaf, then issuers; root: PEM. Dates are not looked at."""
    with tempfile.TemporaryDirectory(prefix="verify-") as d:
        d = pathlib.Path(d)
        (d / "root").write_bytes(root)
        (d / "leaf").write_bytes(chain[0])
        (d / "others").write_bytes(b"".join(chain[1:]))
        argv = ["openssl", "verify", "-no_check_time", "-no-CAfile", "-no-CApath", "-no-CAstore", "-trusted",
                d / "root"]
        if len(chain) > 1:
            argv += ["-untrusted", d / "others"]
        return subprocess.run([*argv, d / "leaf"], capture_output=True).returncode == 0


def ecdsa(key, r, s, message, digest):
    try:
        key.verify(utils.encode_dss_signature(r, s), message, ec.ECDSA(digest))
        return True
    except InvalidSignature:
        return False


def extension(cert, oid):
    for e in cert.extensions:
        if e.oid.dotted_string == oid:
            return e.value.value
    return None


def small(value):
    """DER INTEGER of 0..255."""
    if value and value[0] == 2 and value[1] == len(value) - 2:
        return int.from_bytes(value[2:], "big")
    return None


class Judge:
    def __init__(self, shared):
        src = shared / "vectors/evidence/trustee/deps/verifier/src/snp"
        self.amd = {g: pems((src / f"{g}_ask_ark_asvk.pem").read_bytes()) for g in ("milan", "genoa", "turin")}
        quote = (src.parents[1] / "test_data/tdx_quote_4.dat").read_bytes()
        self.intel = pems(quote)[2]

    # --- SNP ------------------------------------------------------------------------------
    def snp(self, report, vek, product=None):
        if len(report) != 1184:
            raise Malformed
        version, = struct.unpack_from("<I", report, 0)
        policy, = struct.unpack_from("<Q", report, 8)
        vmpl, algorithm = struct.unpack_from("<II", report, 0x30)
        info, = struct.unpack_from("<I", report, 0x48)
        cpu = GENERATION.get((report[0x188], report[0x189])) if version >= 3 else product
        found = {"snp.version": 3 <= version <= 5, "snp.vmpl": vmpl == 0,
                 "snp.debug": not policy >> 19 & 1, "snp.migration": not policy >> 18 & 1}
        try:
            der = pems(vek)[0] if vek.startswith(b"-----") else pem_of(vek)
            cert = x509.load_pem_x509_certificate(der)
            key = cert.public_key()
            names = [a.value for a in cert.subject if a.oid.dotted_string == "2.5.4.3"]
            cert.extensions  # noqa: B018  parses them
        except Exception:
            return {**found, "snp.chain": False}
        role = names[0] if len(names) == 1 else None
        signed_by = {0: "SEV-VCEK", 1: "SEV-VLEK"}.get(info >> 2 & 7)
        chain = False
        if cpu and role in ("SEV-VCEK", "SEV-VLEK"):
            ask, ark, asvk = self.amd[cpu]
            chain = issued((der, ask if role == "SEV-VCEK" else asvk), ark) and role == signed_by
        found["snp.chain"] = chain
        r = int.from_bytes(report[0x2A0:0x2E8], "little")
        s = int.from_bytes(report[0x2E8:0x330], "little")
        found["snp.signature"] = algorithm == 1 and isinstance(key, ec.EllipticCurvePublicKey) and \
            key.curve.name == "secp384r1" and ecdsa(key, r, s, report[:0x2A0], hashes.SHA384())
        found["snp.tcb"] = self.tcb(report, cert, cpu == "turin")
        return found

    @staticmethod
    def tcb(report, cert, turin):
        t = report[0x180:0x188]
        want = {"3.1": t[1], "3.2": t[2], "3.3": t[3], "3.8": t[7], "3.9": t[0]} if turin else \
            {"3.1": t[0], "3.2": t[1], "3.3": t[6], "3.8": t[7]}
        return all(small(extension(cert, AMD + oid)) == n for oid, n in want.items())

    # --- TDX ------------------------------------------------------------------------------
    def tdx(self, quote):
        try:
            return self._tdx(quote)
        except (struct.error, IndexError):
            raise Malformed from None

    def _tdx(self, quote):
        version, kind, tee = struct.unpack_from("<HHI", quote, 0)
        if version not in (4, 5) or kind != 2 or tee != 0x81:
            raise Malformed
        at, size = 48, 584
        if version == 5:
            body, size = struct.unpack_from("<HI", quote, 48)
            if {2: 584, 3: 648}.get(body) != size:
                raise Malformed
            at = 54
        end = at + size
        p = end + 4
        sig, point = quote[p:p + 64], quote[p + 64:p + 128]
        outer, outer_size = struct.unpack_from("<HI", quote, p + 128)
        qe = p + 134
        qe_report, qe_sig = quote[qe:qe + 384], quote[qe + 384:qe + 448]
        n, = struct.unpack_from("<H", quote, qe + 448)
        auth = quote[qe + 450:qe + 450 + n]
        inner, pem_size = struct.unpack_from("<HI", quote, qe + 450 + n)
        pem = quote[qe + 456 + n:qe + 456 + n + pem_size]
        if outer != 6 or inner != 5 or outer_size != 456 + n + pem_size or len(pem) != pem_size:
            raise Malformed
        body = quote[at:end]
        found = {"tdx.debug": not body[120] & 1}
        try:
            key = ec.EllipticCurvePublicNumbers(int.from_bytes(point[:32], "big"),
                                                int.from_bytes(point[32:], "big"), ec.SECP256R1()).public_key()
            found["tdx.signature"] = ecdsa(key, int.from_bytes(sig[:32], "big"),
                                           int.from_bytes(sig[32:], "big"), quote[:end], hashes.SHA256())
        except ValueError:
            found["tdx.signature"] = False
        found["tdx.key-bound"] = qe_report[320:] == hashlib.sha256(point + auth).digest() + bytes(32)
        found["tdx.qe-identity"] = qe_report[128:160].hex() == QE_SIGNER and \
            struct.unpack_from("<H", qe_report, 256)[0] == 2 and not qe_report[48] & 2
        certs = pems(pem)
        rest = pem
        for c in certs:
            rest = rest.replace(c, b"")
        if any(b > 0x20 for b in rest):
            raise Malformed
        try:
            pck = x509.load_pem_x509_certificate(certs[0]).public_key()
            found["tdx.qe-signature"] = ecdsa(pck, int.from_bytes(qe_sig[:32], "big"),
                                              int.from_bytes(qe_sig[32:], "big"), qe_report, hashes.SHA256())
            found["tdx.chain"] = len(certs) == 3 and \
                self.der(certs[2]) == self.der(self.intel) and issued(tuple(certs[:2]), self.intel)
        except Exception:
            found["tdx.chain"] = False
        return found

    @staticmethod
    def der(pem):
        return x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)

    # --- TPM ------------------------------------------------------------------------------
    @staticmethod
    def quote(message, signature, pcrs, key):
        if len(message) < 10 or message[:6] != bytes.fromhex("ff5443478018"):
            raise Malformed
        n, = struct.unpack_from(">H", message, 6)
        try:
            key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
            signed = True
        except InvalidSignature:
            signed = False
        return {"tpm.signature": signed,
                "tpm.pcrs": message[-32:] == hashlib.sha256(b"".join(pcrs)).digest()}

    def tpm(self, doc):
        q = doc["tpm_quote"]
        sig = base64.b64decode(q["signature"], validate=True)
        key = serialization.load_der_public_key(base64.b64decode(doc["ak_public"], validate=True))
        if sig[:4] != bytes.fromhex("0014000b") or struct.unpack_from(">H", sig, 4)[0] != len(sig) - 6:
            raise Malformed
        return self.quote(base64.b64decode(q["message"]), sig[6:], [bytes.fromhex(p) for p in q["pcrs"]], key)

    # --- Azure ----------------------------------------------------------------------------
    def azure(self, parts):
        hcl = parts["hcl"]
        if hcl[:4] != b"HCLA":
            raise Malformed
        kind, hash_type, size = struct.unpack_from("<III", hcl, 1224)
        if hash_type != 1 or kind not in (2, 4):
            raise Malformed
        var = hcl[1236:1236 + size]
        field = hcl[32 + 0x50:32 + 0x90] if kind == 2 else hcl[32 + 128:32 + 192]
        found = {"az.binding": field == hashlib.sha256(var).digest() + bytes(32)}
        try:
            jwk = next(k for k in json.loads(var)["keys"] if k["kid"] == "HCLAkPub")
            n, e = (int.from_bytes(base64.urlsafe_b64decode(jwk[k] + "=="), "big") for k in ("n", "e"))
            key = rsa.RSAPublicNumbers(e, n).public_key()
        except (ValueError, KeyError, StopIteration, UnicodeDecodeError):
            raise Malformed from None
        found.update(self.quote(parts["message"], parts["signature"], parts["pcrs"], key))
        if kind == 2:
            found.update(self.snp(hcl[32:32 + 1184], parts["vcek"]))
        else:
            found.update(self.tdx(parts["td_quote"]))
            body = 48 if parts["td_quote"][0] == 4 else 54
            found["az.td-quote"] = parts["td_quote"][body + 520:body + 584] == field
        return found
