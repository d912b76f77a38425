"""Options of a command from the settings of dataclasses, which have defaults, limits and help."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer

from adain.config import Setting, settings_of
from gallery.cli.exits import usage

_KIND = inspect.Parameter.KEYWORD_ONLY

Command = Callable[..., None]

NAMES = {"alpha": ("--strength", "--alpha")}
"""Options of several names, by that of the field; the first is that of the help."""


@dataclass(frozen=True)
class _Option:
    """A setting as an option.

    Attributes:
        field: Name of the field.
        kind: Its type.
        rule: The setting.
        default: Its value where the option is not given.
    """

    field: str
    kind: Any
    rule: Setting
    default: Any

    @property
    def switches_off(self) -> bool:
        """Return whether it is a switch, `--no-NAME`, against what is usual."""
        return self.kind is bool and bool(self.default)

    @property
    def name(self) -> str:
        """Return the name of its parameter."""
        name = self.rule.option or self.field
        return f"no_{name}" if self.switches_off else name

    @property
    def parameter(self) -> inspect.Parameter:
        """Return what typer makes the option of."""
        switch = (f"--{self.name.replace('_', '-')}",) if self.kind is bool else ()
        names = NAMES.get(self.field, switch)
        option = typer.Option(*names, metavar=self.rule.metavar, help=self.rule.text)
        default = False if self.kind is bool else self.default
        annotation = Annotated[self.kind, option]  # type: ignore[name-defined]
        return inspect.Parameter(self.name, _KIND, default=default, annotation=annotation)


def spread(without: Sequence[str] = ()) -> Callable[[Command], Command]:
    """Offer the settings of each parameter whose default is a dataclass as options of a command.

    The parameter's default tells the defaults. The command gets the dataclass with the values
    that were given. A setting of the name of another parameter is left to the command.

    Args:
        without: Settings that the command does not offer.
    """

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command)
        hints = get_type_hints(command, include_extras=True)
        left_out = {*signature.parameters, *without}
        groups = {
            name: list(_options(parameter.default, left_out))
            for name, parameter in signature.parameters.items()
            if is_dataclass(parameter.default)
        }
        parameters: list[inspect.Parameter] = []
        for name, parameter in signature.parameters.items():
            if name in groups:
                parameters += [option.parameter for option in groups[name]]
            else:
                parameters.append(parameter.replace(annotation=hints[name], kind=_KIND))

        @wraps(command)
        def run(**given: Any) -> None:
            for name, options in groups.items():
                values = {each.field: given.pop(each.name) for each in options}
                values |= {
                    each.field: not values[each.field] for each in options if each.switches_off
                }
                with usage():
                    given[name] = replace(signature.parameters[name].default, **values)
            command(**given)

        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        return run

    return decorate


def help_of(config: type, name: str) -> str:
    """Return the help of a setting, for an option that a command declares itself."""
    return settings_of(config)[name].text


def _options(defaults: Any, left_out: set[str]) -> Iterator[_Option]:
    rules = settings_of(defaults)
    for field in fields(defaults):
        if field.name in rules:
            option = _Option(
                field.name, field.type, rules[field.name], getattr(defaults, field.name)
            )
            if not {option.name, option.field} & left_out:
                yield option
