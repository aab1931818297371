# SPDX-License-Identifier: Apache-2.0
"""The client's TEE key, a JWK with exactly the members Trustee knows, and its report data."""

import hashlib

from cryptography.hazmat.primitives.asymmetric import ec

from encoding import b64u_decode, canonical
from errors import Refused

EC_CURVES = {"P-256": (ec.SECP256R1, 32), "P-521": (ec.SECP521R1, 66)}
MEMBERS = {"EC": {"kty", "crv", "alg", "x", "y"}, "RSA": {"kty", "alg", "n", "e"}}
HASHES = ("sha256", "sha384", "sha512")


def _check_ec(jwk):
    if jwk["alg"] != "ECDH-ES+A256KW":
        raise Refused(f"tee-pubkey: alg {jwk['alg']!r} does not go with an EC key")
    if jwk["crv"] not in EC_CURVES:
        raise Refused(f"tee-pubkey: curve {jwk['crv']!r}")
    curve, width = EC_CURVES[jwk["crv"]]
    x, y = (b64u_decode(jwk[m], f"tee-pubkey: {m}") for m in "xy")
    if len(x) != width or len(y) != width:
        raise Refused(f"tee-pubkey: coordinates of {len(x)} and {len(y)} bytes, not {width}")
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(curve(), b"\x04" + x + y)
    except ValueError:
        raise Refused("tee-pubkey: the point is not on the curve") from None


def _check_rsa(jwk):
    if jwk["alg"] not in ("RSA-OAEP-256", "RSA1_5"):
        raise Refused(f"tee-pubkey: alg {jwk['alg']!r} does not go with an RSA key")
    n, e = (b64u_decode(jwk[m], f"tee-pubkey: {m}") for m in "ne")
    if not n or not e or n[0] == 0 or e[0] == 0:
        raise Refused("tee-pubkey: n or e is empty or begins with a zero byte")
    if len(n) < 256 or n[-1] % 2 == 0 or int.from_bytes(e, "big") < 3:
        raise Refused("tee-pubkey: no RSA key of 2048 bits or more")


def check(jwk):
    """Refuses a @jwk that is not exactly one of the forms of the protocol."""
    if not isinstance(jwk, dict) or not all(isinstance(v, str) for v in jwk.values()):
        raise Refused("tee-pubkey is not an object of strings")
    kty = jwk.get("kty")
    if kty not in MEMBERS:
        raise Refused(f"tee-pubkey: kty {kty!r}")
    if set(jwk) != MEMBERS[kty]:
        odd = ", ".join(sorted(set(jwk) ^ MEMBERS[kty]))
        raise Refused(f"tee-pubkey: missing or unknown members: {odd}")
    _check_ec(jwk) if kty == "EC" else _check_rsa(jwk)


def primary_digest(alg, nonce, jwk, additional):
    """The report data of the primary evidence."""
    text = canonical({"additional-evidence": additional, "nonce": nonce, "tee-pubkey": jwk})
    return hashlib.new(alg, text).digest()


def device_digest(alg, nonce, jwk):
    """The report data of each additional device."""
    return hashlib.new(alg, canonical({"nonce": nonce, "tee-pubkey": jwk})).digest()
