"""Layers in other processes and threads: pickled, forked, in DDP, in a loader's workers."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from safetensors.torch import load_file
from shared_layers import LENGTHS, Rows, batch, distributed, gradients, layer
from torch import Tensor, nn
from torch.utils.data import DataLoader

fork = pytest.mark.skipif(
    not hasattr(os, "fork") or torch.cuda.is_available(), reason="no fork, or threads of a GPU"
)
quiet = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def test_a_layer_is_pickled() -> None:
    model = layer()
    other = pickle.loads(pickle.dumps(model))
    y, _ = model(batch(), lengths=LENGTHS)
    assert torch.equal(other(batch(), lengths=LENGTHS)[0], y)


def test_gradients_of_two_processes_are_their_mean(tmp_path: Path) -> None:
    cut = [slice(0, 5), slice(5, 12)]
    mp.spawn(distributed, args=(str(tmp_path), cut), nprocs=2)
    found = load_file(tmp_path / "gradients.safetensors")
    whole = gradients(layer(), batch(), LENGTHS)
    assert len(found) == len(whole) > 0
    for k, wanted in enumerate(whole):
        torch.testing.assert_close(found[str(k)] * 2, wanted, rtol=1e-4, atol=1e-5)


@quiet
@pytest.mark.parametrize("start", [pytest.param("fork", marks=fork), "spawn"])
def test_workers_of_a_loader_run_layers(start: str) -> None:
    rows = Rows()
    wanted = torch.stack([rows[k] for k in range(12)])  # this process has a team of threads
    loader = DataLoader(rows, batch_size=4, num_workers=2, multiprocessing_context=start)
    torch.testing.assert_close(torch.cat(list(loader)), wanted, rtol=1e-5, atol=1e-6)


def test_several_threads_train_at_once() -> None:
    wanted = gradients(layer(), batch(), LENGTHS)
    found: list[list[Tensor]] = []

    def work(model: nn.Module) -> None:
        found.extend(gradients(model, batch(), LENGTHS) for _ in range(10))

    threads = [threading.Thread(target=work, args=(layer(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 30
    for one in found:
        for got, right in zip(one, wanted, strict=True):
            torch.testing.assert_close(got, right, rtol=1e-4, atol=1e-5)


ALONE = """
import os, signal, sys
import torch
import elman.nn
layer = elman.nn.LSTM(5, 24, num_layers=2, bidirectional=True)
def train():
    layer(torch.ones(9, 12, 5))[0].sum().backward()
torch.set_num_threads(2)
train()
torch.ones(1_000_000).tanh()
child = os.fork()
if child == 0:
    signal.alarm(20)
    train()
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), "elman.kernels.cpu.team" in sys.modules)
"""


@fork
def test_a_forked_child_trains_where_torchs_own_operators_did() -> None:
    """In a process of its own: other tests have had kernels on the team before."""
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "False"]


@fork
@quiet
def test_a_forked_child_trains() -> None:
    wanted = gradients(layer(), batch(), LENGTHS)
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        try:
            same = all(map(torch.allclose, gradients(layer(), batch(), LENGTHS), wanted))
            os._exit(0 if same else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
