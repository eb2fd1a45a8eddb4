"""What the configuration refuses, with the value found and what to write instead."""

import math
import re

import pytest

from huscf_flwr.conf_files import ConfError
from huscf_flwr.config import RunConfig, Section, from_run_config, load_config
from huscf_flwr.methods import BUILT_IN, method_named, resolved


@pytest.mark.parametrize("device", ["cuda", "auto"])
def test_devices_are_emulated_on_the_cpu(device):
    with pytest.raises(ConfError, match=f"emulate is true, but compute.device is {device}.* take cpu"):
        load_config("demo", ["cuts.emulate=true", f"compute.device={device}"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("rouns=3", "unknown key 'rouns'.*did you mean 'rounds'"),
        ("optimiser.lr=0.1", r"unknown key 'optimiser\.lr' \(did you mean 'optimiser\.learning_rate'\?\)"),
        ("cache=here", r"unknown key 'cache' \(did you mean 'data\.cache'\?\)"),
        ("evaluation.synthetic_images=1", r"'evaluation\.synthetic_images' is 1: give 0 .* at least 2"),
        ("evaluation.seconds=0", r"'evaluation\.seconds' is 0: .*greater than 0"),
        ("evaluation.evry=2", r"did you mean 'evaluation\.every'"),
        ("huscf=3", "unknown key 'huscf'"),
        ("huscf=", "'huscf' is None: a section without settings: remove it"),
        ("rounds", "--set rounds: write key=value"),
        ("rounds.more=3", "--set rounds.more=3: 'rounds' is a value, not a section"),
        ("name=[1", r"--set name=\[1: '\[1' cannot be read as YAML: expected"),
        ("rounds=", "'rounds' is None"),
        ("cuts.flops=null", r"'cuts\.flops' is None: .*'exact' or 'paper'"),
        ("round-seconds=0", "'round_seconds' is 0: .*greater than 0"),
        ("rounds=0", "'rounds' is 0: .*greater than 0"),
        ("rounds=many", "'rounds' is 'many'"),
        ("batch-size=1", "'batch_size' is 1: .*greater than or equal to 2"),
        ("fake-labels=none", "'fake_labels' is 'none': .*'real', 'own-mix' or 'uniform'"),
        ("seed=-1", "'seed' is -1"),
        (
            "mode=faithful",
            "'mode' is 'faithful': .*neither a file nor a known name.*corrected, paper, parity",
        ),
        ("mode=partiy", "'mode' is 'partiy': .*did you mean 'parity'"),
        ("mode=3", "'mode' is '3': .*neither a file nor a known name"),
        ("name=../elsewhere", r"'name' is '\.\./elsewhere'"),
        ("model.width=0", r"'model\.width' is 0"),
        ("optimiser.beta1=1", r"'optimiser\.beta1' is 1"),
        ("fraction-train=0", "'fraction_train' is 0: .*greater than 0"),
        ("fraction-evaluate=-0.1", r"'fraction_evaluate' is -0\.1: .*greater than or equal to 0"),
        ("fraction-evaluate=1.5", r"'fraction_evaluate' is 1\.5: .*less than or equal to 1"),
        ("min-train-clients=0", "'min_train_clients' is 0: .*greater than 0"),
        ("data.held-out=1", r"'data\.held_out' is 1: .*less than 1"),
        ("classifier.momentum=1", r"'classifier\.momentum' is 1: .*less than 1"),
        ("classifier.learning-rate=0", r"'classifier\.learning_rate' is 0: .*greater than 0"),
        ("cuts.solver=best", r"'cuts\.solver' is 'best'"),
        ("cuts.fixed=1,2,3", r"'cuts\.fixed.*"),
        ("cuts.fixed=a,b,c,d", r"'cuts\.fixed\.0' is 'a'"),
        ("cuts.newest_weight=0", r"'cuts\.newest_weight' is 0"),
        ("cuts.least_gain=1", r"'cuts\.least_gain' is 1"),
        ("executor.window=60", r"'executor\.window' is 60: .*less than 30"),
        ("wire.preset=tiny", r"'wire\.preset' is 'tiny'.* 'auto', 'exact', 'half', 'small' or 'smallest'"),
        ("compute.precision=float16", r"'compute\.precision' is 'float16'"),
    ],
)
def test_what_cannot_be_is_named_with_its_value(override, message):
    with pytest.raises(ConfError, match=message):
        load_config("demo", [override])


def of_numbers(section, prefix=""):
    """Dotted keys of all settings that are numbers, in a section and those in it."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from of_numbers(field.annotation, f"{prefix}{name}.")
        elif re.search(r"\b(int|float)\b", str(field.annotation)) and "tuple" not in str(field.annotation):
            yield f"{prefix}{name}"


NUMBERS = [
    *of_numbers(RunConfig),
    *(key for name in BUILT_IN for key in of_numbers(method_named(name).Settings, f"{name}.")),
]


@pytest.mark.parametrize("key", NUMBERS)
def test_every_number_is_finite_and_no_truth_value(key, tmp_path):
    """By ``--set``, in a file, and from Flower, of common settings and of every method's."""
    *sections, leaf = key.split(".")
    method = [f"method={sections[0]}"] if sections and sections[0] in BUILT_IN else []
    path = tmp_path / "mine.yaml"
    for said, value in ((".inf", math.inf), (".nan", math.nan), ("true", True)):
        path.write_text(f"{sections[0]}: {{{leaf}: {said}}}" if sections else f"{leaf}: {said}")
        with pytest.raises(ConfError, match=rf"'{key}"):
            resolved(load_config("demo", [*method, f"{key}={said}"]))
        with pytest.raises(ConfError, match=rf"'{key}"):
            resolved(load_config(str(path), method))
        with pytest.raises(ConfError, match=rf"'{key}"):
            flat = {"method": method[0].partition("=")[2]} if method else {}
            resolved(from_run_config({**flat, key.replace("_", "-"): value}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rounds: 2\nseed: 1\nrounds: 3\n", "mine.yaml, line 3: 'rounds' is in line 1 already"),
        (
            "data:\n  root: a\nrounds: 2\ndata:\n  cache: b\n",
            "mine.yaml, line 4: 'data' is in line 1 already: .* put their content together",
        ),
        ("huscf:\n  beta: 1\n  beta: 2\n", "mine.yaml, line 3: 'beta' is in line 2 already"),
        ("data.scenario: demo\n", "unknown key 'data.scenario': write 'scenario' .* below 'data:'"),
    ],
)
def test_a_file_that_says_something_twice_or_flat_is_refused(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfError, match=message):
        load_config(str(path))


def test_dynamic_cuts_need_a_solver_that_chooses():
    with pytest.raises(
        ConfError, match="dynamic is true, but solver is fixed and chooses nothing; take greedy"
    ):
        load_config("demo", ["cuts.dynamic=true", "cuts.solver=fixed", "cuts.fixed=1,1,1,1"])


def test_a_wire_that_saves_nothing_is_refused():
    with pytest.raises(ConfError, match=r"wire\.preset is half, which saves nothing where"):
        load_config("demo", ["compute.precision=bfloat16", "wire.preset=half"])


@pytest.mark.parametrize(
    ("found", "instead"), [("float16", "write wire.preset: half"), ("float32", "leave it out")]
)
def test_the_old_name_of_the_wire_is_refused_with_what_to_write(found, instead):
    with pytest.raises(ConfError, match=rf"wire_dtype is .* is wire\.preset now: {instead}"):
        load_config("demo", [f"compute.wire_dtype={found}"])


@pytest.mark.parametrize(
    ("old", "new"),
    [("weighting", "huscf.weighting"), ("plain_rounds", "huscf.plain_rounds"), ("no-such", "huscf.no_such")],
)
def test_keys_of_before_are_refused_with_what_to_write_instead(old, new, tmp_path):
    message = f"'method' names a method, .*: write '{new}'$"
    with pytest.raises(ConfError, match=message):
        load_config("demo", [f"method.{old}=1"])
    with pytest.raises(ConfError, match=message):
        from_run_config({f"method.{old}": 1})
    with pytest.raises(ConfError, match=message):
        from_run_config({"method": "huscf", f"method.{old}": 1})
    path = tmp_path / "mine.yaml"
    path.write_text(f"method: {{{old.replace('-', '_')}: 1}}")
    with pytest.raises(ConfError, match=rf"mine\.yaml: 'method' is {{.*}}: {message}"):
        load_config(str(path))


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


def test_an_error_names_the_set_or_the_file_that_it_comes_from(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("cliens: 3\ncuts: {emulate: true}\n")
    for said, message in (
        ([], r"^\S*mine\.yaml: unknown key 'cliens'"),
        (["clients=4", "huscf.beta=2"], r"^\S*mine\.yaml: unknown key 'cliens'"),
        (["rouns=3"], r"mine\.yaml: unknown key 'cliens'.*; --set rouns=3: unknown key 'rouns'"),
        (["local-epochs=0"], r"--set local-epochs=0: 'local_epochs' is 0"),
        (["cuts.fixed=1,2,x,1"], r"--set cuts\.fixed=1,2,x,1: 'cuts\.fixed\.2' is 'x'"),
        (["cuts={speed: 1}"], r"--set cuts={speed: 1}: unknown key 'cuts\.speed'"),
        (["cuts={fixed: [true, 1, 1, 1]}"], r"--set cuts=.*: 'cuts\.fixed' is .*not true or false"),
    ):
        with pytest.raises(ConfError, match=message):
            load_config(str(path), said)


def test_what_two_settings_are_wrong_about_is_both_of_the_file_and_of_set(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("cuts: {emulate: true, solver: fixed, fixed: [1, 1, 1, 1]}\n")
    for said in ("compute.device=cuda", "cuts.dynamic=true"):
        with pytest.raises(ConfError, match=r"^\S*mine\.yaml with --set: "):
            load_config(str(path), [said])
