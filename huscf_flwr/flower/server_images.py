"""What the server looks at of the images of virtual clients, before any of them is loaded by its host."""

from __future__ import annotations

from huscf_flwr.config import RunConfig
from huscf_flwr.data import DataError, Population, following_data
from huscf_flwr.data.formats.found import OtherClassesError
from huscf_flwr.flower.assembly import Assembly, AssemblyError
from huscf_flwr.flower.log_display import LOGGER
from huscf_flwr.methods.contract import Method
from huscf_flwr.models import model_spec_of
from huscf_flwr.run.check import population_for


def images_of_simulation(
    config: RunConfig, method: type[Method], assembly: Assembly
) -> tuple[RunConfig, Population | None]:
    """Return the configuration with networks that follow the data, and the clients' images.

    Where SuperNodes own clients there are no images here, and networks are as they are said: what is odd
    about those of virtual clients beside them is logged. Raises ``DataError`` for images that cannot be used,
    and ``AssemblyError`` if owners and virtual clients would have networks for other numbers of classes.
    """
    if not assembly.owners:
        config = following_data(config)
        return config, population_for(config, method, examine=True)
    if assembly.virtual_clients:
        _look_at_virtual_clients(config, method)
    return config, None


def _look_at_virtual_clients(config: RunConfig, method: type[Method]) -> None:
    """Log what a simulation would tell of their images; the server may lack these, which hosts read."""
    try:
        followed, said = model_spec_of(following_data(config)).classes, model_spec_of(config).classes
        if followed != said:
            raise AssemblyError(
                f"model.classes is not set: images of virtual clients have {followed} classes, "
                f"{config.model.spec} has {said}, and SuperNodes own other clients, whose images nobody here "
                "looks at; set model.classes to the number that all of them need"
            )
        notes = population_for(config, method, examine=True).notes
    except OtherClassesError:
        raise
    except DataError as error:
        notes = (f"images of virtual clients are not looked at here, but by their hosts: {error}",)
    for note in notes:
        LOGGER.warning("%s", note)
