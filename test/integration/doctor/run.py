# SPDX-License-Identifier: Apache-2.0
"""doctor names what is wrong, on which side, and what to do; explain knows every code it names."""

import json
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from world import Cases, World  # noqa: E402

BUILD = sys.argv[1]


def doctor(w, *argv):
    r = w.vouchsafe("doctor", "--json", *argv)
    d = json.loads(r.stdout)
    assert r.returncode == (0 if d["healthy"] else 1), r
    return d, {f["check"]: f for f in d["findings"]}


def failing(w, check, code):
    d, f = doctor(w)
    assert not d["healthy"] and f[check]["verdict"] == "fail" and f[check]["code"] == code, f
    assert f[check]["remedy"] and f[check]["side"], f[check]
    text = w.vouchsafe("doctor")
    assert text.returncode == 1 and code in text.stdout, text.stdout
    r = w.vouchsafe("explain", code)
    assert r.returncode == 0 and f[check]["remedy"] in r.stdout, r
    return f


def guest(w, **initdata):
    w.start_tpm()
    w.provision_ak()
    w.start_trustee()
    w.keygen()
    w.provision(w.initdata(**initdata))


def doctor__all_well__is_healthy_and_walks_every_step():
    with World(BUILD) as w:
        guest(w)
        d, f = doctor(w)
        assert d["healthy"], d
        for check in ("platform", "tpm", "ak", "initdata", "config", "dns", "tls", "clock", "trustee"):
            assert f[check]["verdict"] == "ok", f[check]
        assert f["build"]["verdict"] == "bad", "a development build is not all well"


def doctor__offline__sends_nothing():
    with World(BUILD) as w:
        guest(w)
        doctor(w, "--offline")
        assert w.metric("kbs_http_requests_total") <= 1


def doctor__no_tpm__says_so():
    with World(BUILD) as w:
        w.image_settings('[tpm]\ndevice = "/dev/no-such-tpm"\n')
        f = failing(w, "platform", "platform.none")
        assert f["initdata"]["verdict"] == "skip"


def doctor__no_ak__names_the_command_that_makes_one():
    with World(BUILD) as w:
        w.start_tpm()
        f = failing(w, "ak", "tpm.no-ak")
        assert "provision-ak" in f["ak"]["remedy"]


def doctor__not_provisioned__says_so():
    with World(BUILD) as w:
        w.start_tpm()
        w.provision_ak()
        failing(w, "initdata", "initdata.not-provisioned")


def doctor__initdata_changed__is_a_digest_mismatch():
    with World(BUILD) as w:
        guest(w)
        text = w.root / "run/confidential-containers/initdata/initdata.toml"
        text.write_text(text.read_text() + "\n")
        failing(w, "initdata", "initdata.digest-mismatch")


def doctor__no_trustee_configured__says_so():
    with World(BUILD) as w:
        guest(w, url="")
        failing(w, "config", "config.no-trustee")


def doctor__trustee_away__is_refused_connection():
    with World(BUILD) as w:
        guest(w)
        w.stop("trustee")
        failing(w, "tls", "net.refused")


def doctor__name_that_does_not_resolve__is_dns():
    with World(BUILD) as w:
        guest(w, url="https://trustee.invalid:8080")
        failing(w, "dns", "net.dns")


def doctor__certificate__by_kind():
    for kind, code in (("expired", "tls.expired"), ("not-yet", "clock.skew"), ("wrong-name", "tls.name"),
                       ("wrong-ca", "tls.untrusted")):
        with World(BUILD) as w:
            w.start_tpm()
            w.provision_ak()
            w.start_trustee("--cert", kind)
            w.provision(w.initdata())
            failing(w, "tls", code)


def doctor__clock_differs__names_both_times():
    with World(BUILD) as w:
        guest(w)
        w.trustee("/test/clock", {"offset": 86400})
        f = failing(w, "clock", "clock.skew")
        assert f["clock"]["text"].count("Z") == 2, f["clock"]


def doctor__unknown_ak__is_attestation_failed():
    with World(BUILD) as w:
        guest(w)
        w.trustee("/test/trusted-ak", method="DELETE")
        f = failing(w, "trustee", "kbs.attestation-failed")
        assert "trusted_aks" in f["trustee"]["remedy"]


def doctor__plain_http__is_bad():
    with World(BUILD, tls=False) as w:
        guest(w)
        d, f = doctor(w)
        assert d["healthy"] and f["config"]["verdict"] == "bad" and f["connection"]["verdict"] == "bad", f


def doctor__failed_provisioning__shows_its_reason():
    with World(BUILD) as w:
        w.start_tpm()
        w.provision_ak()
        bad = w.tmp / "bad"
        bad.write_text("version = \n")
        r = w.provision(bad, check=False)
        assert r.returncode != 0 and "initdata.syntax" in r.stderr, r
        _, f = doctor(w)
        assert "initdata.syntax" in f["provisioning"]["text"], f


def explain__unknown_code__is_not_found_and_list_is_complete():
    with World(BUILD) as w:
        assert w.vouchsafe("explain", "no.such-code").returncode == 66
        codes = json.loads(w.vouchsafe("explain", "--json").stdout)
        assert len(codes) > 60 and all(c["remedy"] and c["cause"] for c in codes)


def main():
    c = Cases()
    for fn in (
        doctor__all_well__is_healthy_and_walks_every_step,
        doctor__offline__sends_nothing,
        doctor__no_tpm__says_so,
        doctor__no_ak__names_the_command_that_makes_one,
        doctor__not_provisioned__says_so,
        doctor__initdata_changed__is_a_digest_mismatch,
        doctor__no_trustee_configured__says_so,
        doctor__trustee_away__is_refused_connection,
        doctor__name_that_does_not_resolve__is_dns,
        doctor__certificate__by_kind,
        doctor__clock_differs__names_both_times,
        doctor__unknown_ak__is_attestation_failed,
        doctor__plain_http__is_bad,
        doctor__failed_provisioning__shows_its_reason,
        explain__unknown_code__is_not_found_and_list_is_complete,
    ):
        c.run(fn)
    return c.finish()


sys.exit(main())
