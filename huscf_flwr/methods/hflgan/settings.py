"""Settings of HFL-GAN-style training."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import PositiveInt

from huscf_flwr.config import MethodSettings, RunConfig


class HFLGANSettings(MethodSettings):
    """Who is averaged with whom, and how often.

    That clients are clustered to edge servers as training goes on, that there are several generators, and
    that parts of the model are averaged at different stages, is the paper's (doi 10.1007/s10489-024-05924-x).
    We know its abstract and no more: everything else here is our reading, and the defaults are ours.

    Attributes:
        clusters: number of clusters, which stand for the paper's edge servers.
        recluster_every: rounds from one clustering to the next, the first being in round 1. One in which
            somebody takes part who is in no cluster clusters anew in any case; one of half of the clients or
            fewer never does, but for the first.
        cloud_every: rounds from one average of the global generators over all clients to the next. The local
            generators and the discriminators are averaged within the clusters after each round.
        judged: which generator is judged and exported. ``local``: each cluster's local one. ``global``: the
            global one, as the clients have last averaged it.
    """

    section: ClassVar[str] = "hflgan"

    clusters: PositiveInt = 2
    recluster_every: PositiveInt = 1
    cloud_every: PositiveInt = 2
    judged: Literal["local", "global"] = "local"


def is_cloud_round(config: RunConfig, number: int) -> bool:
    """Return whether the global generators are averaged after round ``number``, from one."""
    return number % config.settings(HFLGANSettings).cloud_every == 0
