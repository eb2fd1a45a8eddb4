"""HuSCF-GAN's client where it keeps the whole discriminator."""

from __future__ import annotations

import math

from huscf_flwr.config import RunConfig
from huscf_flwr.cuts.devices import Device
from huscf_flwr.data import LabelledImages
from huscf_flwr.federation import ActivationAccumulator
from huscf_flwr.methods.contract import Order, Upload
from huscf_flwr.methods.huscf.client import HuSCFClient
from huscf_flwr.methods.huscf.crossing import STATISTICS, HuSCFOrder, StatisticsFacts, WindowOrder
from huscf_flwr.methods.huscf.observation import statistics_to_tell
from huscf_flwr.methods.huscf.settings import HuSCFSettings
from huscf_flwr.models import Cut, has_local_discriminator, model_spec_of
from huscf_flwr.session import ClientStep, Computed, DropOut
from huscf_flwr.split import Watch


def check_labels_stay(config: RunConfig) -> None:
    """Raise ``ValueError`` if labels of images would cross although the discriminator is local."""
    if config.fake_labels == "real":
        raise ValueError(
            "fake_labels is real, but privacy.local_discriminator is true: the generator's head would tell "
            "the labels of each batch; set fake_labels to uniform, or to own-mix, which tells how often a "
            "client has each label"
        )
    if config.settings(HuSCFSettings).weights_from == "labels":
        raise ValueError(
            "huscf.weights_from is labels, but privacy.local_discriminator is true: clients would tell how "
            "many images of each label they have; set one of the two back"
        )


def check_mix_stays(config: RunConfig) -> None:
    """Raise ``ValueError`` if anything of the labels of images would cross without noise."""
    if config.fake_labels != "uniform":
        tells = "the labels of each batch" if config.fake_labels == "real" else "the mix of a client's labels"
        raise ValueError(
            f"fake_labels is {config.fake_labels}, but privacy.epsilon is set: the generator's head would "
            f"tell {tells} without noise; set fake_labels to uniform"
        )
    check_labels_stay(config)


def check_local_discriminator(config: RunConfig) -> None:
    """Raise ``ValueError`` if labels would cross, or statistics are to be those of one batch.

    It is a setting, and the server might order another window: the client looks at that too.
    """
    check_labels_stay(config)
    if config.settings(HuSCFSettings).feature_window == "last-batch":
        raise ValueError(
            "huscf.feature_window is last-batch, but privacy.local_discriminator is true: statistics of the "
            "few images of a batch would tell their activations; take first-epoch or last-epoch"
        )


def check_keeps_discriminator(config: RunConfig, client: int, order: HuSCFOrder) -> None:
    """Raise ``ValueError`` if a client is told a cut that leaves some of the discriminator to the server."""
    cut = Cut(*order.cut)
    if not has_local_discriminator(model_spec_of(config), cut):
        raise ValueError(
            f"client {client} was told the cut {tuple(cut)}, which does not keep the whole discriminator as "
            "privacy.local_discriminator demands: correct the server's cuts"
        )


class HuSCFLocalClient(HuSCFClient):
    """A client that keeps the whole discriminator, and tells statistics of its own activations.

    They are of ``privacy.min_observed`` images at least, and of a whole pass over its images, whatever the
    order says.
    """

    def __init__(self, client: int, images: LabelledImages, device: Device, config: RunConfig) -> None:
        check_local_discriminator(config)
        super().__init__(client, images, device, config)
        self._seen = ActivationAccumulator()
        self._window, self._step = range(0), 0
        self._unwilling = ""

    def begin(self, number: int, order: Order) -> None:
        """Begin a round, with nothing seen; raises ``ValueError`` if the order would let images cross."""
        assert isinstance(order.facts, WindowOrder)
        check_keeps_discriminator(self.config, self.client, order.facts)
        super().begin(number, order)
        first, last = order.facts.observed
        self._seen, self._window, self._step = ActivationAccumulator(), range(first, last + 1), 0
        self._unwilling = self._why_not(self._window)

    def step(self) -> ClientStep:
        """Return the step on the next batch; its activations are looked at if the order says so.

        It leaves before it sends anything if its statistics would be of too few images.
        """
        if self._unwilling:
            return _leaving(DropOut(self._unwilling))
        self._step += 1
        middle = model_spec_of(self.config).discriminator.middle_index
        watch = Watch(middle, self._seen.observe) if self._step in self._window else None
        return self.split.hosted_step(self.next_batch(), watch)

    def upload(self) -> Upload:
        """Return all blocks of the discriminator and those of the generator that it keeps, and statistics.

        Raises ``ValueError`` if the round was too short for a pass over its images.
        """
        least = max(len(self.images), self.config.privacy.min_observed)
        if self._seen.samples < least:
            raise ValueError(
                f"client {self.client}: the order lets it look at activations of {self._seen.samples} "
                f"images, but it tells no statistics of fewer than {least}: correct the server's window"
            )
        statistics = statistics_to_tell(self.config, self._seen.statistics())
        return Upload(
            facts=StatisticsFacts(observed=self._seen.samples),
            tensors={**super().upload().tensors, STATISTICS: statistics},
        )

    def _why_not(self, window: range) -> str:
        """Return why it takes no part in a round with this window; empty if it does."""
        count, least = len(self.images), self.config.privacy.min_observed
        if count < least:
            return (
                f"it has {count} images, but tells statistics of {least} at least (privacy.min_observed), "
                "since those of a few give the images away; it leaves"
            )
        epoch = math.ceil(count / self.config.batch_size)
        if len(window) < epoch:
            return (
                f"it is told to look at activations of {len(window)} steps, but a pass over its images takes "
                f"{epoch}, and statistics of fewer images give them away; it leaves"
            )
        return ""


def _leaving(drop_out: DropOut) -> ClientStep:
    yield Computed((), leaves=drop_out)
