# SPDX-License-Identifier: Apache-2.0
"""Scripts in guests of their own (test/vm/guest/*.sh that say what they need), beside the pod VM's cases."""
import os
import re
import signal
import subprocess
import threading
import time

from pod import HERE


class Guests:
    """Runs the scripts one after the other in a thread; begin() lets it start."""

    def __init__(self, build, full, only):
        self.build, self.full, self.only = build, full, only
        self.passed = self.failed = self.skipped = 0
        self.thread = self.process = None
        self.stopped = False
        self.lock = threading.Lock()
        self.production_image = None

    def begin(self):
        if self.thread is None:
            self.thread = threading.Thread(target=self.work)
            self.thread.start()

    def work(self):
        try:
            if self.full and not self.only:
                self.build_production()
            for script in sorted((HERE / "guest").glob("*.sh")):
                if not self.stopped:
                    self.run(script)
        except Exception as e:  # it must not be lost in a thread
            print(f"FAIL guests: {type(e).__name__}: {e}", flush=True)
            self.failed += 1

    def build_production(self):
        """The image that has no door, made once: the process that did."""
        with self.lock:
            if self.production_image is None:
                argv = [HERE / "image.sh", "pod", self.build]
                self.production_image = subprocess.run(argv, stderr=subprocess.PIPE, text=True)
        return self.production_image

    def production(self):
        """None when it is there, or what cannot be had."""
        r = self.build_production()
        if r.returncode not in (0, 77):
            raise AssertionError(f"image.sh pod: exit {r.returncode}\n{r.stderr[-2000:]}")
        return r.stderr.strip().splitlines()[-1] if r.returncode else None

    def stop(self):
        self.stopped = True
        if self.process:
            # With the guest that it started.
            os.killpg(self.process.pid, signal.SIGTERM)

    def call(self, argv):
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True)
        if self.stopped:
            self.stop()
        out, err = self.process.communicate()
        r = subprocess.CompletedProcess(argv, self.process.returncode, out, err)
        self.process = None
        return r

    def run(self, script):
        """Its own ok, FAIL and skip lines count."""
        words = [x.removeprefix("# vm:").split() for x in script.read_text().splitlines()[:5] if x.startswith("# vm:")]
        name = script.stem
        if not words or (self.only and not any(o in name for o in self.only)):
            return
        if "full" in words[0] and not self.full:
            print(f"     {name}: in make vm-test-full", flush=True)
            return
        argv = [HERE / "run.sh", "-b", self.build, *(x for x in words[0] if x != "full"), script]
        begin = time.monotonic()
        r = self.call(argv)
        # Before the script's first word it is the emulator's; behind it, it may be ours.
        if r.returncode == 70 and not self.stopped and not re.search(r"^(ok  |FAIL|skip) ", r.stdout, re.M) \
                and "ended with: it did not)" in r.stdout:
            print(f"     {name}: {r.stdout.strip().splitlines()[-1][:200]}; once more", flush=True)
            r = self.call(argv)
        rows = [x for x in r.stdout.splitlines() if re.match(r"(ok  |FAIL|skip) ", x)]
        n = {w: sum(x.startswith(w) for x in rows) for w in ("ok", "FAIL", "skip")}
        more = []
        if r.returncode == 77:
            more.append(f"skip {name}: {r.stderr.strip().splitlines()[-1]}")
            n["skip"] += 1
        elif r.returncode == 0 and (n["FAIL"] or not rows) or r.returncode != 0 and not n["FAIL"]:
            more.append(f"FAIL {name}: exit {r.returncode}\n{r.stdout[-2000:]}{r.stderr[-500:]}")
            n["FAIL"] += 1
        elif n["FAIL"]:
            more.append(r.stdout[-1500:])
        more.append(f"     {name}: {time.monotonic() - begin:.0f} s")
        # In one piece: the other cases print meanwhile.
        print("\n".join([f"{row[:4]} {name}__{row[5:]}" for row in rows] + more), flush=True)
        self.passed += n["ok"]
        self.failed += n["FAIL"]
        self.skipped += n["skip"]

    def finish(self, cases):
        self.begin()
        self.thread.join()
        self.thread = None
        cases.passed += self.passed
        cases.failed += self.failed
        cases.skipped += self.skipped


MARK, DOWN = "vm-run: script ended with 0", "[  137.1] reboot: Power down"
CONSOLES = (
    (0, ["words", MARK, DOWN]),
    (3, ["vm-run: script ended with 3", DOWN]),
    # What was once seen behind luks-kill: init itself ended while the machine was powered off.
    (70, [MARK, "/opt/test/vm-run/pid1: 35: sleep: Input/output error",
          "[  137.198276] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00007f00"]),
    (70, [MARK, "[  137.1] Kernel panic - not syncing: x", DOWN]),
    (70, ["[    9.1] BUG: unable to handle page fault", MARK, DOWN]),
    (70, ["[    9.1] Oops: 0002 [#1]", MARK, DOWN]),
    (70, [MARK]),
    (70, [MARK, "vm-run: no power-off", DOWN]),
    (70, ["vm-run: died: no root", DOWN]),
    (70, ["[    3.1] Kernel panic - not syncing: VFS"]),
    (70, [DOWN]),
    (70, []),
)


def harness__guest_that_died__is_never_success(pod):
    for want, lines in CONSOLES:
        console = pod.w.tmp / "judged"
        console.write_text("\n".join(lines) + "\n")
        r = subprocess.run([HERE / "judge.sh", console, "300"], capture_output=True, text=True)
        assert r.returncode == want and ("FAIL" in r.stdout) == (want == 70), (want, lines, r)


def beside():
    """Is there a processor for a second guest?"""
    return int(os.environ.get("VM_TEST_GUESTS", min(2, os.cpu_count() or 1))) > 1
