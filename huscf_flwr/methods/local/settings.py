"""Settings of training alone."""

from __future__ import annotations

from typing import ClassVar, Literal

from huscf_flwr.config import MethodSettings


class LocalSettings(MethodSettings):
    """What each client trains.

    Attributes:
        task: what each client trains: a ``generator`` with its discriminator, the networks of ``model.spec``,
            trained as ``optimiser`` says; or a ``classifier``, of ``classifier.family`` and trained as that
            section says.
    """

    section: ClassVar[str] = "local"

    task: Literal["generator", "classifier"] = "generator"
