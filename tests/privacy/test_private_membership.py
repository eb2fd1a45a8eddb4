"""A6 on clients that learn with differential privacy: what the guarantee is worth, seen from outside."""

import pytest
import torch

from huscf_flwr.data import write_idx_folder
from huscf_flwr.data.digits import make_digits
from huscf_flwr.methods import resolved
from huscf_flwr.privacy.audited_runs import Wanted, audit_config
from huscf_flwr.run.display import NoDisplay
from tests.run.builders import METHODS, UNJUDGED, small_run

IMAGES = 128
"""To train on, for two clients, and as many others."""


@pytest.mark.slow
def test_with_an_epsilon_of_one_members_are_not_found(tmp_path):
    """The same attack finds those of networks that have learnt as few images, as long, without noise."""
    train, _ = make_digits()
    chosen = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
    parts = [train.subset(chosen[:IMAGES]), train.subset(chosen[IMAGES : 2 * IMAGES])]
    write_idx_folder(tmp_path / "images" / "digits", *parts)
    settings = {
        **METHODS["huscf-private"],
        **UNJUDGED,
        "privacy.epsilon": 1.0,
        "clients": 2,
        "local_epochs": 75,
        "batch_size": 16,
        "model.width": 0.1,
        "optimiser.learning_rate": 0.0005,
        "data.scenario": "label-skew-1.0",
        "data.domains": "digits",
    }
    (found,) = audit_config(
        resolved(small_run(tmp_path / "images", tmp_path, **settings)),
        rounds=1,
        cuts=[],
        defences=["none"],
        wanted=Wanted(("A6",), clients_of_a_cut=1),
        display=NoDisplay(),
    )
    assert found.epsilon is None
    for each in found.findings:
        assert each.value < 0.60
        assert not each.details["control_off"]
    by_discriminator, _ = found.findings
    assert by_discriminator.details["able"] > 0.65
