"""The build for NVIDIA's cards, without compiling it: which cards, which key, what the wheel asks for."""

import tomllib
from pathlib import Path
from types import ModuleType

import pytest


def test_cards_are_those_asked_for_in_order(build: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert build.architectures() == []
    monkeypatch.setenv("CUDA", "1")
    assert build.architectures() == build.SOURCE["cuda"]["architectures"]
    monkeypatch.setenv("CUDA_ARCHITECTURES", "120, 90;80 90")
    assert build.architectures() == ["80", "90", "120"]
    monkeypatch.setenv("CUDA", "0")
    assert build.architectures() == []


@pytest.mark.parametrize("wrong", ["70", "9.0", "sm_90", "130", "ninety"])
def test_what_is_no_card_of_this_cuda_is_named(
    build: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wrong: str
) -> None:
    monkeypatch.setenv("CUDA", "1")
    monkeypatch.setenv("CUDA_ARCHITECTURES", f"80 {wrong}")
    assert build.main(["key"]) == 2
    assert f"'{wrong}' is no card of CUDA 13" in capsys.readouterr().err


def test_the_key_tells_processors_and_cards_apart(build: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {build.build_key()}
    monkeypatch.setenv("CUDA", "1")
    keys.add(build.build_key())
    monkeypatch.setenv("CUDA_ARCHITECTURES", "90")
    keys.add(build.build_key())
    assert len(keys) == 3


def test_a_wheel_for_cards_has_a_name_of_its_own_and_asks_for_cudas_libraries(
    build: ModuleType, tmp_path: Path
) -> None:
    project = tmp_path / "project.toml"
    project.write_text((build.HERE / "pyproject.toml").read_text())
    before = tomllib.loads(project.read_text())["project"]
    build.for_cuda(project)
    after = tomllib.loads(project.read_text())["project"]
    assert (before["version"], after["version"]) == ("1.0.0", "1.0.0+cu13")
    assert after["dependencies"] == before["dependencies"] + build.SOURCE["cuda"]["wanted"]
    assert {each.split(">=")[0] for each in build.SOURCE["cuda"]["wanted"]} <= {
        each.split("==")[0] for each in build.SOURCE["cuda"]["build"]
    }


def test_a_library_without_cuda_does_not_pass_for_one_with_it(build: ModuleType, tmp_path: Path) -> None:
    import zipfile

    import caffe

    with zipfile.ZipFile(tmp_path / "caffe.whl", "w") as wheel:
        wheel.write(caffe._caffe.__file__, "caffe/_caffe.so")
    if hasattr(caffe._caffe, "card_count"):
        pytest.skip("this Caffe was built for CUDA")
    with pytest.raises(build.BuildError, match=r"not linked with libcudart\.so"):
        build.check_cuda(tmp_path / "caffe.whl", tmp_path / "nvidia", ["90"])
