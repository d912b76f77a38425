"""The way into the command, `adain` or `python -m gallery`."""

import os
import sys

# numpy's products of matrices are small here. With threads of their own, which wait by spinning,
# they took ten times as long beside other busy processes. Read when numpy is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def main() -> None:
    """Run the command; Ctrl-C ends it in one line also while it is still being imported."""
    try:
        from gallery.cli import main as run

        run()
    except KeyboardInterrupt:
        print("adain: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
