"""What can be set, as the schemas say."""

import inspect

from huscf_flwr.config import RunConfig, Section
from huscf_flwr.methods import BUILT_IN, method_named


def keys_of(section, prefix=""):
    """Dotted kebab-case names of all settings of a section."""
    for name, field in section.model_fields.items():
        key = prefix + name.replace("_", "-")
        if inspect.isclass(field.annotation) and issubclass(field.annotation, Section):
            yield from keys_of(field.annotation, f"{key}.")
        else:
            yield key


def common_keys():
    return set(keys_of(RunConfig))


def method_keys(name):
    return set(keys_of(method_named(name).Settings, f"{name}."))


def all_keys():
    return common_keys().union(*map(method_keys, BUILT_IN))


def flat(content, prefix=""):
    """Values by dotted key, of nested mappings."""
    found = {}
    for key, value in content.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found
