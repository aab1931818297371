# SPDX-License-Identifier: Apache-2.0
"""The protocol: /auth, /attest, resources, and the admin calls. No sockets in here."""

import base64
import email.utils
import os
import secrets
from dataclasses import dataclass, field

import azure
import bare
import evidence
import initdata
import jwe
import policy
import teekey
from encoding import b64u, b64u_decode, parse_json
from errors import KbsError, Refused, auth_failed
from metrics import Metrics
from reply import Reply, json_reply
from store import Resources, Sessions, resource_path
from tokens import Clock, Tokens

VERSION = "0.4.0"


@dataclass
class Settings:
    """What a Kbs is made of; trustee.py fills it from the command line."""
    hash: str = None
    token_life: int = 300
    leeway: int = 60
    session_life: int = 300
    token_key: str = None
    resources: str = None
    policy: str = None
    allow_sample: bool = False
    deny: list = field(default_factory=list)
    expect_pcr8: bytes = None
    clock_offset: float = 0
    roots: dict = field(default_factory=dict)  # of test hardware: azure.load_roots()


class Kbs:
    """One Trustee: sessions, tokens, resources, policy, enrolled AKs and counters."""

    def __init__(self, settings):
        self.settings = settings
        self.clock = Clock(settings.clock_offset)
        self.sessions = Sessions(self.clock, settings.session_life)
        self.tokens = Tokens(self.clock, settings.token_life, settings.leeway, settings.token_key)
        self.resources = Resources(settings.resources)
        self.aks = evidence.TrustedAks()
        self.expect_pcr8 = settings.expect_pcr8
        self.metrics = Metrics()
        self.policy = policy.parse(settings.policy or "{}")
        # The options add to the document that was given, and only to that one.
        self.policy.doc = self.policy.doc | {
            "allow_sample": self.policy.doc["allow_sample"] or settings.allow_sample,
            "deny": [*self.policy.doc["deny"], *settings.deny]}

    # ---- the handshake

    def _cookie(self, session):
        ends = email.utils.formatdate(session.expires, usegmt=True)
        return [("set-cookie", f"kbs-session-id={session.id}; Expires={ends}")]

    def auth(self, req):
        self.metrics.count("kbs_auth_requests_total")
        try:
            reply = self._auth(req)
        except KbsError:
            self.metrics.count("kbs_auth_errors_total")
            raise
        self.metrics.count("kbs_auth_successes_total")
        return reply

    def _auth(self, req):
        try:
            body = parse_json(req.body)
        except ValueError as e:
            raise auth_failed(f"the request is no JSON: {e}") from None
        if not isinstance(body, dict) or not isinstance(body.get("version"), str):
            raise auth_failed("the request has no version")
        if body["version"].partition("+")[0] != VERSION:
            raise auth_failed("KBS Client Protocol Version Mismatch: expect "
                              f"={VERSION} while the request is {body['version']}")
        if body.get("tee") not in evidence.KNOWN_TEES:
            raise auth_failed(f"unknown tee {body.get('tee')!r}")
        if "extra-params" not in body:
            raise auth_failed("missing field `extra-params`")
        extra = ""
        if self.settings.hash:
            offered = body["extra-params"]
            if isinstance(offered, dict):
                offered = offered.get("supported-hash-algorithms")
            if not isinstance(offered, list) or self.settings.hash not in offered:
                raise auth_failed(f"the client does not offer {self.settings.hash}")
            extra = {"selected-hash-algorithm": self.settings.hash}
        if req.odd == "bad-hash":
            extra = {"selected-hash-algorithm": req.rule.params["value"]}
        session = self.sessions.open(body["tee"], self.settings.hash or "sha384")
        nonce = session.nonce
        if req.odd == "wrong-nonce":
            nonce = base64.b64encode(secrets.token_bytes(32)).decode()
        return json_reply({"nonce": nonce, "extra-params": extra}, self._cookie(session))

    def attest(self, req):
        self.metrics.count("kbs_attestation_requests_total")
        session = self.sessions.get(req.cookie)
        try:
            if session is None:
                raise Refused("no live session by that cookie")
            if session.token is None:
                session.token = self._attest(session, req)
                self.metrics.count("kbs_attestation_successes_total", session.tee)
        except Refused as e:
            self.metrics.count("kbs_attestation_errors_total")
            if session is not None:
                self.metrics.count("kbs_attestation_failures_total", session.tee)
            raise KbsError("AttestationError", why=str(e)) from None
        return json_reply({"token": session.token}, self._cookie(session))

    def _attest(self, session, req):
        """The token for evidence that holds; Refused otherwise."""
        try:
            body = parse_json(req.body)
        except ValueError as e:
            raise Refused(f"the attestation is no JSON: {e}") from None
        runtime, tee_evidence = (body.get(m) if isinstance(body, dict) else None
                                 for m in ("runtime-data", "tee-evidence"))
        if not isinstance(runtime, dict) or not isinstance(tee_evidence, dict):
            raise Refused("runtime-data or tee-evidence is missing")
        if runtime.get("nonce") != session.nonce:
            raise Refused("the nonce is not this session's")
        jwk, nonce = runtime.get("tee-pubkey"), session.nonce
        teekey.check(jwk)
        primary, extra = (tee_evidence.get(f"{m}_evidence") for m in ("primary", "additional"))
        if not isinstance(primary, dict) or not isinstance(extra, str):
            raise Refused("primary_evidence is no object, or additional_evidence no string")
        digest = teekey.primary_digest(session.hash, nonce, jwk, extra)
        init = initdata.parse(body.get("init-data"))
        claims = self._verify(session.tee, primary, digest, init)
        devices = evidence.verify_additional(
            extra, teekey.device_digest(session.hash, nonce, jwk), self.aks)
        runtime = {"nonce": nonce, "tee-pubkey": jwk, "additional-evidence": extra}
        return self.tokens.issue(session.tee, claims, runtime, init and init[1], devices, req.odd)

    def _verify(self, tee, primary, digest, init):
        if tee == "sample":
            claims = evidence.verify_sample(primary, digest)
            if init:
                claims["init_data"] = base64.b64encode(init[0]).decode()
            return claims
        if tee == "tpm":
            return evidence.verify_tpm(primary, digest, self.aks, init and init[0],
                                       self.expect_pcr8)
        if tee in azure.TYPES and self.settings.roots:
            return azure.verify(tee, primary, digest, self.settings.roots, init and init[0])
        if tee in bare.TEES and self.settings.roots:
            return bare.verify(tee, primary, digest, self.settings.roots, init and init[0])
        raise Refused(f"there is no verifier for {tee} here")

    # ---- resources

    def resource(self, req):
        claims = self._authorised(req)
        path = "/".join(req.segments)
        self.metrics.count("kbs_policy_evaluations_total")
        allowed, reason = self.policy.allows(claims, path)
        if not allowed:
            self.metrics.count("kbs_policy_violations_total")
            raise KbsError("PolicyDeny", why=reason)
        self.metrics.count("kbs_policy_approvals_total")
        if resource_path(req.segments) is None:
            raise KbsError("PluginInternalError", why=f"bad resource path {path!r}")
        data = self.resources.get(path)
        if data is None:
            raise KbsError("PluginInternalError", why=f"no resource {path}")
        reply = json_reply(jwe.encrypt(data, self.tokens.tee_key(claims), req.odd))
        self.metrics.count("kbs_resource_reads_total", path)
        return reply

    def _authorised(self, req):
        """The claims of the token that counts: an attested session's before a Bearer's."""
        session = self.sessions.get(req.cookie)
        token = session.token if session and session.token else req.bearer
        if token is None:
            raise KbsError("TokenNotFound")
        return self.tokens.verify(token)

    # ---- admin

    def write_resource(self, req):
        path = resource_path(req.segments)
        if path is None:
            raise KbsError("PluginInternalError", why="bad resource path")
        if req.method == "POST":
            self.resources.put(path, req.body)
            self.metrics.count("kbs_resource_writes_total", path)
        else:
            self.resources.put(path, None)
            self.metrics.count("kbs_resource_deletes_total", path)
        return Reply(200)

    def resource_policy(self, req):
        if req.method == "GET":
            return json_reply({"policy": b64u(self.policy.text.encode())})
        try:
            body = parse_json(req.body)
            text = b64u_decode(body.get("policy") if isinstance(body, dict) else None, "policy")
            self.policy = policy.parse(text.decode())
        except (Refused, ValueError) as e:
            raise KbsError("ParsePolicyError", str(e)) from None
        return Reply(200)


def load_aks(kbs, files):
    """Enrols the AKs of each file; Refused names the file that is bad."""
    for name in files:
        try:
            with open(os.path.expanduser(name), encoding="utf-8") as f:
                kbs.aks.add(f.read())
        except (Refused, UnicodeDecodeError) as e:
            raise Refused(f"{name}: {e}") from None
