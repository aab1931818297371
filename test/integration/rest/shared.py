# SPDX-License-Identifier: Apache-2.0
"""Every case of vectors/local/asr/cases.json, as a container would send it."""
import json
import os
import pathlib

from box import FOREIGN, TOP, Skip


def rules_of(case):
    if "aa_result" in case:
        return {"ExtendRuntimeMeasurement": {"*": {"result": case["aa_result"]}}}
    if case.get("backend") == "rpc error":
        return {"GetResource": {"*": {"fail": "[CDH] [ERROR]: Get Resource failed: kbs.policy-denied: secret why"}}}
    return {}


def check_calls(box, case):
    """What reached the agent."""
    if "aa_runtime_data_hex" in case:
        assert [c["hex"] for c in box.calls("GetEvidence")] == [case["aa_runtime_data_hex"]], box.calls()
    if "cdh_resource_path" in case:
        assert [bytes.fromhex(c["hex"]).decode() for c in box.calls("GetResource")] == [case["cdh_resource_path"]]
    if "aa_result" in case:
        got = box.calls("ExtendRuntimeMeasurement")[0]
        want = case["request"]
        assert bytes.fromhex(got["hex"]).decode() == want["domain"]
        # No register: the agent's own is meant.
        assert got["fields"] == [[2, want["operation"]], [3, want["content"]]], got


def check_reply(case, reply):
    assert reply.status == case["status"], (reply.status, reply.text)
    if "ctype" in case:
        assert reply.ctype == case["ctype"], reply.ctype
    if reply.status >= 400:
        assert reply.ctype is None, reply.ctype
    if "body" in case:
        assert reply.text == case["body"], reply.text
    if "body_prefix" in case:
        assert reply.text.startswith(case["body_prefix"]), reply.text
    if "body_keys" in case:
        body = json.loads(reply.text)
        assert list(body) == case["body_keys"], reply.text
        assert body["version"].startswith("Guest Components Version: ") and body["feature"] == case["features"]
    if "sample_evidence" in case:
        assert json.loads(reply.text) == case["sample_evidence"], reply.text


def run_case(box, case):
    features = case["features"]
    body = json.dumps(case["request"]).encode() if "request" in case else None
    source = FOREIGN if case.get("peer") == FOREIGN else None
    if case.get("backend") == "socket absent":
        box.stop(features)
        box.start_rest(features, root=box.tmp / "nothing", name="absent")
    box.rules(rules_of(case))
    try:
        check_reply(case, box.call(case["method"], case["path"], features, body, source))
        check_calls(box, case)
    finally:
        if case.get("backend") == "socket absent":
            box.stop("absent")
            box.start_rest(features)


def named(number, case):
    def run(box):
        run_case(box, case)

    extra = "".join("_" + str(case[k]).replace(" ", "_") for k in ("aa_result", "backend", "peer") if k in case)
    run.__name__ = f"shared_case_{number:02d}__{case['features']}_{case['method']}_{case['path']}{extra}__{case['status']}"
    return run


def no_vectors(_):
    raise Skip("the shared vectors are not on this machine")


def cases(_):
    top = pathlib.Path(os.environ.get("TEST_SHARED", TOP.parent / "shared"))
    path = top / "vectors/local/asr/cases.json"
    if not path.exists():
        return [no_vectors]
    return [named(i, c) for i, c in enumerate(json.loads(path.read_text()))]
