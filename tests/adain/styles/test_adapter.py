import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adain.errors import WeightsError
from adain.styles.adapter import Adapter, decoder_digest, mix_adapters

RANDOM = np.random.default_rng(0)

DECODER = {
    "1.weight": RANDOM.normal(size=(4, 8, 3, 3)).astype(np.float32),
    "1.bias": RANDOM.normal(size=4).astype(np.float32),
    "3.weight": RANDOM.normal(size=(4, 6, 1, 1)).astype(np.float32),
    "colors.weight": RANDOM.normal(size=(5, 9)).astype(np.float32),
}
BASE = decoder_digest(DECODER)


def adapter(seed: int) -> Adapter:
    random = np.random.default_rng(seed)
    shapes = {
        "1.weight.up": (4, 2),
        "1.weight.down": (2, 72),
        "1.weight.scale": (4,),
        "1.bias": (4,),
        "3.weight": (4, 6, 1, 1),
    }
    tensors = {name: random.normal(size=shape).astype(np.float16) for name, shape in shapes.items()}
    return Adapter(BASE, {k: v.astype(np.float32) for k, v in tensors.items()}, {"steps": 3})


def test_the_differences_are_added_in_proportion_to_the_strength() -> None:
    learnt = adapter(1)
    whole, half, none = (learnt.merged(DECODER, share) for share in (1.0, 0.5, 0.0))
    for name, value in DECODER.items():
        np.testing.assert_array_equal(none[name], value)
        np.testing.assert_allclose(half[name], (value + whole[name]) / 2, atol=1e-5)
    expected = DECODER["1.weight"] * (1 + learnt.tensors["1.weight.scale"][:, None, None, None])
    low_rank = learnt.tensors["1.weight.up"] @ learnt.tensors["1.weight.down"]
    np.testing.assert_allclose(
        whole["1.weight"], expected + low_rank.reshape(4, 8, 3, 3), atol=1e-5
    )
    np.testing.assert_array_equal(whole["colors.weight"], DECODER["colors.weight"])


@given(st.lists(st.floats(0.1, 3), min_size=2, max_size=4), st.booleans())
@settings(max_examples=20)
def test_a_mixture_has_the_average_of_the_merged_weights(weights: list[float], gap: bool) -> None:
    adapters = [adapter(i) for i in range(len(weights))]
    given_: list[Adapter | None] = [None, *adapters[1:]] if gap else [*adapters]
    mixed = mix_adapters(given_, weights)
    assert mixed is not None
    merged = [DECODER if each is None else each.merged(DECODER) for each in given_]
    for name, value in mixed.merged(DECODER).items():
        parts = [each[name] for each in merged]
        np.testing.assert_allclose(value, np.average(parts, axis=0, weights=weights), atol=1e-4)
    assert mix_adapters([None, None], [1, 1]) is None


def test_a_file_holds_all_of_it() -> None:
    learnt = adapter(2)
    again = Adapter.from_bytes(learnt.to_bytes())
    assert again == learnt and hash(again) == hash(learnt) and again.facts == {"steps": 3}
    assert again != adapter(3)


@pytest.mark.parametrize("cut", [0, 4, 40, 300, -1])
def test_a_damaged_file_is_one_line(cut: int) -> None:
    with pytest.raises(WeightsError, match="adapter"):
        Adapter.from_bytes(adapter(2).to_bytes()[:cut])


def test_what_is_no_adapter_or_does_not_fit_is_refused() -> None:
    with pytest.raises(WeightsError, match="not finite"):
        Adapter.from_bytes(Adapter(BASE, {"1.bias": np.full(4, np.nan, np.float32)}).to_bytes())
    with pytest.raises(WeightsError, match="does not fit"):
        Adapter(BASE, {"1.bias": np.zeros(3, np.float32)}).merged(DECODER)
