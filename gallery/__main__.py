"""`python -m gallery` runs the `adain` command."""

from gallery.cli import main

main()
