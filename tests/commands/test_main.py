"""The `huscf` command as a whole."""

import re
from importlib.metadata import version

import click
import pytest
import typer
from typer.testing import CliRunner

from huscf_flwr.commands.main import app
from tests.data.formats.writing import some, write_npz

runner = CliRunner()


def test_help_names_the_commands():
    result = runner.invoke(app, ["--help"])
    assert result.exit_code == 0
    for command in ("run", "settings", "sample", "cuts", "devices", "bench", "deploy", "soak"):
        assert command in result.output


def test_the_version_is_told():
    result = runner.invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"huscf-flwr {version('huscf-flwr')}\n")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["run"], "a name in conf/runs, such as demo, or a YAML file"),
        (["run"], "override, such as rounds=3; huscf settings has all keys"),
        (["settings"], "a section, such as wire, a setting, such as model.width, or a class of your own"),
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


def commands(group):
    context = click.Context(group)
    for name in group.list_commands(context):
        each = group.get_command(context, name)
        yield from commands(each) if hasattr(each, "list_commands") else [each]


@pytest.fixture(scope="module")
def found():
    return list(commands(typer.main.get_command(app)))


def test_every_argument_is_explained(found):
    assert {"run", "measure", "key", "demo"} <= {command.name for command in found}
    for command in found:
        for parameter in command.params:
            assert parameter.help, f"{command.name}: {parameter.name}"


def test_a_path_may_begin_at_the_home_folder_in_every_command(found, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    paths = 0
    for command in found:
        written = []
        for parameter in command.params:
            said = "~/x.npz" if isinstance(parameter.type, click.Path) else "1"
            if isinstance(parameter, click.Argument):
                written.append(said)
            elif said != "1" or parameter.required:
                written.append(f"{parameter.opts[0]}={said}" if parameter.opts[0][1] == "-" else f"-o{said}")
        taken = command.make_context(command.name, written).params
        for parameter in command.params:
            if isinstance(parameter.type, click.Path):
                assert taken[parameter.name] == tmp_path / "x.npz", f"{command.name}: {parameter.name}"
                paths += 1
    assert paths > 8


@pytest.mark.parametrize("command", [["run"], ["compare"], ["deploy", "demo"], ["privacy"]])
def test_so_may_the_path_of_a_configuration(tmp_path, monkeypatch, command):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "wrong.yaml").write_text("roundz: 3")
    for name in ("wrong.yaml", "nope.yaml"):
        assert f"error: {tmp_path / name}" in runner.invoke(app, [*command, f"~/{name}"]).output


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["run", "~nosuch/x.yaml"], "~nosuch/x.yaml: no such file"),
        (["run", "demo", "--set", "data.root=~nosuch/x"], "data.root: no such folder: .*/~nosuch/x"),
        (["run", "demo", "--set", "resume=~nosuch/x"], "resume: .*/~nosuch/x"),
        (["data", "check", "~nosuch/x.npz"], "~nosuch/x.npz: no such folder or file"),
        (["privacy", "~lock"], "~lock: no such folder or file"),
    ],
    ids=str,
)
def test_a_tilde_before_what_is_no_user_is_part_of_the_name(tmp_path, monkeypatch, words, named):
    monkeypatch.chdir(tmp_path)
    result = runner.invoke(app, words)
    assert result.exit_code == 2
    assert re.match(f"error: {named}", result.output)


def test_a_file_to_be_written_may_be_called_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_npz(tmp_path / "own.npz", train=some(30))
    assert runner.invoke(app, ["data", "check", "own.npz", "--picture", "~lock.png"]).exit_code == 0
    assert (tmp_path / "~lock.png").is_file()


def test_an_unknown_command_is_refused():
    assert runner.invoke(app, ["trian"]).exit_code == 2
