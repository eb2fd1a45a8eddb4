import io

import pytest
from rich.console import Console

from huscf_flwr.evaluation.tables import summary_tables
from tests.evaluation.run_folders import fedgan_summary, summary


def printed(values, width=120):
    console = Console(width=width, record=True, file=io.StringIO())
    for table in summary_tables(values, width=width):
        console.print(table)
    return console.export_text()


def test_it_has_a_row_for_each_domain_and_the_run_around_them():
    lines = printed(summary(10, 8)).splitlines()
    assert lines[0].startswith("demo: 10 rounds in 2 min 31 s")
    (digits,) = [line for line in lines if "digits" in line]
    assert [cell.strip() for cell in digits.strip("│").split("│")] == [
        "digits", "cluster-0", "0.936", "0.930", "0.900", "9.27", "11.0",
    ]  # fmt: skip
    assert lines[-1].startswith("2 clusters · adjusted Rand index 1.00 · 4.10 GB up · 4.20 GB down")


def test_one_round_is_no_rounds():
    assert printed(summary(1, 8)).startswith("demo: 1 round in ")


def rows(text):
    return [
        [cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if "│" in line
    ]


def test_a_method_without_clusters_says_nothing_of_them():
    text = printed(fedgan_summary(10, 8))
    assert [row[:2] for row in rows(text)] == [["digits", "global"], ["letters", "global"]]
    assert text.splitlines()[-1].startswith("400 MB up · 400 MB down")


def test_where_nobody_knows_the_domains_it_has_what_the_clients_said_of_their_products():
    products = {
        "cluster-10": {"clients": [1], "client_scores": {"tstr_accuracy": 0.75}},
        "cluster-2": {"clients": [0], "client_scores": {"tstr_accuracy": 0.5, "tstr_f1": 0.25}},
    }
    text = printed({"name": "edge", "domains": None, "products": products})
    assert "fidelity" not in text
    assert rows(text) == [["—", "cluster-2", "0.500", "0.250"], ["—", "cluster-10", "0.750", "—"]]


def test_scores_of_a_strangers_method_have_columns_too():
    scores = {"product": "global", "roundness": 0.125, "fid": 3.0, "tstr_fpr": 0.5}
    text = printed({"name": "x", "domains": {"digits": scores}})
    assert rows(text) == [["digits", "global", "3.0", "0.125"]]
    assert "roundness" in text


@pytest.mark.parametrize("domains", [None, {}, {"digits": None}, {"digits": {"fid": None}}])
def test_what_is_not_known_is_a_dash(domains):
    text = printed({"name": "edge", "domains": domains, "clusters": {"ari": None}})
    assert "adjusted Rand index" not in text
    assert "0.0" not in text
    assert text.count("—") >= 3


def test_names_are_not_markup():
    assert "[red]x[/red]" in printed({"name": "[red]x[/red]", "domains": {"[b]d": {}}})
    assert "[b]d" in printed({"name": "x", "domains": {"[b]d": {}}})


def test_what_is_too_wide_for_the_terminal_comes_in_two_tables():
    scores = {
        "product": "global", "accuracy": 0.84, "f1": 0.825, "untuned_accuracy": 0.4, "label_fidelity": 0.953,
        "tstr_accuracy": 0.682, "tstr_f1": 0.657, "generation_score": 8.979, "fid": 75.8,
        "judge_accuracy": 0.998,
    }  # fmt: skip
    text = printed({**summary(10, 8), "domains": {"mnist": scores}}, width=80)
    one, other = [row for row in rows(text) if row[0] == "mnist"]
    assert one[:2] == other[:2] == ["mnist", "global"]
    assert sorted(one[2:] + other[2:]) == sorted(
        ["0.840", "0.825", "0.400", "0.953", "0.682", "0.657", "8.98", "75.8", "0.998"]
    )
    assert text.splitlines()[-1].strip().endswith("4.10 GB up · 4.20 GB down")
    assert text.count("GB up") == 1
