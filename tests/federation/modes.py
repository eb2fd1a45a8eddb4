"""The aggregations of the two modes, built from the configuration."""

from dataclasses import replace
from typing import Any

from huscf_flwr.config import RunConfig
from huscf_flwr.federation import ClusteredAveraging
from huscf_flwr.methods import resolved
from huscf_flwr.methods.huscf.averaging import averaging_of


def corrected(**changes: Any) -> ClusteredAveraging:
    """Return the aggregation of the default mode, with ``changes`` to its parts."""
    return replace(averaging_of(resolved(RunConfig())), **changes)


def parity(clusters: int) -> ClusteredAveraging:
    """Return the aggregation of the mode that does what the authors' code does."""
    content = {"mode": "parity", "huscf": {"clusters": clusters}}
    return averaging_of(resolved(RunConfig.model_validate(content)))
