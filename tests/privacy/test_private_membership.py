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

MEMBERS, OTHERS = 48, 128
NEXT_TO_NO_NOISE = 1e6
"""An epsilon that takes the least noise there is, an eighth of the clip."""


DISCRIMINATOR = {
    **METHODS["huscf-private"],
    "local_epochs": 60,
    "batch_size": 16,
    "model.width": 0.05,
    "optimiser.learning_rate": 0.006,
}
"""Each image is looked at about 60 times, in 180 steps."""
EMBEDDING = {
    **METHODS["huscf-embedding"],
    "privacy.features": 1000,
    "local_epochs": 150,
    "batch_size": 32,
    "model.width": 0.05,
    "optimiser.learning_rate": 0.004,
}
"""All images are looked at once, and all steps go by what was released."""


def audited(place, epsilon, settings):
    """What A6 finds of a single client."""
    train, _ = make_digits()
    chosen = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
    parts = [train.subset(each) for each in chosen[: MEMBERS + OTHERS].split((MEMBERS, OTHERS))]
    write_idx_folder(place / "images" / "digits", *parts)
    alone = {"clients": 1, "data.scenario": "label-skew-1.0", "data.domains": "digits"}
    config = small_run(
        place / "images", place, **{**settings, **UNJUDGED, **alone, "privacy.epsilon": epsilon}
    )
    (found,) = audit_config(
        resolved(config),
        rounds=1,
        cuts=[],
        defences=[AS_CONFIGURED],
        wanted=Wanted(("A6",), clients_of_a_cut=1),
        display=NoDisplay(),
    )
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "asked"), [(DISCRIMINATOR, 0), (EMBEDDING, 1)], ids=["discriminator", "embedding"]
)
def test_members_are_found_where_there_is_next_to_no_noise_and_not_with_an_epsilon_of_one(
    settings, asked, tmp_path
):
    """By the same attack, with shadow models that learn as the client does.

    Of the discriminator; or of the generator, where that alone has learnt.
    """
    loud = audited(tmp_path / "loud", NEXT_TO_NO_NOISE, settings).findings[asked]
    assert loud.value > 0.65
    assert not loud.failed

    found = audited(tmp_path / "private", 1.0, settings)
    private = found.findings[asked]
    assert found.epsilon is None
    assert max(each["auc"] for each in private.details["attacks"].values()) < 0.60
    assert private.failed
    assert "consistent with epsilon 1, proves nothing by itself" in private.failure
    told = list(Ceilings.of(["auc=0.9"]).exceeded(found))
    assert any("consistent with epsilon 1" in each for each in told)
