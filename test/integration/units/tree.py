# SPDX-License-Identifier: Apache-2.0
"""The units of a pod VM image, as spec/local-api.md 5.7 and 9 describe them: names, triggers, order
and conditions; the programs are stand-ins. And reading units as systemd does: which file counts,
what drop-ins add, reset and mask.
"""

import os
import pathlib

OWN = "usr/lib/systemd/system"
IMAGE = "etc/systemd/system"

# PathExists= of each .path unit that the image enables.
PATHS = {
    "attestation-agent": "/run/peerpod/aa.toml",
    "confidential-data-hub": "/run/confidential-containers/attestation-agent/attestation-agent.sock",
    "kata-agent": "/run/confidential-containers/cdh.sock",
    "api-server-rest": "/run/confidential-containers/cdh.sock",
    "agent-protocol-forwarder": "/run/kata-containers/agent.sock",
    "scratch-storage": "/run/peerpod/scratch-space.marker",
}

# (lines of [Unit], lines of [Service]) of each service. run/NAME is a stand-in below /usr/local/bin.
SERVICES = {
    "process-user-data": (
        ["DefaultDependencies=no", "After=network.target cloud-init.service"],
        ["Type=oneshot", "RemainAfterExit=yes", "ExecStart=/usr/local/bin/process-user-data provision-files"]),
    "attestation-agent": (
        ["After=network.target process-user-data.service"],
        ["ExecStart=/usr/local/bin/attestation-agent -c /run/peerpod/aa.toml", "Restart=always", "RestartSec=1"]),
    "confidential-data-hub": (
        ["After=network.target process-user-data.service"],
        ["ExecStart=/usr/local/bin/confidential-data-hub", "Restart=always", "RestartSec=1"]),
    "kata-agent": (
        ["BindsTo=netns@podns.service", "After=netns@podns.service scratch-storage.service",
         "Wants=scratch-storage.service"],
        ["ExecStartPre=/bin/mkdir -p /run/kata-containers",
         "ExecStart=/usr/local/bin/kata-agent --config /etc/agent-config.toml"]),
    "api-server-rest": (
        ["BindsTo=netns@podns.service", "After=network.target kata-agent.service netns@podns.service"],
        ["NetworkNamespacePath=/run/netns/podns", "ExecStart=/usr/local/bin/api-server-rest --features all",
         "Restart=always", "RestartSec=1"]),
    "agent-protocol-forwarder": (
        ["DefaultDependencies=no"],
        ["Type=simple", "ExecStart=/usr/local/bin/agent-protocol-forwarder", "Restart=on-failure", "RestartSec=5"]),
    "scratch-storage": (
        ["DefaultDependencies=no", "After=systemd-repart.service", "Before=kata-agent.service",
         "ConditionPathExists=/run/peerpod/scratch-space.marker"],
        ["Type=oneshot", "RemainAfterExit=yes", "ExecStart=/usr/local/bin/setup-scratch-storage"]),
    "setup-nat-for-imds": (
        ["DefaultDependencies=no", "After=agent-protocol-forwarder.service",
         "Wants=agent-protocol-forwarder.service"],
        ["Type=oneshot", "ExecStart=/usr/local/bin/setup-nat-for-imds.sh"]),
    "gen-issue": (
        ["After=process-user-data.service"],
        ["Type=oneshot", "RemainAfterExit=yes", "ExecStart=/usr/local/bin/gen-issue"]),
    "netns@": (
        [],
        ["Type=oneshot", "RemainAfterExit=yes", "ExecStart=/usr/local/bin/netns-add %I",
         "ExecStop=/usr/local/bin/netns-del %I"]),
}

# The image's drop-in: mounts the drive, and extends PCR 8 with what provisioning left.
PCR_DROP_IN = """[Service]
ExecStartPre=-/usr/local/bin/mount-cidata
ExecStartPost=-/usr/local/bin/extend-pcr8
"""
TMPFILES = """C /run/peerpod/auth.json - - - - /etc/kata-oci/empty-auth.json
C /run/peerpod/policy.rego - - - - /etc/kata-opa/allow-all.rego
"""
ALLOW_ALL = "package agent_policy\n\ndefault AllowRequestsFailingPolicy := true\n"
STAND_INS = ("process-user-data", "attestation-agent", "confidential-data-hub", "api-server-rest", "kata-agent",
             "agent-protocol-forwarder", "setup-scratch-storage", "setup-nat-for-imds.sh", "gen-issue", "netns-add",
             "netns-del", "mount-cidata", "extend-pcr8")
# What is deleted when vouchsafe takes their place.
REPLACED = ("process-user-data", "attestation-agent", "confidential-data-hub", "api-server-rest")


def put(root, path, text, mode=0o644):
    f = pathlib.Path(root) / path
    f.parent.mkdir(parents=True, exist_ok=True)
    f.unlink(missing_ok=True)
    f.write_text(text)
    f.chmod(mode)


def unit(unit_lines, section, lines):
    return "\n".join(["[Unit]", *unit_lines, "", f"[{section}]", *lines, "", "[Install]",
                      "WantedBy=multi-user.target", ""])


def write(root, openshift=False):
    """An image's tree below root, its programs deleted where vouchsafe takes their place."""
    services, paths = dict(SERVICES), dict(PATHS)
    if openshift:
        # No path unit before the agent; kata-agent behind process-user-data; the forwarder is a
        # service that is enabled.
        for name in ("attestation-agent", "agent-protocol-forwarder"):
            paths.pop(name)
        u, s = services["kata-agent"]
        services["kata-agent"] = (u + ["After=process-user-data.service"], s)
        u, s = services["agent-protocol-forwarder"]
        services["agent-protocol-forwarder"] = (u + ["After=kata-agent.service"], s)
    for name, path in paths.items():
        put(root, f"{IMAGE}/{name}.path", unit([], "Path", [f"PathExists={path}", f"Unit={name}.service"]))
    for name, (u, s) in services.items():
        put(root, f"{IMAGE}/{name}.service", unit(u, "Service", s))
    put(root, f"{OWN}/process-user-data.service.d/10-override.conf", PCR_DROP_IN)
    put(root, "etc/tmpfiles.d/image.conf", TMPFILES)
    put(root, "etc/kata-opa/allow-all.rego", ALLOW_ALL)
    put(root, "etc/kata-oci/empty-auth.json", "{}")
    put(root, "usr/lib/systemd/system-preset/30-coco.preset",
        "".join(f"enable {n}.path\n" for n in paths) + "enable gen-issue.service\n" +
        "enable setup-nat-for-imds.service\n" +
        ("enable attestation-agent.service\nenable agent-protocol-forwarder.service\n" if openshift else ""))
    put(root, "usr/lib/systemd/system-preset/99-default.preset", "disable *\n")
    for name in STAND_INS:
        if name not in REPLACED:
            put(root, f"usr/local/bin/{name}", "#!/bin/sh\nexit 0\n", 0o755)


FOLDERS = (IMAGE, "run/systemd/system", "usr/local/lib/systemd/system", OWN, "lib/systemd/system")


def fragments(root, name):
    """The unit's file and its drop-ins, in the order in which systemd reads them; masked ones left out."""
    root = pathlib.Path(root)
    file = next((root / d / name for d in FOLDERS if os.path.lexists(root / d / name)), None)
    drop_ins = {}
    for d in FOLDERS:
        folder = root / d / f"{name}.d"
        for f in sorted(folder.glob("*.conf")) if folder.is_dir() else []:
            drop_ins.setdefault(f.name, f)
    files = ([file] if file else []) + [drop_ins[n] for n in sorted(drop_ins)]
    return [f for f in files if not (f.is_symlink() and os.readlink(f) == "/dev/null")]


# One value each; all others are lists, which an empty value resets (but for those of dependencies).
SINGLE = {"Type", "RemainAfterExit", "DefaultDependencies", "Restart", "User", "Group"}


def load(root, name):
    """{key: [values]} of a unit with its drop-ins."""
    out = {}
    for f in fragments(root, name):
        text = f.read_text().replace("\\\n", " ")
        for line in text.splitlines():
            line = line.strip()
            if not line or line[0] in "#;[" or "=" not in line:
                continue
            key, value = (x.strip() for x in line.split("=", 1))
            if value == "":
                out[key] = []
            elif key in SINGLE:
                out[key] = [value]
            elif key in ("After", "Before", "Requires", "Wants", "BindsTo", "Conflicts"):
                out.setdefault(key, []).extend(value.split())
            else:
                out.setdefault(key, []).append(value)
    return out
