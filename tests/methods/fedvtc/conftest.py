import pytest

from tests.methods.classifiers import small_classifiers
from tests.methods.fedvtc.plain_rounds import IMAGES
from tests.run.builders import SMALL_DECODER


@pytest.fixture
def make(tmp_path):
    def training(images=IMAGES, name="small", **settings):
        given = {
            "rounds": 3,
            "name": name,
            "clients": len(images),
            "classifier.learning_rate": 0.1,
            "classifier.decoder": SMALL_DECODER,
            "fedvtc.decoder_epochs": 2,
            "fedvtc.distillation_steps": 3,
            "fedvtc.tuning_epochs": 2,
            "fedvtc.tuning_images": 3,
        }
        return small_classifiers(tmp_path, images, method="fedvtc", **{**given, **settings})

    return training
