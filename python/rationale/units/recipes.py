"""Recipes for preferred stimuli: how far to climb, how fast, and what keeps the picture from becoming noise."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from rationale.errors import OptionError


@dataclass(frozen=True)
class Recipe:
    """How a stimulus is made. Regularisers as in Yosinski et al. 2015 (section 4), unless said otherwise.

    Attributes:
        name: of the recipe.
        iterations: steps.
        rate: of a step; with `progress` the largest one.
        progress: rise of the objective that each step aims at, of about 50 for the best real picture; where 0, `rate`.
        decay: share of the picture that each step takes away (θ_decay).
        blur, blur_every: radius in pixels of a Gaussian blur, and every how many steps (θ_b_width, θ_b_every).
        small_norm: percentage of the pixels, those with the smallest norm over the colours, that become grey (θ_n_pct).
        small_value: percentage of single values that do.
        small_contribution: percentage of the pixels, those whose removal changes the activation least (θ_c_pct).
        jitter: pixels by which the picture is moved at random in each step, at most (Mordvintsev et al. 2015).
        scale: share by which it is made larger or smaller at random, at most.
        rotation: degrees by which it is turned at random, at most.
        total_variation: weight of the differences between neighbouring pixels (Mahendran and Vedaldi 2015), as a
            share of the gradient.
        fourier: climb in frequencies and decorrelated colours, by Adam (Olah et al. 2017, "Feature Visualization").
        diversity: weight of the likeness between several stimuli of one unit (same source).
    """

    name: str
    iterations: int = 500
    rate: float = 100.0
    progress: float = 0.0
    decay: float = 0.0
    blur: float = 0.0
    blur_every: int = 1
    small_norm: float = 0.0
    small_value: float = 0.0
    small_contribution: float = 0.0
    jitter: int = 0
    scale: float = 0.0
    rotation: float = 0.0
    total_variation: float = 0.0
    fourier: bool = False
    diversity: float = 0.0

    def __post_init__(self) -> None:
        shares = {"decay": self.decay, "scale": self.scale}
        percentages = {
            "small_norm": self.small_norm,
            "small_value": self.small_value,
            "small_contribution": self.small_contribution,
        }
        amounts = (self.blur, self.jitter, self.rotation, self.total_variation, self.diversity, self.progress)
        sound = (
            self.iterations >= 1
            and self.rate > 0
            and self.blur_every >= 1
            and all(0 <= each < 1 for each in shares.values())
            and all(0 <= each < 100 for each in percentages.values())
            and all(each >= 0 for each in amounts)
        )
        if not sound:
            raise OptionError(f"recipe {self.name!r}: {self} makes no sense")


# The first four are the ones that Yosinski et al. published.
RECIPES: Mapping[str, Recipe] = {
    each.name: each
    for each in (
        Recipe("blurred", 500, progress=2, blur=0.5, blur_every=4, small_norm=50),
        Recipe("decayed", 750, decay=0.3, small_norm=20),
        Recipe("smooth", 1000, decay=1e-4, blur=1.0, blur_every=4),
        Recipe("sparse", 1000, progress=2, blur=0.5, blur_every=4, small_contribution=90),
        Recipe("fourier", 256, rate=0.05, jitter=6, scale=0.08, rotation=6, total_variation=0.2, fourier=True),
    )
}


def recipe(name: str, **changes: float | int | bool | None) -> Recipe:
    """A recipe by its name, with some of its numbers changed; its name then says so.

    Raises:
        OptionError: no recipe has that name, or a number makes no sense.
    """
    if name not in RECIPES:
        raise OptionError(f"no recipe is named {name!r}; there are {', '.join(RECIPES)}")
    asked = {key: value for key, value in changes.items() if value is not None and value != getattr(RECIPES[name], key)}
    if not asked:
        return RECIPES[name]
    said = ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in asked.items())
    return replace(RECIPES[name], name=f"{name} ({said})", **asked)  # type: ignore[arg-type]
