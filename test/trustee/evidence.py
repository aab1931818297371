# SPDX-License-Identifier: Apache-2.0
"""Verifies evidence: tpm, sample and sampledevice. Returns the claims, or raises Refused."""

import base64
import re
import threading

from cryptography.hazmat.primitives import serialization

import tpmquote
from encoding import b64_decode, parse_json
from errors import Refused

KNOWN_TEES = ("az-snp-vtpm", "az-tdx-vtpm", "nvidia", "sgx", "snp", "tdx", "cca", "csv", "se",
              "hygondcu", "tpm", "sample", "sampledevice")
HEX32 = re.compile(r"[0-9a-fA-F]{64}\Z")


class TrustedAks:
    """The AKs that were enrolled, as base64 of their DER, the text that policies compare."""

    def __init__(self):
        self._lock = threading.Lock()
        self._known = set()

    def add(self, text):
        """Takes base64 SPKI lines (# comments allowed) or one PEM public key; returns how many."""
        if "-----BEGIN PUBLIC KEY-----" in text:
            try:
                key = serialization.load_pem_public_key(text.encode())
            except (ValueError, TypeError):
                raise Refused("the AK's PEM does not parse") from None
            found = [tpmquote.spki_of(key)]
        else:
            lines = [s.strip() for s in text.splitlines()]
            found = [b64_decode(s, "the AK") for s in lines if s and not s.startswith("#")]
        for spki in found:
            tpmquote.load_ak(spki)
        with self._lock:
            self._known.update(base64.b64encode(spki).decode() for spki in found)
        return len(found)

    def clear(self):
        with self._lock:
            self._known.clear()

    def list(self):
        with self._lock:
            return sorted(self._known)

    def __contains__(self, text):
        with self._lock:
            return text in self._known


def _member(value, name, kind):
    if not isinstance(value, dict) or not isinstance(value.get(name), kind):
        raise Refused(f"evidence: {name} is missing or of the wrong type")
    return value[name]


def verify_sample(evidence, digest, svn="1"):
    """The sample TEE proves nothing but that it was handed this report data."""
    if _member(evidence, "svn", str) != svn:
        raise Refused(f"sample: svn {evidence['svn']!r}, not {svn!r}")
    text = _member(evidence, "report_data", str)
    if b64_decode(text, "sample: report_data") != digest:
        raise Refused("sample: report_data is not this session's")
    return {"svn": svn, "report_data": text, "debug": False, "launch_digest": "abcde",
            "platform_version": {"major": 1, "minor": 4}}


def verify_tpm(evidence, digest, trusted, init_digest=None, expect_pcr8=None):
    """A quote of all 24 PCRs by an enrolled AK, fresh for this session, PCR 8 as expected."""
    quote = _member(evidence, "tpm_quote", dict)
    ak_text = _member(evidence, "ak_public", str)
    ak = tpmquote.load_ak(b64_decode(ak_text, "ak_public"))
    if ak_text not in trusted:
        raise Refused("tpm: the AK is not registered")
    pcrs = _member(quote, "pcrs", list)
    if len(pcrs) != 24 or not all(isinstance(p, str) and HEX32.match(p) for p in pcrs):
        raise Refused("tpm: pcrs are not 24 values of 64 hex digits")
    values = [bytes.fromhex(p) for p in pcrs]
    nonce = digest[:32].ljust(32, b"\0")
    tpmquote.verify(ak, b64_decode(_member(quote, "message", str), "message"),
                    b64_decode(_member(quote, "signature", str), "signature"), values, nonce)
    if init_digest is not None:
        if len(init_digest) != 32:
            raise Refused(f"tpm: an init-data digest of {len(init_digest)} bytes; send 32 or null")
        if values[8] != tpmquote.extended(init_digest):
            raise Refused("tpm: PCR 8 is not this init-data's")
    if expect_pcr8 is not None and values[8] != expect_pcr8:
        raise Refused("tpm: PCR 8 is not the value that was pinned")
    claims = {f"pcr{i:02}": v.hex() for i, v in enumerate(values)}
    return claims | {"ak_public": ak_text, "init_data": values[8].hex(), "report_data": nonce.hex()}


def verify_additional(text, digest, trusted=()):
    """The string of additional evidence: a map of device to evidence, or empty."""
    if text == "":
        return {}
    try:
        items = parse_json(text)
    except ValueError as e:
        raise Refused(f"additional_evidence: {e}") from None
    if not isinstance(items, dict) or set(items) - {"sampledevice", "tpm"}:
        raise Refused("additional_evidence: only sampledevice and tpm can be verified here")
    return {name: verify_tpm(item, digest, trusted) if name == "tpm" else
            verify_sample(item, digest, svn="2") for name, item in items.items()}
