"""Keys and certificates of a federation: a certificate authority, the server's certificate, a key pair per hospital.

TLS lets a hospital know that it speaks to the agreed server; the hospital's own key lets the server know who speaks.
Curves are NIST P-256 for TLS and P-384 for the hospitals, which Flower asks for. Private keys are readable by their
owner only; the authority's key is never written. For a real federation the hospitals' IT departments use their own
authority: docs/federation.md.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Sequence
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec


def make_authority(folder: Path, *, name: str) -> trustme.CA:
    """Create a certificate authority and write its certificate to ``ca.crt``; its key stays in memory.

    Args:
        folder: made where it is missing.
        name: organisation that the certificate names.

    Returns:
        The authority, which signs server certificates.
    """
    authority = trustme.CA(organization_name=name, organization_unit_name="certificate authority")
    folder.mkdir(parents=True, exist_ok=True)
    authority.cert_pem.write_to_path(folder / "ca.crt")
    return authority


def make_server_certificate(
    folder: Path, authority: trustme.CA, *, hosts: Sequence[str], from_day: datetime.datetime, days: int
) -> None:
    """Write ``server.pem`` and ``server.key`` for these host names or IP addresses, signed by the authority.

    Args:
        folder: made where it is missing.
        authority: signs the certificate.
        hosts: host names and IP addresses by which the server is reached.
        from_day: first moment of validity, UTC.
        days: length of validity.
    """
    until = from_day + datetime.timedelta(days=days)
    certificate = authority.issue_cert(*hosts, common_name=hosts[0], not_before=from_day, not_after=until)
    folder.mkdir(parents=True, exist_ok=True)
    certificate.cert_chain_pems[0].write_to_path(folder / "server.pem")
    _write_secret(folder / "server.key", certificate.private_key_pem.bytes())


def make_hospital_key(folder: Path) -> Path:
    """Write a hospital's key pair, ``node`` (private, OpenSSH form) and ``node.pub``.

    The same as ``ssh-keygen -t ecdsa -b 384 -N "" -f node``.

    Args:
        folder: made where it is missing.

    Returns:
        Path of the public key.
    """
    key = ec.generate_private_key(ec.SECP384R1())
    folder.mkdir(parents=True, exist_ok=True)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    _write_secret(folder / "node", private)
    public = folder / "node.pub"
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH) + b"\n"
    )
    return public


def _write_secret(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
