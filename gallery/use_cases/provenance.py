"""Provenance: what a result says about how it was made."""

import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from adain import __version__
from adain.config import Controls
from adain.imaging.metadata import Notes
from adain.imaging.picture import Picture
from gallery.config import StylizeConfig
from gallery.use_cases.styles import ResolvedStyle


def result_notes(photo: Picture, style: ResolvedStyle, config: StylizeConfig) -> Notes:
    """Return what is written into the file of a result.

    Args:
        photo: The photo.
        style: The style.
        config: How it was stylized.
    """
    facts = photo.facts if config.keep_metadata else {}
    if not config.provenance:
        return Notes(facts=facts)
    return Notes(f"adain {__version__}", json.dumps(_recipe(style, config)), facts)


def film_comment(slugs: Sequence[str], strengths: Sequence[float], config: StylizeConfig) -> str:
    """Return what is written into a film: its styles and strengths in turn, model and version."""
    if not config.provenance:
        return ""
    alphas = ", ".join(f"{alpha:g}" for alpha in strengths)
    model = Path(config.model).stem
    return f"adain {__version__}: {', '.join(slugs)}; strength {alphas}; model {model}"


def _recipe(style: ResolvedStyle, config: StylizeConfig) -> dict[str, Any]:
    """Return what made a result: no path, and of the controls only those that were used."""
    recipe: dict[str, Any] = {
        "style": style.slug,
        "alpha": config.alpha,
        "model": Path(config.model).stem,
        "version": __version__,
    }
    if learnt := [each.digest for each in style.statistics.adapters if each is not None]:
        recipe["adapter"] = "+".join(learnt)
    if config.style_side != StylizeConfig().style_side:
        recipe["style_size"] = config.style_side
    if config.quality != StylizeConfig().quality:
        recipe["quality"] = config.quality
    for each in fields(Controls):
        value = getattr(config.controls, each.name)
        if each.name == "strength" and value is not None:
            recipe["strength"] = "picture"
        elif each.name == "masks" and value:
            recipe["masks"] = len(value)
        elif value != each.default and each.name != "strength":
            recipe[each.name] = value
    return recipe
