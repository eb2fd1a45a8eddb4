"""From Flower's run config to a finished run."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from huscf_flwr.config import from_run_config
from huscf_flwr.flower.log_display import end_told
from huscf_flwr.methods import method_of
from huscf_flwr.process import prepare_process
from huscf_flwr.run.display import Display
from strategies import MethodStrategy

_LATER_SECONDS = 60.0
"""By how much Flower's own limit comes after ours, which says who was late."""


def make_server_app(*, display: Display | None = None, **parts: Any) -> ServerApp:
    """Return a ServerApp that trains with the method that the run config names.

    ``parts`` are handed to the method, such as a ``clusterer`` for HuSCF-GAN; ``display`` is told how the run
    goes. A run whose method does not know one of the parts ends with a ``TypeError`` at once.
    """
    app = ServerApp()

    @app.main()
    @end_told()
    def main(grid: Grid, context: Context) -> None:
        config = from_run_config(context.run_config)
        prepare_process(config.compute)
        method = method_of(config)
        inspect.signature(method).bind(config, {}, **parts)
        strategy = MethodStrategy(config, partial(method, **parts), display=display)
        with strategy.log:
            try:
                session_grid = strategy.prepare(grid)
                while strategy.rounds_left:  # a round that was given up is one of Flower's too
                    strategy.start(
                        session_grid,
                        strategy.initial_arrays(),
                        num_rounds=strategy.rounds_left,
                        timeout=max(config.round_seconds, config.evaluation.seconds) + _LATER_SECONDS,
                    )
                strategy.finish()
            finally:
                strategy.close()

    return app


app = make_server_app()
