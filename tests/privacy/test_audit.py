"""Attacks on a run as it trains: what a curious server gets, with and without what hinders it."""

from dataclasses import fields, replace

import pytest
import torch

from huscf_flwr.config import dump_config
from huscf_flwr.methods.huscf.client import HuSCFClient, round_batches
from huscf_flwr.privacy.attacks.labels import labels_of_fakes
from huscf_flwr.privacy.audit import (
    OtherBatchesError,
    audit_client,
    recorded_steps,
    server_view,
    true_batches,
)
from huscf_flwr.privacy.audited_runs import Wanted, audit_run
from huscf_flwr.privacy.findings import findings_by_cut
from huscf_flwr.privacy.server import SHOWS_LABELS, SeenStep, label_set
from huscf_flwr.privacy.view import ServerView
from huscf_flwr.run.check import check_run
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.transcript import TranscriptRecorder
from tests.privacy.audited import audited_run, digits_run
from tests.run.builders import SilentDisplay, small_run

pytestmark = pytest.mark.slow


class Recorded:
    """A run, and its last round's transcripts."""

    def __init__(self, config, steps=recorded_steps):
        checked = check_run(config)
        recorder = TranscriptRecorder(steps, throughout=[SHOWS_LABELS])
        train_locally(checked, display=SilentDisplay(), judged=False, recorder=recorder)
        self.config, self.population = checked.config, checked.population
        self.transcripts = recorder.transcripts

    def audit(self, client=0, attacks=("A1", "A2")):
        return audit_client(self.config, self.transcripts[client], self.population, attacks)

    def findings(self, attacks=("A1", "A2")):
        (found,) = findings_by_cut([self.audit(0, attacks)])
        return found


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return Recorded(audited_run(tmp_path_factory.mktemp("plain"), rounds=1, local_epochs=6))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return Recorded(audited_run(tmp_path_factory.mktemp("trained"), rounds=3))


def test_the_first_step_and_one_in_the_middle_are_looked_at():
    assert recorded_steps(100) == (1, 51)
    assert recorded_steps(1) == (1,)


@pytest.mark.parametrize("name", ["plain", "trained"])
def test_in_the_first_step_the_server_sees_every_image_and_every_label(name, request):
    """With initial weights, and with trained ones."""
    first, *_ = request.getfixturevalue(name).findings().steps
    assert first.step == 1
    assert first.psnr > 60
    assert first.labels == 1


def test_in_the_middle_of_a_round_it_still_sees_them(plain):
    middle = plain.findings().steps[-1]
    assert middle.step > 10
    assert middle.psnr > 25
    assert middle.labels == 1


def test_in_step_20_of_a_round_it_sees_them_too(tmp_path):
    """By A1 or A2, of which one fades as weights move and the other needs no weights."""
    recorded = Recorded(audited_run(tmp_path, rounds=1, local_epochs=6), steps=lambda _: (1, 20))
    late = recorded.findings().steps[-1]
    assert late.step == 20
    assert late.psnr > 25
    assert late.labels == 1


@pytest.mark.parametrize("network", ["split", "local"])
def test_labels_that_are_all_alike_are_right_by_chance_over_a_whole_round(tmp_path, network):
    """Ten labels: a tenth of some 180 is right, give or take three standard errors."""
    local = {"privacy.local_discriminator": True, "privacy.min_observed": 1, "cuts.fixed": "1,1,5,0"}
    settings = {"fake_labels": "uniform", "local_epochs": 6, **(local if network == "local" else {})}
    recorded = Recorded(audited_run(tmp_path, rounds=1, **settings))
    for client, transcript in recorded.transcripts.items():
        shown = transcript.throughout[SHOWS_LABELS]
        drawn = round_batches(client, recorded.population.images_of(client), recorded.config, 1)
        truth = torch.cat([drawn.next().labels for _ in shown])
        block = server_view(recorded.config, transcript).head("generator").at(0)
        read = torch.cat([labels_of_fakes(block, output) for (output,) in shown])
        assert len(truth) > 150
        assert (read == truth).float().mean() < 0.1 + 3 * (0.09 / len(truth)) ** 0.5


def test_under_a_local_discriminator_there_is_no_image_to_attack(tmp_path):
    """Of every exchange of a round, nothing has an activation of a real image, and no attack finds one."""
    local = {"privacy.local_discriminator": True, "privacy.min_observed": 1, "cuts.fixed": "1,1,5,0"}
    config = audited_run(tmp_path, rounds=2, fake_labels="own-mix", **local)
    recorded = Recorded(config, steps=lambda count: range(1, count + 1))
    kinds = {"GENERATE", "GENERATOR_BACKWARD"}
    for transcript in recorded.transcripts.values():
        assert {name for frames in transcript.frames.values() for name, _ in frames} == kinds
    audit = recorded.audit(attacks=("A1", "A2"))
    assert audit.attacked == ()
    (found,) = findings_by_cut([audit])
    assert (found.sees_images, found.steps, found.failed) == (False, (), False)


def test_it_knows_which_labels_a_client_has(plain):
    for client in plain.transcripts:
        counts = torch.bincount(plain.population.images_of(client).labels, minlength=10)
        present = set(counts.nonzero().flatten().tolist())
        assert label_set(server_view(plain.config, plain.transcripts[client])) == present


def test_fakes_with_labels_of_their_own_do_not_hide_the_real_ones(tmp_path):
    """Exchange 1 does not tell them then; exchange 2 does as before."""
    recorded = Recorded(audited_run(tmp_path, rounds=1, fake_labels="uniform"))
    found = recorded.findings()
    assert found.steps[0].psnr > 60
    assert found.steps[0].labels == 1
    # Fakes of absent labels move their rows too.
    assert found.labels_known is None


@pytest.mark.parametrize("local", [False, True], ids=["split", "local discriminator"])
def test_fakes_with_the_clients_own_labels_tell_which_it_has(tmp_path, local):
    """A client that lacks labels; what the heads of both networks give away of its fakes is its own alone."""
    cut = "1,1,5,0" if local else "1,1,1,1"
    settings = {
        "privacy.local_discriminator": local,
        "privacy.min_observed": 1 if local else 100,
        "cuts.fixed": cut,
        "data.scenario": "two-domains-non-iid",
    }
    recorded = Recorded(audited_run(tmp_path, rounds=1, fake_labels="own-mix", **settings))
    lacking = 0
    for client, transcript in recorded.transcripts.items():
        present = set(recorded.population.images_of(client).labels.tolist())
        lacking += len(present) < 10
        view = server_view(recorded.config, transcript)
        assert label_set(view) == present
        drawn = SeenStep(view, 1).guessed_labels
        assert set(drawn.tolist()) <= present
    assert lacking


def test_noise_on_activations_blurs_images_and_hides_no_label(tmp_path):
    """The control is the same search in little noise, and not the closed form, which has 150 dB."""
    recorded = Recorded(digits_run(tmp_path, rounds=1, **{"privacy.activation_noise": 1.0}))
    found = recorded.findings(("A1",))
    assert found.mean_image + 1 < found.steps[0].psnr < 30
    assert found.steps[0].labels > 0.9
    assert 30 < found.control < 45
    assert not found.failed
    assert found.noise == 1


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_clipping_hides_nothing_and_the_truth_is_known_beside_it(tmp_path, noise):
    """A search that knows of it finds what it finds without, but not what the closed form has without."""
    settings = {"privacy.activation_clip": 0.5, "privacy.activation_noise": noise}
    found = Recorded(digits_run(tmp_path, rounds=1, **settings)).findings(("A1",))
    assert found.steps[0].psnr > (20 if noise else 35)
    assert found.steps[0].labels == 1
    assert not found.failed


def test_what_a_search_has_in_noise_proves_nothing_where_it_fails_in_little_noise(tmp_path):
    """Twenty striped images do not tell what stripes are like."""
    recorded = Recorded(audited_run(tmp_path, rounds=1, **{"privacy.activation_noise": 2.0}))
    found = recorded.findings(("A1",))
    assert found.control < 30
    assert found.failed


def test_a_client_that_is_not_heard_of_is_not_known(plain):
    unheard = replace(plain.transcripts[0], upload=None)
    assert label_set(server_view(plain.config, unheard)) is None


def test_the_truth_is_what_the_client_trained_on(plain, monkeypatch):
    """Batches drawn beside the run are those of the run."""
    seen = []
    monkeypatch.setattr(
        "huscf_flwr.split.SplitClient.hosted_step", lambda self, batch: seen.append((self.client, batch))
    )
    client = HuSCFClient(1, plain.population.images_of(1), None, plain.config)
    transcript = plain.transcripts[1]
    client.begin(transcript.round, transcript.order)
    for _ in range(max(transcript.frames)):
        client.step()
    truth = true_batches(plain.config, transcript, plain.population.images_of(1))
    for step, batch in truth.items():
        assert torch.equal(seen[step - 1][1].images, batch.images)
        assert torch.equal(seen[step - 1][1].labels, batch.labels)


def test_an_attack_is_given_nothing_but_what_a_server_knows():
    known = {"spec", "fake_labels", "initial", "transcript", "obscured"}
    assert {field.name for field in fields(ServerView)} == known


def test_a_truth_that_is_none_is_noticed(plain):
    """A client of somebody's own may draw other batches; its images would seem to be well hidden."""
    other = replace(plain.transcripts[0], client=1)
    with pytest.raises(OtherBatchesError, match="client 1"):
        audit_client(plain.config, other, plain.population, ("A1",))


def test_a_run_without_a_checkpoint_is_told_what_makes_one(tmp_path):
    (tmp_path / "config.yaml").write_text(dump_config(small_run(tmp_path, tmp_path)))
    with pytest.raises(
        ValueError, match="no checkpoint to go on from; train it for at least one round first"
    ):
        audit_run(tmp_path, Wanted((), 1), SilentDisplay())
