# SPDX-License-Identifier: Apache-2.0
"""Verifies az-snp-vtpm and az-tdx-vtpm evidence: checks 1 to 9 of spec/evidence.md 2.1, and those
of 2.2, to roots that the command line names. A second implementation: it shares nothing with the
agent's."""

import base64
import hashlib
import json
import struct
from datetime import datetime, timezone

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

import tpmquote
from encoding import parse_json
from errors import Refused

SNP_SIGNED = 0x2A0
HCL_MAX = 16384
TYPES = {"az-snp-vtpm": 2, "az-tdx-vtpm": 4}
TCB_OIDS = {"bootloader": "1.3.6.1.4.1.3704.1.3.1", "tee": "1.3.6.1.4.1.3704.1.3.2",
            "snp": "1.3.6.1.4.1.3704.1.3.3", "ucode": "1.3.6.1.4.1.3704.1.3.8"}
TCB_AT = {"bootloader": 0, "tee": 1, "snp": 6, "ucode": 7}


def _member(value, name, kind):
    if not isinstance(value, dict) or not isinstance(value.get(name), kind) or \
            isinstance(value.get(name), bool):
        raise Refused(f"azure: {name} is missing or of the wrong type")
    return value[name]


def _hex(text, what, size=None):
    try:
        data = bytes.fromhex(text) if isinstance(text, str) and text == text.strip() else None
    except ValueError:
        data = None
    if data is None or (size is not None and len(data) != size):
        raise Refused(f"azure: {what} is not hex of {size or 'some'} bytes")
    return data


def _b64url(text, what):
    """URL-safe, padded (as upstream's library writes it) or not."""
    if set(text) & set("+/ \n"):
        raise Refused(f"azure: {what} is not URL-safe base64")
    body = text.rstrip("=")
    if text != body and len(text) % 4:
        raise Refused(f"azure: {what} has wrong padding")
    try:
        return base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise Refused(f"azure: {what} is not base64") from None


def _certs(pem, what):
    parts = [p + "-----END CERTIFICATE-----\n" for p in pem.split("-----END CERTIFICATE-----") if "BEGIN" in p]
    try:
        return [x509.load_pem_x509_certificate(p.encode()) for p in parts]
    except ValueError:
        raise Refused(f"azure: {what} does not parse") from None


def _issued(cert, issuer):
    """The signature and the names; AMD's certificates are RSASSA-PSS, Intel's ECDSA."""
    key = issuer.public_key()
    try:
        if isinstance(key, rsa.RSAPublicKey):
            pss = padding.PSS(padding.MGF1(hashes.SHA384()), 48)
            key.verify(cert.signature, cert.tbs_certificate_bytes, pss, hashes.SHA384())
        else:
            key.verify(cert.signature, cert.tbs_certificate_bytes, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise Refused(f"azure: {cert.subject.rfc4514_string()} is not signed by its issuer") from None
    if cert.issuer != issuer.subject:
        raise Refused("azure: a certificate of another issuer")
    now = datetime.now(timezone.utc).replace(tzinfo=None)
    if not cert.not_valid_before <= now <= cert.not_valid_after:
        raise Refused(f"azure: {cert.subject.rfc4514_string()} is not valid now")


class Hcl:
    def __init__(self, raw, kind):
        if len(raw) > HCL_MAX or len(raw) < 1237 or raw[:4] != b"HCLA":
            raise Refused("azure: hcl_report is none")
        data_size, _, report_type, hash_type, n = struct.unpack("<5I", raw[1216:1236])
        if report_type != kind:
            raise Refused(f"azure: HCL report type {report_type}, not {kind}")
        if hash_type != 1 or data_size != 20 + n or n > len(raw) - 1236:
            raise Refused("azure: HCL report: hash type or sizes")
        self.hardware = raw[32:32 + (1184 if kind == 2 else 1024)]
        self.var_data = raw[1236:1236 + n]
        try:
            self.doc = parse_json(self.var_data)
        except (ValueError, UnicodeDecodeError):
            raise Refused("azure: var-data are no JSON") from None

    def ak(self):
        keys = [k for k in self.doc.get("keys", []) if k.get("kid") == "HCLAkPub"]
        if len(keys) != 1:
            raise Refused("azure: var-data have no HCLAkPub")
        n, e = (int.from_bytes(_b64url(keys[0][m], m), "big") for m in ("n", "e"))
        return rsa.RSAPublicNumbers(e, n).public_key()


def _tpm(quote, ak, digest, init_digest):
    """Checks 1 to 3 and 9. The PCRs."""
    message = _hex(_member(quote, "message", str), "message")
    signature = _hex(_member(quote, "signature", str), "signature", 256)
    pcrs = _member(quote, "pcrs", list)
    if len(pcrs) != 24:
        raise Refused("azure: pcrs are not 24 values")
    values = [_hex(p, "pcr", 32) for p in pcrs]
    try:
        ak.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise Refused("azure: the quote is not signed by HCLAkPub") from None
    attest = tpmquote.parse_attest(message)
    if attest.extra != digest:
        raise Refused("azure: extraData is not this session's report data, byte for byte")
    if attest.pcr_digest != hashlib.sha256(b"".join(values)).digest():
        raise Refused("azure: pcrDigest does not cover the PCR values sent")
    if init_digest is not None:
        if len(init_digest) != 32:
            raise Refused(f"azure: an init-data digest of {len(init_digest)} bytes")
        if values[8] != tpmquote.extended(init_digest):
            raise Refused("azure: PCR 8 is not this init-data's")
    return values


def _snp(report, vcek, root):
    """Checks 6 to 8."""
    version, = struct.unpack("<I", report[:4])
    if not 3 <= version <= 5:
        raise Refused(f"azure: SNP report version {version}")
    try:
        cert = x509.load_der_x509_certificate(vcek)
    except ValueError:
        raise Refused("azure: vcek is no DER") from None
    ark, ask = root
    _issued(ark, ark)
    _issued(ask, ark)
    _issued(cert, ask)
    for name, oid in TCB_OIDS.items():
        value = cert.extensions.get_extension_for_oid(x509.ObjectIdentifier(oid)).value.value
        if int.from_bytes(value[2:], "big") != report[0x180 + TCB_AT[name]]:
            raise Refused(f"azure: the VCEK's {name} is not reported_tcb's")
    r, s = (int.from_bytes(report[at:at + 72], "little") for at in (0x2A0, 0x2E8))
    try:
        cert.public_key().verify(utils.encode_dss_signature(r, s), report[:SNP_SIGNED],
                                 ec.ECDSA(hashes.SHA384()))
    except InvalidSignature:
        raise Refused("azure: the SNP report is not signed by the VCEK") from None
    vmpl, = struct.unpack("<I", report[0x30:0x34])
    if vmpl != 0:
        raise Refused(f"azure: VMPL {vmpl}")
    policy, = struct.unpack("<Q", report[8:16])
    return {"policy_debug_allowed": str(bool(policy >> 19 & 1)).lower(),
            "reported_tcb_snp": str(report[0x186]), "measurement": base64.b64encode(report[0x90:0xC0]).decode()}


def _raw_ecdsa(key, signature, message, what):
    r, s = (int.from_bytes(signature[i:i + 32], "big") for i in (0, 32))
    try:
        key.verify(utils.encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise Refused(f"azure: TD quote: {what} does not verify") from None


def _p256(point):
    x, y = (int.from_bytes(point[i:i + 32], "big") for i in (0, 32))
    return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()


def _tdx(quote, root):
    """The signatures of a version 4 quote, and its chain of three."""
    version, key_type, tee = struct.unpack("<HHI", quote[:8])
    if version != 4 or key_type != 2 or tee != 0x81:
        raise Refused("azure: td_quote is not a TD quote of version 4")
    body, size = quote[48:632], struct.unpack("<I", quote[632:636])[0]
    sig = quote[636:636 + size]
    if len(sig) != size or any(quote[636 + size:]):
        raise Refused("azure: td_quote: sizes")
    kind, n = struct.unpack("<HI", sig[128:134])
    cert_data = sig[134:134 + n]
    qe, rest = cert_data[:384], cert_data[448:]
    auth_len, = struct.unpack("<H", rest[:2])
    auth, rest = rest[2:2 + auth_len], rest[2 + auth_len:]
    inner, m = struct.unpack("<HI", rest[:6])
    if kind != 6 or inner != 5 or len(rest) != 6 + m:
        raise Refused("azure: td_quote: certification data")
    chain = _certs(rest[6:].rstrip(b"\0").decode(), "PCK chain")
    if len(chain) != 3:
        raise Refused("azure: td_quote: not three certificates")
    if chain[2].public_bytes(serialization.Encoding.DER) != root.public_bytes(serialization.Encoding.DER):
        raise Refused("azure: td_quote: another root")
    for cert, issuer in zip(chain, [chain[1], chain[2], chain[2]]):
        _issued(cert, issuer)
    _raw_ecdsa(chain[0].public_key(), cert_data[384:448], qe, "the QE report")
    if qe[320:352] != hashlib.sha256(sig[64:128] + auth).digest():
        raise Refused("azure: td_quote: the QE did not make this key")
    _raw_ecdsa(_p256(sig[64:128]), sig[:64], quote[:632], "the quote")
    return {"mr_td": body[136:184].hex()}, body[520:584]


def verify(tee, evidence, digest, roots, init_digest=None):
    """The claims, or Refused. roots: {"amd": (ARK, ASK), "intel": root}."""
    version = _member(evidence, "version", int)
    if version not in (1, 2):
        raise Refused(f"azure: version {version}")
    kind = TYPES[tee]
    members = {"version", "tpm_quote", "hcl_report", "vcek" if kind == 2 else "td_quote"}
    if set(evidence) != members:
        raise Refused(f"azure: members {sorted(evidence)}, not {sorted(members)}")
    hcl = Hcl(_b64url(_member(evidence, "hcl_report", str), "hcl_report"), kind)
    values = _tpm(_member(evidence, "tpm_quote", dict), hcl.ak(), digest, init_digest)
    bound = hashlib.sha256(hcl.var_data).digest()
    if kind == 2:
        claims = _snp(hcl.hardware, _b64url(_member(evidence, "vcek", str), "vcek"), roots["amd"])
        have = hcl.hardware[0x50:0x90]
    else:
        claims, have = _tdx(_b64url(_member(evidence, "td_quote", str), "td_quote"), roots["intel"])
    if have[:32] != bound:
        raise Refused("azure: the hardware report is not of these var-data")
    if version == 2 and _hex(hcl.doc.get("user-data"), "user-data")[:len(digest)] != digest:
        raise Refused("azure: user-data are not this session's report data")
    claims["tpm"] = {f"pcr{i:02}": v.hex() for i, v in enumerate(values)}
    return claims | {"init_data": values[8].hex(), "report_data": digest.hex(),
                     "evidence_version": version}


def load_roots(amd=None, intel=None):
    """Files: ARK then ASK in PEM; the root in PEM."""
    roots = {}
    for name, path, count in (("amd", amd, 2), ("intel", intel, 1)):
        if path:
            with open(path, encoding="ascii") as f:
                found = _certs(f.read(), path)
            if len(found) != count:
                raise Refused(f"{path}: {len(found)} certificates, want {count}")
            roots[name] = tuple(found) if count == 2 else found[0]
    return roots


if __name__ == "__main__":
    # By hand: azure.py TEE EVIDENCE.json DIGEST_HEX [--amd FILE] [--intel FILE]
    import sys
    args = sys.argv[1:]
    opts = {k: args[args.index(f"--{k}") + 1] for k in ("amd", "intel") if f"--{k}" in args}
    with open(args[1], encoding="utf-8") as f:
        print(json.dumps(verify(args[0], json.load(f), bytes.fromhex(args[2]), load_roots(**opts)), indent=1))
