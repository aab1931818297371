# SPDX-License-Identifier: Apache-2.0
"""Our TOML reader against Python's tomllib: every vector, and mutants of them, must give the same.

Where the two may differ is listed in may_differ(), with the reason.
"""

import datetime
import json
import math
import os
import pathlib
import random
import re
import struct
import subprocess
import sys
import tomllib

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from world import Cases, Skip, TOP  # noqa: E402

TOOL = pathlib.Path(sys.argv[1]).resolve() / "tools/toml_json"
SHARED = pathlib.Path(os.environ.get("TEST_SHARED", TOP / "../shared")) / "vectors/toml-test"
OWN = TOP / "test/vectors/initdata/toml"
MUTANTS = int(os.environ.get("TOML_MUTANTS", "20000"))


def texts(folder):
    if not folder.is_dir():
        raise Skip("the shared vectors are not on this machine")
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.toml"))}


def ours(documents):
    frames = b"".join(struct.pack(">I", len(d)) + d for d in documents)
    r = subprocess.run([TOOL], input=frames, capture_output=True, timeout=300)
    lines = r.stdout.decode().splitlines()
    assert r.returncode == 0 and len(lines) == len(documents), (r.returncode, len(lines), r.stderr)
    return [json.loads(line) for line in lines]


def fraction(text):
    """Six digits, which is all that Python keeps."""
    m = re.fullmatch(r"(.*?\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)?", text)
    if not m:
        return text
    zone = "Z" if m[3] in ("+00:00", "-00:00") else m[3] or ""
    return m[1] + "." + (m[2] or "")[:6].ljust(6, "0") + zone


def tagged(v):
    if isinstance(v, dict):
        return {k: tagged(x) for k, x in v.items()}
    if isinstance(v, list):
        return [tagged(x) for x in v]
    kind = {bool: "bool", str: "string", int: "integer", float: "float", datetime.date: "date-local",
            datetime.time: "time-local", datetime.datetime: "datetime-local"}[type(v)]
    if isinstance(v, datetime.datetime) and v.tzinfo:
        kind = "datetime"
    if kind in ("datetime", "datetime-local"):
        return {"type": kind, "value": fraction(v.isoformat())}
    if kind in ("date-local", "time-local"):
        return {"type": kind, "value": fraction(v.isoformat())}
    if kind == "float":
        return {"type": kind, "value": "nan" if math.isnan(v) else v.hex()}
    return {"type": kind, "value": str(v).lower() if kind == "bool" else str(v)}


def plain(v):
    """Our JSON in the form of tagged()."""
    if isinstance(v, list):
        return [plain(x) for x in v]
    if isinstance(v.get("type"), str):
        text = v["value"]
        if v["type"] == "float":
            text = "nan" if text == "nan" else float(text).hex()
        elif v["type"] not in ("string", "integer", "bool"):
            text = fraction(text)
        return {"type": v["type"], "value": text}
    return {k: plain(x) for k, x in v.items()}


def theirs(document):
    """tomllib's reading, or None when it refuses."""
    try:
        text = document.removeprefix(b"\xef\xbb\xbf").decode()
        return tagged(tomllib.loads(text))
    # Python's own limits: digits of an integer, a year or an offset that datetime does not have.
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValueError, OverflowError):
        return None
    except RecursionError:
        return None


def may_differ(document, we, they):
    if we.get("kind") == "limit":
        return True  # ours: 32 levels, 1023 characters of a number
    if "error" in we and "64 bits" in we["error"]:
        return True  # Python's integers are unbounded
    if "value" in we and they is None:
        # RFC 3339 has leap seconds and the year 0, datetime has not.
        return re.search(rb":60|0000-", document) is not None
    return False


def compare(documents, names):
    bad = []
    refused = 0
    for name, document, we in zip(names, documents, ours(documents)):
        they = theirs(document)
        refused += they is None
        mine = plain(we["value"]) if "value" in we else None
        if mine != they and not may_differ(document, we, they):
            bad.append((name, document[:300], we, they))
    assert not bad, f"{len(bad)} differ, the first: {bad[0]}"
    return refused


def tomllib__vectors_of_toml_test__agrees():
    files = texts(SHARED)
    assert len(files) == 709, len(files)
    assert compare(list(files.values()), list(files)) > 480


def tomllib__own_vectors__agrees():
    files = texts(OWN)
    assert len(files) >= 120, len(files)
    assert compare(list(files.values()), list(files)) >= 60


def mutant(rng, pool):
    """One to three small changes, made of what TOML is made of."""
    d = bytearray(rng.choice(pool)[:600])
    bits = [b'"', b"'", b'"""', b"'''", b"\\", b"[", b"]", b"[[", b"]]", b"{", b"}", b",", b"=", b".", b"#", b"\n",
            b"\r\n", b"\r", b" ", b"\t", b"_", b"+", b"-", b"0", b"1", b"9", b"e", b"T", b"Z", b":", b"a", b"a.b",
            b"inf", b"nan", b"true", b"0x", b"\\u00e9", b"\\u0000", b"\x00", b"\x7f", b"\xc3\xa9", b"\xff"]
    for _ in range(rng.randint(1, 3)):
        at = rng.randint(0, len(d))
        what = rng.randrange(4)
        if what == 0:
            d[at:at] = rng.choice(bits)
        elif what == 1 and d:
            del d[at:at + rng.randint(1, 3)]
        elif what == 2:
            d[at:at + 1] = rng.choice(bits)
        else:
            other = rng.choice(pool)[:600]
            cut = rng.randint(0, len(other))
            d[at:at] = other[cut:cut + rng.randint(1, 40)]
    return bytes(d)


def tomllib__mutants_of_the_vectors__agrees():
    pool = list(texts(OWN).values())
    if SHARED.is_dir():
        pool += list(texts(SHARED).values())
    seed = int(os.environ.get("TOML_SEED", "1"))
    rng = random.Random(seed)
    documents = [mutant(rng, pool) for _ in range(MUTANTS)]
    refused = compare(documents, [f"mutant {i} of seed {seed}" for i in range(MUTANTS)])
    # Both kinds must be there, or the comparison says little.
    assert MUTANTS / 10 < refused < MUTANTS * 95 / 100, refused


def main():
    c = Cases()
    for fn in (
        tomllib__vectors_of_toml_test__agrees,
        tomllib__own_vectors__agrees,
        tomllib__mutants_of_the_vectors__agrees,
    ):
        c.run(fn)
    return c.finish()


sys.exit(main())
