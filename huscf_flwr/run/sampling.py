"""A product of a run as a source of labelled images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from huscf_flwr.atomic_file import appearing
from huscf_flwr.conf_files import did_you_mean
from huscf_flwr.config import RunConfig, load_config
from huscf_flwr.data import denormalise
from huscf_flwr.data.class_folders import class_folders
from huscf_flwr.evaluation import draw_images
from huscf_flwr.evaluation.run_record import RunRecord, in_counting_order, read_run
from huscf_flwr.existing import check_outputs
from huscf_flwr.methods import method_of, resolved
from huscf_flwr.models import Sampler, model_spec_of
from huscf_flwr.seeding import torch_stream
from huscf_flwr.tensor_files import read_tensors


def draw_labelled_images(
    run_folder: Path,
    *,
    label: int | str,
    count: int,
    output: Path,
    product: str | None = None,
    domain: str | None = None,
    seed: int = 0,
    replace: bool = False,
) -> Path:
    """Draw ``count`` images of class ``label`` into a folder of its name in ``output``; return that folder.

    A class may be given by its number or by its name; the folder is called like the class as far as a folder
    can be, and lies directly in ``output`` (see ``class_folders``). If it has images already, they are
    deleted if ``replace`` says so, else ``FileExistsError`` is raised: images of two draws are never mixed.
    They are of ``product``, or of the one that a simulation judged for ``domain``; a run with one product
    needs neither. It computes on the CPU, whatever the run computed on. Raises ``ValueError`` for a product,
    domain or label that the run does not have.
    """
    config = _config_of(run_folder)
    file = _file_of(run_folder, product, domain)
    record = read_run(run_folder)
    names = record.class_names(file.stem, domain)
    whose = "" if names or domain is not None else _whose_names(record, file.stem, str(label))
    number = _number_of(label, names, model_spec_of(config).classes, whose)
    folder = output / class_folders(names, number + 1)[number]
    check_outputs(folders=[folder], replaces=replace)
    sampler = method_of(config).sampler(config, read_tensors(file))
    stream = torch_stream(seed, "samples", number)
    images = denormalise(draw_images(sampler, torch.full((count,), number), stream))
    with appearing(folder) as new:
        new.mkdir()
        for place, image in enumerate(images):
            pixels = image.permute(1, 2, 0).squeeze(-1).numpy()
            Image.fromarray(pixels).save(new / f"{place:05}.png")
        for old in folder.glob("*.png"):
            old.unlink()
    return folder


def _whose_names(record: RunRecord, product: str, label: str) -> str:
    """Return what to add of a label where a product has classes by other names in each of several domains."""
    named = {
        name: record.classes[name]
        for name, scores in record.domains.items()
        if scores.get("product") == product and record.classes.get(name)
    }
    if not named:
        return ""
    meant = [name for name, classes in named.items() if label.casefold() in map(str.casefold, classes)]
    hint = f" (did you mean --domain {meant[0]}?)" if meant else ""
    return f"; their names differ in {', '.join(named)}: say whose you mean with --domain{hint}"


def _number_of(label: int | str, names: Sequence[str], classes: int, whose: str = "") -> int:
    """Return the number of a class that is given by number or name; a name goes before a number.

    Capitals do not matter, unless names differ in them only. ``whose`` ends the refusal of a label.
    """
    if label in names:
        return names.index(str(label))
    text = str(label)
    alike = [place for place, name in enumerate(names) if name.casefold() == text.casefold()]
    if len(alike) == 1:
        return alike[0]
    if text.isdecimal() and int(text) < classes:
        return int(text)
    known = f", which are {', '.join(names)}" if names else ""
    near = did_you_mean(text, names)
    raise ValueError(f"--label {label}: the run has the labels 0 to {classes - 1}{known}{near}{whose}")


def sampler_for(config: RunConfig, domain: str, client: int) -> Sampler | None:
    """Return what draws from the product that a finished run judged for ``domain``; None if there is none.

    If it judged several, that of ``client``.
    """
    record = read_run(config.folder)
    judged = record.domains.get(domain, {}).get("product")
    own = [name for name, clients in record.products.items() if name == judged or client in clients]
    if judged is None or not own:
        return None
    name = judged if judged in own else own[0]
    return method_of(config).sampler(config, read_tensors(_file_of(config.folder, name, None)))


def _config_of(run_folder: Path) -> RunConfig:
    config = resolved(load_config(str(run_folder / "config.yaml")))
    return config.model_copy(update={"compute": config.compute.model_copy(update={"device": "cpu"})})


def _file_of(run_folder: Path, product: str | None, domain: str | None) -> Path:
    """Return the file of the product that is meant."""
    files = {path.stem: path for path in (run_folder / "generators").glob("*.safetensors")}
    known = ", ".join(sorted(files, key=in_counting_order)) or "none"
    if product is not None and domain is not None:
        raise ValueError("give either --product or --domain")
    if domain is not None:
        product = _judged_for(run_folder, domain)
    elif product is None:
        if len(files) != 1:
            raise ValueError(f"give --product or --domain: {run_folder} has the products {known}")
        (product,) = files
    if product not in files:
        raise ValueError(f"--product {product}: {run_folder} has the products {known}")
    return files[product]


def _judged_for(run_folder: Path, domain: str) -> str:
    judged = {
        name: str(scores["product"])
        for name, scores in read_run(run_folder).domains.items()
        if "product" in scores
    }
    if domain not in judged:
        raise ValueError(f"--domain {domain}: {run_folder} has judged {', '.join(judged) or 'no domain'}")
    if not (run_folder / "generators" / f"{judged[domain]}.safetensors").is_file():
        raise ValueError(
            f"--domain {domain}: {run_folder} has judged {judged[domain]} for it; give --product"
        )
    return judged[domain]
