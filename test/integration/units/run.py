# SPDX-License-Identifier: Apache-2.0
"""Starting: our units beside those of a pod VM image, what `make install` and the packages lay out,
the completion, and native kata's launch."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import tree  # noqa: E402
from world import Cases, Skip, TOP  # noqa: E402

BUILD = pathlib.Path(sys.argv[1]).resolve()
TMP = pathlib.Path(tempfile.mkdtemp(prefix="vouchsafe-units-"))
OURS = ("vouchsafe-initdata.service", "vouchsafed.service", "vouchsafe-rest.service", "vouchsafe-rest.socket",
        "vouchsafe-teed.service", "vouchsafe-teed.socket",
        "vouchsafe-mountd.service", "vouchsafe-mountd.socket", "vouchsafe-volumes.service",
        "media-cidata.mount", "process-user-data.service")
REPLACED = ("attestation-agent", "confidential-data-hub", "api-server-rest")
# design.md 9, last row.
THRESHOLDS = {"vouchsafed.service": 2.0, "vouchsafe-rest.service": 1.5, "vouchsafe-initdata.service": 3.0,
              "vouchsafe-teed.service": 3.0, "vouchsafe-volumes.service": 3.0,
              # Without any option of a mount namespace (design.md 2).
              "vouchsafe-mountd.service": 3.0}


def sh(*argv, **kw):
    kw.setdefault("timeout", 300)
    return subprocess.run([str(a) for a in argv], capture_output=True, text=True, **kw)


def need(*programs):
    for p in programs:
        if not shutil.which(p):
            raise Skip(f"{p} is not installed")


def make(*argv):
    return sh("make", "-s", "--no-print-directory", f"B={BUILD}", f"REVISION={revision()}", *argv, cwd=TOP)


def revision():
    """As the build has it: installing must not build another one."""
    f = BUILD / "revision"
    return f.read_text().strip() if f.exists() else "release"


def installed():
    """`make install` and its two companions, once, into a folder."""
    root = TMP / "installed"
    if not root.exists():
        need("scdoc")
        r = make("install", "install-caa", "install-kata", f"DESTDIR={root}")
        assert r.returncode == 0, r
    return root


def image(name, openshift=False, real=None):
    """A pod image's tree with vouchsafe in it. Programs of the base system are copied for verify."""
    root = TMP / name
    if root.exists():
        return root
    root.mkdir()
    if real:
        podvm = real / "src/cloud-api-adaptor/podvm"
        for part in (podvm / "files", podvm / "mkosi.images/system/mkosi.skeleton"):
            shutil.copytree(part, root, symlinks=True, dirs_exist_ok=True)
        for p in tree.STAND_INS + ("azure-ready", "kata-agent-clean"):
            if p not in tree.REPLACED:
                tree.put(root, f"usr/local/bin/{p}", "#!/bin/sh\n", 0o755)
    else:
        tree.write(root, openshift)
    shutil.copytree(installed(), root, symlinks=True, dirs_exist_ok=True)
    for p in ("attestation-agent", "confidential-data-hub", "api-server-rest"):
        (root / "usr/local/bin" / p).unlink(missing_ok=True)
    for d in ("/usr/lib/systemd/system", "/lib/systemd/system"):
        if os.path.isdir(d):
            for f in os.listdir(d):
                if not os.path.lexists(root / tree.OWN / f) and os.path.isfile(f"{d}/{f}"):
                    shutil.copy(f"{d}/{f}", root / tree.OWN / f)
            break
    (root / "bin").mkdir(exist_ok=True)
    for p in ("true", "sh", "bash", "mkdir", "ip", "umount", "mount"):
        for d in ("bin", "usr/bin"):
            tree.put(root, f"{d}/{p}", "#!/bin/sh\n", 0o755)
    return root


def verify(root, *units):
    need("systemd-analyze")
    r = sh("systemd-analyze", "verify", f"--root={root}", "--man=no", "--recursive-errors=yes", *units)
    return r.returncode, r.stderr.strip()


def own_units__alone__verify():
    root = TMP / "alone"
    shutil.copytree(installed(), root, symlinks=True)
    for p in ("true", "sh"):
        tree.put(root, f"bin/{p}", "", 0o755)
    shutil.copytree("/usr/lib/systemd/system" if os.path.isdir("/usr/lib/systemd/system") else "/lib/systemd/system",
                    root / "base", symlinks=True)
    for f in (root / "base").iterdir():
        if not os.path.lexists(root / tree.OWN / f.name) and f.is_file() and not f.is_symlink():
            shutil.copy(f, root / tree.OWN / f.name)
    tree.put(root, f"{tree.OWN}/netns@.service", tree.unit([], "Service", ["Type=oneshot", "ExecStart=/bin/true"]))
    rc, text = verify(root, *OURS)
    assert rc == 0 and text == "", (rc, text)


def check_image(root):
    """What holds in every pod image with vouchsafe in it."""
    every = sorted({f.name for d in (tree.IMAGE, tree.OWN) for f in (root / d).iterdir()
                    if f.suffix in (".service", ".path", ".socket") and "@" not in f.name and f.is_file()
                    and (d == tree.IMAGE or f.name in OURS)})
    # Deleted programs are what their units are skipped for.
    units = [u for u in every if u.rsplit(".", 1)[0] not in REPLACED]
    rc, text = verify(root, *units, "netns@podns.service")
    assert rc == 0 and "cycl" not in text, (rc, text)

    # Nothing of process-user-data's is run any more: one extend, which is ours.
    pud = tree.load(root, "process-user-data.service")
    assert pud.get("ExecStart") == ["/bin/true"] and not pud.get("ExecStartPre") and not pud.get("ExecStartPost"), pud
    assert "vouchsafe-initdata.service" in pud["Requires"] and "vouchsafe-initdata.service" in pud["After"], pud
    mask = root / tree.IMAGE / "process-user-data.service.d/10-override.conf"
    assert mask.is_file() and not mask.is_symlink(), "systemctl --root cannot follow a link to /dev/null"
    assert mask in tree.fragments(root, "process-user-data.service") and "=" not in \
        "".join(x for x in mask.read_text().splitlines() if not x.startswith("#"))
    for u in every:
        for line in (x for k, v in tree.load(root, u).items() if k.startswith("Exec") for x in v):
            assert "pcr" not in line.lower(), (u, line)

    # cdh.sock, which starts kata-agent, is bound by a unit that starts behind successful provisioning.
    assert tree.load(root, "kata-agent.path").get("PathExists", ["/run/confidential-containers/cdh.sock"]) == \
        ["/run/confidential-containers/cdh.sock"]
    d = tree.load(root, "vouchsafed.service")
    assert "vouchsafe-initdata.service" in d["Requires"] and "vouchsafe-initdata.service" in d["After"], d
    assert "RuntimeDirectory" not in d
    k = tree.load(root, "kata-agent.service")
    assert "vouchsafe-initdata.service" in k["Requires"] and "vouchsafe-initdata.service" in k["After"], k
    sockets = {"vouchsafe-rest.socket", "vouchsafe-teed.socket", "vouchsafe-mountd.socket"}
    assert not [u for u in every if u.endswith(".socket") and u not in sockets], every

    # The replaced units are skipped wherever their files lie.
    for name in REPLACED:
        for kind in ("path", "service"):
            c = tree.load(root, f"{name}.{kind}").get("ConditionPathExists", [])
            assert "!/usr/libexec/vouchsafe/vouchsafed" in c, (name, kind, c)


def caa_image__with_vouchsafe__no_cycle_one_extend_policy_first():
    check_image(image("caa"))


def openshift_image__with_vouchsafe__no_cycle_one_extend_policy_first():
    check_image(image("openshift", openshift=True))


def caa_image__the_real_tree__the_same():
    check_image(image("real", real=pathlib.Path(os.environ["CAA_TREE"])))


def caa_image__without_our_mask_and_drop_in__has_the_second_extend():
    """What the checks above would see: the tree does hold the image's own extend."""
    root = TMP / "unmasked"
    shutil.copytree(image("caa"), root, symlinks=True)
    (root / tree.IMAGE / "process-user-data.service.d/10-override.conf").unlink()
    (root / tree.OWN / "process-user-data.service.d/50-vouchsafe.conf").unlink()
    pud = tree.load(root, "process-user-data.service")
    assert any("pcr8" in x for x in pud["ExecStartPost"]), pud
    tree.put(root, f"{tree.OWN}/kata-agent.service.d/60-x.conf",
             "[Unit]\nDefaultDependencies=no\nBefore=vouchsafe-initdata.service\n")
    rc, text = verify(root, "kata-agent.service")
    assert rc != 0 and "ordering cycle" in text, (rc, text)


def enabled(root):
    need("systemctl")
    # As the packages' scripts do; the base system's own units are not this test's business.
    for u in ("vouchsafed.service", "vouchsafe-rest.socket", "vouchsafe-teed.socket", "vouchsafe-mountd.socket",
              "vouchsafe-volumes.service", "process-user-data.service"):
        r = sh("systemctl", f"--root={root}", "preset", u)
        assert r.returncode == 0, r
    sh("systemctl", f"--root={root}", "preset-all")
    wants = root / tree.IMAGE
    return {f"{f.parent.name.removesuffix('.wants')}: {f.name}" for f in wants.glob("*.wants/*")}


def presets__in_each_image__enable_ours_and_not_what_is_replaced():
    for name, openshift in (("caa", False), ("openshift", True)):
        root = TMP / f"preset-{name}"
        shutil.copytree(image(name, openshift), root, symlinks=True)
        have = enabled(root)
        for want in ("multi-user.target: vouchsafed.service", "multi-user.target: process-user-data.service",
                     "netns@podns.service: vouchsafe-rest.socket", "sockets.target: vouchsafe-teed.socket",
                     "sockets.target: vouchsafe-mountd.socket", "multi-user.target: vouchsafe-volumes.service",
                     "multi-user.target: kata-agent.path"):
            assert want in have, (name, want, sorted(have))
        for u in REPLACED:
            assert not [h for h in have if h.split(": ")[1].startswith(u + ".")], (name, sorted(have))


def security__of_each_service__is_below_its_threshold():
    need("systemd-analyze")
    root = installed()
    for unit, limit in THRESHOLDS.items():
        r = sh("systemd-analyze", "security", "--offline=true", "--no-pager", f"--root={root}", unit)
        m = re.search(r"exposure level for \S+: ([0-9.]+)", r.stdout)
        assert m and float(m[1]) <= limit, (unit, limit, m and m[1], r.stderr)


def mountd__its_unit__makes_no_mount_namespace():
    """systemd.exec(5): each of these gives the service a mount namespace, and nobody sees its mounts."""
    d = tree.load(installed(), "vouchsafe-mountd.service")
    makes = ("ProtectSystem ProtectHome ProtectProc ProcSubset ProtectControlGroups ProtectKernelLogs "
             "ProtectKernelModules ProtectKernelTunables PrivateTmp PrivateDevices PrivateMounts PrivateIPC PrivateUsers "
             "ReadOnlyPaths ReadWritePaths InaccessiblePaths ExecPaths NoExecPaths TemporaryFileSystem BindPaths "
             "BindReadOnlyPaths RootDirectory RootImage MountImages ExtensionImages ExtensionDirectories MountFlags "
             "MountAPIVFS DynamicUser LogNamespace IPCNamespacePath RuntimeDirectory StateDirectory").split()
    assert not [x for x in makes if x in d], [x for x in makes if x in d]


def directives__of_our_units__are_known_to_systemd_252():
    """verify names an unknown directive; here is that it does."""
    need("systemd-analyze")
    root = TMP / "unknown"
    shutil.copytree(installed(), root, symlinks=True)
    f = root / tree.OWN / "vouchsafed.service"
    f.write_text(f.read_text().replace("[Service]\n", "[Service]\nMemoryZSwapWriteback=no\n"))
    rc, text = verify(root, "vouchsafed.service")
    assert "MemoryZSwapWriteback" in text, (rc, text)


def folders__of_tmpfiles__have_owner_and_mode_as_designed():
    need("systemd-sysusers", "systemd-tmpfiles")
    if os.geteuid() != 0:
        raise Skip("not root")
    root = TMP / "folders"
    shutil.copytree(installed(), root, symlinks=True)
    (root / "etc").mkdir(exist_ok=True)
    r = sh("systemd-sysusers", f"--root={root}", "vouchsafe.conf")
    assert r.returncode == 0, r
    users = {x.split(":")[0]: x.split(":") for x in (root / "etc/passwd").read_text().splitlines()}
    groups = {x.split(":")[0]: x.split(":") for x in (root / "etc/group").read_text().splitlines()}
    assert users["vouchsafe"][2] == "64733" and users["vouchsafe-rest"][2] == "64734", users
    assert users["vouchsafe-rest"][3] == groups["vouchsafe-api"][2] and "vouchsafe" in groups["tss"][3].split(",")
    r = sh("systemd-tmpfiles", f"--root={root}", "--create", "vouchsafe.conf")
    assert r.returncode == 0, r
    own, api = int(users["vouchsafe"][2]), int(groups["vouchsafe-api"][2])
    group = int(groups["vouchsafe"][2])
    for path, want in {
        "confidential-containers": (0o1775, 0, group),
        "confidential-containers/initdata": (0o755, 0, 0),
        "confidential-containers/attestation-agent": (0o755, own, group),
        "confidential-containers/cdh": (0o755, own, group),
        "attestation-agent": (0o755, own, group),
        "peerpod": (0o755, 0, 0),
        "vouchsafe": (0o755, 0, 0),
        "vouchsafe/metrics": (0o750, own, api),
    }.items():
        s = (root / "run" / path).stat()
        assert (s.st_mode & 0o7777, s.st_uid, s.st_gid) == want, (path, oct(s.st_mode), s.st_uid, s.st_gid)
    # The units' writable folders are those, so that a boot does not fail for one that is missing.
    for u in THRESHOLDS:
        for p in " ".join(tree.load(root, u).get("ReadWritePaths", [])).split():
            assert p.startswith("-") or (root / p.lstrip("/")).is_dir(), (u, p)


def install__with_another_prefix__units_name_it():
    root = TMP / "prefix"
    r = make("install", f"DESTDIR={root}", "PREFIX=/opt/vs")
    assert r.returncode == 0, r
    lib = root / "opt/vs/lib/systemd/system"
    assert "ExecStart=/opt/vs/libexec/vouchsafe/vouchsafed --fd-store\n" in (lib / "vouchsafed.service").read_text()
    assert "ExecStart=/opt/vs/bin/vouchsafe initdata provision\n" in (lib / "vouchsafe-initdata.service").read_text()
    assert not (root / "usr").exists()


def install__contents__are_complete():
    root = installed()
    for path, mode in {
        "usr/bin/vouchsafe": 0o755, "usr/bin/vouchsafe-oci": 0o755,
        "usr/libexec/vouchsafe/vouchsafed": 0o755, "usr/libexec/vouchsafe/vouchsafe-rest": 0o755,
        "usr/libexec/vouchsafe/vouchsafe-teed": 0o755, "usr/libexec/vouchsafe/vouchsafe-mountd": 0o755,
        "usr/lib/sysusers.d/vouchsafe.conf": 0o644, "usr/lib/tmpfiles.d/vouchsafe.conf": 0o644,
        "usr/lib/systemd/system-preset/25-vouchsafe.preset": 0o644,
        "usr/lib/systemd/system-preset/25-vouchsafe-caa.preset": 0o644,
        "usr/lib/udev/rules.d/60-vouchsafe-tpm.rules": 0o644, "usr/lib/udev/rules.d/90-vouchsafe-cidata.rules": 0o644,
        "usr/share/bash-completion/completions/vouchsafe": 0o644, "usr/share/man/man1/vouchsafe.1": 0o644,
        "usr/share/man/man8/vouchsafed.8": 0o644, "usr/share/doc/vouchsafe/LICENSE": 0o644,
        **{f"usr/lib/systemd/system/{u}": 0o644 for u in OURS},
    }.items():
        s = (root / path).stat()
        assert s.st_mode & 0o7777 == mode, (path, oct(s.st_mode))
    # Every *.service of systemd/ is installed.
    for f in (TOP / "systemd").glob("*.service"):
        assert (root / "usr/lib/systemd/system" / f.name).exists(), f.name
    for name, to in {"attestation-agent": "vouchsafed", "confidential-data-hub": "vouchsafed",
                     "api-server-rest": "vouchsafe-rest"}.items():
        assert os.readlink(root / "usr/local/bin" / name) == f"/usr/libexec/vouchsafe/{to}"


def development_build__is_refused_by_install_and_packages():
    dev = BUILD / "dev"
    for target in ("install", "install-kata", "deb", "rpm"):
        for how in (["DEV=1"], [f"B={dev}"]):
            if target == "rpm" and how != ["DEV=1"]:
                continue  # made of a source archive
            root = TMP / "refused"
            r = sh("make", "-s", "--no-print-directory", *how, "-o", "all", "-o", "man", target, f"DESTDIR={root}",
                   cwd=TOP)
            assert r.returncode != 0 and "not installed" in r.stderr and not root.exists(), (target, how, r)


def main():
    from boot import CASES as BOOT
    from kata import CASES as KATA
    from packages import CASES as PACKAGES
    c = Cases()
    only = sys.argv[2] if len(sys.argv) > 2 else ""
    try:
        for fn in (
            own_units__alone__verify,
            caa_image__with_vouchsafe__no_cycle_one_extend_policy_first,
            openshift_image__with_vouchsafe__no_cycle_one_extend_policy_first,
            # Where CAA_TREE names a checkout of cloud-api-adaptor.
            *([caa_image__the_real_tree__the_same] if os.environ.get("CAA_TREE") else []),
            caa_image__without_our_mask_and_drop_in__has_the_second_extend,
            presets__in_each_image__enable_ours_and_not_what_is_replaced,
            security__of_each_service__is_below_its_threshold,
            mountd__its_unit__makes_no_mount_namespace,
        directives__of_our_units__are_known_to_systemd_252,
            folders__of_tmpfiles__have_owner_and_mode_as_designed,
            install__contents__are_complete,
            install__with_another_prefix__units_name_it,
            development_build__is_refused_by_install_and_packages,
            *PACKAGES,
            *KATA,
            *BOOT,
        ):
            # The real tree is upstream's and lies outside the repository: asked for by CAA_TREE only.
            if "the_real_tree" in fn.__name__ and not os.environ.get("CAA_TREE"):
                continue
            if only in fn.__name__:
                c.run(fn)
        return c.finish()
    finally:
        shutil.rmtree(TMP, ignore_errors=True)


if __name__ == "__main__":
    sys.modules["run"] = sys.modules["__main__"]
    sys.exit(main())
