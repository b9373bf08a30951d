"""Flags made from the declarations in `settings.py`: one per setting, absent unless typed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from mtcli import catalog, recipe
from mtcli.settings import declarations, word_of

SHORT = {"source_lang": "-s", "target_lang": "-t"}
"""The settings that have a one-letter flag; -m and -o are taken by model and output."""

Command = Callable[..., Any]


def with_settings(
    *sections: str, only: Sequence[str] = (), extra: Sequence[str] = ()
) -> Callable[[Command], Command]:
    """Give a command one flag per setting of `sections`, or of these the ones in `only`; and those named `extra`.

    The decorated function has a parameter `typed`, which receives the flags that were typed, by setting name.
    """
    chosen = {
        name: (section, field)
        for section, name, field in declarations()
        if name in extra or (section in sections and (not only or name in only))
    }

    def decorate(function: Command) -> Command:
        own = [p for p in inspect.signature(function, eval_str=True).parameters.values() if p.name != "typed"]
        flags = [flag(name, section, field) for name, (section, field) in chosen.items()]

        def command(**values: Any) -> Any:
            typed = {name: values.pop(name) for name in chosen}
            return function(**values, typed={name: value for name, value in typed.items() if value not in (None, [])})

        parameters = own + flags
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        command.__doc__, command.__name__ = function.__doc__, function.__name__
        return command

    return decorate


def flag(name: str, section: str, field: FieldInfo) -> inspect.Parameter:
    """The command-line parameter of one setting."""
    default = "" if field.default in ((), "") else f" [default: {field.default}]"
    choices = choices_of(name, field.annotation)
    text = f"{field.description}{f' ({choices})' if choices else ''}{default}"
    long = f"--{name.replace('_', '-')}"
    names = [f"{long}/--no-{long[2:]}"] if field.annotation is bool else [long]
    option = typer.Option(*names, *([SHORT[name]] if name in SHORT else []), help=text, rich_help_panel=section)
    annotation: Any = Annotated[str | None if word_of(field) else plain_type(field.annotation), option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def plain_type(annotation: Any) -> Any:
    """The type that the command line parses; limits and choices are checked once, by the declaration."""
    if get_origin(annotation) is tuple:
        return list[str] | None
    if get_origin(annotation) is Literal:
        return str | None
    return annotation | None


def choices_of(name: str, annotation: Any) -> str:
    """The values that a setting may have, if they are names."""
    if get_origin(annotation) is Literal:
        return ", ".join(get_args(annotation))
    if name in recipe.CATALOGUED:
        return ", ".join(catalog.TABLES[recipe.CATALOGUED[name]])
    return ""


def settings_of(section: str, stored: recipe.Recipe, typed: Mapping[str, Any]) -> Any:
    """The settings of a section as a checkpoint stored them, changed by typed flags."""
    return getattr(recipe.resolve(stored.model_dump(mode="json"), typed), section)
