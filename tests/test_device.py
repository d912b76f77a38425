import ctypes

import pytest
import torch

from adain.device import choose_device, keep_freed_memory


def test_auto_takes_what_there_is() -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    if not torch.backends.mps.is_available():
        assert choose_device("auto").type == expected
    assert choose_device("cpu") == torch.device("cpu")


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
