# SPDX-License-Identifier: Apache-2.0
"""The manual pages against the programs' own --help: the same commands, the same options. And what
documents name is there."""

import fnmatch
import pathlib
import re
import subprocess

TOP = pathlib.Path(__file__).resolve().parents[3]
MAN = TOP / "agent/man"
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9_-]*")
# Of every program, or of development builds.
COMMON = {"--help", "--version", "--root"}


def help_of(argv, argv0=None):
    r = subprocess.run([*map(str, argv), "--help"], capture_output=True, text=True, timeout=20,
                       executable=str(argv[0]) if argv0 is None else str(argv0))
    assert r.returncode == 0 and not r.stderr, (argv, r)
    return r.stdout


def section(text, name):
    """The lines of that section of a help text: "  --json  what it does" and what goes on."""
    m = re.search(rf"^{name}:\n((?:  .*\n)+)", text, re.M)
    return m[1] if m else ""


def options_of(help_text):
    found = set()
    for line in section(help_text, "Options").splitlines():
        m = re.match(r"  {1,6}(?:-[a-z], +)?(--[a-z][a-z0-9_-]*)", line)
        if m:
            found.add(m[1])
    return found - COMMON


def commands(program, words=()):
    """{"evidence verify": {"--json", …}} of every command that has no commands below it, or both."""
    text = help_of([program, *words])
    below = re.findall(r"^  ([a-z][a-z-]*) ", section(text, "Commands"), re.M)
    # Part of a paragraph where the command does something without one too.
    below = below or re.findall(r"^  ([a-z]+)  ", text.partition("Commands:\n")[2].partition("\n\n")[0], re.M)
    out = {}
    for name in below:
        out |= commands(program, (*words, name))
    if words and (not below or section(text, "Options")):
        out[" ".join(words)] = options_of(text)
    return out


def sections(page):
    """{"COMMANDS": text} of a page's source."""
    parts = re.split(r"^# (.+)$", (MAN / page).read_text(), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2]))


def described(text):
    """{"volume list": {"--json", …}} of the entries of section COMMANDS."""
    out = {}
    for line in text.splitlines():
        if not line.startswith("*"):
            continue
        parts = re.split(r"\*([a-z][a-z|-]*(?: [a-z][a-z|-]*)?)\*", line)
        for name, rest in zip(parts[1::2], parts[2::2]):
            first, _, second = name.partition(" ")
            for word in second.split("|"):
                out.setdefault(f"{first} {word}".strip(), set()).update(OPTION.findall(rest))
    return out


def manual__of_the_command_line__has_its_commands_and_options(build):
    want = commands(build / "vouchsafe")
    assert {"volume open", "evidence", "evidence verify", "config check", "tpm quote", "status"} <= set(want), want
    got = described(sections("vouchsafe.1.scd")["COMMANDS"])
    wrong = {name: (want.get(name), got.get(name)) for name in set(want) | set(got) if want.get(name) != got.get(name)}
    assert not wrong, "\n".join(f"{n}: program {sorted(w or ()) if w is not None else 'has it not'}, "
                                f"manual {sorted(g or ()) if g is not None else 'has it not'}"
                                for n, (w, g) in sorted(wrong.items()))


def manual__of_each_daemon__has_its_options(build):
    for program in ("vouchsafed", "vouchsafe-rest", "vouchsafe-teed", "vouchsafe-mountd"):
        text = help_of([build / program])
        # What development builds add is not in a manual.
        text = "\n".join(line for line in text.splitlines() if "development builds" not in line) + "\n"
        page = sections(f"{program}.8.scd")
        entries = {o for line in page["OPTIONS"].splitlines() if line.startswith("*") for o in OPTION.findall(line)}
        assert options_of(text) == entries - COMMON and options_of(text), (program, options_of(text), entries)
        assert "*--version*" in page["OPTIONS"], program
        short = set(OPTION.findall(page["SYNOPSIS"]))
        assert short <= entries, (program, short - entries)


def manual__of_native_kata__has_the_options_of_both_names(build):
    text = sections("vouchsafed.8.scd")["NATIVE KATA"]
    for name in ("attestation-agent", "confidential-data-hub"):
        said = help_of([name], argv0=build / "vouchsafed")
        assert said.startswith(f"Usage: {name} "), said
        (line,) = [x for x in text.splitlines() if x.startswith(f"*{name}* [")]
        usage = said.splitlines()[0]
        assert re.findall(r"\[(.*?)\]", line) == re.findall(r"\[(.*?)\]", usage), (line, usage)


def manual__exit_codes__are_those_that_help_names(build):
    """Every exit code that a --help mentions stands in the manual's table."""
    table = set(re.findall(r"\*(\d+)\*", sections("vouchsafe.1.scd")["EXIT STATUS"]))
    seen = set()
    for name in commands(build / "vouchsafe"):
        text = " ".join(help_of([build / "vouchsafe", *name.split()]).split())
        said = set(re.findall(r"\b(\d{1,2}) when\b", text)) | set(re.findall(r"[Ee]xits? (?:code )?(\d{1,2})\b", text))
        assert said <= table, (name, said - table)
        seen |= said
    assert "76" in seen, seen


def manual__of_doctor__has_its_checks(build):
    del build
    code = "".join(f.read_text() for f in (TOP / "agent/cli").glob("*doctor*.c"))
    checks = set(re.findall(r'(?:doctor_(?:say|advise|fail)|check_socket)\(d,\s*"([a-z-]+)"', code)) | {"tls", "connection"}
    page = sections("vouchsafe.1.scd")["DOCTOR"]
    entries = {w for line in page.splitlines() if line.startswith("*") and "Verdicts" not in line
               for w in re.findall(r"\*([a-z-]+)\*", line)}
    assert len(checks) > 30 and checks <= entries, checks - entries
    assert entries - checks <= {"bad", "note", "fail", "skip", "ok"}, entries - checks


def documents__tests_files_and_codes_that_they_name__exist(build):
    tests = {f"{f.relative_to(TOP / 'test/integration').parts[0]}/{m}"
             for f in (TOP / "test/integration").glob("*/*.py") for m in re.findall(r"^def (\w+)\(", f.read_text(), re.M)}
    codes = {line.split()[0] for line in subprocess.run([build / "vouchsafe", "explain"], capture_output=True, text=True,
                                                        check=True).stdout.splitlines()}
    groups = {c.partition(".")[0] for c in codes} - {"initdata"}  # initdata.toml is a file
    folders = [TOP / x for x in (".", "doc", "test", "test/unit", "test/integration", "test/vm")]
    wrong = []
    for doc in (*TOP.glob("doc/*.md"), *(TOP / x for x in ("README.md", "SECURITY.md", "ARCHITECTURE.md"))):
        text = doc.read_text()
        for name in re.findall(r"`([a-z_]+/[a-z0-9_]+__[\w…*]*)`", text):
            if not any(fnmatch.fnmatch(t, name.replace("…", "*")) for t in tests):
                wrong.append(f"{doc.name}: no test {name}")
        named = re.findall(r"`([\w.-][\w./-]*/[\w.-]+\.(?:c|h|sh|py|md|service|socket|rules|mount))`", text)
        for name in named + re.findall(r"\]\(([\w./-]+)\)", text):
            if not any((f / name).exists() for f in folders):
                wrong.append(f"{doc.name}: no file {name}")
        for name in re.findall(r"`([a-z0-9]+\.[a-z0-9-]+)`", text):
            if name.partition(".")[0] in groups and name not in codes and not name.endswith((".c", ".h", ".toml")):
                wrong.append(f"{doc.name}: no code {name}")
    assert not wrong, "\n".join(wrong)


ALL = (
    manual__of_the_command_line__has_its_commands_and_options,
    manual__of_each_daemon__has_its_options,
    manual__of_native_kata__has_the_options_of_both_names,
    manual__exit_codes__are_those_that_help_names,
    manual__of_doctor__has_its_checks,
    documents__tests_files_and_codes_that_they_name__exist,
)
