"""Certificates for the server and a key for every SuperNode, without openssl.

The server's certificate is signed by an authority that is made for it, and whose own key is thrown away: it
can sign nothing else. For a longer life than ``days``, make new ones, or take those of a real authority. A
SuperNode's key is an elliptic-curve key of the curve P-384, in the formats that Flower reads.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from huscf_flwr.atomic_file import write_atomically
from huscf_flwr.existing import check_file, check_outputs

_CURVE = ec.SECP384R1
_DNS_NAME = re.compile(r"(\*\.)?(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?")
_LONGEST_NAME = 253
_MOST_DAYS = 36_500
_CLOCK_SKEW = timedelta(minutes=5)


class CredentialsError(ValueError):
    """Certificates or keys cannot be made as asked."""


@dataclass(frozen=True)
class ServerCredentials:
    """PEM files of a server: ``authority`` goes to everybody, ``key`` stays where it is."""

    authority: Path
    certificate: Path
    key: Path


@dataclass(frozen=True)
class NodeKey:
    """A SuperNode's key: ``public`` is registered with the SuperLink, ``private`` stays on the device."""

    private: Path
    public: Path


def make_server_credentials(
    folder: Path, names: Sequence[str], *, days: int = 365, replace: bool = False
) -> ServerCredentials:
    """Write ``ca.crt``, ``server.pem`` and ``server.key`` for a server that is called any of ``names``.

    Names are DNS names or IP addresses, as clients will write them. Raises ``CredentialsError`` if there is
    no name, or no day or too many, ``FileExistsError`` naming a file that is there if it is not to
    ``replace`` it, and ``UnusableFolderError`` naming one that cannot be written: all three are, or none.
    """
    found = ServerCredentials(folder / "ca.crt", folder / "server.pem", folder / "server.key")
    check_outputs(files=(found.authority, found.certificate, found.key), replaces=replace)
    if not names:
        raise CredentialsError("a certificate needs at least one name or address of the server; give --name")
    if not 1 <= days <= _MOST_DAYS:
        raise CredentialsError(
            f"--days {days}: a certificate is valid for 1 to {_MOST_DAYS:,} days, a hundred years"
        )
    authority_key, server_key = ec.generate_private_key(_CURVE()), ec.generate_private_key(_CURVE())
    authority = _authority(authority_key, days)
    certificate = _server_certificate(server_key, names, authority, authority_key, days)
    write_atomically(found.authority, authority.public_bytes(Encoding.PEM))
    write_atomically(found.certificate, certificate.public_bytes(Encoding.PEM))
    _write_private(found.key, server_key, PrivateFormat.PKCS8)
    return found


def make_node_key(private: Path) -> NodeKey:
    """Return the key in the file ``private``, public half in ``<private>.pub``; make it if there is none.

    A key that is there is kept: it is what the SuperNode is known by. Raises ``CredentialsError`` if only one
    half is there, and ``UnusableFolderError`` naming a half that cannot be written.
    """
    key = NodeKey(private, private.with_name(f"{private.name}.pub"))
    halves = (key.private, key.public)
    if not os.path.lexists(private) or any(half.is_dir() for half in halves):
        for half in halves:
            check_file(half)
    if private.exists() and key.public.exists():
        return key
    if private.exists() or key.public.exists():
        raise CredentialsError(f"{private}: only one half of this key is there; restore or delete it")
    made = ec.generate_private_key(_CURVE())
    _write_private(private, made, PrivateFormat.OpenSSH)
    write_atomically(key.public, made.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
    return key


def _authority(key: ec.EllipticCurvePrivateKey, days: int) -> x509.Certificate:
    name = _common_name("huscf-flwr authority")
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        _builder(name, name, key.public_key(), days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA384())
    )


def _server_certificate(
    key: ec.EllipticCurvePrivateKey,
    names: Sequence[str],
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    days: int,
) -> x509.Certificate:
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    return (
        _builder(_common_name(names[0][:64]), authority.subject, key.public_key(), days)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(issuer, critical=False)
        .sign(authority_key, hashes.SHA384())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=days))
    )


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        pass
    if not _DNS_NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise CredentialsError(
            f"--name {name}: neither a DNS name in ASCII nor an IP address; write it without "
            "scheme and port, as in server.example"
        )
    return x509.DNSName(name)


def _write_private(path: Path, key: ec.EllipticCurvePrivateKey, form: PrivateFormat) -> None:
    write_atomically(path, key.private_bytes(Encoding.PEM, form, NoEncryption()), private=True)
