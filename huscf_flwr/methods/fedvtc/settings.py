"""Settings of FedVTC."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from huscf_flwr.config import MethodSettings
from huscf_flwr.federation.feature_statistics import SpreadRule


class FedVTCSettings(MethodSettings):
    """How clients describe their features, train the decoder, and learn from what it draws.

    The paper's own settings are not known: its text could not be had. The mode ``paper`` is our reading of
    what others say of it; the defaults are what worked best, and each difference is one setting here.

    Attributes:
        share_decoder: the server averages the clients' decoders; if not, each client trains one of its own.
        decoder_epochs: passes over the client's images in a round.
        decoder_learning_rate: of Adam, which begins anew in every round.
        least_count: images that a client must have of a class to tell of its mean: the mean over one image is
            that image's features.
        alignment: weight of the squared distance between an image's features and the global mean of its
            class, relative to the spread of the features, while the classifier trains.
        alignment_rounds: rounds in which this weight rises to its full value.
        gradient_norm: gradients of the classifier of a larger norm are scaled down to it.
        latents: from what the decoder draws a client's own image while it trains. ``recentred``: from the
            image's features, moved by as much as the client's class mean is away from the global one, since a
            decoder is later asked to draw at the global one. ``sampled``: from the features as they are, with
            noise of the client's spread.
        spread: standard deviations of the features. ``measured`` after each training, or ``learned`` together
            with the decoder, from the measured ones on.
        spread_of: all classes of a client have one (``client``), or each its own (``class``).
        spread_rule: how those of several clients become one: see ``SpreadRule``.
        least_variance: smaller variances are raised to it.
        spread_learning_rate: of Adam on the logarithms of learned ones.
        reconstruction: weight of the squared distance between a client's image and what the decoder draws
            from its features.
        divergence: weight of the divergence of learned spreads from the global ones.
        matching: weight of the squared distance between a class's global mean and the mean features of what
            the decoder draws of it.
        matching_form: ``mean`` as described; ``image``: the mean over the images of each one's distance,
            relative to the spread.
        matching_classes: of which classes: those that the client has (``held``), or ``all`` that are known.
        matching_at_once: of how many classes in a batch: if there are more, so many are drawn anew for each.
            Time and memory of a batch grow with them.
        matching_images: drawn of each of these classes, in every batch.
        tuning: when clients train their classifiers on drawn images too: ``last``, in a round of its own
            after all others, in which everybody takes part; ``every-round`` as well, before the local epochs;
            or ``never``.
        tuning_epochs: passes over the drawn images.
        tuning_images: drawn of each class for a pass.
        tuning_learning_rate: of the first pass; in the others it falls to zero along a half cosine, or stays
            (``constant``) as ``tuning_schedule`` says.
        tuning_spread: drawn vectors are this many times as far from the means of their classes as features
            are: what a decoder draws of features that are like others is like other images.
        tuning_draws: new images for each pass (``each-pass``), or the same for all (``once``).
        tuning_real: the client's own images are ``shuffled`` among the drawn ones; or follow in a pass
            ``after`` theirs; or do not take part, ``none``.
        tuning_repeats: how often each of its own images is in a pass.
    """

    section: ClassVar[str] = "fedvtc"

    share_decoder: bool = True
    decoder_epochs: PositiveInt = 5
    decoder_learning_rate: PositiveFloat = 1e-3
    least_count: PositiveInt = 5
    alignment: float = Field(default=0.0, ge=0)
    alignment_rounds: PositiveInt = 10
    gradient_norm: PositiveFloat = 10.0
    latents: Literal["recentred", "sampled"] = "recentred"
    spread: Literal["measured", "learned"] = "measured"
    spread_of: Literal["client", "class"] = "client"
    spread_rule: SpreadRule = "within"
    least_variance: PositiveFloat = 1e-3
    spread_learning_rate: PositiveFloat = 1e-2
    reconstruction: float = Field(default=1.0, ge=0)
    divergence: float = Field(default=1.0, ge=0)
    matching: float = Field(default=0.0, ge=0)
    matching_form: Literal["mean", "image"] = "mean"
    matching_classes: Literal["held", "all"] = "held"
    matching_at_once: PositiveInt = 10
    matching_images: PositiveInt = 8
    tuning: Literal["last", "every-round", "never"] = "last"
    tuning_epochs: PositiveInt = 8
    tuning_images: PositiveInt = 200
    tuning_learning_rate: PositiveFloat = 0.02
    tuning_schedule: Literal["cosine", "constant"] = "cosine"
    tuning_spread: PositiveFloat = 1.5
    tuning_draws: Literal["each-pass", "once"] = "each-pass"
    tuning_real: Literal["shuffled", "after", "none"] = "shuffled"
    tuning_repeats: PositiveInt = 1

    @property
    def tunes_last(self) -> bool:
        """Whether the run ends with a round in which everybody only tunes its classifier."""
        return self.tuning != "never"
