import pytest

from huscf_flwr.conf_files import ConfError, known_confs
from huscf_flwr.data import DomainSource, load_scenario
from huscf_flwr.data.scenarios import (
    PAPER_SCENARIOS,
    AllLabels,
    DirichletLabels,
    ExcludedLabels,
    Scenario,
)


@pytest.mark.parametrize("name", known_confs("scenarios"))
def test_every_file_is_valid_and_described(name):
    scenario = load_scenario(name)
    assert scenario.description
    assert scenario.domains


def test_the_six_of_the_paper_can_be_given_by_number():
    for number, name in enumerate(PAPER_SCENARIOS, start=1):
        assert load_scenario(str(number)) == load_scenario(name)
    assert [len(load_scenario(name).domains) for name in PAPER_SCENARIOS] == [1, 1, 2, 2, 2, 4]


@pytest.mark.parametrize("number", ["1", "3", "6"])
def test_the_iid_ones_exclude_nothing(number):
    scenario = load_scenario(number)
    assert scenario.labels == AllLabels()
    assert scenario.sizes.fractions == (1.0,)


@pytest.mark.parametrize("number", ["2", "4"])
def test_the_non_iid_ones_have_the_odds_of_the_spec(number):
    scenario = load_scenario(number)
    assert isinstance(scenario.labels, ExcludedLabels)
    total = sum(scenario.labels.odds)
    odds = {
        count: round(odd / total, 3)
        for count, odd in zip(scenario.labels.counts, scenario.labels.odds, strict=True)
    }
    assert odds == {0: 0.333, 2: 0.4, 3: 0.133, 4: 0.133}
    assert [int(fraction * 750) for fraction in scenario.sizes.fractions] == [500, 750]
    assert scenario.sizes.odds == (0.3, 0.7)


def test_the_highly_non_iid_one_has_the_odds_of_the_spec():
    scenario = load_scenario("5")
    assert isinstance(scenario.labels, ExcludedLabels)
    assert dict(zip(scenario.labels.counts, scenario.labels.odds, strict=True)) == {2: 0.4, 3: 0.6}
    assert dict(zip(scenario.sizes.fractions, scenario.sizes.odds, strict=True)) == {
        0.1666667: 0.2,
        0.333333: 0.3,
        1.0: 0.5,
    }


def test_the_demo_works_offline_and_excludes_few_labels():
    scenario = load_scenario("demo")
    assert scenario.domain_names == ("digits", "letters")
    assert isinstance(scenario.labels, ExcludedLabels)
    assert max(scenario.labels.counts) == 2
    assert scenario.labels.keep_every_class


def test_dirichlet():
    assert isinstance(load_scenario("dirichlet").labels, DirichletLabels)


def test_domains_can_be_replaced():
    folder = DomainSource(name="mine", folder="/data/mine")
    scenario = load_scenario("4", domains=["kmnist", folder])
    assert scenario.domain_names == ("kmnist", "mine")
    assert scenario.domains[1] == folder
    assert scenario.labels == load_scenario("4").labels


def test_a_users_file_is_read(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("domains: [mnist, {name: own, folder: /data/own}]\ncap_total: null\n")
    scenario = load_scenario(path)
    assert scenario.domain_names == ("mnist", "own")
    assert scenario.cap_total is None


def test_a_scenario_has_no_cap_unless_it_is_written(tmp_path):
    (tmp_path / "own.yaml").write_text("domains: [mnist]\n")
    assert load_scenario(tmp_path / "own.yaml").cap_total is None
    assert [load_scenario(name).cap_total for name in PAPER_SCENARIOS] == [60_000] * 6


def test_folders_are_found_as_a_person_would_guess(tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    (tmp_path / "conf" / "beside").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "home")
    path = tmp_path / "conf" / "own.yaml"
    path.write_text("domains: [{name: a, folder: ~/x}, {name: b, folder: beside}, {name: c, folder: here}]")
    assert [domain.folder for domain in load_scenario(path).domains] == [
        tmp_path / "home" / "x",
        tmp_path / "conf" / "beside",
        tmp_path / "home" / "here",
    ]


@pytest.mark.parametrize("name", ["two-domain-iid", "7", "0"])
def test_an_unknown_scenario_lists_the_known(name):
    with pytest.raises(ConfError, match=r"Known: .*two-domains-iid"):
        load_scenario(name)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("domain: [mnist]", r"unknown key 'domain' \(did you mean 'domains'"),
        ("labels: {kind: excluded, count: [1], odds: [1]}", "did you mean 'labels.counts'"),
        (
            "labels: {kind: dirichlet, counts: [1]}",
            r"'labels\.alpha' is missing.*unknown key 'labels\.counts' for kind dirichlet, which takes",
        ),
        (
            "labels: {kind: other}",
            r"kind' is 'other'.*: it must be one of all, dirichlet, excluded, holders",
        ),
        ("labels: {kind: excluded, counts: [1, 2], odds: [1]}", "2 counts but 1 odds"),
        ("labels: {kind: dirichlet, alpha: 0}", r"alpha.* is 0: .*greater than 0"),
        ("sizes: {fractions: [1.5], odds: [1]}", "less than or equal to 1"),
        ("sizes: {fractions: [0.5, 1], odds: [1]}", "2 fractions but 1 odds"),
        ("cap_total: 0", "cap_total"),
        ("domains: [mnist, mnist]", "named only once"),
        ("domains: []", "at least 1"),
        ("domains: mnist", "list of domains"),
        ("domains: [{name: a/b}]", r"'domains\.0\.name' is 'a/b': a name of letters"),
        ("domains: [{name: a, hub: 'x y'}]", r"'domains\.0\.hub' is 'x y': the name of a data set"),
        ("domains: [{name: a, class_names: [x, x]}]", "has a name twice"),
        ("domains: [{name: a, class_names: [x, y], classes: 3}]", "2 class_names but classes: 3"),
    ],
)
def test_errors_name_file_and_key(line, message, tmp_path):
    path = tmp_path / "own.yaml"
    extra = "" if line.startswith("domains") else "domains: [mnist]\n"
    path.write_text(extra + line)
    with pytest.raises(ConfError, match=message) as caught:
        load_scenario(path)
    assert str(path) in str(caught.value)


def test_scenarios_survive_a_round_trip():
    for name in known_confs("scenarios"):
        scenario = load_scenario(name)
        assert Scenario.model_validate(scenario.model_dump(mode="json")) == scenario


def test_of_a_domain_that_is_named_again_the_file_says_the_rest(tmp_path):
    scenario = tmp_path / "mine.yaml"
    scenario.write_text("domains: [{name: voices, folder: here, by_holder: true}, digits]")
    voices, letters = load_scenario(scenario, domains=["voices", "letters"]).domains
    assert (voices.by_holder, voices.folder.name, letters) == (True, "here", DomainSource(name="letters"))
    other = DomainSource(name="voices", classes=4)
    assert load_scenario(scenario, domains=[other]).domains == (other,)
