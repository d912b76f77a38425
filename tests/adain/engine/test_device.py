import ctypes
import os
from pathlib import Path

import pytest
import torch

from adain.engine import device as device_module
from adain.engine.device import choose_device, free_memory, keep_freed_memory, release_memory


def test_auto_takes_what_there_is() -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    if not torch.backends.mps.is_available():
        assert choose_device("auto") == expected
    assert choose_device("cpu") == "cpu"


@pytest.mark.parametrize("name", ["", "gpu", "cuda:x", "cuda:-1", "cpu:1", "mps:0", "CUDA"])
def test_an_unknown_name_lists_the_known(name: str) -> None:
    with pytest.raises(ValueError, match="expected auto, cpu, cuda, cuda:N or mps"):
        choose_device(name)


@pytest.mark.parametrize("name", ["cuda:99", "mps"])
def test_an_absent_device_is_named(name: str) -> None:
    if name == "mps" and torch.backends.mps.is_available():
        pytest.skip("this machine has it")
    with pytest.raises(ValueError, match=f"{name}' is not available"):
        choose_device(name)


@pytest.mark.parametrize("library", [object(), None])
def test_other_c_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch, library: object) -> None:
    def load(name: None) -> object:
        if library is None:
            raise OSError("no such library")
        return library

    monkeypatch.setattr(ctypes, "CDLL", load)
    keep_freed_memory()
    release_memory()


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in the place of the control groups."""
    monkeypatch.setattr(device_module, "CGROUPS", tmp_path)
    return tmp_path


def fill(group: Path, limit: str, usage: str, stat: str, values: tuple[str, int, int]) -> None:
    group.mkdir(parents=True, exist_ok=True)
    (group / limit).write_text(f"{values[0]}\n")
    (group / usage).write_text(f"{values[1]}\n")
    (group / "memory.stat").write_text(f"anon 7\n{stat} {values[2]}\n")


def test_free_memory_is_what_the_system_has(groups: Path) -> None:
    assert free_memory("cpu") > 2**20


def test_a_container_leaves_what_its_limit_does(groups: Path) -> None:
    values = ("1000000", 700_000, 200_000)  # Unused pages of files make room.
    fill(groups, "memory.max", "memory.current", "inactive_file", values)
    assert device_module._room(groups) == 500_000
    fill(groups, "memory.max", "memory.current", "inactive_file", ("max", 1, 0))
    assert device_module._room(groups) is None


def test_containers_of_the_first_version_count_too(groups: Path) -> None:
    group = groups / "memory"
    values = ("1000000", 1_500_000, 0)
    fill(group, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file", values)
    assert device_module._room(group) == 0


def test_threads_of_one_core_count_once_and_cores_of_others_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for processor in range(8):  # Of four cores with two threads each.
        folder = tmp_path / f"cpu{processor}" / "topology"
        folder.mkdir(parents=True)
        first = processor % 4
        (folder / "thread_siblings_list").write_text(f"{first},{first + 4}\n")
    monkeypatch.setattr(device_module, "CPUS", tmp_path)
    for allowed, expected in ((range(8), 4), ((0, 4), 1), ((1, 2, 6), 2), ((9, 11), 2)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, allowed=allowed: set(allowed))
        assert device_module.cores() == expected
