# SPDX-License-Identifier: Apache-2.0
"""In the test image: carries out the host's commands, one JSON line each way on a virtio port.

{"run": "shell text", "timeout": 60} → {"rc": 0, "out": "…", "err": "…", "seconds": 0.1}
{"put": "/path", "data": "base64", "mode": 420} → {"rc": 0}
"""
import base64
import json
import os
import subprocess
import time

PORT = "/dev/virtio-ports/vm-test"
SHARE = "/dev/disk/by-id/virtio-share"


def share():
    if os.path.exists(SHARE) and not os.path.ismount("/opt/test"):
        subprocess.run(["mount", "-t", "erofs", "-o", "ro", SHARE, "/opt/test"], check=False)


def carry_out(ask):
    if "put" in ask:
        with open(ask["put"], "wb") as f:
            f.write(base64.b64decode(ask["data"]))
        os.chmod(ask["put"], ask.get("mode", 0o644))
        return {"rc": 0}
    begin = time.monotonic()
    p = subprocess.Popen(["/bin/bash", "-c", ask["run"]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, start_new_session=True,
                         env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8",
                              "BUILD": "/opt/test", "TOP": "/opt/test"} | ask.get("env", {}))
    try:
        out, err = p.communicate(timeout=ask.get("timeout", 60))
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, 9)
        out, err = p.communicate()
        err += b"\nkilled: ran over its time"
    return {"rc": p.returncode, "out": out.decode(errors="replace"), "err": err.decode(errors="replace"),
            "seconds": round(time.monotonic() - begin, 3)}


def say(port, what):
    """The port takes as much as it has room for."""
    text = json.dumps(what).encode() + b"\n"
    while text:
        text = text[port.write(text):]


def main():
    while not os.path.exists(PORT):
        time.sleep(0.1)
    share()
    with open(PORT, "r+b", buffering=0) as port:
        say(port, {"ready": time.clock_gettime(time.CLOCK_BOOTTIME)})
        pending = b""
        while True:
            piece = port.read(65536)
            if not piece:
                time.sleep(0.2)
                continue
            pending += piece
            while b"\n" in pending:
                line, pending = pending.split(b"\n", 1)
                try:
                    answer = carry_out(json.loads(line))
                except Exception as e:  # the host wants an answer, whatever went wrong
                    answer = {"rc": 255, "out": "", "err": f"{type(e).__name__}: {e}"}
                say(port, answer)


main()
