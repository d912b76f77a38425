"""Errors that the application raises.

GalleryError
├── StyleNotFound   neither a painting of the gallery nor a picture
├── StylesError     style statistics are missing, damaged or of another encoder
├── MaskError       a mask does not fit the photo or the styles
├── FilmError       a film cannot be read
├── OutputError     a result cannot be put where it was asked for
├── CheckpointError a checkpoint is damaged or belongs to another run
├── ManifestError   a list of pictures, or a line of it, cannot be used
├── DownloadError   a file cannot be had from the web, or must not be
└── DatabaseError   the database cannot be opened, read or written
    └── SchemaError     its tables are of another version

The library's errors (`adain.errors`) pass through unchanged. The text of every error says what
failed, with which file or value, and what to do.
"""


class GalleryError(Exception):
    """Base of every error that the application raises on purpose."""


class StyleNotFound(GalleryError):
    """A style is neither in the gallery nor a picture file."""


class StylesError(GalleryError):
    """Style statistics are missing, damaged or of another encoder."""


class FilmError(GalleryError):
    """A film cannot be read."""


class OutputError(GalleryError):
    """A result cannot be put where it was asked for."""


class CheckpointError(GalleryError):
    """A checkpoint is damaged or belongs to another run."""


class ManifestError(GalleryError):
    """A list of pictures, or a line of it, cannot be used."""


class DownloadError(GalleryError):
    """A file cannot be had from the web, or must not be fetched."""


class DatabaseError(GalleryError):
    """The database cannot be opened, read or written."""


class SchemaError(DatabaseError):
    """The tables of the database are of another version than this program's."""
