"""One small picture a domain of what a finished run draws: the same labels for every method."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from huscf_flwr.atomic_file import naming
from huscf_flwr.comparison.kept import PICTURES
from huscf_flwr.cuts import deal_devices
from huscf_flwr.data import denormalise
from huscf_flwr.evaluation import draw_images
from huscf_flwr.methods.contract import Client
from huscf_flwr.models import Sampler, model_spec_of
from huscf_flwr.run.check import CheckedRun
from huscf_flwr.run.checkpoint import client_folder, read_checkpoint
from huscf_flwr.run.client_files import load_private
from huscf_flwr.run.sampling import sampler_for
from huscf_flwr.seeding import torch_stream

ROWS = 2


def draw_pictures(checked: CheckedRun) -> None:
    """Write ``pictures/<domain>.png`` into the folder of a finished run: a column a label, pixel by pixel.

    It is what the product that was judged for the domain draws; where generators stay on clients, that of the
    domain's first client.
    """
    config = checked.config
    classes = model_spec_of(config).classes
    for domain in checked.population.domains:
        sampler = _sampler(checked, domain)
        if sampler is None:
            continue
        labels = torch.arange(classes).repeat(ROWS)
        images = draw_images(sampler, labels, torch_stream(0, "comparison", domain))
        path = config.folder / PICTURES / f"{domain}.png"
        path.parent.mkdir(exist_ok=True)
        with naming(path):
            _picture(images, classes).save(path, optimize=True)


def _sampler(checked: CheckedRun, domain: str) -> Sampler | None:
    client = min(k for k, of in checked.population.domain_of().items() if of == domain)
    if checked.method.client.sampler is Client.sampler:
        return sampler_for(checked.config, domain, client)
    config, images = checked.config, checked.population.images_of(client)
    member = checked.method.client(client, images, deal_devices(config)[client], config)
    kept = read_checkpoint(config.folder).state.kept[client]
    member.load_private(load_private(client_folder(config.folder), client, kept))
    return member.sampler()


def _picture(images: Tensor, columns: int) -> Image.Image:
    """Return images [N, C, H, W] in rows of ``columns``."""
    count, channels, height, width = images.shape
    rows = denormalise(images).reshape(count // columns, columns, channels, height, width)
    pixels = rows.permute(0, 3, 1, 4, 2).reshape(-1, columns * width, channels)
    return Image.fromarray(pixels.squeeze(-1).numpy())
