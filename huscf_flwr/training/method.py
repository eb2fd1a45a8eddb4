"""The method's parts, built from the configuration."""

from __future__ import annotations

from huscf_flwr.config import RunConfig
from huscf_flwr.data import DomainSource, PartitionRules, Population, Scenario, load_population, load_scenario
from huscf_flwr.federation import (
    AUTHORS_RANDOM_STATE,
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
from huscf_flwr.models import ModelSpec, load_model_spec


def model_spec_of(config: RunConfig) -> ModelSpec:
    """Return the networks that ``config`` asks for."""
    return load_model_spec(config.model.spec, config.model.width)


def scenario_of(config: RunConfig) -> Scenario:
    """Return the scenario, with the domains of ``data.domains`` if they are given."""
    domains = None
    if config.data.domains is not None:
        domains = [DomainSource(name=name) for name in config.data.domains]
    return load_scenario(config.data.scenario, domains)


def population_of(config: RunConfig, spec: ModelSpec) -> Population:
    """Load the virtual clients of the scenario with their images."""
    assert config.data.id_offset is not None
    assert config.data.exclusion_pattern is not None
    return load_population(
        scenario_of(config),
        clients=config.clients,
        seed=config.seed,
        image=(spec.image.channels, spec.image.size),
        classes=spec.classes,
        root=config.data.root,
        cache=config.data.cache,
        rules=PartitionRules(
            id_offset=config.data.id_offset, exclusion_pattern=config.data.exclusion_pattern
        ),
    )


def method_of(
    config: RunConfig,
    *,
    clusterer: Clusterer | None = None,
    divergence: Divergence | None = None,
    weighting: Weighting | None = None,
) -> ClusteredAveraging:
    """Return what happens after a round; an object that is given takes the configured one's place."""
    section = config.method
    assert section.buffers is not None
    assert section.plain_rounds is not None
    assert section.clusters_in_plain_rounds is not None
    assert section.feature_scaling is not None
    return ClusteredAveraging(
        clusterer=clusterer or _clusterer(config),
        divergence=divergence or _divergence(config),
        weighting=weighting or _weighting(config),
        buffers=section.buffers,
        plain_rounds=section.plain_rounds,
        clusters_in_plain_rounds=section.clusters_in_plain_rounds,
        feature_scaling=section.feature_scaling,
    )


def check_clusters(config: RunConfig, clients: int) -> None:
    """Raise ``ValueError`` if more clusters are asked for than there are clients."""
    clusters = config.method.clusters
    if clusters is not None and clusters > clients:
        raise ValueError(f"method.clusters: {clusters} clusters for {clients} clients; take fewer")


def _clusterer(config: RunConfig) -> Clusterer:
    clusters = config.method.clusters
    if config.mode == "parity":
        return KMeans(clusters or len(scenario_of(config).domains), random_state=AUTHORS_RANDOM_STATE)
    return KMeans(clusters) if clusters is not None else SilhouetteKMeans()


def _divergence(config: RunConfig) -> Divergence:
    if config.method.divergence == "spatial-softmax":
        return SpatialSoftmax(direction="peers-from-client", reduction="mean")
    return GaussianDivergence()


def _weighting(config: RunConfig) -> Weighting:
    if config.method.weighting == "samples":
        return SampleWeighting()
    assert config.method.beta is not None
    return KLDWeighting(config.method.beta)
