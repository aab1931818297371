# SPDX-License-Identifier: Apache-2.0
"""The pod VM, booted under OVMF with a software TPM: make vm-test, make vm-test-full.

  run.py BUILD test|full [CASE]...      CASE: part of a case's name

Cases of the first boot: cases_pod.py; of others: cases_boot.py; scripts in guests of their own:
guest/. The scripts run beside the cases where there are two processors (VM_TEST_GUESTS=1: behind them).
"""
import pathlib
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "integration")]
import cases_boot  # noqa: E402
import cases_pod  # noqa: E402
import guests  # noqa: E402
from machine import need_tools  # noqa: E402
from pod import Pod  # noqa: E402
from world import Cases, World  # noqa: E402

BUILD = pathlib.Path(sys.argv[1]).resolve()
PROFILE = sys.argv[2]
ONLY = sys.argv[3:]
FULL = PROFILE == "full"
BEGIN = time.monotonic()


def consoles__of_all_boots__tell_of_no_damage(pod):
    pod.off()
    assert not pod.panics, pod.panics


# What measures time has the machine to itself: the scripts begin behind it.
ALONE = cases_pod.times__of_this_boot__are_told
FIRST, *REST = cases_pod.CASES
CASES = (FIRST, guests.harness__guest_that_died__is_never_success, *REST, *(cases_pod.ENGINES if FULL else ()),
         *cases_pod.CASES_END, *(cases_pod.KILLED if FULL else ()), *cases_pod.LAST,
         *cases_boot.CASES, *(cases_boot.FULL if FULL else ()), *cases_boot.CASES_END,
         *((*cases_boot.FULL_END, *cases_boot.PRODUCTION) if FULL else ()), consoles__of_all_boots__tell_of_no_damage)


def main():
    missing = need_tools()
    if missing:
        print(f"skip vm-test: not installed here: {', '.join(missing)} (test/packages.sh vm)\n0 passed, 0 failed, 1 skipped")
        return 0
    r = subprocess.run([HERE / "image.sh", PROFILE, BUILD])
    if r.returncode == 77:
        print("skip vm-test: the image cannot be built here, see above\n0 passed, 0 failed, 1 skipped")
        return 0
    if r.returncode != 0:
        print("FAIL image: it was not built\n0 passed, 1 failed, 0 skipped")
        return 1
    print(f"     the image is built: {time.monotonic() - BEGIN:.0f} s", flush=True)
    # A limit from outside ends the guests as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    cases = Cases()
    scripts = guests.Guests(BUILD, FULL, ONLY)
    pod, w = None, World(BUILD)
    try:
        pod = Pod(w, BUILD, PROFILE)
        pod.production = scripts.production
        for case in CASES:
            if not ONLY or any(o in case.__name__ for o in ONLY) or case in (CASES[0], CASES[-1]):
                cases.run(case, pod)
            if case is ALONE and guests.beside():
                scripts.begin()
    except BaseException:
        scripts.stop()
        raise
    finally:
        try:
            if pod:
                pod.off()
        finally:
            w.close()
    scripts.finish(cases)
    print(f"vm-test ({PROFILE}): {time.monotonic() - BEGIN:.0f} s", flush=True)
    return cases.finish()


if __name__ == "__main__":
    sys.exit(main())
