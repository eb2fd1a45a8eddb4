"""A4 by gradients alone on a whole client: what steering it brings, and that a client that looks leaves."""

import re

import pytest

from huscf_flwr.privacy.audited_runs import Wanted, audit_config
from huscf_flwr.run.display import NoDisplay
from huscf_flwr.split.tampering import ODD_STEPS
from tests.privacy.audited import audited_run


def findings(tmp_path, **settings):
    """What is found by gradients in the place of honest ones, and by some that are added to them."""
    config = audited_run(tmp_path, **{"cuts.fixed": "1,1,2,1", **settings})
    wanted = Wanted(("A4-gradients",), 1)
    (audited,) = audit_config(
        config, rounds=1, cuts=(), defences=["none"], wanted=wanted, display=NoDisplay()
    )
    replaced, added = audited.findings
    return replaced, added


@pytest.mark.slow
def test_gradients_steer_a_client_until_its_images_are_seen(tmp_path):
    """The floor is 3 dB above the mean image; the same decoder has less of a client that is not steered."""
    replaced, added = findings(tmp_path)
    assert min(replaced.value, added.value) > replaced.chance + 3
    assert replaced.value > replaced.details["unsteered"] + 2


@pytest.mark.slow
def test_a_client_that_looks_at_gradients_leaves_before_step_50(tmp_path):
    replaced, _ = findings(tmp_path, **{"privacy.detect_tampering": True})
    assert replaced.value is None
    step = int(re.search(r"the client leaves in step (\d+): ", replaced.reason)[1])
    assert ODD_STEPS < step < 50
