# SPDX-License-Identifier: Apache-2.0
"""A normal build refuses every permit; only measured input configures trust."""

import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from world import Cases, World  # noqa: E402

BUILD = pathlib.Path(sys.argv[1]).resolve()


def normal_build__root_option__is_unknown():
    with World(BUILD) as w:
        for argv in ([BUILD / "vouchsafe", "--root", w.root, "doctor"], [BUILD / "vouchsafed", "--root", w.root]):
            r = w.run(argv)
            assert r.returncode == 64 and "unknown option" in r.stderr, (argv, r)


def normal_build__version__does_not_say_development_and_the_other_does():
    with World(BUILD) as w:
        for program in ("vouchsafe", "vouchsafed"):
            assert "DEVELOPMENT" not in w.run([BUILD / program, "--version"]).stdout
            assert "DEVELOPMENT" in w.run([w.dev / program, "--version"]).stdout


def normal_build__swtpm_address__is_refused():
    with World(BUILD) as w:
        w.start_tpm()
        r = w.run([BUILD / "vouchsafe", "tpm", "show", "--device", f"swtpm:127.0.0.1:{w.tpm_port}"])
        assert r.returncode != 0 and "platform.not-permitted" in r.stderr, r


def normal_build__loader_string__is_refused():
    with World(BUILD) as w:
        for where in ("libtss2-tcti-cmd.so:/bin/true", "cmd:/bin/true", "device:/dev/null"):
            r = w.run([BUILD / "vouchsafe", "tpm", "show", "--device", where])
            assert r.returncode != 0, (where, r)


def install__development_build__is_refused():
    with World(BUILD) as w:
        top = pathlib.Path(__file__).resolve().parents[3]
        r = w.run(["make", "-s", "-C", top, "DEV=1", f"DESTDIR={w.tmp}/dest", "install"])
        assert r.returncode != 0 and "DEV" in r.stderr + r.stdout, r
        assert not (w.tmp / "dest").exists()


def development_build__sample__works_with_its_permit_and_says_so():
    with World(BUILD) as w:
        w.resource("default/a/b", "x")
        w.image_settings('[platform]\nname = "sample"\n')
        w.start_trustee("--allow-sample")
        w.keygen()
        w.provision(w.initdata())
        w.start_daemon()
        log = w.log("vouchsafed")
        assert "DEVELOPMENT" in log and "unbound" in log, log
        r = w.run(["/usr/bin/python3", pathlib.Path(__file__).resolve().parents[2] / "tools/ttrpc.py",
                   w.cdh_socket, "get-resource", "kbs:///default/a/b"])
        assert r.stdout == "x", r


def delivered_files__changed_after_provisioning__give_no_trust():
    with World(BUILD) as w:
        w.resource("default/a/b", "x")
        w.start_tpm()
        w.provision_ak()
        w.start_trustee()
        w.keygen()
        w.provision(w.initdata())
        for f in ("run/peerpod/aa.toml", "run/confidential-containers/initdata/aa.toml"):
            if (w.root / f).exists():
                (w.root / f).write_text('[token_configs.kbs]\nurl = "http://127.0.0.1:1"\n')
        doctor = w.vouchsafe("doctor")
        assert "differs from the measured initdata" in doctor.stdout, doctor.stdout
        w.start_daemon()
        r = w.run(["/usr/bin/python3", pathlib.Path(__file__).resolve().parents[2] / "tools/ttrpc.py",
                   w.cdh_socket, "get-resource", "kbs:///default/a/b"])
        assert r.stdout == "x", r


def environment__openssl_conf_and_keylog__are_not_read():
    import os
    with World(BUILD) as w:
        w.resource("default/a/b", "x")
        w.start_tpm()
        w.provision_ak()
        w.start_trustee()
        w.keygen()
        initdata = w.initdata()
        # Whoever opens it to read waits for a writer that never comes.
        conf = w.tmp / "openssl.cnf"
        os.mkfifo(conf)
        keys = w.tmp / "tls-keys"
        os.environ.update(OPENSSL_CONF=str(conf), SSLKEYLOGFILE=str(keys))
        try:
            w.provision(initdata)
            w.start_daemon()
        finally:
            os.environ.pop("OPENSSL_CONF")
            os.environ.pop("SSLKEYLOGFILE")
        r = w.run(["/usr/bin/python3", pathlib.Path(__file__).resolve().parents[2] / "tools/ttrpc.py",
                   w.cdh_socket, "get-resource", "kbs:///default/a/b"])
        assert r.stdout == "x", r
        assert not keys.exists()


def initdata_text__changed_after_provisioning__stops_the_daemon():
    with World(BUILD) as w:
        w.start_tpm()
        w.provision_ak()
        w.start_trustee()
        w.keygen()
        w.provision(w.initdata())
        text = w.root / "run/confidential-containers/initdata/initdata.toml"
        text.write_text(text.read_text().replace("0.1.0", "0.1.0 "))
        p = w.start_daemon(wait=False)
        assert p.wait(20) == 78, w.log("vouchsafed")
        assert not w.cdh_socket.exists()
        text.write_text(text.read_text().replace("0.1.0 ", "0.1.0") + "\n")
        w.processes.pop("vouchsafed")
        p = w.start_daemon(wait=False)
        assert p.wait(20) == 78 and "initdata.digest-mismatch" in w.log("vouchsafed"), w.log("vouchsafed")


def main():
    c = Cases()
    for fn in (
        normal_build__root_option__is_unknown,
        normal_build__version__does_not_say_development_and_the_other_does,
        normal_build__swtpm_address__is_refused,
        normal_build__loader_string__is_refused,
        install__development_build__is_refused,
        development_build__sample__works_with_its_permit_and_says_so,
        delivered_files__changed_after_provisioning__give_no_trust,
        environment__openssl_conf_and_keylog__are_not_read,
        initdata_text__changed_after_provisioning__stops_the_daemon,
    ):
        c.run(fn)
    return c.finish()


sys.exit(main())
