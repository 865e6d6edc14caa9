"""Puts the licences of the libraries that auditwheel copied into a wheel beside them, from Debian's packages."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from debian import BuildError

_COMMON = Path("usr/share/common-licenses")


@dataclass(frozen=True)
class Bundled:
    """A library in the wheel, and the Debian package that it is a copy from."""

    library: str
    package: str
    version: str
    source: str  # its name and version


def add_licences(wheel: Path, root: Path = Path("/")) -> list[Bundled]:
    """Adds the copyright file of every bundled library's package to an unpacked wheel, and a list of them.

    Args:
        wheel: the unpacked wheel, with its libraries in NAME.libs.
        root: of the Debian system that the libraries come from.

    Raises:
        BuildError: a library is of no package, or a package says nothing of its licence.
    """
    target = next(wheel.glob("*.dist-info")) / "licenses"
    bundled = [_bundled(path.name) for path in sorted(wheel.glob("*.libs/*"))]
    texts: dict[str, str] = {}
    for package, source in sorted({(each.package, each.source.split()[0]) for each in bundled}):
        place = root / "usr/share/doc" / package / "copyright"
        if not place.is_file():
            raise BuildError(f"{place} is missing: the licence of {package} is not known")
        text = place.read_text(encoding="utf-8", errors="replace")
        same = texts.setdefault(f"bundled/{source}", text) == text
        texts |= {} if same else {f"bundled/{package}": text}
        for name in re.findall(r"/usr/share/common-licenses/([A-Za-z0-9][\w.+-]*\w)", text):
            common = root / _COMMON / name
            if not common.is_file():
                raise BuildError(f"{place} speaks of {name}, which is not in {root / _COMMON}")
            texts[f"common/{name}"] = common.read_text(encoding="utf-8", errors="replace")
    texts["BUNDLED.txt"] = _table(bundled)
    for name, text in texts.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text(text, encoding="utf-8")
    _name_in_metadata(target.parent / "METADATA", sorted(texts))
    return bundled


def original_name(library: str) -> str:
    """Name of the file that auditwheel copied: without the eight digits that it adds."""
    return re.sub(r"-[0-9a-f]{8}(?=\.)", "", library, count=1)


def _bundled(library: str) -> Bundled:
    name = original_name(library)
    found = subprocess.run(["dpkg-query", "-S", f"*/{name}"], capture_output=True, text=True).stdout.splitlines()
    if not found:
        raise BuildError(f"{name} in the wheel is of no Debian package: its licence is not known")
    package = found[0].split(":")[0]
    asked = ["dpkg-query", "-W", "-f=${Version}\t${source:Package} ${source:Version}\n", package]
    version, source = (
        subprocess.run(asked, check=True, capture_output=True, text=True).stdout.splitlines()[0].split("\t")
    )
    return Bundled(library, package, version, source)


def _table(bundled: list[Bundled]) -> str:
    lines = [
        "Libraries in this wheel: library, package, version, source. They are copies from Debian's packages; only",
        "their names, and where they look for each other, were changed. The licence of each is in bundled/, under the",
        "name of its source or package; the texts that it speaks of are in common/. `apt-get source NAME=VERSION`",
        "fetches the source from Debian.",
        "",
    ]
    return "\n".join([*lines, *(f"{e.library}  {e.package} {e.version}  {e.source}" for e in bundled)]) + "\n"


def _name_in_metadata(metadata: Path, names: list[str]) -> None:
    """Lists the files as License-File, behind the one that is there."""
    lines = metadata.read_text(encoding="utf-8").split("\n")
    place = next(number for number, line in enumerate(lines) if line.startswith("License-File:"))
    lines[place + 1 : place + 1] = [f"License-File: {name}" for name in names]
    metadata.write_text("\n".join(lines), encoding="utf-8")
