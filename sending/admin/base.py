"""What the pages of sending share: objects or 404, pages of our own, fast lists."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.admin import ShowFacets
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.text import capfirst
from unfold.admin import ModelAdmin
from unfold.paginator import InfinitePaginator as UncountedPaginator

MAX_PAGES = 200
# The framed mail inherits this: it may load nothing and run nothing. Unfold's own pages need
# inline scripts and eval for Alpine.
PREVIEW_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-src 'none'; object-src 'none'; base-uri 'none'"
)


class InfinitePaginator(UncountedPaginator):
    """Page through millions of rows without counting them, and not so deep that it is slow.

    Unfold goes by the name of the class to leave the number of rows out of its header.
    """

    @property
    def count(self) -> int:
        """The number of rows that can be reached; whether they exist is not asked."""
        return self.per_page * MAX_PAGES


class OperatorAdmin(ModelAdmin):
    """A ModelAdmin with pages of its own; what changes something is a POST to one of them."""

    list_per_page = 50
    list_filter_sheet = False
    list_disable_select_all = True
    show_facets = ShowFacets.NEVER  # each would count a whole table
    actions_detail: ClassVar[tuple[str, ...]] = ()

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Call the list by what is in it: Django's title asks to select something."""
        title = {"title": capfirst(self.opts.verbose_name_plural)}
        return super().changelist_view(request, title | (extra_context or {}))

    def find(self, request: HttpRequest, object_id: str, *, permission: str = "change") -> Any:
        """Return the object of a page; raise Http404, or PermissionDenied without the right."""
        found = self.get_object(request, object_id)
        if found is None:
            raise Http404(f"There is no such {self.opts.verbose_name}.")
        if not self.is_permitted(request, permission):
            raise PermissionDenied
        return found

    def is_permitted(self, request: HttpRequest, permission: str) -> bool:
        """Tell whether the person has a right to this model, whatever its form allows."""
        return bool(
            request.user.has_perm(f"{self.opts.app_label}.{permission}_{self.opts.model_name}")
        )

    def page(
        self, request: HttpRequest, template: str, original: Model | None, **context: Any
    ) -> TemplateResponse:
        """Return a page within the frame of the admin; another app's template with its folder."""
        shared = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": original,
            "back_url": self.url("change", original) if original else self.url("changelist"),
        }
        path = template if "/" in template else f"sending/{template}.html"
        return TemplateResponse(request, path, {**shared, **context})

    def confirm(
        self, request: HttpRequest, original: Model, *, title: str, question: str, button: str
    ) -> TemplateResponse:
        """Return the page that asks whether an act on one object is meant."""
        return self.page(
            request, "confirm", original, title=title, questions=[question], button=button
        )

    def confirm_list(
        self, request: HttpRequest, *, title: str, question: str, button: str
    ) -> TemplateResponse:
        """Return the page that asks whether an act on the selected rows is meant."""
        return self.page(
            request,
            "confirm",
            None,
            title=title,
            questions=[question],
            button=button,
            action=request.POST["action"],
            selected=request.POST.getlist("_selected_action"),
        )

    def log_act(self, request: HttpRequest, text: str) -> None:
        """Write into the admin log what a person did that is not about one object."""
        LogEntry.objects.create(
            user_id=int(request.user.pk or 0),
            content_type=ContentType.objects.get_for_model(self.model),
            object_repr=str(self.opts.verbose_name_plural),
            action_flag=CHANGE,
            change_message=text,
        )

    def url(self, page: str, *objects: Model | None) -> str:
        """Return the address of a page of this model."""
        name = f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_{page}"
        return reverse(name, args=[one.pk for one in objects if one is not None])

    def back_to(self, original: Model) -> HttpResponse:
        """Redirect to the page of an object."""
        return HttpResponseRedirect(self.url("change", original))


class RecordAdmin(OperatorAdmin):
    """Pages to read: of records that nobody writes here, and of which there are millions."""

    paginator = InfinitePaginator
    show_full_result_count = False
    ordering: ClassVar[tuple[str, ...]] = ("-id",)
    sortable_by = ()

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: it is a record."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: it is a record."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: it is a record."""
        return False


def with_preview_policy(response: HttpResponse) -> HttpResponse:
    """Let a page that frames a mail load nothing from elsewhere."""
    response["Content-Security-Policy"] = PREVIEW_POLICY
    return response
