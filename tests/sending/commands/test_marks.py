"""Tags and variants are short names, checked with words that say what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from sending.commands.marks import Marks, read_marks
from sending.errors import InvalidMark


@pytest.mark.parametrize(
    ("tags", "variant", "read"),
    [
        (None, None, Marks()),
        ([], "", Marks()),
        (["welcome", " welcome ", "Größe 7"], " B ", Marks(("welcome", "Größe 7"), "B")),
        ([str(number) for number in range(10)] * 2, "x" * 50, None),
    ],
)
def test_marks_are_trimmed_and_each_is_there_once(
    tags: Any, variant: Any, read: Marks | None
) -> None:
    found = read_marks(tags=tags, variant=variant)
    assert found == (read or Marks(tuple("0123456789"), "x" * 50))


@pytest.mark.parametrize(
    ("tags", "variant", "tells"),
    [
        ("welcome", None, 'tags must be a list of texts, as in ["welcome"]'),
        ({"a": 1}, None, "tags must be a list"),
        (["a", 7], None, "tags[1] must be a text."),
        (["a", None], None, "tags[1] must be a text."),
        (["a", " "], None, "one of the tags is empty"),
        (["a", "b" * 51], None, "tags[1] is longer than 50 characters."),
        (["a\nb"], None, "tags[0] has characters that cannot be shown"),
        (["\0"], None, "tags[0] has characters that cannot be shown"),
        (["\ud800"], None, "tags[0] has characters that cannot be shown"),
        (["ann@shop.example"], None, "tags[0] has an @."),
        ([str(number) for number in range(11)], None, "there are 11 tags; 10 are allowed."),
        (None, 7, "variant must be a text."),
        (None, True, "variant must be a text."),
        (None, ["A"], "variant must be a text."),
        (None, "x" * 51, "variant is longer than 50 characters."),
        (None, "a\x1fb", "variant has characters that cannot be shown"),
    ],
)
def test_what_is_no_mark_is_refused_in_words(tags: Any, variant: Any, tells: str) -> None:
    with pytest.raises(InvalidMark) as refused:
        read_marks(tags=tags, variant=variant)
    assert str(refused.value).startswith(f"Sending failed: {tells}")
    assert (refused.value.code, refused.value.http_status) == (1005, 422)
