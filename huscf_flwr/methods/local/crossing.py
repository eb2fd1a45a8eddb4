"""What crosses between clients that train alone and the server: how they introduce themselves, and scores."""

from __future__ import annotations

from huscf_flwr.methods.contract import Crossing

GENERATORS = Crossing(
    scores=(
        *("label_fidelity", "generation_score", "fid", "judge_accuracy", "inception_fid"),
        *("tstr_accuracy", "tstr_f1"),
    )
)
CLASSIFIERS = Crossing(scores=("accuracy", "f1", "loss"))
