"""The configuration of a run: one schema for YAML files, ``--set`` and Flower's run config.

Nested sections become dotted, kebab-case keys in Flower's run config (``method.plain-rounds``), where an
empty string stands for "not set". Settings of the method that are not set follow ``mode``: every difference
between the authors' code and ours is one named setting, so that its effect can be measured alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from huscf_flwr.conf_files import ConfError, find_conf, read_yaml, validate

RunConfigValue = bool | int | float | str
Mode = Literal["corrected", "parity"]
_Section = TypeVar("_Section", bound="Section")
_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}


def _default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "huscf-flwr"


def _listed(value: object) -> object:
    """Take ``a,b`` for a list, since Flower's run config has none."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


NameList = Annotated[tuple[str, ...], BeforeValidator(_listed)]
CutNumbers = Annotated[tuple[int, int, int, int], BeforeValidator(_listed)]


class Section(BaseModel):
    """Part of the configuration: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSection(Section):
    """The networks.

    Attributes:
        spec: name in ``conf/models`` or path of a YAML file.
        width: multiplies the channels of all inner blocks.
    """

    spec: str = "authors-28"
    width: PositiveFloat = 1.0


class DataSection(Section):
    """Where images come from and who holds which.

    Attributes:
        scenario: name in ``conf/scenarios``, number of the paper's, or path.
        domains: take these domains instead of the scenario's.
        root: folder of folders in MNIST's file format, looked at before anything is downloaded.
        cache: folder for downloads, rendered images and judges.
        id_offset: ``authors`` repeats a mistake of theirs: see ``huscf_flwr.data.PartitionRules``.
        exclusion_pattern: likewise.
    """

    scenario: Annotated[str, BeforeValidator(str)] = "demo"
    domains: NameList | None = None
    root: Path | None = None
    cache: Path = Field(default_factory=_default_cache)
    id_offset: Literal["corrected", "authors"] | None = None
    exclusion_pattern: Literal["per-domain", "authors"] | None = None


class CutsSection(Section):
    """Device profiles and how cuts are chosen from them.

    Attributes:
        devices: name in ``conf/devices`` or path; the profiles are dealt evenly to the clients.
        solver: ``greedy`` (one cut per device class), ``exact``, ``genetic`` (the paper's) or ``fixed``.
        fixed: the cut of every client for ``fixed``: blocks kept in generator head, generator tail,
            discriminator head, discriminator tail.
        flops: rule by which work is counted: ``exact``, or the ``paper``'s with its over-counts
            (CutLayerSelection.py:78-158, modelCutter.py:84-174).
        dynamic: measure in every round how long clients compute and transfer, and choose cuts anew where that
            pays. Runs are then not repeatable to the bit: the clock decides.
        newest_weight: for ``dynamic``: weight of the newest round in what is believed of a device; the rounds
            before have the rest.
        least_gain: for ``dynamic``: share of a step's predicted time that new cuts must save.
        emulate: virtual clients take as long as their profiles say: their measured computation is stretched,
            and their bytes wait for their link.
    """

    devices: str = "paper"
    solver: Literal["greedy", "exact", "genetic", "fixed"] = "greedy"
    fixed: CutNumbers | None = None
    flops: Literal["exact", "paper"] | None = None
    dynamic: bool = False
    newest_weight: float = Field(default=0.5, gt=0, le=1)
    least_gain: float = Field(default=0.1, ge=0, lt=1)
    emulate: bool = False

    @model_validator(mode="after")
    def _dynamic_has_a_choice(self) -> CutsSection:
        if self.dynamic and self.solver == "fixed":
            raise ValueError(
                "dynamic is true, but solver is fixed and chooses nothing; take greedy, exact or genetic"
            )
        return self


class OptimiserSection(Section):
    """Adam, the same for clients and server; defaults are the authors' (configs.yaml)."""

    learning_rate: PositiveFloat = 2e-4
    beta1: float = Field(default=0.5, ge=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)


class MethodSection(Section):
    """What happens in and after a round; a setting left out follows ``mode``.

    Attributes:
        initialisation: ``common``: all clients start from the same weights. ``per-client``: each head and
            tail from its own, as the authors do (models.py:24-32, 311-344), so that the first averages mix
            networks that do not fit together.
        batches: ``passes``: an epoch is a pass over the client's images. ``fresh-draw``: every batch is the
            first of a new shuffle, as the authors' ``next(iter(loader))`` (train.py:105).
        feature_window: activations that clustering and divergence see: those of all real batches of the
            ``first-epoch`` of the round, in which clients still differ by their images and not by where
            their heads have gone, of its ``last-epoch``, or of its ``last-batch``, as the authors do
            (train.py:99).
        clusters: number of clusters; if not set, ``corrected`` finds it and ``parity`` takes the number of
            domains, as the authors do (train.py:73).
        feature_scaling: features are whitened by how they vary within clients (``samples``), by how clients
            differ (``clients``), or taken as they come (``none``), as the authors do (HuSCFGAN.py:129-182).
        divergence: ``gaussian``: between the distributions of each activation. ``spatial-softmax``: between
            softmax maps over positions, averaged over channels, as the authors do (HuSCFGAN.py:200-214),
            which has next to no effect.
        beta: weights are n_k exp(-beta KL_k); the authors' code has 1 (train.py:164). 10 moves the largest
            weight on scenario 5 (MNIST with KMNIST or Fashion-MNIST, 8 to 12 clients) by 11 to 36 % against
            FedAvg and leaves at least 0.8 of FedAvg's effective number of clients; without label skew it
            moves none by 5 %. Under Dirichlet label skew of 0.3 half of the effective number is left, which
            is why it is not larger.
        weighting: ``kld``, or ``samples`` for plain averaging by sample counts.
        buffers: BatchNorm's running statistics are averaged with the variance between clients
            (``total-variance``), or like weights (``average``), as the authors do (HuSCFGAN.py:229-328).
        running_statistics: those of a cluster's generator are ``measured`` anew on drawn latent vectors and
            labels before it is judged or exported, since averaged weights do not fit averaged statistics, or
            taken as ``averaged``. Both modes measure; the authors average (evaluation.py:96-98), after
            pictures drawn in training mode have moved those of every fourth client and of the server a
            little (train.py:124-152).
        bodies: ``parted``: once two rounds in a row have found the same clusters, each goes on with a copy of
            its own, and the clusters stay as they are, since one body for domains that differ learns each of
            them slower; or ``shared`` by all clients to the end, as in the paper.
        plain_rounds: first rounds that average all clients by sample count. The authors' are 2
            (train.py:157); from a common initialisation none is needed.
        clusters_in_plain_rounds: find clusters, to report them, in the plain rounds too; the authors put all
            clients into one (train.py:158).
        judged: the model of a cluster is the middle from the server and all other blocks from the
            ``cluster``; the authors judge the ``first-client`` of a domain, whose cut decides which blocks
            come from the server (train.py:166-172).
    """

    initialisation: Literal["common", "per-client"] | None = None
    batches: Literal["passes", "fresh-draw"] | None = None
    feature_window: Literal["first-epoch", "last-epoch", "last-batch"] | None = None
    clusters: PositiveInt | None = None
    feature_scaling: Literal["samples", "clients", "none"] | None = None
    divergence: Literal["gaussian", "spatial-softmax"] | None = None
    beta: float | None = Field(default=None, ge=0)
    weighting: Literal["kld", "samples"] = "kld"
    buffers: Literal["total-variance", "average"] | None = None
    running_statistics: Literal["measured", "averaged"] = "measured"
    bodies: Literal["shared", "parted"] | None = None
    plain_rounds: NonNegativeInt | None = None
    clusters_in_plain_rounds: bool | None = None
    judged: Literal["cluster", "first-client"] | None = None


class EvaluationSection(Section):
    """How the generators are judged.

    Attributes:
        every: rounds between two judgements of label fidelity and generation score; 0 only at the end.
        images: images generated per domain for fidelity, score and FID.
        synthetic_images: images on which the train-on-synthetic classifier trains at the end; 0 for none.
        sample_columns: images per class in a sample grid.
    """

    every: NonNegativeInt = 1
    images: int = Field(default=2000, ge=2)
    synthetic_images: NonNegativeInt = 10_000
    sample_columns: PositiveInt = 8


class ExecutorSection(Section):
    """Where the split executor listens.

    Attributes:
        bind: address and port; port 0 takes a free one.
        advertise: address that clients are told, if not the bound one.
        certificate: PEM file on the server with its certificate, such as the SuperLink's; clients check it
            against ``root-certificates`` of their SuperNode's node config. Without one there is no TLS.
        key: PEM file on the server with the certificate's private key.
        insecure: without a certificate, let other machines than this one connect.
        window: seconds that the first host to arrive waits for others at the start, less than 30.
        timeout: least seconds that hosts have for an exchange of a round's first step, which covers the start
            of their processes, and for their reply after the last step. A host that does not come in time
            drops out of the round.
        least_deadline: least seconds for an exchange of a later step.
        deadline_factor: seconds for an exchange are this many times those of a step, as predicted or as the
            longest one of the round took, if that is more.
        shared_memory: frames of virtual clients cross by shared memory if their host is on the server's
            machine. Those of real clients never do.
    """

    bind: str = "127.0.0.1:0"
    advertise: str | None = None
    certificate: Path | None = None
    key: Path | None = None
    insecure: bool = False
    window: float = Field(default=20.0, gt=0, lt=30)
    timeout: PositiveFloat = 600.0
    least_deadline: PositiveFloat = 30.0
    deadline_factor: PositiveFloat = 10.0
    shared_memory: bool = True


class CheckpointSection(Section):
    """What is kept of finished rounds.

    Attributes:
        keep_last: rounds whose checkpoints stay; ``resume_round`` goes on from one that is not the last.
    """

    keep_last: PositiveInt = 1


class ComputeSection(Section):
    """Device, numbers and threads.

    Attributes:
        device: ``cuda``, ``cpu``, or ``auto`` for CUDA in every process that finds it. Server and SuperNodes
            need not be alike: frames cross all the same. Judges are trained on the CPU.
        precision: of the computation; with ``bfloat16`` weights, optimisers and running statistics stay in
            float32.
        wire_dtype: type in which activations and gradients cross, narrower than ``precision``; if not set,
            they cross in the type that they are computed in, and arrive as they were. In ``float16`` every
            tensor is scaled, so that none overflows.
        threads: of each process; 0 shares the cores among the processes that compute at once.
        keep_memory: memory that was freed is used again, and not returned to the system in between (with
            glibc; elsewhere this changes nothing), in large pages where the system has them. Faster by 5 to
            10 %, for a few percent more memory.
    """

    device: Literal["cpu", "cuda", "auto"] = "cpu"
    precision: Literal["float32", "float64", "bfloat16"] = "float32"
    wire_dtype: Literal["float32", "float16", "bfloat16"] | None = None
    threads: NonNegativeInt = 0
    keep_memory: bool = True

    @model_validator(mode="after")
    def _the_wire_is_narrower(self) -> ComputeSection:
        sent, computed = self.wire_dtype, self.precision
        if sent is not None and sent != computed and _BYTES[sent] >= _BYTES[computed]:
            raise ValueError(
                f"wire_dtype is {sent}, which saves nothing where precision is {computed}; leave it out, or "
                "take one with fewer bytes"
            )
        return self


class RunConfig(Section):
    """A whole run.

    Attributes:
        name: of the run's folder below ``output``.
        mode: ``corrected``, or ``parity`` with the authors' code; see ``MethodSection``.
        seed: of every random stream.
        rounds: federated rounds.
        local_epochs: epochs in a round; an epoch has as many steps as the largest client has batches.
        batch_size: images per client and step.
        clients: number of virtual clients.
        min_hosts: SuperNodes to wait for before the run starts.
        min_clients: a round with fewer clients left is given up and, with Flower, tried again; in one process
            it would fail again, and the run ends.
        attempts: how often a round is tried before the run ends.
        resume: folder of a run whose last checkpoint this one goes on from.
        resume_round: go on from the checkpoint of this round instead, if it is still kept.
        tensorboard: write event files for TensorBoard too; needs ``pip install 'huscf-flwr[tensorboard]'``.
        output: folder of run folders.
    """

    name: str = Field(default="run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    mode: Mode = "corrected"
    seed: NonNegativeInt = 0
    rounds: PositiveInt = 10
    local_epochs: PositiveInt = 5
    batch_size: int = Field(default=64, ge=2)
    clients: PositiveInt = 8
    min_hosts: PositiveInt = 1
    min_clients: PositiveInt = 1
    attempts: PositiveInt = 3
    resume: Path | None = None
    resume_round: PositiveInt | None = None
    tensorboard: bool = False
    output: Path = Path("runs")
    model: ModelSection = ModelSection()
    data: DataSection = DataSection()
    cuts: CutsSection = CutsSection()
    optimiser: OptimiserSection = OptimiserSection()
    method: MethodSection = MethodSection()
    evaluation: EvaluationSection = EvaluationSection()
    executor: ExecutorSection = ExecutorSection()
    checkpoint: CheckpointSection = CheckpointSection()
    compute: ComputeSection = ComputeSection()

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


_CORRECTED: dict[str, dict[str, Any]] = {
    "cuts": {"flops": "exact"},
    "data": {"id_offset": "corrected", "exclusion_pattern": "per-domain"},
    "method": {
        "initialisation": "common",
        "batches": "passes",
        "feature_window": "first-epoch",
        "feature_scaling": "samples",
        "divergence": "gaussian",
        "beta": 10.0,
        "buffers": "total-variance",
        "bodies": "parted",
        "plain_rounds": 0,
        "clusters_in_plain_rounds": True,
        "judged": "cluster",
    },
}
_PARITY: dict[str, dict[str, Any]] = {
    "cuts": {"flops": "paper"},
    "data": {"id_offset": "authors", "exclusion_pattern": "authors"},
    "method": {
        "initialisation": "per-client",
        "batches": "fresh-draw",
        "feature_window": "last-batch",
        "feature_scaling": "none",
        "divergence": "spatial-softmax",
        "beta": 1.0,
        "buffers": "average",
        "bodies": "shared",
        "plain_rounds": 2,
        "clusters_in_plain_rounds": False,
        "judged": "first-client",
    },
}
_BY_MODE: dict[Mode, dict[str, dict[str, Any]]] = {"corrected": _CORRECTED, "parity": _PARITY}


def resolve(config: RunConfig) -> RunConfig:
    """Return ``config`` with every setting that was left to ``mode`` filled in, and paths absolute.

    Flower starts its processes in folders of its own: what is a path here must be one there.
    """
    defaults = _BY_MODE[config.mode]
    cuts, data = _filled(config.cuts, defaults["cuts"]), _filled(config.data, defaults["data"])
    data = data.model_copy(
        update={
            "scenario": _located(data.scenario),
            "cache": data.cache.expanduser().absolute(),
            "root": _absolute(data.root),
        }
    )
    return config.model_copy(
        update={
            "model": config.model.model_copy(update={"spec": _located(config.model.spec)}),
            "data": data,
            "cuts": cuts.model_copy(update={"devices": _located(cuts.devices)}),
            "method": _filled(config.method, defaults["method"]),
            "executor": config.executor.model_copy(
                update={
                    "certificate": _absolute(config.executor.certificate),
                    "key": _absolute(config.executor.key),
                }
            ),
            "output": config.output.expanduser().absolute(),
            "resume": _absolute(config.resume),
        }
    )


def _filled(section: _Section, defaults: Mapping[str, Any]) -> _Section:
    unset = {key: value for key, value in defaults.items() if getattr(section, key) is None}
    return section.model_copy(update=unset)


def _absolute(path: Path | None) -> Path | None:
    return path.expanduser().absolute() if path else None


def _located(name_or_path: str) -> str:
    """Return the absolute path of a file; the name of one in ``conf/`` stays as it is."""
    path = Path(name_or_path).expanduser()
    return str(path.absolute()) if path.is_file() else name_or_path


def load_config(name_or_path: str, overrides: Iterable[str] = ()) -> RunConfig:
    """Read a run from ``conf/runs/<name>.yaml`` or a path; ``overrides`` are ``section.key=value``.

    Raises ``ConfError`` naming the key, the value and what would be right.
    """
    path = find_conf("runs", name_or_path)
    content = {"name": path.stem, **read_yaml(path)}
    for override in overrides:
        _set(content, override)
    return resolve(validate(RunConfig, content, str(path)))


def dump_config(config: RunConfig) -> str:
    """Return the configuration as YAML."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def to_run_config(config: RunConfig) -> dict[str, RunConfigValue]:
    """Flatten for Flower: dotted, kebab-case keys; lists joined by commas; empty string for not set."""
    return dict(_flatten(config.model_dump(mode="json"), ""))


def from_run_config(flat: Mapping[str, RunConfigValue]) -> RunConfig:
    """Read Flower's run config; the opposite of ``to_run_config``.

    Raises ``ConfError`` naming the key, the value and what would be right.
    """
    content: dict[str, Any] = {}
    for key, value in flat.items():
        if value == "":
            continue
        *sections, leaf = key.replace("-", "_").split(".")
        place = content
        for section in sections:
            place = place.setdefault(section, {})
        place[leaf] = value
    return resolve(validate(RunConfig, content, "run config"))


def _set(content: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals:
        raise ConfError(f"--set {override}: write key=value, such as --set rounds=3")
    *sections, leaf = key.strip().replace("-", "_").split(".")
    place = content
    for section in sections:
        place = place.setdefault(section, {})
        if not isinstance(place, dict):
            raise ConfError(f"--set {override}: '{section}' is a value, not a section")
    try:
        place[leaf] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfError(f"--set {override}: '{text}' cannot be read as a YAML value: {error}") from error


def _flatten(content: Mapping[str, Any], prefix: str) -> Iterable[tuple[str, RunConfigValue]]:
    for key, value in content.items():
        name = f"{prefix}{key.replace('_', '-')}"
        if isinstance(value, dict):
            yield from _flatten(value, f"{name}.")
        elif isinstance(value, list):
            yield name, ",".join(map(str, value))
        else:
            yield name, "" if value is None else value
