"""Say in words who opened or clicked, for the pages that show events."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sending.admin.timeline import Note
from tracking.models import Visit
from tracking.visitors import Label

COLORS = {
    Label.HUMAN: "success",
    Label.PROXY: "info",
    Label.SCANNER: "warning",
    Label.UNKNOWN: "",
}


def notes_on_visits(event_ids: Collection[int]) -> Mapping[int, Note]:
    """Return a note for each of the events that is an open or a click, in one query."""
    visits = Visit.objects.filter(event_id__in=event_ids).select_related("link")
    return {visit.event_id: note_on(visit) for visit in visits}


def note_on(visit: Visit) -> Note:
    """Return who it was, by what it is told, and where a click led."""
    return Note(
        who=visit.label,
        color=COLORS[Label(visit.label)],
        text=", ".join(filter(None, [_counted(visit), _program(visit), visit.country, visit.ip])),
        target=visit.link.url if visit.link else "",
    )


def _counted(visit: Visit) -> str:
    if visit.label == Label.HUMAN:
        return ""
    reasons = ", ".join(visit.reasons).replace("_", " ")
    return f"counts as a person ({reasons})" if visit.is_human else f"not counted ({reasons})"


def _program(visit: Visit) -> str:
    """Return such as "Chrome on Windows (desktop)"."""
    place = f" on {visit.system}" if visit.system and visit.client else visit.system
    kind = f" ({visit.device})" if visit.device else ""
    return f"{visit.client}{place}{kind}".strip()
