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
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rationale.batch.helpers import shared
from rationale.batch.worker import Duty
from rationale.cores import available_cores
from rationale.errors import OutputError, RationaleError
from rationale.explanation import ALL_FILES, LAST, UNITS_FILE, Explanation, make_folder, save_report
from rationale.explanation.report import render_index
from rationale.fetching.digest import short_digest
from rationale.model import Model
from rationale.network import on_threads
from rationale.resources import as_json, held, now, printable, write_whole
from rationale.version import __version__

RUN = ".rationale"  # beside the results: of which run they are
_REPORT = "report.html"

Regions = Mapping[str, NDArray[np.bool_]]
Regioning = Callable[[Model], Callable[[Path], Regions | None]]


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


def unknown_regions(model: Model) -> Callable[[Path], None]:
    """What finds the regions of pictures of which nothing is known."""
    return lambda picture: None


def _as_it_is(model: Model, explanation: Explanation) -> Explanation:
    return explanation


def explain_all(
    model: Model,
    pictures: Mapping[Path, Path],
    out: Path,
    wish: Wish,
    *,
    replace: bool = False,
    regions: Regioning = unknown_regions,
    also: Callable[[Model, Explanation], Explanation] = _as_it_is,
    summary: Callable[[Explanation], str] = repr,
    tell: Callable[[str], None] = lambda line: None,
    complain: Callable[[RationaleError], None] = lambda error: None,
    processes: int = 1,
) -> Written:
    """Explains pictures, a batch at a time, and writes what is kept of each and a page about all.

    Args:
        model: the classifier.
        pictures: files, and what each is called: a relative path, after which its folder is named.
        out: the folder of all results; made where it is not there.
        wish: how, and what is kept.
        replace: what another run left in the folder goes.
        regions: makes what gives bool (H, W) of the parts of a picture that a sentence can name, None where unknown.
        also: adds to each explanation what the wish says, before it is written.
        summary: what is told of an explanation.
        tell: called with the summary of each, in the order of the pictures, once it is written.
        complain: called with what is wrong with a picture that cannot be read; the others are explained.
        processes: that share the pictures, this one among them; with several, `regions`, `also` and `summary` can be
            pickled, and the program's main module can be imported (`multiprocessing`'s way "spawn"). Bits depend on
            the threads of each, which then share the cores.

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
        items = [
            _item(out, wish, number, picture, called, folders[picture])
            for number, (picture, called) in enumerate(pictures.items())
        ]
        whole = (out / _REPORT).exists()
        batches = [items[start : start + model.batch_size] for start in range(0, len(items), model.batch_size)]
        # A batch is made again as a whole: bits depend on what shares it.
        missing = [each for each in batches if not all(item.is_done(whole) for item in each)]
        work = _Work(wish, made, also, summary)
        explained, failed = 0, 0
        for done in _results(model, missing, work, regions, processes):
            for line in done.lines:
                tell(line)
            for error in done.errors:
                complain(error)
            explained, failed = explained + len(done.lines), failed + len(done.errors)
        kept = len(items) - explained - failed
        return _finish(out, wish, items, explained, kept, failed)


def _results(
    model: Model,
    batches: Sequence[Sequence["_Item"]],
    work: "_Work",
    regions: Regioning,
    processes: int,
) -> Iterator["_Done"]:
    """What came of each batch, in order."""
    known = regions(model)
    if processes == 1:
        yield from (work.explain(model, known, batch) for batch in batches)
        return
    threads = max(1, available_cores() // processes)
    with on_threads(threads):
        make = partial(_elsewhere, Duty.like(model, threads), work, regions)
        yield from shared(batches, partial(work.explain, model, known), make, processes - 1)


def _elsewhere(duty: Duty, work: "_Work", regions: Regioning) -> Callable[[Sequence["_Item"]], "_Done"]:
    """What explains batches in a process of its own."""
    model = duty.load()
    known = regions(model)

    def explain(batch: Sequence[_Item]) -> _Done:
        with on_threads(duty.threads):
            return work.explain(model, known, batch)

    return explain


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
class _Item:
    """A picture, what it is called, and where what is kept of it goes.

    `part`: of a portable report, there until that is written; `home`: the report, as seen from `place`.
    """

    picture: Path
    name: str
    place: Path
    folder: str
    home: str
    part: Path | None

    def is_done(self, whole: bool) -> bool:
        """Whether all is there; `whole`: also the report that holds the parts."""
        there = (self.place / LAST).exists()  # written last
        return there and (whole or self.part is None or self.part.exists())


def _item(out: Path, wish: Wish, number: int, picture: Path, called: Path, folder: Path) -> _Item:
    home = "../" * len(folder.parts) + _REPORT
    part = out / RUN / f"{number:08}.json" if wish.portable else None
    return _Item(picture, printable(called.as_posix()), out / folder, folder.as_posix(), home, part)


@dataclass(frozen=True)
class _Done:
    """What came of a batch: a summary of each explanation, and what was wrong with the other pictures."""

    lines: Sequence[str]
    errors: Sequence[RationaleError]


@dataclass(frozen=True)
class _Work:
    wish: Wish
    made: datetime
    also: Callable[[Model, Explanation], Explanation]
    summary: Callable[[Explanation], str]

    def explain(self, model: Model, regions: Callable[[Path], Regions | None], batch: Sequence[_Item]) -> _Done:
        """Explains a batch of pictures and keeps them."""
        wish, errors = self.wish, []
        views, items = [], []
        for item in batch:
            try:
                views.append(model.view(item.picture))
                items.append(item)
            except RationaleError as error:
                errors.append(error)
        explanations = model.explain_views(
            views,
            [item.name for item in items],
            target=wish.target,
            against=wish.against,
            composite=wish.composite,
            sentences=wish.sentences,
            words=wish.words,
            regions=[regions(item.picture) for item in items],
            made=self.made,
        )
        lines = []
        for item, explained in zip(items, explanations, strict=True):
            explanation = self.also(model, explained)
            if item.part is not None:
                _write(item.part, as_json(explanation.report_part()))
            explanation.save(item.place, full=wish.full, home=item.home)
            lines.append(self.summary(explanation))
        return _Done(lines, errors)


def _finish(out: Path, wish: Wish, items: Sequence[_Item], explained: int, kept: int, failed: int) -> Written:
    """Writes the page about all."""
    found = [item for item in items if (item.place / LAST).exists()]
    told = [json.loads((item.place / LAST).read_text(encoding="utf-8")) for item in found]
    classes = Counter(each["label"] for each in told)
    if not found:
        return Written(None, explained, kept, failed, classes)
    report = out / _REPORT
    title = wish.title or f"{len(found)} {'picture' if len(found) == 1 else 'pictures'} explained"
    parts = [item.part for item in items if item.part is not None]
    if not parts:
        folders = [item.folder for item in found]
        _write(report, render_index(list(zip(told, folders, strict=True)), title))
    elif all(item.part.exists() for item in found if item.part is not None):
        save_report([_read(item.part) for item in found if item.part is not None], report, title)
    for part in parts:
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
