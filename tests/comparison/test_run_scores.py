"""What the records of a run say of its scores, by round and by bytes."""

import json

import pytest

from huscf_flwr.comparison.run_scores import OWN_MODELS, bytes_by_round, bytes_to_target
from huscf_flwr.evaluation.run_record import read_run
from huscf_flwr.metrics import metric_named

FIDELITY, FID, TSTR = (metric_named(name) for name in ("label_fidelity", "fid", "tstr_accuracy"))
ACCURACY = metric_named("accuracy")


@pytest.fixture
def record(tmp_path):
    """Two clients: together they have 100 bytes in the first round, and 200 in each later one."""
    fidelities, fids = [0.2, 0.6, 0.5, 0.9], [90.0, 80.0, 70.0, 60.0]
    lines = [
        {
            "round": number,
            "bytes": {"up": {"networks": 40}, "down": {"networks": 60 if number == 1 else 160}},
            "domains": {"digits": {"label_fidelity": fidelity, "fid": fid}},
        }
        for number, (fidelity, fid) in enumerate(zip(fidelities, fids, strict=True), start=1)
    ]
    evaluations = [
        {"round": number, "scores": {"test": {"accuracy": {"mean": accuracy}}}}
        for number, accuracy in ((2, 0.3), (4, 0.8))
    ]
    summary = {"domains": {"digits": {"label_fidelity": 0.92, "tstr_accuracy": 0.7}}}
    (tmp_path / "clients.json").write_text(json.dumps({"clients": [{"id": 0}, {"id": 1}]}))
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "evaluations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in evaluations))
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    return read_run(tmp_path)


def test_bytes_of_a_client_add_up_over_the_rounds(record):
    assert bytes_by_round(record) == {1: 50.0, 2: 150.0, 3: 250.0, 4: 350.0}


@pytest.mark.parametrize(
    ("domain", "metric", "target", "sent"),
    [
        ("digits", FIDELITY, 0.1, 50.0),
        ("digits", FIDELITY, 0.6, 150.0),  # though it is worse again after the third
        ("digits", FIDELITY, 0.7, 350.0),
        ("digits", FIDELITY, 0.91, 350.0),  # by more images than a round's, when the run is over
        ("digits", FIDELITY, 0.95, None),
        ("digits", FID, 75.0, 250.0),  # less is better
        ("digits", TSTR, 0.7, 350.0),  # known at the end only
        ("digits", TSTR, 0.8, None),
        (OWN_MODELS, ACCURACY, 0.3, 150.0),
        (OWN_MODELS, ACCURACY, 0.5, 350.0),  # nobody looked after the third
        ("letters", FIDELITY, 0.1, None),
    ],
)
def test_bytes_until_a_score_is_first_as_good_as_its_target(record, domain, metric, target, sent):
    assert bytes_to_target(record, domain, metric, target) == sent
