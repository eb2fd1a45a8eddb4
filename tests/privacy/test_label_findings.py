"""A3 in one number: of which client most is known, and what is below what an attack has that works."""

from types import SimpleNamespace

import pytest
import torch

from huscf_flwr.privacy import label_findings
from huscf_flwr.privacy.label_findings import labels_of_networks, mix_finding


@pytest.fixture
def evidence(monkeypatch):
    """Makes that of clients with so many images of each label."""

    def made(*counts):
        monkeypatch.setattr(
            label_findings, "true_counts", lambda evidence, population, client: torch.tensor(counts[client])
        )
        clients = tuple(range(len(counts)))
        return SimpleNamespace(
            config=SimpleNamespace(fake_labels="real"),
            clients=clients,
            transcripts=[SimpleNamespace(client=client) for client in clients],
        )

    return made


@pytest.mark.parametrize(
    ("counts", "mix", "failed"),
    [
        ([80, 20], [0.7, 0.3], False),
        ([80, 20], [0.64, 0.36], True),
        ([52, 48], [0.6, 0.4], True),
        ([80, 20], [float("nan")] * 2, True),
        ([50, 50], [0.5, 0.5], False),
    ],
    ids=["near", "farther off than 0.15", "no nearer than guessing", "no number", "exact"],
)
def test_a_mix_has_failed_that_is_far_off_or_no_nearer_than_guessing(evidence, counts, mix, failed):
    found = mix_finding(evidence(counts), None, lambda _: [torch.tensor(mix, dtype=torch.float64)])
    assert found.failed is failed
    assert found.most.below == ((0,) if failed else ())


def test_of_several_mixes_the_value_is_the_mean_and_the_client_is_told_whose_is_known_best(evidence):
    mixes = {0: torch.tensor([0.7, 0.3]), 1: torch.tensor([0.31, 0.69])}
    found = mix_finding(evidence([80, 20], [30, 70]), None, lambda each: [mixes[each.client].double()])
    assert (found.value, found.chance) == pytest.approx((0.055, 0.25))
    assert (found.most.client, found.most.value, found.most.chance) == pytest.approx((1, 0.01, 0.2))


def test_a_client_without_a_mix_is_told_and_hides_nobody_elses(evidence):
    mixes = {0: [], 1: [torch.tensor([0.31, 0.69]).double()]}
    found = mix_finding(evidence([80, 20], [30, 70]), None, lambda each: mixes[each.client], "no model")
    assert (found.value, found.clients, found.untried) == (pytest.approx(0.01), (1,), {0: "no model"})
    nobody = mix_finding(evidence([80, 20], [30, 70]), None, lambda _: [], "no model")
    assert (nobody.value, nobody.reason) == (None, "no model")


@pytest.mark.parametrize(("moved", "failed"), [({0, 1, 2, 3}, False), ({0, 1, 2, 3, 4}, True)])
def test_a_set_that_is_no_better_than_guessing_has_failed(evidence, monkeypatch, moved, failed):
    """To guess that a client has all of five labels is right about four of them."""
    monkeypatch.setattr(label_findings, "_embeddings", lambda _: ({}, {}))
    monkeypatch.setattr(label_findings, "labels_that_moved", lambda *_: moved)
    monkeypatch.setattr(label_findings, "mix_of_movement", lambda *_: torch.full((5,), 0.2).double())
    found, _ = labels_of_networks(evidence([9, 9, 9, 9, 0]), None, 4)
    assert found.chance == pytest.approx(0.8)
    assert found.value == pytest.approx(0.8 if failed else 1.0)
    assert found.failed is failed
    assert (found.most.client, found.most.below) == (0, (0,) if failed else ())
