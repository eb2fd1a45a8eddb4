"""Whatever a command is to write, that it cannot be written is told in a line, before any image is read."""

import pytest

from huscf_flwr.config import dump_config
from huscf_flwr.existing import UnusableFolderError
from huscf_flwr.flower.strategy import MethodStrategy
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
    server = MethodStrategy(small_run(tmp_path / "nowhere", output))
    with pytest.raises(UnusableFolderError, match=f"^output is {output}, ") as error:
        server.prepare(None)
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


@pytest.mark.parametrize("words", [("cuts",), ("cuts", "measure"), ("bench", "scale")], ids=" ".join)
def test_a_picture_that_cannot_be_drawn_is_told_before_anything_is_measured(tmp_path, words):
    line = told(invoke(*words, "--plot", tmp_path / "x.docx"))
    assert "x.docx cannot be drawn: give it a name that ends in ." in line
    assert ".png" in line


NO_FILE = {
    "an empty folder": ("empty.npz", "it is a folder"),
    "a folder": ("full.npz", "it is a folder"),
    "too long a name": ("n" * 300 + ".npz", "the system refuses its name (File name too long)"),
}


@pytest.fixture(params=NO_FILE)
def no_file(request, tmp_path, monkeypatch):
    """Where no file can be written, and why."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.npz").mkdir()
    (tmp_path / "full.npz").mkdir()
    (tmp_path / "full.npz" / "mine").touch()
    name, why = NO_FILE[request.param]
    return tmp_path / name, why


@pytest.mark.parametrize(
    "words",
    [
        ("data", "check", "own.npz", "--picture"),
        ("data", "check", "own.npz", "--force", "--picture"),
        ("data", "convert", "own.npz"),
        ("deploy", "key"),
        ("cuts", "--plot"),
        ("cuts", "--force", "--plot"),
        ("cuts", "measure", "--force", "--plot"),
        ("bench", "scale", "--plot"),
        ("bench", "scale", "--force", "--plot"),
    ],
    ids=" ".join,
)
def test_where_a_file_is_to_be_a_folder_is_refused_and_so_is_too_long_a_name(no_file, tmp_path, words):
    place, why = no_file
    write_npz(tmp_path / "own.npz", train=some(30))
    before = sorted(tmp_path.rglob("*"))
    assert told(invoke(*words, place)) == (
        f"error: {place} cannot be written, since {why}: choose another place"
    )
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["ca.crt", "server.pem", "server.key"])
@pytest.mark.parametrize("force", [(), ("--force",)])
def test_certificates_are_all_written_or_none(tmp_path, name, force):
    (tmp_path / name).mkdir()
    line = told(invoke("deploy", "certificates", tmp_path, "--name", "localhost", *force))
    assert line.startswith(f"error: {tmp_path / name} cannot be written, since it is a folder")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("half", ["key", "key.pub"])
def test_no_half_of_a_key_is_written_where_the_other_cannot_be(tmp_path, half):
    (tmp_path / half).mkdir()
    line = told(invoke("deploy", "key", tmp_path / "key"))
    assert line.startswith(f"error: {tmp_path / half} cannot be written, since it is a folder")
    assert [path.name for path in tmp_path.iterdir()] == [half]


@pytest.mark.parametrize(
    "words",
    [
        ("data", "convert", "own.npz", "{}", "--to", "csv"),
        ("deploy", "certificates", "{}", "--name", "localhost"),
        ("deploy", "app", "{}"),
        ("deploy", "data", "{}", "run.yaml"),
    ],
    ids=" ".join,
)
def test_a_folder_with_too_long_a_name_is_refused(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    write_npz(tmp_path / "own.npz", train=some(30))
    (tmp_path / "run.yaml").write_text(dump_config(small_run(tmp_path / "nowhere", tmp_path)))
    line = told(invoke(*(word.format("n" * 300) for word in words)))
    assert "(File name too long)" in line
    assert line.endswith("choose another place")


@pytest.mark.slow
def test_so_does_what_draws_images(trained, place):
    folder, why = place
    line = told(invoke("sample", trained[0], "--domain", "digits", "--label", 3, "-o", folder))
    assert line.startswith(f"error: {folder / '3'} cannot be written")
    assert why in line


@pytest.mark.slow
@pytest.mark.parametrize("force", [(), ("--force",)])
def test_where_the_folder_of_a_class_is_to_be_a_file_is_refused(trained, tmp_path, force):
    (tmp_path / "3").write_text("mine")
    drawn = ("--domain", "digits", "--label", 3, "-n", 1, "-o", tmp_path)
    line = told(invoke("sample", trained[0], *drawn, *force))
    assert line == f"error: {tmp_path / '3'} cannot be written, since it is a file: choose another place"
    assert (tmp_path / "3").read_text() == "mine"
