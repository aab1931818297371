# SPDX-License-Identifier: Apache-2.0
"""Adds to the test image's tree what cloud-api-adaptor's images have around vouchsafe: the units of
test/integration/units/tree.py, with a kata-agent that is a stand-in.   podtree.py TREE
"""
import pathlib
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "test/integration/units"))
import tree  # noqa: E402

# Writes down what it finds when it is started, then keeps its connection, as kata-agent does.
KATA_AGENT = """#!/usr/bin/python3
import json, os, socket, time
found = {"policy": None, "at": time.clock_gettime(time.CLOCK_BOOTTIME)}
try:
    found["policy"] = open("/run/peerpod/policy.rego").read()
except OSError as e:
    found["policy_error"] = str(e)
c = socket.socket(socket.AF_UNIX)
try:
    c.connect("/run/confidential-containers/cdh.sock")
    found["connected"] = True
except OSError as e:
    found["connected"] = str(e)
with open("/run/kata-agent.json.new", "w") as f:
    f.write(json.dumps(found))
os.rename("/run/kata-agent.json.new", "/run/kata-agent.json")
s = socket.socket(socket.AF_UNIX)
s.bind("/run/kata-containers/agent.sock")
s.listen()
time.sleep(100000)
"""
NETNS_ADD = "#!/bin/sh\nset -e\nip netns add $1\nip netns exec $1 ip link set lo up\n"
EXTEND = "#!/bin/sh\necho extended >>/run/second-extend\n"

root = pathlib.Path(sys.argv[1])
tree.write(root)
for name, text in (("kata-agent", KATA_AGENT), ("netns-add", NETNS_ADD), ("extend-pcr8", EXTEND),
                   ("agent-protocol-forwarder", "#!/bin/sh\nexec sleep 100000\n")):
    tree.put(root, f"usr/local/bin/{name}", text, 0o755)
