# SPDX-License-Identifier: Apache-2.0
"""doctor names what is wrong, on which side, and what to do; explain knows every code it names."""

import json
import pathlib
import signal
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from world import Cases, World  # noqa: E402
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import posture  # noqa: E402

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
        assert f["provisioning"]["code"] == "initdata.syntax" and f["provisioning"]["remedy"], f
        # Whatever a host or a peer gets into a message, it reaches no terminal as a command.
        said = w.root / "run/vouchsafe/provision-error"
        said.write_text(json.dumps({"code": "initdata.syntax", "message": "red \033[31m\nx\u009b1m", "time": "now"}))
        _, f = doctor(w, "--offline")
        assert "red ?[31m?x?1m" in f["provisioning"]["text"], f
        said.write_text("no json")
        _, f = doctor(w, "--offline")
        assert f["provisioning"]["verdict"] == "fail" and "not readable" in f["provisioning"]["text"], f


def all_of(d, check):
    return [(f["verdict"], f["text"]) for f in d["findings"] if f["check"] == check]


def doctor__delivery__names_source_files_and_what_is_gone():
    with World(BUILD) as w:
        guest(w)
        d, _ = doctor(w, "--offline")
        found = all_of(d, "delivery")
        assert found[0][0] == "ok" and "source file, bound at 2" in found[0][1], found
        assert found[1][0] == "ok" and "files are where they were put" in found[1][1], found
        (w.root / "run/peerpod/aa.toml").unlink()
        found = all_of(doctor(w, "--offline")[0], "delivery")
        assert any(v == "bad" and "run/peerpod/aa.toml was delivered" in t for v, t in found), found
        report = w.root / "run/vouchsafe/provision.json"
        r = json.loads(report.read_text())
        r["skipped"] = ["/run/peerpod/cdh.toml"] + [f"/etc/{i}" for i in range(20)]
        r["outcome"] = "unbound"
        report.write_text(json.dumps(r))
        found = all_of(doctor(w, "--offline")[0], "delivery")
        assert found[0][0] == "bad" and "unbound" in found[0][1], found
        assert any("wanted to write /run/peerpod/cdh.toml" in t for _, t in found), found
        assert any("and 13 paths more" in t for _, t in found), found
        report.write_text('{"source":')
        d, _ = doctor(w, "--offline")
        assert all_of(d, "delivery")[0][0] == "note", all_of(d, "delivery")
        report.unlink()
        assert all_of(doctor(w, "--offline")[0], "delivery")[0][0] == "skip"


def doctor__sockets__say_who_answers_and_who_may_call():
    with World(BUILD) as w:
        guest(w)
        assert all_of(doctor(w, "--offline")[0], "sockets") == [("skip", "none: vouchsafed does not run")]
        w.start_daemon()
        assert [v for v, _ in all_of(doctor(w, "--offline")[0], "sockets")] == ["ok"]
        w.cdh_socket.chmod(0o666)
        found = all_of(doctor(w, "--offline")[0], "sockets")
        assert [v for v, _ in found] == ["bad"] and "mode 666" in found[0][1], found
        w.cdh_socket.chmod(0o660)
        w.stop("vouchsafed", sig=signal.SIGKILL)
        found = all_of(doctor(w, "--offline")[0], "sockets")
        assert [v for v, _ in found] == ["note"] * 3 and "nobody answers" in found[0][1], found
        (w.root / "run/vouchsafe/metrics/metrics.sock").unlink()
        found = all_of(doctor(w, "--offline")[0], "sockets")
        assert found[-1] == ("note", "2 of 3 are there: see vouchsafed's log"), found


def doctor__units__are_asked_of_systemctl_where_systemd_runs():
    with World(BUILD) as w:
        guest(w)
        (skip,) = all_of(doctor(w, "--offline")[0], "units")
        assert skip[0] == "skip", skip
        (w.root / "run/systemd/system").mkdir(parents=True)
        (skip,) = all_of(doctor(w, "--offline")[0], "units")
        assert skip == ("skip", "systemctl does not answer (ENOENT)"), skip
        systemctl = w.root / "usr/bin/systemctl"
        systemctl.parent.mkdir(parents=True)
        systemctl.write_text("#!/bin/sh\necho $* >" + str(w.tmp / "asked") + "\nprintf 'active\\nfailed\\n'\nexit 3\n")
        systemctl.chmod(0o755)
        d, _ = doctor(w, "--offline")
        found = all_of(d, "units")
        assert [v for v, _ in found] == ["ok", "fail", "note", "note", "note"] and not d["healthy"], found
        assert "vouchsafed.service failed" in found[1][1] and "not known" in found[2][1], found
        assert (w.tmp / "asked").read_text().split() == ["is-active", "vouchsafe-initdata.service",
                                                         "vouchsafed.service", "vouchsafe-rest.socket",
                                                         "vouchsafe-mountd.socket", "vouchsafe-volumes.service"]
        systemctl.write_text("#!/bin/sh\nprintf 'active\\nactive\\nactive\\nactive\\nactive\\n'\n")
        override = w.root / "etc/systemd/system/process-user-data.service.d/10-override.conf"
        override.parent.mkdir(parents=True)
        override.write_text("[Service]\nExecStartPost=tpm2_pcrextend\n")
        d, _ = doctor(w, "--offline")
        assert [v for v, _ in all_of(d, "units")] == ["ok"] * 5 + ["bad"] and d["healthy"], d
        override.write_text("# what make install-caa\n\n# leaves there\n")
        assert [v for v, _ in all_of(doctor(w, "--offline")[0], "units")] == ["ok"] * 6
        override.unlink()
        override.symlink_to("/dev/null")
        assert [v for v, _ in all_of(doctor(w, "--offline")[0], "units")] == ["ok"] * 6
        systemctl.write_text("#!/bin/sh\nexec sleep 60\n")
        start = time.monotonic()
        found = all_of(doctor(w, "--offline")[0], "units")
        assert "ETIMEDOUT" in found[0][1] and 4 < time.monotonic() - start < 20, found


def doctor__pod_s_network_namespace__is_looked_at():
    with World(BUILD) as w:
        guest(w)
        assert all_of(doctor(w, "--offline")[0], "podns")[0][0] == "skip"
        podns = w.root / "run/netns/podns"
        podns.parent.mkdir(parents=True)
        podns.touch()
        (found,) = all_of(doctor(w, "--offline")[0], "podns")
        assert found[0] == "note" and "is no namespace" in found[1], found
        podns.unlink()
        podns.symlink_to("/proc/self/ns/net")
        assert all_of(doctor(w, "--offline")[0], "podns")[0][0] == "ok"


def doctor__keys_that_nobody_reads__are_named():
    with World(BUILD) as w:
        guest(w, cdh="soket = \"unix:///x\"\n" + "".join(f"unknown_{i} = 1\n" for i in range(20)))
        found = all_of(doctor(w, "--offline")[0], "keys")
        assert {v for v, _ in found} == {"note"} and len(found) == 9, found
        assert any("cdh.toml" in t and "unknown_0" in t for _, t in found), found
        assert "and 13 more" in found[-1][1], found
    with World(BUILD) as w:
        guest(w)
        assert all_of(doctor(w, "--offline")[0], "keys")[0][0] == "ok"


def doctor__event_log__is_compared_with_its_register():
    with World(BUILD) as w:
        guest(w)
        assert all_of(doctor(w, "--offline")[0], "eventlog")[0][0] == "skip"
    with World(BUILD) as w:
        w.start_tpm()
        w.provision_ak()
        w.start_trustee()
        w.keygen()
        file = w.initdata(encode=False)
        asked = "[eventlog_config]\nenable_eventlog = true\n[token_configs.kbs]"
        text = file.read_text().replace("[token_configs.kbs]", asked)
        assert asked in text, text
        file.write_text(text)
        w.provision(file)
        (found,) = all_of(doctor(w, "--offline")[0], "eventlog")
        assert found[0] == "note" and "is not there" in found[1], found
        w.start_daemon()
        (found,) = all_of(doctor(w, "--offline")[0], "eventlog")
        assert found == ("ok", "0 entries, and the registers say the same"), found
        log = w.root / "run/attestation-agent/eventlog"
        log.write_bytes(b"nonsense")
        d, f = doctor(w, "--offline")
        assert f["eventlog"]["code"] == "eventlog.malformed", f["eventlog"]
        (log.parent / ".wal_event_entry").touch()
        assert "on its way" in all_of(doctor(w, "--offline")[0], "eventlog")[-1][1]


def explain__unknown_code__is_not_found_and_list_is_complete():
    with World(BUILD) as w:
        assert w.vouchsafe("explain", "no.such-code").returncode == 66
        codes = json.loads(w.vouchsafe("explain", "--json").stdout)
        assert len(codes) > 60 and all(c["remedy"] and c["cause"] for c in codes)
        assert len({c["message_id"] for c in codes}) == len(codes)


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
        doctor__delivery__names_source_files_and_what_is_gone,
        doctor__sockets__say_who_answers_and_who_may_call,
        doctor__units__are_asked_of_systemctl_where_systemd_runs,
        doctor__pod_s_network_namespace__is_looked_at,
        doctor__keys_that_nobody_reads__are_named,
        doctor__event_log__is_compared_with_its_register,
        explain__unknown_code__is_not_found_and_list_is_complete,
    ):
        c.run(fn)
    for fn in posture.CASES:
        c.run(fn, lambda: World(BUILD))
    return c.finish()


sys.exit(main())
