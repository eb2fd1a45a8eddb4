"""A3 on HuSCF-GAN without any batch: the mix of labels, from the means of the discriminator's middle.

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
from huscf_flwr.privacy.evidence import Evidence
from huscf_flwr.privacy.finding import CURIOUS_SERVER, VARIATION, Finding
from huscf_flwr.privacy.label_findings import HOW_OFTEN, mix_finding
from huscf_flwr.run.transcript import Transcript
from huscf_flwr.seeding import torch_stream

_DRAWN = 600
_ROUNDS = 3
_OF_ALL_LABELS = 0.3
"""Share of the fakes that have any label, so that each is there; the others have labels by the mix so far."""
_LEAST_SPREAD = 1e-6


def mix_by_middle(evidence: Evidence, population: Population, shadows: int) -> list[Finding]:  # noqa: ARG001
    """Attack the mean of each client's activations in the discriminator's middle."""
    method = type(evidence.method)(evidence.config, evidence.method.clients)
    method.load(evidence.before)
    assert isinstance(method, HuSCF)
    if any(method.models.first_blocks(method.models.settled.get(k)) is None for k in evidence.clients):
        why = "before the round the server knew no model of the client's"
        return [Finding("A3", CURIOUS_SERVER, HOW_OFTEN, VARIATION, reason=why)]

    def guessed(transcript: Transcript) -> Tensor:
        assert isinstance(evidence.method, HuSCF)
        client, upload = transcript.client, transcript.upload
        assert upload is not None
        statistics = evidence.method.observation.statistics(Collected(uploads={client: upload}))
        assert statistics is not None  # a run with a guarantee is not attacked
        model = method.models.model_states(method.models.settled.get(client), method.cuts.now[client])
        return mix_of_middle(evidence.config, model, statistics[client].mean)

    return [mix_finding(evidence, population, guessed)]


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
