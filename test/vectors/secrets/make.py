# SPDX-License-Identifier: Apache-2.0
"""Write sealed.json with a second implementation (python3-jwcrypto). The output is random each
time and is checked in; the signing key is thrown away.

    /usr/bin/python3 test/vectors/secrets/make.py
"""
import json
import os

from jwcrypto import jwk, jws

KID = "kbs:///test/signing/key"
key = jwk.JWK.generate(kty="EC", crv="P-256", alg="ES256", use="sig")


def sealed(payload, kid=KID):
    t = jws.JWS(json.dumps(payload, separators=(",", ":")))
    t.add_signature(key, "ES256", json.dumps({"alg": "ES256", "kid": kid}))
    return "sealed." + t.serialize(compact=True)


vault = {"version": "0.1.0", "type": "vault", "name": "kbs:///test/secret/one", "provider": "kbs",
         "provider_settings": {}, "annotations": {}}
envelope = {"version": "0.1.0", "type": "envelope", "key_id": "k", "encrypted_key": "AA==",
            "encrypted_data": "AA==", "wrap_type": "A256GCM", "iv": "AAAAAAAAAAAAAAAA",
            "provider": "aliyun", "provider_settings": {}, "annotations": {}}
value = {
    "comment": "made by make.py beside it",
    "kid": KID,
    "public_jwk": key.export_public(as_dict=True),
    "vault": sealed(vault),
    "vault_by_file": sealed(vault, "file-key"),
    "envelope": sealed(envelope),
}
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "sealed.json"), "w",
          encoding="ascii") as f:
    json.dump(value, f, indent=1)
    f.write("\n")
