"""What the report says of an audit."""

import json

import pytest

from huscf_flwr.evaluation.report_privacy import privacy
from huscf_flwr.evaluation.run_record import read_run
from huscf_flwr.privacy.finding import Finding, as_json


@pytest.mark.parametrize(
    ("details", "told"),
    [({}, "attack failed, proves nothing"), ({"under_epsilon": 2.0}, "consistent with epsilon 2, proves")],
)
def test_a_failed_attack_is_told_with_what_explains_it(tmp_path, details, told):
    asked = ("A6", "the server", "who", "AUC", 0.5, 0.5, (0,), details)
    findings = [as_json(Finding(*asked, failed=failed)) for failed in (True, False)]
    (tmp_path / "privacy").mkdir()
    (tmp_path / "privacy" / "privacy.json").write_text(json.dumps({"round": 1, "findings": findings}))
    failed, sound = privacy(read_run(tmp_path)).learnt
    assert told in failed.failure
    assert sound.failure == ""
