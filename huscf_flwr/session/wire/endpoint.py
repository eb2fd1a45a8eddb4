"""Where the executor listens, and how both ends make sure of each other: addresses and TLS.

An address is ``host:port``, as gRPC takes it, with ``tls://`` before it where the executor serves TLS. It
travels to the hosts in Flower's messages. A host that has been given root certificates never talks to an
executor without TLS: an address cannot turn it off.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import grpc
from cryptography import x509

from huscf_flwr.session.attendance import SessionError

_TLS = "tls://"
_HANDSHAKE_SECONDS = 10.0
_LAST_PORT = 65_535
_ANYWHERE = ("0.0.0.0", "::")
Options = Sequence[tuple[str, int]]


class EndpointError(ValueError):
    """The executor must not, or cannot, listen as it was told to."""


class PortTakenError(OSError):
    """The executor cannot listen where it was told to."""


@dataclass(frozen=True)
class Endpoint:
    """Where and how the executor listens.

    Attributes:
        bind: ``host:port``; port 0 takes a free one.
        advertise: ``host:port`` that clients are told, if not the bound one.
        certificate: PEM file with the server's certificate, and those between it and its authority.
        key: PEM file with the certificate's private key.
        insecure: without a certificate, listen to other machines all the same.
    """

    bind: str
    advertise: str | None = None
    certificate: Path | None = None
    key: Path | None = None
    insecure: bool = False

    def check(self) -> None:
        """Raise ``EndpointError`` naming the setting, if the parts do not fit together or cannot be used."""
        if (self.certificate is None) != (self.key is None):
            given, missing = ("certificate", "key") if self.key is None else ("key", "certificate")
            raise EndpointError(
                f"executor.{given} is {self.certificate or self.key}, but executor.{missing} is not set; "
                f"give both, or neither"
            )
        if self.certificate is not None and self.insecure:
            raise EndpointError(
                f"executor.insecure is true, but executor.certificate is {self.certificate}; give one"
            )
        host = _host("executor.bind", self.bind)
        if self.advertise is not None:
            _host("executor.advertise", self.advertise)
        if self.advertise is None and host in _ANYWHERE:
            raise EndpointError(
                f"executor.bind: {self.bind} is every address of this machine; set executor.advertise to the "
                f"one by which clients reach it"
            )
        if self.certificate is None and not self.insecure and not _is_loopback(host):
            raise EndpointError(
                f"executor.bind: {self.bind} can be reached from other machines, and there is no TLS; set "
                f"executor.certificate and executor.key, bind to 127.0.0.1, or set executor.insecure to "
                f"true where everybody in the network may read and change what is sent"
            )
        if self.certificate is not None and self.key is not None:
            self._credentials(self.certificate, self.key)

    def check_free(self) -> None:
        """Raise ``PortTakenError`` if somebody listens there already, before anything else is started."""
        host, port = _host("executor.bind", self.bind), int(self.bind.rpartition(":")[2])
        if not port:
            return
        try:
            kind = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            with socket.socket(kind, socket.SOCK_STREAM) as place:
                # As gRPC does: what a process that has ended leaves behind is in nobody's way.
                place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                place.bind((host, port))
        except OSError as error:
            raise self._taken(error.strerror) from error

    def _taken(self, why: str | None = None) -> PortTakenError:
        because = f" ({why})" if why else ""
        return PortTakenError(
            f"executor.bind: cannot listen at {self.bind}{because}; take a free port, or 0 to find one"
        )

    def listen(self, server: grpc.Server) -> str:
        """Let ``server`` listen; return the address for the hosts.

        Raises ``EndpointError`` as ``check`` does, and ``PortTakenError`` if the port cannot be had.
        """
        self.check()
        try:
            if self.certificate is not None and self.key is not None:
                credentials = self._credentials(self.certificate, self.key)
                port = server.add_secure_port(self.bind, credentials)
            else:
                port = server.add_insecure_port(self.bind)
        except RuntimeError:
            port = 0
        if port == 0:
            raise self._taken()
        place = self.advertise or f"{self.bind.rpartition(':')[0]}:{port}"
        return f"{_TLS if self.certificate is not None else ''}{place}"

    def _credentials(self, certificate: Path, key: Path) -> Any:
        chain, secret = _read("executor.certificate", certificate), _read("executor.key", key)
        try:
            # An empty password: a key that needs one is refused and not asked for in a terminal.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
        except (ssl.SSLError, ValueError) as error:
            raise EndpointError(
                f"executor.certificate: {certificate} and executor.key: {key} are not a certificate and its "
                f"unencrypted private key, in PEM ({error})"
            ) from error
        self._check_names(x509.load_pem_x509_certificate(chain))
        return grpc.ssl_server_credentials([(secret, chain)])

    def _check_names(self, certificate: x509.Certificate) -> None:
        setting, address = "executor.bind", self.bind
        if self.advertise is not None:
            setting, address = "executor.advertise", self.advertise
        told, names = _host(setting, address), _names(certificate)
        if not any(_covers(name, told) for name in names):
            raise EndpointError(
                f"{setting}: {address} is not in the certificate {self.certificate}, which is for "
                f"{', '.join(names) or 'nobody'}; set executor.advertise to an address that is"
            )


def open_channel(address: str, roots: bytes | None, options: Options) -> grpc.Channel:
    """Return a channel to the executor at ``address``, for whose certificate ``roots`` (PEM) must vouch.

    Raises ``SessionError`` if the executor cannot prove who it is, if it does not want to although there are
    ``roots``, or the other way round.
    """
    place = address.removeprefix(_TLS)
    if _is_loopback(place.rpartition(":")[0].strip("[]")):
        # A proxy that the environment names would look for the executor on its own machine.
        options = (*options, ("grpc.enable_http_proxy", 0))
    if place == address:
        if roots is not None:
            raise SessionError(
                f"the executor at {address} has no TLS, but this SuperNode's node config has "
                f"root-certificates; set executor.certificate and executor.key on the server"
            )
        return grpc.insecure_channel(place, options=options)
    if roots is None:
        raise SessionError(
            f"the executor at {address} has TLS, but this SuperNode's node config has no root-certificates; "
            f"give it the file that --root-certificates names"
        )
    _shake_hands(place, roots)
    return grpc.secure_channel(place, grpc.ssl_channel_credentials(roots), options=options)


def _shake_hands(place: str, roots: bytes) -> None:
    """Find out now, and in words, what gRPC would try again and again; raise ``SessionError`` with it."""
    host, _, port = place.rpartition(":")
    name = host.strip("[]")
    try:
        context = ssl.create_default_context(cadata=roots.decode("ascii", "replace"))
        context.set_alpn_protocols(["h2"])
        with (
            socket.create_connection((name, int(port)), _HANDSHAKE_SECONDS) as connection,
            context.wrap_socket(connection, server_hostname=name),
        ):
            return
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason or str(error)
        raise SessionError(
            f"the executor at {place} is not whom this SuperNode trusts ({reason}); check root-certificates "
            f"in its node config"
        ) from error
    except OSError:
        # Nobody is there, or not yet: gRPC waits for them.
        return


def is_on_this_machine(peer: str) -> bool:
    """Return whether ``peer``, as gRPC writes a stream's other end, has an address of this machine alone."""
    family, _, place = peer.partition(":")
    if family in ("ipv4", "ipv6"):
        return _is_loopback(unquote(place).rpartition(":")[0].strip("[]"))
    return family in ("unix", "unix-abstract")


def _host(setting: str, address: str) -> str:
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal():
        raise EndpointError(f"{setting}: '{address}' is not host:port; write it as in server.example:9000")
    if int(port) > _LAST_PORT:
        raise EndpointError(f"{setting}: '{address}' has the port {port}; the last one is {_LAST_PORT}")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise EndpointError(
            f"{setting}: '{address}' may mean several addresses; write one of IPv6 in brackets, as in "
            f"[{host}]:{port}"
        )
    return host.strip("[]")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read(setting: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EndpointError(f"{setting}: {path} cannot be read: {error.strerror}") from error


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = [str(address) for address in found.get_values_for_type(x509.IPAddress)]
    return [*found.get_values_for_type(x509.DNSName), *addresses]


def _covers(name: str, host: str) -> bool:
    if name.startswith("*."):
        return host.partition(".")[2].casefold() == name[2:].casefold()
    return host.casefold() == name.casefold()
