"""What can be found wrong with a run before anything starts; and what was loaded to find it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from huscf_flwr.conf_files import did_you_mean
from huscf_flwr.config import RunConfig, RunConfigValue
from huscf_flwr.cuts import PresetChoice, deal_devices
from huscf_flwr.data import Population, following_data, networks_told, population_of, scenario_of
from huscf_flwr.evaluation.inception import check_inception
from huscf_flwr.evaluation.own_models import CLASSIFIER_SCORES, SAMPLER_SCORES, unknown_scores
from huscf_flwr.existing import check_folder
from huscf_flwr.methods import method_of, resolved
from huscf_flwr.methods.contract import LockStepClient, Method, keeps_models
from huscf_flwr.models import AUTO, model_spec_of
from huscf_flwr.process import device_of
from huscf_flwr.run.checkpoint import Checkpoint, checkpoint_of
from huscf_flwr.run.folder_lock import check_free
from huscf_flwr.run.origin import images_hash
from huscf_flwr.run.rounds import check_participation
from huscf_flwr.run.tensorboard import check_tensorboard
from huscf_flwr.run.wire_choice import chosen_wire
from huscf_flwr.session.wire import Endpoint


@dataclass(frozen=True)
class CheckedRun:
    """A run that may start, with all that was loaded: nothing needs to be read twice."""

    config: RunConfig
    """With the method's settings complete."""
    method: type[Method]
    population: Population
    checkpoint: Checkpoint | None
    images: str | None = None
    """Their hash, if somebody has taken it; see ``origin``."""
    wire: PresetChoice | None = None
    """How ``wire.preset: auto`` was decided."""
    networks: str | None = None
    """How ``model.spec: auto`` was decided, in a line to be shown: nobody can tell from ``config``."""

    @property
    def asked(self) -> RunConfig:
        """The configuration for another process, which decides for itself on the preset.

        Networks are named in it, so whoever hands it on shows ``networks``.
        """
        if self.wire is None:
            return self.config
        return self.config.with_preset("auto")


def check_run(config: RunConfig, hosts: int = 1, *, trains_here: bool = True) -> CheckedRun:
    """Load and check all that a run with virtual clients is made of, once.

    If it ``trains_here``, in this process, images are examined for what is odd about them, and their hash is
    taken. If not, the process that trains does so: here the hash is taken only to compare a checkpoint's.

    Raises ``ValueError`` naming the setting, the value found and what to do.
    """
    if hosts > config.clients:
        raise ValueError(
            f"clients: {config.clients} clients for {hosts} SuperNodes; take more clients or fewer SuperNodes"
        )
    config = resolved(config)
    check_place(config)
    begun = checkpoint_of(config)
    said = as_begun(config, begun.state.settings if begun else None)
    config = following_data(said)
    networks = networks_told(config) if said.model.spec == AUTO else None
    method = method_of(config)
    check_participation(config, client_count(config, method))
    device_of(config.compute)
    checkpoint = check_settings(config, method, begun)
    population = population_for(config, method, examine=trains_here)
    images = images_hash(population) if trains_here or checkpoint is not None else None
    if checkpoint is not None:
        checkpoint.check_same_run(config, images)
        checkpoint.check_rounds(config)
    before = None if checkpoint is None else checkpoint.preset
    config, wire = chosen_wire(config, method, deal_devices(config), before)
    return CheckedRun(config, method, population, checkpoint, images, wire, networks)


def as_begun(config: RunConfig, settings: Mapping[str, RunConfigValue] | None) -> RunConfig:
    """Return the configuration of a run that goes on with the classes that it began with, if none are said.

    ``settings`` are those of its checkpoint, if it has one. Its images may have others, if it began before
    networks had as many as these.
    """
    if settings is None or config.model.classes is not None:
        return config
    classes = settings.get("model.classes") or None
    return config.model_copy(update={"model": config.model.model_copy(update={"classes": classes})})


def check_settings(
    config: RunConfig, method: type[Method], checkpoint: Checkpoint | None = None
) -> Checkpoint | None:
    """Check all that the server can know of the settings before it has met any client, or seen an image.

    Two checks are the caller's: ``check_place``, since it comes before anything is read, and
    ``Checkpoint.check_rounds``, since it comes after the images, which may show that the checkpoint is
    another run's: more rounds would not mend that.

    Returns the checkpoint that the run is to go on from, which is read unless it is given. Raises
    ``ValueError`` naming the setting, the value found and what to do.
    """
    check_dynamic_cuts(config)
    check_wire(config, method)
    check_emulation(config, method)
    check_memory(config, method)
    check_scores(method)
    if is_lock_step(method):
        _endpoint(config).check()
    # What cannot be done with the fewest bytes cannot be done with more.
    method.check(config.with_preset("smallest") if config.wire.preset == "auto" else config)
    check_tensorboard(config)
    check_inception(config.evaluation.inception)
    checkpoint = checkpoint or checkpoint_of(config)
    if checkpoint is not None:
        checkpoint.check_same_run(config)
    return checkpoint


def check_place(config: RunConfig) -> None:
    """Check that the folder of a run can be written, and that no other process does.

    Raises ``UnusableFolderError`` naming the setting, or ``FolderInUseError``.
    """
    check_folder(config.output, "output", "set it to a folder that you may write to, such as runs")
    goes_on_there = config.resume is not None and config.resume.resolve() == config.folder.resolve()
    if goes_on_there or (os.path.lexists(config.folder) and not config.folder.is_dir()):
        name = "name or output, for a folder that you may write to"
        check_folder(config.folder, "the folder of the run", f"set another {name}")
    check_free(config.folder)


def check_port(config: RunConfig, method: type[Method]) -> None:
    """Raise ``PortTakenError`` if the executor could not listen where it is to, on this machine."""
    if is_lock_step(method):
        _endpoint(config).check_free()


def _endpoint(config: RunConfig) -> Endpoint:
    executor = config.executor
    return Endpoint(executor.bind, executor.advertise, executor.certificate, executor.key, executor.insecure)


def client_count(config: RunConfig, method: type[Method]) -> int:
    """Return the number of virtual clients, or of the pools of a method that pools domains."""
    return len(scenario_of(config).domains) if method.pools_domains else config.clients


def population_for(config: RunConfig, method: type[Method], *, examine: bool = False) -> Population:
    """Return the virtual clients with their images; pooled by domain if that is what the method trains on.

    What is odd about the images is among its notes if they are to be ``examine``d: one process tells it, not
    each that has the images.
    """
    population = population_of(config, model_spec_of(config), examine=examine)
    return population.pooled() if method.pools_domains else population


def check_scores(method: type[Method]) -> None:
    """Raise ``ValueError`` if a method lists scores that nobody can give."""
    crossing, name = method.crossing, method.__name__
    for unknown in unknown_scores(crossing.scores):
        known = [*sorted(SAMPLER_SCORES), *CLASSIFIER_SCORES]
        raise ValueError(
            f"{name}.crossing.scores has '{unknown}'{did_you_mean(unknown, known)}: there are "
            f"{', '.join(known)}; the last three with a classifier's name before them, if it has one"
        )
    if crossing.scores and not crossing.product_kind and not keeps_models(method.client):
        raise ValueError(
            f"{name}.crossing lists scores, but {method.client.__name__} defines neither classifiers nor "
            "sampler, and is sent no product to judge: define one of them, or list no scores"
        )


def check_memory(config: RunConfig, method: type[Method]) -> None:
    """Raise ``ValueError`` if memory is to be measured of clients that do not train by themselves."""
    if config.compute.measure_memory and is_lock_step(method):
        raise ValueError(
            f"compute.measure_memory is true, but clients of {config.method} train in lock-step, all at "
            "once, and only what each needs by itself is measured; set it to false"
        )


def check_emulation(config: RunConfig, method: type[Method]) -> None:
    """Raise ``ValueError`` if devices are to be emulated where there is no lock-step to emulate them in."""
    if config.cuts.emulate and not is_lock_step(method):
        raise ValueError(
            f"cuts.emulate is true, but clients of {config.method} train without lock-step, in which devices "
            "are emulated; set it to false"
        )


def check_dynamic_cuts(config: RunConfig) -> None:
    """Raise ``ValueError`` if it is said how cuts change, and they do not."""
    cuts = config.cuts
    for name in ("newest_weight", "least_gain"):
        value = getattr(cuts, name)
        if not cuts.dynamic and value != type(cuts).model_fields[name].default:
            raise ValueError(
                f"cuts.{name} is {value}, but cuts.dynamic is false, so that cuts never change; set "
                f"cuts.dynamic=true, or leave cuts.{name} out"
            )


def check_wire(config: RunConfig, method: type[Method]) -> None:
    """Raise ``ValueError`` if it is said how numbers are packed of which none cross."""
    wire, crossing = config.wire, method.crossing
    if wire.preset not in ("exact", "auto") and not is_lock_step(method):
        raise ValueError(
            f"wire.preset is {wire.preset}, but clients of {config.method} exchange nothing in their steps; "
            "set wire.preset=exact, or leave it out"
        )
    # A difference crosses, to what came down under the same name.
    if wire.uploads != "exact" and not set(crossing.upload_kinds) & set(crossing.order_kinds):
        raise ValueError(
            f"wire.uploads is {wire.uploads}, but clients of {config.method} upload nothing that the server "
            "has sent them before, and only differences are packed; set wire.uploads=exact, or leave it out"
        )


def is_lock_step(method: type[Method]) -> bool:
    """Return whether the clients of a method train in lock-step, and need an executor."""
    return issubclass(method.client, LockStepClient)
