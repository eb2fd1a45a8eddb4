"""What is said of a domain that nobody knows: names near it, and how images of one's own are given."""

from __future__ import annotations

from pathlib import Path

from huscf_flwr.conf_files import did_you_mean
from huscf_flwr.data.below_root import name_of_file, names_below
from huscf_flwr.data.derived import TRANSFORMS
from huscf_flwr.data.images import DataError
from huscf_flwr.data.registry import registered_names
from huscf_flwr.naming import first_few


def unknown_domain(name: str, root: Path | None) -> DataError:
    """Return the error for a domain of this name, with the nearest of those that there are.

    ``root`` is the folder whose folders and files are domains too, ``data.root``.
    """
    meant = name_of_file(root, name)
    if meant is not None:
        return DataError(f"unknown domain '{name}': below {root} lies a file of that name; name it '{meant}'")
    built_in, own = registered_names(), names_below(root, name)
    known = (*built_in, *own)
    derived = [f"{base}-{transform}" for base in known for transform in TRANSFORMS if base in name]
    below = f"; below {root}: {first_few(own) or 'none'}" if root else ""
    return DataError(
        f"unknown domain '{name}'{did_you_mean(name, [*known, *derived], cutoff=0.6)}. Built in: "
        f"{', '.join(built_in)}; made of others, as mnist-{' or mnist-'.join(TRANSFORMS)} or "
        f"mnist-over-cifar10{below}. For images elsewhere write {{name: {name}, folder: DIR}} in the "
        "scenario's file"
    )
