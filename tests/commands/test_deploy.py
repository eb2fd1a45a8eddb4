"""`huscf deploy`: what it writes, and what it is given to run."""

import os
import re
import signal
import subprocess
import sys

import pytest
from flwr.common.config import get_fused_config_from_dir

from huscf_flwr.commands import deploy_demo as deploy_module
from huscf_flwr.data import following_data, read_idx_folder
from huscf_flwr.deployment import make_server_credentials
from huscf_flwr.deployment.demo import deployed_config
from huscf_flwr.methods import resolved
from huscf_flwr.models import model_spec_of
from huscf_flwr.run.interruption import InterruptedRunError
from tests.commands.invoking import invoke, refused, settings_of, succeeded
from tests.data.formats.writing import some, write_pictures
from tests.run.builders import small_run


def deploy(*arguments):
    return invoke("deploy", *arguments)


def shown(result):
    return succeeded(result).split()


def test_certificates_says_what_it_wrote(tmp_path):
    paths = shown(deploy("certificates", tmp_path / "made", "--name", "server.example", "--name", "10.0.0.1"))
    assert paths == [str(tmp_path / "made" / name) for name in ("ca.crt", "server.pem", "server.key")]
    assert all(
        (tmp_path / "made" / name).stat().st_size > 0 for name in ("ca.crt", "server.pem", "server.key")
    )


def test_check_says_what_a_node_config_is_taken_for():
    demanded = 'require-privacy="local-discriminator,uniform-labels"'
    given = f'client-id=3 data-folder="/data/mine" {demanded} color="red"'
    told = succeeded(deploy("check", given)).splitlines()
    assert told[0] == "owns client 3: images /data/mine, state /data/mine-state"
    assert told[1].startswith("note: /data/mine is not on this machine")
    assert told[3] == (
        "takes part in a run only with privacy.local_discriminator = true, fake_labels = uniform, "
        "privacy.min_observed >= 100"
    )
    assert told[4].startswith("note: color is not read by this app")
    assert "takes part in any run" in succeeded(deploy("check", "colour=1"))


def test_check_says_how_to_look_at_images_and_how_much_epsilon_may_be_spent(tmp_path):
    images = tmp_path / "my images"
    images.mkdir()
    node = f'client-id=3 data-folder="{images}" class-names="cat,dog" first-label=1'
    told = succeeded(deploy("check", f"{node} largest-epsilon=4")).splitlines()
    assert told[1].endswith(f"huscf data check '{images}' --first-label 1 --class-names cat,dog")
    assert told[-2:] == [
        "takes part in a run only with privacy.epsilon",
        "spends the run's epsilon and at most 4, at a delta of at most 1e-05",
    ]
    told = succeeded(deploy("check", f"{node} largest-delta=0.001"))
    assert "spends the run's epsilon, at a delta of at most 0.001" in told


def test_check_promises_no_limit_of_clients_that_the_device_does_not_own():
    assert "spends" not in succeeded(deploy("check", "largest-epsilon=4"))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ('require-privacy="local-discriminater"', "did you mean 'local-discriminator'?"),
        ('require-privcy="uniform-labels"', "unknown key 'require-privcy'"),
        ("client-id=3", "client-id and data-folder go together"),
        ("require-privacy=uniform-labels", "format should be, e.g., 'key1=123"),
        ('root-certificates="/nowhere/ca.crt"', "/nowhere/ca.crt cannot be read"),
        ('client-id=3 data-folder="/data" device-profile="paper:d9"', "'d9' is not one of"),
    ],
)
def test_check_names_what_the_device_would_refuse_in_its_first_run(said, expected):
    assert expected in refused(deploy("check", said))


def test_certificates_needs_a_name(tmp_path):
    assert "--name" in refused(deploy("certificates", tmp_path / "made"))
    assert not (tmp_path / "made").exists()


def test_key_makes_both_halves_and_keeps_them(tmp_path):
    assert shown(deploy("key", tmp_path / "node")) == [str(tmp_path / "node"), str(tmp_path / "node.pub")]
    before = (tmp_path / "node").read_bytes()
    shown(deploy("key", tmp_path / "node"))
    assert (tmp_path / "node").read_bytes() == before
    (tmp_path / "node.pub").unlink()
    assert "only one half of this key is there" in refused(deploy("key", tmp_path / "node"))


def test_data_writes_a_folder_for_every_client(images, tmp_path):
    config = small_run(images, tmp_path)
    said = succeeded(deploy("data", tmp_path / "data", "demo", *settings_of(config))).splitlines()
    paths = [line for line in said if not line.startswith("note: ")]
    assert paths == [str(tmp_path / "data" / f"client-{client}") for client in range(4)]
    for path in paths:
        read_idx_folder(tmp_path / "data" / path)


def test_data_says_what_was_done_with_images_and_how_classes_are_called(tmp_path):
    write_pictures(tmp_path / "animals", some(60, size=28), names=("ant", "bee", "cow"))
    own = {"data.domains": "animals", "clients": 2, "model.classes": 3}
    settings = settings_of(small_run(tmp_path, tmp_path, **own))
    said = succeeded(deploy("data", tmp_path / "data", "demo", *settings))
    assert "note: " in said
    assert 'node config of client 0, 1, for the names of classes: class-names="ant,bee,cow"\n' in said


def test_a_folder_of_a_client_that_lacks_the_first_class_can_be_looked_at_as_is_said(tmp_path):
    write_pictures(tmp_path / "animals", some(120, size=28), names=("ant", "bee", "cow"))
    (tmp_path / "mine.yaml").write_text(
        "domains: [animals]\nlabels: {kind: excluded, counts: [2], odds: [1]}\n"
    )
    own = {"data.scenario": tmp_path / "mine.yaml", "data.domains": "null", "clients": 4}
    said = succeeded(
        deploy("data", tmp_path / "data", "demo", *settings_of(small_run(tmp_path, tmp_path, **own)))
    )
    (options,) = re.findall(r"to look at one of them: huscf data check FOLDER (.*)", said)
    folders = sorted((tmp_path / "data").iterdir())
    lacking = [folder for folder in folders if invoke("data", "check", folder).exit_code]
    assert lacking
    for folder in folders:
        shown = succeeded(invoke("data", "check", folder, *options.split()))
        assert [line.split()[1] for line in shown.splitlines() if line.startswith("│")] == ["0", "1", "2"]


@pytest.mark.parametrize("spec", ["authors-28", "auto"])
def test_what_a_run_has_to_say_of_networks_whose_server_sees_no_image_is_said_and_is_enough(spec, tmp_path):
    write_pictures(tmp_path / "animals", some(60, size=28, channels=3), names=("ant", "bee", "cow"))
    own = {"data.domains": "animals", "clients": 2, "model.spec": spec}
    if spec != "auto":
        own["model.channels"] = 3
    config = small_run(tmp_path, tmp_path, **own)
    said = succeeded(deploy("data", tmp_path / "data", "demo", *settings_of(config)))
    (needed,) = re.findall(r"a run on these folders needs (.*), since its server sees no image", said)
    named = {**own, **dict(setting.split("=") for setting in needed.split())}
    assert ("model.spec" in needed) == (spec == "auto")
    there = model_spec_of(following_data(config))
    assert model_spec_of(small_run(tmp_path, tmp_path, **named)) == there
    settings = settings_of(small_run(tmp_path, tmp_path, **named))
    assert "a run on these folders needs" not in succeeded(
        deploy("data", tmp_path / "again", "demo", *settings)
    )


@pytest.mark.slow
def test_data_is_written_though_nobody_reads_what_is_said(images, tmp_path):
    settings = map(str, settings_of(small_run(images, tmp_path)))
    huscf = [sys.executable, "-c", "from huscf_flwr.commands.main import app; app()"]
    command = [*huscf, "deploy", "data", str(tmp_path / "data"), "demo"]
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    with open("/dev/full", "wb") as output:  # noqa: PTH123
        subprocess.run([*command, *settings], stdout=output, env=environment, check=True)
    assert len(list((tmp_path / "data").iterdir())) == 4


def test_what_is_there_is_replaced_only_if_force_is_given(images, tmp_path):
    config = settings_of(small_run(images, tmp_path))
    for command in (
        ("certificates", tmp_path / "made", "--name", "server.example"),
        ("data", tmp_path / "data", "demo", *config),
    ):
        shown(deploy(*command))
        assert "--force" in refused(deploy(*command))
        shown(deploy(*command, "--force"))


def test_a_path_is_printed_as_it_is(tmp_path):
    place = tmp_path / "a [bold] place"
    assert f"{place / 'ca.crt'}\n" in succeeded(deploy("certificates", place, "--name", "server.example"))


def test_demo_runs_what_it_is_told(images, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(
        deploy_module, "run_deployed", lambda config, app, display, stop: given.append((config, app, stop))
    )
    config = small_run(images, tmp_path)
    shown(deploy("demo", "demo", *settings_of(config)))
    ((run, app, stop),) = given
    assert run == resolved(config)
    assert (app / "pyproject.toml").is_file()
    assert stop.cause is None


def test_demo_stops_when_it_is_told_to(images, tmp_path, monkeypatch):
    def interrupted(config, app, display, stop):
        signal.raise_signal(signal.SIGTERM)
        raise InterruptedRunError(stop.cause, 1, config.folder)

    monkeypatch.setattr(deploy_module, "run_deployed", interrupted)
    result = deploy("demo", "demo", *settings_of(small_run(images, tmp_path)))
    assert result.exit_code == 128 + signal.SIGTERM
    assert "stopped by SIGTERM in round 1; no round is finished yet" in result.output


def test_demo_names_bad_input_before_anything_starts(images, tmp_path):
    result = deploy("demo", "demo", *settings_of(small_run(images, tmp_path)), "--set", "rouns=3")
    assert "did you mean 'rounds'" in refused(result)
    assert list(tmp_path.iterdir()) == []


def test_a_deployment_waits_for_all_its_clients_and_has_tls(images, tmp_path):
    credentials = make_server_credentials(tmp_path, ["localhost"])
    config = deployed_config(small_run(images, tmp_path, clients=6), credentials)
    assert config.min_hosts == 6
    assert (config.executor.certificate, config.executor.key) == (credentials.certificate, credentials.key)


def test_the_app_is_written_for_flower_where_there_is_no_copy_of_the_repository(tmp_path):
    folder = tmp_path / "app"
    assert shown(deploy("app", folder)) == [str(folder)]
    for part in (
        "pyproject.toml",
        "server_app/app.py",
        "strategies/huscf.py",
        "huscf_flwr/conf/runs/demo.yaml",
    ):
        assert (folder / part).is_file(), part
    assert get_fused_config_from_dir(folder, {})["name"] == "demo"
    assert not list(folder.rglob("__pycache__"))
    assert f"{folder}: something is there already" in refused(deploy("app", folder))
