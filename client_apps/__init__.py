"""Flower ClientApps: thin handlers around the library."""

from huscf_flwr.flower.client_app import app

__all__ = ["app"]
