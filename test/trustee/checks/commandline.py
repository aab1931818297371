# SPDX-License-Identifier: Apache-2.0
"""trustee.py as a process: its options, its files, its certificates, and its end."""

import http.client
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import unittest

import pki
from checks.client import Client, PATH, SECRET, SoftTpm

PROGRAM = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "trustee.py")


class ProcessCase(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="trustee-test-")
        self.addCleanup(shutil.rmtree, self.folder)

    def file(self, name, data=None):
        path = os.path.join(self.folder, name)
        if data is not None:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as f:
                f.write(data)
        return path

    def start(self, *options):
        """The process, and what its ready file says."""
        ready = self.file("ready.json")
        process = subprocess.Popen([sys.executable, PROGRAM, "--ready-file", ready, "--max-life",
                                    "120", *options], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE)

        def stop():
            process.terminate()
            process.communicate()
        self.addCleanup(stop)
        for _ in range(600):
            if os.path.exists(ready) or process.poll() is not None:
                break
            time.sleep(0.02)
        with open(ready, encoding="utf-8") as f:
            return process, json.load(f)

    def run_it(self, *options):
        return subprocess.run([sys.executable, PROGRAM, *options], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=60, check=False)


class CommandLine(ProcessCase):
    def test_ready_file_and_sigterm(self):
        process, ready = self.start()
        self.assertEqual(ready["pid"], process.pid)
        self.assertEqual(ready["url"], f"http://127.0.0.1:{ready['port']}")
        client = Client(ready["port"])
        self.assertEqual(client.ask("GET", "/healthz")[0], 200)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(20), 0)
        client.conn.close()
        self.assertEqual(os.listdir(self.folder), [])

    def test_sigterm_ends_a_stall(self):
        process, ready = self.start("--misbehave", '{"kind":"stall","seconds":600}')
        client = Client(ready["port"])
        client.conn.request("POST", "/kbs/v0/auth", b"{}")
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(20), 0)
        client.conn.close()

    def test_life_is_limited(self):
        done = self.run_it("--max-life", "0.2")
        self.assertEqual(done.returncode, 0)
        self.assertIn(b"--max-life", done.stderr)

    def test_options_of_attestation_and_resources(self):
        tpm = SoftTpm()
        self.file("store/" + PATH, SECRET)
        self.file("store/default/key/secret", b"kept")
        options = ["--resources", self.file("store"), "--deny", "*/secret", "--hash", "sha256",
                   "--trusted-ak", self.file("ak", f"# ours\n{tpm.ak}\n".encode()),
                   "--expect-pcr8", "00" * 32, "--token-life", "7",
                   "--policy", self.file("policy", b'{"rules": []}')]
        _, ready = self.start(*options)
        client = Client(ready["port"])
        self.assertEqual(client.handshake(tpm), 200)
        self.assertEqual(client.hash, "sha256")
        self.assertEqual(client.decrypt(client.get()[2]), SECRET)
        self.assertEqual(client.get("default/key/secret")[0], 401)
        client.conn.close()

    def test_bad_options_say_so(self):
        for options in (["--policy", self.file("p", b"{")], ["--trusted-ak", self.file("a", b"x")],
                        ["--resources", "/nonexistent"], ["--misbehave", "{}"],
                        ["--misbehave", "{"], ["--listen", "192.0.2.1"]):
            with self.subTest(options):
                done = self.run_it(*options)
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertRegex(done.stderr, rb"\Atrustee: .+\n\Z")
        self.assertEqual(self.run_it("--expect-pcr8", "00").returncode, 2)

    def test_help_teaches(self):
        text = self.run_it("--help").stdout
        for word in (b"examples:", b"--ready-file", b"/test/misbehave", b"not-yet"):
            self.assertIn(word, text)
        text = self.run_it("--list-misbehaviours").stdout
        for word in (b"wrong-nonce", b"PolicyDeny", b"interval = 0.2"):
            self.assertIn(word, text)


class Tls(ProcessCase):
    def connect(self, ready, host="localhost"):
        context = ssl.create_default_context(cafile=ready["ca"])
        client = Client(ready["port"], host=host, tls=context)
        self.addCleanup(client.conn.close)
        return client

    def test_handshake_over_tls(self):
        _, ready = self.start("--tls", "--allow-sample")
        self.assertTrue(ready["url"].startswith("https://"))
        for host in ("localhost", "127.0.0.1"):
            client = self.connect(ready, host)
            self.assertEqual(client.handshake(), 200)
            self.assertEqual(client.get()[0], 401)  # nothing there, but all the way

    def test_ipv6(self):
        try:
            _, ready = self.start("--tls", "--listen", "::1")
        except FileNotFoundError:
            self.skipTest("no IPv6 here")
        self.assertEqual(ready["url"], f"https://[::1]:{ready['port']}")
        self.assertEqual(self.connect(ready, "::1").auth()[0], 200)

    def test_bad_certificates(self):
        for kind, reason in (("expired", "expired"), ("not-yet", "not yet valid"),
                             ("wrong-name", "mismatch|match"), ("wrong-ca", "verify failed")):
            with self.subTest(kind):
                process, ready = self.start("--tls", "--cert", kind)
                with self.assertRaisesRegex(ssl.SSLCertVerificationError, reason):
                    self.connect(ready).auth()
                process.terminate()
                process.wait(20)
        self.assertLessEqual({"expired", "not-yet", "wrong-name", "wrong-ca"}, set(pki.KINDS))

    def test_failed_handshakes_are_counted(self):
        _, ready = self.start("--tls", "--cert", "expired")
        with self.assertRaises(ssl.SSLCertVerificationError):
            self.connect(ready).auth()
        trusting = Client(ready["port"], tls=ssl._create_unverified_context())
        self.addCleanup(trusting.conn.close)
        for _ in range(50):
            state = json.loads(trusting.ask("GET", "/test/state")[2])
            if state["tls_failures"]:
                break
            time.sleep(0.05)
        self.assertEqual(state["tls_failures"], 1)
        self.assertEqual(trusting.ask("GET", "/test/log")[2], b"[]")

    def test_wire_misbehaviours_over_tls(self):
        _, ready = self.start("--tls")
        rules = [{"kind": "http10", "count": 1}, {"kind": "reset", "count": 1},
                 {"kind": "empty", "count": 1}]
        client = self.connect(ready)
        client.ask("POST", "/test/misbehave", rules)
        self.assertEqual(client.auth()[0], 200)
        for _ in range(2):
            with self.assertRaises((OSError, http.client.HTTPException)):
                client.auth()
            client.conn.close()
        self.assertEqual(client.auth()[0], 200)
