"""A3 where it is told in one number: which labels a client has, and how often, by method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

import torch
from torch import Tensor

from huscf_flwr.data import Population
from huscf_flwr.methods.fedvtc.crossing import FedVTCDescription
from huscf_flwr.methods.whole_networks import NETWORKS
from huscf_flwr.models import BlockState, model_spec_of, unflatten_blocks
from huscf_flwr.privacy.attacks.labels import labels_that_moved
from huscf_flwr.privacy.attacks.mix import mix_of_movement, total_variation
from huscf_flwr.privacy.evidence import Evidence
from huscf_flwr.privacy.finding import CURIOUS_SERVER, KNOWN, VARIATION, Finding, Most
from huscf_flwr.privacy.floors import KNOWN_LABELS, MIX
from huscf_flwr.run.transcript import Transcript

WHICH = "which labels a client has"
HOW_OFTEN = "how often a client has each label"

MixOf = Callable[[Transcript], Sequence[Tensor]]
"""Returns mixes [C] of a client's labels, as somebody makes them of what crossed in one way or another."""


def labels_of_networks(evidence: Evidence, population: Population, shadows: int) -> list[Finding]:  # noqa: ARG001
    """Attack clients that send both networks: rows of the discriminator's embedding that moved."""
    if evidence.config.fake_labels == "uniform":
        why = f"fake_labels is {evidence.config.fake_labels}: fakes move the rows of absent labels too"
        return [
            Finding("A3", CURIOUS_SERVER, WHICH, KNOWN, reason=why),
            Finding("A3", CURIOUS_SERVER, HOW_OFTEN, VARIATION, reason=why),
        ]
    known: dict[int, float] = {}
    present: dict[int, float] = {}
    for transcript in evidence.transcripts:
        found = labels_that_moved(*_embeddings(transcript))
        has = true_counts(evidence, population, transcript.client) > 0
        known[transcript.client] = fmean((label in found) == bool(there) for label, there in enumerate(has))
        present[transcript.client] = has.double().mean().item()
    most = max(known, key=lambda client: (known[client], -present[client]))
    below = tuple(client for client, share in known.items() if not share >= KNOWN_LABELS)
    which = Finding(
        *("A3", CURIOUS_SERVER, WHICH, KNOWN, fmean(known.values()), fmean(present.values())),
        evidence.clients,
        failed=bool(below),
        most=Most(most, known[most], present[most], below),
    )
    return [which, mix_finding(evidence, population, lambda each: [mix_of_movement(*_embeddings(each))])]


def labels_that_are_told(evidence: Evidence, population: Population, shadows: int) -> list[Finding]:  # noqa: ARG001
    """Read what clients of FedVTC tell in their descriptions: counts of all classes with enough images."""
    classes = model_spec_of(evidence.config).classes

    def told(transcript: Transcript) -> list[Tensor]:
        description = evidence.method.clients[transcript.client]
        assert isinstance(description, FedVTCDescription)
        counts = torch.zeros(classes, dtype=torch.float64)
        counts[list(description.classes)] = torch.tensor(description.counts, dtype=torch.float64)
        return [counts / counts.sum() if counts.sum() else torch.full_like(counts, 1 / classes)]

    return [mix_finding(evidence, population, told)]


def mix_finding(evidence: Evidence, population: Population, mix_of: MixOf, why: str = "") -> Finding:
    """Compare mixes of labels with the true ones, beside what guessing a uniform mix gives.

    Of a client the best one counts; ``why`` there is none of some. It has failed if any client's is farther
    off than one that works, or no nearer than guessing.
    """
    found: dict[int, float] = {}
    guessed: dict[int, float] = {}
    mixes = {transcript.client: mix_of(transcript) for transcript in evidence.transcripts}
    untried = {client: why for client, of_client in mixes.items() if not of_client}
    if len(untried) == len(mixes):
        return Finding("A3", CURIOUS_SERVER, HOW_OFTEN, VARIATION, reason=why, untried=untried)
    for client in (client for client in mixes if client not in untried):
        counts = true_counts(evidence, population, client).double()
        truth = counts / counts.sum()
        found[client] = min(total_variation(mix, truth) for mix in mixes[client])
        guessed[client] = total_variation(torch.full_like(truth, 1 / len(truth)), truth)
    most = min(found, key=lambda client: (found[client], -guessed[client]))
    below = tuple(
        client for client, by in found.items() if not (by <= MIX and (by < guessed[client] or by == 0))
    )
    return Finding(
        *("A3", CURIOUS_SERVER, HOW_OFTEN, VARIATION, fmean(found.values()), fmean(guessed.values())),
        tuple(found),
        {"off_by": found, "guessed": guessed},
        failed=bool(below),
        most=Most(most, found[most], guessed[most], below),
        untried=untried,
    )


def true_counts(evidence: Evidence, population: Population, client: int) -> Tensor:
    """Return how many training images of each label a client has, [C]."""
    classes = model_spec_of(evidence.config).classes
    return torch.bincount(population.images_of(client).labels, minlength=classes)


def _embeddings(transcript: Transcript) -> tuple[BlockState, BlockState]:
    """Return the discriminator's first block before and after the round."""
    assert transcript.upload is not None
    sent, uploaded = (
        unflatten_blocks(parts[NETWORKS]) for parts in (transcript.order.tensors, transcript.upload.tensors)
    )
    return sent["discriminator", 0], uploaded["discriminator", 0]
