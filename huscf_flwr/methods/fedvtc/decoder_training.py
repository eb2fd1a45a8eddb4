"""The second phase: a client's decoder trains on its images, while its classifier stands still."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from huscf_flwr.methods.fedvtc import losses
from huscf_flwr.methods.fedvtc.adversary import Adversary
from huscf_flwr.methods.fedvtc.latents import GlobalStatistics
from huscf_flwr.methods.fedvtc.settings import FedVTCSettings
from huscf_flwr.models.decoders import Decoder
from huscf_flwr.models.optimisers import Adam
from huscf_flwr.session import Losses

RECONSTRUCTION, DIVERGENCE, MATCHING = "reconstruction", "divergence", "matching"
ADVERSARIAL, CRITIC = "adversarial", "critic"
"""Names of the losses."""


@dataclass(frozen=True)
class OwnImages:
    """A client's images, as its extractor sees them.

    Attributes:
        images: [N, C, H, W] in [-1, 1].
        labels: int64 [N].
        features: [N, p].
        means: [C, p] of the features of each class; zero for one that the client does not have.
        offsets: [N, p], from the mean of its class to the vector that the decoder draws an image from.
    """

    images: Tensor
    labels: Tensor
    features: Tensor
    means: Tensor
    offsets: Tensor


class DecoderTraining:
    """Trains a decoder, and the client's spread if that is learned, in one round.

    Args:
        decoder: is trained in place.
        deviations: the standard deviations of the client's vectors, [p] or [C, p]; trained, in place, if
            ``settings`` say so.
        own: the client's images.
        statistics: of all clients' vectors.
        extractor: from images [B, C, H, W] to features [B, p]; its weights have no gradients.
        settings: of the method.
        adversary: has the client's critic, if the settings ask for one.
    """

    def __init__(
        self,
        decoder: Decoder,
        deviations: Tensor,
        own: OwnImages,
        statistics: GlobalStatistics,
        extractor: Callable[[Tensor], Tensor],
        settings: FedVTCSettings,
        adversary: Adversary | None = None,
    ) -> None:
        self._decoder = decoder
        self._log_deviations = deviations.log().requires_grad_(settings.spread == "learned")
        self._own, self._statistics, self._extractor, self._settings = own, statistics, extractor, settings
        self._adversary = adversary
        trained: list[tuple[list[Tensor], float]] = [
            ([*decoder.parameters()], settings.decoder_learning_rate)
        ]
        if settings.spread == "learned":
            trained.append(([self._log_deviations], settings.spread_learning_rate))
        self._optimisers = [Adam(parameters, rate, betas=(0.5, 0.999)) for parameters, rate in trained]

    @property
    def deviations(self) -> Tensor:
        """The client's standard deviations, as they are now."""
        return self._log_deviations.detach().exp().clamp(min=self._settings.least_variance**0.5)

    def train(self, batch_size: int, order: torch.Generator, noise: torch.Generator) -> Iterator[Losses]:
        """Train for the epochs of the settings; yield the losses of each batch.

        Batches come from the stream ``order``, and what else is drawn from ``noise``; both are on the CPU.
        """
        for _ in range(self._settings.decoder_epochs):
            for chosen in torch.split(torch.randperm(len(self._own.labels), generator=order), batch_size):
                yield self._step(chosen.to(self._own.labels.device), noise)

    def _step(self, chosen: Tensor, noise: torch.Generator) -> Losses:
        drawn = self._decoder(self._latents(chosen, noise))
        found = {RECONSTRUCTION: losses.reconstruction(drawn, self._own.images[chosen])}
        total = self._settings.reconstruction * found[RECONSTRUCTION]
        if self._settings.spread == "learned":
            found[DIVERGENCE] = self._divergence(chosen)
            total = total + self._settings.divergence * found[DIVERGENCE]
        if self._settings.matching:
            found[MATCHING] = self._matching(noise)
            total = total + self._settings.matching * found[MATCHING]
        known = chosen[self._statistics.known[self._own.labels[chosen]]]
        if self._adversary is not None and len(known):
            found |= self._criticised(self._adversary, known, noise)
            total = total + self._settings.adversarial * found[ADVERSARIAL]
        for optimiser in self._optimisers:
            optimiser.zero_grad()
        torch.autograd.backward(total)
        for optimiser in self._optimisers:
            optimiser.step()
        return {name: float(loss.detach()) for name, loss in found.items()}

    def _criticised(self, adversary: Adversary, chosen: Tensor, noise: torch.Generator) -> dict[str, Tensor]:
        """Let the critic learn from images of known classes and drawn ones; return both losses.

        Images are drawn from statistics alone, as in tuning.
        """
        labels = self._own.labels[chosen]
        drawn = self._decoder(self._statistics.drawn(labels, noise))
        critic = adversary.train(self._own.images[chosen], drawn, labels)
        return {CRITIC: critic, ADVERSARIAL: adversary.loss_of(drawn, labels)}

    def _latents(self, chosen: Tensor, noise: torch.Generator) -> Tensor:
        features, labels = self._own.features[chosen], self._own.labels[chosen]
        if self._settings.latents != "sampled":
            return self._statistics.around_means(self._own.offsets[chosen], labels, self._own.means)
        drawn = torch.randn(features.shape, generator=noise, dtype=features.dtype).to(features.device)
        return features + self._own_deviations(labels) * drawn

    def _divergence(self, chosen: Tensor) -> Tensor:
        """Return it for the images of known classes; zero if there is none."""
        chosen = chosen[self._statistics.known[self._own.labels[chosen]]]
        if not len(chosen):
            return self._log_deviations.sum() * 0
        labels = self._own.labels[chosen]
        return losses.divergence(
            self._own.features[chosen],
            self._own_deviations(labels),
            self._statistics.means[labels],
            self._statistics.deviations_of(labels),
        )

    def _matching(self, noise: torch.Generator) -> Tensor:
        """Return how far drawn images are from where they should be, as the client's extractor sees them."""
        classes = self._matched()
        if not len(classes):
            return torch.zeros(())
        if len(classes) > self._settings.matching_at_once:
            chosen = torch.randperm(len(classes), generator=noise)[: self._settings.matching_at_once]
            classes = classes[chosen.sort().values.to(classes.device)]
        labels = classes.repeat_interleave(self._settings.matching_images)
        statistics = self._statistics
        features = self._extractor(self._decoder(statistics.drawn(labels, noise)))
        if self._settings.matching_form == "mean":
            return losses.matching_of_means(features, labels, statistics.means)
        return losses.matching_of_images(features, statistics.means[labels], statistics.deviations_of(labels))

    def _matched(self) -> Tensor:
        known = self._statistics.known
        if self._settings.matching_classes == "all":
            return known.nonzero().squeeze(1)
        held = torch.zeros_like(known)
        held[self._own.labels] = True
        return (held & known).nonzero().squeeze(1)

    def _own_deviations(self, labels: Tensor) -> Tensor:
        deviations = self._log_deviations.exp()
        return deviations if deviations.ndim == 1 else deviations[labels]
