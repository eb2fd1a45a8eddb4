"""Runs of HuSCF-GAN whose cuts change: blocks change sides through Flower's messages, with their moments."""

import pytest
from safetensors.torch import load_file

from huscf_flwr.models import Cut, client_block_keys, model_spec_of
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.run_folder import read_metrics
from tests.flower.grid_runs import DOUBLE, client_files, contents, hosts, owners, run, training_of
from tests.flower.listed_messages import unlisted
from tests.methods.huscf.scripted_cuts import script_cuts
from tests.run.builders import UNJUDGED, SilentDisplay, assert_close, kept_files, server_tensors, small_run

CHANGES = {
    1: {0: Cut(2, 2, 2, 2), 3: Cut(1, 1, 1, 1)},
    2: {0: Cut(1, 2, 1, 2), 2: Cut(2, 1, 2, 1), 3: Cut(2, 1, 1, 2)},
}
CHANGING = {**UNJUDGED, **DOUBLE, "rounds": 3, "cuts.dynamic": "true"}


@pytest.mark.parametrize("count", [1, 2])
def test_cuts_that_change_train_what_they_train_on_the_local_engine(images, tmp_path, monkeypatch, count):
    script_cuts(monkeypatch, CHANGES)
    config = small_run(images, tmp_path, name="flower", **CHANGING)
    local = small_run(images, tmp_path, name="local", **CHANGING)
    grid = run(config, hosts(count))
    train_locally(local, display=SilentDisplay())
    assert_close(server_tensors(config.folder), server_tensors(local.folder))
    private = [load_file(path) for path in client_files(config.folder, local.folder)]
    for found, expected in zip(private[::2], private[1::2], strict=True):
        assert_close(found, expected)
    for direction, messages in (("down", grid.sent), ("up", grid.received)):
        for message in messages:
            assert unlisted(message.content, message.metadata.message_type, direction, "huscf") == []


def test_an_owner_takes_over_and_gives_up_blocks_with_their_moments(images, tmp_path, monkeypatch):
    script_cuts(monkeypatch, CHANGES)
    config = small_run(images, tmp_path, **CHANGING)
    grid = run(config, {**owners(images, tmp_path), **hosts(1)})
    for request in contents(grid, "train"):
        taken = {name for name in request.array_records if name.startswith("tensors/0/")}
        grown = request["round"]["round"] == 2 and "order/0" in request
        sides = ("blocks", "moments") if grown else ()
        assert taken == {f"tensors/0/{each} that change sides" for each in sides}
    state = tmp_path / "state-0" / training_of(config)
    files = kept_files(state)
    kept = [
        {tuple(name.split(".")[:2]) for name in load_file(files[f"client-0-round-000{number}"])}
        for number in (2, 3)
    ]
    spec = model_spec_of(config)
    assert kept == [
        {(network, str(index)) for network, index in client_block_keys(spec, changes[0])}
        for changes in CHANGES.values()
    ]
    # The moments of a block that stayed went on: Adam counts its steps over all three rounds.
    steps = load_file(files["client-0-round-0003"])["generator.0.main.weight.step"]
    assert steps == 3 * read_metrics(config.folder)[-1]["steps"]
