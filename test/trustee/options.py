# SPDX-License-Identifier: Apache-2.0
"""The command line, which is also the manual."""

import argparse

import pki
import teekey
from control import parse_pcr

INTRO = """\
A Trustee (KBS) for tests and demonstrations. It speaks protocol 0.4.0, really
verifies tpm and sample evidence, issues signed tokens, applies a resource policy and
encrypts resources to the attested key. Anyone who reaches its port may administer it:
keep it on the loopback address.
"""

EXAMPLES = """\
examples:
  trustee.py --resources secrets/ --trusted-ak ak.b64 --ready-file ready.json --tls
      secrets/default/key/test is then kbs:///default/key/test; ready.json appears once
      the server listens: {"port":…, "url":…, "ca":…, "pid":…}
  trustee.py --port 8080 --allow-sample --misbehave '{"kind":"drip","endpoint":"attest"}'
  curl --data-binary @ak.pem  http://127.0.0.1:8080/test/trusted-ak
  curl --data-binary secret   http://127.0.0.1:8080/kbs/v0/resource/default/key/test
  curl -d '{"kind":"stall","endpoint":"resource","count":2,"seconds":5}' \\
                              http://127.0.0.1:8080/test/misbehave
  curl http://127.0.0.1:8080/test/log        what was asked, by whom, with what outcome
  curl http://127.0.0.1:8080/metrics
See README.md beside this file for the control paths and the policy's form.
"""


def _pcr(text):
    try:
        return parse_pcr(text)
    except ValueError as e:
        raise argparse.ArgumentTypeError(str(e)) from None


def _positive(text):
    value = float(text)
    if value <= 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def parser():
    p = argparse.ArgumentParser(prog="trustee.py", description=INTRO, epilog=EXAMPLES,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    g = p.add_argument_group("listening")
    g.add_argument("--listen", metavar="ADDRESS", default="127.0.0.1",
                   help="IPv4 or IPv6 address (default: %(default)s; ::1 works too)")
    g.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    g.add_argument("--ready-file", metavar="FILE",
                   help="written, all at once, when the server listens; removed at exit")
    g.add_argument("--max-life", metavar="SECONDS", type=_positive, default=1800,
                   help="exit after that long, so that nothing is left behind (%(default)s)")
    g.add_argument("--verbose", action="store_true", help="a line on stderr for each request")

    g = p.add_argument_group("TLS (a throw-away CA is made at each start)")
    g.add_argument("--tls", action="store_true",
                   help="https, for localhost, 127.0.0.1 and ::1")
    g.add_argument("--ca-file", metavar="FILE",
                   help="where the CA's certificate goes (default: beside the ready file)")
    g.add_argument("--tls-name", metavar="NAME", action="append", default=[],
                   help="a further name or address in the certificate")
    g.add_argument("--cert", choices=pki.KINDS, default="good",
                   help="; ".join(f"{k}: {v}" for k, v in pki.KINDS.items()))

    g = p.add_argument_group("attestation")
    g.add_argument("--trusted-ak", metavar="FILE", action="append", default=[],
                   help="AKs to accept: base64 of the SPKI's DER, a line each, or one PEM")
    g.add_argument("--amd-root", metavar="FILE",
                   help="accept az-snp-vtpm of processors under this ARK and ASK (PEM, in this order)")
    g.add_argument("--intel-root", metavar="FILE",
                   help="accept az-tdx-vtpm of quoting enclaves under this root (PEM)")
    g.add_argument("--expect-pcr8", metavar="HEX", type=_pcr,
                   help="the only PCR 8 to accept, whether or not init-data is sent")
    g.add_argument("--hash", choices=teekey.HASHES,
                   help="selected-hash-algorithm (default: none said, which means sha384)")
    g.add_argument("--token-life", metavar="SECONDS", type=int, default=300)
    g.add_argument("--leeway", metavar="SECONDS", type=int, default=60,
                   help="how long past exp a token still counts (the real one: %(default)s)")
    g.add_argument("--session-life", metavar="SECONDS", type=int, default=300)
    g.add_argument("--token-key", metavar="FILE",
                   help="keep the signing key there (made when absent), so that tokens outlive "
                        "a restart")

    g = p.add_argument_group("resources")
    g.add_argument("--resources", metavar="DIR", help="files DIR/repository/type/tag")
    g.add_argument("--policy", metavar="FILE", help="resource policy (see README.md)")
    g.add_argument("--allow-sample", action="store_true",
                   help="the policy's \"attested\" includes the sample TEE")
    g.add_argument("--deny", metavar="R/T/TAG", action="append", default=[],
                   help="deny this resource (a glob), whatever else the policy says")

    g = p.add_argument_group("misbehaving")
    g.add_argument("--misbehave", metavar="JSON", action="append", default=[],
                   help="as POST /test/misbehave would")
    g.add_argument("--list-misbehaviours", action="store_true", help="say what there is, and exit")
    g.add_argument("--clock-offset", metavar="SECONDS", type=float, default=0,
                   help="be wrong about the time: in Date, cookies and tokens")
    return p
