"""Names in any script are drawn with a font that has their signs, where one is there."""

import shutil

import pytest

from rationale.render.fonts import _has, font


def test_signs_beyond_ascii_are_drawn_by_a_font_that_has_them() -> None:
    for text in ("gradient × input", "−0.5", "Größe", "Журавль"):
        assert all(_has(font(14, text), sign) for sign in text if not sign.isspace())


def test_plain_names_keep_the_plain_font() -> None:
    assert font(14, "airliner").getname() == font(14, "a").getname()


def test_what_no_font_has_is_drawn_all_the_same() -> None:
    assert font(14, "\U0010fffd").getbbox("x")


@pytest.mark.skipif(shutil.which("fc-list") is None, reason="fontconfig does not say which fonts are there")
def test_a_sign_that_is_missing_is_known_to_be() -> None:
    assert not _has(font(14, "a"), "\U0010fffd")
