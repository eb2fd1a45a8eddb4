"""The methods of docs/methods.md, as the page has them: from a package elsewhere, on both engines."""

import hashlib
import importlib
import json
import re
import shlex
import shutil
import sys
import textwrap
from pathlib import Path

import pytest
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

from huscf_flwr.config import from_run_config, to_run_config
from huscf_flwr.flower.launch import run_with_flower
from huscf_flwr.flower.run_settings import listed_settings, overriding
from huscf_flwr.methods import BUILT_IN, method_named, resolved
from huscf_flwr.run.local import train_locally
from huscf_flwr.run.run_folder import read_metrics, read_summary
from tests.commands.invoking import invoke, settings_of, succeeded
from tests.flower.closed_list import GENERATOR
from tests.flower.grid_runs import DOUBLE, contents, hosts, run
from tests.run.builders import (
    UNJUDGED,
    SilentDisplay,
    assert_close,
    assert_same_run,
    descriptions,
    server_tensors,
    small_run,
    write_domains,
)
from tests.run.pictures import little_drawn

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "methods.md").read_text("utf-8")
OURS = ("huscf_flwr", "strategies", "client_apps", "server_app", "conf")
GENERATORS = "my_package.shared_generators:SharedGenerators"
GRADIENTS = "my_package.shared_gradients:SharedGradients"
METHODS = (GENERATORS, GRADIENTS)
SMALL = {
    **{"rounds": 2, "clients": 4, "local_epochs": 1, "batch_size": 128, "model.width": 0.05},
    **{"evaluation.images": 100, "evaluation.synthetic_images": 100, "evaluation.sample_columns": 1},
    **{"compute.threads": 1, **DOUBLE},
}

SHORT = (
    *("name", "clients", "compute.threads", "compute.precision", "data.cache"),
    *("evaluation.images", "evaluation.synthetic-images", "evaluation.sample-columns"),
)
"""Settings of a run that takes seconds, which the page's app does not list."""


def blocks(language):
    """The page's code in a language, block by block."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return [content for named, content in fenced if named == language]


def files():
    """The files that the page shows whole, by path: their first line is a comment that names it."""
    shown = [*blocks("python"), *blocks("toml")]
    named = {re.match(r"# ([\w/]+\.\w+)\n", block): block for block in shown}
    return {match[1]: block for match, block in named.items() if match}


def commands():
    """What the page tells to type, in the order of the page."""
    return [line for block in blocks("") for line in block.splitlines()]


def our_files():
    """Digests of everything that an installation consists of."""
    paths = [path for folder in OURS for path in (ROOT / folder).rglob("*") if path.suffix != ".pyc"]
    found = [path for path in [*paths, ROOT / "pyproject.toml"] if path.is_file()]
    return {path.relative_to(ROOT): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


@pytest.fixture(autouse=True)
def few_pictures():
    """Of a test's own runs; ``trained`` has all that there is to draw."""
    with little_drawn():
        yield


@pytest.fixture(scope="module")
def before():
    return our_files()


@pytest.fixture(scope="module")
def folder(before, tmp_path_factory):
    """Somebody's folder with the page's package, in which this process finds it."""
    folder = tmp_path_factory.mktemp("somebodys")
    for name, content in files().items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, "utf-8")
    (folder / "my_package" / "__init__.py").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_package"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Where the judges of the demo's domains are kept."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_domains(tmp_path_factory.mktemp("images"))


def demo(folder, name, **settings):
    """The configuration of a run of the page's app on the demo, which takes seconds."""
    said = {**SMALL, **settings, "name": name, "output": folder / "runs", "data.scenario": "demo"}
    over = {key.replace("_", "-"): str(value) for key, value in said.items()}
    return from_run_config({**listed_settings(folder), **over})


@pytest.fixture(scope="module", params=METHODS, ids=lambda name: name.partition(":")[2])
def trained(request, folder, cache):
    """A method of the page, and its runs on the demo: Flower's grid, and the configuration by engine."""
    given = {"method": request.param, "data.cache": cache}
    kind = request.param.partition(":")[2]
    runs = {engine: demo(folder, f"{kind}-{engine}", **given) for engine in ("local", "flower")}
    train_locally(runs["local"], display=SilentDisplay())
    grid = run(runs["flower"], hosts(2), app=importlib.import_module("my_package.app").client)
    return request.param, grid, runs


@pytest.mark.slow
def test_both_engines_train_the_same_weights(trained):
    _, _, runs = trained
    assert_close(server_tensors(runs["flower"].folder), server_tensors(runs["local"].folder))
    assert [line["hosts"] for line in read_metrics(runs["flower"].folder)] == [2, 2]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", "flower"])
def test_it_is_judged_and_its_report_is_like_any_other(trained, engine):
    method, _, runs = trained
    folder = runs[engine].folder
    summary = read_summary(folder)
    assert (summary["method"], summary["rounds"]) == (method, 2)
    assert set(summary["domains"]) == {"digits", "letters"}
    for scores in summary["domains"].values():
        assert scores["product"] == "global"
        assert 0 <= scores["label_fidelity"] <= 1
        assert 0 <= scores["tstr_accuracy"] <= 1
    page = (folder / "report.html").read_text("utf-8")
    assert method in page
    assert "Label fidelity" in page
    assert (folder / "samples" / "round-002-global.png").stat().st_size
    for line in read_metrics(folder):
        assert sum(client["weight"] for client in line["clients"]) == pytest.approx(1)
    drawn = folder / "drawn"
    succeeded(invoke("sample", folder, "--label", 3, "-n", 2, "-o", drawn))
    assert len(list((drawn / "3").glob("*.png"))) == 2


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["down", "up"])
def test_discriminators_never_leave_their_clients(trained, direction):
    method, grid, runs = trained
    steps = {"gradient of the generator"} if method == GRADIENTS else set()
    for line in read_metrics(runs["flower"].folder):
        assert set(line["bytes"][direction]) == {"generator", *steps}
    messages = contents(grid, "train", direction)
    assert len(messages) == 4
    for message in messages:
        arrays = dict(message.array_records)
        assert arrays
        for name, record in arrays.items():
            assert name.endswith("/generator")
            assert all(re.fullmatch(GENERATOR, key) for key in record)


def test_the_pages_commands_are_right_and_its_setting_counts(folder, images, monkeypatch):
    """They are tried on fewer images, of clients that have more and clients that have less."""
    monkeypatch.chdir(folder)
    scenario = {"data.scenario": "two-domains-highly-non-iid"}
    fewer = small_run(images, folder / "runs", name="typed", rounds=1, **UNJUDGED, **scenario)
    typed = [shlex.split(line) for line in commands() if line.startswith("huscf run")]
    assert [words[:5] for words in typed] == [
        ["huscf", "run", "demo", "--engine", engine] for engine in ("local", "local", "flower")
    ]
    weights = []
    for words in typed[:2]:
        succeeded(invoke("run", "demo", *settings_of(fewer, without=words), *words[3:]))
        (line,) = read_metrics(folder / "runs" / "typed")
        weights.append([client["weight"] for client in line["clients"]])
    by_samples, equal = weights
    assert len(set(by_samples)) > 1
    assert equal == [0.25] * 4


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.usefixtures("folder")
def test_a_resumed_run_equals_the_uninterrupted_one_to_the_bit(images, tmp_path, name):
    """What is private, and what is the server's, is all that a client and the server need."""
    given = {"method": name, "model.width": 0.03, **UNJUDGED}
    whole = small_run(images, tmp_path, name="whole", rounds=3, **given)
    half = small_run(images, tmp_path, name="half", rounds=1, **given)
    rest = small_run(images, tmp_path, name="rest", rounds=3, resume=half.folder, **given)
    for config in (whole, half, rest):
        train_locally(config, display=SilentDisplay(), judged=False)
    assert_same_run(rest.folder, whole.folder)


@pytest.mark.usefixtures("folder")
def test_generators_in_lock_step_stay_alike(images, tmp_path):
    """All clients make the same steps: their uploads differ in running statistics only."""
    method = method_named(GRADIENTS)
    seen = []

    class Watched(method):
        def close_round(self, number, collected):
            seen.append([upload.tensors["generator"] for upload in collected.uploads.values()])
            return super().close_round(number, collected)

    config = small_run(images, tmp_path, method=GRADIENTS, rounds=1, **UNJUDGED, **DOUBLE)
    train_locally(config, display=SilentDisplay(), judged=False, make_method=Watched)
    ((first, *others),) = seen
    assert len(others) == 3
    for name, tensor in first.items():
        if "running" not in name:
            assert all(tensor.equal(other[name]) for other in others), name


def test_the_app_is_one_and_carries_the_methods_settings(folder):
    app = importlib.import_module("my_package.app")
    assert isinstance(app.server, ServerApp)
    assert isinstance(app.client, ClientApp)
    listed = listed_settings(folder)
    assert listed["method"] == GENERATORS
    config = resolved(from_run_config({**listed, "shared-generators.weights": "equal"}))
    carried, lost = overriding(config, {**to_run_config(config), **listed})
    assert lost == []
    assert carried["shared-generators.weights"] == "equal"


@pytest.mark.usefixtures("folder")
def test_the_pages_choice_of_clients(images, tmp_path):
    (excerpt,) = [block for block in blocks("python") if "def select" in block]
    body = textwrap.indent(textwrap.dedent(excerpt), "    ")
    space = {"SharedGenerators": method_named(GENERATORS)}
    exec(f"class Halves(SharedGenerators):\n{body}", space)
    config = small_run(images, tmp_path, method=GENERATORS, **UNJUDGED)
    method = space["Halves"](config, descriptions(dict.fromkeys(range(4), 10)))
    assert [method.select(number, range(4)) for number in (1, 2)] == [(1, 3), (0, 2)]
    assert method.select(1, (0, 2)) == (0, 2)


@pytest.mark.parametrize("name", ["shared_generators", "shared_gradients"])
def test_it_is_as_short_as_the_page_says(name):
    assert len([line for line in files()[f"my_package/{name}.py"].splitlines() if line.strip()]) <= 65


@pytest.mark.slow
def test_flwr_run_takes_the_app_from_somebodys_folder(folder, cache, tmp_path, monkeypatch):
    """The bundle that Flower hands to its processes has the package in it, and its setting counts.

    Settings that make it a short run are added to those that the page's app lists.
    """
    monkeypatch.delenv("PYTHONPATH", raising=False)
    app = Path(shutil.copytree(folder, tmp_path / "app", ignore=shutil.ignore_patterns("runs")))
    given = {"method": GENERATORS, "shared_generators.weights": "equal", "rounds": 1, "data.cache": cache}
    config = demo(app, "simulated", **given, **{"evaluation.synthetic_images": 0})
    more = to_run_config(config).items() - listed_settings(app).items()
    with (app / "pyproject.toml").open("a", encoding="utf-8") as listing:
        listing.writelines(f"{key} = {json.dumps(value)}\n" for key, value in more if key in SHORT)
    summary = run_with_flower(config, app, supernodes=2, display=SilentDisplay())
    assert (summary["method"], summary["rounds"]) == (GENERATORS, 1)
    (line,) = read_metrics(config.folder)
    assert (line["hosts"], [client["weight"] for client in line["clients"]]) == (2, [0.25] * 4)


def test_no_file_of_ours_has_changed_for_it_or_knows_of_it(before):
    """Runs last: what the tests above have done is part of it."""
    assert our_files() == before
    assert not {"shared_generators", "shared_gradients"} & set(BUILT_IN)
    knowing = [path for path in before if b"shared_g" in (ROOT / path).read_bytes().lower()]
    assert knowing == []
