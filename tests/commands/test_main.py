"""The `huscf` command as a whole."""

from importlib.metadata import version

from typer.testing import CliRunner

from huscf_flwr.commands.main import app

runner = CliRunner()


def test_help_names_the_commands():
    result = runner.invoke(app, ["--help"])
    assert result.exit_code == 0
    for command in ("run", "sample", "cuts", "devices", "bench", "deploy", "soak"):
        assert command in result.output


def test_the_version_is_told():
    result = runner.invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"huscf-flwr {version('huscf-flwr')}\n")


def test_an_unknown_command_is_refused():
    assert runner.invoke(app, ["trian"]).exit_code == 2
