"""FGVC-Aircraft's directory (Maji et al. 2013, arXiv:1306.5151) as a two-class flight set like the paper's.

Airliners by their families, small aircraft by theirs; what is neither is left out. The photographs' own banner, the
lowest 20 rows with the copyright, is cut off. The result is a directory of class directories (see `folder`).
"""

import os
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from rationale.errors import DataError, OutputError

_Group = tuple[str, str]  # split, class

BANNER = 20  # rows
# Families of the data set. Freighters and aircraft of about twenty seats are neither, and are left out.
AIRLINERS = frozenset(
    {
        *("A300", "A310", "A320", "A330", "A340", "A380", "ATR-42", "ATR-72", "BAE 146", "Boeing 707", "Boeing 717"),
        *("Boeing 727", "Boeing 737", "Boeing 747", "Boeing 757", "Boeing 767", "Boeing 777", "CRJ-200", "CRJ-700"),
        *("DC-10", "DC-3", "DC-6", "DC-8", "DC-9", "Dash 8", "Dornier 328", "EMB-120", "Embraer E-Jet"),
        *("Embraer ERJ 145", "Fokker 100", "Fokker 50", "Fokker 70", "L-1011", "MD-11", "MD-80", "MD-90", "Saab 2000"),
        *("Saab 340", "Tu-134", "Tu-154", "Yak-42"),
    }
)
SMALL = frozenset(
    {
        *("BAE-125", "Cessna 172", "Cessna 208", "Cessna Citation", "Challenger 600", "DH-82", "DHC-1", "DR-400"),
        *("Embraer Legacy 600", "Eurofighter Typhoon", "F-16", "F/A-18", "Falcon 2000", "Falcon 900", "Global Express"),
        *("Gulfstream", "Hawk T1", "King Air", "PA-28", "SR-20", "Spitfire", "Tornado"),
    }
)


def convert_fgvc(
    source: Path, target: Path, *, most: int = 5000, report: Callable[[int, int, str], None] = lambda *_: None
) -> int:
    """Writes train/, val/ and test/ with `airliner` and `small` under `target`; returns the number of photographs.

    The official splits are kept. Of more than `most` photographs, an even selection of each split and class is taken;
    what is already there is not written again.

    Args:
        source: `fgvc-aircraft-2013b`, its `data` directory, or what holds it.
        target: made if need be.
        most: photographs at most, like the paper's 5,000.
        report: called with the photographs done, their number, and the one at work.

    Raises:
        DataError: the directory is not FGVC-Aircraft's, a photograph is missing, or `target` holds others.
        OutputError: `target` cannot be written.
    """
    data = next(
        (
            path
            for path in (source, source / "data", source / "fgvc-aircraft-2013b" / "data")
            if (path / "images").is_dir()
        ),
        None,
    )
    if data is None:
        raise DataError(f"{source}: is not FGVC-Aircraft's directory: there is no data/images in it")
    chosen: dict[_Group, list[str]] = defaultdict(list)
    for split in ("train", "val", "test"):
        for number, family in _read(data / f"images_family_{split}.txt"):
            kind = "airliner" if family in AIRLINERS else "small" if family in SMALL else None
            if kind is not None:
                chosen[split, kind].append(number)
    total = sum(map(len, chosen.values()))
    if not total:
        raise DataError(f"{data}: names no family that is an airliner or a small aircraft")
    counts = _apportioned({group: len(numbers) for group, numbers in chosen.items()}, min(most, total))
    wanted = [(*group, number) for group, numbers in chosen.items() for number in _evenly(numbers, counts[group])]
    _refuse_others(target, {target / split / kind / f"{number}.jpg" for split, kind, number in wanted})
    for done, (split, kind, number) in enumerate(wanted):
        report(done, len(wanted), number)
        _write(data / "images" / f"{number}.jpg", target / split / kind / f"{number}.jpg")
    report(len(wanted), len(wanted), "")
    return len(wanted)


def _read(path: Path) -> list[tuple[str, str]]:
    """Number and family of each photograph of a split."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        found = [(number, family) for number, family in (line.split(" ", 1) for line in lines if line.strip())]
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    if odd := [number for number, _ in found if not number.isdecimal()]:
        raise DataError(f"{path}: {odd[0]!r} is no number of a photograph")
    return found


def _apportioned(sizes: Mapping[_Group, int], count: int) -> dict[_Group, int]:
    """`count` of all, each group in proportion to its size; what rounding leaves goes to the largest remainders."""
    total = sum(sizes.values())
    counts = {group: size * count // total for group, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda group: -(sizes[group] * count % total))
    for group in by_remainder[: count - sum(counts.values())]:
        counts[group] += 1
    return counts


def _evenly(numbers: list[str], count: int) -> list[str]:
    return [numbers[row] for row in np.linspace(0, len(numbers) - 1, count).round().astype(int)]


def _refuse_others(target: Path, wanted: set[Path]) -> None:
    others = sorted(set(target.glob("*/*/*.jpg")) - wanted)
    if others:
        raise DataError(f"{target}: holds {len(others)} other photographs, such as {others[0]}; choose another --out")


def _write(source: Path, target: Path) -> None:
    if target.exists() and target.stat().st_size:
        return
    try:
        with Image.open(source) as photo:
            whole = photo.convert("RGB")
    except OSError as error:
        raise DataError(f"{source}: cannot be read ({error})") from error
    if whole.height <= BANNER:
        raise DataError(f"{source}: is only {whole.height} rows high; the banner alone has {BANNER}")
    partial = target.with_suffix(f".{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        whole.crop((0, 0, whole.width, whole.height - BANNER)).save(partial, "JPEG", quality=95)
        os.replace(partial, target)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({error.strerror or error})") from error
