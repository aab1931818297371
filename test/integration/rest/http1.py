# SPDX-License-Identifier: Apache-2.0
"""HTTP as such, and what the answers carry."""
import contextlib
import json
import socket
import time

from box import until_closed, wait_for

ENTRY = b'{"domain":"d","operation":"o","content":"c"}'


def keep_alive__many_requests__use_one_connection(box):
    with contextlib.closing(box.http()) as c:
        first = c.sock
        for path, status in (("/info", 200), ("/nowhere", 404), ("/aa/token?token_type=nope", 500),
                             ("/cdh/resource/a/b/c", 200), ("/aa/token", 400), ("/info", 200)):
            assert box.on(c, "GET", path).status == status
        assert box.on(c, "POST", "/aa/aael", ENTRY).status == 200
        assert box.on(c, "POST", "/aa/aael", b"{").status == 500
        # A body that means nothing is read past.
        assert box.on(c, "PUT", "/cdh/resource/a/b/c", b"x" * 100000).status == 200
        assert box.on(c, "POST", "/nowhere", ENTRY).status == 404
        assert box.on(c, "GET", "/info").status == 200
        assert c.sock is first


def exchange(box, text, until=b"", seconds=5):
    """Bytes for bytes; until the connection ends, or these bytes arrived."""
    with contextlib.closing(box.connect()) as s:
        s.sendall(text)
        s.settimeout(seconds)
        got = b""
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            while not until or until not in got:
                part = s.recv(65536)
                if not part:
                    break
                got += part
        return got


def http_1_0__connection__ends_after_the_answer(box):
    got = exchange(box, b"GET /info HTTP/1.0\r\n\r\n")
    assert got.startswith(b"HTTP/1.") and b" 200 " in got.split(b"\r\n")[0] and b"Content-Length: " in got, got


def http_1_1__close_asked_for__closes(box):
    got = exchange(box, b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b" 404 " in got and got.endswith(b"URL NOT FOUND"), got


def pipelined__three_requests__three_answers_in_order(box):
    got = exchange(box, b"GET /cdh/resource/a HTTP/1.1\r\nHost: x\r\n\r\nGET /aa/token HTTP/1.1\r\nHost: x\r\n\r\n"
                   b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert got.index(b"a resource") < got.index(b"BAD REQUEST") < got.index(b"URL NOT FOUND"), got


def target__as_it_came__is_not_decoded(box):
    assert box.get("/%69nfo").status == 404
    assert box.get("/cdh/resource/a%2fb/..%41/c?x=%20").status == 200
    assert bytes.fromhex(box.calls("GetResource")[0]["hex"]) == b"kbs:///a%2fb/..%41/c"


def target__absolute__is_taken(box):
    assert box.get("http://127.0.0.1:8008/cdh/resource/x/y/z").status == 200
    assert bytes.fromhex(box.calls("GetResource")[0]["hex"]) == b"kbs:///x/y/z"


def methods__of_any_kind__get_a_resource(box):
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "X-OWN"):
        r = box.call(method, "/cdh/resource/a/b/c")
        assert (r.status, r.text, r.ctype) == (200, "a resource", "application/octet-stream"), (method, r.status)
    with contextlib.closing(box.http()) as c:
        c.request("HEAD", "/cdh/resource/a/b/c")
        r = c.getresponse()
        assert r.status == 200 and r.headers["Content-Length"] == "10" and r.read() == b""
        assert box.on(c, "GET", "/info").status == 200
    assert box.call("OPTIONS", "/aa/token?token_type=kbs").status == 404


def answers__empty_and_binary__arrive_whole(box):
    every = bytes(range(256)) * 3
    box.rules({"GetResource": {"kbs:///bin": {"hex": every.hex()}, "kbs:///empty": {"text": ""},
                               "kbs:///big": {"size": 4194280, "tail": "the end"}}})
    assert box.get("/cdh/resource/bin").body == every
    r = box.get("/cdh/resource/empty")
    assert (r.status, r.body, r.ctype) == (200, b"", "application/octet-stream")
    r = box.get("/aa/additional-evidence?runtime_data=x")
    assert (r.status, r.body, r.ctype) == (200, b"", "application/octet-stream")
    r = box.get("/cdh/resource/big")
    assert r.status == 200 and len(r.body) == 4194280 and r.body.endswith(b"..the end")


def info__additional_tees__are_there_when_there_are_any(box):
    box.rules({"GetTeeType": {"*": {"text": "tpm"}}, "GetAdditionalTees": {"*": {"list": ["nvidia", "sampledevice"]}}})
    info = json.loads(box.get("/info").text)
    assert list(info) == ["version", "tee", "additional_tees", "feature"], info
    assert info["tee"] == "tpm" and info["additional_tees"] == ["nvidia", "sampledevice"]
    assert "tee" in json.loads(box.get("/info", "attestation").text)


def info__agent_fails__connection_ends_without_an_answer(box):
    for method in ("GetTeeType", "GetAdditionalTees"):
        box.rules({method: {"*": {"fail": "no"}}})
        assert exchange(box, b"GET /info HTTP/1.1\r\nHost: x\r\n\r\n") == b"", method
    box.rules({})
    assert box.get("/info").status == 200


def token__kinds__go_through(box):
    r = box.get("/aa/token?token_type=kbs")
    assert list(json.loads(r.text)) == ["token", "tee_keypair"], r.text
    box.rules({"GetToken": {"coco_as": {"text": "h.p.s"}}})
    assert box.get("/aa/token?token_type=coco_as").text == "h.p.s"
    assert [bytes.fromhex(c["hex"]) for c in box.calls("GetToken")] == [b"kbs", b"coco_as"]
    assert all(45e9 < c["timeout"] <= 50e9 for c in box.calls()), box.calls()


def aael__bodies__chunked_expected_and_odd(box):
    got = exchange(box, b"POST /aa/aael HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
                   b"10\r\n" + ENTRY[:16] + b"\r\n%x\r\n" % (len(ENTRY) - 16) + ENTRY[16:] + b"\r\n0\r\n\r\n")
    assert got.endswith(b'{"success":"true"}'), got
    with contextlib.closing(box.connect()) as s:
        s.sendall(b"POST /aa/aael HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n" % len(ENTRY))
        assert s.recv(4096).startswith(b"HTTP/1.1 100 ")
        s.sendall(ENTRY)
        assert b'{"success":"true"}' in s.recv(4096)
    box.rules({"ExtendRuntimeMeasurement": {"*": {"result": 7}}})
    r = box.call("POST", "/aa/aael", body=ENTRY)
    assert r.text == '{"success":"false","message": "Unknown runtime measurement result"}'
    box.rules({"ExtendRuntimeMeasurement": {"*": {"fail": "newline"}}})
    r = box.call("POST", "/aa/aael", body=ENTRY)
    assert (r.status, r.text) == (500, "ttrpc request error")
    assert len(box.calls()) == 4
    r = box.call("POST", "/aa/aael", body=b"")
    assert r.status == 500 and r.text.startswith("Illegal AAEL eventry format: ")
    assert len(box.calls()) == 4


def sizes__over_their_caps__are_refused(box):
    most = ENTRY[:-2] + b"c" * (65536 - len(ENTRY)) + b'"}'
    assert len(most) == 65536 and box.call("POST", "/aa/aael", body=most).status == 200
    r = box.call("POST", "/aa/aael", body=most + b" ")
    assert (r.status, r.text) == (413, "Payload Too Large")
    assert box.call("POST", "/aa/aael", body=b"x" * (1 << 20)).status == 413
    # Announced only: nobody waits for it.
    got = exchange(box, b"POST /aa/aael HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
    assert b" 413 " in got.split(b"\r\n")[0] and got.endswith(b"Payload Too Large"), got
    # Not announced, and without an end.
    with contextlib.closing(box.connect()) as s:
        s.sendall(b"POST /aa/aael HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(40):
                s.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        assert until_closed(s, 5) < 4
    assert box.get("/cdh/resource/" + "a" * (8192 - 14)).status == 200
    r = box.get("/cdh/resource/" + "a" * (8193 - 14))
    assert (r.status, r.text) == (414, "URI Too Long")
    got = exchange(box, b"GET /info HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 40000 + b"\r\n\r\n", seconds=3)
    assert b" 431 " in got.split(b"\r\n")[0], got[:100]
    got = exchange(box, b"GET /" + b"x" * 40000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", seconds=3)
    assert b" 414 " in got.split(b"\r\n")[0], got[:100]


def malformed__requests__end_their_own_connection_only(box):
    for text in (b"\r\n\r\n\r\n", b"GET\r\n\r\n", b"GET /info\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                 b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /info HTTP/9.9\r\n\r\n", b"\0" * 500,
                 b"GET /info HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"GET /info HTTP/1.1\r\nContent-Length: x\r\n\r\n",
                 b"GET /in fo HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /cdh/resource/\xff HTTP/1.1\r\nHost: x\r\n\r\n",
                 b"POST /aa/aael HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"):
        got = exchange(box, text, until=b"\r\n\r\n", seconds=1)
        assert b" 200 " not in got.split(b"\r\n")[0], (text, got)
    assert box.get("/info").status == 200
    assert not box.calls("GetResource")


def backend__drops_the_call__500_then_a_new_connection(box):
    box.rules({"GetResource": {"*": {"drop": True}}})
    r = box.get("/cdh/resource/a")
    assert (r.status, r.text) == (500, "ttrpc request error")
    box.rules({})
    assert box.get("/cdh/resource/a").status == 200
    assert len(box.calls("GetResource")) == 2


def backend__restarted__next_call_connects_again(box):
    for _ in range(40):
        assert box.get("/cdh/resource/a").status == 200
        assert box.call("POST", "/aa/aael", body=ENTRY).status == 200
    box.stop("agent")
    r = box.get("/cdh/resource/a")
    assert r.status == 500 and r.text == "ttrpc connect to CDH addr: unix:///run/confidential-containers/cdh.sock failed"
    r = box.call("POST", "/aa/aael", body=ENTRY)
    assert r.status == 500 and r.text == ("ttrpc connect to Attestation Agent addr: unix:///run/confidential-containers/"
                                          "attestation-agent/attestation-agent.sock failed"), r.text
    box.start_agent()
    box.forget()
    # On whichever thread of the pool, an entry is made once.
    for _ in range(20):
        assert box.get("/cdh/resource/a").status == 200
        assert box.call("POST", "/aa/aael", body=ENTRY).status == 200
    assert len(box.calls("ExtendRuntimeMeasurement")) == 20


def client_gone__while_it_waited__is_not_served(box):
    box.rules({"GetResource": {"*": {"stall": 1.5, "text": "x"}}})
    busy = [box.connect() for _ in range(12)]
    for s in busy:
        s.sendall(b"GET /cdh/resource/busy HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_for("twelve calls", lambda: len(box.calls("GetResource")) == 12)
    for _ in range(30):
        with contextlib.closing(box.connect()) as s:
            s.sendall(b"GET /cdh/resource/gone HTTP/1.1\r\nHost: x\r\n\r\n")
    assert box.get("/cdh/resource/here").text == "x"
    for s in busy:
        s.close()
    paths = [bytes.fromhex(c["hex"]).decode() for c in box.calls("GetResource")]
    assert paths.count("kbs:///gone") == 0 and paths.count("kbs:///here") == 1, paths


def sigterm__call_in_flight__is_answered_and_exit_is_0(box):
    box.rules({"GetResource": {"*": {"stall": 1, "text": "late"}}})
    with contextlib.closing(box.http("resource")) as c, contextlib.closing(box.connect("resource")) as idle:
        c.putrequest("GET", "/cdh/resource/a")
        c.endheaders()
        wait_for("the call", box.calls)
        start = time.monotonic()
        box.processes["resource"].terminate()
        reply = c.getresponse()
        assert reply.status == 200 and reply.read() == b"late"
        assert idle.recv(1) == b""
    assert box.stop("resource") == 0
    assert time.monotonic() - start < 5
    with contextlib.closing(box.socket()) as s:
        assert s.connect_ex(("127.0.0.1", 8006)) != 0
    box.start_rest("resource")
    assert box.get("/info", "resource").status == 200


def ipv6__loopback__is_served(box):
    from box import PYTHON, TOP
    p = box.start("v6", [PYTHON, TOP / "test/tools/listen_fd.py", "-", "::1", "0", box.dev / "vouchsafe-rest"])
    wait_for("the v6 server", lambda: "address=[::1]:" in box.log("v6") or p.poll() is not None)
    port = int(box.log("v6").split("address=[::1]:")[1].split()[0])
    with contextlib.closing(socket.create_connection(("::1", port), 5)) as s:
        s.sendall(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 404 " in s.recv(4096)
    assert box.stop("v6") == 0


def cases(_):
    return [f for name, f in globals().items() if "__" in name and callable(f) and not name.startswith("_")]
