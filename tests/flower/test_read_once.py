"""Each process of a run on Flower reads the checkpoint and the images once.

The command's own process is in ``tests/commands/test_run.py``. Here the ServerApp and the ClientApps share a
process, and are told apart by where they ask for what is read.
"""

import pytest

from huscf_flwr.run.local import train_locally
from tests.flower.grid_runs import hosts, run
from tests.run.builders import DOMAINS, SilentDisplay, small_run
from tests.run.counting import count_calls


@pytest.mark.slow
def test_server_app_and_client_apps_each_read_what_they_need_once(images, tmp_path, monkeypatch):
    """Of a run that is resumed for two rounds: not again in each round, nor to judge it."""
    settings = {"method": "fedgan", "evaluation.every": 1}
    half = small_run(images, tmp_path, name="half", rounds=1, **settings)
    train_locally(half, display=SilentDisplay(), judged=False)
    calls = count_calls(
        monkeypatch,
        {
            "huscf_flwr.run.check.check_folder": "the place of the run",
            "huscf_flwr.flower.strategy.checkpoint_of": "the server's checkpoint",
            "huscf_flwr.run.checkpoint.read_exactly": "tensors of a checkpoint",
            "huscf_flwr.flower.server_images.population_for": "the server's images",
            "huscf_flwr.flower.strategy.images_hash": "the server's hash of images",
            "huscf_flwr.flower.client_app.population_for": "the clients' images",
            "huscf_flwr.flower.client_app.images_hash": "the clients' hash of images",
            "huscf_flwr.data.domains.load_domain": "domains of both",
        },
    )
    run(small_run(images, tmp_path, resume=half.folder, rounds=3, **settings), hosts(1))
    assert calls.pop("domains of both") == 2 * len(DOMAINS)
    assert calls == dict.fromkeys(calls, 1)
    assert len(calls) == 7
