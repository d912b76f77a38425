"""What the application raises.

GalleryError
├── StyleNotFound   neither a shipped style nor a picture
├── StylesError     the file of shipped styles is missing, damaged or of another encoder
└── OutputError     a result cannot be put where it was asked for

The library's errors (`adain.errors`) pass through unchanged. The text of every error says what
failed, with which file or value, and what to do.
"""


class GalleryError(Exception):
    """Base of every error that the application raises on purpose."""


class StyleNotFound(GalleryError):
    """A style is neither the name of a shipped one nor a picture file."""


class StylesError(GalleryError):
    """The file of shipped styles is missing, damaged or of another encoder."""


class OutputError(GalleryError):
    """A result cannot be put where it was asked for."""
