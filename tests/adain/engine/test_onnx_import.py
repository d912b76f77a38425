import platform
import sys
from types import ModuleType

import pytest

from adain.engine import onnx_import
from adain.engine.onnx_import import import_onnxruntime
from adain.errors import EngineError

DLL = "DLL load failed while importing onnxruntime_pybind11_state: A dynamic link library (DLL) "


def failing(error: ImportError, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the line that this failure of the import becomes."""

    def fail(name: str) -> ModuleType:
        raise error

    monkeypatch.setattr(onnx_import, "import_module", fail)
    with pytest.raises(EngineError) as caught:
        import_onnxruntime()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_onnxruntime_is_imported() -> None:
    assert import_onnxruntime() is sys.modules["onnxruntime"]


def test_without_onnxruntime_the_command_that_installs_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EngineError, match=r"^onnxruntime is not installed; run: pip install onnx"):
        import_onnxruntime()


def test_what_onnxruntime_itself_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    error = ModuleNotFoundError("No module named 'flatbuffers'", name="flatbuffers")
    assert failing(error, monkeypatch).startswith("flatbuffers is not installed; run: pip install")


@pytest.mark.parametrize(("machine", "file"), [("AMD64", "x64"), ("ARM64", "arm64")])
def test_a_missing_runtime_of_windows_is_told_with_its_address(
    machine: str, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    line = failing(ImportError(f"{DLL}\ninitialization routine failed."), monkeypatch)
    assert "needs the Visual C++ runtime" in line and f"/vc_redist.{file}.exe " in line


def test_what_else_hinders_it_is_told_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    error = ImportError("libstdc++.so.6: cannot open\nshared object file")
    line = failing(error, monkeypatch)
    assert "(libstdc++.so.6: cannot open shared object file); run: pip install --force" in line
