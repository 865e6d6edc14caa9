"""Numbers as people read them, in reports, pictures and on the terminal."""

from collections.abc import Sequence


def signed(value: float, digits: int = 3) -> str:
    """A number with its sign and that many significant digits; a true minus."""
    return f"{value:+.{digits}g}".replace("-", "−")


def number(value: float, digits: int = 4) -> str:
    """A number with that many significant digits; a true minus."""
    return f"{value:.{digits}g}".replace("-", "−")


def amount(value: float) -> str:
    """A number of the ledger: four decimals, so that a column lines up; tiny ones as powers of ten."""
    text = f"{value:+.4f}" if value == 0 or abs(value) >= 5e-5 else f"{value:+.0e}"
    return "0" if value == 0 else text.replace("-", "−")


def percent(share: float) -> str:
    """A share as a percentage that never claims certainty it does not have."""
    if 0.9995 <= share < 1:
        return "> 99.9 %"
    if 0 < share < 0.0005:
        return "< 0.1 %"
    return f"{100 * share:.1f} %"


def said(meaning: str, found: float) -> str:
    """A probability or value as people read it."""
    return number(found, 3) if meaning == "values" else percent(found)


def headline(meaning: str, classes: Sequence[tuple[str, float]]) -> str:
    """What a network says in a few words; all labels that it holds to be true, where several can be."""
    (label, most), *_ = classes
    if meaning == "values":
        return f"{label} {said(meaning, most)}"
    true = [each for each in classes if each[1] >= 0.5] if meaning == "labels" else classes[:1]
    if true:
        return ", ".join(f"{label} ({percent(share)})" for label, share in true)
    return f"no label; most probable is {label} ({percent(most)})"
