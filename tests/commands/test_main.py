"""The `huscf` command as a whole."""

from importlib.metadata import version

import click
import pytest
import typer
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


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["run"], "a name in conf/runs, such as demo, or a YAML file"),
        (["sample"], "a run's folder"),
        (["compare"], "a name in conf/comparisons, such as demo, or a file"),
        (["deploy", "certificates"], "where ca.crt, server.pem and server.key go"),
        (["deploy", "data"], "gets a folder client-<id> for each client"),
    ],
)
def test_help_explains_arguments(command, said):
    result = runner.invoke(app, [*command, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert said in result.output


def test_every_argument_is_explained():
    def commands(group):
        context = click.Context(group)
        for name in group.list_commands(context):
            each = group.get_command(context, name)
            yield from commands(each) if hasattr(each, "list_commands") else [each]

    found = list(commands(typer.main.get_command(app)))
    assert {"run", "measure", "key", "demo"} <= {command.name for command in found}
    for command in found:
        for parameter in command.params:
            assert parameter.help, f"{command.name}: {parameter.name}"


def test_an_unknown_command_is_refused():
    assert runner.invoke(app, ["trian"]).exit_code == 2
