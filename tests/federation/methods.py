"""The two modes as the configuration builds them, for tests of what they do after a round."""

from dataclasses import replace
from typing import Any

from huscf_flwr.config import MethodSection, RunConfig, resolve
from huscf_flwr.federation import ClusteredAveraging
from huscf_flwr.training.method import method_of


def corrected(**changes: Any) -> ClusteredAveraging:
    """Return the default mode with ``changes`` to its parts."""
    return replace(method_of(resolve(RunConfig())), **changes)


def parity(clusters: int) -> ClusteredAveraging:
    """Return the mode that does what the authors' code does, told the true number of domains."""
    return method_of(resolve(RunConfig(mode="parity", method=MethodSection(clusters=clusters))))
