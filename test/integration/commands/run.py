# SPDX-License-Identifier: Apache-2.0
"""The commands that are clients of vouchsafed: what they print, their JSON, their exit codes."""

import base64
import contextlib
import hashlib
import json
import os
import pathlib
import pty
import re
import socket
import stat
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import manuals  # noqa: E402
from world import Cases, Skip, World, can_mount  # noqa: E402

BUILD = sys.argv[1]
PLAIN = bytes(range(256)) * 5 + b"not text \xff\x00 to the last byte"


def cli(w, *argv, want=0, **kw):
    r = w.vouchsafe(*argv, text=False, **kw)
    assert r.returncode == want, (argv, r.returncode, r.stdout[-400:], r.stderr[-400:])
    return r


def failing(w, code, exit_code, *argv, **kw):
    """The error for a person and as JSON: same code, same exit code, nothing on stdout but that."""
    r = cli(w, *argv, want=exit_code, **kw)
    assert code.encode() in r.stderr and r.stdout == b"", r
    r = cli(w, argv[0], "--json", *argv[1:], want=exit_code, **kw)
    error = json.loads(r.stdout)["error"]
    assert error["code"] == code and error["remedy"] and error["side"], error
    return error


def loads(r):
    return json.loads(r.stdout)


def samples(text):
    """Prometheus text by a grammar of its own: {name: {labels as text: value}}; every line must fit."""
    out, typed, helped = {}, {}, set()
    for line in text.splitlines():
        m = re.fullmatch(r"# (HELP|TYPE) ([a-z_]+) (.+)", line)
        if m and m[1] == "HELP":
            assert m[2] not in helped, f"twice: {line}"
            helped.add(m[2])
        elif m:
            assert m[2] in helped and m[2] not in typed and m[3] in ("counter", "gauge", "histogram"), line
            typed[m[2]] = m[3]
        else:
            m = re.fullmatch(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? ([0-9]+(?:\.[0-9]+)?)', line)
            assert m, f"no sample: {line}"
            base = re.sub("_(bucket|sum|count)$", "", m[1])
            kind = typed.get(m[1]) or typed.get(base)
            assert kind, f"no TYPE before {line}"
            assert kind != "counter" or m[1].endswith("_total"), line
            assert m[2] not in out.setdefault(m[1], {}), f"twice: {line}"
            out[m[1]][m[2]] = float(m[3])
    return out


def total(m, name):
    return sum(m.get(name, {}).values())


# --- one world with all well -----------------------------------------------------------------

def unseal__text_file_and_stdin__print_exactly_the_bytes(w):
    sealed = w.seal("kbs:///default/test/binary")
    file = w.tmp / "secret.sealed"
    file.write_text(sealed + "\n")
    assert cli(w, "unseal", sealed).stdout == PLAIN
    assert cli(w, "unseal", f"@{file}").stdout == PLAIN
    assert cli(w, "unseal", "-", input=(sealed + "\r\n").encode()).stdout == PLAIN
    r = loads(cli(w, "unseal", "--json", sealed, "--name", "PASSWORD"))
    assert base64.b64decode(r["base64"], validate=True) == PLAIN and set(r) == {"base64"}


def unseal__bad_ones__have_their_exit_codes(w):
    sealed = w.seal("kbs:///default/test/binary")
    failing(w, "sealed.format", 65, "unseal", "sealed.nonsense")
    failing(w, "general.limit", 65, "unseal", "-", input=b"sealed." + b"x" * (4 << 20))
    head, body, signature = sealed.removeprefix("sealed.").split(".")
    wrong = ("A" if signature[0] != "A" else "B") + signature[1:]
    failing(w, "sealed.signature", 76, "unseal", f"sealed.{head}.{body}.{wrong}")
    failing(w, "kbs.resource-missing", 66, "unseal", w.seal("kbs:///default/test/absent"))
    failing(w, "general.notfound", 66, "unseal", "@/no/such/file")
    cli(w, "unseal", want=64)
    failing(w, "general.usage", 64, "unseal", "x", "--timeout", "0")
    cli(w, "unseal", "x", "--name", "n" * 256, want=64)


def get_resource__of_the_daemon__prints_exactly_the_bytes(w):
    uri = "kbs:///default/test/binary"
    assert cli(w, "get-resource", uri).stdout == PLAIN
    r = loads(cli(w, "get-resource", uri, "--json"))
    assert r["uri"] == uri and base64.b64decode(r["base64"], validate=True) == PLAIN
    for n in (1, 2, 3, 3071, 3072, 3073, 1 << 20):
        data = hashlib.shake_128(b"%d" % n).digest(n)
        w.resource(f"default/size/{n}", data)
        r = loads(cli(w, "get-resource", f"kbs:///default/size/{n}", "--json"))
        assert base64.b64decode(r["base64"], validate=True) == data, n


def get_resource__bad_ones__have_their_exit_codes(w):
    failing(w, "kbs.bad-uri", 64, "get-resource", "http://elsewhere/x")
    failing(w, "kbs.resource-missing", 66, "get-resource", "kbs:///default/test/absent")
    cli(w, "get-resource", want=64)
    cli(w, "get-resource", "--path", "a/b/c", want=64)
    cli(w, "get-resource", "--url", "https://x", want=64)
    cli(w, "get-resource", "--url", "https://x", "--path", "a/b/c", "kbs:///a/b/c", want=64)


def get_resource__arguments_of_trustee_attester__attests_by_itself(w):
    quotes = total(metrics(w), "vouchsafe_quotes_total")
    want = base64.b64encode(PLAIN) + b"\n"
    argv = ("--url", w.url, "--cert-file", w.tmp / "ca.pem")
    for path in ("default/test/binary", "/default/test/binary", "kbs:///default/test/binary"):
        assert cli(w, "get-resource", *argv, "get-resource", "--path", path).stdout == want
    r = loads(cli(w, "get-resource", *argv, "--path", "default/test/binary", "--json"))
    assert base64.b64decode(r["base64"]) == PLAIN
    assert total(metrics(w), "vouchsafe_quotes_total") == quotes, "vouchsafed attested"


def get_resource__called_trustee_attester__works_as_that(w):
    link = w.tmp / "trustee-attester"
    link.symlink_to(w.dev / "vouchsafe")
    r = w.run([link, "--url", w.url, "get-resource", "--path", "a/b/c"])
    assert r.returncode != 0, "without --root there is no TPM here, or an untrusted certificate"
    r = w.run([link, "--help"])
    assert r.returncode == 0 and "get-resource" in r.stdout


def get_resource__another_trustee__does_not_reach_the_daemon(w):
    failing(w, "tls.untrusted", 76, "get-resource", "--url", w.url, "--path", "default/test/binary")
    failing(w, "general.notfound", 66, "get-resource", "--url", w.url, "--cert-file", "/no/such", "--path", "a/b/c")
    failing(w, "net.refused", 75, "get-resource", "--url", "https://127.0.0.1:9", "--path", "a/b/c", "--timeout", "1")
    assert cli(w, "get-resource", "kbs:///default/test/binary").stdout == PLAIN


def evidence__with_runtime_data__binds_it(w):
    def quoted(evidence):
        return base64.b64decode(evidence["tpm_quote"]["message"], validate=True)

    assert b"\0" * 32 in quoted(loads(cli(w, "evidence")))
    r = loads(cli(w, "evidence", "--json", "--runtime-data", "hello"))
    assert r["tee"] == "tpm" and b"hello" + b"\0" * 27 in quoted(r["evidence"])
    r = loads(cli(w, "evidence", "--runtime-data-base64", base64.b64encode(b"\xff\x00h").decode()))
    assert b"\xff\0h" + b"\0" * 29 in quoted(r)
    assert cli(w, "evidence", "--additional").stdout in (b"", b"{}\n")


def evidence__bad_ones__have_their_exit_codes(w):
    failing(w, "general.limit", 65, "evidence", "--runtime-data", "x" * 65)
    failing(w, "general.format", 65, "evidence", "--runtime-data-base64", "a_b-")
    cli(w, "evidence", "--runtime-data", "a", "--runtime-data-base64", "YQ==", want=64)
    cli(w, "evidence", "operand", want=64)


def token__kbs__has_the_key_only_when_asked(w):
    r = cli(w, "token")
    assert re.fullmatch(rb"[\w-]+\.[\w-]+\.[\w-]+\n", r.stdout), r.stdout[:80]
    r = loads(cli(w, "token", "--json", "--type", "kbs"))
    assert set(r) == {"token"} and r["token"].count(".") == 2
    r = loads(cli(w, "token", "--with-key"))
    assert set(r) == {"token", "tee_keypair"} and "PRIVATE KEY" in r["tee_keypair"]


def token__with_key_to_a_terminal__is_refused(w):
    master, slave = pty.openpty()
    with os.fdopen(master, "rb", 0) as m:
        r = subprocess.run([w.dev / "vouchsafe", "--root", w.root, "token", "--with-key"], stdout=slave,
                           stderr=subprocess.PIPE, timeout=60)
        os.close(slave)
        with contextlib.suppress(OSError):
            assert m.read(10) == b""
    assert r.returncode == 64 and b"terminal" in r.stderr, r


def token__bad_ones__have_their_exit_codes(w):
    cli(w, "token", "--type", "jwt", want=64)
    cli(w, "token", "--type", "coco_as", "--with-key", want=64)
    failing(w, "config.no-trustee", 78, "token", "--type", "coco_as")


def metrics(w):
    return samples(cli(w, "metrics").stdout.decode())


def scrape(w, request, read=True):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        path = str(w.root / "run/vouchsafe/metrics/metrics.sock")
        # A full backlog answers "again" at once, also to who would wait.
        for _ in range(200):
            try:
                s.connect(path)
                break
            except BlockingIOError:
                time.sleep(0.01)
        s.sendall(request)
        out = b""
        while read and (piece := s.recv(65536)):
            out += piece
        return out


def metrics__counts__follow_what_happens(w):
    before = metrics(w)
    sealed = w.seal("kbs:///default/test/counted")
    for _ in range(3):
        cli(w, "unseal", sealed)
    cli(w, "get-resource", "kbs:///default/test/counted")
    cli(w, "evidence")
    cli(w, "token")
    failing(w, "kbs.resource-missing", 66, "get-resource", "kbs:///default/test/absent")
    after = metrics(w)

    def grew(name, labels=None):
        return after.get(name, {}).get(labels, 0) - before.get(name, {}).get(labels, 0)

    assert grew("vouchsafe_unseals_total", 'from="trustee"') == 1
    assert grew("vouchsafe_unseals_total", 'from="cache"') == 2
    assert grew("vouchsafe_cache_hits_total") >= 2 and after["vouchsafe_cache_bytes"][None] > 0
    assert grew("vouchsafe_resources_total") == 1 and grew("vouchsafe_evidence_total") == 1
    assert grew("vouchsafe_tokens_total", 'type="kbs"') == 1
    failed = [k for k in after["vouchsafe_failures_total"] if 'code="kbs.resource-missing"' in k]
    assert len(failed) == 1 and 'kind="notfound",side="trustee"' in failed[0], failed
    assert grew("vouchsafe_failures_total", failed[0]) == 2
    assert total(after, "vouchsafe_attestations_total") >= 1
    assert total(after, "vouchsafe_attestations_failed_total") == 0
    assert grew("vouchsafe_quote_seconds_count") >= 1
    assert grew("vouchsafe_trustee_seconds_count") >= 3
    buckets = list(after["vouchsafe_trustee_seconds_bucket"].values())
    assert buckets == sorted(buckets) and buckets[-1] == after["vouchsafe_trustee_seconds_count"][None]
    left, age = (total(after, f"vouchsafe_token_{x}_seconds") for x in ("left", "age"))
    assert left > 0 and 0 < age < 600, (left, age)
    assert after["vouchsafe_development_build"][None] == 1 and after["vouchsafe_bound"][None] == 1
    assert after["vouchsafe_plain_http"][None] == after["vouchsafe_skip_sealed_verification"][None] == 0
    info = next(iter(after["vouchsafe_info"]))
    assert 'platform="tpm"' in info and "DEVELOPMENT" in info, info
    text = cli(w, "metrics").stdout
    assert b"default/test" not in text, "metrics name a resource"
    rows = loads(cli(w, "metrics", "--json"))
    assert {r["name"] for r in rows} == set(metrics(w))
    assert next(r for r in rows if r["name"] == "vouchsafe_info")["labels"]["platform"] == "tpm"


def metrics__every_name__is_described(w):
    doc = (pathlib.Path(__file__).resolve().parents[3] / "doc/metrics.md").read_text()
    names = set(re.findall(r"^# TYPE (\S+)", cli(w, "metrics").stdout.decode(), re.M))
    described = set(re.findall(r"`(vouchsafe_[a-z_]+)`", doc))
    assert names == described, names ^ described


def metrics__socket__is_not_for_everybody(w):
    path = w.root / "run/vouchsafe/metrics"
    assert stat.S_IMODE((path / "metrics.sock").stat().st_mode) == 0o660
    if os.geteuid() == 0:
        assert stat.S_IMODE(path.stat().st_mode) == 0o750 and path.stat().st_uid == 64733
        assert path.parent.stat().st_uid == 0


def metrics__requests__get_their_answers(w):
    ok = scrape(w, b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n")
    head, _, body = ok.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200 ") and b"version=0.0.4" in head
    assert int(re.search(rb"Content-Length: (\d+)", head)[1]) == len(body)
    samples(body.decode())
    for request, status in (
        (b"GET / HTTP/1.0\n\n", b"200"),
        (b"GET /other HTTP/1.0\r\n\r\n", b"404"),
        (b"GET /metricsx HTTP/1.0\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.0\r\nContent-Length: 0\r\n\r\n", b"405"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 5000, b"431"),
    ):
        got = scrape(w, request)
        assert got.split(b" ")[1] == status, (request[:40], got[:60])


def metrics__slow_peers__stop_nobody(w):
    path = str(w.root / "run/vouchsafe/metrics/metrics.sock")
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            s = stack.enter_context(socket.socket(socket.AF_UNIX))
            s.settimeout(2)
            with contextlib.suppress(OSError):
                s.connect(path)
                s.sendall(b"GET ")
        start = time.monotonic()
        assert scrape(w, b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 200")
        assert time.monotonic() - start < 2
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        s.sendall(b"GET")
        s.settimeout(10)
        assert s.recv(1) == b"", "who never asks is sent home"


def status__of_a_daemon_that_serves__says_what_it_did(w):
    r = loads(cli(w, "status", "--json"))
    assert r["serving"] and r["platform"] == "tpm" and r["bound"] and r["development_build"]
    assert r["trustee"] == w.url and r["attestations"] >= 1 and r["token_left_seconds"] > 0, r
    assert not r["plain_http"] and not r["skip_sealed_verification"] and r["trustee_pinned"]
    assert r["failures"] == sum(r["failures_by_code"].values()) > 0, r
    text = cli(w, "status").stdout.decode()
    assert re.search(r"^DEVELOPMENT build +yes$", text, re.M) and w.url in text, text


def help__of_each__has_an_example(w):
    for name in ("status", "unseal", "get-resource", "evidence", "evidence verify", "evidence show",
                 "reference-values", "token", "metrics"):
        r = cli(w, *name.split(), "--help")
        assert f"  vouchsafe {name}".encode() in r.stdout and b"--json" in r.stdout, r.stdout
        assert name.split()[0] in cli(w, "--help").stdout.decode()


# --- worlds where something is wrong ---------------------------------------------------------

def denied__policy_of_trustee__is_77_and_counted():
    with World(BUILD) as w:
        w.up()
        w.resource("default/test/a", "x")
        w.trustee("/kbs/v0/resource-policy", {"policy": "ZGVueV9hbGw"})  # deny_all
        failing(w, "kbs.policy-denied", 77, "get-resource", "kbs:///default/test/a")
        assert total(metrics(w), "vouchsafe_denials_total") >= 1
        assert loads(cli(w, "status", "--json"))["failures_by_code"]["kbs.policy-denied"] == 2


def away__daemon__is_75_for_every_command():
    with World(BUILD) as w:
        (w.root / "run/confidential-containers").mkdir(parents=True)
        for argv in (("status",), ("metrics",), ("evidence",), ("reference-values",), ("token",), ("unseal", "sealed.a.b.c"),
                     ("get-resource", "kbs:///a/b/c")):
            failing(w, "api.unreachable", 75, *argv)


def unconfigured__no_trustee__is_78():
    with World(BUILD) as w:
        w.start_tpm()
        w.provision_ak()
        w.provision(w.initdata(url=""))
        w.start_daemon()
        failing(w, "config.no-trustee", 78, "token")
        failing(w, "config.no-trustee", 78, "get-resource", "kbs:///a/b/c")
        r = loads(cli(w, "status", "--json"))
        assert r["serving"] and r["trustee"] == "" and r["attestations"] == 0, r
        cli(w, "evidence")


def journal__where_stderr_is_its_stream__gets_fields_and_ids():
    if not can_mount():
        raise Skip("needs a mount namespace")
    with World(BUILD) as w:
        w.start_tpm()
        w.provision_ak()
        w.start_trustee()
        w.keygen()
        w.provision(w.initdata(cdh="soket = 1\n"))
        daemon = (w.dev / "vouchsafed", "--root", w.root)
        argv = ("unshare", "--mount", "--propagation", "private", sys.executable,
                pathlib.Path(__file__).with_name("journal.py"), "20", *daemon)
        got = json.loads(w.run(argv, check=True).stdout)
        assert got["stderr"] == "", "all went to the socket: " + got["stderr"]
        by_event = {e["VOUCHSAFE_EVENT"]: e for e in got["events"]}
        ready = by_event["guest is ready"]
        assert ready["PRIORITY"] == "6" and ready["SYSLOG_IDENTIFIER"] == "vouchsafed", ready
        assert ready["VOUCHSAFE_PLATFORM"] == "tpm" and ready["VOUCHSAFE_TRUSTEE"] == w.url, ready
        assert "soket" in by_event["unknown key, not used"]["VOUCHSAFE_WHERE"]
        assert "stopping" in by_event, "the sandbox lets it through"
        assert len({e["MESSAGE_ID"] for e in by_event.values()}) == len(by_event)
        (w.root / "run/confidential-containers/initdata/initdata.toml").unlink()
        got = json.loads(w.run(argv, check=True).stdout)
        (failed,) = [e for e in got["events"] if e["PRIORITY"] == "3"]
        explained = loads(cli(w, "explain", "--json", "initdata.not-provisioned"))
        assert failed["VOUCHSAFE_CODE"] == "initdata.not-provisioned"
        assert failed["MESSAGE_ID"] == explained["message_id"]


def unsafe__http_and_skip__are_in_the_metrics():
    with World(BUILD, tls=False) as w:
        w.up(cdh="skip_sealed_secret_verification = true\n")
        m = metrics(w)
        assert m["vouchsafe_plain_http"][None] == m["vouchsafe_skip_sealed_verification"][None] == 1
        assert m["vouchsafe_trustee_pinned"][None] == 0
        r = loads(cli(w, "status", "--json"))
        assert r["plain_http"] and r["skip_sealed_verification"]


def main():
    c = Cases()
    for fn in manuals.ALL:
        c.run(fn, pathlib.Path(BUILD).resolve())
    with World(BUILD) as w:
        w.up()
        w.resource("default/test/binary", PLAIN)
        w.resource("default/test/counted", "counted")
        for fn in (
            unseal__text_file_and_stdin__print_exactly_the_bytes,
            unseal__bad_ones__have_their_exit_codes,
            get_resource__of_the_daemon__prints_exactly_the_bytes,
            get_resource__bad_ones__have_their_exit_codes,
            get_resource__arguments_of_trustee_attester__attests_by_itself,
            get_resource__called_trustee_attester__works_as_that,
            get_resource__another_trustee__does_not_reach_the_daemon,
            evidence__with_runtime_data__binds_it,
            evidence__bad_ones__have_their_exit_codes,
            token__kbs__has_the_key_only_when_asked,
            token__with_key_to_a_terminal__is_refused,
            token__bad_ones__have_their_exit_codes,
            metrics__counts__follow_what_happens,
            metrics__every_name__is_described,
            metrics__socket__is_not_for_everybody,
            metrics__requests__get_their_answers,
            metrics__slow_peers__stop_nobody,
            status__of_a_daemon_that_serves__says_what_it_did,
            help__of_each__has_an_example,
        ):
            c.run(fn, w)
    for fn in (
        denied__policy_of_trustee__is_77_and_counted,
        away__daemon__is_75_for_every_command,
        unconfigured__no_trustee__is_78,
        unsafe__http_and_skip__are_in_the_metrics,
        journal__where_stderr_is_its_stream__gets_fields_and_ids,
    ):
        c.run(fn)
    return c.finish()


sys.exit(main())
