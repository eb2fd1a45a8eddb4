"""The server's training of the generator of features, and what must be kept of it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from huscf_flwr.config import RunConfig
from huscf_flwr.methods.crossing import headers_of
from huscf_flwr.methods.fedgen.generator import (
    FeatureGenerator,
    Heads,
    diversity_loss,
    student_divergence,
    teacher_loss,
)
from huscf_flwr.methods.fedgen.settings import FedGenSettings
from huscf_flwr.methods.named_tensors import below_prefix, with_prefix
from huscf_flwr.models import state_on_cpu, weight_dtype
from huscf_flwr.models.initialising import built_from
from huscf_flwr.models.optimisers import MOMENTS
from huscf_flwr.process import device_of, dtype_of
from huscf_flwr.seeding import torch_stream
from huscf_flwr.session import TensorHeader

_WEIGHTS, _MOMENTS = "weights.", "moments."


class GeneratorTraining:
    """A generator of features and its Adam, which goes on from round to round."""

    def __init__(self, config: RunConfig, classes: int, features: int) -> None:
        self._config, self._settings = config, config.settings(FedGenSettings)
        make = partial(FeatureGenerator, self._settings.noise, classes, self._settings.hidden, features)
        generator = built_from(make, torch_stream(config.seed, "feature generator"))
        self.generator = generator.to(device_of(config.compute), weight_dtype(dtype_of(config)))
        self._adam = torch.optim.Adam(self.generator.parameters(), weight_decay=self._settings.weight_decay)

    def train(
        self, number: int, heads: Heads, student: Mapping[str, Tensor], classes: Tensor
    ) -> dict[str, float]:
        """Train for the steps of round ``number``; return the means of the losses by name.

        Args:
            number: of the round, from one.
            heads: of the clients that took part, on the generator's device.
            student: the average of these heads.
            classes: [K], int64: those that somebody among these clients has.
        """
        settings = self._settings
        learning_rate = settings.server_learning_rate * settings.decay ** (number - 1)
        self._adam.param_groups[0]["lr"] = learning_rate
        stream = torch_stream(self._config.seed, "feature generator", number)
        total = {"teacher_loss": 0.0, "diversity_loss": 0.0}
        for _ in range(settings.server_steps):
            drawn = torch.randint(len(classes), (self._config.batch_size,), generator=stream)
            labels = classes[drawn].to(heads.weights.device)
            noise = self.generator.draw_noise(len(labels), stream)
            features = self.generator(noise, labels)
            taught, diverse = teacher_loss(heads, features, labels), diversity_loss(noise, features)
            loss = settings.teacher_weight * taught + settings.diversity_weight * diverse
            if settings.student_weight:
                logits = torch.nn.functional.linear(features, student["weight"], student["bias"])
                loss = loss - settings.student_weight * student_divergence(heads, logits, features, labels)
            self._adam.zero_grad()
            torch.autograd.backward(loss)
            self._adam.step()
            total["teacher_loss"] += float(taught.detach()) / settings.server_steps
            total["diversity_loss"] += float(diverse.detach()) / settings.server_steps
        return total

    def weights(self) -> dict[str, Tensor]:
        """Return weights and running statistics by name, on the CPU."""
        return state_on_cpu(self.generator)

    def state(self) -> dict[str, Tensor]:
        """Return the weights, and the moments of the optimiser."""
        moments = {
            f"{name}.{moment}": self._adam.state[parameter][moment].cpu()
            for name, parameter in self.generator.named_parameters()
            if parameter in self._adam.state
            for moment in MOMENTS
        }
        return {**with_prefix(_WEIGHTS, self.weights()), **with_prefix(_MOMENTS, moments)}

    def form(self, state: Mapping[str, Tensor]) -> dict[str, TensorHeader]:
        """Return types and shapes of a ``state`` of this generator: with moments, if that one has any."""
        weights = headers_of(self.weights())
        moments = {
            f"{name}.{moment}": TensorHeader(torch.float32, ()) if moment == "step" else weights[name]
            for name, _ in self.generator.named_parameters()
            for moment in MOMENTS
        }
        has_moments = bool(below_prefix(_MOMENTS, state))
        return {**with_prefix(_WEIGHTS, weights), **(with_prefix(_MOMENTS, moments) if has_moments else {})}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what ``state`` returned, which has its ``form``."""
        self.generator.load_state_dict(below_prefix(_WEIGHTS, state))
        moments = below_prefix(_MOMENTS, state)
        self._adam.state.clear()
        for name, parameter in self.generator.named_parameters():
            if f"{name}.step" in moments:
                own = {moment: moments[f"{name}.{moment}"].clone() for moment in MOMENTS}
                # The count of steps stays on the CPU, where Adam has it.
                self._adam.state[parameter] = {
                    key: each if key == "step" else each.to(parameter) for key, each in own.items()
                }
