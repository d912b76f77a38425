"""Small networks that find faces and people in a photo, by ONNX Runtime on the CPU.

They tell where, never who, and keep nothing. Origin, licence and digests: `adain/assets/README.md`.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adain.engine.device import cores
from adain.engine.onnx_import import import_onnxruntime
from adain.errors import WeightsError

ASSETS = Path(__file__).parents[1] / "assets"

FACES = "faces.onnx"

PERSON = "person.onnx"

SHA256 = {
    FACES: "11c21bcb4894c779acbb14c5a88ff7cedd94e62ebd1b9f24b4309da4c75edccd",
    PERSON: "fda2378f0ec83c74f97b82ab3a9341da39b8d7643bc30204152aae34e3d01377",
}
"""Pinned digests of the shipped graphs."""

STRIDES = (8, 16, 32)
"""Pixels between places at which a face is looked for."""

PERSON_SIDE = 256
"""Height and width in pixels at which people are looked for."""

CERTAIN = 0.8
"""Score from which a face is one."""

OVERLAP = 0.3
"""Of two faces that share more of their area, the less certain one is dropped."""

LANDMARKS = 5


@dataclass(frozen=True)
class Face:
    """A face in pixels of its picture: x to the right, y down.

    Attributes:
        box: Left, top, width and height.
        landmarks: Eyes, nose and corners of the mouth, shape `(5, 2)`: first what is left in
            the picture of one who looks at us.
        score: How certain it is, up to 1.
    """

    box: tuple[float, float, float, float]
    landmarks: NDArray[np.float32]
    score: float

    def scaled(self, factor: float) -> "Face":
        """Return the face in a picture that is so many times as large."""
        x, y, width, height = (factor * each for each in self.box)
        return Face((x, y, width, height), np.float32(factor) * self.landmarks, self.score)


def detect_faces(pixels: NDArray[np.float32]) -> list[Face]:
    """Return the faces that are at least 10 and at most about 300 pixels high, the surest first.

    Args:
        pixels: Shape `(H, W, 3)`, in [0, 1].

    Raises:
        EngineError: If ONNX Runtime cannot be loaded.
        WeightsError: If the graph is missing or damaged.
    """
    height, width = pixels.shape[:2]
    step = STRIDES[-1]
    padded = np.zeros((3, -(-height // step) * step, -(-width // step) * step), np.float32)
    padded[:, :height, :width] = 255 * pixels[..., ::-1].transpose(2, 0, 1)  # Blue comes first.
    session = _session(FACES)
    names = [f"{kind}_{stride}" for stride in STRIDES for kind in ("cls", "obj", "bbox", "kps")]
    found = dict(zip(names, session.run(names, {"input": padded[None]}), strict=True))
    faces: list[Face] = []
    for stride in STRIDES:
        parts = (found[f"{kind}_{stride}"][0] for kind in ("cls", "obj", "bbox", "kps"))
        faces += _faces(stride, padded.shape[2] // stride, *parts)
    return _distinct(faces)


def person_share(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how far each pixel shows a person, `(256, 256)`, in [0, 1].

    Args:
        pixels: The whole picture, squeezed to `(256, 256, 3)`, in [0, 1].

    Raises:
        EngineError: If ONNX Runtime cannot be loaded.
        WeightsError: If the graph is missing or damaged.
    """
    given = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32)
    share: NDArray[np.float32] = _session(PERSON).run(None, {"photo": given})[0][0, 0]
    return share.clip(0, 1)


def _faces(
    stride: int, columns: int, classes: Any, objects: Any, boxes: Any, points: Any
) -> list[Face]:
    """Return the faces that one of the three grids of places has found."""
    scores = np.sqrt(classes[:, 0].clip(0, 1) * objects[:, 0].clip(0, 1))
    faces = []
    for place in np.flatnonzero(scores >= CERTAIN):
        origin = np.array([place % columns, place // columns], np.float32)
        middle = (origin + boxes[place, :2]) * stride
        size = np.exp(boxes[place, 2:]) * stride
        x, y = (float(each) for each in middle - size / 2)
        landmarks = (origin + points[place].reshape(LANDMARKS, 2)) * stride
        box = (x, y, float(size[0]), float(size[1]))
        faces.append(Face(box, landmarks.astype(np.float32), float(scores[place])))
    return faces


def _distinct(faces: list[Face]) -> list[Face]:
    kept: list[Face] = []
    for face in sorted(faces, key=lambda each: -each.score):
        if all(_overlap(face, other) <= OVERLAP for other in kept):
            kept.append(face)
    return kept


def _overlap(first: Face, second: Face) -> float:
    """Return the area that two boxes share, as a share of what they cover together."""
    sides = []
    for i in (0, 1):
        start = max(first.box[i], second.box[i])
        end = min(first.box[i] + first.box[i + 2], second.box[i] + second.box[i + 2])
        sides.append(max(0.0, end - start))
    shared = sides[0] * sides[1]
    both = first.box[2] * first.box[3] + second.box[2] * second.box[3] - shared
    return shared / max(both, 1e-6)


@cache
def _session(name: str) -> Any:
    path = ASSETS / name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{name}: cannot be read from the package; reinstall it") from error
    if hashlib.sha256(data).hexdigest() != SHA256[name]:
        raise WeightsError(f"{name}: differs from the shipped file; reinstall the package")
    runtime = import_onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = cores()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
