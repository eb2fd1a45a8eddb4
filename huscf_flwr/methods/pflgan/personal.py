"""Training a client's networks at the server, on images that were drawn for it."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from huscf_flwr.config import RunConfig
from huscf_flwr.data import LabelledImages
from huscf_flwr.methods.batches import RoundBatches
from huscf_flwr.models import BlockStates, all_block_keys, model_spec_of
from huscf_flwr.process import device_of, dtype_of
from huscf_flwr.split import Segments, adam_settings, unsplit_step


class PersonalTraining:
    """Both networks with their optimisers, which take the weights and moments of one client after another."""

    def __init__(self, config: RunConfig) -> None:
        """Train as ``config`` says; networks are built when they are first needed."""
        self._config = config
        self._spec = model_spec_of(config)
        self._networks: Segments | None = None

    def train(
        self,
        networks: BlockStates,
        moments: Mapping[str, Tensor],
        images: LabelledImages,
        *,
        client: int,
        number: int,
        steps: int,
    ) -> tuple[BlockStates, dict[str, Tensor]]:
        """Return ``networks`` and ``moments``, which may be empty, after ``steps`` steps on ``images``.

        Batches are those that the client would take of these images in round ``number``.
        """
        segments = self._segments()
        segments.load(networks)
        segments.forget_moments()
        segments.load_moments(moments)
        latent = self._spec.latent
        batches = RoundBatches(images, self._config, latent=latent, client=client, number=number)
        for _ in range(steps):
            unsplit_step(segments, batches.next())
        states = {
            key: {name: tensor.clone() for name, tensor in state.items()}
            for key, state in segments.states().items()
        }
        return states, {name: tensor.clone() for name, tensor in segments.moments().items()}

    def _segments(self) -> Segments:
        if self._networks is None:
            self._networks = Segments(
                self._spec,
                list(all_block_keys(self._spec)),
                seed=self._config.seed,
                adam=adam_settings(self._config),
                dtype=dtype_of(self._config),
                device=device_of(self._config.compute),
            )
        return self._networks
