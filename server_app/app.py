"""From Flower's run config to a finished run."""

from __future__ import annotations

from typing import Any

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from huscf_flwr.config import from_run_config
from huscf_flwr.process import prepare_process
from strategies import HuSCF

_ROUND_SECONDS = 12 * 3600.0
"""Flower's own time-to-live of a message; whoever is gone is found out much earlier, by the executor."""


def make_server_app(**parts: Any) -> ServerApp:
    """Return a ServerApp that trains with ``HuSCF``; ``parts`` are handed to it, such as a ``clusterer``."""
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        config = from_run_config(context.run_config)
        prepare_process(config.compute)
        strategy = HuSCF(config, **parts)
        with strategy.log:
            try:
                session_grid = strategy.prepare(grid)
                while strategy.rounds_left:  # a round that was given up is one of Flower's too
                    strategy.start(
                        session_grid,
                        strategy.initial_arrays(),
                        num_rounds=strategy.rounds_left,
                        timeout=_ROUND_SECONDS,
                    )
                strategy.finish()
            finally:
                strategy.close()

    return app


app = make_server_app()
