"""A SuperNode that owns a client's data, as its node config says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from click import ClickException
from flwr.app import Context, RecordDict
from flwr.common.config import parse_config_args

from huscf_flwr.conf_files import ConfError, did_you_mean, validate
from huscf_flwr.config import RunConfig
from huscf_flwr.cuts.devices import Device, load_profiles
from huscf_flwr.data import ClientData, Domain, DomainSource, Fit, load_domain, split_held_out
from huscf_flwr.data.formats.choice import Place, place_named
from huscf_flwr.data.formats.found import OtherClassesError
from huscf_flwr.data.progress import Paced, progress_told
from huscf_flwr.evaluation import judge_domain, load_or_train_judge
from huscf_flwr.evaluation.domain_scores import JUDGE_SEED, doubts, evaluation_settings
from huscf_flwr.evaluation.scores import check_can_score
from huscf_flwr.flower.log_display import LOGGER, SHOWN
from huscf_flwr.flower.own_files import own_images_told
from huscf_flwr.home import home_expanded
from huscf_flwr.methods.contract import Method, Tensors
from huscf_flwr.models import ModelSpec, model_spec_of
from huscf_flwr.run.origin import own_images_hash
from huscf_flwr.seeding import torch_stream

KEYS = (
    "client-id",
    "data-folder",
    "state-folder",
    "device-profile",
    "class-names",
    "first-label",
    "architecture",
    "image-column",
    "label-column",
    "root-certificates",
    "require-privacy",
    "largest-epsilon",
    "largest-delta",
)
"""What a node config may say to this app."""
_SAID_AS: Mapping[str, str] = {
    "'hub' is '": "'data-folder' is 'hub:",
    "class_names": "class-names",
    "'first_label'": "'first-label'",
}
"""How an error about a ``DomainSource`` has its settings, and what they are in a node config."""
_LARGEST_DELTA = 1e-5
"""With which an epsilon is meant whose owner names no delta."""


@dataclass(frozen=True)
class Owner:
    """One real client: who it is and where its private things lie."""

    client: int
    data_folder: Place
    state_folder: Path
    device_profile: str
    class_names: tuple[str, ...] = ()
    """In the order of labels, if the data folder has a folder of pictures for each class."""
    first_label: int = 0
    """What the files call class 0."""
    architecture: int | None = None
    """Which member of the family its classifier is, if it is not dealt one."""
    image_column: str | None = None
    """Where the images are, if the data folder is a data set of Hugging Face with several candidates."""
    label_column: str | None = None
    """Where the labels are, likewise."""
    examines: bool = False
    """Whether it is logged what is odd about its images, and what was done with them."""
    largest_epsilon: float | None = None
    """What may be spent of the privacy of its images at most, whatever a run says."""
    largest_delta: float | None = None
    """Probability with which that may fail at most, likewise."""

    def own_settings(self, config: RunConfig) -> RunConfig:
        """Return the settings of a run as this client has them.

        With the architecture of its classifier, noise that nobody else can draw, and the epsilon and delta
        that its owner allows if the run's are larger.
        """
        privacy: dict[str, object] = {"noise": "secret"}
        if config.privacy.epsilon is not None:
            limits = {"epsilon": self.largest_epsilon, "delta": self.largest_delta}
            for name, limit in limits.items():
                if limit is not None:
                    privacy[name] = min(getattr(config.privacy, name), limit)
        config = config.model_copy(update={"privacy": config.privacy.model_copy(update=privacy)})
        if self.architecture is None:
            return config
        own = config.classifier.model_copy(update={"member": self.architecture})
        return config.model_copy(update={"classifier": own})

    def source(self, classes: int | None = None) -> DomainSource:
        """Return where its images lie and how they are read; of so many ``classes``, if that is known.

        Raises ``ValueError`` if that cannot be, naming the key of the node config, or of the run's networks.
        """
        is_folder = isinstance(self.data_folder, Path)
        said = {
            "name": "own",
            "folder": self.data_folder if is_folder else None,
            "hub": None if is_folder else str(self.data_folder).removeprefix("hub:"),
            "classes": classes,
            "class_names": self.class_names,
            "first_label": self.first_label,
            "image_column": self.image_column,
            "label_column": self.label_column,
        }
        try:
            return validate(DomainSource, said, "node config" if classes is None else "model")
        except ConfError as error:
            told = str(error)
            for ours, theirs in _SAID_AS.items():
                told = told.replace(ours, theirs)
            raise ValueError(told) from error

    def device(self) -> Device:
        """Return the device profile that the node config names as ``FILE:NAME``.

        Raises ``ValueError`` if the file has no such profile.
        """
        file, _, name = self.device_profile.rpartition(":")
        profiles = load_profiles(file or "paper")
        if name not in profiles:
            raise ValueError(
                f"device-profile: '{name}' is not one of {', '.join(profiles)} in {file or 'paper'}"
            )
        return profiles[name]

    def domain(self, spec: ModelSpec, fit: Fit = "pad") -> Domain:
        """Return the client's own images, training and test; perhaps it has no test images.

        Raises ``OwnFilesError`` if they cannot be read or do not fit; which file it is, or which setting, is
        logged.
        """
        with own_images_told(self.client, self.data_folder):
            return _load(self, spec.image.channels, spec.image.size, spec.classes, fit)

    def images_hash(self, config: RunConfig) -> str:
        """Return the hash of all images that the client does not judge with."""
        return own_images_hash(self.domain(model_spec_of(config), config.data.fit).train)

    def data(self, config: RunConfig) -> ClientData:
        """Return what the client has; it holds out the same images as a virtual client of its id would."""
        domain = self.domain(model_spec_of(config), config.data.fit)
        train, held_out = split_held_out(
            domain.train, config.data.held_out, seed=config.seed, client=self.client
        )
        return ClientData(train, held_out, domain.test, domain)

    def tell_doubts(self, judge_accuracy: float | None) -> None:
        """Log that what the judge of the client's images says means little, if it is often wrong on them."""
        for doubt in doubts(f"client {self.client}'s images", judge_accuracy):
            LOGGER.warning("%s", doubt)

    def judge(
        self, config: RunConfig, method: type[Method], product: Tensors
    ) -> tuple[dict[str, float], int]:
        """Return how a product does on this client's test images, and their number.

        Only scores that the method lists, where they can be known: without test images, none.
        """
        domain = self.domain(model_spec_of(config), config.data.fit)
        if not len(domain.test):
            return {}, 0
        check_can_score()
        scores = judge_domain(
            domain,
            method.sampler(config, product),
            load_or_train_judge(domain, seed=JUDGE_SEED, cache=self.state_folder),
            evaluation_settings(config),
            torch_stream(config.seed, "judging", self.client),
        ).as_dict()
        self.tell_doubts(scores["judge_accuracy"])
        known = {name: scores.get(name) for name in method.crossing.scores}
        return {name: value for name, value in known.items() if value is not None}, len(domain.test)


def read_node_config(text: str) -> Context:
    """Return a context with the node config in ``text``, as ``flower-supernode --node-config`` reads it.

    Raises ``ValueError`` for a value that Flower cannot read.
    """
    try:
        return Context(0, 0, parse_config_args([text]), RecordDict(), {})
    except ClickException as error:
        raise ValueError(f"node config: {error.message}") from error


def owner_of(context: Context) -> Owner | None:
    """Return what the node config says about the client that it owns, or None for a host of virtual ones.

    Raises ``ValueError`` if it has a `client-id` but no `data-folder`, or the other way round, a data set on
    the hub but no `state-folder`, a key that is nearly one of ours, a number that is none, or what `source`
    refuses.
    """
    node = context.node_config
    client, folder = node.get("client-id"), node.get("data-folder")
    _check_keys(node)
    if client is None and folder is None:
        return None
    if client is None or folder is None:
        raise ValueError("node config: client-id and data-folder go together; give both or neither")
    data = place_named(str(folder))
    if isinstance(data, Path):
        data = data.absolute()
    elif "state-folder" not in node:
        raise ValueError(
            f"node config: data-folder is {data}, beside which there is no folder; give state-folder too"
        )
    beside = data.with_name(f"{data.name}-state") if isinstance(data, Path) else ""
    state = home_expanded(str(node.get("state-folder", beside))).absolute()
    names = [name.strip() for name in str(node.get("class-names", "")).split(",")]
    owner = Owner(
        _number("client-id", client),
        data,
        state,
        str(node.get("device-profile", "paper:d4")),
        tuple(name for name in names if name),
        _number("first-label", node.get("first-label", 0)),
        _number("architecture", node["architecture"]) if "architecture" in node else None,
        _text(node.get("image-column")),
        _text(node.get("label-column")),
        largest_epsilon=largest(node, "largest-epsilon"),
        largest_delta=largest_delta(node),
    )
    owner.source()
    return owner


def _check_keys(node: Mapping[str, object]) -> None:
    """Raise ``ValueError`` for a key that is nearly one of ours; others may be for other apps."""
    for key in node:
        meant = did_you_mean(key, KEYS, cutoff=0.8)
        if meant and key not in KEYS:
            raise ValueError(f"node config: unknown key '{key}'{meant}; there are {', '.join(KEYS)}")


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _number(key: str, value: object) -> int:
    if isinstance(value, bool) or not str(value).isdecimal():
        raise ValueError(f"node config: {key} is {value}, but must be a whole number, at least 0; correct it")
    return int(str(value))


def largest(node: Mapping[str, object], key: str, below: float = math.inf) -> float | None:
    """Return a limit that the node config has, if it has it; raises ``ValueError`` if that is no number."""
    if key not in node:
        return None
    try:
        found = float(str(node[key]))
    except ValueError:
        found = math.nan
    if not 0 < found < below:
        span = "above 0" if below == math.inf else f"above 0 and below {below:g}"
        raise ValueError(f"node config: {key} is {node[key]}, but must be a number {span}; correct it")
    return found


def largest_delta(node: Mapping[str, object]) -> float | None:
    """Return what the owner allows; an epsilon alone is a promise only with a delta that is small."""
    default = _LARGEST_DELTA if "largest-epsilon" in node else None
    return largest(node, "largest-delta", below=1.0) or default


def root_certificates_of(context: Context) -> bytes | None:
    """Return the certificates (PEM) that must vouch for the executor, or None if it need not have TLS.

    Raises ``ValueError`` if the file that the node config names cannot be read.
    """
    file = context.node_config.get("root-certificates")
    if file is None:
        return None
    try:
        return home_expanded(str(file)).read_bytes()
    except OSError as error:
        raise ValueError(
            f"node config: root-certificates: {file} cannot be read ({error.strerror}); "
            f"give the file that flower-supernode --root-certificates has"
        ) from error


@lru_cache(maxsize=2)
def _load(owner: Owner, channels: int, size: int, classes: int, fit: Fit) -> Domain:
    if owner.class_names and len(owner.class_names) != classes:
        raise OtherClassesError(
            f"node config: class-names has {len(owner.class_names)} names, but the networks have {classes} "
            "classes; give the same names on all devices, one for each class"
        )
    source = owner.source(classes)
    with progress_told(Paced(SHOWN.info)):
        domain = load_domain(
            source,
            root=None,
            cache=owner.state_folder,
            image=(channels, size),
            classes=classes,
            needs_test=False,
            split_test=False,
            fit=fit,
            examine=owner.examines,
        )
    for note in domain.notes if owner.examines else ():
        LOGGER.warning("client %s: %s", owner.client, note)
    return domain
