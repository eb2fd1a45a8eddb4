"""Settings of HuSCF-GAN."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from huscf_flwr.config import MethodSettings
from huscf_flwr.federation import Evidence


def _or_say(expected: str) -> WrapValidator:
    """Say what was expected in one sentence, instead of one for each member of a union."""

    def check(value: object, handler: ValidatorFunctionWrapHandler) -> object:
        try:
            return handler(value)
        except ValidationError:
            raise ValueError(f"expected {expected}") from None

    return WrapValidator(check)


Clusters = Annotated[
    PositiveInt | Literal["found", "domains"], _or_say("a whole number from 1, 'found' or 'domains'")
]
RandomState = Annotated[NonNegativeInt | Literal["seeded"], _or_say("a whole number from 0, or 'seeded'")]


class HuSCFSettings(MethodSettings):
    """What happens in and after a round. What the authors' code does is ``mode: parity``.

    Attributes:
        initialisation: the weights that clients start from. ``common``: the same for all. ``per-client``:
            each starts with heads and tails of its own, as the authors do (models.py:24-32, 311-344), so that
            the first averages mix networks that do not fit together.
        batches: how batches are drawn from a client's images. ``passes``: an epoch is a pass over the
            client's images. ``fresh-draw``: every batch is the first of a new shuffle, as the authors'
            ``next(iter(loader))`` (train.py:105).
        feature_window: activations that clustering and divergence see: those of all real batches of the
            round's ``first-epoch``, in which clients still differ by their images and not by what their heads
            have learnt since, of its ``last-epoch``, or of its ``last-batch``, as the authors do
            (train.py:99).
        clusters: number of clusters; or ``found``: chosen by how well they are separated, which takes rounds
            of at least four clients; or ``domains``: as many as the scenario has domains, as the authors do
            (train.py:73), though no server can know that.
        evidence: what a round in which all clients are there is clustered by: activations of this round and
            of up to seven before it that told clients apart (``rounds``), or of this round alone (``round``),
            as the authors do. Styles that are clear to the untrained network may be hidden for a round.
        random_state: seed of k-means; or ``seeded``: drawn from the run's seed. The authors' is 42.
        feature_scaling: features are whitened by how they vary within clients (``samples``), by how clients
            differ (``clients``), or taken as they come (``none``), as the authors do (HuSCFGAN.py:129-182).
        divergence: what is compared for the divergence of clients. ``gaussian``: the distributions of each
            activation. ``spatial-softmax``: softmax maps over positions, averaged over channels, as the
            authors do (HuSCFGAN.py:200-214), which has next to no effect.
        beta: how much divergence lowers a client's weight in an average, which is n_k exp(-beta KL_k). The
            authors' code has 1 (train.py:164). 10 moves the largest weight on scenario 5 (MNIST with KMNIST
            or Fashion-MNIST, 8 to 12 clients) by 11 to 36 % against FedAvg and leaves at least 0.8 of
            FedAvg's effective number of clients; without label skew it moves none by 5 %. Under Dirichlet
            label skew of 0.3 half of the effective number is left, which is why it is not larger.
        weighting: what weighs clients in an average: ``kld``, their number of images and their divergence, as
            ``beta`` says; or ``samples``, their number of images alone.
        weights_from: what is compared for the divergence KL_k in a client's weight. ``activations``: those of
            the discriminator's middle, as ``divergence`` says. ``labels``: the client's label histogram with
            that of all clients that are averaged with it, an ablation. It is a leak: every client tells the
            server how many images of each label it has. ``divergence`` then has no effect, and clusters are
            found by activations as ever.
        buffers: BatchNorm's running statistics are averaged with the variance between clients
            (``total-variance``), or like weights (``average``), as the authors do (HuSCFGAN.py:229-328).
        running_statistics: BatchNorm's running statistics of a generator that is judged or exported.
            ``measured``: a cluster's generator has its running statistics measured again, on drawn latent
            vectors and labels, before it is judged or exported, since averaged statistics do not fit averaged
            weights. ``averaged``: it keeps the averaged ones, as the authors do (evaluation.py:96-98), though
            pictures that they draw in training mode move those of every fourth client and of the server a
            little (train.py:124-152). ``parity`` measures too.
        bodies: whether clusters have bodies of their own. ``parted``: once two rounds in a row have found the
            same clusters, each goes on with bodies of its own, and the clusters stay as they are, since
            bodies that serve different domains learn each of them more slowly. Where not all clients are in
            each round, it is once two rounds in a row, of those that they were in, have found more than half
            of all clients in the same cluster; the others are assigned to a cluster when they come next, and
            are counted to their old one until then. ``shared``: all clients share the bodies to the end, as
            in the paper.
        plain_rounds: number of first rounds that average all clients by sample count. The authors' is 2
            (train.py:157); from a common initialisation none is needed.
        clusters_in_plain_rounds: clusters are found in the plain rounds too, and reported; the authors put
            all clients into one (train.py:158).
        judged: which model is judged. ``cluster``: the middle from the server and all other blocks from the
            cluster. ``first-client``: the model of the first client of a domain, whose cut decides which
            blocks come from the server, as the authors do (train.py:166-172).
    """

    section: ClassVar[str] = "huscf"

    initialisation: Literal["common", "per-client"] = "common"
    batches: Literal["passes", "fresh-draw"] = "passes"
    feature_window: Literal["first-epoch", "last-epoch", "last-batch"] = "first-epoch"
    clusters: Clusters = "found"
    evidence: Evidence = "rounds"
    random_state: RandomState = "seeded"
    feature_scaling: Literal["samples", "clients", "none"] = "samples"
    divergence: Literal["gaussian", "spatial-softmax"] = "gaussian"
    beta: float = Field(default=10.0, ge=0)
    weighting: Literal["kld", "samples"] = "kld"
    weights_from: Literal["activations", "labels"] = "activations"
    buffers: Literal["total-variance", "average"] = "total-variance"
    running_statistics: Literal["measured", "averaged"] = "measured"
    bodies: Literal["parted", "shared"] = "parted"
    plain_rounds: NonNegativeInt = 0
    clusters_in_plain_rounds: bool = True
    judged: Literal["cluster", "first-client"] = "cluster"
