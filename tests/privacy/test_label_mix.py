"""A3 over a round: how often a client has each label, counted by the labels of its fakes."""

import pytest
import torch

from huscf_flwr.privacy.attacks.mix import total_variation
from huscf_flwr.privacy.audit import server_view
from huscf_flwr.privacy.audited_runs import Wanted, audit_config
from huscf_flwr.privacy.server import SHOWS_LABELS, mix_of_fakes
from huscf_flwr.run.check import check_run
from huscf_flwr.run.display import NoDisplay
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.transcript import TranscriptRecorder
from tests.privacy.audited import audited_run
from tests.run.builders import SilentDisplay

UNEVEN = {"data.scenario": "label-skew-0.1", "data.domains": "digits", "clients": 4, "local_epochs": 6}
LOCAL = {
    "privacy.local_discriminator": True,
    "privacy.min_observed": 1,
    "fake_labels": "own-mix",
    "cuts.fixed": "1,1,5,0",
}

pytestmark = pytest.mark.slow


def mixes(tmp_path, **settings):
    """Of each client what is counted, the true mix, and that of somebody who knows nothing."""
    checked = check_run(audited_run(tmp_path, rounds=1, **UNEVEN, **settings))
    recorder = TranscriptRecorder(lambda _: (), throughout=[SHOWS_LABELS])
    train_locally(checked, display=SilentDisplay(), judged=False, recorder=recorder)
    for client, transcript in recorder.transcripts.items():
        assert transcript.frames == {}
        counts = torch.bincount(checked.population.images_of(client).labels, minlength=10)
        yield mix_of_fakes(server_view(checked.config, transcript)), counts.double() / counts.sum()


@pytest.mark.parametrize(
    ("settings", "most"),
    [({}, 0.1), ({"fake_labels": "own-mix"}, 0.2), (LOCAL, 0.2)],
    ids=["real", "own-mix", "local discriminator"],
)
def test_labels_of_fakes_tell_how_often_a_client_has_each(tmp_path, settings, most):
    """Those of its images are counted pass by pass; what is drawn as often comes near."""
    for found, truth in mixes(tmp_path, **settings):
        assert total_variation(found, truth) < most
        assert total_variation(torch.full_like(truth, 0.1), truth) > 1.5 * most


@pytest.mark.parametrize(
    "settings", [{"fake_labels": "uniform"}, {"cuts.fixed": "2,1,1,1"}], ids=["uniform", "two blocks"]
)
def test_labels_that_are_all_alike_or_cannot_be_read_are_not_counted(tmp_path, settings):
    assert [found for found, _ in mixes(tmp_path, **settings)] == [None] * 4


def test_a_local_discriminator_with_the_clients_own_mix_is_attacked_by_all_that_is_left(tmp_path):
    """The labels of a batch, the set of labels, and their mix: the last two are had, the first is not."""
    config = audited_run(tmp_path, **UNEVEN, **LOCAL)
    wanted = Wanted(("A1", "A3"), clients_of_a_cut=2)
    (found,) = audit_config(
        config, rounds=1, cuts=(), defences=["local-own-mix"], wanted=wanted, display=NoDisplay()
    )
    (cut,), (mix,) = found.cuts, found.findings
    assert (cut.sees_images, cut.steps) == (False, ())
    assert cut.labels < 0.9
    assert cut.labels_known == 1 > cut.labels_present
    assert mix.value < 0.2 < mix.chance / 1.5
    assert not mix.failed
