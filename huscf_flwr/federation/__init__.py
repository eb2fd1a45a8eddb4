"""Clustering, weighting and averaging after a round: pure functions of tensors, no files, no network."""

from huscf_flwr.federation.aggregation import Aggregate, Buffers, aggregate
from huscf_flwr.federation.clustered_averaging import ClusteredAveraging, Evidence, RoundResult
from huscf_flwr.federation.clustering import (
    Clusterer,
    Clustering,
    KMeans,
    SilhouetteKMeans,
    match_clusters,
)
from huscf_flwr.federation.divergence import (
    Divergence,
    GaussianDivergence,
    SpatialSoftmax,
    label_divergences,
)
from huscf_flwr.federation.features import (
    ActivationAccumulator,
    ActivationStatistics,
    FeatureSpace,
    Scaling,
    Sketch,
    clustering_features,
    comparable_means,
    feature_space,
    sketched,
)
from huscf_flwr.federation.known_clusters import KnownClusters
from huscf_flwr.federation.weighting import KLDWeighting, SampleWeighting, Weighting

__all__ = [
    "ActivationAccumulator",
    "ActivationStatistics",
    "Aggregate",
    "Buffers",
    "ClusteredAveraging",
    "Clusterer",
    "Clustering",
    "Divergence",
    "Evidence",
    "FeatureSpace",
    "GaussianDivergence",
    "KLDWeighting",
    "KMeans",
    "KnownClusters",
    "RoundResult",
    "SampleWeighting",
    "Scaling",
    "SilhouetteKMeans",
    "Sketch",
    "SpatialSoftmax",
    "Weighting",
    "aggregate",
    "clustering_features",
    "comparable_means",
    "feature_space",
    "label_divergences",
    "match_clusters",
    "sketched",
]
