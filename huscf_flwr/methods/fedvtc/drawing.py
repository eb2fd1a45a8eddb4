"""Labelled images that a decoder draws from the statistics of all clients' features."""

from __future__ import annotations

import torch
from torch import Tensor

from huscf_flwr.config import RunConfig
from huscf_flwr.data import LabelledImages, denormalise
from huscf_flwr.methods.fedvtc.latents import GlobalStatistics
from huscf_flwr.models import CPU, Sampler, model_spec_of
from huscf_flwr.models.classifier_spec import classifier_family_of
from huscf_flwr.models.decoders import Decoder, build_decoder, load_decoder_spec
from huscf_flwr.process import device_of, dtype_of
from huscf_flwr.seeding import torch_stream

_IMAGES_AT_ONCE = 500


def initial_decoder(config: RunConfig, device: torch.device | None = None) -> Decoder:
    """Return the decoder as it is before the first round, the same for everybody."""
    spec = model_spec_of(config)
    return build_decoder(
        load_decoder_spec(config.classifier.decoder),
        classifier_family_of(config, spec).features,
        spec.image,
        torch_stream(config.seed, "decoder"),
        dtype=dtype_of(config),
        device=device or device_of(config.compute),
    )


def sampler_from(decoder: Decoder, statistics: GlobalStatistics, *, spread: float = 1.0) -> Sampler:
    """Return what draws images [N, C, H, W], on the CPU, for labels [N], with the decoder as it then is.

    For ``spread`` see ``GlobalStatistics.drawn``.
    """

    @torch.no_grad()
    def sample(labels: Tensor, stream: torch.Generator) -> Tensor:
        parts = torch.split(statistics.drawn(labels, stream, spread=spread), _IMAGES_AT_ONCE)
        return torch.cat([decoder(part).to(CPU, torch.float32) for part in parts])

    return sample


def drawn_images(
    sample: Sampler, statistics: GlobalStatistics, per_class: int, stream: torch.Generator
) -> LabelledImages:
    """Draw ``per_class`` images of each class of which something is known."""
    labels = statistics.known.nonzero().squeeze(1).cpu().repeat(per_class)
    return LabelledImages(denormalise(sample(labels, stream)), labels)
