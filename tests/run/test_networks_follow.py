"""Runs whose networks follow the data, from the images to the report."""

import pytest
import yaml

from huscf_flwr.run.local import train_locally
from tests.data.formats.writing import some, write_pictures
from tests.quick import mostly_slow
from tests.run.builders import SilentDisplay, small_run


@pytest.mark.slow
@pytest.mark.parametrize("channels", mostly_slow([1, 3], 3))
def test_a_run_has_networks_and_judges_of_its_images_form(tmp_path, channels):
    """Seven classes of 64 x 64 pixels, in folders of pictures without a test part."""
    for name in ("wild", "tame"):
        write_pictures(tmp_path / name, some(35, classes=7, size=64, channels=channels), names="abcdefg")
    settings = {"model.spec": "auto", "data.domains": "wild,tame", "clients": 2, "model.width": 0.03}
    config = small_run(tmp_path, tmp_path / "runs", rounds=1, **settings)
    display = SilentDisplay()
    summary = train_locally(config, display=display)
    assert set(summary["domains"]) == {"tame", "wild"}
    written = yaml.safe_load((config.folder / "config.yaml").read_text())["model"]
    assert written == {"spec": "images-64", "classes": 7, "channels": channels, "width": 0.03}
    assert len([note for note in display.notes if "wild: no test part" in note]) == 1
