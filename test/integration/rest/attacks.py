# SPDX-License-Identifier: Apache-2.0
"""A pod that floods, one that is slow on purpose, and what is left of secrets in memory."""
import contextlib
import json
import threading
import time

from box import find, memory, until_closed, wait_for

REQUEST = b"GET /cdh/resource/%s HTTP/1.1\r\nHost: x\r\n\r\n"


def close(many):
    for s in many:
        s.close()


def quick(box, path="/cdh/resource/good", seconds=1.5):
    """A client that behaves is served within that time, on a connection of its own."""
    start = time.monotonic()
    r = box.get(path)
    took = time.monotonic() - start
    assert r.status == 200, (r.status, r.text)
    assert took < seconds, f"{took:.1f} s"


class Drip(threading.Thread):
    """Sends a byte of a header now and then, on many connections."""

    def __init__(self, sockets, text):
        super().__init__(daemon=True)
        self.sockets, self.text = sockets, text
        self.end = threading.Event()

    def run(self):
        for byte in self.text:
            if self.end.wait(0.3):
                return
            for s in self.sockets:
                with contextlib.suppress(OSError):
                    s.send(bytes([byte]))


def flood__idle_and_slow_senders__good_client_is_served(box):
    with contextlib.closing(box.http()) as old:
        box.on(old, "GET", "/info")
        idle = [box.connect() for _ in range(200)]
        slow = [box.connect() for _ in range(60)]
        drip = Drip(slow, REQUEST % (b"slow" * 100))
        drip.start()
        for _ in range(20):
            quick(box)
        # Wave after wave, each larger than all there is room for.
        for _ in range(3):
            idle += [box.connect() for _ in range(150)]
            quick(box)
        drip.end.set()
        drip.join()
        with open(f"/proc/{box.processes['all'].pid}/status", encoding="ascii") as f:
            threads = next(line for line in f if line.startswith("Threads:"))
        assert int(threads.split()[1]) <= 18, threads
        close(idle + slow)
    quick(box)


def slow_sender__header_or_body_without_end__is_cut(box):
    head = box.connect()
    body = box.connect()
    idle = box.connect()
    head.sendall(b"GET /in")
    body.sendall(b"POST /aa/aael HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    drip = Drip([head, body], b"x" * 200)
    drip.start()
    took = until_closed(body, 25)
    assert 13 < took < 20, took
    took += until_closed(head, 25)
    assert 28 < took < 36, took
    assert until_closed(idle, 10) < 6
    drip.end.set()
    drip.join()
    assert not box.calls()


def flood__stalled_backend__local_answers_go_on_and_the_rest_is_bounded(box):
    box.rules({"GetResource": {"*": {"stall": 4, "text": "late"}, "kbs:///good": {"text": "good"}}})
    many = [box.connect() for _ in range(180)]
    for s in many[:12]:
        s.sendall(REQUEST % b"stalled")
    wait_for("the first calls", lambda: len(box.calls("GetResource")) == 12)
    for s in many[12:]:
        s.sendall(REQUEST % b"stalled")
    time.sleep(0.5)
    assert len(box.calls("GetResource")) == 12, "calls at the backend at once"
    # What the guest can answer itself does not wait behind Trustee.
    for _ in range(5):
        quick(box, "/info", 1)
        quick(box, "/aa/evidence?runtime_data=x", 1)
    # No more than 112 wait; the others are told at once.
    refused = 0
    for s in many:
        s.settimeout(0.01)
        with contextlib.suppress(TimeoutError):
            got = s.recv(4096)
            assert b" 503 " in got.split(b"\r\n")[0] and b"Content-Type" not in got, got
            refused += 1
    assert refused == 180 - 12 - 112, refused
    close(many)
    # Who has left is not served: a new client waits for the calls that run, not for the queue,
    # and finds a place in it although it was full.
    box.rules({})
    start = time.monotonic()
    r = box.get("/cdh/resource/good")
    assert r.status == 200 and time.monotonic() - start < 6, (r.status, time.monotonic() - start)


def flood__answers_nobody_reads__do_not_eat_the_locked_memory(box):
    box.rules({"GetResource": {"kbs:///big": {"size": 4000000}, "kbs:///good": {"text": "good"}}})
    pid = box.processes["all"].pid
    many = []
    for _ in range(40):
        s = box.connect(buffer=4096)
        s.sendall(REQUEST % b"big")
        many.append(s)
        if len(many) % 8 == 0:
            time.sleep(0.4)
            quick(box)
    with open(f"/proc/{pid}/limits", encoding="ascii") as f:
        limit = next(line for line in f if line.startswith("Max locked memory")).split()[3]
    # What is said in vouchsafe-rest(8), but never less than one answer; and a little.
    held = 24 << 10 if limit == "unlimited" else min(24 << 10, int(limit) >> 12)
    wait_for("no more to be held than is allowed", lambda: locked_kb(pid) < max(held, 4000) + 400, 5)
    close(many)
    wait_for("the memory to be given back", lambda: locked_kb(pid) == 0)


def locked_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmLck:"))


def good_and_bad__at_once__all_good_ones_are_served(box):
    """Twenty clients ask in turn for ten rounds while others connect, send rubbish and leave."""
    end = threading.Event()
    wrong = []

    def bad():
        while not end.is_set():
            with contextlib.suppress(OSError):
                with contextlib.closing(box.connect()) as s:
                    s.sendall(b"GET /cdh/resource/x HTTP/1.1\r\nX: " + b"y" * 5000)

    def good(i):
        try:
            for n in range(10):
                r = box.get(f"/cdh/resource/{i}/{n}")
                assert r.status == 200 and r.text == "a resource"
        except (AssertionError, OSError) as e:
            wrong.append(repr(e))

    threads = [threading.Thread(target=bad) for _ in range(4)]
    clients = [threading.Thread(target=good, args=(i,)) for i in range(20)]
    for t in threads + clients:
        t.start()
    for t in clients:
        t.join(60)
    end.set()
    for t in threads:
        t.join(10)
    assert not wrong, wrong[:3]


# --- secrets in memory ---------------------------------------------------------------------------

def canary__resource__once_in_locked_memory_then_nowhere(box):
    canary = "CANARY-" + "3f9c1e77a2" + "-RESOURCE"
    box.rules({"GetResource": {"*": {"size": 4100000, "tail": canary}}})
    pid = box.processes["all"].pid
    with contextlib.closing(box.connect(buffer=4096)) as s:
        s.sendall(REQUEST % b"a/b/c")
        # Sent as far as the sockets take it: the tail is still in the process.
        wait_for("the answer", lambda: find(pid, canary.encode()))
        time.sleep(0.3)
        places = find(pid, canary.encode())
        assert len(places) == 1, f"{len(places)} copies"
        assert "lo" in places[0] and "dd" in places[0], places[0]
        got = b""
        while canary.encode() not in got[-200000:]:
            part = s.recv(1 << 20)
            assert part, "cut short"
            got += part
        wait_for("its erasure", lambda: not find(pid, canary.encode()), 3)
    assert sum(len(data) for _, data, _ in memory(pid)) > 1 << 20, "the search itself is blind"


def canary__many_small_ones__nowhere_after_their_answers(box):
    canary = "CANARY-" + "58d1b0c44e"
    key = {"token": "h.p.s", "tee_keypair": f"-----BEGIN {canary}-----"}
    box.rules({"GetResource": {"*": {"text": canary + "-RES"}}, "GetToken": {"*": {"text": json.dumps(key)}}})
    with contextlib.closing(box.http()) as c:
        for _ in range(50):
            assert canary in box.on(c, "GET", "/cdh/resource/a/b/c").text
            assert canary in box.on(c, "GET", "/aa/token?token_type=kbs").text
    # Clients that leave before, and while, they are answered.
    box.rules({"GetResource": {"*": {"stall": 0.3, "text": canary + "-RES"}}})
    for _ in range(10):
        with contextlib.closing(box.connect()) as s:
            s.sendall(REQUEST % b"gone")
            time.sleep(0.05)
    time.sleep(1)
    assert not find(box.processes["all"].pid, canary.encode())
    assert canary not in box.log("all")
    assert locked_kb(box.processes["all"].pid) == 0


def token_without_key__option__withholds_the_key(box):
    canary = "CANARY-" + "77aa01f2cc"
    key = {"tee_keypair": f"-----BEGIN {canary}-----\n", "token": "h.p.s"}
    box.stop("all")
    try:
        box.start_rest("all", "--token-without-key", name="keyless")
        box.rules({"GetToken": {"kbs": {"text": json.dumps(key)}, "coco_as": {"text": "h.p.s"},
                                "odd": {"text": json.dumps({"tee_keypair": canary, "token": 1})}}})
        assert box.get("/aa/token?token_type=kbs").text == '{"token":"h.p.s"}'
        assert box.get("/aa/token?token_type=coco_as").text == "h.p.s"
        r = box.get("/aa/token?token_type=odd")
        assert (r.status, r.text) == (500, "ttrpc request error")
        assert not find(box.processes["keyless"].pid, canary.encode())
        assert "token_key=withheld" in box.log("keyless")
    finally:
        box.stop("keyless")
        box.start_rest("all")


def cases(_):
    return [f for name, f in globals().items() if "__" in name and callable(f) and not name.startswith("_")]
