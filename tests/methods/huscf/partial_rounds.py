"""Four clients of which some are away in some rounds, and find their clusters by a script."""

from tests.methods.huscf.builders import ScriptedClusters, huscf_training

SAMPLES = {0: 16, 1: 9, 2: 5, 3: 7}
TWO_AND_ONE = (0, 0, 1)
TWO_AND_TWO = (0, 0, 1, 1)


def partial_training(place, *clusters, **settings):
    """A training that finds ``clusters`` round by round; without any, by its own clusterer."""
    parts = {"clusterer": ScriptedClusters(*clusters)} if clusters else {}
    return huscf_training(place, samples=SAMPLES, parts=parts, **settings)


def kept(blocks):
    return {key: {name: tensor.clone() for name, tensor in block.items()} for key, block in blocks.items()}
