"""What the records of a run say of its scores, by round and by bytes."""

import json

import pytest

from huscf_flwr.comparison.run_scores import OWN_MODELS, both_ways_by_round, bytes_by_round, bytes_to_target
from huscf_flwr.evaluation.run_record import read_run
from huscf_flwr.metrics import metric_named

FIDELITY, FID, TSTR = (metric_named(name) for name in ("label_fidelity", "fid", "tstr_accuracy"))
ACCURACY = metric_named("accuracy")


@pytest.fixture
def record(tmp_path):
    """Two clients: together they have 100 bytes in the first round, and 150 in each later one."""
    fidelities, fids = [0.2, 0.6, 0.5, 0.9], [90.0, 80.0, 70.0, 60.0]
    lines = [
        {
            "round": number,
            "clients": [of_client(0, 15 if number == 1 else 65), of_client(1, 25)],
            "domains": {"digits": {"label_fidelity": fidelity, "fid": fid}},
        }
        for number, (fidelity, fid) in enumerate(zip(fidelities, fids, strict=True), start=1)
    ]
    evaluations = [
        {"round": number, "scores": {"test": {"accuracy": {"mean": accuracy}}}}
        for number, accuracy in ((2, 0.3), (4, 0.8))
    ]
    summary = {"domains": {"digits": {"label_fidelity": 0.92, "tstr_accuracy": 0.7}}}
    return written(tmp_path, lines, evaluations, summary)


def of_client(client, up):
    """What a round's line says of a client that receives 30 bytes."""
    return {"id": client, "bytes": {"up": up, "down": 30}}


def written(folder, lines, evaluations=(), summary=None, clients=(0, 1)):
    """Write the record of a run, and read it."""
    described = {"clients": [{"id": client} for client in clients]}
    (folder / "clients.json").write_text(json.dumps(described))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "evaluations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in evaluations))
    (folder / "summary.json").write_text(json.dumps(summary or {}))
    return read_run(folder)


def test_bytes_of_a_client_add_up_over_the_rounds(record):
    assert bytes_by_round(record, "up") == {1: 20.0, 2: 65.0, 3: 110.0, 4: 155.0}
    assert bytes_by_round(record, "down") == {1: 30.0, 2: 60.0, 3: 90.0, 4: 120.0}
    assert both_ways_by_round(record) == {1: 50.0, 2: 125.0, 3: 200.0, 4: 275.0}


def test_clients_that_took_no_part_count_and_have_no_bytes(tmp_path):
    lines = [{"round": 1, "clients": [of_client(0, 10)]}, {"round": 2, "clients": [of_client(5, 20)]}]
    record = written(tmp_path, lines, clients=(0, 1))
    assert bytes_by_round(record, "up") == {1: pytest.approx(10 / 3), 2: pytest.approx(30 / 3)}


@pytest.mark.parametrize(
    ("domain", "metric", "target", "sent"),
    [
        ("digits", FIDELITY, 0.1, 50.0),
        ("digits", FIDELITY, 0.6, 125.0),  # though it is worse again after the third
        ("digits", FIDELITY, 0.7, 275.0),
        ("digits", FIDELITY, 0.91, 275.0),  # by more images than a round's, when the run is over
        ("digits", FIDELITY, 0.95, None),
        ("digits", FID, 75.0, 200.0),  # less is better
        ("digits", TSTR, 0.7, 275.0),  # known at the end only
        ("digits", TSTR, 0.8, None),
        (OWN_MODELS, ACCURACY, 0.3, 125.0),
        (OWN_MODELS, ACCURACY, 0.5, 275.0),  # nobody looked after the third
        ("letters", FIDELITY, 0.1, None),
    ],
)
def test_bytes_until_a_score_is_first_as_good_as_its_target(record, domain, metric, target, sent):
    assert bytes_to_target(record, domain, metric, target) == sent
