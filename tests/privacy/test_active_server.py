"""A4 on a whole client: what it sends of its images, and that it leaves where it looks at blocks."""

import pytest

from huscf_flwr.methods import method_of, resolved
from huscf_flwr.privacy.audited_runs import Wanted, audit_config
from huscf_flwr.privacy.defences import AS_CONFIGURED
from huscf_flwr.run.display import NoDisplay
from tests.privacy.audited import audited_run, digits_run


def finding(tmp_path, defence=AS_CONFIGURED, run=audited_run, **settings):
    config = run(tmp_path, **{"cuts.fixed": "1,1,2,1", **settings})
    (audited,) = audit_config(
        config, rounds=1, cuts=(), defences=[defence], wanted=Wanted(("A4",), 1), display=NoDisplay()
    )
    (found,) = audited.findings
    return found


@pytest.mark.slow
def test_the_client_shows_its_images_unless_it_looks_at_blocks(tmp_path):
    found = finding(tmp_path / "open")
    assert found.value > 40 > 20 > found.chance
    assert found.details["labels"] == 1
    looking = finding(tmp_path / "looking", **{"privacy.detect_tampering": True})
    assert looking.value is None
    assert "the client has found it: block 0 of the discriminator is" in looking.reason


@pytest.mark.slow
@pytest.mark.parametrize(
    ("defence", "run", "failed"),
    [("smallest", audited_run, True), ("noise-1", audited_run, True), ("noise-1", digits_run, False)],
    ids=["smallest", "noise, stripes", "noise, digits"],
)
def test_it_is_given_what_crosses_and_no_more(tmp_path, defence, run, failed):
    """Numbers of 3 or 4 bits; or noise, which explains what is below the floor where the search works at all.

    It does not where twenty public images do not tell what stripes are like.
    """
    found = finding(tmp_path, defence, run)
    assert found.chance + 2 < found.value < 40
    assert found.failed is failed


@pytest.mark.slow
def test_a_head_without_room_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("huscf_flwr.privacy.active_server.has_room", lambda *_: False)
    found = finding(tmp_path)
    assert found.value is None
    assert found.untried == {0: "a head of 2 blocks has no room for a trap"}
    assert found.reason == found.untried[0]


def test_other_methods_refuse_to_look(tmp_path):
    config = audited_run(tmp_path, method="fedgan", **{"privacy.detect_tampering": True})
    with pytest.raises(ValueError, match=r"privacy.detect_tampering is True, but method 'fedgan' does not"):
        method_of(resolved(config))
