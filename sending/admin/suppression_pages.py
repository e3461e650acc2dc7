"""The pages around the list of suppressions: paste, import, export, check, figures."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.db.models import Count
from django.db.models.functions import TruncDate
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    JsonResponse,
    StreamingHttpResponse,
)
from django.urls import reverse
from django.utils import timezone
from unfold.decorators import action

from sending.admin.base import OperatorAdmin
from sending.admin.suppression_forms import CheckForm, ImportForm, PasteForm, PersonalDataForm
from sending.commands import personal
from sending.commands import suppressions as commands
from sending.commands.suppressions import ImportReport
from sending.errors import SendingError
from sending.models import Suppression
from sending.screening import Finding

CHART_DAYS = 30
TOLD = (
    "To forget erases the address, the contents and the history of its messages, where they were "
    "opened from, what servers said, notes, and logs of the dashboard. Counts stay. A keyed hash "
    "stays among the suppressions, so that no mail goes there; lift it when the person asks for "
    "mail again.",
    "Every table is read once, which takes minutes where there are many millions of messages; "
    "manage.py export_recipient and forget_recipient do the same. Backups and the logs of your "
    "mail servers are not reached.",
)


class SuppressionPages(OperatorAdmin):
    """What can be done from the list, besides looking at it."""

    actions_list = (
        "check_addresses",
        "paste",
        "import_file",
        "export_file",
        "figures",
        "lifted",
        "personal",
    )

    @action(description="Check", url_path="check", icon="fact_check", permissions=["view"])
    def check_addresses(self, request: HttpRequest) -> HttpResponse:
        """Show what is decided about addresses, and by which rule."""
        form = CheckForm(request.POST or None)
        findings: list[Finding] = []
        if request.method == "POST" and form.is_valid():
            try:
                findings = commands.check_addresses(
                    form.cleaned_data["addresses"].split(),
                    key=form.cleaned_data["api_key"],
                    stream=form.cleaned_data["stream"],
                )
            except SendingError as error:
                form.add_error("addresses", str(error))
        return self.page(
            request,
            "check_addresses",
            None,
            title="May they get mail?",
            form=form,
            findings=findings,
        )

    @action(description="Paste", url_path="paste", icon="content_paste", permissions=["add"])
    def paste(self, request: HttpRequest) -> HttpResponse:
        """Suppress many addresses at once."""
        form = PasteForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            shared = {"reason": form.cleaned_data["reason"], "note": form.cleaned_data["note"]}
            rules = form.cleaned_data["addresses"]
            try:
                new = commands.add_suppressions(
                    [{"address": rule, **shared} for rule in rules],
                    by=request.user.get_username(),
                    now=timezone.now(),
                )
            except SendingError as error:
                form.add_error("addresses", str(error))
            else:
                self.log_act(request, f"Pasted {len(rules)} addresses, {new} of them new.")
                messages.success(request, f"{new} suppressed; {len(rules) - new} were already.")
                return HttpResponseRedirect(self.url("changelist"))
        return self.page(
            request,
            "confirm",
            None,
            title="Suppress many addresses",
            questions=["Mail that waits for them is taken out of the queue at once."],
            button="Suppress them",
            form=form,
        )

    @action(description="Import", url_path="import", icon="upload", permissions=["add"])
    def import_file(self, request: HttpRequest) -> HttpResponse:
        """Carry orders in from a CSV file, and report on its rows."""
        form = ImportForm(request.POST or None, request.FILES or None)
        report: ImportReport | None = None
        if request.method == "POST" and form.is_valid():
            text = io.TextIOWrapper(form.cleaned_data["file"], encoding="utf-8", errors="replace")
            try:
                report = commands.import_suppressions(
                    text,
                    by=request.user.get_username(),
                    now=timezone.now(),
                    is_dry_run=form.cleaned_data["is_dry_run"],
                )
            except (SendingError, csv.Error) as error:
                form.add_error("file", f"The import stopped: {error}")
            else:
                if not form.cleaned_data["is_dry_run"]:
                    self.log_act(request, f"Imported {form.cleaned_data['file'].name}.")
            text.detach()
        return self.page(
            request,
            "import_suppressions",
            None,
            title="Import suppressions",
            form=form,
            report=report,
        )

    @action(description="Export", url_path="export", icon="download", permissions=["view"])
    def export_file(self, request: HttpRequest) -> StreamingHttpResponse:
        """Send all orders as a CSV file, while they are read."""
        self.log_act(request, "Exported all.")
        name = f"suppressions-{timezone.now():%Y-%m-%d}.csv"
        return StreamingHttpResponse(
            _as_csv(commands.export_rows()),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    @action(description="Figures", url_path="figures", icon="monitoring", permissions=["view"])
    def figures(self, request: HttpRequest) -> HttpResponse:
        """Show how many orders were given on each of the last days, by reason."""
        labels, rows = _given_by_day()
        return self.page(
            request,
            "suppression_figures",
            None,
            title=f"Suppressed in the last {CHART_DAYS} days",
            labels=labels,
            rows=rows,
            most=max((max(numbers) for _, _, numbers in rows), default=0),
        )

    def has_forget_permission(self, request: HttpRequest) -> bool:
        """Allow to owners alone: no other role may change suppressions, and nobody edits one."""
        return self.is_permitted(request, "change")

    @action(description="Personal data", url_path="personal", icon="policy", permissions=["forget"])
    def personal(self, request: HttpRequest) -> HttpResponse:
        """Tell all that is stored about an address, or forget it after it was typed twice."""
        form = PersonalDataForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            act = self._export if form.cleaned_data["act"] == "export" else self._forget
            try:
                return act(request, form.cleaned_data["address"])
            except SendingError as error:
                form.add_error("address", str(error))
        return self.page(
            request,
            "confirm",
            None,
            title="Personal data",
            questions=TOLD,
            button="Do it",
            form=form,
        )

    def _export(self, request: HttpRequest, address: str) -> HttpResponse:
        told = personal.export_recipient(address)
        self.log_act(request, f"Exported what is stored about {personal.pseudonym_of(address)}.")
        response = JsonResponse(told, json_dumps_params={"indent": 2, "ensure_ascii": False})
        response["Content-Disposition"] = 'attachment; filename="personal-data.json"'
        return response

    def _forget(self, request: HttpRequest, address: str) -> HttpResponse:
        done = personal.forget_recipient(
            address, by=request.user.get_username(), now=timezone.now()
        )
        self.log_act(request, f"Forgot a recipient, who is {done.pseudonym} now.")
        messages.success(request, str(done))
        if done.left:
            messages.warning(request, done.left)
        return HttpResponseRedirect(self.url("changelist"))

    @action(description="Lifted", url_path="lifted", icon="history", permissions=["view"])
    def lifted(self, request: HttpRequest) -> HttpResponse:
        """Go to the orders that stand no more."""
        return HttpResponseRedirect(
            reverse(f"{self.admin_site.name}:sending_liftedsuppression_changelist")
        )


def _given_by_day() -> tuple[list[str], list[tuple[str, int, list[int]]]]:
    """Return the days, and for each reason its name, its sum and its number on each day."""
    today = timezone.localdate()
    days = [today - timedelta(days=back) for back in reversed(range(CHART_DAYS))]
    counted = (
        Suppression.objects.filter(created_at__gte=timezone.now() - timedelta(days=CHART_DAYS - 1))
        .annotate(day=TruncDate("created_at"))
        .values_list("reason", "day")
        .annotate(number=Count("id"))
    )
    numbers = {(reason, day): number for reason, day, number in counted}
    rows = []
    for reason in Suppression.Reason:
        given = [numbers.get((reason.value, day), 0) for day in days]
        if any(given):
            rows.append((str(reason.label), sum(given), given))
    return [f"{day:%d %b}" for day in days], rows


class _Echo:
    """A file that hands back what is written to it."""

    def write(self, text: str) -> str:
        return text


def _as_csv(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    writer: Any = csv.writer(_Echo())
    for row in rows:
        yield writer.writerow(row)
