"""A8 on runs of seconds: of two in an average each has the other's blocks, of three nobody has anyone's."""

from dataclasses import fields, replace
from types import SimpleNamespace

import pytest
import torch

from huscf_flwr.methods import resolved
from huscf_flwr.methods.huscf.crossing import SEGMENTS
from huscf_flwr.methods.whole_networks import NETWORKS
from huscf_flwr.privacy.audited_runs import Wanted, audit_config
from huscf_flwr.privacy.evidence import Evidence
from huscf_flwr.privacy.finding import PEER
from huscf_flwr.privacy.peer_view import PeerView
from huscf_flwr.privacy.peers import averaged_together, off_by, others_blocks, share_among_others, view_of
from tests.run.builders import METHODS, UNJUDGED, SilentDisplay, small_run, write_domains

KINDS = {"huscf": SEGMENTS, "fedgan": NETWORKS, "huscf-local-discriminator": SEGMENTS}
ONE = {"huscf.clusters": 1}
_SHARED = "nobody has looked at the blocks that are averaged over all clusters"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_domains(tmp_path_factory.mktemp("images"))


def audited(images, output, method="huscf", **settings):
    """What an audit by A8 has found of all clients: with its verdict, and with the evidence that it had."""
    seen = []

    def watched(evidence, population, shadows):
        seen.append(evidence)
        return others_blocks(evidence, population, shadows, kind=KINDS[method])

    config = resolved(small_run(images, output, **{**METHODS[method], **UNJUDGED, **settings}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "huscf_flwr.privacy.audited_runs.attackable",
            lambda _: SimpleNamespace(tried=lambda _names, *given: watched(*given)),
        )
        (found,) = audit_config(
            config,
            rounds=1,
            cuts=[],
            defences=["as configured"],
            wanted=Wanted(("A8",), clients_of_a_cut=9),
            display=SilentDisplay(),
        )
    (finding,) = found.findings
    return found, finding, seen[0]


@pytest.fixture(scope="module")
def of_two(images, tmp_path_factory):
    return audited(images, tmp_path_factory.mktemp("runs"), clients=2, **ONE)


def test_the_other_of_two_is_found(of_two):
    """To float32's precision; a guess that both count alike comes near."""
    found, finding, _ = of_two
    assert finding.clients == (0, 1)
    assert finding.value < 1e-3 < finding.chance == 1
    assert not finding.failed
    for distances in (finding.details["distances"], finding.details["by_equal_weights"]):
        assert distances.keys() == {0, 1}
    assert all(each < 1e-3 for each in finding.details["distances"].values())
    assert all(1e-3 < each < 0.5 for each in finding.details["by_equal_weights"].values())
    assert all(0.9 < each <= 1 for each in finding.details["shares"].values())
    said, beside = found.verdict
    assert beside.startswith("nobody here has looked for images in what heads of discriminators")
    assert said.startswith(f"{PEER} gets blocks of a client, from an average (clients 0, 1): off by ")
    assert "not all that can be had" not in said


def test_a_wrong_weight_is_below_the_floor_and_says_something_all_the_same(of_two):
    _, _, evidence = of_two
    wrong = replace(evidence, weights={0: 0.5, 1: 0.5})
    (finding,) = others_blocks(wrong, None, 4, kind=SEGMENTS)
    assert finding.failed
    assert 1e-3 < finding.value < 1


def test_a_peer_sees_nothing_of_what_others_sent_but_its_average(of_two):
    """Whatever the other has sent of late: the truth goes to the score alone."""
    _, _, evidence = of_two
    assert {each.name for each in fields(PeerView)} == {"uploaded", "sent", "weight", "total_variance"}
    other = replace(evidence.uploads[0], tensors={SEGMENTS: {}})
    blind = replace(evidence, uploads={**evidence.uploads, 0: other}, transcripts=evidence.transcripts[1:])
    views = [view_of(each, each.method, 1, SEGMENTS) for each in (evidence, blind)]
    for seen in ("uploaded", "sent"):
        first, second = (getattr(view, seen) for view in views)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)
    assert views[0].weight == views[1].weight


def test_all_clients_are_asked_about_whoever_else_is_attacked(of_two):
    _, whole, evidence = of_two
    one = replace(evidence, transcripts=evidence.transcripts[1:])
    (finding,) = others_blocks(one, None, 4, kind=SEGMENTS)
    assert finding.clients == whole.clients == (0, 1)


def test_who_is_nearly_all_of_the_average_of_others_is_known_by_weights():
    """A peer of three that takes its own share out is left with one client's blocks, nearly."""
    weights = {0: 0.98, 1: 0.01, 2: 0.01}
    shares = {client: share_among_others(weights, client, (0, 1, 2)) for client in weights}
    assert shares == pytest.approx({0: 0.98 / 0.99, 1: 0.5, 2: 0.5})
    assert share_among_others(weights, 0, (0,)) == 0
    assert share_among_others({0: 0.4, 1: 0.6}, 0, (0, 1)) == 1


def test_nothing_is_changed_by_it(of_two):
    _, _, evidence = of_two
    before = evidence.method.state().copied()
    others_blocks(evidence, None, 4, kind=SEGMENTS)
    after = evidence.method.state()
    assert before.facts == after.facts
    assert all(torch.equal(tensor, after.tensors[name]) for name, tensor in before.tensors.items())


def test_a_cluster_of_three_leaves_an_average_of_two(images, tmp_path):
    found, finding, evidence = audited(images, tmp_path, clients=3, **ONE)
    assert finding.value is None
    assert finding.reason == "a peer has the average of 2 others"
    assert finding.withstood.keys() == {0, 1, 2}
    for client, distance in finding.details["distances"].items():
        assert distance > 0.1
        assert finding.withstood[client] == f"{finding.reason}, which is off by {distance:.2f}"
    assert not any("gets blocks" in said for said in found.verdict)
    lone = replace(evidence, weights={0: 0.98, 1: 0.01, 2: 0.01})
    (finding,) = others_blocks(lone, None, 4, kind=SEGMENTS)
    assert finding.withstood.keys() == {1, 2}
    assert finding.untried == {0: "it is 99% of the average of others that a peer has"}
    (untold,) = others_blocks(replace(evidence, weights={}), None, 4, kind=SEGMENTS)
    assert untold.untried == dict.fromkeys((0, 1, 2), "the run tells no weight of it")
    assert not untold.withstood


@pytest.mark.slow
@pytest.mark.parametrize(("method", "clients"), [("fedgan", 2), ("fedgan", 3)])
def test_fedgan_is_one_average(images, tmp_path, method, clients):
    _, finding, _ = audited(images, tmp_path, method, clients=clients)
    assert (finding.value is not None) is (clients == 2)
    assert finding.value is None or finding.value < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("huscf-local-discriminator", {"clients": 2, **ONE}),
        ("huscf", {"clients": 4, "huscf.clusters": 2, "huscf.buffers": "average"}),
        ("huscf", {"clients": 2, "huscf.plain_rounds": 2}),
    ],
    ids=["local discriminator", "two clusters", "plain"],
)
def test_so_is_it_wherever_two_are_averaged(images, tmp_path, method, settings):
    _, finding, _ = audited(images, tmp_path, method, **settings)
    assert len(finding.clients) == settings["clients"]
    assert finding.value < 1e-3
    assert not finding.failed
    assert bool(finding.untried) is (method == "huscf-local-discriminator")


@pytest.mark.slow
def test_blocks_that_all_clusters_share_are_another_average(images, tmp_path):
    """Of a local discriminator, whose middle is averaged over all four clients."""
    method, settings = "huscf-local-discriminator", {"clients": 4, "huscf.clusters": 2}
    _, finding, evidence = audited(images, tmp_path, method, **settings)
    assert finding.value < 1e-3
    assert all(share < 1 for share in finding.details["shares"].values())
    shared = {f"{network}.{index}." for network, index in evidence.method.cuts.shared_blocks}
    view = view_of(evidence, evidence.method, 0, SEGMENTS)
    assert shared
    assert finding.untried == dict.fromkeys(range(4), _SHARED)
    assert not finding.withstood
    assert not any(name.startswith(tuple(shared)) for name in view.sent)


CLUSTERS = {0: 5, 1: 5, 2: 7, 3: 7}


@pytest.mark.parametrize(
    ("weights", "together"),
    [
        ({0: 0.3, 1: 0.7, 2: 0.4, 3: 0.6}, {0: (0, 1), 2: (2, 3)}),
        ({0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4}, {0: (0, 1, 2, 3)}),  # a plain round
        ({0: 1.0, 2: 0.4, 3: 0.6}, {0: (0,), 1: ()}),  # one was absent
        ({0: 0.0, 1: 0.0, 2: 0.4, 3: 0.6}, {0: (), 3: (2, 3)}),  # too few for privacy.min_cluster
    ],
)
def test_who_is_averaged_together_follows_from_clusters_and_weights(weights, together):
    method = SimpleNamespace(clusters=lambda: CLUSTERS)
    evidence = Evidence(None, method, None, [], weights=weights)
    assert {client: averaged_together(evidence, client) for client in together} == together


def test_who_is_in_no_average_is_told(of_two):
    _, _, evidence = of_two
    (finding,) = others_blocks(replace(evidence, weights={0: 0.0, 1: 1.0}), None, 4, kind=SEGMENTS)
    assert finding.value is None
    assert finding.reason == "no average that another client is sent has its blocks in it"
    assert finding.withstood == dict.fromkeys((0, 1), finding.reason)


def test_a_client_of_whose_blocks_no_average_is_sent_is_not_tried(of_two):
    """Such as one whose peer keeps other blocks."""
    _, _, evidence = of_two
    other = replace(evidence.uploads[0], tensors={SEGMENTS: {"elsewhere": torch.ones(1)}})
    (finding,) = others_blocks(
        replace(evidence, uploads={**evidence.uploads, 0: other}, transcripts=evidence.transcripts[:1]),
        *(None, 4),
        kind=SEGMENTS,
    )
    assert finding.untried[0] == "it has no block that the other one is sent an average of"
    assert finding.withstood == {}


def test_distance_is_in_that_of_the_average():
    truth, mean = {"a": torch.zeros(2), "b": torch.ones(1)}, {"a": torch.tensor([3.0, 4.0])}
    assert off_by({"a": torch.tensor([0.0, 1.0])}, truth, mean) == pytest.approx(0.2)
    assert off_by(mean, truth, mean) == 1
    assert off_by(truth, truth, truth) == 0
