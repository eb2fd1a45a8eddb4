import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from huscf_flwr.config import ComputeSection
from huscf_flwr.process import device_of, keep_freed_memory, prepare_process


def test_the_device_is_the_cpu_unless_another_is_asked_for():
    assert device_of(ComputeSection()) == torch.device("cpu")


@pytest.mark.parametrize(("setting", "found"), [("auto", True), ("auto", False), ("cuda", True)])
def test_a_cuda_device_is_used_where_there_is_one(monkeypatch, setting, found):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: found)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert device_of(ComputeSection(device=setting)) == torch.device("cuda:1" if found else "cpu")


def test_a_missing_cuda_device_is_reported_before_anything_starts(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"compute.device: cuda, .* use cpu or auto.*num-gpus"):
        prepare_process(ComputeSection(device="cuda"))


def test_float32_on_a_cuda_device_is_float32(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    prepare_process(ComputeSection(device="cuda", keep_memory=False))
    assert not torch.backends.cudnn.allow_tf32


FAULTS = """
import json, resource, sys, threading, torch
from huscf_flwr.config import ComputeSection
from huscf_flwr.process import prepare_process

prepare_process(ComputeSection(keep_memory=sys.argv[1] == "True"), threads=1)
seen = []
def use():
    for _ in range(12):
        first = torch.ones(24_000_000)
        second = first + 1
        del first, second
        seen.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
thread = threading.Thread(target=use)
thread.start()
thread.join()
print(json.dumps([torch.get_num_threads(), min(after - before for before, after in zip(seen, seen[1:]))]))
"""


def printed_by(script, keep_memory):
    """Return what ``script`` prints in a new process."""
    command = [sys.executable, "-c", script, str(keep_memory)]
    return json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def threads_and_faults(keep_memory):
    """Return the number of PyTorch's threads, and the fewest page faults while reallocating 192 MB."""
    return printed_by(FAULTS, keep_memory)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="faults are counted on Linux")
def test_freed_memory_is_reused_without_page_faults():
    assert threads_and_faults(keep_memory=False)[1] > 100
    threads, faults = threads_and_faults(keep_memory=True)
    assert threads == 1
    assert faults < 100


LARGE_PAGES = """
import json, sys, torch
from huscf_flwr.config import ComputeSection
from huscf_flwr.process import prepare_process

prepare_process(ComputeSection(keep_memory=sys.argv[1] == "True"), threads=1)
tensor = torch.ones(24_000_000)
middle, inside = tensor.data_ptr() + tensor.nbytes // 2, False
for line in open("/proc/self/smaps"):
    name, *values = line.split()
    if "-" in name:
        start, end = (int(part, 16) for part in name.split("-"))
        inside = start <= middle < end
    elif name == "VmFlags:" and inside:
        print(json.dumps("hg" in values))
"""


def asks_for_large_pages(keep_memory):
    """Return whether a process has asked for large pages in the memory of a tensor."""
    return printed_by(LARGE_PAGES, keep_memory)


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage").exists()
    or Path("/proc/sys/vm/overcommit_memory").read_text().strip() == "2",
    reason="this system has no large pages, or counts reserved addresses as memory",
)
def test_kept_memory_lies_in_large_pages():
    assert asks_for_large_pages(keep_memory=False) is False
    assert asks_for_large_pages(keep_memory=True) is True


def test_a_c_library_without_mallopt_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    assert keep_freed_memory() is False


@pytest.mark.parametrize(("setting", "share", "expected"), [(2, 1, 2), (0, 1, 1), (0, 0, None)])
def test_threads_come_from_the_setting_or_else_from_the_share(setting, share, expected):
    before = torch.get_num_threads()
    try:
        prepare_process(ComputeSection(threads=setting, keep_memory=False), share)
        assert torch.get_num_threads() == (expected or before)
    finally:
        torch.set_num_threads(before)
