"""Ways to train, one folder a method; ``contract`` says what a method is."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterable

from huscf_flwr.conf_files import ConfError, did_you_mean
from huscf_flwr.config import OF_ACTIVATIONS, PRIVACY_NEEDS, MethodSettings, RunConfig, common_sections
from huscf_flwr.methods.contract import Method, keeps_models
from huscf_flwr.methods.sent_losses import honoured

__all__ = ["BUILT_IN", "method_named", "method_of", "resolved"]

BUILT_IN = {
    "huscf": "huscf_flwr.methods.huscf:HuSCF",
    "fedgan": "huscf_flwr.methods.fedgan:FedGAN",
    "fedproto": "huscf_flwr.methods.fedproto:FedProto",
    "fedvtc": "huscf_flwr.methods.fedvtc:FedVTC",
    "fedtgp": "huscf_flwr.methods.fedtgp:FedTGP",
    "fedgen": "huscf_flwr.methods.fedgen:FedGen",
    "gefl": "huscf_flwr.methods.gefl:GeFL",
    "ccvr": "huscf_flwr.methods.ccvr:CCVR",
    "fedtype": "huscf_flwr.methods.fedtype:FedType",
    "central": "huscf_flwr.methods.central:Central",
    "local": "huscf_flwr.methods.local:Local",
    "pflgan": "huscf_flwr.methods.pflgan:PFLGAN",
    "hflgan": "huscf_flwr.methods.hflgan:HFLGAN",
    "mdgan": "huscf_flwr.methods.mdgan:MDGAN",
    "uagan": "huscf_flwr.methods.uagan:UAGAN",
    "fsgan": "huscf_flwr.methods.fsgan:FSGAN",
}
"""Where the classes of our own methods are, by name; each is imported when it is needed."""

_SECTION = re.compile(r"[a-z][a-z0-9_]*")


def method_named(name: str) -> type[Method]:
    """Return the class of a method.

    Args:
        name: of one of ours, as ``BUILT_IN`` has them, or a class of your own as ``my_package.mine:Mine``.

    Raises:
        ConfError: if there is no such class, or it is not a method.
    """
    module_name, colon, class_name = BUILT_IN.get(name, name).partition(":")
    if not (module_name and colon and class_name):
        raise ConfError(
            f"'method' is '{name}'{did_you_mean(name, BUILT_IN)}: write {', '.join(sorted(BUILT_IN))}, or a "
            "class of your own as my_package.mine:Mine"
        )
    try:
        module = importlib.import_module(module_name)
    except (ImportError, SyntaxError) as error:
        is_missing = isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(f"{error.name}.")
        advice = "correct its name, or install it where this process finds it" if is_missing else "mend it"
        raise ConfError(
            f"'method' is '{name}': the module {module_name} cannot be imported ({error}); {advice}"
        ) from error
    found = getattr(module, class_name, None)
    if found is None:
        classes = (key for key, value in vars(module).items() if _is_method(value))
        raise ConfError(
            f"'method' is '{name}': {module_name} has no '{class_name}'{did_you_mean(class_name, classes)}"
        )
    if not _is_method(found):
        raise ConfError(
            f"'method' is '{name}': {class_name} is not a method; derive it from "
            "huscf_flwr.methods.contract.Method"
        )
    _check(found, name)
    return found  # type: ignore[no-any-return]  # _is_method has looked


def method_of(config: RunConfig) -> type[Method]:
    """Return the class that a run trains with: that of its method, or the variant that settings choose.

    Raises:
        ConfError: if there is no such method, it does not honour a setting of privacy, or its clients score
            models and no score may cross.
    """
    method = method_named(config.method).variant(config)
    _check_privacy(config, method)
    if keeps_models(method.client) and not method.crossing.scores:
        raise ConfError(
            f"'method' is '{config.method}': {method.client.__name__} has models of its own to score, but "
            f"{method.__name__}.crossing lists no score; list those that may cross in Crossing.scores"
        )
    return method


def resolved(config: RunConfig) -> RunConfig:
    """Return the same run with all settings of its method, defaults included, and of no other method.

    Sections of other known methods are checked before they are dropped, so that one file can serve several.

    Raises:
        ConfError: if there is no such method, a section belongs to none, or a setting cannot be.
    """
    method = method_named(config.method)
    chosen = _settings_of(method)
    _check_sections(config.sections, {*BUILT_IN, chosen.section})
    for name in config.sections:
        if name != chosen.section:
            config.settings(_settings_of(method_named(name)))
    return config.with_settings(config.settings(chosen))


def _check_sections(sections: Iterable[str], known: set[str]) -> None:
    common = set(common_sections())
    for name in sections:
        if name not in known:
            raise ConfError(
                f"unknown section '{name}'{did_you_mean(name, sorted(known | common))}: remove it or correct "
                "its name, or choose the method that it belongs to; common sections are "
                f"{', '.join(sorted(common))}, and known are {', '.join(sorted(known))}"
            )


def _check_privacy(config: RunConfig, method: type[Method]) -> None:
    """Raise ``ConfError`` for a setting of privacy that is not at its default and that is not honoured."""
    asked = {
        name: value
        for name, field in type(config.privacy).model_fields.items()
        if (value := getattr(config.privacy, name)) != field.default
    }
    for name in sorted(asked.keys() - honoured(method)):
        honouring = [known for known in BUILT_IN if name in honoured(method_named(known).variant(config))]
        if name in OF_ACTIVATIONS and not honouring:
            raise ConfError(
                f"privacy.{name} is {asked[name]}, but with a local discriminator no activation of a real "
                f"image crosses, so that there is nothing to {OF_ACTIVATIONS[name]}: leave it out"
            )
        instead = f"take a method that does: {', '.join(honouring)}" if honouring else PRIVACY_NEEDS[name]
        raise ConfError(
            f"privacy.{name} is {asked[name]}, but method '{config.method}' does not honour it: remove it, "
            f"or {instead}"
        )


def _is_method(found: object) -> bool:
    return inspect.isclass(found) and issubclass(found, Method)


def _settings_of(method: type[Method]) -> type[MethodSettings]:
    settings = getattr(method, "Settings", None)
    if not (inspect.isclass(settings) and issubclass(settings, MethodSettings)):
        raise ConfError(
            f"{method.__name__}.Settings is {settings!r}; derive it from huscf_flwr.config.MethodSettings"
        )
    return settings


def _check(method: type[Method], named: str) -> None:
    """Raise ``ConfError`` if a class is not a whole method."""
    attributes = {name for name in ("client", "crossing") if not hasattr(method, name)}
    missing = sorted(attributes | getattr(method, "__abstractmethods__", frozenset()))
    if missing:
        raise ConfError(f"'method' is '{named}': {method.__name__} does not define {', '.join(missing)}")
    missing = sorted(getattr(method.client, "__abstractmethods__", ()))
    if missing:
        raise ConfError(
            f"'method' is '{named}': its clients are {method.client.__name__}, which does not define "
            f"{', '.join(missing)}"
        )
    settings = _settings_of(method)
    section, name = getattr(settings, "section", None), getattr(method, "name", None)
    if section is None or section != name:
        raise ConfError(
            f"'method' is '{named}': {method.__name__}.name is {name!r}, but the section of its settings is "
            f"{section!r} ({settings.__name__}.section); give both the same name"
        )
    if not _SECTION.fullmatch(section) or section in RunConfig.model_fields:
        raise ConfError(
            f"'method' is '{named}': its section cannot be called {section!r}; take lower-case letters, "
            "digits and underscores, and no name of a common setting"
        )
