# SPDX-License-Identifier: Apache-2.0
"""Misbehaviours: what there is, which are switched on, and the answers they put in place of ours.

A rule is JSON: {"kind": K, "endpoint": E, "count": N, "skip": N, "path": GLOB, ...parameters}
  endpoint  connect | auth | attest | resource | any (the last three)       default: any
  count     how many requests it spoils, then it is gone; null = for ever   default: null
  skip      how many matching requests it lets pass first                   default: 0
  path      only resources matching this glob                               default: all
At most one rule, the oldest that matches, acts upon one request.
"""

import fnmatch
import itertools
import json
import threading
from dataclasses import dataclass, field

from encoding import dump
from errors import DETAILS, KbsError, PREFIX
from reply import Reply

ALL = ("auth", "attest", "resource")
ENDPOINTS = ("connect", "any", *ALL)


@dataclass
class Kind:
    """One misbehaviour: where it makes sense, its parameters with defaults, a line of help."""
    where: tuple
    text: str
    params: dict = field(default_factory=dict)


KINDS = {
    # on the wire: the answer is made, then spoilt by wire.py
    "refuse": Kind(("connect", *ALL), "close with a reset: at accept, or once asked"),
    "empty": Kind(ALL, "close without a byte"),
    "stall": Kind(("connect", *ALL), "wait, then answer; with \"body\", wait amid the body",
                  {"seconds": 30, "body": False}),
    "reset": Kind(ALL, "half of the body, then RST"),
    "short": Kind(ALL, "half of the body, then an orderly close"),
    "drip": Kind(ALL, "one byte of the body at a time; with \"head\", of the head too",
                 {"interval": 0.2, "head": False}),
    "http10": Kind(ALL, "the right answer as HTTP/1.0 without a length"),
    "not-http": Kind(ALL, "an answer that is not HTTP"),
    "huge": Kind(ALL, "a 200 whose JSON goes on and on",
                 {"bytes": 64 << 20, "chunked": False}),
    # another answer in place of ours; nothing is verified or counted
    "error": Kind(ALL, "an error body of the given variant", {"variant": "PolicyDeny"}),
    "status": Kind(ALL, "a bare status: 429 with Retry-After, 5xx with HTML",
                   {"code": 500, "retry_after": 1}),
    "redirect": Kind(ALL, "302 to a path or another host", {"location": "/elsewhere"}),
    # our answer, with its content spoilt
    "truncated": Kind(ALL, "half of the JSON, with a matching length"),
    "duplicate": Kind(ALL, "the first member of the JSON twice"),
    "wrong-nonce": Kind(("auth",), "a challenge that is not the session's"),
    "bad-hash": Kind(("auth",), "selected-hash-algorithm that no client knows", {"value": "md5"}),
    "token-bad-life": Kind(("attest",), "exp before iat"),
    "token-long-life": Kind(("attest",), "exp more than 24 h after iat"),
    "token-no-exp": Kind(("attest",), "a token without exp (accepted here afterwards)"),
    "token-garbage": Kind(("attest",), "a token that is no JWT"),
    "jwe-bad-tag": Kind(("resource",), "one bit of the tag wrong"),
    "jwe-rsa1_5": Kind(("resource",), "the CEK wrapped with RSA1_5"),
    "jwe-wrong-curve": Kind(("resource",), "epk on the other curve"),
}
INSTEAD = ("error", "status", "redirect")
COMMON = {"kind", "endpoint", "count", "skip", "path"}
UNANSWERED = ("refuse", "empty", "not-http", "huge")  # the request is not carried out at all


class Rule:
    """One misbehaviour switched on; ValueError says what is wrong with @spec."""

    def __init__(self, number, spec):
        if not isinstance(spec, dict) or spec.get("kind") not in KINDS:
            raise ValueError(f"misbehaviour: kind is one of {', '.join(KINDS)}")
        kind = KINDS[spec["kind"]]
        odd = set(spec) - COMMON - set(kind.params)
        if odd:
            raise ValueError(f"misbehaviour {spec['kind']}: unknown: {', '.join(sorted(odd))}")
        default = "any" if len(kind.where) > 1 else kind.where[0]
        self.number, self.kind = number, spec["kind"]
        self.endpoint = spec.get("endpoint", default)
        allowed = kind.where + (("any",) if len(kind.where) > 1 else ())
        if self.endpoint not in allowed:
            raise ValueError(f"misbehaviour {self.kind}: endpoint is {' or '.join(allowed)}")
        self.count, self.skip = spec.get("count"), spec.get("skip", 0)
        if not (self.count is None or type(self.count) is int and self.count > 0):
            raise ValueError("misbehaviour: count is a number above 0, or null")
        if type(self.skip) is not int or self.skip < 0:
            raise ValueError("misbehaviour: skip is a number")
        self.path = spec.get("path", "*")
        self.params = kind.params | {k: spec[k] for k in kind.params if k in spec}
        self._check_params(kind)

    def _check_params(self, kind):
        for name, default in kind.params.items():
            value = self.params[name]
            number = isinstance(default, (int, float)) and not isinstance(default, bool)
            fits = (isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0
                    if number else name == "value" or isinstance(value, type(default)))
            if not fits:
                raise ValueError(f"misbehaviour {self.kind}: {name} is like {default!r}")
        if self.kind == "error" and self.params["variant"] not in DETAILS:
            raise ValueError(f"misbehaviour error: variant is one of {', '.join(DETAILS)}")
        if self.kind == "status" and not (type(self.params["code"]) is int
                                          and 200 <= self.params["code"] <= 599):
            raise ValueError("misbehaviour status: code is a number from 200 to 599")

    def matches(self, endpoint, path):
        here = self.endpoint == endpoint or (self.endpoint == "any" and endpoint in ALL)
        return here and (self.path == "*" or fnmatch.fnmatchcase(path or "", self.path))

    def describe(self):
        return {"id": self.number, "kind": self.kind, "endpoint": self.endpoint,
                "count": self.count, "skip": self.skip, "path": self.path} | self.params


class Misbehaviours:
    """The rules that are on."""

    def __init__(self):
        self._lock, self._numbers, self._rules = threading.Lock(), itertools.count(1), []

    def add(self, specs):
        """Switches on one rule or a list of them; all or none."""
        specs = specs if isinstance(specs, list) else [specs]
        rules = [Rule(next(self._numbers), s) for s in specs]
        with self._lock:
            self._rules += rules

    def clear(self):
        with self._lock:
            self._rules = []

    def list(self):
        with self._lock:
            return [r.describe() for r in self._rules]

    def take(self, endpoint, path=None):
        """The rule to act upon this request, counted down; None for an honest answer."""
        with self._lock:
            for rule in self._rules:
                if not rule.matches(endpoint, path):
                    continue
                if rule.skip:
                    rule.skip -= 1
                    continue
                if rule.count is not None:
                    rule.count -= 1
                    if rule.count == 0:
                        self._rules.remove(rule)
                return rule
        return None


def instead(rule):
    """The answer that @rule puts in place of ours."""
    if rule.kind == "error":
        error = KbsError(rule.params["variant"], "test")
        return Reply(error.status, error.body(), why="misbehaviour")
    if rule.kind == "redirect":
        return Reply(302, headers=[("Location", rule.params["location"])], why="misbehaviour")
    code = rule.params["code"]
    if code == 429:
        return Reply(429, b"slow down\n", "text/plain",
                     [("Retry-After", f"{rule.params['retry_after']:g}")], why="misbehaviour")
    page = f"<html><head><title>{code}</title></head><body><h1>{code}</h1></body></html>\n"
    return Reply(code, page.encode(), "text/html", why="misbehaviour")


def spoil(rule, reply):
    """Our @reply with its JSON spoilt, for the kinds that do that; else as it is."""
    if rule.kind == "truncated":
        reply.body = reply.body[:len(reply.body) // 2]
    elif rule.kind == "duplicate" and reply.body.startswith(b"{"):
        name, value = next(iter(json.loads(reply.body).items()))
        reply.body = b"{" + dump(name) + b":" + dump(value) + b"," + reply.body[1:]
    return reply


def table():
    """The kinds as text, for --list-misbehaviours."""
    lines = []
    for name, kind in KINDS.items():
        params = ", ".join(f"{k} = {json.dumps(v)}" for k, v in kind.params.items())
        lines.append(f"  {name:16} {kind.text}\n  {'':16} at {', '.join(kind.where)}"
                     + (f"; {params}" if params else ""))
    return "\n".join([__doc__.strip(), "", *lines, "", "variants of error: " + ", ".join(DETAILS),
                      f"(their type begins {PREFIX})"])
