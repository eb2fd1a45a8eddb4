"""Whatever a command is to write, that it cannot be written is told in a line, before any image is read."""

import pytest

from huscf_flwr.config import dump_config
from huscf_flwr.existing import UnusableFolderError
from huscf_flwr.methods import method_of, resolved
from huscf_flwr.run.check import check_settings
from tests.commands.invoking import invoke, refused, run_demo
from tests.data.formats.writing import some, write_npz
from tests.run.builders import small_run

PLACES = {
    "a file": ("mine.yaml", "is a file"),
    "below a file": ("mine.yaml/deep", "is a file"),
    "the system's": ("/proc/huscf", "(No such file or directory)"),
}


@pytest.fixture(params=PLACES)
def place(request, tmp_path, monkeypatch):
    """Where nothing can be written, and why."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("rounds: 1")
    name, why = PLACES[request.param]
    return tmp_path / name, why


def told(result):
    """The one line that a command ended with."""
    assert "model.spec is auto" not in refused(result)
    (line,) = [line for line in result.output.splitlines() if line]
    assert line.startswith("error: ")
    assert "Errno" not in line
    assert ".py" not in line
    return line


@pytest.mark.parametrize("engine", ["local", "flower"])
def test_a_run_names_the_setting_and_reads_no_image(place, tmp_path, engine):
    # Images that are not there would be told of if anybody looked at them.
    output, why = place
    line = told(run_demo(tmp_path / "nowhere", output, engine=engine, **{"model.spec": "auto"}))
    assert line.startswith(f"error: output is {output}, ")
    assert why in line
    assert line.endswith("set it to a folder that you may write to, such as runs")


@pytest.mark.parametrize("command", [("deploy", "demo"), ("privacy",)], ids=" ".join)
def test_so_do_the_other_commands_that_train(place, tmp_path, command):
    output, why = place
    config = small_run(tmp_path / "nowhere", output)
    (tmp_path / "run.yaml").write_text(dump_config(config))
    line = told(invoke(*command, tmp_path / "run.yaml"))
    assert line.startswith(f"error: output is {output}")
    assert why in line


def test_so_does_the_server_of_a_deployment(place, tmp_path):
    output, why = place
    config = resolved(small_run(tmp_path / "nowhere", output))
    with pytest.raises(UnusableFolderError, match=f"^output is {output}, ") as error:
        check_settings(config, method_of(config))
    assert why in str(error.value)


@pytest.mark.parametrize("engine", ["local", "flower"])
def test_a_file_where_the_folder_of_a_run_is_to_be_is_named(tmp_path, engine):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "small").touch()
    line = told(run_demo(tmp_path / "nowhere", tmp_path / "runs", engine=engine))
    where = tmp_path / "runs" / "small"
    assert line.startswith(f"error: the folder of the run is {where}, but it is a file: set another name")


def test_a_comparison_names_where_its_results_or_runs_were_to_be(place, tmp_path, monkeypatch):
    folder, why = place
    line = told(invoke("compare", "demo", "--results", folder))
    assert line.startswith(f"error: the folder of results is {folder}")
    assert why in line
    if folder.parent == tmp_path:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "runs").touch()
        assert "the folder of runs is " in told(invoke("compare", "demo", "--results", tmp_path / "kept"))


@pytest.mark.parametrize(
    "words",
    [
        ("data", "check", "own.npz", "--picture", "{}/x.png"),
        ("data", "check", "own.npz", "--picture", "{}/x.png", "--force"),
        ("data", "convert", "own.npz", "{}/x", "--to", "pictures"),
        ("data", "convert", "own.npz", "{}/x.npz"),
        ("deploy", "certificates", "{}", "--name", "localhost"),
        ("deploy", "key", "{}/key"),
        ("deploy", "app", "{}/app"),
        ("deploy", "data", "{}", "run.yaml"),
        ("cuts", "--plot", "{}/x.png"),
        ("bench", "scale", "--plot", "{}/x.png"),
    ],
    ids=" ".join,
)
def test_a_command_that_writes_names_the_place(place, tmp_path, words):
    folder, why = place
    write_npz(tmp_path / "own.npz", train=some(30))
    (tmp_path / "run.yaml").write_text(dump_config(small_run(tmp_path / "nowhere", tmp_path)))
    line = told(invoke(*(word.format(folder) for word in words)))
    assert str(folder) in line
    assert why in line
    assert line.endswith("choose another place")
