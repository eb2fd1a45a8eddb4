"""The ServerApp: wiring only."""

from server_app.app import app, make_server_app

__all__ = ["app", "make_server_app"]
