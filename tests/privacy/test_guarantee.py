"""What a run guarantees is said with the unit, and only where there is something to say."""

import json
from dataclasses import asdict

import pytest

from huscf_flwr.accounting import Releases, epsilon_of
from huscf_flwr.methods import resolved
from huscf_flwr.privacy.audited import Audited
from huscf_flwr.privacy.audited_runs import AS_TRAINED
from huscf_flwr.privacy.ceilings import Ceilings
from huscf_flwr.privacy.guarantee import UNIT, bounding_epsilon, guarantee, sentence, spent_epsilon
from huscf_flwr.privacy.table import guarantees
from huscf_flwr.run.checkpoint import client_folder
from tests.run.builders import METHODS, small_run


@pytest.fixture
def private(tmp_path):
    """Writes the metrics of a run of two rounds; makes its configuration with another kind of noise."""
    config = resolved(small_run(tmp_path, tmp_path, **METHODS["huscf-private"]))
    config.folder.mkdir(parents=True)
    rounds = [{"round": k, "clients": [{"id": 0, "epsilon": 1.0 * k}, {"id": 1}]} for k in (1, 2)]
    (config.folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in rounds))
    return lambda noise: config.model_copy(
        update={"privacy": config.privacy.model_copy(update={"noise": noise})}
    )


def test_it_is_the_largest_epsilon_that_was_told_and_seeded_noise_guarantees_nothing(private):
    secret, seeded = private("secret"), private("seeded")

    ended = "epsilon 2 at delta 1e-05, of rounds that ended"
    assert guarantee(secret, secret.folder) == ended
    assert guarantee(seeded, seeded.folder) == f"{ended}, had its noise been secret"
    assert "for the content of one labelled image of one client, over" in sentence(secret, secret.folder)


def test_what_virtual_clients_wrote_down_counts_whether_a_round_has_ended_or_not(private):
    config = private("secret")
    for client, steps in ((0, 100), (1, 4)):
        spent = [{"training": "first", "round": 3, "releases": [asdict(Releases(0.2, 1.0, steps))]}]
        path = client_folder(config.folder) / "spent" / f"client-{client}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"spent": spent}))

    largest = epsilon_of([Releases(0.2, 1.0, 100)], 1e-5)
    assert largest > 2
    assert spent_epsilon(config, config.folder) == bounding_epsilon(config, config.folder) == largest
    assert guarantee(config, config.folder) == f"epsilon {largest:.3g} at delta 1e-05"


@pytest.mark.parametrize("lines", ["", '{"round": 1, "clients": []}\n'])
def test_where_no_client_has_told_anything_what_none_exceeds_is_said_and_no_zero(private, lines):
    config = private("secret")
    (config.folder / "metrics.jsonl").write_text(lines)
    assert spent_epsilon(config, config.folder) is None
    told = "epsilon 5 at delta 1e-05 at most, of which no client has told anything"
    assert guarantee(config, config.folder) == told
    assert bounding_epsilon(config, config.folder) == 5.0


def test_what_bounds_every_attack_is_what_no_client_exceeds_and_seeded_noise_bounds_none(private):
    """Rounds that did not end have spent too, and what devices have written down stays on them."""
    assert bounding_epsilon(private("secret"), private("secret").folder) == 5.0
    assert bounding_epsilon(private("seeded"), private("seeded").folder) is None


def test_the_unit_says_that_trainings_without_noise_are_not_counted(private):
    config = private("secret")
    said = sentence(config, config.folder)
    assert "over all its trainings with privacy.epsilon on its device" in said
    assert "in others has no noise, and is not counted" in said


def test_without_noise_there_is_none(tmp_path):
    config = small_run(tmp_path, tmp_path)
    assert guarantee(config, config.folder) == "none"


def test_it_is_shown_where_nothing_was_attacked_and_what_is_enough_is_asked(private):
    config = private("secret")
    audited = Audited(config, AS_TRAINED, 2, (), (), None)

    bound = "epsilon 2 at delta 1e-05, of rounds that ended"
    assert audited.as_json()["guarantee"] == bound
    assert (audited.as_json()["delta"], audited.as_json()["unit"]) == (1e-5, UNIT)
    (told,) = guarantees([audited])
    assert told == f"as trained: guaranteed is {bound}; unit: one labelled image of one client"
    assert not list(Ceilings.of(["psnr=20", "epsilon=5"]).exceeded(audited))
    seeded = Audited(private("seeded"), AS_TRAINED, 2, (), (), None)
    for ceiling in ("psnr=20", "labels=0.1", "auc=0.51", "epsilon=5"):
        assert list(Ceilings.of([ceiling]).exceeded(seeded))
