"""HuSCF-GAN's private client whose generator learns from the noised mean embedding of its images."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from huscf_flwr.accounting import Releases, noise_multiplier_for
from huscf_flwr.config import RunConfig
from huscf_flwr.cuts.devices import Device
from huscf_flwr.data import LabelledImages
from huscf_flwr.methods.contract import Tensors
from huscf_flwr.methods.huscf.private_client import HuSCFPrivateClient
from huscf_flwr.methods.huscf.private_mechanism import random_features, released_sums
from huscf_flwr.split import Batch, Watch
from huscf_flwr.split.embedding import NoisedEmbedding
from huscf_flwr.split.segments import TrainedBlocks

_SUMS = "privacy.embedding"
"""Among what it keeps: all that was ever made of its images, [labels, features + 1]."""


class HuSCFEmbeddingClient(HuSCFPrivateClient):
    """A client that looks at its images once, before its first step, and spends its epsilon on that.

    Its discriminator stays as it began.
    """

    def __init__(self, client: int, images: LabelledImages, device: Device, config: RunConfig) -> None:
        super().__init__(client, images, device, config)
        self._embedding: NoisedEmbedding | None = None

    def charge(self, steps: int, spent: Sequence[Releases]) -> Sequence[Releases]:  # noqa: ARG002 - all alike
        """Return what the embedding spends, which is made now; nothing once there is one.

        Raises ``BudgetSpentError`` if no noise is large enough, and ``ValueError`` if ``privacy.delta``
        promises nothing.
        """
        self.check_delta()
        new = () if self._embedding is not None else (self._release(spent),)
        self._begun = self._begun._replace(epsilon=self._spent_by((*spent, *new)))
        return new

    def private(self) -> Tensors:
        """Return the moments of its optimisers, the noise multiplier, and the noised embedding."""
        kept = super().private()
        return kept if self._embedding is None else {**kept, _SUMS: self._embedding.sums}

    def load_private(self, tensors: Tensors) -> None:
        """Go on with these moments and this embedding."""
        super().load_private({name: each for name, each in tensors.items() if name != _SUMS})
        self._embedding = self._embedding_of(tensors[_SUMS]) if _SUMS in tensors else None

    def learn(
        self, discriminator: TrainedBlocks, fakes: Tensor, batch: Batch, watch: Watch | None = None
    ) -> None:
        """Leave the discriminator as it is."""

    def criticise(self, discriminator: TrainedBlocks, fakes: Tensor, labels: Tensor) -> Tensor:  # noqa: ARG002
        """Send the gradient of the discrepancy from the embedding back into ``fakes``; return it, a scalar.

        Raises ``RuntimeError`` before the round is charged.
        """
        if self._embedding is None or self._begun.epsilon == 0:
            raise self.not_charged()
        return self._embedding.criticise(fakes, labels)

    def _release(self, spent: Sequence[Releases]) -> Releases:
        """Make the embedding, with the least noise that epsilon allows beside what was ``spent``."""
        privacy = self.config.privacy
        assert privacy.epsilon is not None
        noise = noise_multiplier_for(privacy.epsilon, privacy.delta, sampling_rate=1.0, steps=1, spent=spent)
        sums = released_sums(self.config, self.images, noise, self._stream())
        self._noise_multiplier = noise
        self._embedding = self._embedding_of(sums)
        return Releases(1.0, noise, 1)

    def _embedding_of(self, sums: Tensor) -> NoisedEmbedding:
        assert self._noise_multiplier is not None
        return NoisedEmbedding.of(random_features(self.config), sums, self._noise_multiplier)
