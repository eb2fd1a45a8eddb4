"""A device, on which only what the package itself brings is installed: its ClientApp and its commands."""

import json
import re

import pytest

from tests.run.builders import write_domains
from tests.without_extras import python_without_extras

_ROUNDS = """
import json
from pathlib import Path
from typer.testing import CliRunner
from huscf_flwr.commands.main import app as huscf
from huscf_flwr.flower.messages import DESCRIBE, DescribeRequest, EvaluateRequest
from huscf_flwr.session.wire import ExecutorServer
from tests.flower.handlers import Service, answered, ask, context, evaluation_of, trained
from tests.run.builders import METHODS, SMALL_FAMILY, small_run

root = Path(sys.argv[1])
server = ExecutorServer("127.0.0.1:0")
found = {}

def run(method, **settings):
    return small_run(root, root / method, method=method, **settings)

def owner(config, folder="digits"):
    node = {"client_id": 0, "data_folder": str(root / folder), "state_folder": str(root / "state")}
    return context(config, **node)

classifiers = run("fedproto", **{"classifier.family": SMALL_FAMILY})
for config in (run("huscf"), classifiers):
    losses, kept = trained(Service(config, server, {0: 60}), owner(config))
    found[config.method] = {"losses": sorted(losses[0]), "kept": kept[0] is not None}
judged = run("fedgan")
product = dict(Service(judged, server, {0: 60}).rounds.method.products()[0].tensors)
request = EvaluateRequest(evaluation_of(), 1, 0, product)
found["products"] = list(answered(judged, owner(judged), request).products)
found["drop-outs"] = answered(
    classifiers, owner(classifiers), EvaluateRequest(evaluation_of(0), 1)
).drop_outs
try:
    ask(DescribeRequest(clients=(0,)).to_records(), DESCRIBE, owner(judged, "pictures"))
except Exception as error:
    found["pictures"] = str(error)
private = run(**METHODS["huscf-private"])
try:
    ask(DescribeRequest(clients=(0,)).to_records(), DESCRIBE, owner(private))
except Exception as error:
    found["private"] = str(error)
server.stop()
for command in (["deploy", "key", str(root / "key")], ["run", "demo"], ["--help"]):
    result = CliRunner().invoke(huscf, command, env={"COLUMNS": "200"})
    found[command[0]] = [result.exit_code, result.output]
print(json.dumps(found))
"""


@pytest.mark.slow
def test_a_device_trains_without_any_extra_and_says_which_one_it_lacks_for_more(tmp_path):
    """What an owner's files need is in the device's own log; the server is told of what kind the fault is."""
    for label in range(2):
        (tmp_path / "pictures" / str(label)).mkdir(parents=True)
        (tmp_path / "pictures" / str(label) / "0.png").touch()
    done = python_without_extras(_ROUNDS, write_domains(tmp_path))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["huscf"] == {"losses": ["discriminator", "generator"], "kept": True}
    assert "classifier" in found["fedproto"]["losses"]
    missing = "needs the extra 'images' (No module named '{}'): pip install 'huscf-flwr[images]'"
    assert found["products"] == []
    judging = f"client 0 cannot judge its product: judging {missing.format('scipy')}"
    assert judging in done.stderr
    assert found["drop-outs"].keys() == {"0"}
    assert missing.format("sklearn") in found["drop-outs"]["0"]
    assert "their format needs an extra of huscf-flwr that its device does not have" in found["pictures"]
    assert found["private"] == (
        "privacy.epsilon needs the extra 'privacy' (No module named 'dp_accounting'): pip install "
        "'huscf-flwr[privacy]', or, in a checkout, pip install -e '.[privacy]'"
    )
    assert (tmp_path / "key.pub").is_file()
    assert found["deploy"] == [0, f"{tmp_path / 'key'}\n{tmp_path / 'key.pub'}\n"]
    code, told = found["run"]
    assert code == 2
    assert re.match(r"error: huscf run needs the extra 'simulation' \(.*'huscf-flwr\[simulation\]'", told)
    _, told = found["--help"]
    assert re.search(r"run +needs the extra 'simulation'", told)
    assert re.search(r"devices +Device profiles\.", told)
    assert f"reading folders of pictures {missing.format('torchvision')}" in done.stderr
