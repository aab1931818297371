# SPDX-License-Identifier: Apache-2.0
"""Write report-data.json with a second implementation of RFC 8785 (Python's json sorts and escapes
as it does for strings and these members).

    /usr/bin/python3 test/vectors/kbs/make.py
"""
import hashlib
import json
import os

HERE = os.path.dirname(os.path.abspath(__file__))
EC = {"kty": "EC", "alg": "ECDH-ES+A256KW", "crv": "P-256",
      "x": "4dYpFbp44zHExKXXeBd4V4lwmBoYqheqRlDb-VVnvpg", "y": "meJpUmUzMMwOhf6sI3STPr-CEr_Vx8Gm8yX-iApPc6w"}
RSA = {"kty": "RSA", "alg": "RSA-OAEP-256", "n": "sXchDaQebHnPiGvyDOAT4saGEUetSyo9MKLOoWFsueri23bOdgWp4Dy1Wl", "e": "AQAB"}
CASES = [
    ("usual", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", EC, ""),
    ("rsa", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", RSA, ""),
    ("devices", "bm9uY2U=", EC, '{"sampledevice":{"svn":"2","report_data":"AAAA"}}'),
    ("json in the nonce", '{"a":"\\u00e4","b":[1,2]}', EC, ""),
    ("every kind of character", "\"\\/\b\f\n\r\t\x01\x1f\x7f \u00e4\u20ac\U0001f600", EC, "\u00df\""),
]


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def case(name, nonce, key, additional):
    out = {"name": name, "nonce": nonce, "jwk": canonical(key).decode(), "additional": additional}
    device = canonical({"nonce": nonce, "tee-pubkey": key})
    primary = canonical({"additional-evidence": additional, "nonce": nonce, "tee-pubkey": key})
    for h in ("sha256", "sha384", "sha512"):
        out["primary_" + h] = hashlib.new(h, primary).hexdigest()
        out["device_" + h] = hashlib.new(h, device).hexdigest()
    return out


with open(os.path.join(HERE, "report-data.json"), "w", encoding="ascii") as f:
    json.dump({"comment": "made by make.py beside it", "cases": [case(*c) for c in CASES]}, f, indent=1)
    f.write("\n")
