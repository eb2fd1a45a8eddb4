"""A3 on HuSCF-GAN's clients with a noised embedding: the mix of labels, from the first steps of a round.

The server has all that the attack takes. Features, and the labels of fakes, are drawn from the run's seed,
which it knows. It has sent what the generator's tail is given, and the tail itself before the round, if that
does not begin with the seed's weights. Before the second step the client's optimiser has moved the tail once,
by how much the server does not know: the attack goes by the weights of before.
"""

from __future__ import annotations

import torch
from torch import Tensor

from huscf_flwr.config import RunConfig
from huscf_flwr.data import LabelledImages, Population
from huscf_flwr.methods.batches import RoundBatches
from huscf_flwr.methods.huscf.private_mechanism import random_features
from huscf_flwr.models import model_spec_of
from huscf_flwr.privacy.attacks.criticism import Criticised, mix_of_criticism
from huscf_flwr.privacy.audit import server_view
from huscf_flwr.privacy.evidence import Evidence
from huscf_flwr.privacy.finding import Finding
from huscf_flwr.privacy.label_findings import mix_finding
from huscf_flwr.run.transcript import Transcript
from huscf_flwr.split import GENERATE, GENERATOR_BACKWARD

ATTACKED_STEPS = 2
"""Of a round, from the first: as few as say anything, since the tail moves away from what is known of it."""
_UNKNOWN = "a round of one step does not tell a label's share from what its images are like"


def mix_of_embeddings(evidence: Evidence, population: Population, shadows: int) -> list[Finding]:  # noqa: ARG001
    """Attack how often each client has each label, by the gradients that came of its fakes."""

    def guessed(transcript: Transcript) -> list[Tensor]:
        steps = criticised_steps(evidence.config, transcript)
        classes = model_spec_of(evidence.config).classes
        enough = len(steps) == ATTACKED_STEPS
        return [mix_of_criticism(steps, random_features(evidence.config), classes)] if enough else []

    return [mix_finding(evidence, population, guessed, _UNKNOWN)]


def criticised_steps(config: RunConfig, transcript: Transcript) -> list[Criticised]:
    """Return the first steps of a round that were kept, as the server knows them."""
    view, labels = server_view(config, transcript), _labels_of_fakes(config, transcript)
    return [
        Criticised(
            tail=view.tail("generator"),
            inputs=view.saw(step, GENERATE, "down")[0],
            labels=labels[step - 1],
            gradient=view.saw(step, GENERATOR_BACKWARD, "up")[0],
        )
        for step in sorted(transcript.frames)
        if step <= ATTACKED_STEPS
    ]


def _labels_of_fakes(config: RunConfig, transcript: Transcript) -> list[Tensor]:
    """Draw the labels of fakes of the first steps, as the client does: no image is needed for that."""
    spec = model_spec_of(config)
    none = LabelledImages(
        torch.empty(0, *spec.image.shape, dtype=torch.uint8), torch.empty(0, dtype=torch.int64)
    )
    drawn = RoundBatches(
        none,
        config,
        latent=spec.latent,
        client=transcript.client,
        number=transcript.round,
        sampler=None,
    )
    return [drawn.next().fake_labels for _ in range(ATTACKED_STEPS)]
