# SPDX-License-Identifier: Apache-2.0
"""The event log of TDX evidence, read and replayed from spec/evidence.md 5.6 and 5.7 alone."""

import hashlib
import struct

SHA384, NO_ACTION, EVENT_TAG, AAEL = 0x0C, 3, 6, 0x4141454C
END = b"\xff" * 8


def events(log):
    """(index, type, SHA-384 digest, data) behind the first record. ValueError when it is no log."""
    index, kind, size = struct.unpack_from("<II20xI", log)
    if kind != NO_ACTION or index != 0 and log[8:28] != bytes(20):
        raise ValueError("the first record is no Spec ID event")
    spec = log[32:32 + size]
    n, = struct.unpack_from("<I", spec, 24)
    sizes = dict(struct.unpack_from("<HH", spec, 28 + 4 * i) for i in range(n))
    at, out = 32 + size, []
    while log[at:at + 8] not in (END, bytes(8)):
        index, kind, count = struct.unpack_from("<III", log, at)
        at, digest = at + 12, None
        for _ in range(count):
            alg, = struct.unpack_from("<H", log, at)
            value = log[at + 2:at + 2 + sizes[alg]]
            digest = value if alg == SHA384 else digest
            at += 2 + sizes[alg]
        size, = struct.unpack_from("<I", log, at)
        if digest is None or at + 4 + size + 8 > len(log):
            raise ValueError(f"the record before {at} is cut or has no SHA-384")
        out.append((index, kind, digest, log[at + 4:at + 4 + size]))
        at += 4 + size
    if len(log) != at + 8:
        raise ValueError(f"{len(log) - at - 8} bytes behind the end")
    return out


def replay(log):
    """RTMR0..3 that it leads to."""
    rtmr = [bytes(48)] * 4
    for index, _, digest, _ in events(log):
        if 1 <= index <= 4:
            rtmr[index - 1] = hashlib.sha384(rtmr[index - 1] + digest).digest()
    return rtmr


def agents_events(log):
    """(index, text) of the agent's own."""
    out = []
    for index, kind, digest, data in events(log):
        if kind == EVENT_TAG and struct.unpack_from("<I", data)[0] == AAEL:
            if hashlib.sha384(data).digest() != digest:
                raise ValueError("the digest of an event is not its own")
            out.append((index, data[8:].decode()))
    return out
