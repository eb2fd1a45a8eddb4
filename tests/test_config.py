import tomllib
from pathlib import Path

import pytest
import yaml

from huscf_flwr.conf_files import ConfError, known_confs
from huscf_flwr.config import RunConfig, dump_config, from_run_config, load_config, to_run_config

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"

CORRECTED = {
    "cuts.flops": "exact",
    "data.id-offset": "corrected",
    "data.exclusion-pattern": "per-domain",
    "method.initialisation": "common",
    "method.batches": "passes",
    "method.feature-window": "first-epoch",
    "method.feature-scaling": "samples",
    "method.divergence": "gaussian",
    "method.beta": 10.0,
    "method.buffers": "total-variance",
    "method.plain-rounds": 0,
    "method.clusters-in-plain-rounds": True,
    "method.judged": "cluster",
}
PARITY = {
    "cuts.flops": "paper",
    "data.id-offset": "authors",
    "data.exclusion-pattern": "authors",
    "method.initialisation": "per-client",
    "method.batches": "fresh-draw",
    "method.feature-window": "last-batch",
    "method.feature-scaling": "none",
    "method.divergence": "spatial-softmax",
    "method.beta": 1.0,
    "method.buffers": "average",
    "method.plain-rounds": 2,
    "method.clusters-in-plain-rounds": False,
    "method.judged": "first-client",
}
CHANGED = {
    "name": "other",
    "mode": "parity",
    "seed": 5,
    "rounds": 3,
    "local-epochs": 2,
    "batch-size": 7,
    "clients": 11,
    "min-hosts": 2,
    "min-clients": 2,
    "attempts": 5,
    "resume": "/runs/old",
    "resume-round": 4,
    "tensorboard": True,
    "output": "/elsewhere",
    "model.spec": "colour-32",
    "model.width": 0.125,
    "data.scenario": "6",
    "data.domains": "mnist,kmnist",
    "data.root": "/images",
    "data.cache": "/cache",
    "data.id-offset": "authors",
    "data.exclusion-pattern": "authors",
    "cuts.devices": "real",
    "cuts.solver": "genetic",
    "cuts.fixed": "2,1,2,1",
    "cuts.flops": "paper",
    "cuts.dynamic": True,
    "cuts.newest-weight": 0.25,
    "cuts.least-gain": 0.5,
    "cuts.emulate": True,
    "optimiser.learning-rate": 0.001,
    "optimiser.beta1": 0.75,
    "optimiser.beta2": 0.9,
    "method.initialisation": "per-client",
    "method.batches": "fresh-draw",
    "method.feature-window": "last-batch",
    "method.clusters": 3,
    "method.feature-scaling": "clients",
    "method.divergence": "spatial-softmax",
    "method.beta": 0.5,
    "method.weighting": "samples",
    "method.buffers": "average",
    "method.bodies": "shared",
    "method.running-statistics": "averaged",
    "method.plain-rounds": 4,
    "method.clusters-in-plain-rounds": False,
    "method.judged": "first-client",
    "evaluation.every": 0,
    "evaluation.images": 123,
    "evaluation.synthetic-images": 0,
    "evaluation.sample-columns": 3,
    "executor.bind": "0.0.0.0:9000",
    "executor.advertise": "cloud.example:9000",
    "executor.certificate": "/certificates/server.pem",
    "executor.key": "/certificates/server.key",
    "executor.insecure": True,
    "executor.window": 5.5,
    "executor.least-deadline": 3.5,
    "executor.shared-memory": False,
    "executor.deadline-factor": 4.5,
    "executor.timeout": 60.0,
    "checkpoint.keep-last": 5,
    "compute.device": "auto",
    "compute.precision": "bfloat16",
    "compute.wire-dtype": "bfloat16",
    "compute.threads": 4,
    "compute.keep-memory": False,
}


def app_config():
    """`[tool.flwr.app.config]`, with dotted keys as Flower has them."""

    def flat(content, prefix=""):
        for key, value in content.items():
            if isinstance(value, dict):
                yield from flat(value, f"{prefix}{key}.")
            else:
                yield prefix + key, value

    return dict(flat(tomllib.loads(PYPROJECT.read_text())["tool"]["flwr"]["app"]["config"]))


def test_every_setting_is_in_the_list_of_changes():
    assert CHANGED.keys() == to_run_config(load_config("demo")).keys()


@pytest.mark.parametrize("key", CHANGED)
def test_a_setting_survives_flowers_run_config_and_yaml(key, tmp_path):
    before = load_config("demo")
    changed = load_config("demo", [f"{key}={CHANGED[key]}"])
    assert changed != before
    flat = to_run_config(changed)
    assert flat[key] == CHANGED[key]
    assert all(isinstance(value, bool | int | float | str) for value in flat.values())
    assert from_run_config(flat) == changed
    path = tmp_path / "written.yaml"
    path.write_text(dump_config(changed))
    assert load_config(str(path)) == changed


def test_all_settings_at_once():
    """But for two, of which each excludes the other."""
    together = {**CHANGED, "compute.device": "cpu"}
    everything = load_config("demo", [f"{key}={value}" for key, value in together.items()])
    assert to_run_config(everything) == together
    assert from_run_config(together) == everything


@pytest.mark.parametrize("device", ["cuda", "auto"])
def test_devices_are_emulated_on_the_cpu(device):
    with pytest.raises(ConfError, match=f"emulate is true, but compute.device is {device}.* take cpu"):
        load_config("demo", ["cuts.emulate=true", f"compute.device={device}"])


def test_flowers_defaults_are_the_demo():
    """Flower overrides only keys that exist; an empty string leaves a setting to its default or the mode."""
    written = app_config()
    assert written.keys() == to_run_config(load_config("demo")).keys()
    assert from_run_config(written) == load_config("demo")
    assert written["data.cache"] == ""


@pytest.mark.parametrize("name", known_confs("runs"))
def test_every_run_that_we_ship_can_be_read(name):
    assert load_config(name).name == name


@pytest.mark.parametrize(("mode", "expected"), [("corrected", CORRECTED), ("parity", PARITY)])
def test_the_mode_fills_what_is_not_set(mode, expected):
    flat = to_run_config(load_config("demo", [f"mode={mode}"]))
    assert {key: flat[key] for key in expected} == expected


@pytest.mark.parametrize(("mode", "other"), [("corrected", PARITY), ("parity", CORRECTED)])
@pytest.mark.parametrize("key", CORRECTED)
def test_what_is_set_wins_over_the_mode_and_alone(mode, other, key):
    given = to_run_config(load_config("demo", [f"mode={mode}", f"{key}={other[key]}"]))
    plain = to_run_config(load_config("demo", [f"mode={mode}"]))
    assert {name for name in plain if given[name] != plain[name]} == {key}
    assert given[key] == other[key]


def test_zero_is_a_setting():
    zeros = ["method.beta=0", "method.plain-rounds=0", "evaluation.every=0"]
    config = load_config("demo", ["mode=parity", *zeros])
    assert (config.method.beta, config.method.plain_rounds, config.evaluation.every) == (0, 0, 0)
    assert from_run_config(to_run_config(config)) == config


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("rouns=3", "unknown key 'rouns'.*did you mean 'rounds'"),
        ("cache=here", r"unknown key 'cache' \(did you mean 'data\.cache'\?\)"),
        ("evaluation.evry=2", r"did you mean 'evaluation\.every'"),
        ("metod.beta=1", "unknown key 'metod'.*did you mean 'method'"),
        ("method.betta=1", r"unknown key 'method\.betta'.*did you mean 'method\.beta'"),
        ("rounds", "--set rounds: write key=value"),
        ("rounds.more=3", "--set rounds.more=3: 'rounds' is a value, not a section"),
        ("name=[1", r"--set name=\[1: '\[1' cannot be read as a YAML value"),
        ("rounds=", "'rounds' is None"),
        ("rounds=0", "'rounds' is 0: .*greater than 0"),
        ("rounds=many", "'rounds' is 'many'"),
        ("batch-size=1", "'batch_size' is 1: .*greater than or equal to 2"),
        ("seed=-1", "'seed' is -1"),
        ("mode=faithful", "'mode' is 'faithful': .*'corrected' or 'parity'"),
        ("name=../elsewhere", r"'name' is '\.\./elsewhere'"),
        ("model.width=0", r"'model\.width' is 0"),
        ("method.clusters=0", r"'method\.clusters' is 0"),
        ("method.beta=-1", r"'method\.beta' is -1"),
        ("optimiser.beta1=1", r"'optimiser\.beta1' is 1"),
        ("cuts.solver=best", r"'cuts\.solver' is 'best'"),
        ("cuts.fixed=1,2,3", r"'cuts\.fixed.*"),
        ("cuts.fixed=a,b,c,d", r"'cuts\.fixed\.0' is 'a'"),
        ("cuts.newest_weight=0", r"'cuts\.newest_weight' is 0"),
        ("cuts.least_gain=1", r"'cuts\.least_gain' is 1"),
        ("executor.window=60", r"'executor\.window' is 60: .*less than 30"),
        ("compute.wire_dtype=float64", r"'compute\.wire_dtype' is 'float64'"),
        ("compute.precision=float16", r"'compute\.precision' is 'float16'"),
    ],
)
def test_what_cannot_be_is_named_with_its_value(override, message):
    with pytest.raises(ConfError, match=message):
        load_config("demo", [override])


def test_dynamic_cuts_need_a_solver_that_chooses():
    with pytest.raises(
        ConfError, match="dynamic is true, but solver is fixed and chooses nothing; take greedy"
    ):
        load_config("demo", ["cuts.dynamic=true", "cuts.solver=fixed", "cuts.fixed=1,1,1,1"])


@pytest.mark.parametrize(("precision", "wire"), [("bfloat16", "float32"), ("bfloat16", "float16")])
def test_a_wire_that_saves_nothing_is_refused(precision, wire):
    with pytest.raises(ConfError, match=rf"wire_dtype.* {wire}"):
        load_config("demo", [f"compute.precision={precision}", f"compute.wire_dtype={wire}"])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_wire_may_be_as_wide_as_the_computation(precision):
    load_config("demo", [f"compute.precision={precision}", f"compute.wire_dtype={precision}"])


def test_the_nearest_name_of_a_run_is_told():
    with pytest.raises(ConfError, match=r"'dem'.*did you mean 'demo'"):
        load_config("dem")


def test_unknown_keys_of_flower_and_of_files_are_refused_too(tmp_path):
    with pytest.raises(ConfError, match=r"run config: .*'local_epoch'.*did you mean 'local_epochs'"):
        from_run_config({"local-epoch": 3})
    path = tmp_path / "mine.yaml"
    path.write_text("cliens: 3\n")
    with pytest.raises(ConfError, match=r"mine\.yaml: .*'cliens'.*did you mean 'clients'"):
        load_config(str(path))


def test_overrides_add_to_a_section_of_the_file():
    config = load_config("demo", ["model.spec=colour-32", "local-epochs=2", "data.domains=mnist, kmnist"])
    assert config.model.width == load_config("demo").model.width
    assert config.model.spec == "colour-32"
    assert config.local_epochs == 2
    assert config.data.domains == ("mnist", "kmnist")


def test_paths_are_absolute_since_flower_works_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("model.yaml", "scenario.yaml", "devices.yaml"):
        Path(name).write_text("")
    config = load_config(
        "demo",
        [
            "output=out",
            "resume=~/old",
            "data.root=images",
            "data.cache=~/cache",
            "model.spec=model.yaml",
            "data.scenario=scenario.yaml",
            "cuts.devices=./devices.yaml",
            "executor.certificate=server.pem",
            "executor.key=~/server.key",
        ],
    )
    assert config.folder == tmp_path / "out" / "demo"
    assert config.resume == tmp_path / "home" / "old"
    assert config.executor.certificate == tmp_path / "server.pem"
    assert config.executor.key == tmp_path / "home" / "server.key"
    assert (config.data.root, config.data.cache) == (tmp_path / "images", tmp_path / "home" / "cache")
    assert config.model.spec == str(tmp_path / "model.yaml")
    assert config.data.scenario == str(tmp_path / "scenario.yaml")
    assert config.cuts.devices == str(tmp_path / "devices.yaml")
    monkeypatch.chdir("/")
    assert from_run_config(to_run_config(config)) == config


def test_names_in_conf_stay_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "paper").mkdir()
    config = load_config("demo")
    assert (config.model.spec, config.data.scenario, config.cuts.devices) == ("authors-28", "demo", "paper")


def test_the_cache_is_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert load_config("demo").data.cache == tmp_path / "huscf-flwr"


def test_what_is_written_down_is_complete():
    """But for what may be left open: all is there, whatever was left to a default or the mode."""
    written = yaml.safe_load(dump_config(load_config("demo")))
    flat = to_run_config(RunConfig.model_validate(written))
    assert {key for key, value in flat.items() if value == ""} == {
        "resume",
        "resume-round",
        "data.domains",
        "data.root",
        "cuts.fixed",
        "method.clusters",
        "executor.advertise",
        "executor.certificate",
        "executor.key",
        "compute.wire-dtype",
    }
