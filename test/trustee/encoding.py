# SPDX-License-Identifier: Apache-2.0
"""Strict readers for what a client sends: JSON, base64 and base64url, and RFC 8785 output."""

import base64
import binascii
import json
import re

from errors import Refused

B64U = re.compile(r"[A-Za-z0-9_-]*\Z")


def b64u(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def b64u_decode(text, what):
    """base64url without padding, one spelling per value; anything else is refused."""
    if not isinstance(text, str) or not B64U.match(text) or len(text) % 4 == 1:
        raise Refused(f"{what} is not base64url without padding")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if b64u(data) != text:
        raise Refused(f"{what} has stray bits at the end of its base64url")
    return data


def b64_decode(text, what):
    """Standard base64 with padding; anything else is refused."""
    if not isinstance(text, str):
        raise Refused(f"{what} is not a string")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(f"{what} is not base64") from None


def _no_duplicates(pairs):
    seen = dict(pairs)
    if len(seen) != len(pairs):
        raise ValueError("an object names a member twice")
    return seen


def _no_constants(name):
    raise ValueError(f"{name} is no JSON")


def parse_json(data):
    """@data (bytes or text) as JSON: UTF-8, no duplicate member, no NaN; ValueError otherwise."""
    text = data.decode("utf-8") if isinstance(data, bytes) else data
    try:
        return json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constants)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def dump(value):
    """Compact JSON in the order given, as the real server prints it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def canonical(value):
    """RFC 8785 for what we hash: objects with ASCII names whose leaves are all strings."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True).encode()
