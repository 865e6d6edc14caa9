"""Explains many pictures into one folder: each has a folder of its own in it, and one page shows and leads to all.

Which run the results are of is kept in `<out>/.rationale/run.json`: the same command goes on where it stopped, however
that came about, and comes to the same bytes; another one is refused, or replaces all that the run before wrote.
"""

import contextlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rationale.errors import OutputError, RationaleError
from rationale.explanation import ALL_FILES, LAST, UNITS_FILE, Explanation, make_folder, save_report
from rationale.explanation.report import render_index
from rationale.fetching.digest import short_digest
from rationale.model import Model
from rationale.resources import as_json, held, now, printable, write_whole
from rationale.version import __version__

RUN = ".rationale"  # beside the results: of which run they are
_REPORT = "report.html"

Regions = Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class Wish:
    """How pictures are explained, and what is kept.

    Attributes:
        target, against, composite: as in `Model.explain`.
        sentences: say sentences; of a model that can.
        full: keep relevance at every layer.
        portable: one report that holds everything, rather than a light index.
        title: its heading.
        also: what else is told of each, in a few words; empty for nothing.
        words: of a sentence, where each word comes from.
    """

    target: str | None = None
    against: str | None = None
    composite: str | None = None
    sentences: bool = False
    full: bool = False
    portable: bool = False
    title: str | None = None
    also: str = ""
    words: bool = False


@dataclass(frozen=True)
class Written:
    """What became of the pictures: how many were explained now, were there already, or could not be read."""

    report: Path | None
    explained: int
    kept: int
    failed: int
    classes: Mapping[str, int]  # pictures of each predicted class


def explain_all(
    model: Model,
    pictures: Mapping[Path, Path],
    out: Path,
    wish: Wish,
    *,
    replace: bool = False,
    regions: Callable[[Path], Regions | None] = lambda picture: None,
    also: Callable[[Explanation], Explanation] = lambda explanation: explanation,
    tell: Callable[[Explanation], None] = lambda explanation: None,
    complain: Callable[[RationaleError], None] = lambda error: None,
) -> Written:
    """Explains pictures, a batch at a time, and writes what is kept of each and a page about all.

    Args:
        model: the classifier.
        pictures: files, and what each is called: a relative path, after which its folder is named.
        out: the folder of all results; made where it is not there.
        wish: how, and what is kept.
        replace: what another run left in the folder goes.
        regions: gives bool (H, W) of the parts of a picture that a sentence can name, or None where unknown.
        also: adds to each explanation what the wish says, before it is written.
        tell: called with each explanation, once it is written.
        complain: called with what is wrong with a picture that cannot be read; the others are explained.

    Raises:
        OutputError: the folder holds another run, another process is writing it, or it cannot be written.
    """
    folders = folders_for(pictures)
    run = {
        "rationale": __version__,
        "model": model.name,
        "weights": model.fingerprint,
        "explainer": model.explainer_fingerprint if wish.sentences else "",
        **{key: value for key, value in vars(wish).items() if key != "sentences"},
        "composite": model.composite(wish.composite).name,
        "pictures": _state(pictures),
    }
    with _begun(out, run, [str(each) for each in folders.values()], replace) as made:
        places = {picture: out / folder for picture, folder in folders.items()}
        parts = {picture: out / RUN / f"{number:08}.json" for number, picture in enumerate(pictures)}
        work = _Work(model, wish, places, parts if wish.portable else {}, made, out, regions, also, tell, complain)
        names = [(picture, printable(called.as_posix())) for picture, called in pictures.items()]
        whole = (out / _REPORT).exists()
        explained, kept, failed = 0, 0, 0
        for start in range(0, len(names), model.batch_size):
            batch = dict(names[start : start + model.batch_size])
            if all(work.is_done(picture, whole) for picture in batch):  # bits depend on what shares the batch
                kept += len(batch)
                continue
            done = work.explain(batch)
            explained, failed = explained + done, failed + len(batch) - done
        return work.finish(folders, explained, kept, failed)


def folders_for(pictures: Mapping[Path, Path]) -> dict[Path, Path]:
    """The folder of each picture, relative, named as the picture is called; no two are the same."""
    folders: dict[Path, Path] = {}
    taken = {Path(_REPORT), Path(RUN)}
    for picture, called in pictures.items():
        stem = called.stem if called.stem.strip(".") else "picture"
        place, number = called.with_name(stem), 2
        while place in taken:
            place, number = called.with_name(f"{stem}-{number}"), number + 1
        taken.add(place)
        folders[picture] = place
    return folders


@dataclass(frozen=True)
class _Work:
    model: Model
    wish: Wish
    places: Mapping[Path, Path]
    parts: Mapping[Path, Path]  # of a portable report, where pictures have one until it is written
    made: datetime
    out: Path
    regions: Callable[[Path], Regions | None]
    also: Callable[[Explanation], Explanation]
    tell: Callable[[Explanation], None]
    complain: Callable[[RationaleError], None]

    def is_done(self, picture: Path, whole: bool) -> bool:
        """Whether all is there of a picture; `whole`: also the report that holds the parts."""
        there = (self.places[picture] / LAST).exists()  # written last
        return there and (whole or picture not in self.parts or self.parts[picture].exists())

    def explain(self, names: Mapping[Path, str]) -> int:
        """Explains a batch of pictures and keeps them; returns how many could be read."""
        wish, views = self.wish, {}
        for picture in names:
            try:
                views[picture] = self.model.view(picture)
            except RationaleError as error:
                self.complain(error)
        explanations = self.model.explain_views(
            list(views.values()),
            [names[picture] for picture in views],
            target=wish.target,
            against=wish.against,
            composite=wish.composite,
            sentences=wish.sentences,
            words=wish.words,
            regions=[self.regions(picture) for picture in views],
            made=self.made,
        )
        for picture, explained in zip(views, explanations, strict=True):
            explanation = self.also(explained)
            if picture in self.parts:
                _write(self.parts[picture], as_json(explanation.report_part()))
            place = self.places[picture]
            steps = len(place.relative_to(self.out).parts)
            explanation.save(place, full=wish.full, home="../" * steps + _REPORT)
            self.tell(explanation)
        return len(views)

    def finish(self, folders: Mapping[Path, Path], explained: int, kept: int, failed: int) -> Written:
        """Writes the page about all."""
        found = {
            picture: json.loads((place / LAST).read_text(encoding="utf-8"))
            for picture, place in self.places.items()
            if (place / LAST).exists()
        }
        classes = Counter(each["label"] for each in found.values())
        report, count = self.out / _REPORT, len(found)
        title = self.wish.title or f"{count} {'picture' if count == 1 else 'pictures'} explained"
        if not found:
            return Written(None, explained, kept, failed, classes)
        if not self.parts:
            index = render_index([(each, folders[picture].as_posix()) for picture, each in found.items()], title)
            _write(report, index)
        elif all(part.exists() for picture, part in self.parts.items() if picture in found):
            save_report([_read(self.parts[picture]) for picture in found], report, title)
        for part in self.parts.values():
            part.unlink(missing_ok=True)
        return Written(report, explained, kept, failed, classes)


# ---- whose results a folder holds ------------------------------------------------------------------------------------


@contextmanager
def _begun(out: Path, run: Mapping[str, Any], folders: Sequence[str], replace: bool) -> Iterator[datetime]:
    """Holds the folder, and makes sure that what is in it is of this run; yields when the run began first."""
    make_folder(out)
    if (out / LAST).exists():
        _give_way(out, "the explanation of one picture", replace)
        remove_one(out)
    with held(out / RUN / "lock") as ours:
        if not ours:
            raise OutputError(f"{out}: another process is writing it")
        path = out / RUN / "run.json"
        before = _read(path) if path.exists() else None
        differing = [key for key in run if before is not None and before.get(key) != run[key]]
        if before is not None and differing:
            key = differing[0]
            of = f"explanations of another run ({key} {before.get(key)!r}, not {run[key]!r})"
            _give_way(out, of, replace)
            _remove_run(out, before["folders"])
            before = None
        if before is None:
            for folder in folders:
                if (out / folder / LAST).exists():
                    _give_way(out / folder, "an explanation of another run", replace)
                    remove_one(out / folder)
            before = {**run, "made": now().isoformat(), "folders": list(folders)}
            _write(path, as_json(before, indent=1))
        for folder in (RUN, ".", *folders):
            for left in (out / folder).glob("*.part"):  # by a process that was killed
                left.unlink()
        yield datetime.fromisoformat(before["made"])


def make_room_for_one(out: Path, replace: bool) -> None:
    """Makes room for the explanation of one picture: another one gives way to it, several only if asked.

    Raises:
        OutputError: they are not to be replaced.
    """
    path = out / RUN / "run.json"
    if path.exists():
        before = _read(path)
        _give_way(out, f"explanations of {len(before['folders'])} pictures", replace)
        _remove_run(out, before["folders"])
        shutil.rmtree(out / RUN)
    if (out / LAST).exists():
        (out / UNITS_FILE).unlink(missing_ok=True)  # which is not written each time, as the others are


def remove_one(folder: Path) -> None:
    """Removes what was written of one picture, and the folder if nothing else is in it."""
    for name in ALL_FILES:
        (folder / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


def _remove_run(out: Path, folders: Sequence[str]) -> None:
    (out / _REPORT).unlink(missing_ok=True)
    for part in (out / RUN).glob("*.json"):
        part.unlink()
    for folder in map(Path, folders):
        remove_one(out / folder)
        for above in folder.parents[:-1]:
            with contextlib.suppress(OSError):
                (out / above).rmdir()


def _give_way(place: Path, what: str, replace: bool) -> None:
    if not replace:
        raise OutputError(f"{place}: holds {what}; choose another --out, or let it go with --replace")


def _state(pictures: Mapping[Path, Path]) -> str:
    """Changes when a picture does, or their order: a digest of names, sizes and times of change."""
    states = [(called.as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path, called in pictures.items()]
    return short_digest(as_json(states).encode())


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: is damaged ({error}); remove {path.parent}, or choose another --out") from error


def _write(path: Path, content: str) -> None:
    try:
        write_whole(path, content)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
