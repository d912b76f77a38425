import hashlib
import pickle
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from adain.errors import WeightsError
from adain.network import pretrained
from adain.network.conversion import (
    CONVOLUTIONS,
    IMAGENET_MEAN,
    IMAGENET_STD,
    import_adain,
    read_pickle,
    torchvision_encoder,
)
from adain.network.download import download, url_digest
from adain.network.encoder import Encoder
from adain.network.loading import load_decoder, load_encoder
from adain.network.pretrained import NETWORKS, import_network, load_network, network_path
from adain.network.squeezenet import SqueezeNet
from adain.network.statistics import layer_statistics, normalization_maps
from adain.network.weights import MODELS_VARIABLE, find_model, imported_models

PLAIN_LAYOUT = (64, 64, "P", 128, 128, "P", 256, 256, 256, 256, "P", 512, 512, 512, 512, "P", 512)


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "models"))
    return tmp_path / "models"


def convolution(inputs: int, outputs: int) -> list[nn.Module]:
    layer = nn.Conv2d(inputs, outputs, 3)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return [nn.ReflectionPad2d(1), layer]


def published_pair() -> tuple[nn.Sequential, nn.Sequential]:
    """Build networks of exactly the layout of vgg_normalised.pth and decoder.pth."""
    encoder: list[nn.Module] = [nn.Conv2d(3, 3, 1)]
    inputs = 3
    for item in PLAIN_LAYOUT:
        if isinstance(item, int):
            encoder += [*convolution(inputs, item), nn.ReLU()]
            inputs = item
        else:
            encoder.append(nn.MaxPool2d(2, ceil_mode=True))
    decoder: list[nn.Module] = []
    for item in (256, "U", 256, 256, 256, 128, "U", 128, 64, "U", 64, 3):
        if isinstance(item, int):
            decoder += [*convolution(inputs, item), nn.ReLU()]
            inputs = item
        else:
            decoder.append(nn.Upsample(scale_factor=2, mode="nearest"))
    return nn.Sequential(*encoder), nn.Sequential(*decoder[:-1])


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[nn.Sequential, nn.Sequential, Path, Path]:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("published")
    encoder, decoder = published_pair()
    paths = folder / "vgg_normalised.pth", folder / "decoder.pth"
    for network, path in zip((encoder, decoder), paths, strict=True):
        torch.save(network.state_dict(), path)
    return encoder, decoder, *paths


def as_published(encoder: nn.Module, decoder: nn.Module, photo: Tensor, painting: Tensor) -> Tensor:
    """Stylize as the authors of pytorch-AdaIN do."""
    assert isinstance(encoder, nn.Sequential)
    content, style = encoder[:31](photo), encoder[:31](painting)
    shift, scale = content.mean((2, 3), keepdim=True), (content.var((2, 3)) + 1e-5).sqrt()
    normalized = (content - shift) / scale[:, :, None, None]
    target = (style.var((2, 3)) + 1e-5).sqrt()[:, :, None, None]
    result: Tensor = decoder(normalized * target + style.mean((2, 3), keepdim=True))
    return result.clamp(0, 1)


def test_an_imported_pair_paints_as_published(
    pair: tuple[nn.Sequential, nn.Sequential, Path, Path], models: Path
) -> None:
    encoder, decoder, encoder_path, decoder_path = pair
    import_adain(encoder_path, decoder_path, models, "published")
    assert imported_models() == ["published"]
    files = find_model("published")
    ours, painter = load_encoder(files.encoder), load_decoder(files.decoder)[0]
    photo, painting = torch.rand(1, 3, 128, 96), torch.rand(1, 3, 112, 128)
    with torch.no_grad():
        expected = as_published(encoder, decoder, photo, painting)
        features, style = ours(photo), layer_statistics(ours(painting))
        result = painter(features, normalization_maps(features, style)).clamp(0, 1)
    assert expected.std() > 0.05
    # Their variance is the unbiased one, over 192 positions.
    torch.testing.assert_close(result, expected, atol=0.02, rtol=0)


def test_files_of_the_wrong_kind_are_named(
    pair: tuple[nn.Sequential, nn.Sequential, Path, Path], models: Path
) -> None:
    *_, encoder, decoder = pair
    with pytest.raises(WeightsError, match=r"decoder\.pth: not vgg_normalised"):
        import_adain(decoder, encoder, models, "swapped")
    with pytest.raises(WeightsError, match=r"vgg_normalised\.pth: not the layout"):
        import_adain(encoder, encoder, models, "twice")
    assert imported_models() == []


class Payload:
    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("code ran",))


def test_pickles_with_code_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps({"0.weight": Payload()}))
    with pytest.raises(WeightsError, match=r"evil\.pth"):
        read_pickle(path)
    torch.save({"0.weight": Payload()}, path)
    with pytest.raises(WeightsError, match=r"evil\.pth"):
        read_pickle(path)
    assert "code ran" not in capsys.readouterr().out


@pytest.mark.parametrize("value", [torch.tensor([float("nan")]), [1.0], "text"])
def test_what_holds_no_sound_tensors_is_refused(value: object, tmp_path: Path) -> None:
    path = tmp_path / "odd.pth"
    torch.save({"0.weight": value}, path)
    with pytest.raises(WeightsError, match=r"odd\.pth"):
        read_pickle(path)


def test_truncated_and_missing_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "short.pth"
    torch.save({"0.weight": torch.rand(1000)}, path)
    path.write_bytes(path.read_bytes()[:500])
    for wrong in (path, tmp_path / "none.pth", tmp_path):
        with pytest.raises(WeightsError, match=wrong.name):
            read_pickle(wrong)


@pytest.mark.parametrize("name", ["vgg11", "vgg16"])
def test_torchvision_networks_give_their_features(name: str) -> None:
    from torchvision import models, transforms

    torch.manual_seed(1)
    network = models.get_model(name, weights=None).features
    for module in network:
        if isinstance(module, nn.Conv2d):
            module.padding_mode = "reflect"
            module._reversed_padding_repeated_twice = [1, 1, 1, 1]
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    state = {f"features.{key}": value for key, value in network.state_dict().items()}
    encoder = torchvision_encoder(name, {**state, "classifier.0.weight": torch.rand(1)})
    image = torch.rand(1, 3, 64, 64)
    normalize = transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)
    x, expected, block, first = normalize(image), {}, 1, True
    with torch.no_grad():
        for module in network:
            x = module(x)
            if isinstance(module, nn.ReLU) and first:
                expected[f"relu{block}_1"], first = x.clone(), False
            elif isinstance(module, nn.MaxPool2d):
                block, first = block + 1, True
        found = encoder(image, tuple(expected))
    assert set(found) == {f"relu{i}_1" for i in range(1, 6)}
    for layer, value in expected.items():
        torch.testing.assert_close(found[layer], value, rtol=1e-3, atol=1e-3)


CONTENT = bytes(range(256)) * 4000


class Server(BaseHTTPRequestHandler):
    """Serves CONTENT; the first part of the path says in which bad way."""

    drops = 0
    asked: list[str]

    def do_GET(self) -> None:
        kind = self.path.split("/")[1]
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        Server.asked.append(self.headers.get("Range", ""))
        if kind == "gone":
            self.send_error(404)
            return
        if kind == "moved":
            self.send_response(302)
            self.send_header("Location", self.path.replace("moved", "good"))
            self.end_headers()
            return
        if start >= len(CONTENT):
            self.send_error(416)
            return
        body = CONTENT[start:] if kind != "plain" else CONTENT
        self.send_response(206 if start and kind != "plain" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if kind == "drops":
            body = body[:300_000]
        elif kind == "dead":
            body = b""
        elif kind == "altered":
            body = body[:-1] + b"?"
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr("adain.network.download.time.sleep", lambda seconds: None)
    Server.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


NAME = f"net-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"


@pytest.mark.parametrize("kind", ["good", "moved", "drops", "plain"])
def test_downloads_arrive_whole(kind: str, server: str, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    path = tmp_path / "new" / NAME
    download(f"{server}/{kind}/{NAME}", path, lambda *step: seen.append(step))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert list(path.parent.iterdir()) == [path]
    if kind == "drops":
        assert len(Server.asked) == 4 and Server.asked[0] == ""


@pytest.mark.parametrize("kind", ["good", "plain"])
def test_a_download_goes_on_where_it_was(kind: str, server: str, tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.with_name(f"{NAME}.part").write_bytes(CONTENT[:1000])
    download(f"{server}/{kind}/{NAME}", path)
    assert path.read_bytes() == CONTENT
    assert Server.asked == ["bytes=1000-"]


def test_a_whole_part_needs_no_more(server: str, tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.with_name(f"{NAME}.part").write_bytes(CONTENT)
    download(f"{server}/good/{NAME}", path)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("kind", "words"), [("gone", "404"), ("dead", "breaks off"), ("altered", "sha256")]
)
def test_what_does_not_arrive_leaves_no_file(
    kind: str, words: str, server: str, tmp_path: Path
) -> None:
    path = tmp_path / NAME
    with pytest.raises(WeightsError, match=words):
        download(f"{server}/{kind}/{NAME}", path)
    assert not path.exists()
    if kind == "altered":
        assert list(tmp_path.glob("*.part")) == []


def test_without_a_connection_the_file_to_bring_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adain.network.download.time.sleep", lambda seconds: None)
    url = f"http://127.0.0.1:9/{NAME}"
    with pytest.raises(WeightsError, match=rf"{NAME}.*adain weights import net FILE"):
        download(url, tmp_path / NAME)


def test_a_network_is_brought_from_a_file(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision import models as zoo

    state = zoo.vgg11(weights=None).features.state_dict()
    file = tmp_path / "from elsewhere.pth"
    torch.save({f"features.{key}": value for key, value in state.items()}, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    monkeypatch.setattr(
        pretrained, "network_url", lambda name: f"https://example.org/{name}-{digest}.pth"
    )
    with pytest.raises(WeightsError, match="adain weights download vgg11"):
        load_network("vgg11")
    assert import_network("vgg11", file) == models / f"vgg11-{digest}.pth"
    network = load_network("vgg11")
    assert isinstance(network, Encoder)
    assert network.config.convolutions == CONVOLUTIONS["vgg11"]
    network_path("vgg11").write_bytes(file.read_bytes()[:-1])
    with pytest.raises(WeightsError, match="sha256"):
        load_network("vgg11")
    with pytest.raises(WeightsError, match="sha256"):
        import_network("vgg11", network_path("vgg11"))


def test_torchvision_promises_digests() -> None:
    from torchvision.models import get_model_weights

    for name in NETWORKS:
        assert pretrained.network_url(name) == get_model_weights(name).DEFAULT.url
        digest = url_digest(pretrained.network_url(name))
        assert len(digest) == 8 and int(digest, 16) >= 0


def test_squeezenet_gives_its_features() -> None:
    from torchvision import models, transforms

    torch.manual_seed(2)
    network = models.squeezenet1_1(weights=None).eval()
    encoder = SqueezeNet.of(network.state_dict())
    image = torch.rand(1, 3, 64, 96)
    x, outputs = transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)(image), []
    with torch.no_grad():
        for module in network.features:
            x = module(x)
            outputs.append(x.clone())
        found = encoder(image, ("relu1_1", "relu5_1"))
        averages = encoder(image, ("relu5_1",), lambda x: torch.nn.functional.avg_pool2d(x, 2))
    torch.testing.assert_close(found["relu1_1"], outputs[1])
    torch.testing.assert_close(found["relu5_1"], outputs[12])
    assert not torch.equal(averages["relu5_1"], found["relu5_1"])
    with pytest.raises(WeightsError, match="squeezenet1_1: not the layout"):
        SqueezeNet.of(models.squeezenet1_0(weights=None).state_dict())
