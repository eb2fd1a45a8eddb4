"""The truth goes to the scores alone: whatever makes a claim is given none of it."""

import ast
from pathlib import Path
from typing import get_type_hints

import pytest

import huscf_flwr.privacy
from huscf_flwr.data import ClientData, Population
from huscf_flwr.methods import resolved
from huscf_flwr.privacy import attacks
from huscf_flwr.privacy.active_server import caught_by
from huscf_flwr.privacy.attacks.hijack import Hijack
from huscf_flwr.privacy.black_box import drawn
from huscf_flwr.privacy.decoders import images_at_means
from huscf_flwr.privacy.evidence import Evidence
from huscf_flwr.privacy.membership import Asked, asked_of, claims_on, membership
from huscf_flwr.privacy.middle_means import mix_by_means, mix_of_middle
from huscf_flwr.privacy.server import SeenStep, invert, invert_with_fakes, label_set, mix_of_fakes
from huscf_flwr.privacy.view import ServerView
from huscf_flwr.run.check import check_run
from huscf_flwr.run.transcript import Transcript
from huscf_flwr.split import Batch
from tests.run.builders import small_run, write_domains

CLAIMS = (
    *(invert, invert_with_fakes, label_set, mix_of_fakes, mix_by_means, mix_of_middle),
    *(caught_by, drawn, claims_on, images_at_means, Hijack.__init__, Hijack.images),
)
"""What each attack is, once it has a view, and perhaps public images."""
KNOWN = (SeenStep, ServerView, Evidence, Transcript)
TRUTH = {Population, ClientData, Asked, Batch}
HOLDERS_OF_TRUTH = {"Population", "ClientData", "Asked", "Batch", "RoundBatches"}
SCORES = {"scoring", "separation", "audit", "findings", "evidence"}


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.__qualname__)
def test_what_makes_a_claim_takes_no_truth(claim):
    given = {name: kind for name, kind in get_type_hints(claim).items() if name != "return"}
    assert given
    assert not TRUTH & set(given.values())


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.__name__)
def test_what_it_is_given_holds_none(known):
    assert not TRUTH & set(get_type_hints(known).values())


@pytest.mark.parametrize(
    "path",
    [
        *sorted(Path(attacks.__file__).parent.glob("*.py")),
        Path(huscf_flwr.privacy.__file__).with_name("view.py"),
        Path(huscf_flwr.privacy.__file__).with_name("server.py"),
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
