"""Show caught mail to the person at this machine.

The pages are open without login, as those of every local mail catcher are. Therefore they exist
only for requests from this machine, made without a proxy, while MAIL_CATCHER is on; everybody
else gets the answer 404. A mail's own HTML is shown in a sandbox that can load and run nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from apikeys.addresses import parse_address
from billionmail.catcher import inbox, reading

View = Callable[..., HttpResponseBase]

PAGE_SIZE = 200
REFRESH_SECONDS = 3
MAX_SHOWN_BYTES = 500_000
TABS = {"html": "HTML", "text": "Text", "headers": "Headers", "source": "Source"}
PAGE_POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; frame-src 'self'; "
    "form-action 'self'; frame-ancestors 'self'; base-uri 'none'"
)
# The sandbox stands here too, for whoever opens the frame's address by itself.
MAIL_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; "
    "frame-ancestors 'self'; base-uri 'none'; sandbox"
)
PROXY_HEADERS = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA")


def local_only(view: View) -> View:
    """Answer 404 unless the catcher is on and the request comes straight from this machine."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not settings.MAIL_CATCHER or not _is_local(request):
            raise Http404
        response = view(request, *args, **kwargs)
        response.headers.setdefault("Content-Security-Policy", PAGE_POLICY)
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["X-DNS-Prefetch-Control"] = "off"
        return response

    return guarded


def _is_local(request: HttpRequest) -> bool:
    if any(name in request.META for name in PROXY_HEADERS):
        return False  # a proxy on this machine speaks for somebody elsewhere
    try:
        return parse_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


@local_only
@require_safe
def mail_list(request: HttpRequest) -> HttpResponse:
    """List at most 200 mails, the newest first; `?before=<name>` continues a list.

    `?format=json` gives the list to programs.
    """
    directory = inbox.inbox_directory()
    before = request.GET.get("before", "")
    names = [name for name in inbox.names(directory) if not before or name < before]
    mails = _summaries(directory, names=names[:PAGE_SIZE])
    if request.GET.get("format") == "json":
        return JsonResponse([_as_json(mail) for mail in mails], safe=False)
    is_live = not before and request.GET.get("live") != "off"
    context = {
        "mails": mails,
        "before": before,
        "more": len(names[PAGE_SIZE:]),
        "oldest": names[:PAGE_SIZE][-1] if names else "",
        "is_live": is_live,
        "refresh_seconds": REFRESH_SECONDS,
        "send_url": request.build_absolute_uri(reverse("send")),
    }
    return render(request, "catcher/inbox.html", context)


def _summaries(directory: Path, *, names: list[str]) -> list[reading.Summary]:
    found = []
    for name in names:
        try:
            found.append(reading.summary(directory, name=name))
        except OSError:
            continue  # deleted since it was listed
    return found


def _as_json(mail: reading.Summary) -> dict[str, Any]:
    return {
        "name": mail.name,
        "time": mail.received_at.isoformat(),
        "from": mail.sender or mail.envelope_sender,
        "to": list(mail.recipients),
        "subject": mail.subject,
        "envelope_sender": mail.envelope_sender,
        "size_bytes": mail.size_bytes,
    }


@local_only
@require_safe
def mail(request: HttpRequest, name: str) -> HttpResponse:
    """Show one mail; `?view=` chooses between its HTML, text, headers and source."""
    path = _path(name)
    try:
        summary = reading.summary(path.parent, name=name)
        content = reading.read_content(path)
        view = _view(request, content=content)
        source = _start_of(path) if view == "source" else ""
    except OSError as error:
        raise Http404 from error
    context = {
        "mail": summary,
        "content": content,
        "to_header": reading.header(content.headers, "To"),
        "links": reading.links(content),
        "text": (content.text or "")[:MAX_SHOWN_BYTES],
        "source": source,
        "is_cut": view == "source" and summary.size_bytes > MAX_SHOWN_BYTES,
        "tabs": TABS,
        "view": view,
    }
    return render(request, "catcher/mail.html", context)


def _view(request: HttpRequest, *, content: reading.Content) -> str:
    asked = request.GET.get("view", "")
    if asked in TABS:
        return asked
    if content.html is not None:
        return "html"
    return "source" if content.text is None else "text"


def _start_of(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(MAX_SHOWN_BYTES).decode("utf-8", "replace")


@local_only
@require_safe
def mail_html(request: HttpRequest, name: str) -> HttpResponse:
    """Serve the HTML of a mail for the sandboxed frame, unable to load or run anything."""
    try:
        content = reading.read_content(_path(name))
    except OSError as error:
        raise Http404 from error
    if content.html is None:
        raise Http404
    headers = {"Content-Security-Policy": MAIL_POLICY, "Referrer-Policy": "no-referrer"}
    return HttpResponse(content.html, headers=headers)


@local_only
@require_safe
def mail_source(request: HttpRequest, name: str) -> FileResponse:
    """Serve exactly the bytes of a mail, as plain text."""
    try:
        file = _path(name).open("rb")
    except OSError as error:
        raise Http404 from error
    return FileResponse(file, content_type="text/plain; charset=utf-8")


@local_only
@require_POST
def clear(request: HttpRequest) -> HttpResponse:
    """Delete all caught mail and go back to the list."""
    inbox.clear(inbox.inbox_directory())
    return redirect("inbox")


def _path(name: str) -> Path:
    path = inbox.mail_path(inbox.inbox_directory(), name=name)
    if path is None:
        raise Http404
    return path
