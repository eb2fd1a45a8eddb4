"""The six exchanges of HuSCF-GAN's step, or the two that are left where clients keep the discriminator.

Latent vectors, images and labels are not among them and never cross.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from huscf_flwr.models import Cut, ModelSpec, NetworkName, Shape
from huscf_flwr.session import Exchange, Kind

_Edge = Literal["head", "tail"]

_GENERATOR_HEAD = Kind("generator head output", role="generated")
_GENERATOR_TAIL = Kind("generator tail input", role="generated")
_FAKE_HEAD = Kind("fake head output", role="activation")
_FAKE_TAIL = Kind("fake tail input", role="activation")
_REAL_HEAD = Kind("real head output", role="activation")
_REAL_TAIL = Kind("real tail input", role="activation")
_FAKE_HEAD_AGAIN = Kind(_FAKE_HEAD.name, role="repeated")
_FAKE_TAIL_AGAIN = Kind(_FAKE_TAIL.name, role="repeated")


def _gradient(kind: Kind) -> Kind:
    return Kind(f"gradient of {kind.name}", role="gradient")


GENERATE = Exchange(1, "GENERATE", up=(_GENERATOR_HEAD,), down=(_GENERATOR_TAIL,))
DISCRIMINATE = Exchange(2, "DISCRIMINATE", up=(_FAKE_HEAD, _REAL_HEAD), down=(_FAKE_TAIL, _REAL_TAIL))
DISCRIMINATOR_BACKWARD = Exchange(
    3,
    "DISCRIMINATOR_BACKWARD",
    up=(_gradient(_FAKE_TAIL), _gradient(_REAL_TAIL)),
    down=(_gradient(_FAKE_HEAD), _gradient(_REAL_HEAD)),
)
CRITICISE = Exchange(4, "CRITICISE", up=(_FAKE_HEAD_AGAIN,), down=(_FAKE_TAIL_AGAIN,))
CRITICISM_BACKWARD = Exchange(
    5, "CRITICISM_BACKWARD", up=(_gradient(_FAKE_TAIL),), down=(_gradient(_FAKE_HEAD),)
)
GENERATOR_BACKWARD = Exchange(
    6, "GENERATOR_BACKWARD", up=(_gradient(_GENERATOR_TAIL),), down=(_gradient(_GENERATOR_HEAD),)
)

EXCHANGES = (
    GENERATE,
    DISCRIMINATE,
    DISCRIMINATOR_BACKWARD,
    CRITICISE,
    CRITICISM_BACKWARD,
    GENERATOR_BACKWARD,
)
"""In the order of a step."""

LOCAL_EXCHANGES = (GENERATE, replace(GENERATOR_BACKWARD, number=2))
"""Those of a step in which every client has the whole discriminator: nothing of a real image crosses."""

_PLACES: dict[Kind, tuple[NetworkName, _Edge]] = {
    _GENERATOR_HEAD: ("generator", "head"),
    _GENERATOR_TAIL: ("generator", "tail"),
    _FAKE_HEAD: ("discriminator", "head"),
    _FAKE_TAIL: ("discriminator", "tail"),
    _REAL_HEAD: ("discriminator", "head"),
    _REAL_TAIL: ("discriminator", "tail"),
}
_PLACES |= {_FAKE_HEAD_AGAIN: _PLACES[_FAKE_HEAD], _FAKE_TAIL_AGAIN: _PLACES[_FAKE_TAIL]}
_PLACES |= {_gradient(kind): place for kind, place in _PLACES.items()}


def place_of(kind: Kind) -> tuple[NetworkName, _Edge]:
    """Return the network and the edge of a cut at which a tensor crosses."""
    return _PLACES[kind]


def shape_of(kind: Kind, spec: ModelSpec, cut: Cut) -> Shape:
    """Return the shape of one sample of a tensor for a client with ``cut``."""
    network, edge = place_of(kind)
    shapes = spec.shapes(network)
    if edge == "head":
        return shapes[cut.head(network)]
    return shapes[len(shapes) - 1 - cut.tail(network)]
