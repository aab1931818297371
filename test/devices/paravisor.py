# SPDX-License-Identifier: Apache-2.0
"""Azure's paravisor (OpenHCL), as far as evidence can tell: it owns NV index 0x01400001 of the
guest's vTPM and writes a report there that carries what the guest wrote to 0x01400002.

It stands between the agents and a swtpm and answers the NV commands of 0x01400001 itself, because
libtpms limits an index to 2048 bytes and Azure's has 2600 or 2900. Everything else passes.

The rules are those of spec/evidence.md 3.3: a reading that begins at offset 0 makes a new report,
but not within 2 s of the last one; the guest's input is copied into 64 zero bytes, none there means
zeros; var-data are JSON whose SHA-256 is the hardware report's report data."""

import base64
import hashlib
import json
import pathlib
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration/tpm"))
import mux  # noqa: E402

NV_REPORT, NV_INPUT, AK = 0x01400001, 0x01400002, 0x81000003
NV_READ_PUBLIC, NV_READ, NV_WRITE, READ_PUBLIC = 0x169, 0x14E, 0x137, 0x173
NV_DEFINE, NV_UNDEFINE = 0x12A, 0x122
RC_UNINITIALIZED, RC_HANDLE, RC_LOCKOUT, RC_AUTH = 0x14A, 0x18B, 0x921, 0x98E
RENEW_S = 2.0
OWNER = 0x40000001
# OWNERWRITE, OWNERREAD, PLATFORMCREATE, WRITTEN, NO_DA
ATTRIBUTES = 0x00000002 | 0x00020000 | 0x40000000 | 0x20000000 | 0x02000000
EMPTY_AUTH = struct.pack(">IHBH", 0x40000009, 0, 0, 0)
KINDS = {"snp": 2, "tdx": 4}


def b64u(b):
    return base64.urlsafe_b64encode(b).rstrip(b"=").decode()


def reply(params, sessions):
    if not sessions:
        return struct.pack(">HII", 0x8001, 10 + len(params), 0) + params
    return struct.pack(">HIII", 0x8002, 14 + len(params) + 5, 0, len(params)) + params + b"\0\0\1\0\0"


class Paravisor(mux.Mux):
    def __init__(self, port, hardware, kind="snp", size=2600):
        self.hardware, self.kind, self.size = hardware, kind, size
        self.fields = {}           # of the hardware report: vmpl, policy, attributes, …
        self.never_renews = False
        self.wrong_ak = False      # var-data name another key
        self.wrong_digest = False  # the hardware report is of other var-data
        self.unwritten = False
        self.claims = None         # size that NV_ReadPublic claims
        self.edit = None           # edit(bytearray): last word on a report
        self.user_data_case = str.lower
        self.without_user_data = False
        self.codes = {}            # command code → [TPM code, times (0: always)]
        self.on_renewal = None
        self.renewals, self.reads_at_0, self.made_at, self.report = 0, 0, None, None
        self.n = None
        super().__init__(port)

    # --- the vTPM behind --------------------------------------------------------------------
    def ak_modulus(self):
        if self.n is None:
            r = self.pass_on(struct.pack(">HIII", 0x8001, 14, READ_PUBLIC, AK))
            if mux.code_of(r) != 0:
                raise RuntimeError(f"no AK at {AK:#x}: {mux.code_of(r):#x}")
            # TPM2B_PUBLIC of an RSA key with a signing scheme: the modulus is its last field.
            size, = struct.unpack(">H", r[10:12])
            self.n = r[12 + size - 256:12 + size]
        return self.n

    def guest_input(self):
        r = self.pass_on(struct.pack(">HIII", 0x8001, 14, NV_READ_PUBLIC, NV_INPUT))
        if mux.code_of(r) != 0:
            return bytes(64)
        size = struct.unpack(">H", r[10:12])[0]
        data_size, = struct.unpack(">H", r[12 + size - 2:12 + size])
        body = struct.pack(">II", OWNER, NV_INPUT) + struct.pack(">I", len(EMPTY_AUTH)) + EMPTY_AUTH
        body += struct.pack(">HH", data_size, 0)
        r = self.pass_on(struct.pack(">HII", 0x8002, 10 + len(body), NV_READ) + body)
        if mux.code_of(r) != 0:
            return bytes(64)
        size, = struct.unpack(">H", r[14:16])
        return r[16:16 + size][:64].ljust(64, b"\0")

    # --- the report -------------------------------------------------------------------------
    def var_data(self, user_data):
        n = self.ak_modulus()
        if self.wrong_ak:
            n = n[:-1] + bytes([n[-1] ^ 2])
        doc = {"keys": [{"kid": "HCLAkPub", "key_ops": ["sign"], "kty": "RSA", "e": "AQAB", "n": b64u(n)},
                        {"kid": "HCLEkPub", "key_ops": ["encrypt"], "kty": "RSA", "e": "AQAB",
                         "n": b64u(hashlib.sha512(b"ek").digest() * 4)}],
               "vm-configuration": {"console-enabled": True, "secure-boot": True, "tpm-enabled": True,
                                    "vmUniqueId": "3D8A9A3E-4F43-4B3C-9A55-1B9CDE3AE5B5"}}
        if not self.without_user_data:
            doc["user-data"] = self.user_data_case(user_data.hex())
        if self.size <= 2048:
            # An old, small index: there is no room for the second key.
            doc["keys"].pop()
        return json.dumps(doc, separators=(",", ":")).encode()

    def make_report(self):
        var = self.var_data(self.guest_input())
        bound = hashlib.sha256(var + (b" " if self.wrong_digest else b"")).digest()
        make = self.hardware.report if self.kind == "snp" else self.hardware.tdreport
        hw = make(bound, **self.fields).ljust(1184, b"\0")
        data_size = 20 + len(var)
        head = b"HCLA" + struct.pack("<IIII", 2, 1216 + data_size, 2, 0) + bytes(12)
        runtime = struct.pack("<IIIII", data_size, 1, KINDS[self.kind], 1, len(var))
        out = bytearray(head + hw + runtime + var)
        if len(out) > self.size:
            raise RuntimeError(f"report of {len(out)} bytes for an index of {self.size}")
        out += bytes(self.size - len(out))
        if self.edit:
            self.edit(out)
        return bytes(out)

    def renew(self):
        now = time.monotonic()
        self.reads_at_0 += 1
        if self.report is not None and (self.never_renews or now - self.made_at <= RENEW_S):
            return
        self.report, self.made_at = self.make_report(), now
        self.renewals += 1
        if self.on_renewal:
            self.on_renewal()

    # --- commands ---------------------------------------------------------------------------
    def public(self):
        nv = struct.pack(">IHIHH", NV_REPORT, 0x000B, ATTRIBUTES, 0, self.claims or self.size)
        name = struct.pack(">H", 0x000B) + hashlib.sha256(nv).digest()
        return struct.pack(">H", len(nv)) + nv + struct.pack(">H", len(name)) + name

    def command(self, packet):
        code = mux.code_of(packet)
        with self.lock:
            rule = self.codes.get(code)
            if rule:
                if rule[1] == 1:
                    del self.codes[code]
                else:
                    rule[1] = max(rule[1] - 1, 0)
                self.seen[code] = self.seen.get(code, 0) + 1
                return mux.answer(rule[0])
            if code == NV_READ_PUBLIC and packet[10:14] == struct.pack(">I", NV_REPORT):
                self.seen[code] = self.seen.get(code, 0) + 1
                return reply(self.public(), False)
            if code == NV_READ and packet[14:18] == struct.pack(">I", NV_REPORT):
                self.seen[code] = self.seen.get(code, 0) + 1
                return self.nv_read(packet)
        return super().command(packet)

    def nv_read(self, packet):
        size, offset = struct.unpack(">HH", packet[-4:])
        if size > 1024:
            return mux.answer(0x1C4)
        if self.unwritten:
            return mux.answer(RC_UNINITIALIZED)
        if offset == 0:
            self.renew()
        elif self.report is None:
            # The one of the start, which nobody has asked for.
            self.report, self.made_at = self.make_report(), -RENEW_S
        if offset + size > (self.claims or self.size):
            return mux.answer(0x146)
        part = self.report[offset:offset + size]
        return reply(struct.pack(">H", len(part)) + part, True)
