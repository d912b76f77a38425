"""Adapters: what a decoder's weights become for one painting, learnt in minutes.

An adapter holds differences of low rank (Hu et al., "LoRA", 2021), which are added to the weights
before they run: a pass costs what it costs without. The differences are linear, so that a mixture
of styles has the mixture of their adapters, and a strength is a factor.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from adain.errors import WeightsError

Array = NDArray[np.float32]

FORMAT = "adain-adapter/1"

RANK = 6
"""Rank of the difference of a 3x3 convolution: in a trial 6 lost nothing against all weights."""

PROJECTION_RANK = 16
"""The same of a 1x1 convolution, where whole it would be larger."""

MAX_BYTES = 4 * 2**20
"""Largest file that is read as an adapter."""


@dataclass(frozen=True, eq=False)
class Adapter:
    """Differences of a decoder's weights.

    Attributes:
        base: `decoder_digest` of the decoder that they belong to.
        tensors: For a weight `NAME` `(O, I, k, k)` of low rank `NAME.up` `(O, r)` and `NAME.down`
            `(r, I * k * k)`, else the difference as `NAME`; for each convolution also
            `NAME.scale` `(O,)`, the change of a factor of 1 for each channel.
        facts: What is told about it: steps, losses.
    """

    base: str
    tensors: Mapping[str, Array] = field(repr=False)
    facts: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """Return 16 hex digits that identify the differences."""
        digest = hashlib.sha256(self.base.encode())
        for name, value in sorted(self.tensors.items()):
            digest.update(name.encode())
            digest.update(value.astype(np.float32).tobytes())
        return digest.hexdigest()[:16]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Adapter) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def merged(self, decoder: Mapping[str, Array], strength: float = 1.0) -> dict[str, Array]:
        """Return the weights of the decoder with the differences added.

        Args:
            decoder: Its weights by name.
            strength: Factor of the differences.

        Raises:
            WeightsError: If they do not fit.
        """
        weights = dict(decoder)
        try:
            for name, value in decoder.items():
                change = self._change(name, value)
                if change is not None:
                    weights[name] = (value + np.float32(strength) * change).astype(np.float32)
        except ValueError as error:
            raise WeightsError(f"the adapter does not fit the decoder ({error})") from error
        return weights

    def _change(self, name: str, value: Array) -> Array | None:
        tensors = self.tensors
        change = None
        if name in tensors:
            change = tensors[name].reshape(value.shape)
        elif f"{name}.up" in tensors:
            change = (tensors[f"{name}.up"] @ tensors[f"{name}.down"]).reshape(value.shape)
        if f"{name}.scale" in tensors:
            scaled = tensors[f"{name}.scale"].reshape(-1, *(1,) * (value.ndim - 1)) * value
            change = scaled if change is None else change + scaled
        return change

    def to_bytes(self) -> bytes:
        """Return the content of a file, in half precision."""
        tensors = {k: np.ascontiguousarray(v, np.float16) for k, v in self.tensors.items()}
        facts = {"format": FORMAT, "base": self.base, "facts": dict(self.facts)}
        # One entry: several are written in any order, and the same should give the same bytes.
        return save(tensors, {"adapter": json.dumps(facts, sort_keys=True)})

    @staticmethod
    def from_bytes(content: bytes, name: str = "the adapter") -> "Adapter":
        """Read what `to_bytes` gave.

        Raises:
            WeightsError: If it is damaged, of another kind or not finite.
        """
        said = _facts(content, name)
        base, facts = said.get("base"), said.get("facts")
        if said.get("format") != FORMAT or not isinstance(base, str):
            raise WeightsError(f"{name}: no adapter of a painting")
        try:
            tensors = {k: v.astype(np.float32) for k, v in load(content).items()}
        except (SafetensorError, TypeError, KeyError, ValueError) as error:
            raise WeightsError(f"{name}: damaged adapter ({error}); learn it again") from error
        if not all(np.isfinite(value).all() for value in tensors.values()):
            raise WeightsError(f"{name}: the adapter holds numbers that are not finite")
        return Adapter(base, tensors, facts if isinstance(facts, dict) else {})


def mix_adapters(adapters: Sequence[Adapter | None], weights: Sequence[float]) -> Adapter | None:
    """Return the adapter of a mixture of styles; those without one count as no difference.

    Args:
        adapters: Of one base.
        weights: Shares of the styles; they are divided by their sum.
    """
    total = sum(weights)
    parts = [(a, w / total) for a, w in zip(adapters, weights, strict=True) if a is not None]
    if not parts:
        return None
    if len(parts) == 1 and parts[0][1] == 1:
        return parts[0][0]
    names = dict.fromkeys(name for adapter, _ in parts for name in adapter.tensors)
    tensors: dict[str, Array] = {}
    for name in names:
        values = [(a.tensors[name], np.float32(w)) for a, w in parts if name in a.tensors]
        if name.endswith(".up"):
            tensors[name] = np.concatenate([value * weight for value, weight in values], 1)
        elif name.endswith(".down"):
            tensors[name] = np.concatenate([value for value, _ in values])
        else:
            tensors[name] = np.sum([value * weight for value, weight in values], 0)
    return Adapter(parts[0][0].base, tensors)


def decoder_digest(decoder: Mapping[str, Array]) -> str:
    """Return 16 hex digits that identify a decoder to its adapters."""
    digest = hashlib.sha256()
    for name, value in sorted(decoder.items()):
        if name[0].isdecimal():  # A row: what tells colours or modulation may change.
            digest.update(name.encode())
            digest.update(value.tobytes())
    return digest.hexdigest()[:16]


def _facts(content: bytes, name: str) -> dict[str, Any]:
    """Return what the metadata of the content of a safetensors file say."""
    try:
        size = int.from_bytes(content[:8], "little")
        if len(content) > MAX_BYTES or not 0 < size <= len(content) - 8:
            raise ValueError("its length is wrong")
        said = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["adapter"])
        return dict(said)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{name}: damaged adapter ({error}); learn it again") from error
