"""Settings of FedGen."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from huscf_flwr.config import MethodSettings


class FedGenSettings(MethodSettings):
    """How the generator of features is trained, and how clients use it.

    The defaults are those of the official code for MNIST, but for two. It has no use for ``heads``: there all
    clients have the same network, and the whole of it is averaged. And its ``weight`` is 10, for 32 features.

    Attributes:
        heads: a client begins a round with the average of all heads (``averaged``), as with HtFLlib, or with
            its ``own``. They go up in any case; averaged ones come down too.
        noise: how many numbers are in the generator's noise, standard normal as in the paper (the official
            code draws them uniformly from 0 to 1).
        hidden: width of the generator's hidden layer.
        server_steps: steps of the generator in a round, each on ``batch_size`` labels.
        server_learning_rate: learning rate of Adam, which trains the generator.
        weight_decay: weight decay of Adam, which trains the generator.
        teacher_weight: weight, in the generator's loss, of the cross entropy of the clients' heads on
            generated features.
        student_weight: weight, in the generator's loss, of the divergence of the averaged head from the
            clients', which the generator is to make large. The official code has 0 for MNIST.
        diversity_weight: weight, in the generator's loss, of the part that lets different noise give
            different features.
        weight: weight of what a client learns from generated features, beside the cross entropy of its
            images. 1 as with HtFLlib, which has 512 features too: with so many, 10 makes the steps of the
            head too large, and in a run with Dirichlet 0.1 losses went above 1e14 by the fourth round.
        likeness: weight of the divergence of a client's predictions for its images from those for generated
            features of the same labels, within ``weight``.
        decay: factor by which ``weight`` and ``server_learning_rate`` change from one round to the next.
    """

    section: ClassVar[str] = "fedgen"

    heads: Literal["averaged", "own"] = "averaged"
    noise: PositiveInt = 32
    hidden: PositiveInt = 256
    server_steps: PositiveInt = 50
    server_learning_rate: PositiveFloat = 3e-4
    weight_decay: NonNegativeFloat = 0.01
    teacher_weight: NonNegativeFloat = 1.0
    student_weight: NonNegativeFloat = 0.0
    diversity_weight: NonNegativeFloat = 1.0
    weight: NonNegativeFloat = 1.0
    likeness: NonNegativeFloat = 1.0
    decay: float = Field(default=0.98, gt=0, le=1)
