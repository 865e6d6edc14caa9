"""The licences of what a wheel bundles: each library's, with the texts that it speaks of, or no wheel at all."""

import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="licences come from Debian's packages")


@pytest.fixture(scope="module")
def licences() -> ModuleType:
    sys.path.insert(0, str(ROOT / "docker"))
    import licences

    return licences


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """An unpacked wheel with two libraries that every Debian has, under the names that auditwheel gives."""
    (tmp_path / "caffe.libs").mkdir()
    (tmp_path / "caffe-1.0.0.dist-info").mkdir()
    for path in Path("/usr/lib").rglob("lib*.so.*"):
        if path.name in ("libgcc_s.so.1", "libstdc++.so.6"):
            stem, _, ending = path.name.partition(".so")
            (tmp_path / "caffe.libs" / f"{stem}-0123abcd.so{ending}").touch()
    metadata = "Metadata-Version: 2.2\nName: caffe\nLicense-File: LICENSE\n\nAbout it.\n"
    (tmp_path / "caffe-1.0.0.dist-info" / "METADATA").write_text(metadata)
    return tmp_path


def test_every_library_has_its_licence_and_the_texts_that_it_speaks_of(licences: ModuleType, wheel: Path) -> None:
    bundled = licences.add_licences(wheel)
    assert sorted(each.package for each in bundled) == ["libgcc-s1", "libstdc++6"]
    folder = wheel / "caffe-1.0.0.dist-info" / "licenses"
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert "BUNDLED.txt" in found
    assert any("GCC Runtime Library Exception" in path.read_text() for path in (folder / "bundled").iterdir())
    assert "common/GPL-3" in found
    table = (folder / "BUNDLED.txt").read_text()
    for each in bundled:
        assert f"{each.library}  {each.package} {each.version}  {each.source}" in table
        assert each.source.startswith("gcc-")
    header = (wheel / "caffe-1.0.0.dist-info" / "METADATA").read_text().split("\n\n")[0]
    named = {line.removeprefix("License-File: ") for line in header.splitlines() if line.startswith("License-File")}
    assert named == found | {"LICENSE"}


def test_a_library_without_a_known_licence_makes_no_wheel(licences: ModuleType, wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(licences.BuildError, match=r"licence of .* is not known"):
        licences.add_licences(wheel, root=tmp_path / "empty")
    (wheel / "caffe.libs" / "libhomemade-0123abcd.so.1").touch()
    with pytest.raises(licences.BuildError, match=r"libhomemade\.so\.1 in the wheel is of no Debian package"):
        licences.add_licences(wheel)


@pytest.mark.parametrize(
    ("library", "original"),
    [
        ("libcurl-02fbea31.so.4.8.0", "libcurl.so.4.8.0"),
        ("libldap-2-062bb940.5.so.0.1.8", "libldap-2.5.so.0.1.8"),
        ("libopenblasp-r0-234bd196.3.21.so", "libopenblasp-r0.3.21.so"),
    ],
)
def test_names_that_auditwheel_gave_lead_back_to_the_files(licences: ModuleType, library: str, original: str) -> None:
    assert licences.original_name(library) == original
