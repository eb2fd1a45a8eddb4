"""A6 on a client that learns with differential privacy: what the guarantee is worth, seen from outside."""

import pytest
import torch

from huscf_flwr.data import write_idx_folder
from huscf_flwr.data.digits import make_digits
from huscf_flwr.methods import resolved
from huscf_flwr.privacy.audited_runs import Wanted, audit_config
from huscf_flwr.privacy.ceilings import Ceilings
from huscf_flwr.privacy.defences import AS_CONFIGURED
from huscf_flwr.run.display import NoDisplay
from tests.run.builders import METHODS, UNJUDGED, small_run

MEMBERS, OTHERS = 64, 128
NEXT_TO_NO_NOISE = 1e6
"""An epsilon that takes the least noise there is, an eighth of the clip."""


def audited(place, epsilon, **settings):
    """What A6 finds of a client that has looked at each of its images about 50 times, in 200 steps."""
    train, _ = make_digits()
    chosen = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
    parts = [train.subset(each) for each in chosen[: MEMBERS + OTHERS].split((MEMBERS, OTHERS))]
    write_idx_folder(place / "images" / "digits", *parts)
    defaults = {
        **METHODS["huscf-private"],
        **UNJUDGED,
        "privacy.epsilon": epsilon,
        "clients": 1,
        "local_epochs": 50,
        "batch_size": 16,
        "model.width": 0.05,
        "optimiser.learning_rate": 0.005,
        "data.scenario": "label-skew-1.0",
        "data.domains": "digits",
    }
    (found,) = audit_config(
        resolved(small_run(place / "images", place, **{**defaults, **settings})),
        rounds=1,
        cuts=[],
        defences=[AS_CONFIGURED],
        wanted=Wanted(("A6",), clients_of_a_cut=1),
        display=NoDisplay(),
    )
    return found


@pytest.mark.slow
def test_members_of_a_discriminator_are_found_where_there_is_no_noise_and_not_with_an_epsilon_of_one(
    tmp_path,
):
    """By the same attack, with shadow models that learn as the client does."""
    loud, _ = audited(tmp_path / "loud", NEXT_TO_NO_NOISE).findings
    assert loud.value > 0.65
    assert not loud.failed

    found = audited(tmp_path / "private", 1.0)
    private, _ = found.findings
    assert found.epsilon is None
    assert max(each["auc"] for each in private.details["attacks"].values()) < 0.60
    assert private.failed
    assert "consistent with epsilon 1, proves nothing by itself" in private.failure
    assert all("consistent with epsilon" in told for told in Ceilings.of(["auc=0.9"]).exceeded(found))
