# SPDX-License-Identifier: Apache-2.0
"""A small KBS client for the tests, a software TPM that quotes, and the server under test."""

import base64
import hashlib
import http.client
import json
import socket
import struct
import threading
import unittest

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from jwcrypto import jwe, jwk

from httpd import Server
from kbs import Kbs, Settings

ALGS = ["ECDH-ES+A256KW", "RSA-OAEP-256", "RSA1_5", "A256GCM"]
OFFER = {"supported-hash-algorithms": ["sha256", "sha384", "sha512", "sm3"]}
SECRET = b"open sesame \x00\xff"
PATH = "default/key/test"


def b64(data):
    return base64.b64encode(data).decode()


def jws_payload(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


class SoftTpm:
    """An RSA key that signs the TPMS_ATTEST of a quote over 24 PCRs of its own."""
    _key = None

    def __init__(self):
        if SoftTpm._key is None:
            SoftTpm._key = rsa.generate_private_key(65537, 2048)
        self.pcrs = [bytes(32)] * 17 + [b"\xff" * 32] * 6 + [bytes(32)]

    def extend(self, index, digest):
        self.pcrs[index] = hashlib.sha256(self.pcrs[index] + digest).digest()

    @property
    def ak(self):
        return b64(self._key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))

    def attest(self, nonce, magic=0xFF544347, kind=0x8018, select=b"\xff\xff\xff"):
        return (struct.pack(">IH", magic, kind) + struct.pack(">H", 34) + b"\x00\x0b" + bytes(32)
                + struct.pack(">H", len(nonce)) + nonce + bytes(17) + bytes(8)
                + struct.pack(">IHB", 1, 0x000B, len(select)) + select + struct.pack(">H", 32)
                + hashlib.sha256(b"".join(self.pcrs)).digest())

    def sign(self, message):
        block = self._key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        return struct.pack(">HHH", 0x0014, 0x000B, len(block)) + block

    def evidence(self, digest, **odd):
        message = self.attest(digest[:32], **odd)
        return {"tpm_quote": {"signature": b64(self.sign(message)), "message": b64(message),
                              "pcrs": [p.hex() for p in self.pcrs]}, "ak_public": self.ak}


class Client:
    """Speaks to the server over one kept connection; knows its TEE key."""

    def __init__(self, port, kind="P-256", host="127.0.0.1", tls=None, timeout=20):
        self.conn = (http.client.HTTPSConnection(host, port, timeout=timeout, context=tls) if tls
                     else http.client.HTTPConnection(host, port, timeout=timeout))
        self.key = (jwk.JWK.generate(kty="RSA", size=2048) if kind == "RSA"
                    else jwk.JWK.generate(kty="EC", crv=kind))
        public = self.key.export_public(as_dict=True)
        names = ("kty", "n", "e") if kind == "RSA" else ("kty", "crv", "x", "y")
        alg = "RSA-OAEP-256" if kind == "RSA" else "ECDH-ES+A256KW"
        self.public = {n: public[n] for n in names} | {"alg": alg}
        self.cookie = self.token = self.hash = self.nonce = None

    def ask(self, method, path, body=None, **headers):
        """(status, headers, bytes)."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        self.conn.request(method, path, data, {k.replace("_", "-"): v for k, v in headers.items()})
        reply = self.conn.getresponse()
        return reply.status, reply.headers, reply.read()

    def auth(self, tee="sample", **changes):
        body = {"version": "0.4.0", "tee": tee, "extra-params": OFFER} | changes
        body = {k: v for k, v in body.items() if v is not None}
        status, headers, data = self.ask("POST", "/kbs/v0/auth", body)
        if status == 200:
            self.cookie = headers["Set-Cookie"].partition(";")[0]
            challenge = json.loads(data)
            extra = challenge["extra-params"]
            self.hash = extra["selected-hash-algorithm"] if extra else "sha384"
            self.nonce = challenge["nonce"]
        return status, headers, data

    def digest(self, extra=""):
        text = json.dumps({"additional-evidence": extra, "nonce": self.nonce,
                           "tee-pubkey": self.public}, sort_keys=True, separators=(",", ":"))
        return hashlib.new(self.hash, text.encode()).digest()

    def attest(self, evidence=None, extra="", init=None, public=None, nonce=None):
        if evidence is None:
            evidence = {"svn": "1", "report_data": b64(self.digest(extra))}
        body = {"init-data": init and {"format": "toml", "body": init},
                "runtime-data": {"nonce": nonce or self.nonce, "tee-pubkey": public or self.public},
                "tee-evidence": {"primary_evidence": evidence, "additional_evidence": extra}}
        status, headers, data = self.ask("POST", "/kbs/v0/attest", body, Cookie=self.cookie)
        if status == 200:
            self.token = json.loads(data)["token"]
        return status, headers, data

    def handshake(self, tpm=None, **changes):
        """Whole handshake; the status of /attest."""
        self.auth("tpm" if tpm else "sample")
        return self.attest(tpm and tpm.evidence(self.digest()), **changes)[0]

    def get(self, path=PATH, **headers):
        return self.ask("GET", "/kbs/v0/resource/" + path,
                        **(headers or {"Authorization": "Bearer " + (self.token or "none")}))

    def decrypt(self, data):
        box = jwe.JWE(algs=ALGS)
        box.deserialize(data.decode(), self.key)
        return box.payload


class ServerCase(unittest.TestCase):
    """A server of its own for each test, in this process, with one resource in it."""
    settings = {"allow_sample": True}

    def setUp(self):
        self.serve(**self.settings)

    def serve(self, **settings):
        self.kbs = Kbs(Settings(**settings))
        self.kbs.resources.put(PATH, SECRET)
        server = self.server = Server("127.0.0.1", 0, self.kbs)
        self.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()

        def stop():
            server.stop.set()
            server.shutdown()
            server.server_close()
        self.addCleanup(stop)

    def client(self, kind="P-256", **options):
        client = Client(self.port, kind, **options)
        self.addCleanup(client.conn.close)
        return client

    def attested(self, kind="P-256"):
        client = self.client(kind)
        self.assertEqual(client.handshake(), 200)
        return client

    def misbehave(self, kind, **rule):
        status, _, body = self.client().ask("POST", "/test/misbehave", {"kind": kind} | rule)
        self.assertEqual(status, 200, body)

    def refusal(self, answer, variant, status=401):
        """Holds @answer to be the error @variant, without content type."""
        self.assertEqual(answer[0], status, answer[2])
        self.assertNotIn("Content-Type", answer[1])
        error = json.loads(answer[2])
        self.assertEqual(set(error), {"type", "detail"})
        prefix = "https://github.com/confidential-containers/kbs/errors/"
        self.assertEqual(error["type"], prefix + variant)
        return error["detail"]

    def why(self):
        """The reason of the last refusal, from the journal."""
        return self.server.journal.list()[-1]["why"]

    def raw(self, request=None, wait=20):
        """Every byte the server answers on a connection of its own, and the error that ended it."""
        request = request or (b"POST /kbs/v0/auth HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n"
                              b'{"version":"0.4.0","tee":"tpm","extra-params": ""}')
        got = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait) as s:
            try:
                s.sendall(request)
                while part := s.recv(65536):
                    got += part
            except ConnectionError as e:
                return got, e
        return got, None
