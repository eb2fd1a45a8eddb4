"""Whoever speaks to a server without TLS."""

import socket


def plaintext_http(address, timeout):
    """What a server answers to a request without TLS."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout) as connection:
        connection.sendall(f"GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        try:
            return connection.recv(4096)
        except ConnectionError:
            return b""
