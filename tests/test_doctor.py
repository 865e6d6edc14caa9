"""What the doctor finds in a Docker image: whether results reach the user, and belong to them."""

import os
from pathlib import Path

import pytest

from rationale import doctor

OWN = os.geteuid()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


def mounts(tmp_path: Path, place: Path) -> Path:
    """A table of mounts like the kernel's, with one folder in it."""
    table = tmp_path / "mountinfo"
    table.write_text(
        "22 1 0:20 / / rw,relatime - overlay overlay rw\n"
        f"30 22 254:0 /home/someone {place} rw,relatime - ext4 /dev/vda rw\n"
    )
    return table


def test_a_folder_of_the_same_user_is_fine(photos: Path, tmp_path: Path) -> None:
    for place in (photos, photos.parent):  # where it is mounted, or above
        finding = doctor.folder_finding(photos, mounts(tmp_path, place))
        assert finding.good
        assert f"belongs to the user this runs as ({OWN})" in finding.what


def test_without_a_mount_results_stay_in_the_container(photos: Path, tmp_path: Path) -> None:
    finding = doctor.folder_finding(photos, mounts(tmp_path, tmp_path / "elsewhere"))
    assert finding.good
    assert f'-v "$PWD:{photos}"' in finding.what


@pytest.mark.parametrize(("writable", "what"), [(True, "leaves files that are not"), (False, "cannot write there")])
def test_a_folder_of_another_user_is_found_with_the_option_that_helps(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writable: bool, what: str
) -> None:
    monkeypatch.setattr(doctor.os, "geteuid", lambda: OWN + 1)
    monkeypatch.setattr(doctor.os, "access", lambda *arguments: writable)
    finding = doctor.folder_finding(photos, mounts(tmp_path, photos))
    assert not finding.good
    assert f"user {OWN + 1}, who {what}" in finding.what
    assert finding.what.endswith(f"give docker run --user {OWN}:{photos.stat().st_gid}")


def test_a_folder_mounted_for_reading_only_is_found(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor.os, "access", lambda *arguments: False)
    finding = doctor.folder_finding(photos, mounts(tmp_path, photos))
    assert not finding.good
    assert "--out" in finding.what


def test_folders_are_looked_at_in_an_image_only(monkeypatch: pytest.MonkeyPatch, photos: Path) -> None:
    monkeypatch.chdir(photos)
    monkeypatch.setattr(doctor, "available_models", list)
    monkeypatch.delenv("RATIONALE_IMAGE", raising=False)
    assert not [finding for finding in doctor.examine() if str(photos) in finding.what]
    monkeypatch.setenv("RATIONALE_IMAGE", "cpu")
    found = [finding.what for finding in doctor.examine()]
    assert "in the image for CPU" in found
    assert [what for what in found if str(photos) in what]
