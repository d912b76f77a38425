from dataclasses import dataclass

import pytest
import typer

from adain.config import Controls, setting, settings_of
from gallery.cli import app
from gallery.config import StylizeConfig, parse_memory
from gallery.use_cases.batch import recipe_settings
from gallery.web.parameters import StylizeParameters


def test_every_setting_of_a_repainting_is_an_option_and_a_parameter() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    command = group.get_command(typer.Context(group), "stylize")
    assert command is not None
    offered = {each.name: each.default for each in command.params}
    for name in settings_of(Controls):
        default = getattr(Controls, name)
        assert offered[name] == StylizeParameters.model_fields[name].default == default


@dataclass(frozen=True)
class LaterControls(Controls):
    """Controls of a later version, which have one setting more."""

    glow: float = setting(0.0, "{low} to {high}: glow.", 0, high=2, added=True)


def test_results_of_earlier_versions_stay_complete_when_a_setting_is_added() -> None:
    usual = recipe_settings(StylizeConfig())
    assert recipe_settings(StylizeConfig(controls=LaterControls())) == usual
    other = recipe_settings(StylizeConfig(controls=LaterControls(glow=1)))
    assert other == usual | {"controls": usual["controls"] | {"glow": 1}}
    assert settings_of(LaterControls)["glow"].text == "0 to 2: glow."
    with pytest.raises(ValueError, match=r"glow must be from 0 to 2, got 3"):
        LaterControls(glow=3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2G", 2 * 2**30),
        ("512M", 512 * 2**20),
        ("1.5GiB", 3 * 2**29),
        ("900 mb", 900 * 2**20),
        ("4096", 4096),
        ("1t", 2**40),
    ],
)
def test_sizes_of_memory(text: str, expected: int) -> None:
    assert parse_memory(text) == expected


@pytest.mark.parametrize("text", ["", "G", "-1G", "2X", "1e9", "2G2", "inf"])
def test_other_texts_are_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="such as 2G or 512M"):
        parse_memory(text)
