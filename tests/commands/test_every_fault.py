"""Kinds of faults that people reported of software like this, as tables: what was typed, and what is said.

Each kind has tests of its own beside what mended it; here it is tried as a user does, on every way in that
leads to it. Whatever is refused is refused before anything is trained, started or written. Elsewhere are what
needs a run that has ended (test_sample.py, tests/run/test_origin.py, test_refused_checkpoints.py), terminals
(tests/run/test_terminal.py), help (test_main.py), proxies and ports (tests/flower/test_launch.py,
test_superlink.py) and what a run writes on a full disk (tests/test_full_disk.py).
"""

from pathlib import Path

import pytest
import yaml

from huscf_flwr.config import from_run_config, to_run_config
from huscf_flwr.data.formats.writing import WRITERS
from huscf_flwr.flower import launch
from huscf_flwr.flower.app import app_folder
from huscf_flwr.methods import method_of, resolved
from huscf_flwr.run.check import check_settings
from huscf_flwr.run.folder_lock import held
from tests.commands.invoking import invoke, refused, settings_of, succeeded
from tests.data.formats.writing import some, write_npz, write_pictures
from tests.full_disk import full_disk
from tests.run.builders import small_run

ENGINES = ("local", "flower")


@pytest.fixture
def no_engine(monkeypatch):
    """Neither engine may begin."""

    def begin(*arguments, **options):
        raise AssertionError("it has begun")

    monkeypatch.setattr("huscf_flwr.commands.run.train_locally", begin)
    monkeypatch.setattr("huscf_flwr.commands.run.run_with_flower", begin)


def run(config, engine, **changes):
    return refused(invoke("run", "demo", "--engine", engine, *settings_of(config, **changes)))


def images_of(name, place):
    """Write a domain; return its scenario."""
    if name == "photographs":
        write_pictures(place / "own", some(12, size=8))
        (place / "own" / "a" / "000.png").write_bytes(b"what?")
    elif name == "an archive":
        write_npz(place / "own.npz", train=some(12, size=8))
        (place / "own.npz").write_bytes((place / "own.npz").read_bytes()[:99])
    elif name == "labels from 1":
        data = some(12, size=8)
        data.labels.add_(1)
        write_npz(place / "own.npz", train=data)
    (place / "own.yaml").write_text(f"domains: [{{name: own, folder: {next(place.glob('own*'))}}}]")
    return {"data.scenario": place / "own.yaml", "data.domains": "null"}


SETTINGS = {
    "a setting that training would come to at its end": (
        {"evaluation.synthetic_images": 1},
        "give 0 to leave training on synthetic images out, else at least 2",
    ),
    "a number that is none": ({"optimiser.learning_rate": ".inf"}, "finite"),
    "a width that is none": ({"model.width": ".inf"}, "finite"),
    "a port that is none": ({"executor.bind": "0.0.0.0:70000"}, "70000"),
    "a truth for a number": ({"rounds": "true"}, "'rounds' is"),
    "a name that is an address": ({"name": "https://x.org"}, "'name' is"),
    "an address without brackets": ({"executor.bind": "::1:0"}, "[::1]"),
    "a key that does not exist": ({"data.scenari": "x"}, "did you mean 'data.scenario'"),
    "a name in capitals": ({"data.domains": "DIGITZ"}, "did you mean 'digits'"),
}
"""Settings that cannot work, and part of what is said."""


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("fault", SETTINGS)
def test_settings_are_checked_before_anything_starts(fault, engine, tmp_path, no_engine):
    changes, said = SETTINGS[fault]
    assert said in run(small_run(tmp_path, tmp_path / "runs"), engine, **changes)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("fault", sorted(SETTINGS.keys() - {"a name in capitals"}))
def test_what_flwr_run_says_is_checked_by_the_same_schema(fault, tmp_path):
    """As the ServerApp does, of what arrives as TOML; domains it looks at later, where their images are."""
    changes, said = SETTINGS[fault]
    flat = {key.replace("_", "-"): yaml.safe_load(str(value)) for key, value in changes.items()}
    with pytest.raises(ValueError) as caught:
        config = resolved(from_run_config({**to_run_config(small_run(tmp_path, tmp_path)), **flat}))
        check_settings(config, method_of(config))
    assert said in str(caught.value)


IMAGES = {
    "photographs": "000.png: not a picture, whatever its name says",
    "an archive": "own.npz: damaged, or no file of NumPy",
    "labels from 1": "labels begin at 1 and end at 3",
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("fault", IMAGES)
def test_images_that_cannot_be_used_are_named(fault, engine, tmp_path, no_engine):
    config = small_run(tmp_path, tmp_path / "runs")
    assert IMAGES[fault] in run(config, engine, **images_of(fault, tmp_path))
    assert not (tmp_path / "runs").exists()


YAML = {
    "a key that stands twice": ("rounds: 1\nrounds: 2\n", "line 2"),
    "a section that stands twice": ("data: {fit: pad}\nrounds: 1\ndata: {fit: crop}\n", "line 3"),
    "a dotted key": ("data.scenario: demo\n", "write 'scenario' on a line of its own below 'data:'"),
    "no YAML": ("rounds: [1\n", "cannot be read as YAML"),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("fault", YAML)
def test_yaml_that_means_something_else_is_refused_with_its_line(fault, engine, tmp_path, no_engine):
    text, said = YAML[fault]
    (tmp_path / "my run.yaml").write_text(text)
    shown = refused(invoke("run", tmp_path / "my run.yaml", "--engine", engine))
    assert said in shown
    assert "my run.yaml" in shown


def photographs(place):
    (place / "client-0" / "photographs").mkdir(parents=True)
    (place / "client-0" / "photographs" / "1.jpg").write_bytes(b"mine")


def a_key(place):
    place.mkdir()
    (place / "server.key").write_text("mine")


def pictures(place):
    (place / "0").mkdir(parents=True)
    (place / "0" / "1.png").write_bytes(b"mine")


def a_picture(place):
    place.write_bytes(b"somebody's photograph")


TAKEN = {
    "data check": (a_picture, lambda place, run: ["data", "check", run / "own.npz", "--picture", place]),
    "cuts": (a_picture, lambda place, _: ["cuts", "--clients", 4, "--plot", place]),
    "cuts measure": (a_picture, lambda place, _: ["cuts", "measure", "--plot", place]),
    "bench scale": (a_picture, lambda place, _: ["bench", "scale", "--plot", place]),
    "deploy data": (photographs, lambda place, _: ["deploy", "data", place]),
    "deploy certificates": (a_key, lambda place, _: ["deploy", "certificates", place, "--name", "localhost"]),
    "data convert": (pictures, lambda place, run: ["data", "convert", run / "own.npz", place, "--to", "idx"]),
}


@pytest.mark.parametrize("command", TAKEN)
def test_what_somebody_has_put_there_stays_and_is_named(command, tmp_path):
    write_npz(tmp_path / "own.npz", train=some(12, size=8))
    put, typed = TAKEN[command]
    put(tmp_path / "place")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    shown = refused(invoke(*typed(tmp_path / "place", tmp_path)))
    assert "there already" in shown
    assert str(tmp_path / "place") in shown
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


TOO_SMALL = [
    ("devices", "measure"),
    ("devices", "client"),
    ("cuts", "--clients", "4"),
    ("cuts", "measure"),
    ("bench", "step"),
    ("bench", "plain"),
    ("bench", "scale"),
    ("bench", "exchange"),
    ("bench", "links"),
    ("bench", "he"),
]


@pytest.mark.parametrize("command", TOO_SMALL, ids=" ".join)
def test_a_batch_that_cannot_be_normalised_is_refused_by_the_option(command):
    shown = refused(invoke(*command, "--batch-size", 1))
    assert "Invalid value for '--batch-size': 1 is not in the range x>=2" in shown


WRITE = {
    **{
        f"data convert --to {form}": lambda root, form=form: [
            *("data", "convert", root / "own.npz", root / f"out.{form}", "--to", form)
        ]
        for form in WRITERS
    },
    "data check": lambda root: ["data", "check", root / "own.npz", "--picture", root / "out.png"],
    "cuts": lambda root: ["cuts", "--clients", 4, "--solver", "greedy", "--plot", root / "out.svg"],
    "deploy certificates": lambda root: ["deploy", "certificates", root / "out", "--name", "localhost"],
    "deploy key": lambda root: ["deploy", "key", root / "out"],
    "deploy app": lambda root: ["deploy", "app", root / "out"],
    "deploy data": lambda root: [
        *("deploy", "data", root / "out", "demo"),
        *settings_of(small_run(root, root / "runs"), clients=1, **{"data.domains": "own"}),
    ],
}
"""Commands that write: what is typed."""


@pytest.mark.parametrize("command", WRITE)
def test_on_a_full_disk_a_command_names_what_it_could_not_write_and_can_be_tried_again(command, tmp_path):
    if command.endswith("huggingface"):
        pytest.importorskip("datasets")
    write_npz(tmp_path / "own.npz", train=some(24, size=28), test=some(12, size=28, seed=1))
    typed = WRITE[command](tmp_path)
    with full_disk():
        shown = refused(invoke(*typed))
    assert f"it cannot be written: '{tmp_path / 'out'}" in shown
    assert [path.name for path in tmp_path.rglob("*") if path.name.startswith(".")] == []
    succeeded(invoke(*typed))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_of_a_name_that_is_going_on_is_refused_naming_the_process(engine, images, tmp_path, no_engine):
    config = small_run(images, tmp_path)
    with held(config.folder):
        shown = run(config, engine)
    assert "is being written by process" in shown


def test_a_path_may_have_any_characters_in_flowers_settings(tmp_path):
    """They travel as TOML, which has to be read again."""
    import tomllib  # noqa: PLC0415

    config = small_run(tmp_path, tmp_path / "runs [x] 😀 \"quoted\" \\ 'é'")
    assert Path(tomllib.loads(launch._toml(config, app_folder()))["output"]) == config.output
