from pathlib import Path

import pytest
import yaml

from huscf_flwr.conf_files import ConfError, known_confs
from huscf_flwr.config import RunConfig, dump_config, from_run_config, load_config, to_run_config
from huscf_flwr.methods import BUILT_IN, resolved
from huscf_flwr.yaml_reading import texts_of
from tests.config.schema import all_keys, common_keys, method_keys

CHANGED = {
    "name": "other",
    "method": "fedgan",
    "mode": "parity",
    "resolved": True,
    "seed": 5,
    "rounds": 3,
    "local-epochs": 2,
    "batch-size": 7,
    "fake-labels": "uniform",
    "clients": 11,
    "min-hosts": 2,
    "min-clients": 2,
    "fraction-train": 0.5,
    "min-train-clients": 3,
    "fraction-evaluate": 0.25,
    "attempts": 5,
    "round-seconds": 600.0,
    "resume": "/runs/old",
    "resume-round": 4,
    "tensorboard": True,
    "output": "/elsewhere",
    "model.spec": "colour-32",
    "model.classes": 7,
    "model.channels": 1,
    "model.width": 0.125,
    "classifier.family": "mine",
    "classifier.decoder": "vtc-small",
    "classifier.member": 2,
    "classifier.features": 64,
    "classifier.learning-rate": 0.05,
    "classifier.momentum": 0.25,
    "classifier.augmentation": "affine",
    "data.scenario": "6",
    "data.domains": "mnist,kmnist",
    "data.root": "/images",
    "data.cache": "/cache",
    "data.fit": "crop",
    "data.id-offset": "authors",
    "data.exclusion-pattern": "authors",
    "data.held-out": 0.125,
    "data.judged-on": "validation",
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
    "huscf.initialisation": "per-client",
    "huscf.batches": "fresh-draw",
    "huscf.feature-window": "last-batch",
    "huscf.clusters": 3,
    "huscf.evidence": "round",
    "huscf.random-state": 7,
    "huscf.feature-scaling": "clients",
    "huscf.divergence": "spatial-softmax",
    "huscf.beta": 0.5,
    "huscf.weighting": "samples",
    "huscf.weights-from": "labels",
    "huscf.buffers": "average",
    "huscf.bodies": "shared",
    "huscf.running-statistics": "averaged",
    "huscf.plain-rounds": 4,
    "huscf.clusters-in-plain-rounds": False,
    "huscf.judged": "first-client",
    "fedgan.buffers": "total-variance",
    "fedgan.running-statistics": "averaged",
    "fedproto.weight": 10.0,
    "fedproto.means": "clients",
    "fedvtc.share-decoder": False,
    "fedvtc.decoder-epochs": 2,
    "fedvtc.decoder-learning-rate": 0.01,
    "fedvtc.adversarial": 2.5,
    "fedvtc.critic-learning-rate": 0.02,
    "fedvtc.distillation-steps": 7,
    "fedvtc.distillation-learning-rate": 0.03,
    "fedvtc.least-count": 3,
    "fedvtc.alignment": 0.1,
    "fedvtc.alignment-rounds": 5,
    "fedvtc.gradient-norm": 1.0,
    "fedvtc.latents": "sampled",
    "fedvtc.latent-directions": 5,
    "fedvtc.latent-spread": 1.25,
    "fedvtc.spread": "learned",
    "fedvtc.spread-of": "client",
    "fedvtc.spread-rule": "total",
    "fedvtc.least-variance": 0.01,
    "fedvtc.spread-learning-rate": 0.1,
    "fedvtc.reconstruction": 0.75,
    "fedvtc.divergence": 0.5,
    "fedvtc.matching": 0.25,
    "fedvtc.matching-form": "image",
    "fedvtc.matching-classes": "all",
    "fedvtc.matching-at-once": 3,
    "fedvtc.matching-images": 4,
    "fedvtc.tuning": "every-round",
    "fedvtc.tuning-epochs": 3,
    "fedvtc.tuning-images": 50,
    "fedvtc.tuning-draws": "once",
    "fedvtc.tuning-real": "after",
    "fedvtc.tuning-repeats": 3,
    "fedvtc.tuning-learning-rate": 0.5,
    "fedvtc.tuning-schedule": "constant",
    "fedvtc.tuning-spread": 2.0,
    "fedtgp.weight": 5.0,
    "fedtgp.server-epochs": 50,
    "fedtgp.server-learning-rate": 0.1,
    "fedtgp.largest-margin": 10.0,
    "fedgen.heads": "own",
    "fedgen.noise": 16,
    "fedgen.hidden": 64,
    "fedgen.server-steps": 20,
    "fedgen.server-learning-rate": 0.001,
    "fedgen.weight-decay": 0.0,
    "fedgen.teacher-weight": 2.0,
    "fedgen.student-weight": 0.5,
    "fedgen.diversity-weight": 0.25,
    "fedgen.weight": 5.0,
    "fedgen.likeness": 0.1,
    "fedgen.decay": 0.9,
    "gefl.generator": "dcgan",
    "gefl.generator-rounds": 2,
    "gefl.divergence-weight": 0.5,
    "gefl.drawn-epochs": 2,
    "gefl.mixing": "together",
    "ccvr.virtual": 50,
    "ccvr.epochs": 3,
    "fedtype.proxy": 1,
    "fedtype.distillation": 0.5,
    "fedtype.ranking": 2.0,
    "fedtype.temperature": 3.0,
    "fedtype.miss": 0.2,
    "fedtype.free": 2,
    "fedtype.proxy-penalty": 0.25,
    "fedtype.private-penalty": 0.75,
    "local.task": "classifier",
    "central.batch-size": 64,
    "pflgan.local-rounds": 2,
    "pflgan.images": 50,
    "pflgan.components": 4,
    "pflgan.temperature": 0.5,
    "hflgan.clusters": 3,
    "hflgan.recluster-every": 2,
    "hflgan.cloud-every": 3,
    "hflgan.judged": "global",
    "mdgan.batches": 2,
    "mdgan.swap-every": 3,
    "mdgan.moments": "reset",
    "mdgan.initialisation": "per-client",
    "evaluation.every": 0,
    "evaluation.images": 123,
    "evaluation.synthetic-images": 0,
    "evaluation.seconds": 60.0,
    "evaluation.sample-columns": 3,
    "evaluation.inception": "/weights/inception.safetensors",
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
    "wire.preset": "small",
    "wire.uploads": "8-bits",
    "compute.threads": 4,
    "compute.keep-memory": False,
    "compute.measure-memory": True,
    "privacy.local-discriminator": True,
    "privacy.min-observed": 50,
    "privacy.activation-clip": 0.4,
    "privacy.activation-noise": 0.5,
    "privacy.epsilon": 3.0,
    "privacy.delta": 1e-6,
    "privacy.clip": 0.5,
    "privacy.discriminator-steps": 4,
    "privacy.sample": 32,
    "privacy.critic": "embedding",
    "privacy.features": 400,
    "privacy.noise": "seeded",
    "privacy.min-cluster": 3,
    "privacy.detect-tampering": True,
    "privacy.send-losses": False,
    "privacy.count-step": 50,
}


def load(*overrides):
    """The demo with these settings, and with all of the settings of the method that they are about."""
    named = [f"method={name}" for name in BUILT_IN if any(key.startswith(f"{name}.") for key in overrides)]
    return resolved(load_config("demo", [*named, *overrides]))


def test_every_setting_is_in_the_list_of_changes():
    assert CHANGED.keys() == all_keys()


@pytest.mark.parametrize("key", CHANGED)
def test_a_setting_survives_flowers_run_config_and_yaml(key, tmp_path):
    changed = load(f"{key}={CHANGED[key]}")
    method = changed.method
    assert changed != load(f"method={method}") or key in ("method", "resolved")
    flat = to_run_config(changed)
    assert flat[key] == CHANGED[key]
    assert flat.keys() == common_keys() | method_keys(method)
    assert all(isinstance(value, bool | int | float | str) for value in flat.values())
    assert resolved(from_run_config(flat)) == changed
    path = tmp_path / "written.yaml"
    path.write_text(dump_config(changed))
    assert resolved(load_config(str(path))) == changed


@pytest.mark.parametrize("method", BUILT_IN)
def test_all_settings_at_once(method):
    """But for two, of which each excludes the other."""
    together = {**CHANGED, "compute.device": "cpu", "method": method}
    everything = load_config("demo", [f"{key}={value}" for key, value in together.items()])
    assert to_run_config(everything) == together
    assert from_run_config(together) == everything
    own = common_keys() | method_keys(method)
    assert to_run_config(resolved(everything)) == {key: together[key] for key in own}


def test_sections_are_read_alike_from_yaml_overrides_and_flower(tmp_path):
    path = tmp_path / "demo.yaml"
    path.write_text("huscf: {plain_rounds: 3, beta: 0.5}\nmine: {deep: {er: 1}}")
    by_file = load_config(str(path))
    empty = tmp_path / "empty" / "demo.yaml"
    empty.parent.mkdir()
    empty.write_text("{}")
    by_override = load_config(str(empty), ["huscf.plain-rounds=3", "huscf.beta=0.5", "mine.deep.er=1"])
    by_flower = from_run_config(
        {"name": "demo", "huscf.plain-rounds": 3, "huscf.beta": 0.5, "huscf.weighting": "", "mine.deep.er": 1}
    )
    assert by_file == by_override == by_flower
    assert by_file.sections == {"huscf": {"plain_rounds": 3, "beta": 0.5}, "mine": {"deep": {"er": 1}}}
    assert from_run_config(to_run_config(by_file)) == by_file


@pytest.mark.parametrize("name", known_confs("runs"))
def test_every_run_that_we_ship_can_be_read(name):
    assert load_config(name).name == name


def test_a_file_may_be_called_anything(tmp_path):
    for stem, name in {"my first run": "my-first-run", "(1)": "1", "...": "run", "a.b": "a.b"}.items():
        path = tmp_path / f"{stem}.yaml"
        path.write_text("rounds: 2")
        assert load_config(str(path)).name == name


TEXTS = sorted(texts_of(RunConfig) - {"method", "mode"})


@pytest.mark.parametrize("key", [key for key in TEXTS if not isinstance(CHANGED[key.replace("_", "-")], int)])
@pytest.mark.parametrize("text", ["007", "1e3", "2024-01-01", "on", "1:30"])
def test_a_text_that_looks_like_something_else_stays_a_text(key, text, tmp_path):
    *sections, leaf = key.split(".")
    path = tmp_path / "mine.yaml"
    path.write_text(f"{sections[0]}: {{{leaf}: {text}}}" if sections else f"{leaf}: {text}")
    for read in (lambda: load_config("demo", [f"{key}={text}"]), lambda: load_config(str(path))):
        try:
            value = read()
        except ConfError as error:
            # A choice between words, or a name that has no colon.
            assert f"'{key}' is '{text}'" in str(error)
            continue
        for part in key.split("."):
            value = getattr(value, part)
        assert text in str(value)


@pytest.mark.parametrize(("said", "rounds"), [("010", 10), ("0o10", None), ("1:30", None), ("1_000", 1000)])
def test_a_number_is_decimal(said, rounds):
    if rounds is None:
        with pytest.raises(ConfError, match=f"'rounds' is '{said}'"):
            load_config("demo", [f"rounds={said}"])
    else:
        assert load_config("demo", [f"rounds={said}"]).rounds == rounds


def test_where_a_run_of_before_said_nothing_of_the_wire_nothing_is_wrong():
    assert load_config("demo", ["compute.wire_dtype=null"]) == load_config("demo")


def test_an_old_key_that_says_nothing_is_no_error():
    assert from_run_config({"method.weighting": ""}) == from_run_config({})


def test_overrides_add_to_a_section_of_the_file():
    config = load_config("demo", ["model.spec=colour-32", "local-epochs=2", "data.domains=mnist, kmnist"])
    assert config.model.width == load_config("demo").model.width
    assert config.model.spec == "colour-32"
    assert config.local_epochs == 2
    assert config.data.domains == ("mnist", "kmnist")


def test_paths_are_absolute_since_flower_works_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("model.yaml", "family.yaml", "scenario.yaml", "devices.yaml"):
        Path(name).write_text("")
    Path("mode.yaml").write_text("rounds: 99")
    config = load_config(
        "demo",
        [
            "output=out",
            "mode=mode.yaml",
            "resume=~/old",
            "data.root=images",
            "data.cache=~/cache",
            "model.spec=model.yaml",
            "classifier.family=family.yaml",
            "data.scenario=scenario.yaml",
            "cuts.devices=./devices.yaml",
            "executor.certificate=server.pem",
            "executor.key=~/server.key",
            "evaluation.inception=weights.safetensors",
        ],
    )
    assert config.folder == tmp_path / "out" / "demo"
    assert config.resume == tmp_path / "home" / "old"
    assert config.executor.certificate == tmp_path / "server.pem"
    assert config.executor.key == tmp_path / "home" / "server.key"
    assert config.evaluation.inception == tmp_path / "weights.safetensors"
    assert (config.data.root, config.data.cache) == (tmp_path / "images", tmp_path / "home" / "cache")
    assert config.model.spec == str(tmp_path / "model.yaml")
    assert config.classifier.family == str(tmp_path / "family.yaml")
    assert config.data.scenario == str(tmp_path / "scenario.yaml")
    assert config.cuts.devices == str(tmp_path / "devices.yaml")
    assert config.mode == str(tmp_path / "mode.yaml")
    monkeypatch.chdir("/")
    assert from_run_config(to_run_config(config)) == config


def test_names_in_conf_stay_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "paper").mkdir()
    config = load_config("demo")
    assert (config.model.spec, config.data.scenario, config.cuts.devices) == ("authors-28", "demo", "paper")
    assert (config.classifier.family, config.mode) == ("family5", "corrected")


def test_the_cache_is_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert load_config("demo").data.cache == tmp_path / "huscf-flwr"


@pytest.mark.parametrize("method", BUILT_IN)
@pytest.mark.parametrize("mode", known_confs("modes"))
def test_what_is_written_down_is_complete(method, mode):
    """All is there, whatever was left to a default or to the mode, and what is None stays so."""
    written = yaml.safe_load(dump_config(load(f"method={method}", f"mode={mode}")))
    flat = to_run_config(RunConfig.model_validate(written))
    assert common_keys() | method_keys(method) <= flat.keys()
    assert {key for key, value in flat.items() if value == ""} == {
        "resume",
        "resume-round",
        "classifier.features",
        "classifier.member",
        "model.classes",
        "model.channels",
        "data.domains",
        "data.root",
        "cuts.fixed",
        "evaluation.inception",
        "executor.advertise",
        "executor.certificate",
        "executor.key",
        "privacy.activation-clip",
        "privacy.epsilon",
        "privacy.sample",
    }
