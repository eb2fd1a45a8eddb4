"""The truth goes to the scores alone: whatever makes a claim is given none of it."""

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import get_args, get_origin, get_type_hints

import pytest

import huscf_flwr.privacy
from huscf_flwr.data import ClientData, LabelledImages, PooledImages, Population
from huscf_flwr.methods import resolved
from huscf_flwr.methods.contract import Client
from huscf_flwr.privacy import attacks
from huscf_flwr.privacy.evidence import Evidence
from huscf_flwr.privacy.holder_view import HolderView
from huscf_flwr.privacy.membership import Asked, asked_of, membership
from huscf_flwr.privacy.peer_view import PeerView
from huscf_flwr.privacy.server import SeenStep
from huscf_flwr.privacy.view import ServerView
from huscf_flwr.run.check import CheckedRun, check_run
from huscf_flwr.run.transcript import Transcript
from huscf_flwr.split import Batch
from tests.run.builders import small_run, write_domains

TRUTH = (Population, ClientData, LabelledImages, PooledImages, Asked, Batch, Client)
"""What holds images and labels of clients, or may."""
PUBLIC = {
    "audit.server_view": {"public"},
    "black_box.drawn": {"public"},
    "steering_server._prepared": {"public"},
    "membership.claims_on": {"images"},
    "membership._by_generator": {"images"},
    "membership._trained": {"images"},
    "shadows.trained_shadow": {"images"},
    "shadow_mechanism.mechanism_of": {"images"},
    "shadow_mechanism._learn_nothing": {"batch"},
}
"""Images that attacks are given: public ones, and those that A6 is asked about, whose order tells nothing."""
SCORED = {
    *("active_server.trapped", "active_server._caught", "active_server._in_little_noise"),
    *("active_server.first_real_outputs", "active_server.client_after_round"),
    *("audit.audit_client", "audit.true_batches", "audit._in_little_noise", "audit._check_truth"),
    *("audit._labels_read", "audit._compared"),
    *("black_box.by_simulator", "black_box._simulated", "black_box._scored"),
    *("decoders.means_and_decoders", "decoders._drawn_images", "decoders._compared"),
    "decoders._likest_own",
    "embedding_mix.mix_of_embeddings",
    *("label_findings.labels_of_networks", "label_findings.labels_that_are_told"),
    *("label_findings.mix_finding", "label_findings.true_counts", "middle_means.mix_of_labels"),
    *("membership.Asked.__init__", "membership.asked_of", "membership.membership", "membership._of_client"),
    *("membership._domain", "registry.Attackable.tried", "peers.others_blocks"),
    *("steering_server.steered", "steering_server._finding", "steering_server.steer"),
}
"""What plays the client, or compares what an attack claims with the truth: whoever adds one has read it."""
RUNS = {
    "audited_runs._Recorded.__init__",
    "audited_runs._audited",
    "audited_runs._findings",
    "audited_runs._on_images",
    "audited_runs._image_audits",
}
HOLDERS_OF_TRUTH = {"Population", "ClientData", "Asked", "Batch", "RoundBatches", "PooledImages"}
SCORES = {"scoring", "separation", "audit", "findings", "evidence"}


def held_in(hint, seen=frozenset()):
    """Whether what is annotated so holds truth at any depth: in a collection, or in a field of our classes.

    What is a class, or is called, holds none.
    """
    if hint in seen or get_origin(hint) in (Callable, type):
        return False
    if isinstance(hint, type) and issubclass(hint, TRUTH):
        return True
    inner = list(get_args(hint))
    if isinstance(hint, type) and hint.__module__.startswith("huscf_flwr."):
        inner += get_type_hints(hint).values()
    return any(held_in(each, seen | {hint}) for each in inner)


def functions():
    """Each function and method of the package, by its name from the module on."""
    for found in pkgutil.walk_packages(huscf_flwr.privacy.__path__, f"{huscf_flwr.privacy.__name__}."):
        module = importlib.import_module(found.name)
        short = found.name.removeprefix(f"{huscf_flwr.privacy.__name__}.")
        for name, made in vars(module).items():
            if getattr(made, "__module__", None) != found.name:
                continue
            if inspect.isfunction(made):
                yield f"{short}.{name}", made
            if inspect.isclass(made):
                for own in filter(inspect.isfunction, map(plain, vars(made).values())):
                    if own.__name__ != "__new__":
                        yield f"{short}.{name}.{own.__name__}", own


def plain(member):
    """The function behind a property, a class method, or what is computed once."""
    for place in ("__func__", "fget", "func"):
        member = getattr(member, place, None) or member
    return member


def given_truth():
    """The arguments of each function that hold truth, by its name."""
    for name, function in functions():
        hints = get_type_hints(function)
        held = {argument for argument, hint in hints.items() if argument != "return" and held_in(hint)}
        if held:
            yield name, held


def test_nothing_is_given_the_truth_but_what_is_known_to_score():
    """A new attack that takes images of clients fails here, until somebody has read what it does."""
    given = dict(given_truth())
    assert {name: held for name, held in given.items() if name not in SCORED | RUNS} == PUBLIC
    assert given.keys() >= SCORED | RUNS


def test_no_attack_itself_is_given_any():
    names = {name for name, _ in functions() if name.startswith("attacks.")}
    assert len(names) > 40
    assert not names & dict(given_truth()).keys()


@pytest.mark.parametrize("attack", ["trapped", "steer", "labels_of_networks", "membership", "invert"])
def test_functions_are_found_that_a_list_by_hand_has_forgotten(attack):
    assert attack in {name.rpartition(".")[2] for name, _ in functions()}


@pytest.mark.parametrize(
    ("hint", "held"),
    [
        (LabelledImages | None, True),
        (Mapping[int, list[Batch]], True),
        (CheckedRun, True),
        (Callable[[Population], int], False),
        (type[Client], False),
        *((known, False) for known in (SeenStep, ServerView, PeerView, HolderView, Evidence, Transcript)),
    ],
    ids=str,
)
def test_truth_is_found_at_any_depth(hint, held):
    assert held_in(hint) is held


@pytest.mark.parametrize(
    "path",
    [
        *sorted(Path(attacks.__file__).parent.glob("*.py")),
        Path(huscf_flwr.privacy.__file__).with_name("view.py"),
        Path(huscf_flwr.privacy.__file__).with_name("server.py"),
        Path(huscf_flwr.privacy.__file__).with_name("peer_view.py"),
        Path(huscf_flwr.privacy.__file__).with_name("holder_view.py"),
    ],
    ids=lambda path: path.stem,
)
def test_no_attack_imports_what_holds_it_or_what_compares_with_it(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").rpartition(".")[2] not in SCORES
            assert not {each.name for each in node.names} & HOLDERS_OF_TRUTH


def test_membership_is_asked_in_an_order_that_tells_nothing(monkeypatch, tmp_path):
    """The first so many of what is asked about are the client's; the attack is given them mixed."""
    given = {}

    class Stop(Exception):
        """Once the images are handed over."""

    def claims(evidence, transcript, images, *_):
        given["images"] = images
        raise Stop

    config = resolved(small_run(write_domains(tmp_path), tmp_path))
    population = check_run(config).population
    monkeypatch.setattr("huscf_flwr.privacy.membership.claims_on", claims)
    evidence = Evidence(config, None, None, [Transcript(0, 1, None)])
    with pytest.raises(Stop):
        membership(evidence, population, 4, discriminator=None, adversary="")
    asked = asked_of(population, 0)
    own = {image.numpy().tobytes() for image in asked.images.images[: asked.members]}
    first = [image.numpy().tobytes() in own for image in given["images"].images[: asked.members]]
    assert 0 < sum(first) < len(first)
    assert len(given["images"]) == len(asked.images)
