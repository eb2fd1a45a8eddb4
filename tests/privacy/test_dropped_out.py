"""Clients that leave the round that is recorded: nobody attacks them, and nobody may think them safe."""

import pytest

from huscf_flwr.methods import resolved
from huscf_flwr.privacy.audited import DroppedOut
from huscf_flwr.privacy.audited_runs import Wanted, audit_config
from huscf_flwr.privacy.ceilings import Ceilings
from huscf_flwr.privacy.defences import AS_CONFIGURED
from huscf_flwr.run.check import check_run
from huscf_flwr.run.display import NoDisplay
from tests.privacy.audited import audited_run

LOCAL = {"privacy.local_discriminator": True, "fake_labels": "own-mix", "cuts.fixed": "1,1,5,0"}
UNEVEN = {"data.scenario": "label-skew-0.1", "data.domains": "digits", "clients": 4}


@pytest.mark.slow
def test_who_leaves_is_named_with_the_reason_and_holds_no_ceiling(tmp_path):
    """The client with the fewest images tells none of its statistics, and leaves before anything crosses."""
    population = check_run(audited_run(tmp_path / "before", **UNEVEN)).population
    sizes = {client: len(population.images_of(client)) for client in range(4)}
    least, bound, *_ = sorted(set(sizes.values()))
    leaving = [client for client, size in sizes.items() if size == least]
    config = resolved(audited_run(tmp_path, **UNEVEN, **LOCAL, **{"privacy.min_observed": bound}))
    (found,) = audit_config(
        config, rounds=1, cuts=(), defences=[AS_CONFIGURED], wanted=Wanted(("A3",), 4), display=NoDisplay()
    )
    assert [(lost.client, lost.cut) for lost in found.dropped_out] == [(each, "1-1-5-0") for each in leaving]
    assert not set(leaving) & set(found.findings[0].clients)
    told = list(Ceilings.of(["label_mix=1"]).exceeded(found))
    for lost, kept in zip(found.dropped_out, found.as_json()["dropped_out"], strict=True):
        assert f"it has {least} images" in lost.reason
        assert lost == DroppedOut(**kept)
        assert lost.sentence in found.verdict
        assert f"as configured: {lost.sentence}; that proves nothing" in told
