"""HuSCF-GAN's client whose discriminator learns with differential privacy, and what it spends of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from huscf_flwr.accounting import Releases, check_accounting, epsilon_of, noise_multiplier_for
from huscf_flwr.accounting.secret_noise import KeyedStream, secret_key, seeded_key
from huscf_flwr.config import RunConfig
from huscf_flwr.cuts.devices import Device
from huscf_flwr.data import LabelledImages
from huscf_flwr.methods.batches import RoundBatches
from huscf_flwr.methods.contract import Description, Order, Tensors, Upload
from huscf_flwr.methods.huscf.client import HuSCFClient
from huscf_flwr.methods.huscf.local_client import check_keeps_discriminator, check_mix_stays
from huscf_flwr.methods.huscf.private_crossing import PrivateOrder, SpentPrivacy
from huscf_flwr.methods.huscf.private_mechanism import noised_learning, sampling_rate
from huscf_flwr.models import model_spec_of
from huscf_flwr.split import Batch, Watch
from huscf_flwr.split.private_learning import PrivateLearning
from huscf_flwr.split.segments import TrainedBlocks

_NOISE = "privacy.noise_multiplier"
"""Among what it keeps: the noise, which stays the same from round to round as long as it lasts."""


class _Begun(NamedTuple):
    """The round that has begun."""

    number: int
    steps_left: int
    """In it and in all that are to come."""
    epsilon: float = 0.0
    """What is spent at its end, once it is charged."""


class HuSCFPrivateClient(HuSCFClient):
    """A client of which nothing crosses that depends on its images without noise.

    It counts for itself what it spends, and takes the server's word for nothing but the number of steps that
    are to come: a wrong one makes it leave earlier, or has more noise than needed.
    """

    losses: ClassVar = ("generator",)
    """The discriminator's has seen images."""
    may_record: ClassVar = False
    """Each step has samples of its own."""

    def __init__(self, client: int, images: LabelledImages, device: Device, config: RunConfig) -> None:
        check_accounting()
        check_mix_stays(config)
        super().__init__(client, images, device, config)
        self._noise_multiplier: float | None = None
        self._learning: PrivateLearning | None = None
        self._begun = _Begun(0, 0)

    def describe(self) -> Description:
        """Return what the server is told; raises ``ValueError`` if ``privacy.delta`` promises nothing."""
        self.check_delta()
        return super().describe()

    def begin(self, number: int, order: Order) -> None:
        """Take the order's blocks over; ``charge`` must be called before the first step.

        Raises ``ValueError`` if the order would let activations of images cross.
        """
        assert isinstance(order.facts, PrivateOrder)
        check_keeps_discriminator(self.config, self.client, order.facts)
        self._begun, self._learning = _Begun(number, order.facts.steps_left), None
        super().begin(number, order)

    def charge(self, steps: int, spent: Sequence[Releases]) -> Sequence[Releases]:
        """Return what the round spends, with noise that lasts for all steps that are left when it is chosen.

        It is chosen again where it would not last any more: rounds that were trained twice have spent more
        than was foreseen. Raises ``BudgetSpentError`` if no noise is large enough, and ``ValueError`` if
        ``privacy.delta`` promises nothing.
        """
        self.check_delta()
        privacy, left = self.config.privacy, max(steps, self._begun.steps_left)
        assert privacy.epsilon is not None
        noise = self._noise_multiplier
        if noise is None or self._reached(noise, left, spent) > privacy.epsilon:
            noise = noise_multiplier_for(
                privacy.epsilon,
                privacy.delta,
                sampling_rate=sampling_rate(self.config, len(self.images)),
                steps=left * privacy.discriminator_steps,
                spent=spent,
            )
        self._noise_multiplier = noise
        self._begun = self._begun._replace(epsilon=self._reached(noise, steps, spent))
        self._learning = noised_learning(self.config, self.images, noise, self._stream())
        return (self._releases(noise, steps),)

    def upload(self) -> Upload:
        """Return the blocks that it keeps, all of whose training had noise, and what it has spent."""
        return Upload(facts=SpentPrivacy(epsilon=self._begun.epsilon), tensors=super().upload().tensors)

    def private(self) -> Tensors:
        """Return the moments of its optimisers, and the noise multiplier, a scalar."""
        kept = super().private()
        if self._noise_multiplier is None:
            return kept
        return {**kept, _NOISE: torch.tensor(self._noise_multiplier, dtype=torch.float64)}

    def load_private(self, tensors: Tensors) -> None:
        """Go on with these moments and this noise."""
        if _NOISE in tensors:
            self._noise_multiplier = float(tensors[_NOISE])
        super().load_private({name: each for name, each in tensors.items() if name != _NOISE})

    def not_charged(self) -> RuntimeError:
        """Return what to raise where a step is asked for before the round is charged."""
        return RuntimeError(f"client {self.client} has not been charged for round {self._begun.number}")

    def check_delta(self) -> None:
        """Raise ``ValueError`` if ``privacy.delta`` would allow to publish an image."""
        delta, count = self.config.privacy.delta, len(self.images)
        if delta * count >= 1:
            raise ValueError(
                f"privacy.delta is {delta:g}, but client {self.client} has {count} images: to publish one of "
                f"them would be allowed; take less than {1 / count:.2g}"
            )

    def _releases(self, noise_multiplier: float, steps: int) -> Releases:
        return Releases(
            sampling_rate(self.config, len(self.images)),
            noise_multiplier,
            steps * self.config.privacy.discriminator_steps,
        )

    def _reached(self, noise_multiplier: float, steps: int, spent: Sequence[Releases]) -> float:
        """Return the epsilon that is spent after ``steps`` more steps with this noise."""
        return self._spent_by([*spent, self._releases(noise_multiplier, steps)])

    def _spent_by(self, releases: Sequence[Releases]) -> float:
        """Return the epsilon of all ``releases`` together."""
        return epsilon_of(releases, self.config.privacy.delta)

    def _stream(self) -> KeyedStream:
        """Return a new stream for the round's choices and noise."""
        if self.config.privacy.noise == "secret":
            return KeyedStream(secret_key())
        return KeyedStream(seeded_key(self.config.seed, "private learning", self.client, self._begun.number))

    def learn(
        self, discriminator: TrainedBlocks, fakes: Tensor, batch: Batch, watch: Watch | None = None
    ) -> None:
        """Let the discriminator learn in a step; raises ``RuntimeError`` before the round is charged."""
        if self._learning is None:
            raise self.not_charged()
        self._learning(discriminator, fakes, batch, watch)

    def round_batches(self, number: int) -> RoundBatches:
        """Return the batches of round ``number``: fakes without images, whose number tells nothing."""
        return RoundBatches(
            self.images,
            self.config,
            latent=model_spec_of(self.config).latent,
            client=self.client,
            number=number,
            sampler=None,
        )
