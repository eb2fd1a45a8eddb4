"""What a run guarantees is said with the unit, and only where there is something to say."""

import json

import pytest

from huscf_flwr.methods import resolved
from huscf_flwr.privacy.audited_runs import AS_TRAINED, Audited
from huscf_flwr.privacy.ceilings import Ceilings
from huscf_flwr.privacy.guarantee import guarantee, sentence
from huscf_flwr.privacy.table import audit_table
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

    assert guarantee(secret, secret.folder) == "epsilon 2 at delta 1e-05"
    assert guarantee(seeded, seeded.folder) == "epsilon 2 at delta 1e-05, had its noise been secret"
    assert "for the content of one labelled image of one client, over" in sentence(secret, secret.folder)


def test_without_noise_there_is_none(tmp_path):
    config = small_run(tmp_path, tmp_path)
    assert guarantee(config, config.folder) == "none"


def test_it_is_shown_where_nothing_was_attacked_and_exceeds_no_ceiling(private):
    config = private("secret")
    audited = Audited(config, AS_TRAINED, 2, (), (), None)

    assert audited.as_json()["guarantee"] == "epsilon 2 at delta 1e-05"
    assert list(audit_table([audited]).columns[-1].cells) == ["epsilon 2 at delta 1e-05"]
    assert not list(Ceilings.of(["psnr=20"]).exceeded(audited))
