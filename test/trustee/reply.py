# SPDX-License-Identifier: Apache-2.0
"""A request as the handlers see it, and their answer to it."""

from dataclasses import dataclass, field

from encoding import dump


@dataclass
class Request:
    """`endpoint` is auth, attest, resource, admin, test, other; `rule` a misbehaviour or None."""
    method: str
    segments: list
    headers: object
    body: bytes
    endpoint: str = "other"
    rule: object = None
    test_only: bool = False

    @property
    def odd(self):
        return self.rule.kind if self.rule else None

    @property
    def cookie(self):
        """The value of kbs-session-id, or None."""
        for header in self.headers.get_all("Cookie", []):
            for pair in header.split(";"):
                name, eq, value = pair.strip().partition("=")
                if eq and name == "kbs-session-id":
                    return value.strip('"')
        return None

    @property
    def bearer(self):
        """The token of an Authorization header, or None."""
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" and token.strip() else None


@dataclass
class Reply:
    """Status, body and headers; `why` is for the log only."""
    status: int
    body: bytes = b""
    content_type: str = None
    headers: list = field(default_factory=list)
    why: str = ""


def json_reply(value, headers=()):
    body = value if isinstance(value, bytes) else dump(value)
    return Reply(200, body, "application/json", list(headers))
