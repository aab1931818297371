# SPDX-License-Identifier: Apache-2.0
"""Init-data as sent to /attest: a TOML text whose digest the platform must have measured."""

import hashlib
import tomllib

from errors import Refused

ALGORITHMS = ("sha256", "sha384", "sha512")


def parse(value):
    """(digest, parsed) of the member init-data, or None where there is none."""
    if value is None:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("body"), str):
        raise Refused("init-data is not {format, body}")
    if value.get("format") != "toml":
        raise Refused(f"init-data: format {value.get('format')!r}, not 'toml'")
    body = value["body"]
    try:
        doc = tomllib.loads(body)
    except tomllib.TOMLDecodeError as e:
        raise Refused(f"init-data: {e}") from None
    if doc.get("algorithm") not in ALGORITHMS:
        raise Refused(f"init-data: algorithm {doc.get('algorithm')!r}")
    if doc.get("version") != "0.1.0":
        raise Refused(f"init-data: version {doc.get('version')!r}")
    data = doc.get("data")
    if not isinstance(data, dict) or not all(isinstance(v, str) for v in data.values()):
        raise Refused("init-data: [data] is not a table of strings")
    return hashlib.new(doc["algorithm"], body.encode()).digest(), doc
