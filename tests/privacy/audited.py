"""A run of the demo's width, so that its heads hold whole images, small enough to be attacked in a test."""

import torch

from huscf_flwr.data import write_idx_folder
from huscf_flwr.data.digits import make_digits
from tests.run.builders import small_run, write_domains


def audited_run(tmp_path, **settings):
    """Two clients whose networks are cut next to their ends; settings by dotted name."""
    return _run(write_domains(tmp_path / "images"), tmp_path, **settings)


def digits_run(tmp_path, **settings):
    """The same with real digits, of which 360 are public: so many that it is known what they are like."""
    train, test = make_digits()
    chosen = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:128]
    write_idx_folder(tmp_path / "images" / "digits", train.subset(chosen), test)
    return _run(
        tmp_path / "images",
        tmp_path,
        **{"data.scenario": "label-skew-1.0", "data.domains": "digits", **settings},
    )


def _run(images, tmp_path, **settings):
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
