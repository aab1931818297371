# SPDX-License-Identifier: Apache-2.0
"""Encrypts a resource to a TEE key: the flattened JWE that Trustee sends.

jwcrypto's compact form is split into its five members, because its own flattened
form leaves epk outside the protected header and Trustee's does not.
"""

from jwcrypto import jwe, jwk
from jwcrypto.common import JWException

from encoding import b64u, b64u_decode, dump
from errors import KbsError

MEMBERS = ("protected", "encrypted_key", "iv", "ciphertext", "tag")
ALGORITHMS = ["ECDH-ES+A256KW", "RSA-OAEP-256", "RSA1_5", "A256GCM"]


def _compact(plaintext, key, alg):
    box = jwe.JWE(plaintext, dump({"alg": alg, "enc": "A256GCM"}).decode(), algs=ALGORITHMS)
    box.add_recipient(key)
    return box.serialize(compact=True).split(".")


def _odd_key(tee_key, odd):
    """The key and algorithm of a reply that is wrong on purpose."""
    if odd == "jwe-rsa1_5":
        if tee_key["kty"] == "RSA":
            return jwk.JWK(kty="RSA", n=tee_key["n"], e=tee_key["e"]), "RSA1_5"
        return jwk.JWK.generate(kty="RSA", size=2048), "RSA1_5"
    other = "P-256" if tee_key.get("crv") == "P-521" else "P-521"
    return jwk.JWK.generate(kty="EC", crv=other), "ECDH-ES+A256KW"


def encrypt(plaintext, tee_key, odd=None):
    """The JWE as bytes of JSON; @odd names a misbehaviour (see misbehave.py) or is None."""
    try:
        if odd in ("jwe-rsa1_5", "jwe-wrong-curve"):
            key, alg = _odd_key(tee_key, odd)
        else:
            alg = tee_key["alg"]
            key = jwk.JWK(**{m: v for m, v in tee_key.items() if m != "alg"})
        parts = dict(zip(MEMBERS, _compact(plaintext, key, alg)))
    except (JWException, KeyError, TypeError, ValueError) as e:
        raise KbsError("JweError", why=f"TEE key unusable: {e}") from None
    if odd == "jwe-bad-tag":
        tag = b64u_decode(parts["tag"], "tag")
        parts["tag"] = b64u(bytes([tag[0] ^ 1]) + tag[1:])
    return dump(parts)
