"""The way into the command, `adain` or `python -m gallery`."""

import gc
import os
import sys

# What is imported stays: to look for garbage among it every 700 objects takes 10 ms.
gc.set_threshold(10_000)

# numpy's products of matrices are small here. With threads of their own, which wait by spinning,
# they took ten times as long beside other busy processes. Read when numpy is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def main() -> None:
    """Run the command; a Ctrl-C while it is still being imported waits until then."""
    try:
        from gallery.signals import note_interrupts

        note_interrupts()
    except KeyboardInterrupt:
        print("adain: interrupted", file=sys.stderr)
        sys.exit(130)
    from gallery.cli import main as run

    try:
        run()
    finally:
        gc.freeze()  # The end of the process frees all at once; to take it apart takes 30 ms.


if __name__ == "__main__":
    main()
