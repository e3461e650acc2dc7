"""Say how the dashboard looks: the options of Unfold."""

from django.templatetags.static import static

UNFOLD = {
    "SITE_TITLE": "BillionMail",
    "SITE_HEADER": "BillionMail",
    "SITE_SUBHEADER": "Mail that arrives",
    "SITE_SYMBOL": "outgoing_mail",
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": lambda request: static("billionmail/icon.svg"),
        }
    ],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "ACCOUNT": {"navigation": "billionmail.dashboard.account"},
    "LOGIN": {"form": "guard.sign_in.PacedAuthenticationForm"},
    "STYLES": [lambda request: static("stats/dashboard.css")],
    "SCRIPTS": [lambda request: static("stats/dashboard.js")],
    "DASHBOARD_CALLBACK": "billionmail.dashboard.home",
    "SIDEBAR": {"navigation": "billionmail.dashboard.navigation", "show_search": False},
}
