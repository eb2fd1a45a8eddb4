"""Attacks on FedGAN, MD-GAN and FedVTC, on runs of seconds."""

import pytest
import torch

from huscf_flwr.methods import resolved
from huscf_flwr.privacy.audited_runs import Wanted, audit_config
from huscf_flwr.privacy.ceilings import Ceilings
from huscf_flwr.privacy.membership import asked_of
from huscf_flwr.privacy.registry import ATTACKS, DEFAULT_ATTACKS
from huscf_flwr.run.check import check_run
from tests.run.builders import METHODS, UNJUDGED, SilentDisplay, small_run, write_domains


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Shared, so that what judges them is trained once."""
    return write_domains(tmp_path_factory.mktemp("images"))


def audited(images, output, method, attacks=DEFAULT_ATTACKS, rounds=1, defence="none", **settings):
    """What an audit has found of three clients, by attack, in order."""
    one = {"data.scenario": "label-skew-0.1", "data.domains": "digits"}
    config = small_run(images, output, **{**METHODS[method], **UNJUDGED, **one, **settings})
    wanted = Wanted(attacks, clients_of_a_cut=3, shadows=2)
    (found,) = audit_config(
        resolved(config), rounds=rounds, cuts=[], defences=[defence], wanted=wanted, display=SilentDisplay()
    )
    by_attack = {name: [each for each in found.findings if each.attack == name] for name in ATTACKS}
    return found, by_attack


@pytest.mark.slow
def test_a_network_that_is_sent_tells_which_labels_a_client_has(images, tmp_path):
    """With labels shared out unevenly, so that guessing that a client has all of them is often wrong."""
    found, by_attack = audited(images, tmp_path, "fedgan", local_epochs=2)
    which, how_often = by_attack["A3"]
    assert which.value > 0.95
    assert which.chance < 0.8
    assert how_often.value < how_often.chance
    assert found.megabytes is None
    assert [each.reason for each in by_attack["A1"]] == ["no activation of a real image crosses"]


@pytest.mark.slow
def test_fakes_with_labels_of_their_own_hide_labels_from_it(images, tmp_path):
    _, by_attack = audited(images, tmp_path, "fedgan", ("A3",), defence="fake-labels")
    for each in by_attack["A3"]:
        assert each.value is None
        assert "fake_labels is uniform" in each.reason


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fedgan", "mdgan", "huscf"])
def test_membership_is_asked_of_discriminator_and_generator(images, tmp_path, method):
    """So small a training shows little: figures are in the documentation."""
    _, by_attack = audited(images, tmp_path, method, ("A6",), rounds=1 if method != "huscf" else 2)
    asked = by_attack["A6"]
    clients = range(4 if method == "huscf" else 3)  # of HuSCF-GAN's, three of each cut
    assert [each.clients for each in asked] == [(client,) for client in clients for _ in range(2)]
    for each in asked:
        assert 0 <= each.value <= 1
        assert each.chance == 0.5
        assert each.details["shadows"] == 2
        assert each.details["found"] is None


@pytest.mark.slow
def test_a_discriminator_that_is_not_swapped_is_not_asked(images, tmp_path):
    """And holds no ceiling, whatever the generator has."""
    found, by_attack = audited(images, tmp_path, "mdgan", ("A6",), **{"mdgan.swap_every": 5})
    assert [each.value is None for each in by_attack["A6"]] == [True, False] * 3
    told = [each for each in Ceilings.of(["auc=1"]).exceeded(found) if "its discriminator" in each]
    assert len(told) == 3
    assert "client 0: not attacked, since no discriminator of it crossed in this round" in told[0]


@pytest.mark.slow
@pytest.mark.parametrize(("least", "share"), [(1, True), (2, False)])
def test_the_mean_of_one_image_gives_its_features(images, tmp_path, least, share):
    """Six images of each label, unevenly among four clients."""
    settings = {"fedvtc.least_count": least}
    found, by_attack = audited(images, tmp_path, "fedvtc", ("A3", "A7"), rounds=2, **settings)
    (how_often,) = by_attack["A3"]
    features, images = by_attack["A7"]
    assert (features.value > 0) is share
    assert how_often.value == pytest.approx(0, abs=1e-9) if share else how_often.value < how_often.chance
    assert images.value is not None
    for told, is_said in {"knows how often": True, "gets features": share, "gets images": True}.items():
        assert any(sentence.startswith(f"the server {told}") for sentence in found.verdict) is is_said
    assert found.verdict[-1].startswith("nobody here has looked for images in what decoders have learnt")


@pytest.mark.slow
def test_decoders_that_stay_are_not_attacked(images, tmp_path):
    several = {"fedvtc.least_count": 2}
    found, by_attack = audited(images, tmp_path, "fedvtc-own-decoders", ("A7",), rounds=2, **several)
    assert by_attack["A7"][1].without_number == "withstood by clients 0, 1, 2: decoders stay on their clients"
    assert not [*Ceilings.of(["ssim=0"]).exceeded(found)]


@pytest.mark.slow
def test_decoders_that_have_not_crossed_yet_hold_no_ceiling(images, tmp_path):
    several = {"fedvtc.least_count": 2}
    found, by_attack = audited(images, tmp_path, "fedvtc", ("A1", "A7"), rounds=1, **several)
    assert by_attack["A7"][1].without_number.startswith(
        "not tried on clients 0, 1, 2: no decoder of it crossed"
    )
    told = [*Ceilings.of(["ssim=1"]).exceeded(found)]
    assert len(told) == 3
    assert all(f"not tried on client {client} (no decoder" in said for client, said in enumerate(told))


def test_who_is_asked_about_is_told_apart_by_nothing_but_training(images, tmp_path):
    """Others have labels that the client has, and are no copies of images to train on."""
    config = small_run(images, tmp_path)
    population = check_run(config).population
    domain = population.domains["digits"]
    copied = domain.train.subset(torch.arange(3))
    domain.test.images[:3] = copied.images
    asked = asked_of(population, 0)
    members = asked.images.subset(torch.arange(asked.members))
    others = asked.images.subset(torch.arange(asked.members, len(asked.images)))
    assert torch.equal(members.images, population.images_of(0).images)
    assert set(others.labels.tolist()) <= set(members.labels.tolist())
    assert len(others) == len(domain.test) - 3
    assert (asked.pixels.min(), asked.pixels.max()) >= (-1, 0)
