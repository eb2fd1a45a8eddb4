"""A4 by gradients alone, on the demo: what comes of hijacks of several widths, and when a client leaves.

``python -m tests.privacy.steering_table`` prints it. One epoch of the demo, then 120 steps of client 0 with
cut 1-1-2-1 for each width, once with a client that looks at its gradients and once with one that does not;
some minutes on a core that does nothing else.
"""

import tempfile
from functools import partial
from unittest.mock import patch

from huscf_flwr.config import load_config
from huscf_flwr.methods import resolved
from huscf_flwr.methods.huscf import HuSCF
from huscf_flwr.privacy.audited_runs import Wanted, audit_config
from huscf_flwr.privacy.registry import ON
from huscf_flwr.privacy.steering_server import adding, replaced_by, steered
from huscf_flwr.run.display import NoDisplay

SETTINGS = (
    *("local_epochs=1", "compute.threads=1", "evaluation.every=0", "evaluation.synthetic_images=0"),
    *("cuts.solver=fixed", "cuts.fixed=1,1,2,1"),
)
WAYS = {
    "honest": adding(0.0),
    "2.5 times as wide, in their place": replaced_by(2.5),
    **{f"{share:g} as wide, added": adding(share) for share in (1.0, 0.5, 0.25, 0.125)},
}


@patch.dict(ON[HuSCF].attacks, {"A4-gradients": partial(steered, ways=WAYS)})
def main():
    wanted = Wanted(("A4-gradients",), clients_of_a_cut=1)
    for looks in ("false", "true"):
        with tempfile.TemporaryDirectory() as folder:
            settings = (*SETTINGS, f"output={folder}", f"privacy.detect_tampering={looks}")
            config = resolved(load_config("demo", list(settings)))
            (audited,) = audit_config(
                config, rounds=1, cuts=(), defences=["as configured"], wanted=wanted, display=NoDisplay()
            )
        print(f"privacy.detect_tampering: {looks}")
        for name, found in zip(WAYS, audited.findings, strict=True):
            had = found.reason
            if found.value is not None:
                had = f"{found.value:.1f} dB, mean image {found.chance:.1f} dB"
            print(f"  {name}: {had}", flush=True)


if __name__ == "__main__":
    main()
