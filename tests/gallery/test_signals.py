"""When an interrupt is raised, noted or left alone; each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends signals")

ROOT = Path(__file__).parents[2]

BEGIN = """
import os, signal, time
from gallery.signals import hold_interrupts, interruptible, note_interrupts, was_interrupted
"""


def run(folder: Path, code: str) -> str:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    command = [sys.executable, "-c", BEGIN + code]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_an_interrupt_before_the_command_is_raised_when_it_begins(tmp_path: Path) -> None:
    code = """
note_interrupts()
signal.raise_signal(signal.SIGTERM)
try:
    with interruptible():
        print("not reached")
except KeyboardInterrupt:
    print("raised", was_interrupted())
"""
    assert run(tmp_path, code) == "raised True\n"


def test_an_interrupt_amid_an_import_is_raised_after_it(tmp_path: Path) -> None:
    """Also where the command waits by then: no second Ctrl-C is needed."""
    (tmp_path / "slow.py").write_text(
        "import signal\n"
        "try:\n    signal.raise_signal(signal.SIGINT)\n    whole = True\n"
        "except BaseException:\n    raise ImportError('initialization failed')\n"
    )
    code = """
note_interrupts()
try:
    with interruptible():
        import slow
        print("whole", slow.whole)
        time.sleep(50)
except KeyboardInterrupt:
    print("raised")
"""
    assert run(tmp_path, code) == "whole True\nraised\n"


def test_an_interrupt_that_an_object_swallows_at_its_end_is_raised_again(tmp_path: Path) -> None:
    code = """
class Swallowing:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

note_interrupts()
try:
    with interruptible():
        Swallowing()
        time.sleep(50)
except KeyboardInterrupt:
    print("raised")
"""
    assert run(tmp_path, code) == "raised\n"


def test_a_command_that_has_ended_is_not_changed_by_an_interrupt(tmp_path: Path) -> None:
    code = """
note_interrupts()
with interruptible():
    pass
signal.raise_signal(signal.SIGINT)
print("done")
"""
    assert run(tmp_path, code) == "done\n"


def test_ctrl_c_stays_ignored_where_it_was_and_sigterm_still_ends(tmp_path: Path) -> None:
    code = """
signal.signal(signal.SIGINT, signal.SIG_IGN)  # As a shell does for `adain ... &` in a script.
note_interrupts()
try:
    with interruptible():
        with hold_interrupts() as held:
            signal.raise_signal(signal.SIGINT)
            print(held)
        signal.raise_signal(signal.SIGTERM)
except KeyboardInterrupt:
    print("raised")
"""
    assert run(tmp_path, code) == "[]\nraised\n"
