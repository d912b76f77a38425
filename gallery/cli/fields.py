"""Options of a command from the fields of a dataclass, which have defaults, limits and help."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import Field, fields, is_dataclass, replace
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer

from gallery.cli.exits import usage

_KIND = inspect.Parameter.KEYWORD_ONLY


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """Offer the fields of each parameter whose default is a dataclass as options of a command.

    A field is offered if its metadata has `help`, with `min` as its limit; the parameter's
    default tells the defaults. The command gets the dataclass with the values that were given.
    """
    signature = inspect.signature(command)
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {
        name: parameter.default
        for name, parameter in signature.parameters.items()
        if is_dataclass(parameter.default)
    }
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        if name in groups:
            parameters += [_option(field, groups[name]) for field in _offered(groups[name])]
        else:
            parameters.append(parameter.replace(annotation=hints[name], kind=_KIND))

    @wraps(command)
    def run(**given: Any) -> None:
        for name, defaults in groups.items():
            values = {field.name: given.pop(field.name) for field in _offered(defaults)}
            with usage():
                given[name] = replace(defaults, **values)
        command(**given)

    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def _offered(defaults: Any) -> Iterator[Field[Any]]:
    return (field for field in fields(defaults) if "help" in field.metadata)


def _option(field: Field[Any], defaults: Any) -> inspect.Parameter:
    option = typer.Option(help=field.metadata["help"], min=field.metadata.get("min"))
    return inspect.Parameter(
        field.name,
        _KIND,
        default=getattr(defaults, field.name),
        annotation=Annotated[field.type, option],
    )
