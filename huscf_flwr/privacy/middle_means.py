"""A3 on HuSCF-GAN over a round: the mix of labels, from exchange 1 or the discriminator's middle.

The server clusters clients by these means. It has networks to draw fakes of each label with, so it knows what
each label looks like there.
"""

from __future__ import annotations

import torch
from torch import Tensor

from huscf_flwr.config import RunConfig
from huscf_flwr.data import Population
from huscf_flwr.methods.contract import Collected
from huscf_flwr.methods.generators import drawing_from, measured_generator
from huscf_flwr.methods.huscf import HuSCF
from huscf_flwr.models import Blocks, BlockStates, build_blocks, flatten_blocks, model_spec_of
from huscf_flwr.privacy.attacks.mix import mix_of_means
from huscf_flwr.privacy.audit import server_view
from huscf_flwr.privacy.evidence import Evidence
from huscf_flwr.privacy.finding import Finding
from huscf_flwr.privacy.label_findings import mix_finding
from huscf_flwr.privacy.server import mix_of_fakes
from huscf_flwr.run.transcript import Transcript
from huscf_flwr.seeding import torch_stream

_DRAWN = 600
_ROUNDS = 3
_OF_ALL_LABELS = 0.3
"""Share of the fakes that have any label, so that each is there; the others have labels by the mix so far."""
_LEAST_SPREAD = 1e-6
_UNKNOWN = "before the round the server knew no model of the client's, and fakes do not tell its labels"


def mix_of_labels(evidence: Evidence, population: Population, shadows: int) -> list[Finding]:  # noqa: ARG001
    """Attack how often each client has each label, by the labels of its fakes and by the middle's means.

    Of each client the better one counts.
    """
    method = type(evidence.method)(evidence.config, evidence.method.clients)
    method.load(evidence.before)
    assert isinstance(method, HuSCF)

    def guessed(transcript: Transcript) -> list[Tensor]:
        counted = mix_of_fakes(server_view(evidence.config, transcript))
        by_means = mix_by_means(evidence, method, transcript)
        return [each for each in (counted, by_means) if each is not None]

    mixes = {transcript.client: guessed(transcript) for transcript in evidence.transcripts}
    return [mix_finding(evidence, population, lambda each: mixes[each.client], _UNKNOWN)]


def mix_by_means(evidence: Evidence, before: HuSCF, transcript: Transcript) -> Tensor | None:
    """Return the mix by the means of the middle; None if no model was known ``before`` the round."""
    client, upload, models = transcript.client, transcript.upload, before.models
    if models.first_blocks(models.settled.get(client)) is None:
        return None
    assert isinstance(evidence.method, HuSCF)
    assert upload is not None
    statistics = evidence.method.observation.statistics(Collected(uploads={client: upload}))
    if statistics is None:
        return None
    model = models.model_states(models.settled.get(client), before.cuts.now[client])
    return mix_of_middle(evidence.config, model, statistics[client].mean)


def mix_of_middle(config: RunConfig, model: BlockStates, seen: Tensor) -> Tensor:
    """Return the mix of labels [C] of images with mean activations ``seen`` [K, h, w] in the middle.

    ``model`` has both networks as the client and the server ran them. Batches are normalised, so what a label
    looks like depends on the labels beside it: fakes are drawn anew with the mix that was found.
    """
    spec = model_spec_of(config)
    sampler = drawing_from(config, flatten_blocks(measured_generator(config, model)))
    to_middle = build_blocks(spec, "discriminator", range(spec.discriminator.middle_index + 1), seed=0)
    to_middle.load(model)
    mix = torch.full((spec.classes,), 1 / spec.classes, dtype=torch.float64)
    for number in range(_ROUNDS):
        stream = torch_stream(config.seed, "fakes of a mix", number)
        shares = _OF_ALL_LABELS / spec.classes + (1 - _OF_ALL_LABELS) * mix
        labels = torch.multinomial(shares, _DRAWN, replacement=True, generator=stream)
        labels[: spec.classes] = torch.arange(spec.classes)
        means, spread = _by_label(to_middle, sampler(labels, stream), labels, spec.classes)
        mix = mix_of_means(means / spread, seen.double().flatten() / spread)
    return mix


def _by_label(blocks: Blocks, images: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Return the mean of each label [classes, F] in the middle, and the spread around them [F]."""
    with torch.no_grad():
        middle = blocks(images, labels).double().flatten(1)
    means = torch.stack([middle[labels == label].mean(0) for label in range(classes)])
    spread = (middle - means[labels]).square().mean(0).sqrt().clamp(min=_LEAST_SPREAD)
    return means, spread
