import json

import pytest
from typer.testing import CliRunner

from huscf_flwr.bench.population import PopulationPoint
from huscf_flwr.commands.main import app
from tests.run.builders import DOMAINS, write_domains

TINY = ("local_epochs=1", "batch_size=8", "model.width=0.03", "data.scenario=two-domains-iid")


def bench_population(*arguments, tiny=TINY):
    settings = [part for setting in tiny for part in ("--set", setting)]
    return CliRunner().invoke(app, ["bench", "population", "demo", *arguments, *settings])


@pytest.mark.slow
@pytest.mark.parametrize(("method", "counts"), [("fedgan", [4, 8])])
def test_a_run_is_measured_for_each_number_of_clients(tmp_path, method, counts):
    write_domains(tmp_path)
    images = (f"data.domains={','.join(DOMAINS)}", f"data.root={tmp_path}")
    printed = bench_population(
        *("--clients", ",".join(map(str, counts)), "--in-a-round", "4", "--rounds", "2", "--format", "json"),
        tiny=(*TINY, *images, f"method={method}"),
    )
    assert printed.exit_code == 0, printed.output
    points = [PopulationPoint(**point) for point in json.loads(printed.stdout)["points"]]
    assert [point.clients for point in points] == counts
    for point in points:
        assert (point.in_a_round, point.rounds) == (4, 2)
        assert point.start_seconds > 0
        assert point.round_seconds > 0
        assert 0 < point.training_share < 1
        assert point.peak_memory_bytes > point.disk_bytes > 0


def test_a_setting_that_cannot_be_is_named():
    printed = bench_population("--clients", "4", tiny=("mehtod=fedgan",))
    assert printed.exit_code == 2
    assert "mehtod" in printed.output
