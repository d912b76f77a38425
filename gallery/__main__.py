"""The way into the command, `adain` or `python -m gallery`."""

import sys


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
