"""What happens after a round, built from the settings."""

from __future__ import annotations

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
from huscf_flwr.methods.huscf.settings import HuSCFSettings


def averaging_of(
    config: RunConfig,
    *,
    clusterer: Clusterer | None = None,
    divergence: Divergence | None = None,
    weighting: Weighting | None = None,
) -> ClusteredAveraging:
    """Return what happens after a round; an object that is given takes the configured one's place."""
    settings = config.settings(HuSCFSettings)
    return ClusteredAveraging(
        clusterer=clusterer or _clusterer(config, settings),
        divergence=divergence or _divergence(settings),
        weighting=weighting or _weighting(settings),
        buffers=settings.buffers,
        plain_rounds=settings.plain_rounds,
        clusters_in_plain_rounds=settings.clusters_in_plain_rounds,
        feature_scaling=settings.feature_scaling,
    )


def check_clusters(config: RunConfig, clients: int) -> None:
    """Raise ``ValueError`` if more clusters are asked for than there are clients."""
    clusters = config.settings(HuSCFSettings).clusters
    if isinstance(clusters, int) and clusters > clients:
        raise ValueError(f"huscf.clusters: {clusters} clusters for {clients} clients; take fewer")


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
