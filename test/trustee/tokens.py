# SPDX-License-Identifier: Apache-2.0
"""Attestation tokens: EAR claims in an ES256 JWT whose header carries the signer's public key."""

import hashlib
import os
import threading
import time

from jwcrypto import jwk, jws
from jwcrypto.common import JWException

from encoding import b64u, dump, parse_json
from errors import KbsError

EVIDENCE = "ear.veraison.annotated-evidence"
TEE_KEY_PATHS = (
    ("tdx", "attester_runtime_data", "tee-pubkey"),
    ("tdx", "attester_user_data", "tee-pubkey"),
    ("customized_claims", "runtime_data", "tee-pubkey"),
    ("submods", "cpu0", EVIDENCE, "runtime_data_claims", "tee-pubkey"),
    ("tee-pubkey",),
)


class Clock:
    """The server's idea of the time; `offset` makes it wrong on purpose."""

    def __init__(self, offset=0):
        self.offset = offset

    def now(self):
        return time.time() + self.offset


def load_signing_key(path):
    """The key kept in @path, made there (mode 0600) when absent; without a path, a new one."""
    if path and os.path.exists(path):
        with open(path, "rb") as f:
            return jwk.JWK.from_pem(f.read())
    key = jwk.JWK.generate(kty="EC", crv="P-256")
    if path:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as f:
            f.write(key.export_to_pem(private_key=True, password=None))
    return key


def annotated(claims):
    """The verified claims of the primary evidence, {} when the token has none."""
    return claims.get("submods", {}).get("cpu0", {}).get(EVIDENCE, {})


class Tokens:
    """Issues and verifies this server's tokens."""

    def __init__(self, clock, life, leeway, key_file=None):
        self.clock, self.life, self.leeway = clock, life, leeway
        self._key = load_signing_key(key_file)
        public = self._key.export_public(as_dict=True)
        self._jwk = {m: public[m] for m in ("kty", "crv", "x", "y")} | {"alg": "ES256"}
        self._lock = threading.Lock()
        self._no_exp = set()  # tokens we sent without exp on purpose: only these may lack it

    def issue(self, tee, claims, runtime, init_claims, devices, odd=None):
        """A token for verified @claims; @odd names a misbehaviour (see misbehave.py) or is None."""
        if odd == "token-garbage":
            return "this.is not.a token"
        iat = int(self.clock.now())
        exp = iat + {"token-bad-life": -1, "token-long-life": 24 * 3600 + 1}.get(odd, self.life)
        body = self._ear(tee, claims, runtime, init_claims, devices) | {"iat": iat, "exp": exp}
        if odd == "token-no-exp":
            del body["exp"]
        token = self._sign(body)
        if odd == "token-no-exp":
            with self._lock:
                self._no_exp.add(hashlib.sha256(token.encode()).digest())
        return token

    @staticmethod
    def _ear(tee, claims, runtime, init_claims, devices):
        inner = {k: v for k, v in claims.items() if k not in ("init_data", "report_data")}
        evidence = {tee: inner, "report_data": claims["report_data"],
                    "runtime_data_claims": runtime}
        if "init_data" in claims:
            evidence["init_data"] = claims["init_data"]
        if init_claims is not None:
            evidence["init_data_claims"] = init_claims
        status = "contraindicated" if tee == "sample" else "affirming"
        mods = {"cpu0": {"ear.status": status, "ear.appraisal-policy-id": "default",
                         EVIDENCE: evidence}}
        for i, (name, value) in enumerate(devices.items()):
            mods[f"gpu{i}"] = {"ear.status": "contraindicated", EVIDENCE: {name: value}}
        return {"eat_profile": "tag:github.com,2024:confidential-containers/Trustee",
                "iss": "CoCo-Attestation-Service",
                "ear.verifier-id": {"developer": "vouchsafe test/trustee", "build": "test"},
                "submods": mods}

    def _sign(self, body):
        header = dump({"typ": "JWT", "alg": "ES256", "jwk": self._jwk}).decode()
        signer = jws.JWS(dump(body))
        signer.add_signature(self._key, alg="ES256", protected=header)
        return signer.serialize(compact=True)

    def verify(self, token):
        """The claims of @token, if we signed it and it has not expired; else KbsError."""
        try:
            signed = jws.JWS()
            signed.deserialize(token, self._key, alg="ES256")
            claims = parse_json(signed.payload)
        except (JWException, ValueError, TypeError) as e:
            raise KbsError("TokenVerifierError", why=f"token: {e}") from None
        exp = claims.get("exp")
        if exp is None:
            with self._lock:
                known = hashlib.sha256(token.encode()).digest() in self._no_exp
            if not known:
                raise KbsError("TokenVerifierError", why="token: no exp")
        elif exp + self.leeway < self.clock.now():
            raise KbsError("TokenVerifierError", why=f"token: expired at {exp}")
        return claims

    @staticmethod
    def tee_key(claims):
        """The TEE key at the first of Trustee's pointers that exists."""
        for path in TEE_KEY_PATHS:
            at = claims
            for name in path:
                at = at.get(name) if isinstance(at, dict) else None
            if at is not None:
                return at
        raise KbsError("TokenVerifierError", why="token: no tee-pubkey in it")

    def thumbprint(self):
        """Names the signing key, for the log."""
        return b64u(hashlib.sha256(dump(self._jwk)).digest())[:12]
