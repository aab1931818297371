# SPDX-License-Identifier: Apache-2.0
"""Trustee's refusals: a variant, a sentence, and the status that goes with it."""

import json

PREFIX = "https://github.com/confidential-containers/kbs/errors/"

# The sentence for each variant. "{}" takes the particulars where the real server gives any.
DETAILS = {
    "AttestationError": "Attestation error: RCAR handshake Attest failed",
    "TokenNotFound": "Attestation Token not found",
    "TokenVerifierError": "Token Verifier error",
    "PolicyDeny": "Access denied by policy",
    "PolicyEngineError": "Policy engine error: {}",
    "ParsePolicyError": "Policy parse error: {}",
    "PluginInternalError": "Plugin internal error",
    "PluginNotFound": "Plugin {} not found",
    "InvalidRequestPath": "Invalid request path `{}`",
    "JweError": "JWE failed",
    "SerdeError": "Serde error: {}",
    "AdminAuthAccess": "admin access denied for endpoint {}: no admin token",
}

# Everything Trustee refuses is 401, even what is missing; only these two are 404.
NOT_FOUND = {"PluginNotFound", "InvalidRequestPath"}


class KbsError(Exception):
    """A refusal. `why` is the real reason: it goes to our log, never to the client."""

    def __init__(self, variant, particulars="", why="", detail=None):
        self.variant = variant
        self.detail = detail or DETAILS[variant].replace("{}", particulars)
        self.why = why or particulars or self.detail
        super().__init__(f"{variant}: {self.why}")

    @property
    def status(self):
        return 404 if self.variant in NOT_FOUND else 401

    def body(self):
        return json.dumps({"type": PREFIX + self.variant, "detail": self.detail},
                          separators=(",", ":")).encode()


class Refused(Exception):
    """Evidence, a key or init-data that does not hold; becomes a mute AttestationError."""


def auth_failed(cause):
    """The refusal of /auth, the only one that tells its cause."""
    return KbsError("AttestationError", why=cause,
                    detail=f"Attestation error: RCAR handshake Auth failed: {cause}")
