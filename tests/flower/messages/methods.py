"""A method as far as messages know one: what it lists."""

from types import SimpleNamespace

from huscf_flwr.methods.contract import Crossing, Description, Facts
from tests.session.two_exchanges import DRAW, JUDGE


class Place(Facts):
    x: float
    y: float | None = None


class Told(Facts):
    """Facts of all shapes that can cross."""

    cut: tuple[int, ...]
    shares: tuple[float, ...] = ()
    place: Place | None = None
    name: str = ""
    is_last: bool = False


class Sent(Facts):
    counts: tuple[int, ...]


class Age(Description):
    years: int


LISTING = SimpleNamespace(
    name="listing",
    client=SimpleNamespace(losses=("loss", "other loss")),
    crossing=Crossing(
        description=Age,
        order=Told,
        order_kinds=("weights", "moments that move"),
        upload=Sent,
        upload_kinds=("weights",),
        exchanges=(DRAW, JUDGE),
        product_kind="model",
        scores=("accuracy", "f1"),
        evaluation_kinds=("means",),
    ),
)
BARE = SimpleNamespace(name="bare", client=SimpleNamespace(losses=()), crossing=Crossing())
"""Lists nothing."""
