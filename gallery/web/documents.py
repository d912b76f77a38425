"""Answers of the API, as JSON."""

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Path as PathParameter
from pydantic import BaseModel, Field

from gallery.database.jobs import Job
from gallery.database.paintings import Painting
from gallery.database.queries import Group

ROOT = "/api/v1"

Slug = Annotated[
    str,
    PathParameter(description="Slug or number of a painting.", max_length=200, examples=["irises"]),
]


class PaintingDocument(BaseModel):
    """A painting of the gallery; empty where something is not known."""

    id: int = Field(examples=[42])
    slug: str = Field(description="What `style` takes.", examples=["irises"])
    title: str = Field(examples=["Irises"])
    artist: str = Field(examples=["Vincent van Gogh"])
    years: str = Field(examples=["1889"])
    styles: list[str] = Field(description="Movements.", examples=[["Post-Impressionism"]])
    genres: list[str] = []
    tags: list[str] = []
    medium: str = ""
    rights: str = ""
    credit: str = ""
    page_url: str = Field("", description="Where more is told; may be of anybody's making.")
    preview: str = Field(examples=[f"{ROOT}/paintings/irises/preview"])
    picture: str | None = Field(None, description="The painting itself, where it is at hand.")
    learnt: bool = Field(False, description="Whether it was learnt: painted in its own strokes.")
    distance: float | None = Field(None, description="From the painting that was asked for.")
    colors: list[str] = Field(
        [],
        description="Eight colours that stand for those of the painting, where one alone is told.",
        examples=[["#1b2a41", "#c9b458"]],
    )


class PaintingsDocument(BaseModel):
    """Paintings, and where to go on."""

    paintings: list[PaintingDocument]
    next: str | None = Field(None, description="The next page; null on the last one.")


class GroupDocument(BaseModel):
    """An artist or a movement."""

    slug: str = Field(examples=["claude-monet"])
    name: str = Field(examples=["Claude Monet"])
    paintings: int = Field(description="How many are in the gallery.", examples=[17])
    style: str = Field(description="What `style` takes.", examples=["artist:claude-monet"])


class GroupsDocument(BaseModel):
    """Artists or movements, by name."""

    groups: list[GroupDocument]


class ModelDocument(BaseModel):
    """The network."""

    name: str = Field(examples=["compact"])
    encoder: str = Field(description="Fingerprint of the encoder.")
    parameters: int
    device: str = Field(examples=["cpu"])


class ModelsDocument(BaseModel):
    """The networks that are loaded."""

    models: list[ModelDocument]


class LossDocument(BaseModel):
    """Losses after a step of a render, relative to its targets."""

    step: int
    scale: int = Field(description="Sizes from coarse to fine, from 0.")
    loss: float
    content: float
    style: float


class JobDocument(BaseModel):
    """A job as it is now."""

    id: str
    method: str = Field(description="stylize, render, film or learn")
    state: str = Field(description="queued, running, done, failed or cancelled")
    progress: float = Field(ge=0, le=1)
    code: str = Field("", description="Why it failed: a code of problems.")
    detail: str = Field("", description="The same for people.")
    result: str | None = Field(None, description="Where the painted photo is, once it is done.")
    preview: str | None = Field(None, description="Where a render or film is seen as it grows.")
    losses: list[LossDocument] = Field([], description="Of a render; events have the new ones.")
    note: str = Field("", description="What was asked for and not found in the photo.")


class FilmLimits(BaseModel):
    """The limits of films."""

    seconds: float = Field(description="Of what is painted of one.")
    bytes: int = Field(description="Of the file.")
    side: int = Field(description="Longest side of the result in pixels.")


class ServiceDocument(BaseModel):
    """The service and its limits."""

    name: str = "adain"
    version: str
    max_side: int
    max_body: int
    max_pixels: int
    max_styles: int
    formats: list[str]
    paints_on_device: bool = Field(description="Whether pages can paint on the visitor's device.")
    films: FilmLimits | None = Field(None, description="Where films are painted: how large ones.")
    learns: bool = Field(
        description="Whether this key may teach it paintings, and PyTorch is there."
    )


class HealthDocument(BaseModel):
    """How the service is."""

    status: str = Field(examples=["ok"])


def painting_document(
    painting: Painting,
    learnt: bool = False,
    distance: float | None = None,
    colors: Sequence[str] = (),
) -> PaintingDocument:
    """Return what clients may know about a painting: not where its picture lies."""
    here = f"{ROOT}/paintings/{quote(painting.slug)}"
    return PaintingDocument(
        id=painting.id,
        slug=painting.slug,
        title=painting.title,
        artist=painting.artist,
        years=painting.years,
        styles=list(painting.styles),
        genres=list(painting.genres),
        tags=list(painting.tags),
        medium=painting.medium,
        rights=painting.rights,
        credit=painting.credit,
        page_url=painting.page_url,
        preview=f"{here}/preview",
        picture=f"{here}/picture" if painting.path else None,
        learnt=learnt,
        distance=distance,
        colors=list(colors),
    )


def groups_document(groups: Sequence[Group]) -> GroupsDocument:
    """Return artists or movements."""
    return GroupsDocument(
        groups=[
            GroupDocument(
                slug=group.slug,
                name=group.name,
                paintings=group.paintings,
                style=f"{group.kind}:{group.slug}",
            )
            for group in groups
        ]
    )


def job_document(job: Job, losses: Sequence[Any] = (), note: str = "") -> JobDocument:
    """Return a job, with the losses of one that is watched, and a note on its result."""
    here, grows = f"{ROOT}/jobs/{job.id}", job.settings.get("method") == "film"
    return JobDocument(
        id=job.id,
        method=job.settings.get("method", "stylize"),
        state=job.state,
        progress=job.progress,
        code=job.problem,
        detail=job.detail,
        result=f"{here}/result" if job.state == "done" else None,
        preview=f"{here}/preview" if job.is_open and (losses or grows) else None,
        losses=[LossDocument(**loss) for loss in losses],
        note=note,
    )
