# SPDX-License-Identifier: Apache-2.0
"""A journal for one vouchsafed: run in a mount namespace of its own, since the path is fixed.

usage: journal.py SECONDS PROGRAM [ARGUMENT]...: start the program with stderr as the journal's
stream, wait until it says that it stops (TERM after it is ready), print its events as JSON."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time


def fields(datagram):
    return dict(line.split("=", 1) for line in datagram.decode().splitlines())


def main():
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    path = pathlib.Path("/run/systemd/journal/socket")
    path.parent.mkdir(parents=True)
    events, end = [], time.monotonic() + float(sys.argv[1])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s, open("/run/stderr", "wb") as stream:
        s.bind(str(path))
        path.chmod(0o666)
        st = os.fstat(stream.fileno())
        env = dict(os.environ, JOURNAL_STREAM=f"{st.st_dev}:{st.st_ino}")
        p = subprocess.Popen(sys.argv[2:], stderr=stream, env=env)
        s.settimeout(0.1)
        while time.monotonic() < end:
            try:
                events.append(fields(s.recv(65536)))
            except TimeoutError:
                if p.poll() is not None:
                    break
                continue
            if events[-1].get("VOUCHSAFE_EVENT") == "guest is ready":
                p.send_signal(signal.SIGTERM)
        p.kill()
        p.wait()
    json.dump({"events": events, "stderr": pathlib.Path("/run/stderr").read_text()}, sys.stdout)


main()
