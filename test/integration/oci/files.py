# SPDX-License-Identifier: Apache-2.0
"""Files and folders of secrets, as Kubernetes, podman and people mount them."""

import os
import subprocess

from box import Box, tree_digest


def volume(path, version="..2026_08_20_14_03_11.1", **files):
    """A Kubernetes secret volume."""
    (path / version).mkdir(parents=True)
    for name, text in files.items():
        (path / version / name).write_text(text)
        (path / version / name).chmod(0o400)
        (path / name).symlink_to(f"..data/{name}")
    (path / "..data").symlink_to(version)
    return path


def kubernetes_volume__with_a_sealed_key__is_unsealed_whole(build):
    with Box(build) as b:
        b.more_settings(more_secret_prefixes=[f"{b.tmp}/pods/*/volumes/kubernetes.io~secret"])
        v = volume(b.tmp / "pods/uid1/volumes/kubernetes.io~secret/db", password="sealed.file.f.f\n", user="bob")
        (v / "..2025_old").mkdir()
        (v / "..2025_old/password").write_text("sealed.denied.d.d")
        os.chown(v / "..data/user", 5, 6)
        os.chmod(v / "..data/user", 0o444)
        before = tree_digest(v)
        r = b.oci("run", "-b", b.bundle(["sh", "-c", "cat /creds/password; echo; cat /creds/user; echo; ls -A /creds; readlink /creds/password; "
                                         "stat -L -c '%a %u %g' /creds/user"], mounts=[(v, "/creds")]), "c")
        assert r.stdout.splitlines() == [b.file_canary, "bob", "..2026_08_20_14_03_11.1", "..data", "password", "user", "..data/password",
                                         "444 5 6"], (r.stdout, r.stderr)
        assert tree_digest(v) == before
        assert [(q["sealed"], q["name"]) for q in b.requests()] == [("sealed.file.f.f", "/creds/password")]
        b.nothing_left()


def kubernetes_volume__without_sealed_keys__stays_mounted_and_live(build):
    with Box(build) as b:
        v = volume(b.tmp / "v", token="one")
        assert b.create(b.bundle(["sh", "-c", "while [ \"$(cat /run/secrets/token)\" = one ]; do sleep 0.05; done; cat /run/secrets/token"],
                                 mounts=[(v, "/run/secrets")]), "c") == 0
        assert b.oci("start", "c").returncode == 0
        (v / "..2027").mkdir()
        (v / "..2027/token").write_text("two")
        (v / "..data_tmp").symlink_to("..2027")
        (v / "..data_tmp").rename(v / "..data")
        for _ in range(200):
            if b.output("c"):
                break
            subprocess.run(["sleep", "0.02"])
        assert b.output("c") == "two"


def folder__named_by_the_annotation__is_unsealed_and_others_are_not(build):
    with Box(build) as b:
        for name in ("yes", "no"):
            (b.tmp / name / "sub").mkdir(parents=True)
            (b.tmp / name / "sub/key").write_text("sealed.file.f.f")

        def change(spec):
            spec["annotations"] = {"io.vouchsafe.secrets": "/creds"}
        r = b.oci("run", "-b", b.bundle(["sh", "-c", "cat /creds/sub/key; echo; cat /tmp/no/sub/key"], change=change,
                                        mounts=[(b.tmp / "yes", "/creds"), (b.tmp / "no", "/tmp/no")]), "c")
        assert r.stdout == f"{b.file_canary}\nsealed.file.f.f", r


def fifty_secrets__of_one_container__come_over_one_connection(build):
    with Box(build) as b:
        (b.tmp / "many").mkdir()
        env = []
        for i in range(25):
            b.rule(f"sealed.n{i}.x.y", text=f"value {i}")
            (b.tmp / "many" / f"f{i:02}").write_text(f"sealed.n{i}.x.y")
            env.append(f"V{i}=sealed.n{i}.x.y")
        r = b.oci("run", "-b", b.bundle(["sh", "-c", "cat /run/secrets/*; echo; env"], env=env, mounts=[(b.tmp / "many", "/run/secrets")]), "c")
        first, *rest = r.stdout.splitlines()
        assert first == "".join(f"value {i}" for i in range(25)), (first, r.stderr)
        for i in range(25):
            assert f"V{i}=value {i}" in rest
        assert len(b.requests()) == 50
        b.nothing_left()


def value__with_every_awkward_character__arrives_exactly(build):
    with Box(build) as b:
        text = "".join(chr(c) for c in range(1, 0x180)) + "\\\"\u2028\U0001f511\n\n"
        b.rule("sealed.odd.o.o", text=text)
        r = subprocess.run(b.argv("run", "-b", b.bundle(["sh", "-c", 'echo -n "$V"; echo .'], env=["V=sealed.odd.o.o"]), "c"),
                           capture_output=True, stdin=subprocess.DEVNULL, timeout=30)
        assert r.stdout == text.encode() + b".\n", r.stdout


def large_file__of_three_mebibytes__arrives(build):
    with Box(build) as b:
        b.rule("sealed.big.b.b", text="x" * (3 << 20))
        f = b.tmp / "f"
        f.write_text("sealed.big.b.b")
        r = b.oci("run", "-b", b.bundle(["sh", "-c", "stat -c %s /tmp/f"], mounts=[(f, "/tmp/f")]), "c")
        assert r.stdout == f"{3 << 20}\n", r


CASES = [v for k, v in list(globals().items()) if "__" in k and callable(v) and not k.startswith("__")]
