"""Keys that let programs and people in: random, kept as SHA-256 only, each with scopes."""

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from adain.files import new_file
from gallery.errors import GalleryError

SCOPES = ("read", "stylize", "admin")
"""`read` looks things up, `stylize` paints, `admin` changes the gallery
and sees the metrics; each includes the former."""


MAY_CHANGE = "adain.may_change"
"""In the scope of a request: whether whoever asks may change the gallery."""


class KeysError(GalleryError):
    """The file of keys cannot be read or written, or a key cannot be made."""


@dataclass(frozen=True)
class Key:
    """The facts about a key; the key itself is not kept.

    Attributes:
        name: Whose it is.
        sha256: Digest of the key, which is random enough to need no slow hash.
        scope: The most that it may do.
    """

    name: str
    sha256: str
    scope: str

    def allows(self, scope: str) -> bool:
        """Return whether it may do what a scope stands for."""
        return SCOPES.index(scope) <= SCOPES.index(self.scope)


def load_keys(path: Path) -> tuple[Key, ...]:
    """Read a file of keys; one that does not exist holds none.

    Raises:
        KeysError: If it cannot be read, or holds something else.
    """
    try:
        keys = tuple(Key(**value) for value in json.loads(path.read_text(encoding="utf-8")))
        if not all(
            key.scope in SCOPES and re.fullmatch("[0-9a-f]{64}", key.sha256) for key in keys
        ):
            raise ValueError("not keys")
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, TypeError) as error:
        raise KeysError(f"{path}: cannot be read as a file of keys; make a new one") from error
    return keys


def add_key(path: Path, name: str, scope: str) -> str:
    """Make a key, keep its digest, and return it; nothing else ever can.

    Raises:
        KeysError: If the name is taken, or the file cannot be written.
    """
    keys = load_keys(path)
    if any(key.name == name for key in keys):
        raise KeysError(f"{name!r}: there is a key of this name; remove it first")
    secret = f"adain_{secrets.token_urlsafe(32)}"
    _save(path, [*keys, Key(name, _digest(secret), scope)])
    return secret


def remove_key(path: Path, name: str) -> None:
    """Forget a key.

    Raises:
        KeysError: If there is none of this name, or the file cannot be written.
    """
    keys = load_keys(path)
    kept = [key for key in keys if key.name != name]
    if len(kept) == len(keys):
        raise KeysError(f"{name!r}: there is no key of this name")
    _save(path, kept)


def find_key(keys: Sequence[Key], secret: str) -> Key | None:
    """Return the key that was shown, in a time that does not tell how nearly it fits."""
    digest = _digest(secret)
    fitting = [key for key in keys if hmac.compare_digest(key.sha256, digest)]
    return fitting[0] if fitting else None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _save(path: Path, keys: Sequence[Key]) -> None:
    text = json.dumps([vars(key) for key in keys], indent=2) + "\n"
    try:
        with new_file(path, overwrite=True, parents=True, mode=0o600) as file:
            file.write(text.encode())
    except OSError as error:
        raise KeysError(f"{path}: cannot be written ({error.strerror})") from error
