"""Trainings that are saved and restored, and the file that a checkpoint has beside its tensors."""

from huscf_flwr.run.checkpoint import checkpoint_folder, read_checkpoint, save_checkpoint
from tests.run.builders import SAMPLES, small_run, training_of


def small_training(place, *, cuts=None, samples=SAMPLES, **settings):
    config = small_run(place, place, clients=len(samples), **{"model.width": 0.03, **settings})
    return training_of(config, cuts=cuts, samples=samples)


def once_saved(training, folder):
    """The training, after a round that ``folder`` has a checkpoint of."""
    training.train()
    save_checkpoint(training.rounds, folder)
    return training


def restored(training, folder, number=None):
    read_checkpoint(folder, number).restore(training.rounds)
    return training


def state_file(folder):
    return checkpoint_folder(folder) / "server-0001.json"


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
