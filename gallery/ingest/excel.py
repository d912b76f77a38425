"""Excel files as tables: the rows of the first sheet, by the names of its columns."""

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from adain.errors import how_to_install
from gallery.errors import ManifestError

MAX_BYTES = 512 * 2**20
"""Most bytes of the parts of a file, unpacked; a table of 100,000 paintings has some 50 MiB."""


def excel_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any] | Exception]]:
    """Yield the rows of an Excel file (`.xlsx`), with their numbers as Excel shows them.

    The first row that is not empty names the columns; what is empty, or in a column without a
    name, is left out.

    Raises:
        OSError: If the file cannot be read.
        ManifestError: If it is none, or the library that reads it is missing.
    """
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        message = f"needs openpyxl; run: {how_to_install('excel')}, or save it as CSV (UTF-8)"
        raise ManifestError(f"{path}: {message}") from error
    try:
        with ZipFile(path) as archive:
            if sum(part.file_size for part in archive.infolist()) > MAX_BYTES:
                raise ManifestError(f"{path}: larger than {MAX_BYTES:,} bytes when it is unpacked")
        book = load_workbook(path, read_only=True, data_only=True)
    except (BadZipFile, KeyError, ValueError, TypeError, SyntaxError) as error:
        # A broken part is an ElementTree.ParseError, which is a SyntaxError.
        message = "not an Excel file (.xlsx) that can be read; save it again, or as CSV (UTF-8)"
        raise ManifestError(f"{path}: {message}") from error
    try:
        yield from _rows(book.worksheets[0].iter_rows(values_only=True))
    except (BadZipFile, IndexError, KeyError, ValueError, TypeError, SyntaxError) as error:
        raise ManifestError(f"{path}: is damaged, or has no sheet; save it again") from error
    finally:
        book.close()


def _rows(lines: Iterator[tuple[Any, ...]]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    columns: list[str] | None = None
    for number, cells in enumerate(lines, 1):
        values = [_plain(cell) for cell in cells]
        if not any(value not in (None, "") for value in values):
            continue
        if columns is None:
            columns = [str(value or "") for value in values]
        else:
            pairs = zip(columns, values, strict=False)
            yield number, {name: value for name, value in pairs if name and value is not None}


def _plain(cell: Any) -> Any:
    """Return a cell as a manifest has it: Excel knows no whole numbers, and dates of its own."""
    if isinstance(cell, float) and cell.is_integer():
        return int(cell)
    if isinstance(cell, date):
        return cell.isoformat()[:10]
    return cell if cell is None or isinstance(cell, str | int | float) else str(cell)
