"""The clients' generators as their images stand for theirs, and how much each counts for each."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from huscf_flwr.config import RunConfig
from huscf_flwr.data import LabelledImages
from huscf_flwr.methods.contract import Tensors
from huscf_flwr.methods.pflgan.mixing import drawn, mixed
from huscf_flwr.methods.pflgan.settings import PFLGANSettings
from huscf_flwr.methods.pflgan.similarity import divergences, encoded, gaussians_of, weights_of
from huscf_flwr.models import (
    BlockStates,
    Sampler,
    flatten_blocks,
    model_spec_of,
    sampler_of,
    unflatten_blocks,
)
from huscf_flwr.process import device_of, dtype_of
from huscf_flwr.seeding import torch_stream

_SOURCE, _WEIGHTS = "source/", "weights"


class Sources:
    """Generators as clients have sent them, which the server draws from and does not train.

    Attributes:
        generators: by client id, with statistics that fit them.
        weights: float64 [K, K], of the clients in the order of their ids; the rows add up to one.
    """

    def __init__(self, config: RunConfig) -> None:
        """Begin without any."""
        self.generators: dict[int, BlockStates] = {}
        self.weights = torch.zeros(0, 0, dtype=torch.float64)
        self._config = config
        self._spec = model_spec_of(config)
        self._settings = config.settings(PFLGANSettings)
        self._samplers: dict[int, Sampler] = {}

    @property
    def clients(self) -> frozenset[int]:
        """Whose generators there are."""
        return frozenset(self.generators)

    def take(self, generators: Mapping[int, BlockStates], number: int) -> None:
        """Take generators, new ones or in the place of older ones, after round ``number``; compare all."""
        copies = {
            client: {key: {name: t.clone() for name, t in state.items()} for key, state in blocks.items()}
            for client, blocks in generators.items()
        }
        self.generators, self._samplers = dict(sorted({**self.generators, **copies}.items())), {}
        images = torch.stack([self._looked_at(client, number) for client in self.generators])
        found = divergences(gaussians_of(encoded(images, self._settings.components)))
        self.weights = weights_of(found, self._settings.temperature)

    def images_for(self, client: int, count: int, number: int) -> LabelledImages:
        """Draw ``count`` images for one of the clients in round ``number``, by the weights."""
        return mixed(
            [self._sampler(source) for source in self.generators],
            self.weights[list(self.generators).index(client)],
            count,
            classes=self._spec.classes,
            stream=torch_stream(self._config.seed, "mixed images", client, number),
        )

    def table(self) -> dict[str, dict[str, float]]:
        """Return the weights by client and by whose images they are of."""
        names = [str(client) for client in self.generators]
        return {
            name: dict(zip(names, row, strict=True))
            for name, row in zip(names, self.weights.tolist(), strict=True)
        }

    def tensors(self) -> Tensors:
        """Return what a checkpoint must hold; nothing as long as there are no sources."""
        flat = {
            name: tensor
            for client, blocks in self.generators.items()
            for name, tensor in flatten_blocks(blocks, f"{_SOURCE}{client}/").items()
        }
        return {**flat, _WEIGHTS: self.weights} if flat else {}

    def load(self, tensors: Tensors) -> None:
        """Go on from what ``tensors`` returned; there may be more among them."""
        ids = {
            int(name.removeprefix(_SOURCE).partition("/")[0]) for name in tensors if name.startswith(_SOURCE)
        }
        self.generators = {client: unflatten_blocks(tensors, f"{_SOURCE}{client}/") for client in sorted(ids)}
        self._samplers = {}
        self.weights = tensors[_WEIGHTS] if ids else torch.zeros(0, 0, dtype=torch.float64)

    def _looked_at(self, client: int, number: int) -> Tensor:
        """Draw the images that stand for a client, with all labels alike."""
        stream = torch_stream(self._config.seed, "compared images", client, number)
        labels = torch.arange(self._settings.images) % self._spec.classes
        return drawn(self._sampler(client), labels, stream)

    def _sampler(self, client: int) -> Sampler:
        if client not in self._samplers:
            device = device_of(self._config.compute)
            states, dtype = self.generators[client], dtype_of(self._config)
            self._samplers[client] = sampler_of(self._spec, states, dtype, device)
        return self._samplers[client]
