"""What a server tells its worker processes to do."""

from dataclasses import dataclass

from rationale.visualizer.frame import Frame
from rationale.visualizer.question import Question

GOOD, REFUSED = b"+", b"-"  # what a reply begins with


@dataclass(frozen=True)
class Describe:
    """Asks for what a page must know of the model, as JSON."""


@dataclass(frozen=True)
class Look:
    """Asks a page's question about a frame; the reply is a parcel."""

    frame: Frame
    question: Question


@dataclass(frozen=True)
class Explain:
    """Asks for what explanation.json holds, as JSON, with the maps that are named."""

    frame: Frame
    name: str
    target: str | None
    against: str | None
    composite: str | None
    maps: tuple[str, ...]


@dataclass(frozen=True)
class Sheet:
    """Asks for what the model's store knows of a unit, as JSON; null where there is no store, or not of that layer."""

    layer: str
    channel: int


Job = Describe | Look | Explain | Sheet
