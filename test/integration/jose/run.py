# SPDX-License-Identifier: Apache-2.0
"""Called by run.sh: run.py VOUCHSAFE JWE_OPEN FOLDER."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import traceback

vouchsafe, jwe_open, work = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
KID = "kbs:///default/signing-key/mine"
URI = "kbs:///default/db/password"


os.umask(0o022)


class Skip(Exception):
    pass


def run(*argv, stdin=None):
    return subprocess.run([str(a) for a in argv], input=stdin, capture_output=True, timeout=60)


def ok(*argv, stdin=None):
    r = run(*argv, stdin=stdin)
    assert r.returncode == 0, (r.returncode, r.stderr)
    return r.stdout


def jose():
    if not shutil.which("jose"):
        raise Skip("jose(1) is not installed")


def jwcrypto():
    try:
        from jwcrypto import jwe, jwk, jws
    except ImportError:
        raise Skip("python3-jwcrypto is not installed") from None
    return jwe, jwk, jws


def folder(name):
    d = work / name
    d.mkdir()
    return d


def keys(d):
    ok(vouchsafe, "seal", "keygen", "--kid", "mine", "--output-dir", d)
    return d / "mine-private.json", d / "mine-public.json"


def seal(private, *more):
    return ok(vouchsafe, "seal", "vault", "--signing-kid", KID, "--signing-jwk-path", private,
              "--resource-uri", URI, *more).decode()


def check_payload(payload):
    assert json.loads(payload) == {
        "version": "0.1.0", "type": "vault", "name": URI, "provider": "kbs",
        "provider_settings": {}, "annotations": {}}, payload


def keygen__files__have_their_modes_and_are_never_overwritten():
    d = folder("keygen")
    private, public = keys(d)
    assert private.stat().st_mode & 0o777 == 0o600
    assert public.stat().st_mode & 0o077 == 0o044
    a, b = json.loads(private.read_text()), json.loads(public.read_text())
    assert list(a) == ["kty", "crv", "alg", "use", "kid", "d", "x", "y"], a
    assert list(b) == ["kty", "crv", "alg", "use", "kid", "x", "y"], b
    assert b["kid"] == "mine" and a["x"] == b["x"] and private.read_text().endswith("}\n")
    before = private.read_bytes(), public.read_bytes()
    r = run(vouchsafe, "seal", "keygen", "--kid", "mine", "--output-dir", d)
    assert r.returncode == 64 and b"exists" in r.stderr, r
    private.unlink()
    r = run(vouchsafe, "seal", "keygen", "--kid", "mine", "--output-dir", d, "--json")
    assert r.returncode == 64 and json.loads(r.stdout)["error"]["code"] == "general.usage", r
    assert not private.exists() and public.read_bytes() == before[1]
    for bad in ("a/b", "", ".x", "kbs:///a/b/c"):
        assert run(vouchsafe, "seal", "keygen", "--kid", bad, "--output-dir", d).returncode == 64
    assert run(vouchsafe, "seal", "keygen", "--output-dir", d / "none").returncode == 66


def seal__one_line__is_verified_by_jose():
    jose()
    d = folder("jose-ver")
    private, public = keys(d)
    text = seal(private)
    assert text.startswith("sealed.") and text.endswith("\n") and text.count("\n") == 1
    (d / "jws").write_text(text.removeprefix("sealed.").strip())
    check_payload(ok("jose", "jws", "ver", "-i", d / "jws", "-k", public, "-O", "-"))
    # jose takes our private half as well, and what it signs we verify.
    (d / "payload").write_text('{"a":1}')
    signed = ok("jose", "jws", "sig", "-I", d / "payload", "-k", private, "-c", "-s",
                '{"protected":{"alg":"ES256","kid":"x"}}').decode()
    (d / "theirs").write_text("sealed." + signed)
    r = run(vouchsafe, "seal", "inspect", d / "theirs", "--public-jwk", public, "--json")
    assert json.loads(r.stdout)["signature"] == "valid", r
    assert r.returncode == 65, r  # verified, and no sealed secret that vouchsafe would unseal


def seal__one_line__is_verified_by_jwcrypto():
    _, jwk, jws = jwcrypto()
    private, public = keys(folder("jwcrypto-ver"))
    out = json.loads(seal(private, "--json"))
    assert out["kid"] == KID and out["resource"] == URI
    t = jws.JWS()
    t.deserialize(out["sealed"].removeprefix("sealed."))
    t.verify(jwk.JWK.from_json(public.read_text()))
    check_payload(t.payload)
    assert t.jose_header == {"alg": "ES256", "kid": KID}, t.jose_header


def seal__key_of_jwcrypto__is_taken():
    _, jwk, _ = jwcrypto()
    d = folder("their-key")
    key = jwk.JWK.generate(kty="EC", crv="P-256")
    (d / "key").write_text(key.export_private())
    (d / "public").write_text(key.export_public())
    (d / "secret").write_text(seal(d / "key"))
    out = json.loads(ok(vouchsafe, "seal", "inspect", d / "secret", "--public-jwk", d / "public",
                        "--json"))
    assert out["signature"] == "valid" and out["resource"] == URI, out
    assert out["header"]["kid"] == KID
    check_payload(json.dumps(out["payload"]))


def seal__bad_keys_and_arguments__are_refused():
    _, jwk, _ = jwcrypto()
    d = folder("bad-keys")
    private, public = keys(d)
    (d / "p384").write_text(jwk.JWK.generate(kty="EC", crv="P-384").export_private())
    (d / "rsa").write_text(jwk.JWK.generate(kty="RSA", size=2048).export_private())
    (d / "pem").write_bytes(jwk.JWK.generate(kty="EC", crv="P-256").export_to_pem(True, None))
    for f in (public, d / "p384", d / "rsa", d / "pem", os.devnull):
        r = run(vouchsafe, "seal", "vault", "--signing-kid", KID, "--signing-jwk-path", f,
                "--resource-uri", URI)
        assert r.returncode == 65 and b"sealed.key" in r.stderr and not r.stdout, r
    key = json.loads(private.read_text())["d"]
    for argv, code in [((KID, private, "default/a/b"), 64), ((KID, d / "none", URI), 66),
                       (("", private, URI), 64)]:
        r = run(vouchsafe, "seal", "vault", "--signing-kid", argv[0], "--signing-jwk-path", argv[1],
                "--resource-uri", argv[2])
        assert r.returncode == code and not r.stdout and key.encode() not in r.stderr, r
    assert run(vouchsafe, "seal", "vault", "--signing-kid", KID).returncode == 64
    r = run(vouchsafe, "seal", "vault", "--signing-kid", KID, "--signing-jwk-path", private,
            "--resource-uri", URI, "--provider", "aws")
    assert r.returncode == 69 and b"sealed.provider-unsupported" in r.stderr, r
    # From standard input, as from a password manager.
    assert ok(vouchsafe, "seal", "vault", "--signing-kid", KID, "--signing-jwk-path", "-",
              "--resource-uri", URI, stdin=private.read_bytes()).startswith(b"sealed.")


def inspect__wrong_key_or_altered__says_so():
    d = folder("inspect")
    private, public = keys(d)
    text = seal(private)
    ok(vouchsafe, "seal", "keygen", "--kid", "other", "--output-dir", d)
    r = run(vouchsafe, "seal", "inspect", "-", "--public-jwk", d / "other-public.json",
            stdin=text.encode())
    assert r.returncode == 76 and b"sealed.signature" in r.stderr and URI.encode() in r.stdout, r
    r = run(vouchsafe, "seal", "inspect", "-", stdin=text.encode())
    assert r.returncode == 0 and b"not checked" in r.stdout and not r.stderr, r
    r = run(vouchsafe, "seal", "inspect", "-", stdin=b"sealed.nonsense")
    assert r.returncode == 65 and b"sealed.format" in r.stderr and not r.stdout, r
    assert run(vouchsafe, "seal", "inspect").returncode == 64
    assert run(vouchsafe, "seal", "--help").returncode == 0
    assert run(vouchsafe, "seal", "nonsense").returncode == 64


def guest(alg, encrypt):
    """Start a guest, encrypt to the key it names, return what it makes of the reply."""
    p = subprocess.Popen([jwe_open, alg], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)
    try:
        out, err = p.communicate(encrypt(p.stdout.readline()), timeout=60)
    finally:
        p.kill()
    return p.returncode, out, err


def members(compact):
    names = ["protected", "encrypted_key", "iv", "ciphertext", "tag"]
    return json.dumps(dict(zip(names, compact.strip().split(".")))).encode()


def jwe__of_jwcrypto__is_decrypted():
    jwe, jwk, _ = jwcrypto()
    for alg in ("ECDH-ES+A256KW-P256", "ECDH-ES+A256KW-P521", "RSA-OAEP-256"):
        for size in (0, 1, 31, 4096, 100000):
            plain = os.urandom(size)

            def encrypt(line, plain=plain):
                key = json.loads(line)
                t = jwe.JWE(plain, json.dumps({"alg": key.pop("alg"), "enc": "A256GCM"}))
                t.add_recipient(jwk.JWK(**key))
                return members(t.serialize(compact=True))

            rc, out, err = guest(alg, encrypt)
            assert rc == 0 and out == plain, (alg, size, rc, err)


def jwe__of_jose__is_decrypted():
    jose()
    d = folder("jose-enc")
    (d / "plain").write_bytes(b"vouched for")
    for alg in ("ECDH-ES+A256KW-P256", "ECDH-ES+A256KW-P521"):

        def encrypt(line):
            key = json.loads(line)
            (d / "key").write_text(json.dumps(key))
            return members(ok("jose", "jwe", "enc", "-I", d / "plain", "-k", d / "key", "-c", "-i", json.dumps(
                {"protected": {"alg": key["alg"], "enc": "A256GCM"}})).decode())

        rc, out, err = guest(alg, encrypt)
        assert rc == 0 and out == b"vouched for", (alg, rc, err)


def jwe__what_trustee_never_sends__is_refused():
    jwe, jwk, _ = jwcrypto()
    rows = [
        ("RSA-OAEP-256", {"alg": "RSA1_5", "enc": "A256GCM"}, "kbs.jwe-algorithm: the reply is encrypted with RSA1_5"),
        ("RSA-OAEP-256", {"alg": "RSA-OAEP", "enc": "A256GCM"}, "kbs.jwe-algorithm"),
        ("ECDH-ES+A256KW-P256", {"alg": "ECDH-ES+A128KW", "enc": "A256GCM"}, "kbs.jwe-algorithm"),
        ("ECDH-ES+A256KW-P256", {"alg": "ECDH-ES", "enc": "A256GCM"}, "kbs.jwe-algorithm"),
        ("ECDH-ES+A256KW-P256", {"alg": "ECDH-ES+A256KW", "enc": "A128GCM"}, "kbs.jwe-algorithm"),
        ("ECDH-ES+A256KW-P256", {"alg": "ECDH-ES+A256KW", "enc": "A256CBC-HS512"}, "kbs.jwe-algorithm"),
        ("ECDH-ES+A256KW-P256", {"alg": "ECDH-ES+A256KW", "enc": "A256GCM", "zip": "DEF"}, "kbs.bad-reply"),
        ("ECDH-ES+A256KW-P256", {"alg": "ECDH-ES+A256KW", "enc": "A256GCM", "apu": "AA"}, "kbs.bad-reply"),
    ]
    for alg, header, words in rows:

        def encrypt(line, header=header):
            key = json.loads(line)
            key.pop("alg")
            algs = ["RSA1_5", "RSA-OAEP", "ECDH-ES+A128KW", "ECDH-ES+A256KW", "ECDH-ES", "A256GCM",
                    "A128GCM", "A256CBC-HS512"]
            t = jwe.JWE(b"x", json.dumps(header), algs=algs)
            t.add_recipient(jwk.JWK(**key))
            return members(t.serialize(compact=True))

        rc, out, err = guest(alg, encrypt)
        assert rc == 1 and out == b"" and words in err.decode(), (header, rc, out, err)


passed = failed = skipped = 0
for name, case in list(globals().items()):
    if "__" not in name or name.startswith("__") or not callable(case):
        continue
    try:
        case()
        print("ok", name, flush=True)
        passed += 1
    except Skip as e:
        print("skip", name + ":", e, flush=True)
        skipped += 1
    except Exception:  # noqa: BLE001: one line a case, then its trace
        print("FAIL", name, flush=True)
        traceback.print_exc(file=sys.stdout)
        failed += 1
print(f"{passed} passed, {failed} failed, {skipped} skipped")
sys.exit(1 if failed or not passed else 0)
