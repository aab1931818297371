# SPDX-License-Identifier: Apache-2.0
"""TPM structures of a quote, big-endian as the TPM writes them, and what must hold among them."""

import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from errors import Refused

TPM_GENERATED = 0xFF544347
ST_ATTEST_QUOTE = 0x8018
ALG_RSASSA = 0x0014
ALG_SHA256 = 0x000B
ALL_PCRS = b"\xff\xff\xff"


class Reader:
    """Takes fields off the front of @data; a structure that ends early is refused."""

    def __init__(self, data, what):
        self.data, self.at, self.what = data, 0, what

    def take(self, size):
        if self.at + size > len(self.data):
            raise Refused(f"{self.what} ends after {len(self.data)} bytes")
        self.at += size
        return self.data[self.at - size:self.at]

    def uint(self, size):
        return int.from_bytes(self.take(size), "big")

    def sized(self):
        return self.take(self.uint(2))

    def end(self):
        if self.at != len(self.data):
            raise Refused(f"{self.what} has {len(self.data) - self.at} bytes too many")


@dataclass
class Quote:
    """A TPMS_ATTEST of type quote."""
    signer: bytes
    extra: bytes
    selections: list
    pcr_digest: bytes


def parse_attest(data):
    r = Reader(data, "TPMS_ATTEST")
    magic, kind = r.uint(4), r.uint(2)
    if magic != TPM_GENERATED:
        raise Refused(f"TPMS_ATTEST: magic {magic:#x}: not made by a TPM")
    if kind != ST_ATTEST_QUOTE:
        raise Refused(f"TPMS_ATTEST: type {kind:#x} is not a quote")
    signer, extra = r.sized(), r.sized()
    r.take(8 + 4 + 4 + 1 + 8)  # clock, resets, restarts, safe, firmware version
    count = r.uint(4)
    if count > 16:
        raise Refused(f"TPMS_ATTEST: {count} PCR selections")
    selections = [(r.uint(2), r.take(r.uint(1))) for _ in range(count)]
    digest = r.sized()
    r.end()
    return Quote(signer, extra, selections, digest)


def parse_signature(data):
    """The raw RSA block of a TPMT_SIGNATURE, which must be RSASSA with SHA-256."""
    r = Reader(data, "TPMT_SIGNATURE")
    scheme, hash_alg = r.uint(2), r.uint(2)
    if scheme != ALG_RSASSA or hash_alg != ALG_SHA256:
        raise Refused(f"TPMT_SIGNATURE: scheme {scheme:#x} hash {hash_alg:#x}, not RSASSA/SHA-256")
    block = r.sized()
    r.end()
    return block


def load_ak(spki):
    """The AK of a DER SubjectPublicKeyInfo: RSA, in the one encoding that OpenSSL writes."""
    try:
        key = serialization.load_der_public_key(spki)
    except (ValueError, TypeError):
        raise Refused("ak_public is no SubjectPublicKeyInfo") from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise Refused("ak_public is not an RSA key")
    if spki_of(key) != spki:
        raise Refused("ak_public is not in the canonical encoding")
    return key


def spki_of(key):
    return key.public_bytes(serialization.Encoding.DER,
                            serialization.PublicFormat.SubjectPublicKeyInfo)


def verify(ak, message, signature, pcrs, nonce):
    """Holds @message to its signature by @ak, to the 24 values in @pcrs and to @nonce."""
    try:
        ak.verify(parse_signature(signature), message, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise Refused("quote: the signature is not the AK's") from None
    quote = parse_attest(message)
    if quote.extra != nonce:
        raise Refused("quote: extraData is not this session's report data")
    if quote.selections != [(ALG_SHA256, ALL_PCRS)]:
        raise Refused("quote: the selection is not all 24 PCRs of the SHA-256 bank")
    if quote.pcr_digest != hashlib.sha256(b"".join(pcrs)).digest():
        raise Refused("quote: pcrDigest does not cover the PCR values sent")
    return quote


def extended(digest):
    """What a zero PCR holds after one extend by @digest."""
    return hashlib.sha256(bytes(32) + digest).digest()
