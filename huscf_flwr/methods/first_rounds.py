"""Methods of two phases: how many rounds the first one has."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import PositiveInt, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from huscf_flwr.config import RunConfig


def _rounds_or_half(value: object, handler: ValidatorFunctionWrapHandler) -> object:
    """Say what was expected in one sentence, instead of one for each member of the union."""
    try:
        return handler(value)
    except ValidationError:
        raise ValueError("expected a whole number from 1, or 'half'") from None


FirstRounds = Annotated[PositiveInt | Literal["half"], WrapValidator(_rounds_or_half)]
"""So many rounds; or half of ``rounds``, rounded down, at least one."""


def first_rounds(config: RunConfig, setting: int | Literal["half"]) -> int:
    """Return how many rounds the first phase of a run has."""
    return max(1, config.rounds // 2) if setting == "half" else setting


def check_first_rounds(config: RunConfig, count: int, key: str, then: str, *, least_left: int = 0) -> None:
    """Raise ``ValueError`` if the first phase leaves fewer than ``least_left`` rounds, naming its ``key``.

    ``then`` says what happens in those that are left.
    """
    most = config.rounds - least_left
    if count <= most:
        return
    enough = f"set the former to at most {most}, or rounds" if most >= 1 else "set rounds"
    raise ValueError(
        f"{key}: {count}, but rounds is {config.rounds}; {enough} to at least {count + least_left}: in those "
        f"that are left {then}"
    )
