"""The whole API against its OpenAPI document, and under many clients at once."""

import statistics
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from hypothesis import HealthCheck, given, settings
from PIL import Image
from serving import running

from adain.engine.loading import load_model
from gallery.database.gallery import make_gallery
from gallery.web.app import create_app
from gallery.web.settings import ServeConfig

schemathesis = pytest.importorskip("schemathesis")
checks = pytest.importorskip("schemathesis.specs.openapi.checks")

pytestmark = pytest.mark.slow


@contextmanager
def serving(folder: Path, config: ServeConfig) -> Iterator[str]:
    gallery = make_gallery(f"sqlite:///{folder / 'gallery.db'}")
    with closing(gallery), running(create_app(config, load_model(), gallery)) as (url, _):
        yield url


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with serving(tmp_path_factory.mktemp("none"), ServeConfig(max_side=64, jobs=1000)) as url:
        yield schemathesis.openapi.from_url(f"{url}/api/v1/openapi.json")


def test_every_answer_is_one_that_the_document_names(document: Any) -> None:
    operations = [result.ok() for result in document.get_all_operations()]
    assert len(operations) > 15
    for operation in operations:
        _examine(operation)


def _examine(operation: Any) -> None:
    @settings(max_examples=25, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy())
    def examine(case: Any) -> None:
        if operation.path.endswith("/events"):
            case.path_parameters = {"id": "0" * 32}  # A stream lasts as long as its job.
        case.call_and_validate(
            timeout=60,
            checks=[
                schemathesis.checks.not_a_server_error,
                checks.content_type_conformance,
                checks.response_schema_conformance,
                checks.status_code_conformance,
            ],
        )

    examine()


def resident() -> float:
    """Return the memory of this process in MiB."""
    text = Path("/proc/self/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads its memory from /proc")
def test_sixty_four_clients_get_pictures_or_are_asked_to_come_back(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (192, 256, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    photo, until = buffer.getvalue(), time.monotonic() + 20

    def client(url: str) -> list[tuple[int, float]]:
        answers = []
        with requests.Session() as session:
            while time.monotonic() < until:
                start = time.perf_counter()
                answer = session.post(f"{url}/api/v1/stylize?style=irises", data=photo, timeout=60)
                answers.append((answer.status_code, time.perf_counter() - start))
                if answer.status_code != 200:
                    assert int(answer.headers["Retry-After"]) >= 1
                    time.sleep(0.2)  # Less patient than it was asked to be.
        return answers

    with serving(tmp_path, ServeConfig(queue=16)) as url:
        requests.post(f"{url}/api/v1/stylize?style=irises", data=photo)
        before = resident()
        with ThreadPoolExecutor(64) as pool:
            answers = [answer for each in pool.map(client, [url] * 64) for answer in each]
        grown = resident() - before
        assert requests.get(f"{url}/api/v1/ready").status_code == 200
    counts = Counter(status for status, _ in answers)
    accepted = [seconds for status, seconds in answers if status == 200]
    print(f"{dict(counts)}, median {statistics.median(accepted):.2f} s, memory +{grown:.0f} MiB")
    assert counts.keys() <= {200, 503} and counts[200] > 20 and counts[503] > 0
    assert max(accepted) < ServeConfig.deadline
    assert grown < 300
