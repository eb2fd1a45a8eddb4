"""The configuration of a whole run."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError, PydanticKnownError

from huscf_flwr.conf_files import ConfError, Name, validate
from huscf_flwr.config.modes import label_of, over_mode
from huscf_flwr.config.privacy_section import PrivacySection
from huscf_flwr.config.sections import (
    CheckpointSection,
    ClassifierSection,
    ComputeSection,
    CutsSection,
    DataSection,
    EvaluationSection,
    ExecutorSection,
    FakeLabels,
    MethodSettings,
    ModelSection,
    OptimiserSection,
    Section,
    WirePreset,
    WireSection,
)

_DEFAULT_MODE = "corrected"
_Settings = TypeVar("_Settings", bound=MethodSettings)


def moved(keys: Iterable[str]) -> str:
    """Return what to write instead of settings ``method.<key>``."""
    now = ", ".join(f"'huscf.{key}'" for key in keys)
    return (
        f"'method' names a method, and its settings stand in a section of that name: write {now or 'huscf'}"
    )


def _method_name(value: object) -> object:
    if isinstance(value, Mapping):
        raise ValueError(moved(value))
    return value


def _method_section(value: object) -> object:
    """Accept a method's section; refuse any other unknown key."""
    if isinstance(value, MethodSettings):
        return value
    if isinstance(value, Mapping):
        return copy.deepcopy(dict(value))
    if value is None:
        raise ValueError("a section without settings: remove it, or give it some")
    raise PydanticKnownError("extra_forbidden")


class RunConfig(Section):
    """A whole run.

    Settings that are left out come from ``mode``, and where the mode has none, from the defaults here. A
    method's settings stand in a section of their own, beside the common ones.

    Attributes:
        name: the run's name, which is that of its folder below ``output`` too: letters, digits, dots, hyphens
            and underscores. ``huscf run FILE`` takes the file's name if none is said.
        method: way to train: ``huscf``, ``fedgan``, ``fedproto``, ``fedvtc``, ``fedtgp``, ``fedgen``,
            ``gefl``, ``ccvr``, ``fedtype``, ``local``, ``central``, ``mdgan``, ``uagan``, ``fsgan``,
            ``pflgan``, ``hflgan``, or a class of your own as ``my_package.mine:Mine``.
        mode: settings that lie beneath those that the run says: name in ``conf/modes``, or path of a YAML
            file. ``corrected`` has the defaults; ``parity`` does what the authors' code does, ``paper`` what
            we read of FedVTC's paper.
        resolved: everything is set, the mode's settings included, and ``mode`` is only a name, whose file is
            not read any more. Runs set this themselves, in what they write down and send.
        seed: seed of every random stream.
        rounds: number of federated rounds.
        local_epochs: epochs in a round; an epoch has as many steps as the largest client has batches.
        batch_size: images per client and step.
        fake_labels: labels with which a GAN's generator draws the fakes of a step. ``real``: those of the
            real images of the batch, as the authors do. The server of HuSCF-GAN can tell them from what the
            generator's head sends, and so learns the labels of the real images. ``own-mix``: drawn apart from
            them, each label as often as the client has it, so that no more than this mix can be learnt.
            ``uniform``: all labels of the networks alike, which tells nothing of the client; labels that it
            lacks then come with fakes only.
        clients: number of virtual clients.
        min_hosts: number of SuperNodes to wait for before the run starts.
        min_clients: least number of clients of a round: with fewer left it is given up and, with Flower,
            tried again; in one process it would fail again, and the run ends.
        fraction_train: share of the clients that takes part in a round, drawn from the seed. As in Flower's
            strategies it is one of those that are there, rounded down, and at least ``min_train_clients``.
        min_train_clients: least number of clients that a round begins with, if so many are there.
        fraction_evaluate: share of the clients that evaluates models of its own, where the method has some;
            at least one client does, unless it is 0.
        attempts: how often a round is tried before the run ends.
        round_seconds: the longest that a round of a method without executor may take. SuperNodes that have
            not replied by then have dropped out of it. With Flower also how long a round's messages live.
        resume: folder of a run whose last checkpoint this one goes on from.
        resume_round: round whose checkpoint the run goes on from instead of the last, if it is still kept.
        tensorboard: write event files for TensorBoard too; needs ``pip install 'huscf-flwr[tensorboard]'``.
        output: folder in which each run has a folder of its own.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, Annotated[Any, BeforeValidator(_method_section)]] = Field(init=False)
    """Sections of methods. What may stand in one only its method knows: ``settings`` checks it."""

    name: Name = "run"
    method: Annotated[str, BeforeValidator(_method_name)] = "huscf"
    mode: str = _DEFAULT_MODE
    resolved: bool = Field(default=False, strict=True)
    seed: NonNegativeInt = 0
    rounds: PositiveInt = 10
    local_epochs: PositiveInt = 5
    batch_size: int = Field(default=64, ge=2)
    fake_labels: FakeLabels = "real"
    clients: PositiveInt = 8
    min_hosts: PositiveInt = 1
    min_clients: PositiveInt = 1
    fraction_train: float = Field(default=1.0, gt=0, le=1)
    min_train_clients: PositiveInt = 1
    fraction_evaluate: float = Field(default=1.0, ge=0, le=1)
    attempts: PositiveInt = 3
    round_seconds: PositiveFloat = 43_200.0
    resume: Path | None = None
    resume_round: PositiveInt | None = None
    tensorboard: bool = False
    output: Path = Path("runs")
    model: ModelSection = ModelSection()
    classifier: ClassifierSection = ClassifierSection()
    data: DataSection = DataSection()
    cuts: CutsSection = CutsSection()
    optimiser: OptimiserSection = OptimiserSection()
    evaluation: EvaluationSection = EvaluationSection()
    executor: ExecutorSection = ExecutorSection()
    checkpoint: CheckpointSection = CheckpointSection()
    compute: ComputeSection = ComputeSection()
    privacy: PrivacySection = PrivacySection()
    wire: WireSection = WireSection()

    @model_validator(mode="before")
    @classmethod
    def _over_the_mode(cls, said: Any) -> Any:
        mode = said.get("mode", _DEFAULT_MODE) if isinstance(said, Mapping) else None
        if not isinstance(mode, str) or said.get("resolved") is True:
            return said
        try:
            return over_mode(mode, said)
        except ConfError as error:
            problem = PydanticCustomError("mode", "{why}", {"why": str(error)})
            detail = InitErrorDetails(type=problem, loc=("mode",), input=mode)
            raise ValidationError.from_exception_data(cls.__name__, [detail]) from error

    @model_validator(mode="after")
    def _half_is_less(self) -> RunConfig:
        if self.wire.preset == "half" and self.compute.precision == "bfloat16":
            raise ValueError(
                "wire.preset is half, which saves nothing where compute.precision is bfloat16; take small"
            )
        return self

    @model_validator(mode="after")
    def _emulated_devices_are_slower_cpus(self) -> RunConfig:
        if self.cuts.emulate and self.compute.device != "cpu":
            raise ValueError(
                f"cuts.emulate is true, but compute.device is {self.compute.device}; devices are emulated by "
                "stretching the time of a CPU: take cpu"
            )
        return self

    @property
    def folder(self) -> Path:
        """Folder of this run."""
        return self.output / self.name

    @property
    def sections(self) -> Mapping[str, MethodSettings | Mapping[str, Any]]:
        """Sections of methods by name: as they were said, or as settings once a method has checked them."""
        return MappingProxyType(self.__pydantic_extra__)

    def settings(self, settings_type: type[_Settings]) -> _Settings:
        """Return the settings of a method, with its defaults where nothing was said.

        Args:
            settings_type: class of the method's settings, such as ``HuSCFSettings``. If a method has been
                derived from another, its section may hold settings of a derived class: they are returned.

        Raises:
            ConfError: naming the key, the value and what would be right.
        """
        for section in self.sections.values():
            if isinstance(section, settings_type):
                return section
        said = self.sections.get(settings_type.section, {})
        content = said.model_dump() if isinstance(said, MethodSettings) else said
        name = settings_type.section
        return validate(settings_type, content, f"settings of {name}", section=name)

    def with_preset(self, preset: WirePreset | Literal["auto"]) -> RunConfig:
        """Return the same run with ``preset`` as how numbers cross in its sessions."""
        return self.model_copy(update={"wire": self.wire.model_copy(update={"preset": preset})})

    def with_settings(self, settings: MethodSettings) -> RunConfig:
        """Return the same run with ``settings`` as its only section of a method: it is ``resolved``."""
        common = {key: getattr(self, key) for key in type(self).model_fields}
        if not self.resolved:
            common |= {"resolved": True, "mode": label_of(self.mode)}
        said = self.model_fields_set & common.keys()
        return type(self).model_construct(said, **common, **{settings.section: settings})
