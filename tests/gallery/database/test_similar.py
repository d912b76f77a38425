import numpy as np

from gallery.database.similar import nearest, signature


def test_the_nearest_rows_come_first_with_exact_distances() -> None:
    generator = np.random.default_rng(0)
    vectors = generator.normal(50, 1, (200, 12)).astype(np.float32)
    rows, distances = nearest(vectors[7:8], vectors, 10)
    expected = np.sqrt(np.square(vectors - vectors[7]).sum(1))
    assert rows[0] == 7 and distances[0] == 0
    np.testing.assert_array_equal(rows, np.argsort(expected, kind="stable")[:10])
    np.testing.assert_array_equal(distances, np.sort(expected)[:10])


def test_fewer_rows_than_asked_for_are_all_returned() -> None:
    vectors = np.eye(3, 4, dtype=np.float32)
    assert sorted(nearest(vectors[:1], vectors, 10)[0].tolist()) == [0, 1, 2]


def test_the_squared_distance_is_the_mean_square_change_of_normalized_features() -> None:
    z = np.random.default_rng(1).normal(size=100_000)
    z = (z - z.mean()) / z.std()
    a, b = np.array([[1.0, 2.0]], np.float32), np.array([[4.0, 0.5]], np.float32)
    change = np.square((a[0, 1] * z + a[0, 0]) - (b[0, 1] * z + b[0, 0])).mean()
    np.testing.assert_allclose(nearest(a, b, 1)[1][0] ** 2, change, rtol=1e-5)


def test_styles_of_a_vgg_are_compared_by_their_deepest_layer() -> None:
    widths = [16, 32, 64, 128]
    layers = [np.full((1, 2 * width), i, np.float32) for i, width in enumerate(widths)]
    vector = np.concatenate(layers, axis=1)
    np.testing.assert_array_equal(signature(vector), layers[-1])
    assert signature(np.zeros((1, 48), np.float32)).shape == (1, 48)


def test_colors_do_not_count() -> None:
    generator = np.random.default_rng(0)
    for width in (480, 48):
        vectors = generator.normal(size=(3, width)).astype(np.float32)
        colors = generator.uniform(size=(3, 9)).astype(np.float32)
        colored = np.concatenate((vectors, colors), axis=1)
        np.testing.assert_array_equal(signature(colored), signature(vectors))
