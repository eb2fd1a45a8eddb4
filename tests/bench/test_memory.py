import subprocess
import sys

import torch


def test_a_process_does_not_have_the_peak_of_who_started_it():
    large = torch.ones(100_000_000)
    program = "from huscf_flwr.bench.memory import peak_bytes; print(peak_bytes())"
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(child.stdout) < large.nbytes
