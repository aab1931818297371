# SPDX-License-Identifier: Apache-2.0
"""Write the vectors of this folder with second implementations: python3-jwcrypto and
python3-cryptography. The output is random each time and is checked in; run it only to replace
the vectors. Keys in them are test keys: they protect nothing.

    /usr/bin/python3 test/vectors/crypto/make.py
"""
import json
import os
from base64 import b64encode

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from jwcrypto import jwe, jwk, jws
from jwcrypto.common import base64url_decode, base64url_encode, json_encode

HERE = os.path.dirname(os.path.abspath(__file__))


def write(name, value):
    value = {"comment": "made by make.py beside it; the keys are test keys", **value}
    with open(os.path.join(HERE, name), "w", encoding="ascii") as f:
        json.dump(value, f, indent=1)
        f.write("\n")


def rsa_signature():
    key = rsa.generate_private_key(65537, 2048)
    message = b"what a TPM vouches for"
    spki = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    n = key.public_key().public_numbers().n
    write("rsa-sha256.json", {
        "n_hex": n.to_bytes(256, "big").hex(), "e": 65537, "spki_hex": spki.hex(),
        "message_hex": message.hex(),
        "signature_hex": key.sign(message, padding.PKCS1v15(), hashes.SHA256()).hex()})


def key_der(key):
    rsa_key = key["kty"] == "RSA"
    private = key.get_op_key("decrypt" if rsa_key else "unwrapKey")
    der = private.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.TraditionalOpenSSL if rsa_key
        else serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption())
    return {"tee_private_der_b64_" + ("pkcs1" if rsa_key else "pkcs8"): b64encode(der).decode()}


def encrypted(key, alg, plaintext):
    """The five members as Trustee sends them: epk is protected, so split the compact form."""
    t = jwe.JWE(plaintext, json_encode({"alg": alg, "enc": "A256GCM"}))
    t.add_recipient(key)
    names = ["protected", "encrypted_key", "iv", "ciphertext", "tag"]
    return json.dumps(dict(zip(names, t.serialize(compact=True).split("."))),
                      separators=(",", ":"))


def wrong_cek(key, cek):
    """A CEK of the wrong size, that who does not look would cut or fill up to the right one."""
    protected = base64url_encode('{"alg":"RSA-OAEP-256","enc":"A256GCM"}')
    iv = os.urandom(12)
    text = AESGCM(cek[:32].ljust(32, b"\0")).encrypt(iv, b"never seen", protected.encode())
    wrapped = key.public_key().encrypt(cek, padding.OAEP(
        padding.MGF1(hashes.SHA256()), hashes.SHA256(), None))
    return json.dumps({
        "protected": protected, "encrypted_key": base64url_encode(wrapped),
        "iv": base64url_encode(iv), "ciphertext": base64url_encode(text[:-16]),
        "tag": base64url_encode(text[-16:])}, separators=(",", ":"))


def jwe_replies():
    cases = []
    for name, alg, key in [
            ("p256", "ECDH-ES+A256KW", jwk.JWK.generate(kty="EC", crv="P-256")),
            ("p521", "ECDH-ES+A256KW", jwk.JWK.generate(kty="EC", crv="P-521")),
            ("rsa", "RSA-OAEP-256", jwk.JWK.generate(kty="RSA", size=2048))]:
        for what, plaintext in [("text", b"vouched for"), ("empty", b""),
                                ("binary", bytes(range(256)) * 4)]:
            cases.append({"name": name + "-" + what, **key_der(key),
                          "response_body": encrypted(key, alg, plaintext),
                          "plaintext_hex": plaintext.hex()})
    key = rsa.generate_private_key(65537, 2048)
    der = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.TraditionalOpenSSL,
                            serialization.NoEncryption())
    write("jwe.json", {"cases": cases, "wrong_cek": {
        "tee_private_der_b64_pkcs1": b64encode(der).decode(),
        "response_bodies": [wrong_cek(key, os.urandom(16)), wrong_cek(key, os.urandom(48))]}})


def aead():
    key, iv, aad, text = os.urandom(32), os.urandom(12), b"associated", b"sixteen bytes ok, and more"
    sealed = AESGCM(key).encrypt(iv, text, aad)
    # All ones but the last bit: the counter carries through all 128 bits.
    block = b"\xff" * 15 + b"\xfe"
    ctr = Cipher(algorithms.AES(key), modes.CTR(block)).encryptor()
    long = bytes(range(80))
    write("aead.json", {
        "key_hex": key.hex(),
        "gcm": {"iv_hex": iv.hex(), "aad_hex": aad.hex(), "plaintext_hex": text.hex(),
                "sealed_hex": sealed.hex()},
        "ctr": {"iv_hex": block.hex(), "plaintext_hex": long.hex(),
                "sealed_hex": ctr.update(long).hex()}})


def signatures():
    key = jwk.JWK.generate(kty="EC", crv="P-256")
    other = jwk.JWK.generate(kty="EC", crv="P-256")
    t = jws.JWS(b'{"a":1}')
    t.add_signature(key, "ES256", json_encode({"alg": "ES256", "kid": "kbs:///test/key/1"}))
    x = base64url_decode(key.export_public(as_dict=True)["x"])
    write("jws.json", {
        "jwk": key.export_private(as_dict=True), "public_jwk": key.export_public(as_dict=True),
        "other_jwk": other.export_public(as_dict=True),
        "off_curve_jwk": {**key.export_public(as_dict=True),
                          "x": base64url_encode(x[:-1] + bytes([x[-1] ^ 1]))},
        "compact": t.serialize(compact=True)})


rsa_signature()
jwe_replies()
aead()
signatures()
