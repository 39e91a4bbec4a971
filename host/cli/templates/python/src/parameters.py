"""Parameters: describing them, and reading their values."""

from wit_world.exports import about
from wit_world.imports.types import Value_Number


def number(name, help, default, minimum, maximum):
    """A parameter that is a number."""
    return about.Parameter(
        name=name,
        help=help,
        default=Value_Number(default),
        minimum=minimum,
        maximum=maximum,
        choices=[],
    )


def number_of(settings, name):
    """The value of a parameter that is a number."""
    for setting in settings:
        if setting.name == name and isinstance(setting.value, Value_Number):
            return setting.value.value
    raise ValueError(f"`{name}` is missing, or no number")
