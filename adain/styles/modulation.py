"""Modulation: what a style does to the channels of a decoder, besides normalizing features."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from adain.errors import WeightsError

Array = NDArray[np.float32]

REACH = 3.0
"""Spreads from the mean beyond which a style counts as this far from it."""

GAIN = 0.1
"""Factor of the last layer's outputs: changes of channels are small."""


@dataclass(frozen=True, eq=False)
class Modulation:
    """A small network from the statistics of a style to the scales and shifts of channels.

    Attributes:
        style_mean: Mean of the `D` statistics over many paintings, `(D,)`.
        style_spread: Their standard deviation, `(D,)`.
        hidden_weight: Shape `(H, D)`.
        hidden_bias: Shape `(H,)`.
        out_weight: Shape `(P, H)`.
        out_bias: Shape `(P,)`.
    """

    style_mean: Array
    style_spread: Array
    hidden_weight: Array
    hidden_bias: Array
    out_weight: Array
    out_bias: Array

    @staticmethod
    def of(tensors: Mapping[str, Array]) -> "Modulation | None":
        """Take the `modulation.*` tensors of a decoder file; None if it is not modulated.

        Raises:
            WeightsError: If they do not fit together.
        """
        if not any(name.startswith("modulation.") for name in tensors):
            return None
        names = [field.name for field in fields(Modulation)]
        try:
            found = Modulation(*(tensors[f"modulation.{tensor_name(name)}"] for name in names))
        except KeyError as error:
            raise WeightsError(f"the decoder's modulation lacks {error.args[0]}") from error
        if not found._fits():
            raise WeightsError("the tensors of the decoder's modulation do not fit together")
        return found

    def __call__(self, vectors: Array) -> Array:
        """Return what is added to scales of 1 and to shifts, `(N, P)`.

        For each modulated convolution, first to last: scales of its channels, then shifts.

        Args:
            vectors: Styles as `StyleStatistics.to_vector` gives them, `(N, D)`; colours, which
                come after the `D` statistics, do not count.
        """
        values = (vectors[:, : len(self.style_mean)] - self.style_mean) / self.style_spread
        hidden = np.tanh(values.clip(-REACH, REACH) @ self.hidden_weight.T + self.hidden_bias)
        changes: Array = GAIN * (hidden @ self.out_weight.T + self.out_bias)
        return changes.astype(np.float32, copy=False)

    def _fits(self) -> bool:
        inputs, hidden, outputs = (
            each.shape for each in (self.style_mean, self.hidden_bias, self.out_bias)
        )
        return (
            self.style_spread.shape == inputs
            and self.hidden_weight.shape == hidden + inputs
            and self.out_weight.shape == outputs + hidden
            and len(inputs) == len(hidden) == len(outputs) == 1
        )


def tensor_name(field: str) -> str:
    """Return the name of a field in a file: `hidden.weight` for `hidden_weight`."""
    return field if field.startswith("style") else field.replace("_", ".")
