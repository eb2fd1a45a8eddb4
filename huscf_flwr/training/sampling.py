"""A trained generator as a source of labelled images."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

from huscf_flwr.conf_files import read_yaml, validate
from huscf_flwr.config import RunConfig
from huscf_flwr.data import denormalise
from huscf_flwr.evaluation import draw_images
from huscf_flwr.evaluation.run_record import read_run
from huscf_flwr.seeding import torch_stream
from huscf_flwr.training.files import read_tensors, unflatten_blocks
from huscf_flwr.training.generators import sampler_of
from huscf_flwr.training.method import model_spec_of
from huscf_flwr.training.participant import dtype_of


def draw_labelled_images(
    run_folder: Path,
    *,
    label: int,
    count: int,
    output: Path,
    cluster: int | None = None,
    domain: str | None = None,
    seed: int = 0,
) -> Path:
    """Draw ``count`` images of class ``label`` into ``output/<label>/``; return that folder.

    The generator is the one of ``cluster``, or of the cluster that a simulation judged for ``domain``.
    Raises ``ValueError`` for a cluster, domain or label that the run does not have.
    """
    path = run_folder / "config.yaml"
    config = validate(RunConfig, read_yaml(path), str(path))
    spec = model_spec_of(config)
    if label >= spec.classes:
        raise ValueError(f"--label {label}: the run has the labels 0 to {spec.classes - 1}")
    states = unflatten_blocks(read_tensors(_generator_file(run_folder, cluster, domain)))
    sampler = sampler_of(spec, states, dtype_of(config))
    stream = torch_stream(seed, "samples", label)
    images = denormalise(draw_images(sampler, torch.full((count,), label), stream))
    folder = output / str(label)
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        pixels = image.permute(1, 2, 0).squeeze(-1).numpy()
        Image.fromarray(pixels).save(folder / f"{number:05}.png")
    return folder


def _generator_file(run_folder: Path, cluster: int | None, domain: str | None) -> Path:
    if (cluster is None) == (domain is None):
        raise ValueError("give either --cluster or --domain")
    if domain is not None:
        cluster = _cluster_of(run_folder, domain)
    path = run_folder / "generators" / f"{cluster}.safetensors"
    if not path.is_file():
        known = sorted(file.stem for file in path.parent.glob("*.safetensors"))
        raise ValueError(f"--cluster {cluster}: {run_folder} has the clusters {', '.join(known) or 'none'}")
    return path


def _cluster_of(run_folder: Path, domain: str) -> int:
    domains = read_run(run_folder).domains
    if domain not in domains:
        raise ValueError(f"--domain {domain}: {run_folder} has judged {', '.join(domains) or 'no domain'}")
    return int(domains[domain]["cluster"])
