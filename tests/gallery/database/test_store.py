import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from shipping import ship
from sqlalchemy import make_url, text
from sqlalchemy.orm import Session

from gallery.config import database_url
from gallery.database.embeddings import NEAREST, has_embeddings, nearest_embeddings
from gallery.database.engine import connect
from gallery.database.gallery import Gallery, make_gallery, open_gallery, upgrade_gallery
from gallery.database.paintings import Painting
from gallery.database.plain import SCHEMA
from gallery.database.queries import rows_with_words
from gallery.database.similar import nearest
from gallery.database.style_files import StyleFile, load_styles
from gallery.errors import DatabaseError, StyleNotFound, StylesError

ENCODER = "0123456789abcdef"


@pytest.fixture
def starter(styles: StyleFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """The four paintings of `conftest` in the place of the starter gallery."""
    ship(styles, monkeypatch)


@pytest.fixture(params=["sqlite", "postgresql"])
def gallery(starter: None, request: pytest.FixtureRequest) -> Iterator[Gallery]:
    """A gallery in each kind of database."""
    if request.param == "postgresql":
        request.getfixturevalue("postgresql")
    gallery = make_gallery(database_url())
    yield gallery
    gallery.close()


@pytest.fixture
def sqlite(starter: None) -> Gallery:
    """A gallery in a SQLite file, for what only that has."""
    return make_gallery(database_url())


def painting(number: int, title: str = "Untitled", **facts: object) -> Painting:
    digest = f"{number:064x}"
    plain = Painting("", title, sha256=digest, pixel_sha256=digest[::-1])
    return replace(plain, **facts)  # type: ignore[arg-type]


# Finding


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("irises", "irises"),
        ("Irises", "irises"),
        ("2", "irises"),
        ("Café Terrace at Night", "cafe-terrace"),
        ("monet", "water-lilies"),
        ("Claude Monet", "water-lilies"),
        ("van gogh terrace", "cafe-terrace"),
        ("munch: melancholy", "melancholy"),
        ("melanch", "melancholy"),
    ],
)
def test_a_painting_is_found_by_number_slug_title_or_artist(
    gallery: Gallery, name: str, slug: str
) -> None:
    assert gallery.find(name).slug == slug


def test_more_paintings_are_read_than_a_statement_may_bind(gallery: Gallery) -> None:
    found = gallery.pictures(range(70_000, 0, -1))
    assert found == gallery.page()[::-1] and len(found) == 4


def test_words_that_fit_several_ask_which_one(gallery: Gallery) -> None:
    with pytest.raises(StyleNotFound, match=r"several paintings; .* cafe-terrace, irises"):
        gallery.find("gogh")


def test_an_exact_title_wins_over_longer_ones(gallery: Gallery) -> None:
    titles = ("Irises in a Vase", "Wide Field", "Field", "Field II")
    gallery.add([painting(i, title, artist="Nobody") for i, title in enumerate(titles)])
    assert gallery.find("irises").slug == "irises"
    assert gallery.find("nobody: Field").title == "Field"


def test_a_colon_parts_artist_and_title(gallery: Gallery) -> None:
    gallery.add([painting(1, "Impression, Sunrise", artist="Claude Monet", styles=("Impress",))])
    assert gallery.find("monet: impression").title == "Impression, Sunrise"
    assert gallery.find("clau:lil").slug == "water-lilies"
    gallery.add([painting(2, "Summer: Impressions", artist="Claude Monet")])
    assert gallery.find("summer: impressions").title == "Summer: Impressions"
    with pytest.raises(StyleNotFound, match="impression-sunrise, summer-impressions,"):
        gallery.find("monet: impression")
    with pytest.raises(StyleNotFound, match="no painting named"):
        gallery.find("monet: irises")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("irisis", "did you mean irises?"),
        ("munhc", "did you mean 'artist:edvard-munch' or melancholy?"),
        ("gogh skull", "did you mean 'artist:vincent-van-gogh'?"),
        ("the water lilys", "did you mean water-lilies?"),
        ("terrace nihgt", "did you mean cafe-terrace?"),
        ("waterlilies", "did you mean water-lilies?"),
        ("vangogh", "did you mean 'artist:vincent-van-gogh'"),
    ],
)
def test_a_miss_suggests_paintings_and_artists_with_the_same_words(
    gallery: Gallery, name: str, meant: str
) -> None:
    with pytest.raises(StyleNotFound) as caught:
        gallery.find(name)
    assert meant in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["guernica", "tree of life", "persistence of memory", "nosuch.jpg", "", "星月夜", "99",
     "9" * 40, "'", '"', "%", "the", "a* OR b"],
)  # fmt: skip
def test_nothing_is_suggested_where_no_word_is_the_same(gallery: Gallery, name: str) -> None:
    with pytest.raises(StyleNotFound) as caught:
        gallery.find(name)
    assert "did you mean" not in str(caught.value)
    assert "painters who died in 1955 or before" in str(caught.value)


def test_the_name_of_an_artist_or_a_movement_leads_to_all_of_it(gallery: Gallery) -> None:
    with pytest.raises(StyleNotFound, match="or 'artist:vincent-van-gogh' for all of Vincent van"):
        gallery.find("van gogh")
    with pytest.raises(StyleNotFound, match="or 'style:impressionism' for all of Impressionism"):
        gallery.find("impressionism")
    with pytest.raises(StyleNotFound, match="did you mean 'artist:vincent-van-gogh'"):
        gallery.find_group("style", "van gogh")


def test_search_takes_beginnings_of_words_in_every_script(gallery: Gallery) -> None:
    gallery.add([painting(1, "Звёздная ночь", tags=("sky",)), painting(2, "50% _off_ 'now'")])

    def search(words: str) -> list[str]:
        return [found.title for found in gallery.page(words)]

    assert search("impress gogh") == ["Café Terrace at Night", "Irises"]
    assert search("звездная") == search("SKY") == ["Звёздная ночь"]
    assert search("portrait") == ["Melancholy"]
    assert search("50 off") == ["50% _off_ 'now'"]
    assert search("%") == search("!!") == []
    assert search("irises NOT monet") == []


@pytest.mark.parametrize(
    "words",
    ['"', "NEAR(irises gogh, 3)", "title:irises x", "{words}: x", "*", "^irises x", "a\0b",
     "monet OR gogh", "\udcff", "%", "_", "'; DROP TABLE painting; --", "q " * 50_000,
     "x" * 50_000, " ".join(f"w{i}" for i in range(20_000)), "9" * 50_000],
)  # fmt: skip
def test_no_search_is_a_language(gallery: Gallery, words: str) -> None:
    assert gallery.page(words) == []
    gallery.close_words(words)
    with pytest.raises(StyleNotFound):
        gallery.find(words)
    with pytest.raises(StyleNotFound):
        gallery.find_group("artist", words)


def test_pages_cover_every_painting_once_while_others_come(gallery: Gallery) -> None:
    seen, after = [], 0
    while page := gallery.page(after=after, limit=3):
        seen += [found.id for found in page]
        after = page[-1].id
        if after < 20:
            gallery.add([painting(after * 10 + i) for i in range(3)])
    assert seen == sorted(set(seen))
    assert len(seen) == gallery.stats()["paintings"]


def test_groups_count_and_limit(gallery: Gallery) -> None:
    assert [(g.slug, g.paintings) for g in gallery.groups("style")] == [
        ("expressionism", 1),
        ("impressionism", 3),
        ("realism", 1),
    ]
    artist = gallery.find_group("artist", "gogh")
    assert gallery.find_group("artist", f"artist:{artist.slug}") == artist  # As messages say it.
    assert [found.slug for found in gallery.page(group=artist)] == ["cafe-terrace", "irises"]
    style = gallery.find_group("style", "Realism")
    assert [found.slug for found in gallery.page("irises", style)] == ["irises"]


# Adding


def test_a_known_picture_keeps_its_row_and_gains_facts(gallery: Gallery, tmp_path: Path) -> None:
    first, second = tmp_path / "a.png", tmp_path / "b.png"
    first.touch()
    ((stored, new),) = gallery.add([painting(1, "Field", path=str(first), styles=("Realism",))])
    assert new
    later = painting(1, "Other", artist="Nobody", year=1900, path=str(second), styles=("Cubism",))
    ((found, new),) = gallery.add([later])
    assert not new
    expected = replace(stored, artist="Nobody", year=1900, styles=("Realism", "Cubism"))
    assert found == expected
    assert gallery.find("nobody cubism") == expected
    first.unlink()
    assert gallery.add([later])[0][0].path == str(second)


def test_a_title_that_was_only_the_name_of_the_file_gives_way(
    gallery: Gallery, tmp_path: Path
) -> None:
    picture = tmp_path / "img_12.png"
    picture.touch()
    gallery.add([painting(1, "img_12", path=str(picture))])
    later = painting(1, "Night Watch", path=str(picture), tags=("dark",))
    ((found, new),) = gallery.add([later])
    assert (found.title, found.tags, found.slug, new) == ("Night Watch", ("dark",), "img-12", False)
    assert gallery.page("watch dark") == [found]
    ((same, _),) = gallery.add([replace(later, title="Other", tags=("dark", "light"))])
    assert (same.title, same.tags) == ("Night Watch", ("dark", "light"))


def test_equal_pixels_are_one_painting(gallery: Gallery) -> None:
    one = painting(1)
    again = replace(painting(2), pixel_sha256=one.pixel_sha256)
    stored = gallery.add([one, again, one])
    assert [new for _, new in stored] == [True, False, False]
    assert len({found.id for found, _ in stored}) == 1
    assert [new for _, new in gallery.add([again, one])] == [False, False]


def test_slugs_are_distinct_short_and_never_numbers(gallery: Gallery) -> None:
    titles = ["Irises", "Irises", "1914", "星", "a " * 500, ""]
    works = [painting(i, title, artist="B" if i == 1 else "") for i, title in enumerate(titles, 1)]
    slugs = [found.slug for found, _ in gallery.add(works)]
    assert slugs[:3] == ["irises-b", f"irises-{0:08}", "painting-1914"]
    assert len(set(slugs)) == len(slugs)
    assert all(slug and not slug.isdigit() and len(slug) <= 110 for slug in slugs)


def test_one_spelling_of_an_artist_is_kept(gallery: Gallery) -> None:
    names = ("claude  monet", "Клод Моне", "Claude Монэ", "Claude")
    gallery.add([painting(i, artist=name) for i, name in enumerate(names)])
    found = {group.name for group in gallery.groups("artist")}
    assert found == {"Vincent van Gogh", "Claude Monet", "Edvard Munch", *names[1:]}


def test_removed_paintings_leave_nothing_behind(gallery: Gallery) -> None:
    assert gallery.remove([gallery.find("irises").id, 999]) == 1
    with pytest.raises(StyleNotFound):
        gallery.find("irises")
    assert gallery.page("irises") == []
    assert gallery.stats()["measured"] == {ENCODER: 3}
    assert [group.slug for group in gallery.groups("style")] == ["expressionism", "impressionism"]


def test_more_paintings_are_removed_than_a_statement_takes(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gallery.database.gallery.MAX_BOUND", 3)
    numbers = [found.id for found in gallery.page()]
    assert gallery.remove([*numbers, *range(900, 905)]) == len(numbers) == 4
    assert gallery.page() == []


# Statistics


def first_of(vectors: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> object:
    return vectors[:1]


def test_vectors_come_back_bit_for_bit(gallery: Gallery, styles: StyleFile) -> None:
    vectors = np.random.default_rng(0).normal(size=(2, 6)).astype(np.float32)
    stored = gallery.add([painting(1), painting(2)], vectors, ENCODER)
    for (found, _), vector in zip(stored, vectors, strict=True):
        loaded = gallery.vector(found, ENCODER)
        assert loaded is not None and loaded.tobytes() == vector.tobytes()
        assert gallery.vector(found, "another") is None
    numbers, every = gallery.vectors(ENCODER)
    assert len(numbers) == 6
    np.testing.assert_array_equal(every, np.concatenate([styles.vectors, vectors]))


def test_a_vector_is_never_replaced(gallery: Gallery) -> None:
    irises = gallery.find("irises")
    gallery.keep_vector(irises, ENCODER, np.zeros((1, 6), np.float32))
    vector = gallery.vector(irises, ENCODER)
    assert vector is not None and vector.any()


def test_pools_are_cached_until_a_painting_comes_or_goes(gallery: Gallery) -> None:
    calls: list[int] = []

    def pool(vectors: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> object:
        calls.append(len(vectors))
        return vectors.mean(0, keepdims=True)

    artist = gallery.find_group("artist", "gogh")
    style = gallery.find_group("style", "realism")

    def ask() -> list[int]:
        calls.clear()
        for group in (artist, style):
            gallery.pooled(group, ENCODER, pool)  # type: ignore[arg-type]
        return list(dict.fromkeys(calls))

    assert ask() == [2, 1]
    assert ask() == []
    one = np.ones((1, 6), np.float32)
    gallery.add([painting(1, artist="Vincent van Gogh")], one, ENCODER)
    assert ask() == [3]
    gallery.add([painting(1, styles=("Realism",))])
    assert ask() == [3, 2]
    gallery.remove([gallery.find("irises").id])
    assert ask() == [2, 1]


def test_a_gallery_that_cannot_be_written_pools_all_the_same(
    sqlite: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = connect(database_url())
    with engine.connect() as connection:
        connection.execute(text("PRAGMA query_only = ON"))
    reader = Gallery(engine)
    group = reader.find_group("artist", "gogh")
    assert reader.pooled(group, ENCODER, first_of) is not None  # type: ignore[arg-type]


def test_damage_is_noticed(sqlite: Gallery) -> None:
    engine = connect(database_url())
    with engine.begin() as connection:
        sql = "UPDATE cached_style SET vector = zeroblob(24) WHERE painting_id = 2"
        connection.execute(text(sql))
    assert sqlite.damaged_vectors() == [2]
    with pytest.raises(StylesError, match="statistics of number 2 are damaged"):
        sqlite.vector(sqlite.find("irises"), ENCODER)


# The starter gallery and runs


def test_a_work_of_a_newer_file_of_styles_takes_the_place_of_the_older(
    gallery: Gallery, styles: StyleFile
) -> None:
    irises = next(i for i, p in enumerate(styles.paintings) if p.slug == "irises")
    newer = replace(styles.paintings[irises], sha256="f" * 64, pixel_sha256="e" * 64, tags=("new",))
    other = replace(newer, artist="Somebody", sha256="d" * 64, pixel_sha256="c" * 64)
    vectors = np.concatenate([styles.vectors[[irises]] + 1] * 2)
    number = gallery.find("irises").id
    assert gallery.import_styles(StyleFile((newer, other), vectors, styles.encoder)) == 1
    found = gallery.find("irises")
    assert (found.id, found.sha256, found.tags) == (number, "f" * 64, ("new",))
    kept = gallery.vector(found, styles.encoder)
    assert kept is not None
    np.testing.assert_array_equal(kept[0, : vectors.shape[1]], vectors[0])
    assert len(gallery.page()) == 5


def test_where_there_is_no_database_the_starter_gallery_answers(
    starter: None, database: Path
) -> None:
    gallery = open_gallery(database_url())
    assert len(gallery.page()) == 4
    assert not database.exists()
    with pytest.raises(DatabaseError, match=r"starter\.db: attempt to write a readonly database"):
        gallery.remove([1])


def test_runs_are_noted_with_their_errors(gallery: Gallery) -> None:
    run = gallery.start_run(["a", "b"])
    gallery.finish_run(run, added=1, known=2, errors={"x.png": "is empty", "m.csv:3": "bad"})
    engine = connect(database_url())
    with engine.connect() as connection:
        row = connection.execute(text("SELECT sources, added, known FROM import_run")).one()
        assert tuple(row) == ("a\nb", 1, 2)
        assert connection.scalar(text("SELECT count(*) FROM import_error")) == 2
    engine.dispose()


@pytest.mark.parametrize("change", [lambda g: g.remove([2]), lambda g: g.add([painting(1)])])
def test_the_search_index_follows_the_table(
    sqlite: Gallery, change: Callable[[Gallery], object]
) -> None:
    change(sqlite)
    with connect(database_url()).begin() as connection:
        check = "INSERT INTO painting_search(painting_search, rank) VALUES ('integrity-check', 1)"
        connection.execute(text(check))


def test_similar_styles_come_nearest_first(gallery: Gallery) -> None:
    irises = gallery.vector(gallery.find("irises"), ENCODER)
    assert irises is not None
    found = gallery.similar(irises + 1, ENCODER, 3)
    assert [each.slug for each, _ in found] == ["irises", "water-lilies", "cafe-terrace"]
    np.testing.assert_allclose([far for _, far in found], [6**0.5 * n for n in (1, 5, 7)])
    assert len(gallery.similar(irises, ENCODER, 10)) == 4
    gallery.remove([gallery.find("irises").id])
    assert "irises" not in [each.slug for each, _ in gallery.similar(irises, ENCODER, 10)]


# PostgreSQL


@pytest.fixture
def shipped(postgresql: str) -> Iterator[Gallery]:
    """The starter gallery itself on PostgreSQL."""
    gallery = make_gallery(database_url())
    yield gallery
    gallery.close()


@contextmanager
def session() -> Iterator[Session]:
    """A transaction of its own, whose connection is closed after it."""
    engine = connect(database_url())
    with Session(engine) as opened, opened.begin():
        yield opened
    engine.dispose()


def plan_of(query: str, **values: object) -> str:
    """Return how PostgreSQL would go about a query if reading a whole table took for ever."""
    with session() as reader:
        reader.execute(text("SET LOCAL enable_seqscan = off"))
        reader.execute(text("SET LOCAL enable_sort = off"))
        return "\n".join(reader.scalars(text(f"EXPLAIN {query}"), values))


def test_pgvector_finds_what_the_exact_search_finds(shipped: Gallery) -> None:
    styles = load_styles()
    numbers, vectors = shipped.vectors(styles.encoder)
    for i in range(0, len(numbers), 80):
        rows, distances = nearest(vectors[i : i + 1], vectors, 10)
        with session() as reader:
            found = nearest_embeddings(reader, vectors[i : i + 1], styles.encoder, 10)
        assert found == [(numbers[row], far) for row, far in zip(rows, distances, strict=True)]
    assert shipped.similar(vectors[:1], styles.encoder, 10)[0] == (shipped.find("1"), 0)
    assert len(shipped.similar(vectors[:1], styles.encoder, 700)) == 700


def test_pgvector_and_full_text_search_use_their_indexes(shipped: Gallery) -> None:
    zeros = f"[{','.join('0' * 256)}]"
    plan = plan_of(str(NEAREST), encoder=load_styles().encoder, side=512, wanted=zeros, count=50)
    assert "Index Scan using style_embedding_nearest" in plan
    with session() as reader:
        query = str(rows_with_words(reader, ["mon"]).compile(reader.connection()))
    plan = plan_of(query.partition("%(m)s")[0].replace(":", r"\:") + "'mon\\:*')")
    assert "Bitmap Index Scan on painting_search" in plan


def test_embeddings_go_with_their_paintings(gallery: Gallery) -> None:
    if not gallery_has_embeddings():
        pytest.skip("SQLite has none")
    vectors = np.ones((1, 6), np.float32)
    ((added, _),) = gallery.add([painting(1)], vectors, ENCODER)
    wide = np.ones((1, 1920), np.float32)
    gallery.add([painting(2)], wide, "wide")
    assert count_embeddings() == 5
    assert [each.title for each, _ in gallery.similar(wide, "wide", 1)] == ["Untitled"]
    gallery.remove([added.id])
    assert count_embeddings() == 4


def gallery_has_embeddings() -> bool:
    with session() as reader:
        return has_embeddings(reader)


def count_embeddings() -> int:
    with session() as reader:
        return reader.scalar(text("SELECT count(*) FROM style_embedding")) or 0


def test_without_pgvector_the_search_is_exact_until_it_is_installed(
    starter: None, postgresql: str
) -> None:
    """A role that may make tables, but no extension, as on a server that does not have it."""
    role = f"painter_{secrets.token_hex(4)}"
    with session() as writer:
        writer.execute(text(f"CREATE ROLE {role} LOGIN"))
        writer.execute(text(f"GRANT ALL ON SCHEMA public TO {role}"))
    url = make_url(database_url()).set(username=role).render_as_string(hide_password=False)
    gallery = make_gallery(url)
    assert not gallery_has_embeddings()
    irises = gallery.find("irises")
    vector = gallery.vector(irises, ENCODER)
    assert vector is not None
    assert gallery.similar(vector, ENCODER, 2)[0] == (irises, 0)
    with session() as writer:
        writer.execute(text("CREATE EXTENSION vector"))
    engine = connect(url)
    assert upgrade_gallery(engine) == (SCHEMA, SCHEMA)
    engine.dispose()
    assert count_embeddings() == 4
    assert gallery.similar(vector, ENCODER, 2)[0] == (irises, 0)
    gallery.close()
