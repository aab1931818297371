# SPDX-License-Identifier: Apache-2.0
"""The resource policy: a small JSON document, since there is no rego here.

    {"default": "attested",        what no rule decides: attested | allow | deny
     "allow_sample": false,        whether "attested" includes the sample TEE
     "deny": ["default/key/*"],    shorthand for rules that deny, looked at first
     "rules": [                    the first that matches decides; every member but effect
                                   is optional and must match: globs for resource
       {"effect": "allow", "resource": "team-a/*/*", "tee": "tpm", "pcr8": "<64 hex>",
        "pcrs": {"4": "<64 hex>", "11": "<64 hex>"}}]}

The words allow_all and deny_all are accepted in its place, and so are the two rego
texts that say nothing but `default allow = true` or `= false`.
"""

import fnmatch
import re

from encoding import parse_json
from tokens import annotated

DEFAULT = {"default": "attested", "allow_sample": False, "deny": [], "rules": []}
RULE_MEMBERS = {"effect", "resource", "tee", "pcr8", "pcrs"}
PCR = re.compile(r"[0-9a-f]{64}\Z")
REGO = re.compile(r"package policy(?: import rego\.v1)? default allow :?= (true|false)\Z")


class Policy:
    """One parsed document. `text` is what was given."""

    def __init__(self, doc, text):
        self.doc, self.text = DEFAULT | doc, text

    def allows(self, claims, path):
        """(verdict, reason) for a token's @claims and a resource "r/t/tag"."""
        evidence = annotated(claims)
        tee = next((t for t in ("az-snp-vtpm", "az-tdx-vtpm", "snp", "tdx", "tpm", "sample") if t in evidence), None)
        for pattern in self.doc["deny"]:
            if fnmatch.fnmatchcase(path, pattern):
                return False, f"{path} is on the deny list"
        unmet = []
        for i, rule in enumerate(self.doc["rules"]):
            if (fnmatch.fnmatchcase(path, rule.get("resource", "*"))
                    and rule.get("tee", tee) == tee
                    and ("pcr8" not in rule or rule["pcr8"] == evidence.get("init_data"))):
                inner = evidence.get(tee, {})
                wrong = [n for n, v in rule.get("pcrs", {}).items() if inner.get(f"pcr{int(n):02}") != v]
                if not wrong:
                    return rule["effect"] == "allow", f"rule {i}"
                unmet.append(f"rule {i}: PCR {', '.join(wrong)} is another")
        if self.doc["default"] != "attested":
            return self.doc["default"] == "allow", "; ".join(["default", *unmet])
        if tee == "sample":
            return self.doc["allow_sample"], "the sample TEE needs allow_sample"
        return tee is not None, "default: attested"


def _are_pcrs(pcrs):
    """{"4": hex, …}, numbers of the 24 PCRs."""
    return (isinstance(pcrs, dict) and all(n.isdigit() and int(n) < 24 for n in pcrs)
            and all(isinstance(v, str) and PCR.match(v) for v in pcrs.values()))


def _check(doc):
    if not isinstance(doc, dict) or set(doc) - set(DEFAULT):
        raise ValueError("policy: not an object of " + ", ".join(DEFAULT))
    full = DEFAULT | doc
    if full["default"] not in ("attested", "allow", "deny"):
        raise ValueError("policy: default is attested, allow or deny")
    if not isinstance(full["allow_sample"], bool):
        raise ValueError("policy: allow_sample is true or false")
    if not isinstance(full["deny"], list) or not all(isinstance(p, str) for p in full["deny"]):
        raise ValueError("policy: deny is a list of globs")
    if not isinstance(full["rules"], list):
        raise ValueError("policy: rules is a list")
    for rule in full["rules"]:
        if (not isinstance(rule, dict) or set(rule) - RULE_MEMBERS
                or rule.get("effect") not in ("allow", "deny")
                or not all(isinstance(v, str) for k, v in rule.items() if k != "pcrs")
                or not _are_pcrs(rule.get("pcrs", {}))):
            raise ValueError(f"policy: bad rule {rule!r}")
    return doc


def parse(text):
    """A Policy from @text; ValueError says what is wrong with it."""
    words = " ".join(re.sub(r"#.*", "", text).split())
    rego = REGO.match(words)
    if words == "allow_all" or (rego and rego[1] == "true"):
        return Policy({"default": "allow"}, text)
    if words == "deny_all" or (rego and rego[1] == "false"):
        return Policy({"default": "deny"}, text)
    if words.startswith("package"):
        raise ValueError("policy: of rego only allow-all and deny-all are understood here")
    return Policy(_check(parse_json(text)), text)
