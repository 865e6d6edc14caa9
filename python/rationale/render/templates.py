"""Templates of pages: undefined names are errors, and what is put in is escaped."""

from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template


def page_template(package: str, name: str, *filters: Callable[..., Any]) -> Template:
    """A template that lies in a package of ours; it knows the filters by the names of these functions."""
    environment = Environment(
        loader=PackageLoader(package, ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({each.__name__: each for each in filters})
    return environment.get_template(name)
