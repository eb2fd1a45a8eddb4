"""What each method lets others learn, written out by hand beside its declarations: the worst first."""

import pytest

from huscf_flwr.comparison.costs import shown
from huscf_flwr.methods import BUILT_IN, method_named
from huscf_flwr.methods.contract import Reveal
from huscf_flwr.methods.huscf.crossing import CROSSING_LOCAL, CROSSING_WITH_LABELS
from huscf_flwr.methods.huscf.private_crossing import CROSSING_PRIVATE

LEARNED = {
    "huscf": (
        ["images and labels", "labels of batches", "a model of one client", "verdicts"],
        ["averages"],
    ),
    "fedgan": (["a model of one client"], ["averages"]),
    "mdgan": (["a model of one client", "verdicts"], ["a model of one client", "averages"]),
    "uagan": (["label counts", "verdicts"], ["label counts", "averages"]),
    "fsgan": (["a model of one client", "verdicts"], ["averages"]),
    "pflgan": (["a model of one client"], ["a model of one client", "averages"]),
    "hflgan": (["a model of one client"], ["averages"]),
    "fedproto": (["label counts", "class means"], ["averages"]),
    "fedvtc": (
        ["label counts", "a model of one client", "class means"],
        ["label counts", "a model of one client"],
    ),
    "fedtgp": (["label counts", "class means"], ["averages"]),
    "fedgen": (["label counts", "a model of one client"], ["averages"]),
    "gefl": (["label counts", "a model of one client"], ["averages"]),
    "ccvr": (["label counts", "a model of one client", "class means"], ["averages"]),
    "fedtype": (["a model of one client"], ["averages"]),
    "local": ([], []),
    "central": (["images and labels"], []),
}


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_server_and_other_clients_learn(name):
    crossing = method_named(name).crossing
    server = shown(crossing.shows_server, crossing.names_up())
    clients = shown(crossing.shows_clients, crossing.names_down())
    assert ([each.value for each in server], [each.value for each in clients]) == LEARNED[name]


def test_weights_from_labels_give_label_counts_away():
    crossing = CROSSING_WITH_LABELS
    assert "label counts" in shown(crossing.shows_server, crossing.names_up())


def test_with_a_local_discriminator_no_images_and_no_labels_of_batches_are_seen():
    crossing = CROSSING_LOCAL
    server = shown(crossing.shows_server, crossing.names_up())
    assert [each.value for each in server] == ["label counts", "a model of one client", "verdicts"]
    assert [each.value for each in shown(crossing.shows_clients, crossing.names_down())] == ["averages"]


def test_with_differential_privacy_all_that_goes_up_is_noised_or_depends_on_no_image():
    crossing = CROSSING_PRIVATE
    assert set(crossing.names_up()) == crossing.shows_server.keys()
    assert set(crossing.shows_server.values()) == {Reveal.BOUNDED, Reveal.NOTHING}
    assert crossing.scores == ()
