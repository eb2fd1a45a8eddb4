import io

import pytest
from rich.console import Console

from huscf_flwr.evaluation.tables import summary_table
from tests.evaluation.run_folders import summary


def printed(values):
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(summary_table(values))
    return console.export_text()


def test_it_has_a_row_for_each_domain_and_the_run_around_them():
    lines = printed(summary(10, 8)).splitlines()
    assert lines[0].startswith("demo: 10 rounds in 2 min 31 s")
    (digits,) = [line for line in lines if "digits" in line]
    assert [cell.strip() for cell in digits.strip("│").split("│")] == [
        "digits", "0", "0.936", "0.930", "0.900", "9.27", "11.0",
    ]  # fmt: skip
    assert lines[-1].startswith("2 clusters · adjusted Rand index 1.00 · 4.10 GB up · 4.20 GB down")


def test_where_nobody_knows_the_domains_it_has_what_the_clients_said_of_their_clusters():
    scores = {"1": {"tstr_accuracy": 0.75}, "0": {"tstr_accuracy": 0.5, "tstr_f1": 0.25}}
    text = printed({"name": "edge", "domains": None, "clusters": {"count": 2, "client_scores": scores}})
    rows = [
        [cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if "│" in line
    ]
    assert rows == [
        ["—", "0", "—", "0.500", "0.250", "—", "—"],
        ["—", "1", "—", "0.750", "—", "—", "—"],
    ]


@pytest.mark.parametrize("domains", [None, {}, {"digits": None}])
def test_what_is_not_known_is_a_dash(domains):
    text = printed({"name": "edge", "domains": domains, "clusters": {"ari": None}})
    assert "adjusted Rand index" not in text
    assert "0.0" not in text
    assert text.count("—") >= 8


def test_names_are_not_markup():
    assert "[red]x[/red]" in printed({"name": "[red]x[/red]", "domains": {"[b]d": {}}})
    assert "[b]d" in printed({"name": "x", "domains": {"[b]d": {}}})
