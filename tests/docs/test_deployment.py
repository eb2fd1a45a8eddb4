"""The compose files fit Flower's commands and ours; nothing here needs a container."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from flwr.app import Context, RecordDict
from flwr.common.config import parse_config_args
from flwr.supercore.cli.flower_superexec import _parse_args as superexec_arguments
from flwr.superlink.cli.flower_superlink import _parse_args_run_superlink as superlink_arguments
from flwr.supernode.cli.flower_supernode import _parse_args_run_supernode as supernode_arguments

from huscf_flwr.config import from_run_config
from huscf_flwr.deployment import make_server_credentials
from huscf_flwr.flower.owner import owner_of
from huscf_flwr.session.wire import Endpoint
from tests.without_extras import NAMES, brought_by, distribution_of

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "deployment"
PARSERS = {
    "superlink": superlink_arguments,
    "supernode": supernode_arguments,
    "superexec": superexec_arguments,
}
STACKS = {
    "plain": ("server.yml", "clients.yml"),
    "secure": ("server.yml", "server-with-tls.yml", "clients.yml", "clients-with-tls.yml"),
    "secure server": ("server.yml", "server-with-tls.yml"),
    "secure clients": ("clients.yml", "clients-with-tls.yml"),
}


def stack(name):
    """The services as docker compose merges files: mappings by key, lists appended, but commands replaced."""
    services, secrets = {}, {}
    for file in STACKS[name]:
        content = yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", (FOLDER / file).read_text()))
        secrets.update(content.get("secrets", {}))
        for service, given in content["services"].items():
            merged = services.setdefault(service, {})
            for key, value in given.items():
                appended = isinstance(value, list) and key != "command"
                merged[key] = [*merged.get(key, []), *value] if appended else value
    return services, secrets


def arguments(service, content):
    command = next(parse for kind, parse in PARSERS.items() if service.startswith(kind))
    return command().parse_args(content["command"])


def node_config(content):
    return parse_config_args([content["command"][content["command"].index("--node-config") + 1]])


@pytest.mark.parametrize("name", STACKS)
def test_flowers_own_commands_take_every_command_line(name, capsys):
    services, _ = stack(name)
    for service, content in services.items():
        assert arguments(service, content), service
        assert ("image" in content) is not ("build" in content), service
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", STACKS)
def test_everything_that_is_mounted_or_depended_on_is_there(name):
    services, secrets = stack(name)
    for content in services.values():
        assert set(content.get("depends_on", [])) <= set(services)
        assert {secret["source"] for secret in content.get("secrets", [])} <= set(secrets)
        build = content.get("build")
        assert build is None or (FOLDER / build["context"] / "pyproject.toml").is_file()


@pytest.mark.parametrize("name", STACKS)
def test_every_file_that_a_container_reads_is_mounted_into_it(name):
    services, _ = stack(name)
    for service, content in services.items():
        mounted = {secret["target"] for secret in content.get("secrets", [])}
        mounted |= {volume.split(":")[1].rstrip("/") for volume in content.get("volumes", [])}
        named = [word for word in content["command"] if re.match("certificates/|keys/", word)]
        assert {f"/app/{word}" for word in named} <= mounted, service
        if service.startswith("supernode"):
            # The ClientApp runs where the SuperExec does.
            executor = services[service.replace("supernode", "superexec-clientapp")]
            paths = {value for value in node_config(content).values() if str(value).startswith("/app/")}
            there = {secret["target"] for secret in executor.get("secrets", [])}
            there |= {volume.split(":")[1].rstrip("/") for volume in executor["volumes"]}
            assert paths == there, service


@pytest.mark.parametrize(("name", "secure"), [("plain", False), ("secure", True)])
def test_tls_is_on_where_it_is_said_to_be(name, secure):
    services, _ = stack(name)
    for service, content in services.items():
        if not service.startswith("superexec-clientapp"):  # it talks to its SuperNode, within one device
            assert arguments(service, content).insecure is not secure, service
    assert arguments("superlink", services["superlink"]).enable_supernode_auth is secure
    nodes = [content for service, content in services.items() if service.startswith("supernode")]
    assert [("root-certificates" in node_config(content)) for content in nodes] == [secure] * len(nodes)


@pytest.mark.parametrize("name", ["plain", "secure"])
def test_each_supernode_owns_a_client_of_its_own(name):
    services, _ = stack(name)
    nodes = [content for service, content in services.items() if service.startswith("supernode")]
    owners = [owner_of(Context(1, 2, node_config(content), RecordDict(), {})) for content in nodes]
    assert [owner.client for owner in owners] == list(range(len(nodes)))
    for owner in owners:
        assert owner.device().name == "d4"


@pytest.mark.parametrize(("file", "name"), [("run.toml", "plain"), ("run-with-tls.toml", "secure")])
def test_the_run_configs_are_ours_and_fit_the_containers(file, name, tmp_path):
    services, _ = stack(name)
    content = tomllib.loads((FOLDER / file).read_text())
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["flwr"]["app"]["config"]
    flat = flatten(content)
    assert flat.keys() <= flatten(known).keys()
    config = from_run_config({**flatten(known), **flat})
    executor = config.executor
    host = (executor.advertise or executor.bind).rpartition(":")[0]
    made = make_server_credentials(tmp_path, [host])  # those of the configuration lie on the server
    files = (made.certificate, made.key) if executor.certificate and executor.key else (None, None)
    Endpoint(executor.bind, executor.advertise, *files, executor.insecure).check()
    assert config.min_hosts == sum(service.startswith("supernode") for service in services)
    server = services["superexec-serverapp"]
    mounted = {secret["target"] for secret in server.get("secrets", [])}
    assert {str(path) for path in (executor.certificate, executor.key) if path} <= mounted
    assert any(volume.split(":")[1] == f"{config.output}/" for volume in server["volumes"])
    if name == "secure":
        assert f"{executor.bind.rpartition(':')[2]}:9500" in server["ports"]
    else:
        assert executor.advertise.rpartition(":")[0] in services


def flatten(content, prefix=""):
    flat = {}
    for key, value in content.items():
        flat.update(
            flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
        )
    return flat


def installed_by(recipe, capsys):
    """The packages that a container has beside Flower, as they are imported."""
    exec(re.search(r'RUN python -c "(.*)" >', recipe)[1], {})
    names = (distribution_of(requirement) for requirement in capsys.readouterr().out.split())
    return {NAMES.get(name, name) for name in names} | {"flwr"}


def test_a_superexec_has_what_its_side_of_the_app_needs(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    services, _ = stack("secure")
    recipes = {
        service: content["build"]["dockerfile_inline"]
        for service, content in services.items()
        if "build" in content
    }
    assert len(recipes) == len(set(recipes)) > 1
    for service, recipe in recipes.items():
        extras = ("server",) if service == "superexec-serverapp" else ()
        assert installed_by(recipe, capsys) == brought_by(*extras), service
    assert len(set(recipes.values())) == 2
