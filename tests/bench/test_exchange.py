import json

import pytest
import torch
from typer.testing import CliRunner

from huscf_flwr.bench import exchange
from huscf_flwr.bench.exchange import CHANNELS, time_exchange
from huscf_flwr.bench.step import mixed_cuts, random_batches, split_step
from huscf_flwr.commands.main import app
from huscf_flwr.models import load_model_spec

SPEC = load_model_spec("authors-28", 0.05)


@pytest.mark.parametrize("channel", CHANNELS)
def test_what_is_exchanged_is_what_a_step_exchanges(channel):
    cuts = mixed_cuts(SPEC, 3)
    step, ledger = split_step(SPEC, cuts, random_batches(SPEC, 3, 4), torch.float32)
    step()
    traffic = time_exchange(channel, SPEC, cuts, 4, "exact", 1)
    assert traffic.bytes_per_step == ledger.total()
    assert traffic.seconds > 0
    assert traffic.core_seconds > 0
    assert traffic.megabytes_per_second == pytest.approx(ledger.total() / 1e6 / traffic.seconds)


def test_core_seconds_are_those_of_the_channel_alone(monkeypatch):
    """Frames that are made take a hundred seconds each, the first step ten times longer than others."""
    seconds = [0]
    make, send = exchange._numbers, exchange.LocalChannel.send

    def made(*arguments):
        seconds[0] += 100
        return make(*arguments)

    def sent(self, exchange, client, parcel):
        seconds[0] += 1 if self._session.finished_steps else 10
        send(self, exchange, client, parcel)

    monkeypatch.setattr(exchange, "_numbers", made)
    monkeypatch.setattr(exchange.LocalChannel, "send", sent)
    monkeypatch.setattr(exchange.time, "process_time", lambda: seconds[0])
    assert time_exchange("local", SPEC, mixed_cuts(SPEC, 3), 2, "exact", 2).core_seconds == 6 * 3


@pytest.mark.slow
def test_the_command_times_every_channel_and_wire_type():
    command = [
        "bench",
        "exchange",
        "--clients",
        "1",
        "--batch-size",
        "2",
        "--width",
        "0.05",
        "--repeats",
        "1",
    ]
    printed = CliRunner().invoke(app, [*command, "--format", "json"])
    assert printed.exit_code == 0, printed.output
    rows = json.loads(printed.stdout)["traffic"]
    presets = ("exact", "half", "small", "smallest")
    assert [(row["channel"], row["preset"]) for row in rows] == [
        (channel, preset) for channel in CHANNELS for preset in presets
    ]
    sizes = {row["preset"]: row["bytes_per_step"] for row in rows}
    assert sizes["exact"] == 2 * sizes["half"] > 2 * sizes["small"] > 2 * sizes["smallest"]


def test_a_mistyped_model_is_one_line():
    printed = CliRunner().invoke(app, ["bench", "exchange", "--model", "authors-82"])
    assert printed.exit_code == 2
    (line,) = printed.output.splitlines()
    assert line.startswith("error: conf/models: 'authors-82' is neither a file nor a known name")
