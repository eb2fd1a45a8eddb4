"""A run of the demo's width, so that its heads hold whole images, small enough to be attacked in a test."""

from tests.run.builders import small_run, write_domains


def audited_run(tmp_path, **settings):
    """Two clients whose networks are cut next to their ends; settings by dotted name."""
    images = write_domains(tmp_path / "images")
    defaults = {
        "clients": 2,
        "local_epochs": 1,
        "model.width": 0.25,
        "cuts.solver": "fixed",
        "cuts.fixed": "1,1,1,1",
        "evaluation.every": 0,
        "evaluation.synthetic_images": 0,
    }
    return small_run(images, tmp_path / "runs", **{**defaults, **settings})
