"""Training on several devices: the processes that torchrun started."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist

from adain.engine.device import LAYER_BLOCK, choose_device, keep_freed_memory


@contextmanager
def process_group(device: str) -> Iterator[tuple[int, torch.device]]:
    """Join the processes that torchrun started, if it did; yield the rank and its device.

    Args:
        device: Where to train; of several GPUs each process takes its own.
    """
    keep_freed_memory(LAYER_BLOCK)
    if "RANK" not in os.environ:
        yield 0, torch.device(device)
        return
    cuda = device.startswith("cuda")
    own = choose_device(f"cuda:{os.environ['LOCAL_RANK']}") if cuda else device
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield dist.get_rank(), torch.device(own)
    finally:
        dist.destroy_process_group()
