#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The main job, end to end, on real input: a software TPM, a Trustee, a pod's initdata, sealed
secrets, runc. `make demo` runs it; it leaves nothing behind. --keep keeps its folder."""

import argparse
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from world import World, can_mount  # noqa: E402

EXIT_UNAVAILABLE = 69


def step(text):
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def show(text):
    for line in text.rstrip().splitlines():
        print(f"    {line}", flush=True)


def swap_is_on():
    with open("/proc/swaps") as f:
        return len(f.readlines()) > 1


def writable_cgroups():
    return os.access("/sys/fs/cgroup", os.W_OK)


def fail(text):
    print(f"demo: {text}", file=sys.stderr)
    return 1


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("build", help="build folder that holds the development build (…/dev)")
    p.add_argument("--keep", action="store_true", help="keep the temporary folder and say where")
    a = p.parse_args()

    if not can_mount():
        print("demo: needs root with CAP_SYS_ADMIN, to mount memory for the containers: "
              "run it as root in a VM, or in a container started with --privileged.", file=sys.stderr)
        return EXIT_UNAVAILABLE
    if not writable_cgroups():
        print("demo: /sys/fs/cgroup is not writable, and runc needs it: "
              "start the container with --privileged.", file=sys.stderr)
        return EXIT_UNAVAILABLE

    with World(a.build, keep=a.keep) as w:
        step("1. A guest: a software TPM with an attestation key of its own")
        w.start_tpm()
        ak = w.provision_ak()
        show(f"vouchsafe tpm provision-ak\nAK {ak[:44]}…")

        step("2. A Trustee that knows this key, holds three secrets and denies one of them")
        w.resource("default/db/password", "correct horse battery staple")
        w.resource("default/tls/key", "0123456789abcdef\nnot for the host\n")
        w.resource("default/other/secret", "of another tenant")
        w.start_trustee("--deny", "default/other/secret")
        show(w.url)

        step("3. The owner: a signing key, sealed secrets that the control plane may carry, initdata")
        w.keygen()
        password = w.seal("kbs:///default/db/password")
        key = w.seal("kbs:///default/tls/key")
        other = w.seal("kbs:///default/other/secret")
        show(f"vouchsafe seal vault … kbs:///default/db/password\n{password[:60]}…")
        initdata = w.initdata()
        show(w.run([w.dev / "vouchsafe", "initdata", "digest", initdata], check=True).stdout)

        step("4. Boot: the initdata is bound to PCR 8; doctor walks the path; vouchsafed starts")
        show(w.provision(initdata).stdout)
        r = w.vouchsafe("doctor")
        show(r.stdout + r.stderr)
        if r.returncode != 0:
            return fail("doctor finds something that does not work")
        w.trustee("/test/sessions", method="DELETE")
        w.start_daemon()

        step("5. A container with a sealed environment variable and a sealed file")
        w.mount()
        if swap_is_on():
            print("    swap is on: this development build permits it (allow_swap); a normal build refuses")
        w.oci_config(timeout_s=10)
        before = w.metric("kbs_attestation_successes_total")
        sealed_file = w.tmp / "key.sealed"
        sealed_file.write_text(key)
        r = w.container("good", ["sh", "-c", 'echo "DB_PASSWORD is: $DB_PASSWORD"; echo "/run/secrets/key holds:"; cat /run/secrets/key'],
                        env=[f"DB_PASSWORD={password}"], mounts=[(sealed_file, "/run/secrets/key")])
        show(r.stdout + r.stderr)
        if "correct horse battery staple" not in r.stdout or "not for the host" not in r.stdout:
            return fail("the container did not see its secrets\n" + w.log("vouchsafed"))
        on_disk = (w.tmp / "bundles/good/config.json").read_text() + sealed_file.read_text()
        if "correct horse" in on_disk or "not for the host" in on_disk:
            return fail("plaintext on disk")
        count = w.metric("kbs_attestation_successes_total") - before
        show(f"Trustee counts {count} attestation of vouchsafed for both secrets and their signing key")
        if count != 1:
            return fail(f"want one attestation, got {count}")

        step("6. A container whose secret Trustee's policy refuses does not start")
        r = w.container("denied", ["sh", "-c", "echo started"], env=[f"SECRET={other}"])
        show(r.stdout + r.stderr)
        if r.returncode == 0 or "started" in r.stdout:
            return fail("it started")
        reason = [line for line in w.log("vouchsafed").splitlines() if "kbs.policy-denied" in line]
        show("vouchsafed's log, inside the guest, has the reason:\n" + "\n".join(reason[:1]))
        if not reason:
            return fail("no reason in the log")

        step("7. A guest whose initdata is not what PCR 8 vouches for gets nothing at all")
        w.stop("vouchsafed")
        text = w.root / "run/confidential-containers/initdata/initdata.toml"
        text.write_text(text.read_text() + "# changed by the host\n")
        p = w.start_daemon(wait=False)
        if p.wait(20) == 0 or "initdata.digest-mismatch" not in w.log("vouchsafed"):
            return fail("vouchsafed started with changed initdata")
        w.processes.pop("vouchsafed")
        show(next(line for line in w.log("vouchsafed").splitlines() if "digest-mismatch" in line))
        r = w.container("untrusted", ["sh", "-c", "echo started"], env=[f"DB_PASSWORD={password}"])
        show(r.stdout + r.stderr)
        if r.returncode == 0 or "started" in r.stdout:
            return fail("a container started in an untrusted guest")
    step("Done: secrets only where attestation and policy allow, plaintext only in memory.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
