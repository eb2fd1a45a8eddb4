"""The sections of the common settings, one class each."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from huscf_flwr.conf_files import Strict
from huscf_flwr.config.domain_names import checked_names
from huscf_flwr.home import home_expanded

_USUAL_CACHE = "~/.cache/huscf-flwr"


def _default_cache() -> Path:
    usual = Path(_USUAL_CACHE)
    return home_expanded(os.environ.get("XDG_CACHE_HOME", usual.parent)) / usual.name


def _listed(value: object) -> object:
    """Take ``a,b`` for a list, since Flower's run config has none."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


NameList = Annotated[tuple[str, ...], BeforeValidator(_listed)]
DomainNames = Annotated[NameList, AfterValidator(checked_names)]
CutNumbers = Annotated[tuple[int, int, int, int], BeforeValidator(_listed)]


class Section(Strict):
    """Part of the configuration."""


class MethodSettings(Section):
    """Settings of one method; a subclass lists them, with defaults.

    They stand in a section of their own, beside the common ones: ``huscf.weighting``.
    """

    section: ClassVar[str]
    """Name of that section: lower-case letters, digits and underscores; the method has the same."""


class ModelSection(Section):
    """The networks.

    Attributes:
        spec: architecture of the networks: name in ``conf/models`` or path of a YAML file; or ``auto``, in a
            simulation: the family and the channels that fit the images of all domains.
        classes: number of classes, whatever file and images say. ``null`` in a simulation: as many as the
            images have; where these are owned by SuperNodes, as the file says. Where both are the same it
            stays ``null`` in a run's ``config.yaml``.
        channels: channels of the images, 1 (grey) or 3 (colour). ``null`` is a choice of its own, not
            something still to be filled in: as the file says, or the images if ``spec`` is ``auto``.
        width: multiplies the channels of all inner blocks.
    """

    spec: str = "authors-28"
    classes: PositiveInt | None = None
    channels: Literal[1, 3] | None = None
    width: PositiveFloat = 1.0


class ClassifierSection(Section):
    """The classifiers of methods that train some, each client its own; the defaults are FedProto's.

    Attributes:
        family: architectures of the classifiers, which are dealt to the clients in turn: name in
            ``conf/classifiers`` or path of a YAML file.
        decoder: what draws images from features, for methods that have such a thing: name in
            ``conf/decoders`` or path of a YAML file.
        member: which architecture of the family every client has, from zero; by default they are dealt in
            turn. A SuperNode whose node config has ``architecture`` has that one.
        features: width of the features, the same for all architectures; by default the file's.
        learning_rate: learning rate of stochastic gradient descent, which trains the classifiers (0.01 in
            FedProto's official code).
        momentum: share of the last step that is in the next one (0.5 in FedProto's official code).
        augmentation: how images are changed whenever a classifier trains on them, real and drawn ones alike:
            ``none``; ``affine``, turned, sheared, scaled and shifted a little; or ``affine-flip``, mirrored
            half of the time too, for what means the same mirrored.
    """

    family: str = "family5"
    decoder: str = "vtc"
    member: NonNegativeInt | None = None
    features: PositiveInt | None = None
    learning_rate: PositiveFloat = 0.01
    momentum: float = Field(default=0.5, ge=0, lt=1)
    augmentation: Literal["none", "affine", "affine-flip"] = "none"


class DataSection(Section):
    """Where images come from and who holds which.

    Attributes:
        scenario: which domains there are, and who holds which of their images: name in ``conf/scenarios``,
            number of the paper's, 1 to 6, or path of a YAML file.
        domains: names of domains to take instead of the scenario's, each once; a file below ``root`` has its
            name without the ending.
        root: folder with a folder or file of images for each domain, of the domain's name, looked at before
            anything is downloaded.
        cache: folder for downloads, rendered images and judges. It is in ``XDG_CACHE_HOME`` where the
            environment has that.
        fit: what is done with images that are not square: ``pad`` adds black on both sides, ``crop`` takes
            the middle, ``stretch`` changes their proportions.
        id_offset: where a client finds which labels it lacks and how many images it gets. ``corrected``:
            below its own number. ``authors`` repeats a mistake in their code: clients of their third and
            fourth domain look below a wrong number, and so usually lack no label and get another client's
            amount.
        exclusion_pattern: how it is drawn which labels clients lack. ``per-domain``: for each domain anew.
            ``authors`` repeats a mistake in their code: all domains but the first draw the same, so that
            their i-th clients lack the same labels.
        held_out: share of a client's own images that it does not train on, and on which its own model is
            scored; rounded down, and at least one image is left to train on.
        judged_on: which images everything is scored on: a domain's ``test`` images, or ``validation``, for
            choosing settings without a look at these. A fifth of each domain's training images, a fifth of
            every label, is then set aside before any are dealt to clients, the same in all runs; nobody
            trains on it, neither clients nor judges, and it takes the test images' place in all scores.
            Only in a simulation: clients that own their data have nobody who could set images aside.
    """

    scenario: Annotated[str, BeforeValidator(str)] = "demo"
    domains: DomainNames | None = None
    root: Path | None = None
    cache: Path = Field(default_factory=_default_cache, json_schema_extra={"default": _USUAL_CACHE})
    fit: Literal["pad", "crop", "stretch"] = "pad"
    id_offset: Literal["corrected", "authors"] = "corrected"
    exclusion_pattern: Literal["per-domain", "authors"] = "per-domain"
    held_out: float = Field(default=0.0, ge=0, lt=1)
    judged_on: Literal["test", "validation"] = "test"


class CutsSection(Section):
    """Device profiles and how cuts are chosen from them.

    Attributes:
        devices: device profiles, which are dealt evenly to the clients: name in ``conf/devices`` or path of a
            YAML file.
        solver: how cuts are chosen: ``greedy`` (one cut per device class), ``exact``, ``genetic`` (the
            paper's) or ``fixed``, as the setting of that name says.
        fixed: the cut of every client for ``fixed``: blocks kept in generator head, generator tail,
            discriminator head, discriminator tail.
        flops: rule by which work is counted: ``exact``, or the ``paper``'s with its over-counts
            (CutLayerSelection.py:78-158, modelCutter.py:84-174).
        dynamic: measure in every round how long clients compute and transfer, and choose new cuts where that
            saves time. Such a run cannot be repeated to the bit, because the clock decides.
        newest_weight: with ``dynamic``, weight of the newest round in the estimate of a device's speed; the
            rounds before have the rest.
        least_gain: with ``dynamic``, share of a step's predicted time that new cuts must save.
        emulate: virtual clients take as long as their profiles say: the time of their computation is
            stretched, and their bytes wait for their link.
    """

    devices: str = "paper"
    solver: Literal["greedy", "exact", "genetic", "fixed"] = "greedy"
    fixed: CutNumbers | None = None
    flops: Literal["exact", "paper"] = "exact"
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
    """Adam, the same for clients and server; defaults are the authors' (configs.yaml).

    Attributes:
        learning_rate: size of a step.
        beta1: how much of the gradients' running mean is kept in a step.
        beta2: how much of the running mean of their squares is kept.
    """

    learning_rate: PositiveFloat = 2e-4
    beta1: float = Field(default=0.5, ge=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)


class EvaluationSection(Section):
    """How generators and classifiers are judged.

    Attributes:
        every: rounds between two judgements: of generators by label fidelity and generation score, of
            classifiers by all of their scores; 0: only at the end. A method with several rounds for each of
            ``rounds`` is judged as often as others.
        images: images generated per domain for fidelity, score and FID.
        synthetic_images: images on which the train-on-synthetic classifier trains at the end; 0: none is
            trained.
        seconds: how long clients may take to evaluate, with Flower; the scores of those that take longer are
            missing.
        sample_columns: images per class in a sample grid.
        inception: safetensors file with the weights of torchvision's inception_v3, for a second FID at the
            end, ``inception_fid``, in the features of that network; nothing is downloaded. Only in a
            simulation. It takes minutes a domain on a CPU.
    """

    every: NonNegativeInt = 1
    images: int = Field(default=2000, ge=2)
    synthetic_images: NonNegativeInt = 10_000
    sample_columns: PositiveInt = 8
    seconds: PositiveFloat = 3600.0
    inception: Path | None = None

    @field_validator("synthetic_images")
    @classmethod
    def _one_is_too_few_to_train_on(cls, images: int) -> int:
        if images == 1:
            raise ValueError("give 0 to leave training on synthetic images out, else at least 2")
        return images


class ExecutorSection(Section):
    """Where the executor listens, and how long it waits; only for methods that have one.

    Attributes:
        bind: address and port that it listens on; port 0 takes a free one.
        advertise: address and port that clients are told, if not the bound ones.
        certificate: PEM file on the server with its certificate, such as the SuperLink's; clients check it
            against ``root-certificates`` of their SuperNode's node config. Without one there is no TLS.
        key: PEM file on the server with the certificate's private key.
        insecure: lets other machines connect even though there is no certificate.
        window: seconds that the first host to arrive waits for others at the start, less than 30.
        timeout: least seconds that hosts have for an exchange of a round's first step, which covers the start
            of their processes, and for their reply after the last step. A host that is late drops out of the
            round.
        least_deadline: least seconds for an exchange of a later step.
        deadline_factor: seconds for an exchange are this many times those of a step, as predicted or as the
            longest one of the round took, if that is more.
        shared_memory: frames of virtual clients cross through shared memory if their host is on the server's
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
        keep_last: number of rounds whose checkpoints stay, the newest ones; ``resume_round`` goes on from one
            that is not the last.
    """

    keep_last: PositiveInt = 1


class ComputeSection(Section):
    """Device, numbers and threads.

    Attributes:
        device: what computes: ``cuda``, ``cpu``, or ``auto`` for CUDA in every process that finds it. Server
            and SuperNodes need not have the same. Judges are trained on the CPU.
        precision: type of the numbers that are computed with; with ``bfloat16``, weights, optimisers and
            running statistics stay in float32.
        threads: number of threads of each process; 0: the cores are shared among the processes that compute
            at once.
        keep_memory: freed memory is kept for the next use instead of being returned to the system (with
            glibc; elsewhere this changes nothing), in large pages where the system has them. Faster by 5 to
            10 %, for a few percent more memory.
        measure_memory: clients that train by themselves also tell the most bytes of tensors that they have at
            once, by what they are doing. It changes no result, and takes time for each operation; times of
            such a run say little.
    """

    device: Literal["cpu", "cuda", "auto"] = "cpu"
    precision: Literal["float32", "float64", "bfloat16"] = "float32"
    threads: NonNegativeInt = 0
    keep_memory: bool = True
    measure_memory: bool = False

    @model_validator(mode="before")
    @classmethod
    def _the_wire_has_its_own_section(cls, said: object) -> object:
        if isinstance(said, Mapping) and "wire_dtype" in said:
            found = said["wire_dtype"]
            if found is None:  # as runs from before have it in their config.yaml
                return {name: value for name, value in said.items() if name != "wire_dtype"}
            now = "leave it out" if found in ("", "float32") else "write wire.preset: half"
            raise ValueError(f"wire_dtype is {found}, but how numbers cross is wire.preset now: {now}")
        return said


FakeLabels = Literal["real", "own-mix", "uniform"]

WirePreset = Literal["exact", "half", "small", "smallest"]
PRESETS: tuple[WirePreset, ...] = get_args(WirePreset)
"""From the most exact to that with the fewest bytes."""
WireUploads = Literal["exact", "bfloat16", "8-bits"]


class WireSection(Section):
    """How activations and gradients cross in a lock-step session, and models after a round of any method.

    Attributes:
        preset: how exactly activations and gradients cross in a session. ``exact``: in the type in which they
            are computed, and nothing is lost. ``half``: in ``float16``, every tensor scaled, so that none
            overflows. ``small``: packed, activations in 8 bits, gradients in 4. ``smallest``: packed,
            activations in 3 or 4 bits, gradients in 3; see docs/traffic.md. ``auto``: the one of these with
            which the latency model predicts the shortest step, each with the cuts that are best for it;
            chosen once, before the first round. A method without lock-step has no session, and no
            other than ``exact`` or ``auto``.
        uploads: how models that clients have trained go up after a round. ``exact``: clients send what they
            have trained as it is. ``bfloat16``, ``8-bits``: they send by how much it differs from what the
            server sent them for the round, rounded; what rounding took is added to their next upload. What
            did not change is not sent. Refused for a method whose clients upload nothing that they were sent.
    """

    preset: Literal["auto", WirePreset] = "exact"
    uploads: WireUploads = "exact"

    @property
    def chosen(self) -> WirePreset:
        """The preset of a session; raises ``ValueError`` as long as none has been chosen."""
        if self.preset == "auto":
            raise ValueError("wire.preset is auto, and nothing has been chosen yet: see run.wire_choice")
        return self.preset
