"""What a scan is asked to keep, and what became of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rationale.errors import OptionError
from rationale.units.highlight import METHODS
from rationale.units.store import KINDS

Report = Callable[[int, int, str], None]  # done, of how many, of what


@dataclass(frozen=True)
class Wanted:
    """What a scan keeps.

    Attributes:
        layers: whose units.
        count: pictures of each kind for each unit.
        kinds: of KINDS; relevance is only computed for "relevant".
        distinct: of near-duplicates keep one.
        side: of a crop, in pixels, at most; larger ones are made smaller.
        composite: how relevance is propagated; the model's own way where None.
        highlight: by which of METHODS it is drawn what excites the unit in its top pictures; not at all where empty.

    Raises:
        OptionError: a kind or method is unknown, or a number makes no sense.
    """

    layers: tuple[str, ...]
    count: int = 9
    kinds: tuple[str, ...] = tuple(KINDS)
    distinct: bool = False
    side: int = 64
    composite: str | None = None
    highlight: str = ""

    def __post_init__(self) -> None:
        if self.highlight and self.highlight not in METHODS:
            raise OptionError(f"highlighting by {self.highlight!r} is unknown; there is {', '.join(METHODS)}")
        if unknown := [kind for kind in self.kinds if kind not in KINDS]:
            raise OptionError(f"pictures of the kind {unknown[0]!r} are unknown; there are {', '.join(KINDS)}")
        if not self.kinds or not self.layers or self.count < 1 or self.side < 1:
            raise OptionError("a scan wants a layer, a kind of pictures, and numbers from 1 up")


@dataclass(frozen=True)
class Scanned:
    """A finished scan: its store, how many pictures were looked at, and those that could not be read, with why."""

    path: Path
    pictures: int
    unreadable: Sequence[str]
