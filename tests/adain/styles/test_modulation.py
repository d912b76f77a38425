import numpy as np
import pytest
from numpy.typing import NDArray

from adain.errors import WeightsError
from adain.styles.modulation import Modulation

SHAPES = {
    "modulation.style_mean": (6,),
    "modulation.style_spread": (6,),
    "modulation.hidden.weight": (4, 6),
    "modulation.hidden.bias": (4,),
    "modulation.out.weight": (10, 4),
    "modulation.out.bias": (10,),
}


def tensors() -> dict[str, NDArray[np.float32]]:
    random = np.random.default_rng(0)
    return {name: random.random(shape, np.float32) + 0.1 for name, shape in SHAPES.items()}


def modulation() -> Modulation:
    found = Modulation.of(tensors())
    assert found is not None
    return found


def test_a_style_is_modulated_as_the_formula_says() -> None:
    each = modulation()
    style = np.random.default_rng(1).random((3, 6), np.float32)
    values = ((style - each.style_mean) / each.style_spread).clip(-3, 3)
    hidden = np.tanh(values @ each.hidden_weight.T + each.hidden_bias)
    expected = 0.1 * (hidden @ each.out_weight.T + each.out_bias)
    assert each(style).dtype == np.float32
    np.testing.assert_allclose(each(style), expected, rtol=1e-6)


def test_no_style_is_farther_than_the_clip_and_colours_do_not_count() -> None:
    each = modulation()
    far = each.style_mean + 3 * each.style_spread
    farther = np.concatenate((far + 100, np.ones(9, np.float32)))
    np.testing.assert_allclose(each(farther[None]), each(far[None]), rtol=1e-5)


def test_a_decoder_without_modulation_has_none() -> None:
    assert Modulation.of({"1.weight": np.zeros(3, np.float32)}) is None


@pytest.mark.parametrize("name", SHAPES)
def test_tensors_that_are_missing_or_do_not_fit_are_refused(name: str) -> None:
    rest = {key: value for key, value in tensors().items() if key != name}
    with pytest.raises(WeightsError, match=f"lacks {name}"):
        Modulation.of(rest)
    with pytest.raises(WeightsError, match="do not fit"):
        Modulation.of({**rest, name: np.zeros((3, 3), np.float32)})
