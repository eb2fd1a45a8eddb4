"""What happens after a round, built from the settings."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from huscf_flwr.config import RunConfig
from huscf_flwr.data import scenario_of
from huscf_flwr.federation import (
    ClusteredAveraging,
    Clusterer,
    Divergence,
    GaussianDivergence,
    KLDWeighting,
    KMeans,
    SampleWeighting,
    SilhouetteKMeans,
    SpatialSoftmax,
    Weighting,
)
from huscf_flwr.methods.contract import Description
from huscf_flwr.methods.huscf.settings import HuSCFSettings
from huscf_flwr.methods.label_counts import LabelCounts
from huscf_flwr.models import ModelSpec


def averaging_of(
    config: RunConfig,
    *,
    clusterer: Clusterer | None = None,
    divergence: Divergence | None = None,
    weighting: Weighting | None = None,
) -> ClusteredAveraging:
    """Return what happens after a round; an object that is given takes the configured one's place.

    Raises ``ValueError`` if a divergence or a weighting would have no use for the labels that clients tell.
    """
    settings = config.settings(HuSCFSettings)
    if settings.weights_from == "labels":
        _check_labels_are_needed(settings, divergence)
    return ClusteredAveraging(
        clusterer=clusterer or _clusterer(config, settings),
        divergence=divergence or _divergence(settings),
        weighting=weighting or _weighting(settings),
        buffers=settings.buffers,
        plain_rounds=settings.plain_rounds,
        clusters_in_plain_rounds=settings.clusters_in_plain_rounds,
        feature_scaling=settings.feature_scaling,
        evidence=settings.evidence,
        smallest=config.privacy.min_cluster,
    )


def check_clusters(config: RunConfig, clients: int) -> None:
    """Raise ``ValueError`` if there are too few ``clients`` for the clusters that are asked for.

    Or if a round could end with fewer clients than may be averaged.
    """
    least = config.privacy.min_cluster
    if least > clients:
        raise ValueError(f"privacy.min_cluster is {least}, but there are {clients} clients; take a lower one")
    if least > config.min_clients:
        raise ValueError(
            f"privacy.min_cluster is {least}, but min_clients is {config.min_clients}, so that a round may "
            f"end with fewer clients than may be averaged; set min_clients to {least} or more"
        )
    clusters = config.settings(HuSCFSettings).clusters
    if isinstance(clusters, int) and clusters > clients:
        raise ValueError(f"huscf.clusters: {clusters} clusters for {clients} clients; take fewer")


def label_counts_of(
    config: RunConfig, clients: Mapping[int, Description], spec: ModelSpec
) -> dict[int, Tensor] | None:
    """Return each client's images of each label, float64 [classes]; None if weights are not from labels.

    Raises ``ValueError`` if clients tell another thing about their labels than the settings need.
    """
    from_labels = config.settings(HuSCFSettings).weights_from == "labels"
    told = {k: each.counts for k, each in clients.items() if isinstance(each, LabelCounts)}
    if told.keys() != (clients.keys() if from_labels else set()):
        client, does = _odd_one(clients, told, from_labels)
        raise ValueError(
            f"huscf.weights_from: {config.settings(HuSCFSettings).weights_from}, but client {client} {does} "
            "how many images it has of each label; give server and clients the same setting, and derive a "
            "method of your own that takes labels from HuSCFFromLabels"
        )
    for client, counts in told.items():
        if len(counts) != spec.classes:
            raise ValueError(
                f"client {client} tells of {len(counts)} labels, but model.spec '{spec.name}' has "
                f"{spec.classes}: choose a model with more classes, or correct the labels"
            )
    return {k: torch.tensor(counts, dtype=torch.float64) for k, counts in told.items()} or None


def _odd_one(
    clients: Mapping[int, Description], told: Mapping[int, object], from_labels: bool
) -> tuple[int, str]:
    """Return the first client that should tell of its labels and does not, or the other way round."""
    odd = min(client for client in clients if (client in told) != from_labels)
    return odd, "does not tell" if from_labels else "tells"


def _check_labels_are_needed(settings: HuSCFSettings, divergence: Divergence | None) -> None:
    if settings.weighting == "samples":
        raise ValueError(
            "huscf.weights_from is labels, but huscf.weighting is samples, which looks at no divergence: "
            "clients would tell their labels for nothing; set one of the two back"
        )
    if divergence is not None:
        raise ValueError(
            "huscf.weights_from is labels, but a divergence between activations was given: remove it, or "
            "take activations"
        )


def _clusterer(config: RunConfig, settings: HuSCFSettings) -> Clusterer:
    random_state = None if settings.random_state == "seeded" else settings.random_state
    if settings.clusters == "found":
        return SilhouetteKMeans(random_state=random_state)
    clusters = len(scenario_of(config).domains) if settings.clusters == "domains" else settings.clusters
    return KMeans(clusters, random_state=random_state)


def _divergence(settings: HuSCFSettings) -> Divergence:
    if settings.divergence == "spatial-softmax":
        return SpatialSoftmax(direction="peers-from-client", reduction="mean")
    return GaussianDivergence()


def _weighting(settings: HuSCFSettings) -> Weighting:
    return SampleWeighting() if settings.weighting == "samples" else KLDWeighting(settings.beta)
