"""Weights from what clients tell of their labels: an ablation, and a leak."""

import pytest
import torch
from pydantic import ValidationError

from huscf_flwr.federation import SpatialSoftmax, label_divergences
from huscf_flwr.methods import method_of, resolved
from huscf_flwr.methods.contract import Description
from huscf_flwr.methods.huscf import HuSCF, HuSCFFromLabels
from huscf_flwr.methods.huscf.averaging import averaging_of
from huscf_flwr.methods.huscf.crossing import CROSSING_WITH_LABELS, LabelCounts
from tests.methods.huscf.builders import ScriptedClusters, Spy, huscf_training
from tests.run.builders import DEVICE, SAMPLES, images_of_client, small_run

LABELS = {"huscf.weights_from": "labels"}


class Derived(HuSCF):
    """Somebody's own method, whose clients say what those of HuSCF-GAN say."""


@pytest.fixture
def make(tmp_path):
    return lambda **settings: resolved(small_run(tmp_path, tmp_path, **{"model.width": 0.03, **settings}))


def counts_of(client):
    return images_of_client(client, SAMPLES[client]).labels.bincount(minlength=10)


def described(counts=(4, *[0] * 9)):
    return LabelCounts(samples=sum(counts), device=DEVICE, counts=counts)


def test_the_setting_chooses_who_tells_what(make):
    assert method_of(make()) is HuSCF
    assert method_of(make(**LABELS)) is HuSCFFromLabels
    assert HuSCF.crossing.description is Description
    fields = set(CROSSING_WITH_LABELS.description.model_fields)
    assert fields - set(Description.model_fields) == {"counts"}
    assert CROSSING_WITH_LABELS.names_up() == ("counts", *HuSCF.crossing.names_up())
    assert CROSSING_WITH_LABELS.names_down() == HuSCF.crossing.names_down()


def test_weights_are_those_of_the_label_histograms_in_each_cluster(tmp_path):
    training = huscf_training(
        tmp_path, parts={"clusterer": ScriptedClusters((0, 1, 0))}, **LABELS, **{"huscf.beta": 3.0}
    )
    told = {client: each.counts for client, each in training.method.clients.items()}
    assert told == {client: tuple(counts_of(client).tolist()) for client in SAMPLES}
    spy = Spy(training.method)
    training.train()
    (result,) = spy.results
    divergences = label_divergences(torch.stack([counts_of(0), counts_of(2)]))
    weights = torch.tensor([SAMPLES[0], SAMPLES[2]]) * torch.exp(-3.0 * divergences)
    found = [result.cluster_weights[client] for client in (0, 2)]
    assert found == pytest.approx((weights / weights.sum()).tolist())
    assert result.cluster_weights[1] == 1
    globally = label_divergences(torch.stack([counts_of(client) for client in SAMPLES]))
    assert list(result.global_divergences.values()) == pytest.approx(globally.tolist())


def test_labels_weigh_where_bodies_are_apart_too(tmp_path):
    training = huscf_training(tmp_path, parts={"clusterer": ScriptedClusters(*[(0, 1, 0)] * 2)}, **LABELS)
    spy = Spy(training.method)
    for _ in range(3):
        training.train()
    assert training.method.bodies.parted
    expected = label_divergences(torch.stack([counts_of(0), counts_of(2)])).tolist()
    assert [spy.results[-1].global_divergences[client] for client in (0, 2)] == pytest.approx(expected)


def test_server_and_clients_have_the_same_setting(make):
    """Also where a method was derived from HuSCF, which has no clients that tell their labels."""
    plain = Description(samples=4, device=DEVICE)
    with pytest.raises(
        ValueError, match=r"weights_from: labels, but client 3 does not tell how many .* HuSCFFrom"
    ):
        HuSCFFromLabels(make(**LABELS), {1: described(), 3: plain})
    with pytest.raises(ValueError, match=r"weights_from: activations, but client 1 tells how many images"):
        HuSCF(make(), {0: plain, 1: described()})
    assert Derived.variant(make(**LABELS)) is Derived
    with pytest.raises(ValueError, match="client 0 does not tell"):
        Derived(make(**LABELS), {0: plain})


def test_clients_tell_of_all_labels_of_the_networks(make):
    with pytest.raises(ValueError, match=r"client 0 tells of 3 labels, but model\.spec 'authors-28' has 10"):
        HuSCFFromLabels(make(**LABELS), {0: described((1, 2, 1))})


@pytest.mark.parametrize("counts", [(3, 2), (-1, 5)])
def test_counts_add_up_to_the_samples(counts):
    with pytest.raises(ValidationError):
        LabelCounts(samples=4, device=DEVICE, counts=counts)


def test_labels_are_not_told_for_nothing(make):
    with pytest.raises(ValueError, match=r"huscf\.weighting is samples, .* for nothing"):
        HuSCFFromLabels.check(make(**LABELS, **{"huscf.weighting": "samples"}))
    with pytest.raises(ValueError, match="a divergence between activations was given"):
        averaging_of(make(**LABELS), divergence=SpatialSoftmax())
    HuSCFFromLabels.check(make(**LABELS))
