"""What is installed on each machine, held to what is imported there.

Only what a module imports as it is loaded counts for it; what is imported within a function names the extra
that brings it, in ``with extra(...)``.
"""

import ast
import sys
import tomllib
from functools import cache

import pytest

from huscf_flwr.commands import deploy, main
from tests.without_extras import BROUGHT_ALONG, NAMES, PROJECT, ROOT, brought_by

OWN = ("huscf_flwr", "strategies", "client_apps", "server_app")
BY_NAME = {"tensorboard", "flwr_datasets", "ray", "hatchling"}
"""Packages that are imported by other ways than an import statement of ours."""
FOR_DEVELOPERS = {each for each in PROJECT["optional-dependencies"]["dev"] if "huscf-flwr" not in each}


def module_names(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_names(path): path for package in OWN for path in (ROOT / package).rglob("*.py")}


@cache
def tree(module):
    return ast.parse(FILES[module].read_text("utf-8"))


def is_for_types(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imported(nodes, *, within_functions):
    """The dotted names that statements import."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif is_for_types(node) or (
            not within_functions and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        ):
            continue
        else:
            yield from imported(ast.iter_child_nodes(node), within_functions=within_functions)


def packages(names):
    """Those of others, as they are listed, without the standard library and without a part of pydantic."""
    found = {name.partition(".")[0] for name in names}
    found = {BROUGHT_ALONG.get(name, name) for name in found - {"pydantic_core"}}
    return found - set(OWN) - sys.stdlib_module_names


def loaded_with(*modules):
    """All modules of ours that are loaded with these, and the packages of others that they load."""
    seen, waiting, others = set(), list(modules), set()
    while waiting:
        module = waiting.pop()
        if module in seen or module not in FILES:
            continue
        seen.add(module)
        names = set(imported([tree(module)], within_functions=False))
        others |= packages(names)
        waiting += [*names, module.rpartition(".")[0]]
    return seen, others


CLIENT = ("client_apps", *(module for module in FILES if module.startswith("huscf_flwr.methods.")))
DEVICE = (*CLIENT, *(f"huscf_flwr.commands.{name}" for name in ("main", "deploy", "devices")))


def test_a_device_has_what_it_imports_and_no_more():
    modules, others = loaded_with(*DEVICE)
    assert {"huscf_flwr.flower.client_app", "huscf_flwr.session.wire.channel"} <= modules
    assert others == brought_by()


def test_a_clientapp_has_no_use_for_our_commands():
    """Flower reads node configs with click, and its errors are click's."""
    assert loaded_with(*CLIENT)[1] == brought_by() - {"typer"}


def test_a_server_has_what_it_imports():
    strategies = (module for module in FILES if module.startswith("strategies."))
    modules, others = loaded_with("server_app", "huscf_flwr.flower.strategy", *strategies)
    assert "huscf_flwr.evaluation.report" in modules
    assert others - brought_by() == {"matplotlib", "jinja2"}
    assert others <= brought_by("server")


@pytest.mark.parametrize("group", [main.app, deploy.deploy_app])
def test_a_command_says_which_extra_has_what_it_imports(group):
    for place in group.info.cls.places.values():
        _, others = loaded_with(f"huscf_flwr.commands.{place.module}")
        enough = brought_by() if place.extra is None else brought_by(place.extra)
        assert others <= enough, place


def extras_in(module):
    """The extra, and the packages imported, of each `with extra(...)` around imports."""
    for node in ast.walk(tree(module)):
        call = node.items[0].context_expr if isinstance(node, ast.With) else None
        if not isinstance(call, ast.Call) or getattr(call.func, "id", "") != "extra":
            continue
        if isinstance(call.args[0], ast.Constant):
            yield call.args[0].value, imported(node.body, within_functions=True)


def test_what_is_said_to_be_missing_is_what_the_extra_brings():
    found = [(name, module, list(names)) for module in FILES for name, names in extras_in(module)]
    assert {name for name, _, _ in found} >= {"images", "server", "simulation"}
    for name, module, names in found:
        own = [each for each in names if each in FILES]
        assert packages(names) | loaded_with(*own)[1] <= brought_by(name), module


def test_everything_that_is_imported_is_listed_and_the_other_way_round():
    everywhere = packages(
        name for module in FILES for name in imported([tree(module)], within_functions=True)
    )
    listed = brought_by(*PROJECT["optional-dependencies"])
    developers = {NAMES.get(name, name) for name in (each.split(">")[0] for each in FOR_DEVELOPERS)}
    assert everywhere <= listed
    assert listed - developers - everywhere <= BY_NAME


def test_flower_installs_the_whole_app_where_it_is_left_to():
    content = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    groups = content["tool"]["uv"]["default-groups"]
    assert [content["dependency-groups"][group] for group in groups] == [["huscf-flwr[simulation,privacy]"]]
    assert {"ray", "sklearn", "matplotlib", "torchvision", "psutil"} <= brought_by("simulation")
