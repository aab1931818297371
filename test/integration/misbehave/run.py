# SPDX-License-Identifier: Apache-2.0
"""A Trustee that misbehaves: each row ends as promised, nothing is delivered, the daemon goes on serving."""

import pathlib
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from world import Cases, World  # noqa: E402

BUILD = sys.argv[1]
TTRPC = pathlib.Path(__file__).resolve().parents[2] / "tools/ttrpc.py"
SECRET = "canary-of-the-misbehaviour-tests"

# name of the case, rule, code that the caller sees, most seconds with a 6 s call.
# What is retried by itself ends at the call's deadline and names the last reason.
ROWS = [
    ("refuse__connection_closed", {"kind": "refuse", "endpoint": "auth"}, "net.", 8),
    ("empty__no_reply", {"kind": "empty", "endpoint": "auth"}, "net.", 8),
    ("stall__auth", {"kind": "stall", "endpoint": "auth", "seconds": 20}, "", 8),
    ("stall__attest", {"kind": "stall", "endpoint": "attest", "seconds": 20}, "", 8),
    ("stall__resource", {"kind": "stall", "endpoint": "resource", "seconds": 20}, "", 8),
    ("reset__in_the_body_of_the_resource", {"kind": "reset", "endpoint": "resource"}, "net.", 8),
    ("reset__in_the_body_of_the_token", {"kind": "reset", "endpoint": "attest"}, "net.", 8),
    ("short__body_shorter_than_announced", {"kind": "short", "endpoint": "resource"}, "net.", 8),
    ("drip__slow_token", {"kind": "drip", "endpoint": "attest"}, "", 8),
    ("drip__slow_resource", {"kind": "drip", "endpoint": "resource"}, "", 8),
    ("not_http__garbage", {"kind": "not-http", "endpoint": "auth"}, "net.http", 8),
    ("huge__resource", {"kind": "huge", "endpoint": "resource"}, "net.too-large", 8),
    ("huge__token", {"kind": "huge", "endpoint": "attest"}, "net.too-large", 8),
    ("redirect__auth", {"kind": "redirect", "endpoint": "auth"}, "net.redirect", 8),
    ("redirect__resource", {"kind": "redirect", "endpoint": "resource"}, "net.redirect", 8),
    ("truncated__challenge", {"kind": "truncated", "endpoint": "auth"}, "kbs.bad-reply", 8),
    ("truncated__resource", {"kind": "truncated", "endpoint": "resource"}, "kbs.bad-reply", 8),
    ("duplicate__keys_in_the_challenge", {"kind": "duplicate", "endpoint": "auth"}, "kbs.bad-reply", 8),
    ("duplicate__keys_in_the_jwe", {"kind": "duplicate", "endpoint": "resource"}, "kbs.bad-reply", 8),
    ("wrong_nonce__challenge", {"kind": "wrong-nonce", "endpoint": "auth"}, "kbs.attestation-failed", 8),
    ("bad_hash__challenge", {"kind": "bad-hash", "endpoint": "auth"}, "kbs.hash-unsupported", 8),
    ("token__ends_before_it_begins", {"kind": "token-bad-life", "endpoint": "attest"}, "token.bad-life", 8),
    ("token__lasts_two_days", {"kind": "token-long-life", "endpoint": "attest"}, "token.bad-life", 8),
    ("token__garbage", {"kind": "token-garbage", "endpoint": "attest"}, "token.format", 8),
    ("jwe__bad_tag", {"kind": "jwe-bad-tag", "endpoint": "resource"}, "kbs.decrypt-failed", 8),
    ("jwe__rsa1_5", {"kind": "jwe-rsa1_5", "endpoint": "resource"}, "kbs.jwe-algorithm", 8),
    ("jwe__wrong_curve", {"kind": "jwe-wrong-curve", "endpoint": "resource"}, "kbs.", 8),
    ("status__500", {"kind": "status", "code": 500, "endpoint": "resource"}, "kbs.server-error", 8),
    ("status__502_html", {"kind": "status", "code": 502, "endpoint": "auth"}, "kbs.server-error", 8),
    ("status__429", {"kind": "status", "code": 429, "endpoint": "auth"}, "kbs.busy", 8),
    ("status__418", {"kind": "status", "code": 418, "endpoint": "resource"}, "kbs.unexpected-status", 8),
    ("error__policy_deny", {"kind": "error", "variant": "PolicyDeny", "endpoint": "resource"}, "kbs.policy-denied", 3),
    ("error__plugin_internal", {"kind": "error", "variant": "PluginInternalError", "endpoint": "resource"},
     "kbs.resource-missing", 3),
    ("error__plugin_not_found", {"kind": "error", "variant": "PluginNotFound", "endpoint": "resource"},
     "kbs.plugin-missing", 3),
    ("error__jwe", {"kind": "error", "variant": "JweError", "endpoint": "resource"}, "kbs.key-unusable", 3),
    ("error__policy_engine", {"kind": "error", "variant": "PolicyEngineError", "endpoint": "resource"},
     "kbs.policy-broken", 3),
    ("error__token_not_found_for_ever", {"kind": "error", "variant": "TokenNotFound", "endpoint": "resource"},
     "kbs.token-refused", 8),
    ("error__attestation_refused", {"kind": "error", "variant": "AttestationError", "endpoint": "attest"},
     "kbs.attestation-failed", 3),
    ("error__auth_refused", {"kind": "error", "variant": "AttestationError", "endpoint": "auth"},
     "kbs.auth-refused", 3),
]
TRANSIENT = [
    {"kind": "reset", "endpoint": "auth", "count": 2},
    {"kind": "reset", "endpoint": "resource", "count": 2},
    {"kind": "status", "code": 500, "endpoint": "attest", "count": 1},
    {"kind": "status", "code": 429, "endpoint": "auth", "count": 1},
    {"kind": "empty", "endpoint": "resource", "count": 1},
    {"kind": "error", "variant": "TokenVerifierError", "endpoint": "resource", "count": 1},
    {"kind": "error", "variant": "TokenNotFound", "endpoint": "resource", "count": 1},
    {"kind": "http10", "endpoint": "any"},
    {"kind": "token-no-exp", "endpoint": "attest"},
]


def get(w, timeout=6):
    return w.run(["/usr/bin/python3", TTRPC, w.cdh_socket, "get-resource", "kbs:///default/a/b", "--timeout", timeout],
                 timeout=timeout + 30)


def fresh(w):
    """A daemon without a token."""
    w.behave()
    w.stop("vouchsafed")
    (w.tmp / "vouchsafed.log").unlink(missing_ok=True)
    w.start_daemon(level="debug")


def row(w, rule, code, most):
    fresh(w)
    attestations = w.metric("kbs_attestation_requests_total")
    w.misbehave(**rule)
    start = time.monotonic()
    r = get(w)
    took = time.monotonic() - start
    out = r.stdout + r.stderr + w.log("vouchsafed")
    assert r.returncode != 0, f"it succeeded: {r.stdout!r}"
    assert code in r.stderr, f"want {code} in {r.stderr!r}"
    assert took < most, f"{took:.1f} s, allowed {most}"
    assert SECRET not in out
    if rule.get("variant") in ("PolicyDeny", "PluginInternalError"):
        assert w.metric("kbs_attestation_requests_total") - attestations == 1, "attested again within the call"
    w.behave()
    # A refused handshake is refused for 5 s to all; a stuck one ends at its own deadline of 60 s.
    time.sleep(5.5 if rule["endpoint"] != "resource" or code == "kbs.token-refused" else 0)
    r = get(w, timeout=75)
    assert r.returncode == 0 and r.stdout == SECRET, f"not serving afterwards: {r.stderr!r} {w.log('vouchsafed')[-2000:]}"


def transient(w, rule):
    fresh(w)
    w.misbehave(**rule)
    r = get(w, timeout=40)
    assert r.returncode == 0 and r.stdout == SECRET, r.stderr


def certificate(kind, code):
    with World(BUILD) as w:
        w.resource("default/a/b", SECRET)
        w.start_tpm()
        w.provision_ak()
        w.start_trustee("--cert", kind)
        w.keygen()
        w.provision(w.initdata())
        w.start_daemon()
        start = time.monotonic()
        r = get(w)
        assert r.returncode != 0 and code in r.stderr, r.stderr
        assert time.monotonic() - start < 4, "a certificate is not retried"
        assert w.metric("kbs_auth_requests_total") == 0
        doctor = w.log("vouchsafed")
        assert SECRET not in doctor


def wrong_clock(w):
    fresh(w)
    w.trustee("/test/clock", {"offset": 3 * 365 * 86400})
    r = get(w, timeout=20)
    w.trustee("/test/clock", method="DELETE")
    # Life is exp - iat on our own clock: a Trustee with a wrong clock is as good as any.
    assert r.returncode == 0 and r.stdout == SECRET, r.stderr


def main():
    c = Cases()
    with World(BUILD) as w:
        w.resource("default/a/b", SECRET)
        w.up()
        for name, rule, code, most in ROWS:
            fn = lambda *a: row(*a)  # noqa: E731
            fn.__name__ = f"misbehaviour__{name}__ends_as_promised"
            c.run(fn, w, rule, code, most)
        for rule in TRANSIENT:
            fn = lambda *a: transient(*a)  # noqa: E731
            fn.__name__ = f"transient__{rule['kind']}_{rule.get('variant', rule.get('code', ''))}_{rule['endpoint']}__is_overcome"
            c.run(fn, w, rule)
        fn = lambda *a: wrong_clock(*a)  # noqa: E731
        fn.__name__ = "clock__trustee_three_years_ahead__still_served"
        c.run(fn, w)
    for kind, code in (("expired", "tls.expired"), ("not-yet", "clock.skew"), ("wrong-name", "tls.name"),
                       ("wrong-ca", "tls.untrusted")):
        fn = lambda *a: certificate(*a)  # noqa: E731
        fn.__name__ = f"certificate__{kind}__is_refused_at_once"
        c.run(fn, kind, code)
    return c.finish()


sys.exit(main())
