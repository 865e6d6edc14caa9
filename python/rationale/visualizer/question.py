"""What a page wants to see of the current picture, checked as it comes in."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rationale.errors import OptionError

Name = Annotated[str, Field(max_length=200)]
Number = Annotated[int, Field(ge=0, lt=1_000_000)]
Method = Literal["gradient", "gradient-input", "deconvolution", "guided", "relevance"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Tiles(_Strict):
    """Which channels of the chosen layer are shown: those listed, or else the first `count` in an order.

    Attributes:
        sort: by magnitude of relevance, by the highest activation, or by number.
        sign: only channels that speak for, or against, or both.
        least: only channels with at least this share of the layer's largest value, by what they are sorted by.
    """

    sort: Literal["relevance", "activation", "number"] = "relevance"
    sign: Literal["both", "for", "against"] = "both"
    least: Annotated[float, Field(ge=0, le=1)] = 0.0
    count: Annotated[int, Field(ge=1, le=1024)] = 48
    channels: Annotated[list[Number], Field(max_length=1024)] | None = None


class Backward(_Strict):
    """A backward view, from a channel of a layer, or from the explained class where no layer is named."""

    method: Method
    layer: Name | None = None
    channel: Number | None = None


class WordAsked(_Strict):
    """A word of the sentence, by its number; `contrast`: against the word that came second."""

    step: Number
    contrast: bool = False


class Question(_Strict):
    """Everything that an answer depends on but the picture.

    Attributes:
        number: the page's own count of its questions; comes back with the answer.
        target, against: class to explain (the predicted one where None), and the one that it is contrasted with.
        layer, channel: what is looked at closely.
        through: relevance of the pixels that passed through that channel too.
        live: the picture changes all the time, so that only what is asked for is worth keeping.
        sentence: the model's sentence too, where it has one, with its words; not of moving pictures or contrasts.
        word: the heatmap of one of these words.
    """

    type: Literal["ask"] = "ask"
    number: Number = 0
    model: Name
    target: Number | None = None
    against: Number | None = None
    composite: Name | None = None
    layer: Name | None = None
    channel: Number | None = None
    tiles: Tiles = Tiles()
    through: bool = False
    backward: Backward | None = None
    ledger: bool = True
    live: bool = False
    sentence: bool = False
    word: WordAsked | None = None


def read_question(text: str) -> Question:
    """A question from its JSON.

    Raises:
        OptionError: it is none.
    """
    try:
        return Question.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "question"
        raise OptionError(f"{where}: {first['msg']}") from error
