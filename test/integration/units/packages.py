# SPDX-License-Identifier: Apache-2.0
"""The Debian packages and RPMs, and the completion of bash."""

import os
import re
import shutil
import subprocess

from run import BUILD, OURS, TMP, make, need, sh, TOP

OUT = TOP / "build/deb"
KATA_NAMES = ("attestation-agent", "confidential-data-hub", "api-server-rest")


def debs():
    """Built once; {package: file}."""
    need("dpkg-deb", "dpkg-shlibdeps", "scdoc")
    if not (TMP / "deb").exists():
        r = make("deb")
        assert r.returncode == 0, r
        (TMP / "deb").mkdir()
        for line in r.stdout.split():
            shutil.copy(line, TMP / "deb")
    return {f.name.split("_")[0]: f for f in (TMP / "deb").glob("*.deb")}


def field(deb, name):
    return sh("dpkg-deb", "-f", deb, name).stdout.strip()


def deb__each_package__holds_its_files_and_names_its_libraries():
    have = debs()
    assert set(have) == {"vouchsafe", "vouchsafe-caa", "vouchsafe-kata"}, have
    lists = {}
    for name, deb in have.items():
        lines = sh("dpkg-deb", "-c", deb).stdout.splitlines()
        assert all(x.split()[1] == "root/root" for x in lines), name
        lists[name] = {x.split()[5].removeprefix(".") for x in lines if not x.startswith("d")}
    assert {"/usr/bin/vouchsafe", "/usr/libexec/vouchsafe/vouchsafed", "/usr/share/doc/vouchsafe/copyright",
            "/usr/lib/systemd/system/vouchsafed.service", "/usr/share/man/man1/vouchsafe.1.gz"} <= lists["vouchsafe"]
    assert "/usr/lib/systemd/system/process-user-data.service" in lists["vouchsafe-caa"]
    assert lists["vouchsafe-kata"] == {f"/usr/local/bin/{n}" for n in KATA_NAMES}
    assert not set.intersection(*lists.values())
    units = {os.path.basename(f) for files in lists.values() for f in files if f.startswith("/usr/lib/systemd/system/")}
    assert set(OURS) <= units, units
    depends = field(have["vouchsafe"], "Depends")
    for library in ("libc6", "libcurl", "libssl3", "libcjson1", "libtss2-esys", "zlib1g", "libprotobuf-c1",
                    "libmicrohttpd12", "libyaml-0-2"):
        assert library in depends, (library, depends)
    for name in ("vouchsafe-caa", "vouchsafe-kata"):
        assert f"vouchsafe (= {field(have['vouchsafe'], 'Version')})" in field(have[name], "Depends")


def deb__installed_in_a_root_of_its_own__works_and_can_be_removed():
    need("dpkg", "systemctl", "systemd-sysusers")
    if os.geteuid() != 0:
        from world import Skip
        raise Skip("not root")
    root = TMP / "dpkg"
    have = debs()
    for d in ("var/lib/dpkg/info", "var/lib/dpkg/updates", "etc"):
        (root / d).mkdir(parents=True)
    for f in ("status", "available"):
        (root / "var/lib/dpkg" / f).touch()
    # Without chroot the scripts see this machine: they are given a PATH that holds nothing.
    dpkg = ["dpkg", f"--root={root}", "--force-depends", "--force-script-chrootless", "--no-triggers", "--log=/dev/null"]
    tools = TMP / "tools"
    tools.mkdir()
    calls = TMP / "calls"
    for t in ("systemd-sysusers", "systemctl", "systemd-tmpfiles", "udevadm"):
        (tools / t).write_text(f'#!/bin/sh\necho "{t} $*" >>{calls}\n')
        (tools / t).chmod(0o755)
    env = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    for name in ("vouchsafe", "vouchsafe-caa", "vouchsafe-kata"):
        r = sh(*dpkg, "-i", have[name], env=env)
        assert r.returncode == 0, r
    assert (root / "usr/bin/vouchsafe").exists() and (root / "usr/local/bin/attestation-agent").is_symlink()
    r = sh(root / "usr/bin/vouchsafe", "--version")
    assert r.returncode == 0 and "DEVELOPMENT" not in r.stdout, r
    said = calls.read_text()
    for want in ("systemd-sysusers vouchsafe.conf", "systemctl preset vouchsafed.service vouchsafe-rest.socket vouchsafe-teed.socket",
                 "systemctl preset process-user-data.service"):
        assert want in said, (want, said)
    assert " start" not in said, said
    for name in ("vouchsafe-kata", "vouchsafe-caa", "vouchsafe"):
        r = sh(*dpkg, "--purge", name, env=env)
        assert r.returncode == 0, r
    left = [str(f.relative_to(root)) for f in root.rglob("*") if f.is_file() and "var/lib/dpkg" not in str(f)]
    assert left == [], left


def deb__built_twice__is_the_same_to_the_byte():
    have = debs()
    first = {n: f.read_bytes() for n, f in have.items()}
    r = make("deb")
    assert r.returncode == 0, r
    for line in r.stdout.split():
        name = os.path.basename(line).split("_")[0]
        assert open(line, "rb").read() == first[name], name


def rpm__spec__parses_and_lists_what_is_installed():
    need("rpmspec")
    from run import installed
    spec = TOP / "systemd/packaging/vouchsafe.spec"
    r = sh("rpmspec", "-P", spec)
    assert r.returncode == 0, r
    r = sh("rpmspec", "-q", "--qf", "%{name}\n", spec)
    assert r.stdout.split() == ["vouchsafe", "vouchsafe-caa", "vouchsafe-kata"], r
    text = sh("rpmspec", "-P", spec).stdout
    patterns = [x.removeprefix("%dir ").strip() for x in re.findall(r"^(?:%dir )?(/[^\s]+)$", text, re.M)]
    root = installed()
    files = ["/" + str(f.relative_to(root)) for f in root.rglob("*") if not f.is_dir() or f.is_symlink()]
    import fnmatch
    for f in files:
        assert any(fnmatch.fnmatch(f, p) or f.startswith(p + "/") for p in patterns), ("in no package", f)
    for p in patterns:
        assert any(fnmatch.fnmatch(f, p) or f.startswith(p) for f in files) or (root / p.lstrip("/")).is_dir(), p


COMPLETE = r"""
set -u
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_vouchsafe
printf '%s\n' "${COMPREPLY[@]}"
"""


def complete(*words):
    file = TOP / "agent/cli/completion/vouchsafe.bash"
    r = subprocess.run(["bash", "-c", COMPLETE, "bash", file, BUILD / "vouchsafe", *words], capture_output=True,
                       text=True, timeout=30, cwd=TMP)
    assert r.returncode == 0 and r.stderr == "", r
    return [x for x in r.stdout.splitlines() if x]


def section(text, name):
    m = re.search(rf"^{name}:\n((?:  .*\n|   +.*\n)+)", text, re.M)
    return [x.split()[0] for x in (m[1] if m else "").splitlines() if re.match(r"  \S", x)]


def walk(path=()):
    """Every command with the help it prints."""
    text = sh(BUILD / "vouchsafe", *path, "--help").stdout
    yield path, text
    for name in section(text, "Commands"):
        yield from walk((*path, name))


def completion__of_every_command__offers_what_help_lists():
    seen = 0
    for path, text in walk():
        commands, options = section(text, "Commands"), section(text, "Options")
        if commands:
            assert complete(*path, "") == commands, path
            assert complete(*path, commands[0][:2]) == [c for c in commands if c.startswith(commands[0][:2])], path
        assert sorted(complete(*path, "-")) == sorted({*options, "--help"}), (path, complete(*path, "-"))
        seen += len(commands) + len(options)
    assert seen > 30, seen


def completion__of_values__offers_words_files_and_codes():
    (TMP / "some-file").touch()
    (TMP / "some-folder").mkdir()
    assert complete("--log", "") == ["error", "warn", "info", "debug"]
    assert complete("--log", "w") == ["warn"]
    assert complete("initdata", "build", "--algorithm", "sha") == ["sha256", "sha384", "sha512"]
    assert complete("initdata", "build", "--algorithm", "=", "sha3") == ["sha384"]
    assert complete("initdata", "build", "--aa", "some-f") in (["some-file", "some-folder"], ["some-folder", "some-file"])
    assert complete("token", "--type", "") == ["kbs", "coco_as"]
    assert complete("config", "check", "--as", "") == ["initdata", "aa.toml", "cdh.toml", "vouchsafe.toml"]
    assert complete("evidence", "verify", "--tee", "az") == ["az-snp-vtpm", "az-tdx-vtpm"]
    assert "none" in complete("initdata", "provision", "--source", "")
    # What can be anything is not offered as something.
    for free in (("seal", "keygen", "--kid"), ("seal", "vault", "--provider"), ("volume", "open", "--mapper"),
                 ("evidence", "--runtime-data-base64"), ("evidence", "verify", "--report-data")):
        assert complete(*free, "") == [], (free, complete(*free, ""))
    assert "verify" not in complete("evidence", "--runtime-data-base64", "YQ==", "--"), "an option is wanted"
    assert "some-file" in complete("initdata", "digest", "some-")
    assert complete("explain", "kbs.policy-d") == ["kbs.policy-denied"]
    # Behind options and their values there is still the command.
    assert "build" in complete("--log", "debug", "initdata", "b")
    assert complete("nonsense", "x") == []


CASES = (
    deb__each_package__holds_its_files_and_names_its_libraries,
    deb__installed_in_a_root_of_its_own__works_and_can_be_removed,
    deb__built_twice__is_the_same_to_the_byte,
    rpm__spec__parses_and_lists_what_is_installed,
    completion__of_every_command__offers_what_help_lists,
    completion__of_values__offers_words_files_and_codes,
)
