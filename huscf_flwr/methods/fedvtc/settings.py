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
        decoder_epochs: passes of the decoder's training over the client's images in a round.
        decoder_learning_rate: learning rate of Adam, which trains the decoder and begins anew in every round.
        least_count: images that a client must have of a class to tell of its mean: the mean over one image is
            that image's features.
        alignment: weight of the squared distance between an image's features and the global mean of its
            class, relative to the spread of the features, while the classifier trains; not beside ``latents:
            whitened``, as all that is about that spread.
        alignment_rounds: rounds in which ``alignment`` rises to its full value.
        gradient_norm: largest norm of a classifier's gradients: larger ones are scaled down to it.
        adversarial: weight of the verdict of a critic, which each client trains to tell its images from
            drawn ones and never sends; 0 for none.
        critic_learning_rate: learning rate of Adam, which trains the critic, with ``adversarial``.
        distillation_steps: steps in which the server trains the averaged decoder after each round to draw
            each class as the decoders of those clients do that have it; 0 for the average as it is. There is
            none without ``share_decoder``.
        distillation_learning_rate: learning rate of the first of these steps; it falls to zero along a half
            cosine.
        latents: from what the decoder draws a client's own image while it trains. ``recentred``: from the
            image's features, moved by as much as the client's class mean is away from the global one, since a
            decoder is later asked to draw at the global one. ``whitened``: besides, features of a class are
            told by their principal components, all equally far spread. ``sampled``: from the features as they
            are, with noise of the client's spread.
        latent_directions: most principal components of a class, with ``latents: whitened``; there are no
            more than features, and than a quarter of the client's images of the class.
        latent_spread: standard deviation of these components, with ``latents: whitened``.
        spread: where standard deviations of the vectors of ``latents`` come from: ``measured`` after each
            training, or ``learned`` together with the decoder, from the measured ones on; not
            beside ``latents: whitened``.
        spread_of: what has standard deviations of its own: a ``client``, the same for all its classes, or
            each ``class`` of a client. Classes of few images have fewer directions where they are whitened.
        spread_rule: how variances of several clients become one. ``within``: their mean, weighted by images.
            ``total``: that, and the variance of the clients' class means around the global ones added; not
            beside ``latents: whitened``.
            ``squared-counts``: their mean, weighted by the squares of the numbers of images.
        least_variance: least variance of a vector's number: smaller ones are raised to it.
        spread_learning_rate: learning rate of Adam on the logarithms of standard deviations, with ``spread:
            learned``.
        reconstruction: weight of the squared distance between a client's image and what the decoder draws
            from its vector.
        divergence: weight of the divergence of learned spreads from the global ones.
        matching: weight of the squared distance between a class's global mean and the mean features of what
            the decoder draws of it.
        matching_form: how the distance of ``matching`` is taken. ``mean``: between means, as described there.
            ``image``: the mean over the images of each one's distance, relative to the spread; not beside
            ``latents: whitened``.
        matching_classes: classes that ``matching`` looks at: those that the client has (``held``), or ``all``
            that are known.
        matching_at_once: most classes that ``matching`` looks at in a batch: if there are more, so many are
            drawn anew for each. Time and memory of a batch grow with them.
        matching_images: images that are drawn of each of these classes for ``matching``, in every batch.
        tuning: when clients train their classifiers on drawn images too: ``last``, in a round of its own
            after all others, which is counted beyond ``rounds`` and in which everybody takes part;
            ``every-round`` as well, before the local epochs; or ``never``.
        tuning_epochs: passes over the drawn images in a tuning.
        tuning_images: images that are drawn of each class for a pass of tuning.
        tuning_learning_rate: learning rate of the first pass of tuning; ``tuning_schedule`` says that of the
            others.
        tuning_schedule: how the learning rate of tuning goes on after the first pass: it falls to zero along
            a half cosine (``cosine``), or stays (``constant``).
        tuning_spread: vectors that images are drawn from in tuning are this many times as far from the means
            of their classes as those that the decoder was trained on.
        tuning_draws: images of the passes of tuning: new ones for each (``each-pass``), or the same for all
            (``once``).
        tuning_real: what tuning does with the client's own images: they are ``shuffled`` among the drawn
            ones; or follow in a pass ``after`` theirs; or do not take part, ``none``.
        tuning_repeats: how often each of the client's own images is in a pass of tuning.
    """

    section: ClassVar[str] = "fedvtc"

    share_decoder: bool = True
    decoder_epochs: PositiveInt = 5
    decoder_learning_rate: PositiveFloat = 2e-3
    adversarial: float = Field(default=40.0, ge=0)
    critic_learning_rate: PositiveFloat = 5e-4
    distillation_steps: int = Field(default=400, ge=0)
    distillation_learning_rate: PositiveFloat = 2e-3
    least_count: PositiveInt = 5
    alignment: float = Field(default=0.0, ge=0)
    alignment_rounds: PositiveInt = 10
    gradient_norm: PositiveFloat = 10.0
    latents: Literal["whitened", "recentred", "sampled"] = "whitened"
    latent_directions: PositiveInt = 16
    latent_spread: PositiveFloat = 2.0
    spread: Literal["measured", "learned"] = "measured"
    spread_of: Literal["client", "class"] = "class"
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
    tuning_spread: PositiveFloat = 1.0
    tuning_draws: Literal["each-pass", "once"] = "each-pass"
    tuning_real: Literal["shuffled", "after", "none"] = "shuffled"
    tuning_repeats: PositiveInt = 1

    @property
    def tunes_last(self) -> bool:
        """Whether the run ends with a round in which everybody only tunes its classifier."""
        return self.tuning != "never"

    def check(self) -> None:
        """Raise ``ValueError`` for settings that contradict another one, or that another one makes idle."""
        if self.latents == "whitened":
            self._check_spread_is_not_used()
        self._check_all_are_used()

    def _check_spread_is_not_used(self) -> None:
        of_features = {
            f"alignment is {self.alignment}": self.alignment > 0,
            "spread is learned": self.spread == "learned",
            "spread_rule is total": self.spread_rule == "total",
            "matching_form is image": self.matching > 0 and self.matching_form == "image",
        }
        for said, asked in of_features.items():
            if asked:
                raise ValueError(
                    f"fedvtc.{said}, which needs the spread of the features, but fedvtc.latents is whitened: "
                    "set latents to recentred or sampled"
                )

    def _check_all_are_used(self) -> None:
        """Those that a mode sets may be idle: whoever switches off their cause need not reset them.

        A setting counts as given if it is not the default: in the file of a finished run all are written.
        """
        idle = {
            "latents": (self.latents != "whitened", ("latent_directions", "latent_spread")),
            "adversarial": (self.adversarial == 0, ("critic_learning_rate",)),
            "share_decoder": (not self.share_decoder, ("distillation_learning_rate",)),
            "distillation_steps": (self.distillation_steps == 0, ("distillation_learning_rate",)),
            "spread": (self.spread != "learned", ("spread_learning_rate", "divergence")),
            "alignment": (self.alignment == 0, ("alignment_rounds",)),
            "matching": (self.matching == 0, ("matching_form", "matching_at_once", "matching_images")),
            "tuning": (not self.tunes_last, ("tuning_repeats",)),
            "tuning_real": (self.tuning_real == "none", ("tuning_repeats",)),
        }
        for cause, (is_off, names) in idle.items():
            for name in names if is_off else ():
                value = getattr(self, name)
                if value != type(self).model_fields[name].default:
                    raise ValueError(
                        f"fedvtc.{name} is {value}, which has no effect while fedvtc.{cause} is "
                        f"{getattr(self, cause)}: leave it out, or change {cause}"
                    )
