"""The `huscf` command as a user types it."""

from typer.testing import CliRunner

from huscf_flwr.commands.main import app
from huscf_flwr.config import to_run_config
from tests.run.builders import small_run


def invoke(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "200"})


def settings_of(config, *, without=(), **changes):
    """`--set` for all that a configuration says, but for what the words in `without` set themselves."""
    said = {key.replace("-", "_"): value for key, value in to_run_config(config).items() if value != ""}
    elsewhere = {word.partition("=")[0] for word in without}
    said = {key: value for key, value in {**said, **changes}.items() if key not in elsewhere}
    return [part for key, value in said.items() for part in ("--set", f"{key}={value}")]


def run_demo(root, output, *arguments, engine="local", **changes):
    """`huscf run demo` on the small configuration."""
    settings = settings_of(small_run(root, output), **changes)
    return invoke("run", "demo", "--engine", engine, *settings, *arguments)


def succeeded(result):
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(result):
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return result.output
