import json

import pytest

from huscf_flwr.evaluation.report import write_report
from huscf_flwr.evaluation.report_clients import client_table, cut_changes, drop_outs, membership
from huscf_flwr.evaluation.run_record import read_run
from tests.evaluation.pages import Page, in_clusters, report_of
from tests.evaluation.run_folders import cuts, fedgan_round_record, round_record, write_metrics, write_run


def test_what_is_known_of_some_is_a_dash_for_the_others(tmp_path):
    record = round_record(1, clients=2)
    del record["clients"][1]["divergence"], record["clients"][1]["samples"], record["clients"][1]["bytes"]
    write_metrics(tmp_path, [record])
    table = client_table(read_run(tmp_path))
    assert [row.facts.get("divergence") for row in table.rows] == [0.0, None]
    assert [row.share for row in table.rows] == [None, None]
    assert not table.has("share")
    # Images, divergence, sent up and down of the second client.
    assert Page(report_of(tmp_path)).cells.count("—") == 4


def test_drop_outs_of_a_method_without_steps_have_no_step(tmp_path):
    record = fedgan_round_record(1, rounds=1)
    record["drop_outs"] = [{"id": 5, "step": None, "exchange": None, "reason": "left"}]
    write_metrics(tmp_path, [record])
    page = Page(report_of(tmp_path))
    assert drop_outs(read_run(tmp_path))[0].exchange is None
    assert "drop-outs" in page.sections
    assert "Exchange" not in page.text
    assert page.cells.count("left") == 1


def test_clients_of_a_cluster_stand_together(tmp_path):
    write_metrics(tmp_path, [in_clusters(1, 0, 0, 0), in_clusters(2, 1, 0, 1)])
    table = membership(read_run(tmp_path))
    assert table.rounds == (1, 2)
    assert table.rows == ((1, (0, 0)), (0, (0, 1)), (2, (0, 1)))


def test_who_was_not_in_the_last_round_stands_with_its_last_cluster(tmp_path):
    records = [in_clusters(1, 1, 0, 1, 0), in_clusters(2, 1, 0, 1, 0)]
    records[1]["clients"] = records[1]["clients"][1:3]
    write_metrics(tmp_path, records)
    rows = membership(read_run(tmp_path)).rows
    assert rows == ((1, (0, 0)), (3, (0, None)), (0, (1, None)), (2, (1, 1)))


@pytest.mark.parametrize(("bodies", "parted"), [((1, 1, 1), None), ((1, 2, 2), 2)])
def test_the_page_says_when_clusters_parted_their_bodies(bodies, parted, tmp_path):
    write_metrics(tmp_path, [round_record(i) | {"facts": {"bodies": n}} for i, n in enumerate(bodies, 1)])
    assert membership(read_run(tmp_path)).parted == parted
    assert (f"From round {parted} on" in Page(report_of(tmp_path)).text) == (parted is not None)


def test_a_client_that_came_later_was_nowhere_before(tmp_path):
    write_metrics(tmp_path, [in_clusters(1, 0), in_clusters(2, 0, 0)])
    assert membership(read_run(tmp_path)).rows == ((0, (0, 0)), (1, (None, 0)))


def test_clients_have_weights_shares_and_cuts(tmp_path):
    finished = write_run(tmp_path / "demo", rounds=10, pictured=())
    table = client_table(read_run(finished))
    rows = table.rows
    assert [metric.name for metric in table.metrics] == ["weight", "divergence"]
    assert table.networks == ("generator", "discriminator")
    assert [row.client for row in rows] == list(range(8))
    assert rows[1].device == "d5"
    assert rows[1].samples == 165
    assert rows[1].share == pytest.approx(165 / (180 + 165 + 150 + 135))
    assert rows[1].facts["weight"] == pytest.approx(1.1 * 165 / 630)
    assert rows[1].sent == {"up": 20_000_000, "down": 40_000_000}
    generator, discriminator = rows[1].cuts
    assert generator.places == ("client", "server", "middle", "server", "client")
    assert discriminator.places == ("client", "client", "middle", "server", "client")
    assert discriminator.words == "discriminator: blocks 1, 2, 5 of 5 on the client"


@pytest.mark.parametrize(("count", "middle"), [(5, 2), (7, 3)])
def test_cuts_are_drawn_with_the_blocks_that_the_file_names(tmp_path, count, middle):
    blocks = {"generator": {"count": count, "middle": middle}}
    held = [{"id": 0, "cut": [1, 2]}]
    (tmp_path / "cuts.json").write_text(json.dumps({"blocks": blocks, "clients": held}))
    (row,) = client_table(read_run(tmp_path)).rows
    (drawing,) = row.cuts
    assert len(drawing.places) == count
    assert drawing.places.index("middle") == middle
    assert drawing.words == f"generator: blocks 1, {count - 1}, {count} of {count} on the client"


def test_a_discriminator_that_is_whole_on_the_client_has_no_block_on_the_server(tmp_path):
    blocks = {name: {"count": 5, "middle": 2} for name in ("generator", "discriminator")}
    held = [{"id": 0, "cut": [1, 2, 5, 0]}]
    (tmp_path / "cuts.json").write_text(json.dumps({"blocks": blocks, "clients": held}))
    (row,) = client_table(read_run(tmp_path)).rows
    generator, discriminator = row.cuts
    assert generator.places == ("client", "server", "middle", "client", "client")
    assert discriminator.places == ("client",) * 5


@pytest.mark.parametrize("blocks", [None, [], {"generator": {"count": 5}}, {"generator": None}])
def test_a_cut_whose_blocks_are_not_known_is_not_drawn(tmp_path, blocks):
    (tmp_path / "cuts.json").write_text(json.dumps(cuts(1) | {"blocks": blocks}))
    (row,) = client_table(read_run(tmp_path)).rows
    assert row.cuts == ()
    assert report_of(tmp_path)


def eventful_run(folder):
    """Three rounds: client 5 drops out of the second and gets another cut after it."""
    write_run(folder, rounds=3)
    records = [round_record(number, rounds=3) for number in (1, 2, 3)]
    records[1]["drop_outs"] = [
        {"id": 5, "step": 7, "exchange": "criticise", "reason": "left <after> 6 steps"}
    ]
    records[1]["facts"]["new_cuts"] = {
        "clients": [{"id": 5, "before": [1, 1, 2, 2], "after": [2, 1, 1, 2], "output_change": 0.125}]
    }
    write_metrics(folder, records)
    return folder


def test_drop_outs_have_their_reason(tmp_path):
    (row,) = drop_outs(read_run(eventful_run(tmp_path)))
    assert (row.round, row.client, row.step, row.exchange) == (2, 5, 7, "criticise")
    assert row.reason == "left <after> 6 steps"


def test_changed_cuts_are_shown_before_and_after(tmp_path):
    (row,) = cut_changes(read_run(eventful_run(tmp_path)))
    assert (row.round, row.client, row.output_change) == (2, 5, 0.125)
    generator, discriminator = row.networks
    assert [drawing.words for drawing in generator] == [
        "generator: blocks 1, 5 of 5 on the client",
        "generator: blocks 1, 2, 5 of 5 on the client",
    ]
    assert [drawing.words for drawing in discriminator] == [
        "discriminator: blocks 1, 2, 4, 5 of 5 on the client",
        "discriminator: blocks 1, 4, 5 of 5 on the client",
    ]


def test_what_happened_has_its_sections_and_nothing_else_has(tmp_path):
    page = Page(write_report(eventful_run(tmp_path / "eventful")).read_text("utf-8"))
    assert {"drop-outs", "cut-changes"} <= set(page.sections)
    assert "left <after> 6 steps" in page.text
    quiet = Page(write_report(write_run(tmp_path / "quiet", rounds=3)).read_text("utf-8"))
    assert not {"drop-outs", "cut-changes"} & set(quiet.sections)
