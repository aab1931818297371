# SPDX-License-Identifier: Apache-2.0
"""Counters under the names of the real Trustee, in Prometheus' text form."""

import threading

HELP = {
    "kbs_http_requests_total": "HTTP requests (not counting /test and /metrics)",
    "kbs_auth_requests_total": "requests to /auth",
    "kbs_auth_successes_total": "challenges given",
    "kbs_auth_errors_total": "requests to /auth refused",
    "kbs_attestation_requests_total": "requests to /attest",
    "kbs_attestation_errors_total": "requests to /attest refused",
    "kbs_attestation_successes_total": "evidence verified, by TEE",
    "kbs_attestation_failures_total": "evidence refused, by TEE",
    "kbs_policy_evaluations_total": "resource policy evaluations",
    "kbs_policy_approvals_total": "of these, allowed",
    "kbs_policy_violations_total": "of these, denied",
    "kbs_resource_reads_total": "resources released, by path",
    "kbs_resource_writes_total": "resources stored, by path",
    "kbs_resource_deletes_total": "resources deleted, by path",
}
LABEL = {"kbs_attestation_successes_total": "tee_type",
         "kbs_attestation_failures_total": "tee_type",
         "kbs_resource_reads_total": "resource_path", "kbs_resource_writes_total": "resource_path",
         "kbs_resource_deletes_total": "resource_path"}


class Metrics:
    """All counters; those without a label are there, as 0, from the start."""

    def __init__(self):
        self._lock = threading.Lock()
        self._values = {(name, ""): 0 for name in HELP if name not in LABEL}

    def count(self, name, label=""):
        with self._lock:
            self._values[name, label] = self._values.get((name, label), 0) + 1

    def text(self):
        with self._lock:
            values = sorted(self._values.items())
        lines = []
        for name, text in HELP.items():
            lines += [f"# HELP {name} {text}", f"# TYPE {name} counter"]
            for (which, label), value in values:
                if which == name:
                    tag = f'{{{LABEL[name]}="{label}"}}' if name in LABEL else ""
                    lines.append(f"{name}{tag} {value}")
        return "\n".join(lines) + "\n"
