"""ONNX Runtime, or one line that says why it cannot be had and what to do.

It is a binary: it may be missing, or lack what it is linked against on this machine.
"""

import platform
from importlib import import_module
from types import ModuleType

from adain.errors import EngineError

VISUAL_C = "https://aka.ms/vs/17/release/vc_redist.{}.exe"
"""Where Microsoft has the library that ONNX Runtime needs on Windows."""


def import_onnxruntime() -> ModuleType:
    """Return the module `onnxruntime`.

    Raises:
        EngineError: If it is not installed or cannot be loaded; the text says what to do.
    """
    try:
        return import_module("onnxruntime")
    except ImportError as error:
        raise EngineError(_remedy(error)) from error


def _remedy(error: ImportError) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed; run: pip install onnxruntime"
    detail = " ".join(str(error).split())
    if "DLL load failed" in detail:
        processor = "arm64" if platform.machine().upper() == "ARM64" else "x64"
        return (
            "ONNX Runtime needs the Visual C++ runtime of Microsoft; install "
            f"{VISUAL_C.format(processor)} and start again"
        )
    return (
        f"ONNX Runtime cannot be loaded ({detail}); run: pip install --force-reinstall onnxruntime"
    )
