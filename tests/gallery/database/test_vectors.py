import numpy as np

from gallery.database.vectors import (
    Vectors,
    broken_colors,
    has_colors,
    join_vectors,
    misfits,
    pack_vector,
    statistics,
    unpack_vectors,
    with_colors,
)

GREY = [0.5] * 3 + [0.25] * 6


def vectors(*colors: list[float], size: int = 30) -> Vectors:
    rows = [[*range(i, i + size), *each] for i, each in enumerate(colors)]
    return np.array(rows, np.float32)


def test_vectors_with_and_without_colors_stand_in_one_array() -> None:
    colored, plain = vectors(GREY, GREY), vectors([])
    assert has_colors(colored).all() and not has_colors(plain).any()
    joined = join_vectors([colored, plain])
    assert has_colors(joined).tolist() == [True, True, False]
    np.testing.assert_array_equal(statistics(joined)[2:], plain)
    np.testing.assert_array_equal(joined[:2], colored)
    np.testing.assert_array_equal(join_vectors([plain, plain]), np.repeat(plain, 2, 0))


def test_what_is_packed_comes_back_without_what_is_not_known() -> None:
    colored, plain = vectors(GREY), vectors([])
    packed = [pack_vector(each) for each in (colored[0], with_colors(plain)[0], plain[0])]
    assert packed[1] == packed[2] == plain.tobytes()
    np.testing.assert_array_equal(unpack_vectors(packed[:1]), colored)
    np.testing.assert_array_equal(unpack_vectors(packed[1:]), np.repeat(plain, 2, 0))
    np.testing.assert_array_equal(unpack_vectors(packed[:2]), join_vectors([colored, plain]))


def test_those_of_another_length_are_found_whatever_colors_they_have() -> None:
    lengths = [len(pack_vector(each[0])) for each in (vectors(GREY), vectors([]))]
    other = len(pack_vector(vectors(GREY, size=28)[0]))
    assert misfits([*lengths, other, lengths[0]]) == [2]
    assert misfits([*lengths, 5]) == [2]
    assert misfits([]) == []


def test_colors_that_no_picture_has_are_found() -> None:
    negative, outside = [0.5] * 3 + [0.1] * 6, [2.0] * 3 + [4.0] * 6
    holed, unknown = [np.nan, *GREY[1:]], [np.nan] * 9
    assert broken_colors(vectors(GREY, negative, unknown, outside, holed)) == [1, 3, 4]
    assert broken_colors(vectors(GREY, unknown)) == broken_colors(vectors([])) == []
