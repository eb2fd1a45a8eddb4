"""Images of ants, bees and cows for tests of `huscf data`."""

from tests.data.formats.writing import some

TRAIN, TEST = some(30, size=8), some(6, size=8, seed=1)
