# SPDX-License-Identifier: Apache-2.0
"""A throw-away certificate authority: at most the CA's certificate outlives us."""

import datetime
import ipaddress
import os
import ssl
import tempfile

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

KINDS = {
    "good": "valid from yesterday, for ten days",
    "expired": "ran out an hour ago",
    "not-yet": "becomes valid tomorrow",
    "wrong-name": "for another host only",
    "wrong-ca": "signed by a CA other than the one in the CA file",
}
HOUR = datetime.timedelta(hours=1)
DAY = 24 * HOUR


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject, issuer, key, start, end):
    return (x509.CertificateBuilder().subject_name(_name(subject)).issuer_name(_name(issuer))
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(start).not_valid_after(end)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False))


def _usage(ca):
    return x509.KeyUsage(digital_signature=not ca, key_cert_sign=ca, crl_sign=ca,
                         content_commitment=False, key_encipherment=False,
                         data_encipherment=False, key_agreement=False,
                         encipher_only=False, decipher_only=False)


def make_ca(name):
    """(certificate, key) of a new CA, valid by any clock that is off by less than ten years."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.utcnow()
    cert = (_builder(name, name, key, now - 3650 * DAY, now + 3650 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
            .add_extension(_usage(True), True).sign(key, hashes.SHA256()))
    return cert, key


def _alt_name(host):
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def make_server(ca, kind, names):
    """(certificate, key) for a server called @names, wrong in the way that @kind says."""
    ca_cert, ca_key = ca
    now = datetime.datetime.utcnow()
    start, end = {"expired": (now - 2 * DAY, now - HOUR),
                  "not-yet": (now + DAY, now + 10 * DAY)}.get(kind, (now - DAY, now + 10 * DAY))
    if kind == "wrong-name":
        names = ["elsewhere.invalid"]
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = ca_cert.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    cert = (_builder("test trustee", issuer, key, start, end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
            .add_extension(_usage(False), True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(
                ca_key.public_key()), False)
            .add_extension(x509.SubjectAlternativeName([_alt_name(n) for n in names]), False)
            .sign(ca_key, hashes.SHA256()))
    return cert, key


def pem(cert):
    return cert.public_bytes(serialization.Encoding.PEM)


def server_context(ca_file, kind="good", extra_names=()):
    """Makes CA and server certificate, writes the CA's to @ca_file, returns an SSLContext."""
    ca = make_ca("vouchsafe test CA")
    names = ["localhost", "127.0.0.1", "::1", *extra_names]
    signer = make_ca("vouchsafe test CA") if kind == "wrong-ca" else ca
    cert, key = make_server(signer, kind, names)
    with open(ca_file, "wb") as f:
        f.write(pem(ca[0]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # ssl wants files; the key stays in one only for this moment, unlinked before anyone connects.
    with tempfile.NamedTemporaryFile(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as f:
        f.write(pem(cert) + key.private_bytes(serialization.Encoding.PEM,
                                              serialization.PrivateFormat.PKCS8,
                                              serialization.NoEncryption()))
        f.flush()
        context.load_cert_chain(f.name)
    return context
