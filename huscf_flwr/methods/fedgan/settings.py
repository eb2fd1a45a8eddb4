"""Settings of FedGAN."""

from __future__ import annotations

from typing import ClassVar, Literal

from huscf_flwr.config import MethodSettings


class FedGANSettings(MethodSettings):
    """How both networks are averaged after a round.

    That all clients' networks are averaged with weights n_k / N is the paper's (arXiv 2006.07228), and no
    setting. What becomes of BatchNorm's running statistics is our reading. FedML's version averages every
    entry of both networks alike, running statistics among them, and uses them as they are: that is
    ``average`` and ``averaged``.

    Attributes:
        buffers: BatchNorm's running statistics are averaged like weights (``average``), or with the variance
            between clients added (``total-variance``).
        running_statistics: BatchNorm's running statistics of a generator that is judged or exported.
            ``measured``: the generator has its running statistics measured anew, on drawn latent vectors and
            labels, before it is judged or exported, since averaged statistics do not fit averaged weights;
            HuSCF-GAN does the same. ``averaged``: it keeps the averaged ones.
    """

    section: ClassVar[str] = "fedgan"

    buffers: Literal["total-variance", "average"] = "average"
    running_statistics: Literal["measured", "averaged"] = "measured"
