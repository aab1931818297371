# SPDX-License-Identifier: Apache-2.0
"""Hardware that only tests trust: an SNP processor and a TDX quoting enclave with roots made at
each start. What they sign has the layout of the real (spec/evidence.md 7.1, 7.4, 7.5)."""

import hashlib
import os
import pathlib
import struct
import subprocess

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

SNP_LEN, SNP_SIGNED, TDREPORT_LEN = 1184, 0x2A0, 1024
MILAN = (0x19, 0x01, 0x01)
TCB = {"bootloader": 3, "tee": 0, "snp": 8, "ucode": 0x73}
TCB_OIDS = {"bootloader": "3.1", "tee": "3.2", "snp": "3.3", "ucode": "3.8"}
AMD_OID = "1.3.6.1.4.1.3704.1"


def _pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


class Authority:
    """Certificates by openssl(1): Debian 12's Python cannot sign one with RSASSA-PSS."""

    def __init__(self, folder, scheme):
        self.dir = pathlib.Path(folder)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.sign = ["-sha256"] if scheme == "intel" else [
            "-sha384", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:48"]
        self.new = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"] if scheme == "intel" \
            else ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]

    def _run(self, *argv):
        r = subprocess.run(["openssl", *argv], cwd=self.dir, capture_output=True, text=True)
        if r.returncode != 0:
            raise RuntimeError(f"openssl {argv}: {r.stderr}")

    def key(self, name, key=None):
        if key is None:
            self._run("genpkey", *self.new, "-out", f"{name}.key")
        else:
            (self.dir / f"{name}.key").write_bytes(_pem(key))

    def cert(self, name, cn, issuer=None, extensions=(), key=None, days=3650):
        """The certificate of name by issuer (None: by itself), PEM."""
        self.key(name, key)
        ca = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"]
        (self.dir / f"{name}.ext").write_text("\n".join(extensions or ca) + "\n")
        self._run("req", "-new", "-key", f"{name}.key", "-subj", f"/O=vouchsafe tests/CN={cn}",
                  "-out", f"{name}.csr")
        by = ["-signkey", f"{name}.key"] if issuer is None else \
            ["-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key", "-CAcreateserial"]
        self._run("x509", "-req", "-in", f"{name}.csr", *by, "-days", str(days), *self.sign,
                  "-extfile", f"{name}.ext", "-out", f"{name}.pem")
        return (self.dir / f"{name}.pem").read_text()


def tcb_bytes(tcb=None):
    t = {**TCB, **(tcb or {})}
    return bytes([t["bootloader"], t["tee"], 0, 0, 0, 0, t["snp"], t["ucode"]])


class Amd:
    """One SNP processor (Milan) with its VCEK, under an ASK and an ARK of the tests."""

    def __init__(self, folder):
        self.ca = Authority(folder, "amd")
        self.ark = self.ca.cert("ark", "ARK-Milan")
        self.ask = self.ca.cert("ask", "SEV-Milan", issuer="ark")
        self.chip_id = os.urandom(64)
        self.tcb = dict(TCB)
        self.vcek_key, self.vcek = self.new_vcek()

    def new_vcek(self, tcb=None):
        t = {**self.tcb, **(tcb or {})}
        key = ec.generate_private_key(ec.SECP384R1())
        ext = [f"{AMD_OID}.{TCB_OIDS[k]}=DER:02:{'01' if v < 128 else '02:00'}:{v:02x}"
               for k, v in t.items()]
        ext.append(f"{AMD_OID}.4=DER:{':'.join(f'{b:02x}' for b in self.chip_id)}")
        return key, self.ca.cert("vcek", "SEV-VCEK", issuer="ask", extensions=ext, key=key)

    def update(self, **tcb):
        """New firmware: another reported_tcb, so another VCEK."""
        self.tcb.update(tcb)
        self.vcek_key, self.vcek = self.new_vcek()

    def report(self, report_data, **fields):
        """A signed report: fields may set version, vmpl, policy, host_data, cpuid, measurement."""
        r = bytearray(SNP_LEN)
        tcb = tcb_bytes(self.tcb)
        struct.pack_into("<IIQ", r, 0, fields.get("version", 3), 0, fields.get("policy", 0x3001F))
        struct.pack_into("<II", r, 0x30, fields.get("vmpl", 0), 1)
        r[0x38:0x40] = tcb
        struct.pack_into("<Q", r, 0x40, 3)
        r[0x50:0x90] = report_data.ljust(64, b"\0")
        r[0x90:0xC0] = fields.get("measurement", hashlib.sha384(b"measurement").digest())
        r[0xC0:0xE0] = fields.get("host_data", bytes(32))
        r[0x140:0x160] = hashlib.sha256(b"report id").digest()
        r[0x160:0x180] = b"\xff" * 32
        r[0x180:0x188] = tcb
        r[0x188:0x18B] = bytes(fields.get("cpuid", MILAN))
        r[0x1A0:0x1E0] = self.chip_id
        r[0x1E0:0x1E8] = tcb
        r[0x1E8:0x1EB] = r[0x1EC:0x1EF] = bytes([5, 55, 1])
        r[0x1F0:0x1F8] = tcb
        der = self.vcek_key.sign(bytes(r[:SNP_SIGNED]), ec.ECDSA(hashes.SHA384()))
        for at, n in zip((0x2A0, 0x2E8), utils.decode_dss_signature(der)):
            r[at:at + 72] = n.to_bytes(72, "little")
        return bytes(r)

    def certification(self):
        """What Azure's metadata service answers."""
        return {"vcekCert": self.vcek, "tcbm": tcb_bytes(self.tcb)[::-1].hex().upper(),
                "certificateChain": self.ask + self.ark, "cacheControl": "86400"}


def _der(tag, *parts):
    body = b"".join(parts)
    assert len(body) < 0x10000
    n = len(body)
    size = bytes([n]) if n < 0x80 else bytes([0x81, n]) if n < 0x100 else bytes([0x82, n >> 8, n & 0xFF])
    return bytes([tag]) + size + body


SGX_OID = "1.2.840.113741.1.13.1"


def sgx_extension():
    """What a PCK certificate says of its platform (Intel's PCK certificate profile): verifiers look
    up the platform's collateral by it."""
    head = bytes.fromhex("2a864886f84d010d01")

    def row(path, value):
        return _der(0x30, _der(6, head + bytes(path)), value)

    def number(n):
        return _der(2, bytes([n]))

    tcb = [row([2, i], number(5 if i < 3 else 0)) for i in range(1, 17)]
    tcb += [row([2, 17], number(11)), row([2, 18], _der(4, bytes([5, 5] + [0] * 14)))]
    flags = [row([7, i], _der(1, b"\xff")) for i in (1, 2, 3)]
    return _der(0x30, row([1], _der(4, hashlib.sha256(b"ppid").digest()[:16])), row([2], _der(0x30, *tcb)),
                row([3], _der(4, bytes(2))), row([4], _der(4, bytes.fromhex("b0c06f000000"))),
                row([5], _der(10, b"\1")), row([6], _der(4, hashlib.sha256(b"instance").digest()[:16])),
                row([7], _der(0x30, *flags)))


def _raw64(key, message):
    r, s = utils.decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _point(key):
    n = key.public_key().public_numbers()
    return n.x.to_bytes(32, "big") + n.y.to_bytes(32, "big")


class Intel:
    """A TDX module that makes TDREPORTs and a quoting enclave that signs quotes for them."""

    def __init__(self, folder):
        self.ca = Authority(folder, "intel")
        self.root = self.ca.cert("root", "Intel SGX Root CA")
        self.platform = self.ca.cert("platform", "Intel SGX PCK Platform CA", issuer="root")
        self.pck_key = ec.generate_private_key(ec.SECP256R1())
        self.pck = self.ca.cert("pck", "Intel SGX PCK Certificate", issuer="platform",
                                extensions=["basicConstraints=critical,CA:FALSE",
                                            "keyUsage=critical,digitalSignature",
                                            f"{SGX_OID}=DER:{sgx_extension().hex(':')}"], key=self.pck_key)
        self.key = ec.generate_private_key(ec.SECP256R1())

    def tdreport(self, report_data, attributes=0, mr_td=None, mrconfigid=bytes(48), rtmrs=()):
        r = bytearray(TDREPORT_LEN)
        r[0:4] = bytes([0x81, 0, 0, 0])
        r[0x80:0xC0] = report_data.ljust(64, b"\0")
        r[0xE0:0x100] = hashlib.sha256(b"mac").digest()
        struct.pack_into("<Q", r, 0x100, 1)          # tee_tcb_info: valid
        struct.pack_into("<QQ", r, 0x200, attributes, 0x61AE7)
        r[0x210:0x240] = mr_td or hashlib.sha384(b"td").digest()
        r[0x240:0x270] = mrconfigid
        for i, v in enumerate(rtmrs):
            r[0x2D0 + 48 * i:0x300 + 48 * i] = v
        r[0x20:0x50] = hashlib.sha384(r[0x100:0x1EF]).digest()
        r[0x50:0x80] = hashlib.sha384(r[0x200:0x400]).digest()
        return bytes(r)

    def quote(self, tdreport, trailing=70):
        """A version 4 quote of a TDREPORT, as the metadata service gives it: zeros behind."""
        header = struct.pack("<HHIHH", 4, 2, 0x81, 0, 0)
        header += bytes.fromhex("939a7233f79c4ca9940a0db3957f0607") + bytes(20)
        info = tdreport[0x200:0x400]
        body = bytes(16) + tdreport[0x118:0x148] + bytes(48) + bytes(8)  # SVN, MRSEAM, signer, attributes
        body += info[0:8] + info[8:16] + info[0x10:0x190] + tdreport[0x80:0xC0]
        assert len(header) == 48 and len(body) == 584
        auth = bytes(range(32))
        qe = bytearray(384)
        qe[320:352] = hashlib.sha256(_point(self.key) + auth).digest()
        chain = (self.pck + self.platform + self.root).encode() + b"\0"
        qe_cert = bytes(qe) + _raw64(self.pck_key, bytes(qe)) + struct.pack("<H", len(auth)) + auth
        qe_cert += struct.pack("<HI", 5, len(chain)) + chain
        sig = _raw64(self.key, header + body) + _point(self.key) + struct.pack("<HI", 6, len(qe_cert)) + qe_cert
        return header + body + struct.pack("<I", len(sig)) + sig + bytes(trailing)


def der_of(pem):
    return x509.load_pem_x509_certificate(pem.encode()).public_bytes(serialization.Encoding.DER)
