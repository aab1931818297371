# SPDX-License-Identifier: Apache-2.0
"""Each misbehaviour, switched on over HTTP and seen from the other end."""

import base64
import email.utils
import json
import time

from jwcrypto.common import JWException
from jwcrypto.jws import InvalidJWSObject, JWS

import misbehave
from checks.client import PATH, SECRET, ServerCase, jws_payload
from errors import DETAILS, NOT_FOUND


class Content(ServerCase):
    """Answers that are HTTP, but not the right ones."""

    def test_errors_of_every_variant_at_every_endpoint(self):
        for variant in DETAILS:
            for endpoint in misbehave.ALL:
                with self.subTest(variant=variant, endpoint=endpoint):
                    client = self.attested()
                    self.misbehave("error", variant=variant, endpoint=endpoint, count=1)
                    ask = {"auth": client.auth, "attest": client.attest, "resource": client.get}
                    self.refusal(ask[endpoint](), variant, 404 if variant in NOT_FOUND else 401)
                    self.assertEqual(ask[endpoint]()[0], 200)

    def test_statuses(self):
        self.misbehave("status", code=429, retry_after=7, count=1)
        status, headers, _ = self.client().auth()
        self.assertEqual((status, headers["Retry-After"]), (429, "7"))
        for code in (500, 502, 503):
            self.misbehave("status", code=code, count=1)
            status, headers, body = self.client().auth()
            self.assertEqual((status, headers["Content-Type"]), (code, "text/html"))
            self.assertIn(b"<html>", body)
        self.assertEqual(self.client().auth()[0], 200)

    def test_redirects(self):
        for location in ("/kbs/v0/auth2", "http://169.254.169.254/latest/"):
            self.misbehave("redirect", location=location, count=1)
            status, headers, _ = self.client().auth()
            self.assertEqual((status, headers["Location"]), (302, location))

    def test_wrong_nonce(self):
        self.misbehave("wrong-nonce")
        client = self.client()
        self.assertEqual(client.auth()[0], 200)
        self.refusal(client.attest(), "AttestationError")
        self.assertIn("nonce", self.why())

    def test_unknown_hash(self):
        for value in ("md5", None, 384):
            self.misbehave("bad-hash", value=value, count=1)
            body = json.loads(self.client().auth()[2])
            self.assertEqual(body["extra-params"], {"selected-hash-algorithm": value})

    def test_truncated_json(self):
        self.misbehave("truncated", endpoint="auth")
        _, headers, body = self.client().ask("POST", "/kbs/v0/auth", {
            "version": "0.4.0", "tee": "tpm", "extra-params": ""})
        self.assertEqual(int(headers["Content-Length"]), len(body))
        self.assertTrue(body.startswith(b'{"nonce"'))
        with self.assertRaises(ValueError):
            json.loads(body)

    def test_duplicate_members(self):
        self.misbehave("duplicate")
        client = self.client()
        for ask, member in ((client.auth, b'"nonce":'), (client.attest, b'"token":'),
                            (client.get, b'"protected":')):
            body = ask()[2]
            self.assertEqual(body.count(member), 2, body[:80])
            json.loads(body)

    def test_token_lives(self):
        for kind, check in (("token-bad-life", lambda life: life <= 0),
                            ("token-long-life", lambda life: life > 24 * 3600)):
            with self.subTest(kind):
                self.misbehave(kind, count=1)
                claims = jws_payload(self.attested().token)
                self.assertTrue(check(claims["exp"] - claims["iat"]))

    def test_token_without_exp_is_accepted_from_us_only(self):
        self.misbehave("token-no-exp", count=1)
        client = self.attested()
        self.assertNotIn("exp", jws_payload(client.token))
        self.assertEqual(client.get()[0], 200)
        self.kbs.tokens._no_exp.clear()
        self.refusal(client.get(), "TokenVerifierError")

    def test_garbage_token(self):
        self.misbehave("token-garbage", count=1)
        token = self.attested().token
        with self.assertRaises(InvalidJWSObject):
            JWS().deserialize(token)

    def test_jwe_with_a_bad_tag(self):
        for kind in ("P-256", "P-521", "RSA"):
            client = self.attested(kind)
            self.misbehave("jwe-bad-tag", count=1)
            with self.assertRaises(JWException):
                client.decrypt(client.get()[2])
            self.assertEqual(client.decrypt(client.get()[2]), SECRET)

    def header(self, data):
        part = json.loads(data)["protected"]
        return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))

    def test_jwe_with_rsa1_5(self):
        self.misbehave("jwe-rsa1_5")
        for kind in ("P-256", "RSA"):
            client = self.attested(kind)
            data = client.get()[2]
            self.assertEqual(self.header(data), {"alg": "RSA1_5", "enc": "A256GCM"})
        self.assertEqual(client.decrypt(data), SECRET)

    def test_jwe_on_the_wrong_curve(self):
        self.misbehave("jwe-wrong-curve")
        for kind, other in (("P-256", "P-521"), ("P-521", "P-256")):
            header = self.header(self.attested(kind).get()[2])
            self.assertEqual(header["epk"]["crv"], other)

    def test_wrong_clock(self):
        client = self.client()
        client.ask("POST", "/test/clock", {"offset": -86400})
        _, headers, _ = client.auth()
        client.attest()
        date = email.utils.parsedate_to_datetime(headers["Date"]).timestamp()
        self.assertAlmostEqual(date, time.time() - 86400, delta=120)
        self.assertAlmostEqual(jws_payload(client.token)["iat"], time.time() - 86400, delta=120)
        client.ask("DELETE", "/test/clock")
        self.refusal(client.get(), "TokenVerifierError")


class Wire(ServerCase):
    """Answers that break HTTP, or come late, or never."""

    def test_refused_at_accept(self):
        self.misbehave("refuse", endpoint="connect", count=2)
        for _ in range(2):
            got, error = self.raw()
            self.assertEqual(got, b"")
            self.assertIsInstance(error, ConnectionError)
        self.assertEqual(self.client().auth()[0], 200)
        self.assertEqual([e["endpoint"] for e in self.server.journal.list()], ["auth"])

    def test_refused_once_asked(self):
        self.misbehave("refuse", endpoint="auth", count=1)
        got, error = self.raw()
        self.assertEqual((got, type(error)), (b"", ConnectionResetError))
        self.assertEqual(self.server.journal.list()[0]["misbehaviour"], "refuse")

    def test_empty_reply(self):
        self.misbehave("empty", endpoint="auth")
        self.assertEqual(self.raw(), (b"", None))

    def test_reset_amid_the_body(self):
        self.misbehave("reset", endpoint="auth")
        got, error = self.raw()
        self.assertIsInstance(error, ConnectionResetError)
        head, _, body = got.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split()[0])
        self.assertEqual(len(body), length // 2)

    def test_short_body(self):
        self.misbehave("short", endpoint="auth")
        got, error = self.raw()
        self.assertIsNone(error)
        self.assertIn(b"content-length: 74\r\n", got)
        self.assertEqual(len(got.partition(b"\r\n\r\n")[2]), 37)

    def test_stall_before_the_answer_and_amid_the_body(self):
        for body in (False, True):
            with self.subTest(body=body):
                self.misbehave("stall", endpoint="auth", seconds=0.4, body=body, count=1)
                client, start = self.client(), time.monotonic()
                self.assertEqual(client.auth()[0], 200)
                self.assertGreaterEqual(time.monotonic() - start, 0.39)
        self.misbehave("stall", endpoint="auth", seconds=60)
        with self.assertRaises(TimeoutError):
            self.client(timeout=0.2).auth()

    def test_stall_at_accept(self):
        self.misbehave("stall", endpoint="connect", seconds=0.3, count=1)
        start = time.monotonic()
        # The rule comes from a client, whose connection was accepted before: the next one waits.
        self.assertEqual(self.client().auth()[0], 200)
        self.assertGreaterEqual(time.monotonic() - start, 0.29)

    def test_drip(self):
        self.misbehave("drip", endpoint="auth", interval=0.005, count=1)
        client, start = self.client(), time.monotonic()
        status, _, body = client.auth()
        self.assertEqual(status, 200)
        self.assertGreaterEqual(time.monotonic() - start, 0.005 * (len(body) - 1))
        self.misbehave("drip", endpoint="auth", interval=0.001, head=True, count=1)
        self.assertEqual(client.auth()[0], 200)

    def test_http_1_0(self):
        self.misbehave("http10")
        got, error = self.raw()
        self.assertIsNone(error)
        self.assertTrue(got.startswith(b"HTTP/1.0 200 OK\r\n"))
        self.assertNotIn(b"content-length", got.lower())
        client = self.client()
        self.assertEqual(client.handshake(), 200)
        self.assertEqual(client.decrypt(client.get()[2]), SECRET)

    def test_not_http(self):
        self.misbehave("not-http")
        self.assertTrue(self.raw()[0].startswith(b"220 "))

    def test_huge_body(self):
        for chunked in (False, True):
            with self.subTest(chunked=chunked):
                self.misbehave("huge", endpoint="auth", chunked=chunked, count=1)
                client = self.client()
                client.conn.request("POST", "/kbs/v0/auth", b"{}")
                reply = client.conn.getresponse()
                self.assertEqual(reply.getheader("Content-Length"),
                                 None if chunked else str(64 << 20))
                size = 0
                while part := reply.read(1 << 20):
                    size += len(part)
                self.assertEqual(size, 64 << 20)

    def test_client_that_leaves_a_huge_body(self):
        self.misbehave("huge", endpoint="auth", count=1)
        client = self.client()
        client.conn.request("POST", "/kbs/v0/auth", b"{}")
        client.conn.getresponse().read(1000)
        client.conn.close()
        self.assertEqual(self.client().auth()[0], 200)


class Control(ServerCase):
    """The switchboard itself."""

    def test_count_skip_and_path(self):
        client = self.attested()
        self.kbs.resources.put("default/key/other", b"other")
        self.misbehave("status", endpoint="resource", path="*/other", skip=1, count=2)
        paths = ["default/key/other"] * 2 + [PATH] + ["default/key/other"] * 2
        self.assertEqual([client.get(p)[0] for p in paths], [200, 500, 200, 500, 200])
        self.assertEqual(self.server.rules.list(), [])

    def test_list_and_clear(self):
        client = self.client()
        rules = [{"kind": "empty", "endpoint": "attest"}, {"kind": "drip", "interval": 1}]
        active = json.loads(client.ask("POST", "/test/misbehave", rules)[2])
        self.assertEqual([r["kind"] for r in active], ["empty", "drip"])
        self.assertEqual(json.loads(client.ask("GET", "/test/misbehave")[2]), active)
        self.assertEqual(client.ask("DELETE", "/test/misbehave")[2], b"[]")
        self.assertEqual(client.auth()[0], 200)

    def test_nonsense_is_refused_whole(self):
        client = self.client()
        for rule in ({}, {"kind": "sulk"}, {"kind": "stall", "second": 1}, [1], "x",
                     {"kind": "stall", "seconds": -1}, {"kind": "stall", "seconds": "1"},
                     {"kind": "wrong-nonce", "endpoint": "attest"}, {"kind": "drip", "count": 0},
                     {"kind": "error", "variant": "Oops"}, {"kind": "status", "code": 99},
                     [{"kind": "drip"}, {"kind": "sulk"}]):
            with self.subTest(rule):
                self.assertEqual(client.ask("POST", "/test/misbehave", rule)[0], 400)
        self.assertEqual(client.ask("POST", "/test/misbehave", b"{")[0], 400)
        self.assertEqual(client.ask("POST", "/test/nothing", b"")[0], 404)
        self.assertEqual(client.ask("PUT", "/test/log", b"")[0], 405)
        self.assertEqual(self.server.rules.list(), [])

    def test_forgotten_sessions_and_cleared_log(self):
        client = self.client()
        client.auth()
        client.ask("DELETE", "/test/sessions")
        self.refusal(client.attest(), "AttestationError")
        self.assertEqual(len(json.loads(client.ask("DELETE", "/test/log")[2])), 2)
        self.assertEqual(client.ask("GET", "/test/log")[2], b"[]")
