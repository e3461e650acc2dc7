"""The pages on which lists are cleaned: start, watch, look at what was found, apply, undo."""

from __future__ import annotations

import io
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils import timezone
from unfold.decorators import action, display

from hygiene import commands, runs, wording
from hygiene.commands import Wishes
from hygiene.errors import CannotClean
from hygiene.forms import ApplyForm, StartForm
from hygiene.models import WORKING, Finding, Kind, Run, kinds_of
from hygiene.sources import read_addresses
from hygiene.summary import effect_of
from sending.admin.base import RecordAdmin

SHOWN = 50
COLORS = {
    Run.State.CHECKED: "info",
    Run.State.APPLIED: "success",
    Run.State.FAILED: "danger",
    Run.State.CHECKING: "warning",
    Run.State.APPLYING: "warning",
    Run.State.UNDOING: "warning",
    Run.State.LOADING: "warning",
}


# What is said of the kinds of findings that are applied.
MARKS = {Run.State.CHECKED: "to be suppressed", Run.State.APPLIED: "suppressed"}


@admin.register(Run)
class RunAdmin(RecordAdmin):
    """Workers do the work; the pages begin it, show how far it is, and decide."""

    list_display = ("name", "what", "stands", "looked_at", "found", "by", "started")
    actions_list = ("start",)
    actions_detail: ClassVar[tuple[str, ...]] = ("rows", "apply", "undo", "stop")

    def has_start_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        """Allow to whom Django gives the right to add cleanings."""
        return self.is_permitted(request, "add")

    def has_decide_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        """Allow to whom Django gives the right to change cleanings."""
        return self.is_permitted(request, "change")

    # --- The list ---

    @display(description="Cleaning")
    def name(self, run: Run) -> str:
        """Show its number, by which the command line knows it."""
        return str(run)

    @display(description="List")
    def what(self, run: Run) -> str:
        """Show which addresses were looked at."""
        return run.source_name or run.get_source_display()

    @display(description="State", label=COLORS)
    def stands(self, run: Run) -> tuple[str, str]:
        """Show where it stands as a coloured word."""
        return run.state, run.state

    @display(description="Looked at")
    def looked_at(self, run: Run) -> str:
        """Show how many addresses it has seen."""
        return f"{run.report.get('checked', run.done):,}"

    @display(description="With findings")
    def found(self, run: Run) -> str:
        """Show for how many something was found."""
        return f"{run.report['with_findings']:,}" if run.checked_at else ""

    @display(description="Started")
    def started(self, run: Run) -> str:
        """Show when it began, in the time zone of the dashboard."""
        return f"{timezone.localtime(run.created_at):%Y-%m-%d %H:%M}"

    @action(description="Clean a list", url_path="start", icon="add", permissions=["start"])
    def start(self, request: HttpRequest) -> HttpResponse:
        """Begin to check a list."""
        form = StartForm(request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid():
            try:
                run = self._begin(request, form.cleaned_data)
            except CannotClean as error:
                form.add_error(None, str(error))
            else:
                self.log_change(request, run, f"Started: {run.get_source_display()}.")
                return self.back_to(run)
        return self.page(
            request,
            "confirm",
            None,
            title="Clean a list",
            questions=[
                "Looks for addresses that mail should not go to. Nobody is suppressed before you "
                "have seen what was found."
            ],
            button="Check it",
            form=form,
        )

    def _begin(self, request: HttpRequest, wanted: dict[str, Any]) -> Run:
        wishes = Wishes(
            looks_up_domains=wanted["looks_up_domains"],
            never_engaged_days=wanted["never_engaged_days"],
            period_days=wanted["period_days"],
        )
        shared: dict[str, Any] = {
            "wishes": wishes,
            "by": request.user.get_username(),
            "now": timezone.now(),
        }
        file = wanted["file"]
        if file:
            text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace", newline="")
            addresses = read_addresses(text, column=wanted["column"])
            shared |= {"addresses": addresses, "source_name": file.name}
        run = commands.begin(
            Run.Source(wanted["source"]), batch_message_id=wanted["batch_message_id"], **shared
        )
        runs.release(run)  # a worker goes on
        return run

    # --- One cleaning ---

    def change_view(
        self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Show how far it is, then what was found."""
        run = self.find(request, object_id, permission="view")
        if request.method == "POST":
            raise PermissionDenied
        kind = request.GET.get("kind", "")
        kinds = [Kind(kind)] if kind in Kind.values else list(Kind)
        told = wording.as_json(run)
        found = run.findings.with_any(kinds).order_by("id")[:SHOWN]
        return self.page(
            request,
            "hygiene/run.html",
            run,
            title=str(run),
            color=COLORS.get(run.state, ""),
            mark=MARKS.get(run.state, "chosen"),
            told=told,
            is_working=run.state in WORKING,
            percent=min(100, run.done * 100 // run.total) if run.total else 0,
            rates=_rates(told["effect"]),
            outcomes=[(Finding.Outcome(word).label, n) for word, n in told["outcomes"].items()],
            kept=run.findings.filter(outcome=Finding.Outcome.KEPT).order_by("id")[:SHOWN],
            kind=kind if kind in Kind.values else "",
            findings=[(one, [str(word.label) for word in one.words]) for one in found],
            shown=SHOWN,
            may_decide=self.has_decide_permission(request),
            back_url=self.url("changelist"),
        )

    @action(description="Rows", url_path="rows", icon="download", permissions=["view"])
    def rows(self, request: HttpRequest, object_id: str) -> HttpResponse | StreamingHttpResponse:
        """Send all findings as a CSV file, while they are read."""
        run = self.find(request, object_id, permission="view")
        self.log_change(request, run, "Downloaded the findings.")
        return StreamingHttpResponse(
            wording.csv_lines(run),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="cleaning-{run.pk}.csv"'},
        )

    @action(description="Suppress", url_path="apply", icon="block", permissions=["decide"])
    def apply(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Let the kinds of findings be chosen, show what follows, and do it when it is meant."""
        run = self.find(request, object_id)
        given = request.POST if request.method == "POST" else None
        form = ApplyForm(given, run=run)
        kinds = kinds_of(run.kinds)
        if given is not None and form.is_valid():
            kinds = [Kind(word) for word in form.cleaned_data["kinds"]]
            if "confirmed" in given:
                try:
                    run = commands.apply(
                        run.pk, kinds=kinds, by=request.user.get_username(), now=timezone.now()
                    )
                except CannotClean as error:
                    form.add_error(None, str(error))
                else:
                    return self._decided(request, run, f"Suppressing: {', '.join(kinds)}.")
        effect = effect_of(run, kinds)
        return self.page(
            request,
            "hygiene/apply.html",
            run,
            title="Suppress what was found",
            form=form,
            effect=effect,
            rates=_rates(effect),
        )

    @action(description="Undo", url_path="undo", icon="undo", permissions=["decide"])
    def undo(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then take back what was suppressed."""
        run = self.find(request, object_id)
        if request.method == "POST":
            try:
                run = commands.undo(run.pk, by=request.user.get_username(), now=timezone.now())
            except CannotClean as error:
                messages.error(request, str(error))
                return self.back_to(run)
            return self._decided(request, run, "Undoing.")
        return self.confirm(
            request,
            run,
            title="Undo",
            question="What this cleaning suppressed can get mail again. A suppression that "
            "somebody has lifted or given again since is left as it is, and you are told which.",
            button="Undo it",
        )

    @action(description="Stop", url_path="stop", icon="stop", permissions=["decide"])
    def stop(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then end a check that still runs."""
        run = self.find(request, object_id)
        if request.method == "POST":
            runs.stop(run)
            self.log_change(request, run, "Stopped.")
            return self.back_to(run)
        return self.confirm(
            request,
            run,
            title="Stop",
            question="The check ends. Nobody was suppressed by it.",
            button="Stop it",
        )

    def _decided(self, request: HttpRequest, run: Run, text: str) -> HttpResponse:
        runs.release(run)  # a worker goes on
        self.log_change(request, run, text)
        return self.back_to(run)


def _rates(effect: dict[str, Any]) -> list[tuple[str, str, str]]:
    past, without = effect["past"], effect["without"]
    rows = [
        (label.capitalize(), wording.percent(past[name]), wording.percent(without[name]))
        for name, label in wording.RATES
    ]
    return [*rows, ("Mails sent", f"{past['sent']:,}", f"{without['sent']:,}")]
