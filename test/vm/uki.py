#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A unified kernel image out of a stub and its sections, and the PCRs that booting it gives.

  uki.py build STUB OUT osrel=FILE cmdline=FILE initrd=FILE linux=FILE [uname=FILE]
  uki.py predict UKI [--loaded]     JSON: {"4": …, "11": …, "authenticode": …}: sha256, at the hand-over to the kernel

Predicted without looking at what booted: PCR 4 from the Authenticode digest of the image and
nothing else (Debian 12's stub
jumps into the kernel inside; from systemd 254 on the firmware loads and measures it too: --loaded),
PCR 11 from the sections that the stub measures (systemd-stub(7)).
"""
import hashlib
import json
import pathlib
import struct
import subprocess
import sys

# In this order the stub looks at them; .pcrsig is not measured, .uname and .sbat not by 252.
MEASURED = (".linux", ".osrel", ".cmdline", ".initrd", ".splash", ".dtb", ".pcrpkey")
PAGE = 4096


class PE:
    def __init__(self, data):
        self.data = data
        at = struct.unpack_from("<I", data, 0x3c)[0]
        if data[:2] != b"MZ" or data[at:at + 4] != b"PE\0\0":
            raise ValueError("not a PE image")
        self.count, opt_size = struct.unpack_from("<H", data, at + 6)[0], struct.unpack_from("<H", data, at + 20)[0]
        self.opt = at + 24
        self.base = struct.unpack_from("<Q", data, self.opt + 24)[0]
        self.header_size = struct.unpack_from("<I", data, self.opt + 60)[0]
        self.checksum_at = self.opt + 64
        self.certs_at = self.opt + 112 + 4 * 8
        self.certs = struct.unpack_from("<II", data, self.certs_at)
        self.sections = []
        for i in range(self.count):
            h = self.opt + opt_size + 40 * i
            name = data[h:h + 8].rstrip(b"\0").decode()
            self.sections.append((name, *struct.unpack_from("<IIII", data, h + 8)))

    def section(self, name):
        for n, vsize, _vma, rsize, at in self.sections:
            if n == name:
                return self.data[at:at + min(vsize, rsize)].ljust(vsize, b"\0")
        return None

    def authenticode(self):
        """SHA-256 as the firmware computes it: without checksum, certificate entry and certificates."""
        d, h = self.data, hashlib.sha256()
        h.update(d[:self.checksum_at] + d[self.checksum_at + 4:self.certs_at] + d[self.certs_at + 8:self.header_size])
        end = self.header_size
        for _n, _v, _a, rsize, at in sorted(self.sections, key=lambda s: s[4]):
            if rsize:
                h.update(d[at:at + rsize])
                end += rsize
        tail = d[end:len(d) - self.certs[1]]
        h.update(tail + bytes(-len(tail) % 8))
        return h.digest()


def extend(pcr, digest):
    return hashlib.sha256(pcr + digest).digest()


def sha256(b):
    return hashlib.sha256(b).digest()


def predict(path, loaded=False):
    image = PE(pathlib.Path(path).read_bytes())
    pcr4 = bytes(32)
    for digest in (sha256(b"Calling EFI Application from Boot Option"), sha256(bytes(4)), image.authenticode(),
                   *([PE(image.section(".linux")).authenticode()] if loaded else [])):
        pcr4 = extend(pcr4, digest)
    return {"4": pcr4.hex(), "11": pcr11({n: image.section(n) for n in MEASURED}), "authenticode": image.authenticode().hex()}


def pcr11(parts):
    """Of the sections' contents by name; those that are None or left out are not measured."""
    value = bytes(32)
    for name in MEASURED:
        if parts.get(name) is not None:
            value = extend(extend(value, sha256(name.encode() + b"\0")), sha256(parts[name]))
    return value.hex()


def build(stub, out, parts):
    pe = PE(pathlib.Path(stub).read_bytes())
    end = max(vma + vsize for _n, vsize, vma, _r, _a in pe.sections)
    argv = ["objcopy"]
    # The kernel last: it is the largest, and decompresses behind itself.
    for name in ("osrel", "uname", "cmdline", "initrd", "linux"):
        if name not in parts:
            continue
        end = (end + PAGE - 1) // PAGE * PAGE
        argv += ["--add-section", f".{name}={parts[name]}", "--set-section-flags", f".{name}=data,readonly",
                 "--change-section-vma", f".{name}={pe.base + end:#x}"]
        end += pathlib.Path(parts[name]).stat().st_size
    subprocess.run([*argv, stub, out], check=True)
    # What objcopy wrote is what was meant.
    made = PE(pathlib.Path(out).read_bytes())
    for name, file in parts.items():
        if made.section(f".{name}") != pathlib.Path(file).read_bytes():
            raise ValueError(f"section .{name} is not the file {file}")
    spans = sorted((vma, vma + vsize, n) for n, vsize, vma, _r, _a in made.sections)
    for (_, before, a), (after, _, b) in zip(spans, spans[1:]):
        if after < before:
            raise ValueError(f"sections {a} and {b} overlap")


def main(argv):
    if argv[1:2] == ["build"] and len(argv) > 4:
        build(argv[2], argv[3], dict(a.split("=", 1) for a in argv[4:]))
    elif argv[1:2] == ["predict"] and len(argv) in (3, 4):
        print(json.dumps(predict(argv[2], "--loaded" in argv[3:])))
    else:
        print(__doc__, file=sys.stderr)
        return 64
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
