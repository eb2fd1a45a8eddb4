"""What a run says of images and classes that no client holds, and that what it says to set keeps them."""

import re
from types import SimpleNamespace

import pytest

from huscf_flwr.data import following_data, population_of
from huscf_flwr.models import model_spec_of
from tests.data.formats.writing import some, write_pictures
from tests.run.builders import small_run

NAMES = ("ant", "bee", "cow")
LACKING_TWO = "labels: {kind: excluded, counts: [2], odds: [1]}"


@pytest.fixture
def deal(tmp_path):
    """A function: the population of a scenario with 150 photos and 120 drawings of three animals."""
    for count, name in ((150, "photos"), (120, "drawings")):
        write_pictures(tmp_path / name, some(count, size=28, seed=count), names=NAMES)

    def population(rules=None, domains="photos, drawings", **settings):
        if rules is not None:
            (tmp_path / "mine.yaml").write_text(f"domains: [{domains}]\n{rules}\n")
            settings = {"data.scenario": tmp_path / "mine.yaml", "data.domains": "null", **settings}
        config = following_data(small_run(tmp_path, tmp_path, **{"clients": 2, **settings}))
        return population_of(config, model_spec_of(config))

    return population


def lost_classes(population):
    """By domain, the names of the classes of which there are images, but none with a client."""
    lost = {}
    for name in population.domains:
        clients = [client for client, of in population.domain_of().items() if of == name]
        held = {label for client in clients for label in population.held_by(client).labels.tolist()}
        lost[name] = [NAMES[label] for label in range(3) if label not in held]
    return lost


@pytest.mark.parametrize("clients", [2, 5, 6])
@pytest.mark.parametrize("seed", range(2))
def test_classes_that_no_client_of_a_domain_holds_are_named(clients, seed, deal):
    population = deal(LACKING_TWO, clients=clients, seed=seed, **{"data.held_out": 0.2})
    lost = {name: ", ".join(names) for name, names in lost_classes(population).items() if names}
    said = [note for note in population.notes if "nobody learns" in note]
    named = "; ".join(f"{names} of {name}" for name, names in lost.items())
    assert [note.partition("; to keep them")[0] for note in said] == (
        [f"classes that no client holds, so that nobody learns them: {named}"] if lost else []
    )


def test_a_class_without_images_is_not_one_that_no_client_holds(deal, tmp_path):
    for picture in (tmp_path / "drawings" / "cow").iterdir():
        picture.unlink()
    domains = "photos, {name: drawings, class_names: [ant, bee, cow]}"
    rules = "labels: {kind: excluded, counts: [1], odds: [1]}"
    (said, _) = deal(rules, domains).unheld
    assert "cow of drawings" not in said
    assert re.search(r"(ant|bee) of drawings", said)


def test_keep_every_class_is_named_where_the_clients_can_cover_all_classes_and_does_then(deal):
    """Of two clients in a domain that lack two of three classes, one class stays away; of six it need not."""
    told = "keep_every_class: true in the scenario's labels"
    assert told not in deal(LACKING_TWO, clients=4).unheld[0]
    assert "take more clients, or " in deal(LACKING_TWO, clients=4).unheld[0]
    lossy = next(
        population
        for population in (deal(LACKING_TWO, clients=6, seed=seed) for seed in range(20))
        if len(population.unheld) > 1
    )
    assert told in lossy.unheld[0]
    kept = deal(LACKING_TWO.replace("}", ", keep_every_class: true}"), clients=6)
    assert not any(lost_classes(kept).values())
    assert len(kept.unheld) == 1


@pytest.mark.parametrize("domains", ["photos", "photos,drawings", "photos,drawings,sketches"])
def test_the_scenario_that_is_named_is_the_one_chosen_and_that_which_keeps_all_does(domains, deal, tmp_path):
    write_pictures(tmp_path / "sketches", some(60, size=28), names=NAMES)
    own = {"clients": 6, "data.domains": domains}
    said = deal(**own, **{"data.scenario": "demo"}).unheld[-1]
    assert "; data.scenario is demo, which drops labels; data.scenario=" in said
    (scenario,) = re.findall(r"data\.scenario=(\S+) keeps all$", said)
    assert deal(**own, **{"data.scenario": scenario}).unheld == ()


def test_domains_of_the_scenarios_file_are_named_with_a_scenario_that_takes_its_place(deal):
    said = deal(LACKING_TWO).unheld[-1]
    settings = re.search(r"(data\.scenario)=(\S+) with (data\.domains)=(\S+) keeps all$", said).groups()
    assert deal(**{settings[0]: settings[1], settings[2]: settings[3]}).unheld == ()


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ("sizes: {fractions: [0.5, 1], odds: [1, 1]}", "takes fractions"),
        ("cap_total: 20", "has a cap_total of 20"),
        (f"{LACKING_TWO}\ncap_total: 20", "drops labels and has a cap_total of 20"),
    ],
)
def test_what_in_a_scenario_leaves_images_out_is_said_and_nothing_else(rules, why, deal):
    said = [deal(rules, seed=seed).unheld for seed in range(5)]
    assert any(said)
    assert all(f"mine.yaml, which {why}; " in notes[-1] for notes in said if notes)


def test_no_scenario_of_ours_is_named_that_would_lose_the_folders_or_has_too_small_a_cap(
    deal, tmp_path, monkeypatch
):
    """Ours have the paper's cap of 60,000; with one of 10 they would leave images out themselves."""
    own = "a scenario file with labels: {kind: all} and without cap_total, sizes and partitioner keeps all"
    folders = f"photos, {{name: more, folder: {tmp_path / 'drawings'}}}"
    assert deal("cap_total: 20", folders).unheld[-1].endswith(own)
    assert deal("labels: {kind: all}", folders).unheld == ()
    monkeypatch.setattr("huscf_flwr.data.unheld.load_scenario", lambda _: SimpleNamespace(cap_total=10))
    assert deal("cap_total: 20").unheld[-1].endswith(own)
