"""Flower ClientApps: thin handlers around the library."""

from client_apps.huscf import app

__all__ = ["app"]
