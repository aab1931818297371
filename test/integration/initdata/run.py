# SPDX-License-Identifier: Apache-2.0
"""vouchsafe initdata: the owner's commands, and provisioning over a software TPM."""

import base64
import contextlib
import gzip
import hashlib
import json
import os
import pathlib
import signal
import stat
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from world import Cases, Skip, TOP, World  # noqa: E402

BUILD = pathlib.Path(sys.argv[1]).resolve()
SHARED = pathlib.Path(os.environ.get("TEST_SHARED", TOP / "../shared")) / "vectors/local"
POLICY = "package agent_policy\n"
OWNER = 'version = "0.1.0"\nalgorithm = "sha256"\n\n[data]\n"policy.rego" = \'\'\'\npackage owner\n\'\'\'\n'


def pcr_of(text, algorithm="sha256"):
    return hashlib.sha256(bytes(32) + hashlib.new(algorithm, text).digest()[:32]).hexdigest()


@contextlib.contextmanager
def guest():
    """A TPM, and the allow-all policy that images ship."""
    with World(BUILD) as w:
        w.start_tpm()
        (w.root / "run/peerpod").mkdir(parents=True)
        (w.root / "run/peerpod/policy.rego").write_text("package allow_all\n")
        yield w


def pcr8(w):
    # It exits 1 here, because there is no AK.
    return json.loads(w.vouchsafe("tpm", "show", "--json").stdout)["pcrs"][8]


def write(w, text, encode=True):
    f = w.tmp / "delivered"
    data = text.encode() if isinstance(text, str) else text
    f.write_bytes(base64.b64encode(gzip.compress(data)) + b"\n" if encode else data)
    return f


def files(w):
    run = w.root / "run"
    return sorted(str(p.relative_to(run)) for p in run.rglob("*") if p.is_file())


def refused(w, r, code, exit_code):
    """Outcome (c), whatever came before."""
    assert r.returncode == exit_code and r.stdout == "", r
    assert r.stderr == f"vouchsafe: {code}\n", r.stderr
    assert files(w) == ["vouchsafe/provision-error", "vouchsafe/provision.json"], files(w)
    f = w.root / "run/vouchsafe/provision-error"
    assert stat.S_IMODE(f.stat().st_mode) == 0o600
    why = json.loads(f.read_text())
    assert why["code"] == code and why["message"] and why["time"].endswith("Z"), why
    return why["message"]


DELIVERED = [
    "confidential-containers/initdata/aa.toml", "confidential-containers/initdata/initdata.toml",
    "peerpod/aa.toml", "peerpod/initdata.digest", "peerpod/policy.rego", "vouchsafe/provision.json",
]


# --- the owner's side ------------------------------------------------------------------------
def build__files_of_all_kinds__read_back_byte_for_byte():
    with World(BUILD) as w:
        odd = "quotes ''' and \"\"\"\r\nback\\slash \x01\x7f é\n'"
        (w.tmp / "odd").write_text(odd, newline="")
        (w.tmp / "aa.toml").write_text('[token_configs.kbs]\nurl = "https://kbs.example"\n')
        (w.tmp / "policy").write_text(POLICY)
        for encode in ([], ["--encode"]):
            r = w.vouchsafe("initdata", "build", "--data", f"a key={w.tmp}/odd", "--aa", w.tmp / "aa.toml",
                            f"--policy={w.tmp}/policy", f"--data=other={w.tmp}/odd", "--algorithm", "sha512",
                            *encode, check=True)
            text = r.stdout
            if encode:
                text = gzip.decompress(base64.b64decode(r.stdout, validate=False)).decode()
                assert r.stdout.count("\n") == 1
            import tomllib
            d = tomllib.loads(text)
            assert d["version"] == "0.1.0" and d["algorithm"] == "sha512"
            assert d["data"] == {"aa.toml": (w.tmp / "aa.toml").read_text(), "policy.rego": POLICY,
                                 "a key": odd, "other": odd}, d["data"]


def build__wrong_inputs__say_which():
    with World(BUILD) as w:
        f = {}
        for name, text in {"bad": b"[nope", "latin1": b"caf\xe9", "good": b"", "unknown": b"[net]\nproxi = 'x'\n",
                           "value": b"[peers]\nuids = 'x'\n", "big": b"#" * (5 << 20)}.items():
            f[name] = w.tmp / name
            f[name].write_bytes(text)
        for argv, code, words in (
            (["--aa", f["bad"]], 78, "config.syntax: aa.toml in the initdata: line 1, column 6"),
            (["--cdh", f["bad"]], 78, "config.syntax"),
            (["--vouchsafe", f["unknown"]], 78, "config.unknown-key"),
            (["--vouchsafe", f["value"]], 78, "config.value"),
            (["--policy", f["latin1"]], 65, "latin1 is not UTF-8"),
            (["--policy", w.tmp / "none"], 66, "not there"),
            (["--policy", f["big"]], 65, "initdata.too-large"),
            (["--algorithm", "sha-256"], 64, "want sha256, sha384, sha512 or sm3"),
            (["--data", "x"], 64, "want KEY=FILE"),
            (["--data", f"={f['good']}"], 64, "want KEY=FILE"),
            (["--data", f"aa.toml={f['good']}", "--aa", f["good"]], 64, "the key aa.toml is given twice"),
            (["--data"], 64, "--data needs a value"),
        ):
            r = w.vouchsafe("initdata", "build", *argv)
            assert r.returncode == code and words in r.stderr and r.stdout == "", (argv, r)


def digest__shared_vectors__agree():
    if not SHARED.is_dir():
        raise Skip("the shared vectors are not on this machine")
    with World(BUILD) as w:
        for row in json.loads((SHARED / "initdata/digests.json").read_text()):
            file = SHARED / "initdata" / row["file"]
            d = json.loads(w.vouchsafe("initdata", "digest", "--json", file, check=True).stdout)
            assert d["algorithm"] == row["algorithm"] and d["digest"] == row["digest_hex"], (d, row)
            assert d["pcr8"] == row["pcr8_sha256_after_extend"], (d, row)
            assert d["host_data"] == row.get("snp_hostdata_32", d["host_data"]), (d, row)
            assert d["mrconfigid"] == row.get("tdx_mrconfigid_48", d["mrconfigid"]), (d, row)
            r = w.vouchsafe("initdata", "digest", file, check=True)
            assert row["digest_hex"] in r.stdout and d["pcr8"] in r.stdout, r.stdout


def verify__each_value__matches_or_exits_76():
    with World(BUILD) as w:
        f = write(w, OWNER)
        d = json.loads(w.vouchsafe("initdata", "digest", "--json", f, check=True).stdout)
        assert d["digest"] == hashlib.sha256(OWNER.encode()).hexdigest() and d["pcr8"] == pcr_of(OWNER.encode())
        for option, key in (("--digest", "digest"), ("--pcr8", "pcr8"), ("--host-data", "host_data"),
                            ("--mrconfigid", "mrconfigid")):
            good, bad = d[key], ("0" if d[key][0] != "0" else "1") + d[key][1:]
            assert w.vouchsafe("initdata", "verify", f, option, good.upper()).returncode == 0
            r = w.vouchsafe("initdata", "verify", f, option, bad)
            assert r.returncode == 76 and good in r.stdout, r
            r = w.vouchsafe("initdata", "verify", f, option, bad, "--json")
            assert r.returncode == 76 and json.loads(r.stdout) == {key: False, "verified": False}, r
            assert w.vouchsafe("initdata", "verify", f, option, good[2:]).returncode == 64
            assert w.vouchsafe("initdata", "verify", f, option, bad, "--digest", d["digest"]).returncode in (
                (0,) if option == "--digest" else (76,))
        assert w.vouchsafe("initdata", "verify", f).returncode == 64


def inspect__good_and_bad_configuration__is_told():
    with World(BUILD) as w:
        aa = "[token_configs.kbs]\nurl = 'https://kbs.example'\n"
        text = OWNER + f'"aa.toml" = """\n{aa}"""\n"x\\u001b" = ""\n'
        f = write(w, text)
        r = w.vouchsafe("initdata", "inspect", "--json", f, check=True)
        d = json.loads(r.stdout)
        assert d["data"] == {"policy.rego": 14, "aa.toml": len(aa), "x\x1b": 0} and d["problem"] is None, d
        assert d["trustee"] == "https://kbs.example" and d["text_bytes"] == len(text), d
        r = w.vouchsafe("initdata", "inspect", f, check=True)
        assert "https://kbs.example" in r.stdout and "\x1b" not in r.stdout, r.stdout
        f = write(w, OWNER + '"vouchsafe.toml" = "[net]\\nnope = 1"\n')
        r = w.vouchsafe("initdata", "inspect", f)
        assert r.returncode == 1 and "config.unknown-key" in r.stdout, r
        r = w.vouchsafe("initdata", "inspect", "--json", f)
        assert r.returncode == 1 and json.loads(r.stdout)["problem"]["code"] == "config.unknown-key", r
        r = w.vouchsafe("initdata", "inspect", write(w, "x = \n", encode=False))
        assert r.returncode == 65 and "line 1, column 5" in r.stderr, r


# --- provisioning: the three outcomes -----------------------------------------------------------
def provision__valid__is_bound_once_and_delivered():
    for algorithm in ("sha256", "sha384", "sha512", "sm3"):
        for encode in (True, False):
            with guest() as w:
                text = OWNER.replace("sha256", algorithm) + '"aa.toml" = ""\n'
                f = write(w, text, encode)
                r = w.provision(f)
                assert r.stdout.startswith(f"initdata bound, platform tpm: {algorithm} "), r
                want = pcr_of(text.encode(), algorithm)
                assert pcr8(w) == want
                assert files(w) == DELIVERED, files(w)
                run = w.root / "run"
                assert (run / "confidential-containers/initdata/initdata.toml").read_text() == text
                assert (run / "peerpod/policy.rego").read_text() == "package owner\n"
                assert (run / "peerpod/initdata.digest").read_text() == hashlib.new(algorithm, text.encode()).hexdigest()
                for p in files(w):
                    assert stat.S_IMODE((run / p).stat().st_mode) == 0o644, p
                r = w.provision(f)
                assert r.stdout.startswith("initdata already bound, platform tpm"), r
                assert pcr8(w) == want


def bound__each_algorithm__trustee_gets_the_text_only_with_32_bytes():
    for algorithm in ("sha256", "sha384", "sha512"):
        with World(BUILD) as w:
            w.start_tpm()
            w.provision_ak()
            w.start_trustee()
            w.resource("default/key/one", b"first")
            f = w.initdata(algorithm=algorithm, encode=False)
            text = f.read_bytes()
            w.provision(f)
            w.start_daemon()
            r = w.vouchsafe("get-resource", "kbs:///default/key/one", check=True)
            assert r.stdout == "first", r
            body = w.vouchsafe("token", check=True).stdout.split(".")[1]
            claims = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode()
            assert ("init_data_claims" in claims) == (algorithm == "sha256"), (algorithm, claims)
            assert pcr_of(text, algorithm) in claims, algorithm


def provision__absent__binds_the_dummy():
    with guest() as w:
        for how in ("bound", "already bound"):
            r = w.provision(w.tmp / "none")
            assert r.stdout.startswith(f"initdata (none: the dummy) {how}, platform tpm: sha256 adb48cc1"), r
        assert pcr8(w) == "4b58b30becd30d16f7f60d56b32661d921ae0d3310c6a89f5d552f9bfee921a9"
        assert (w.root / "run/peerpod/policy.rego").read_text() == "package allow_all\n"
        assert files(w) == DELIVERED, files(w)


def provision__malformed__is_refused_before_the_tpm_is_touched():
    for text, encode, code, exit_code, words in (
        ("x = \n", True, "initdata.syntax", 65, "line 1, column 5"),
        ("x = \n", False, "initdata.syntax", 65, "line 1, column 5"),
        (OWNER.replace("0.1.0", "0.2.0"), True, "initdata.version", 69, "0.2.0"),
        (OWNER.replace("sha256", "sm4"), True, "initdata.algorithm", 69, "sm4"),
        (OWNER + "x = 1\n", True, "initdata.schema", 65, "line 8"),
        ("AAAA", False, "initdata.encoding", 65, "gzip"),
        ("", False, "initdata.encoding", 65, "empty"),
        (OWNER + "#" * (5 << 20), True, "initdata.too-large", 65, "4194304"),
        (OWNER + "#" * (1 << 20), False, "initdata.too-large", 65, "1048576"),
    ):
        with guest() as w:
            message = refused(w, w.provision(write(w, text, encode), check=False), code, exit_code)
            assert words in message, message
            assert pcr8(w) == "0" * 64


def provision__source_is_not_a_file__is_refused():
    with guest() as w:
        os.mkfifo(w.tmp / "fifo")
        for f in (w.tmp / "fifo", w.tmp, "/dev/zero"):
            refused(w, w.provision(f, check=False), "initdata.source", 71)
        assert pcr8(w) == "0" * 64


def provision__pcr_holds_something_else__is_refused_and_earlier_files_go():
    with guest() as w:
        first = write(w, OWNER)
        w.provision(first)
        other = write(w, OWNER + "# other\n")
        refused(w, w.provision(other, check=False), "initdata.pcr8-in-use", 76)
        refused(w, w.provision(w.tmp / "none", check=False), "initdata.missing", 76)
        assert pcr8(w) == pcr_of(OWNER.encode())
        # The right one is taken again, and the reason of the failure is forgotten.
        w.provision(write(w, OWNER))
        assert "vouchsafe/provision-error" not in files(w)


def provision__no_tpm__is_refused():
    with guest() as w:
        w.stop("swtpm")
        message = refused(w, w.provision(write(w, OWNER), check=False), "platform.none", 69)
        assert f"{w.tpm_port}" in message, message


def provision__sample__is_not_bound_and_says_so():
    with World(BUILD) as w:
        w.image_settings('[platform]\nname = "sample"\n')
        r = w.provision(write(w, OWNER))
        assert "NOT BOUND" in r.stdout and "platform sample" in r.stdout, r


def provision__usage__is_refused_without_touching_anything():
    with guest() as w:
        for argv in (["--from"], ["--nope"], ["file"], ["--from", "x", "--timeout", "1"], ["--source", "x"]):
            assert w.vouchsafe("initdata", "provision", *argv).returncode == 64, argv
        assert files(w) == ["peerpod/policy.rego"]


def provision__killed_at_each_moment__the_next_run_ends_bound_once():
    killed = 0
    for i in range(40):
        with guest() as w:
            f = write(w, OWNER + '"aa.toml" = ""\n')
            p = subprocess.Popen([w.dev / "vouchsafe", "--root", w.root, "initdata", "provision", "--from", f],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(i * 0.0007)
            p.send_signal(signal.SIGKILL)
            killed += p.wait() == -signal.SIGKILL
            if "confidential-containers/initdata/initdata.toml" in files(w):
                assert set(DELIVERED) - {"vouchsafe/provision.json"} <= set(files(w)), files(w)
            w.provision(f)
            assert set(DELIVERED) <= set(files(w)), files(w)
            assert pcr8(w) == pcr_of((OWNER + '"aa.toml" = ""\n').encode())
    assert killed >= 5, killed


def main():
    c = Cases()
    for fn in (
        build__files_of_all_kinds__read_back_byte_for_byte,
        build__wrong_inputs__say_which,
        digest__shared_vectors__agree,
        verify__each_value__matches_or_exits_76,
        inspect__good_and_bad_configuration__is_told,
        provision__valid__is_bound_once_and_delivered,
        bound__each_algorithm__trustee_gets_the_text_only_with_32_bytes,
        provision__absent__binds_the_dummy,
        provision__malformed__is_refused_before_the_tpm_is_touched,
        provision__source_is_not_a_file__is_refused,
        provision__pcr_holds_something_else__is_refused_and_earlier_files_go,
        provision__no_tpm__is_refused,
        provision__sample__is_not_bound_and_says_so,
        provision__usage__is_refused_without_touching_anything,
        provision__killed_at_each_moment__the_next_run_ends_bound_once,
    ):
        c.run(fn)
    return c.finish()


sys.exit(main())
