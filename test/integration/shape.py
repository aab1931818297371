# SPDX-License-Identifier: Apache-2.0
"""Is a piece of evidence of the shape of a recorded one: the same members, of the same types, texts
of the same alphabet and length, lists as long? What the values are is for verifiers."""

import copy
import json
import os
import pathlib

HEX = set("0123456789abcdef")


def recorded(name):
    """A recorded evidence of the shared vectors, or None where they are not."""
    shared = pathlib.Path(os.environ.get("TEST_SHARED", pathlib.Path(__file__).resolve().parents[3] / "shared"))
    f = shared / "vectors/evidence/trustee" / name
    return json.loads(f.read_text()) if f.exists() else None


def kind(value):
    """The JSON type; of texts and lists of bytes also what they are made of."""
    if isinstance(value, str):
        if value and set(value) <= HEX:
            return "hex"
        if len(value) % 4 == 0 and len(value) > 40:
            body = value.rstrip("=")
            if set(body) & set("-_") and not set(body) & set("+/ \n"):
                return "base64url"
            if set(body) & set("+/") and not set(body) & set("-_ \n"):
                return "base64"
            if body.isalnum():
                return "base64 of either alphabet"
        return "text"
    if isinstance(value, list) and value and all(type(v) is int for v in value):
        return "bytes" if all(0 <= v <= 255 for v in value) else "numbers"
    return {bool: "bool", int: "integer", float: "number", type(None): "null", dict: "object",
            list: "list"}[type(value)]


def same_kind(a, b):
    either = "base64 of either alphabet"
    return a == b or either in (a, b) and {a, b} <= {"base64", "base64url", either}


def differences(got, want, loose=(), newer=(), path=""):
    """In words; [] where the shapes are equal.

    loose  paths of texts and lists whose length may be another
    newer  paths of members that the recording's program did not have yet: absent there, null here"""
    a, b = kind(got), kind(want)
    if not same_kind(a, b):
        return [f"{path or 'evidence'}: {a}, recorded {b}"]
    out = []
    if a == "object":
        for k in want:
            out += differences(got[k], want[k], loose, newer, f"{path}.{k}") if k in got else [f"{path}.{k} lacks"]
        out += [f"{path}.{k} is new" for k in got
                if k not in want and not (got[k] is None and f"{path}.{k}" in newer)]
    elif isinstance(got, str) or a in ("bytes", "numbers"):
        if len(got) != len(want) and path not in loose:
            out.append(f"{path}: {len(got)} long, recorded {len(want)}")
    elif a == "list":
        if len(got) != len(want):
            out.append(f"{path}: {len(got)} elements, recorded {len(want)}")
        for i, (x, y) in enumerate(zip(got, want)):
            out += differences(x, y, loose, newer, f"{path}[{i}]")
    return out


# --- the comparison's own test ---------------------------------------------------------------------

def _places(value, at=()):
    yield at
    for k in value if isinstance(value, dict) else range(len(value)) if kind(value) == "list" else ():
        yield from _places(value[k], at + (k,))


def _changed(doc, at, how):
    """A copy with the value at that place changed by how(parent, key)."""
    doc = copy.deepcopy(doc)
    parent = doc
    for k in at[:-1]:
        parent = parent[k]
    how(parent, at[-1])
    return doc


def _spoilers(value):
    """What may be done to a value that no verifier of the recorded one would take."""
    yield "null", lambda p, k: p.__setitem__(k, None if value is not None else 0)
    if isinstance(value, bool):
        yield "integer", lambda p, k: p.__setitem__(k, int(value))
    elif isinstance(value, int):
        yield "float", lambda p, k: p.__setitem__(k, float(value))
        yield "text", lambda p, k: p.__setitem__(k, str(value))
        yield "bool", lambda p, k: p.__setitem__(k, True)
    elif isinstance(value, str):
        yield "longer", lambda p, k: p.__setitem__(k, value + "0")
        if kind(value) == "hex" and set(value) & set("abcdef"):
            yield "upper case", lambda p, k: p.__setitem__(k, value.upper())
        if kind(value) in ("base64", "base64url"):
            other = str.maketrans("+/-_", "-_+/")
            yield "other alphabet", lambda p, k: p.__setitem__(k, value.translate(other))
            yield "a list", lambda p, k: p.__setitem__(k, list(value.encode()))
    elif isinstance(value, dict):
        yield "an array", lambda p, k: p.__setitem__(k, [value])
    elif isinstance(value, list):
        yield "shorter", lambda p, k: p.__setitem__(k, value[:-1])
        if kind(value) == "bytes":
            yield "a text", lambda p, k: p.__setitem__(k, bytes(value).hex())
            yield "one float", lambda p, k: p.__setitem__(k, [float(value[0]), *value[1:]])


def sees_every_change(doc):
    """Each member gone, renamed, added and each value spoilt is a difference. How many were tried."""
    tried = 0
    assert not differences(doc, doc)
    for at in list(_places(doc)):
        value = doc
        for k in at:
            value = value[k]
        changes = []
        if at:
            changes += [(w, _changed(doc, at, how)) for w, how in _spoilers(value)]
        if at and isinstance(at[-1], str):
            changes.append(("gone", _changed(doc, at, lambda p, k: p.pop(k))))
            changes.append(("renamed", _changed(doc, at, lambda p, k: p.__setitem__(k + "_", p.pop(k)))))
        if isinstance(value, dict):
            more = copy.deepcopy(doc)
            inner = more
            for k in at:
                inner = inner[k]
            inner["more"] = 1
            changes.append(("a new member", more))
        for words, other in changes:
            assert differences(other, doc), f"{at}: {words} was not seen"
            tried += 1
    return tried
