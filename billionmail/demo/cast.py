"""Say who sends what to whom: everything that is made up, in one place.

All addresses are below ``.example`` (RFC 2606) and all networks are those for documentation (RFC
5737), so that nothing here can be anybody's.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from sending.models import Stream
from sending.replies import Kind

# Who gave an order; no person can be called so, because of the space.
MARK: Final = "demo data"
# A key of the demonstration is known by its id: those of real keys are random (version 4).
NAMESPACE: Final = uuid.UUID("5b1d1f5e-6b1c-5a53-9d2b-b6a5a6c0de00")


@cache
def _id_of(name: str) -> uuid.UUID:
    return uuid.uuid5(NAMESPACE, name)


@dataclass(frozen=True, slots=True)
class Part:
    """A key, and how its mail is received; shares are of its messages, 0 to 1.

    `share` is of all traffic. `active_days`: its traffic lies so many to so many days back.
    `state`: how the key stands now. `tags`: of all its mail; `some_tag`: of every sixth person's.
    `variants`: of a mailing; some of them are read more (`EAGERNESS`).
    """

    name: str
    share: float
    template: str
    sender: str
    sender_name: str
    route: str
    stream: Stream = Stream.TRANSACTIONAL
    opened: float = 0.35
    clicked: float = 0.1
    hard: float = 0.006
    complained: float = 0.0002
    unsubscribed: float = 0.0
    active_days: tuple[int, int] = (10_000, 0)
    state: str = "active"
    tracks_clicks: bool = True
    quota_per_day: int | None = None
    networks: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    some_tag: str = ""
    variants: tuple[str, ...] = ()

    @property
    def id(self) -> uuid.UUID:
        """Return the id that marks its key as made up."""
        return _id_of(self.name)


EAGERNESS: Final = {"Short subject": 1.15, "Long subject": 0.9}
RELAY, PROVIDER, SPARE = "Demo relay", "Demo provider", "Demo spare relay"
PARTS: Final = (
    Part(
        name="Shop orders",
        share=0.44,
        template="demo-order",
        sender="orders@shop.example",
        sender_name="The Corner Shop",
        route=RELAY,
        opened=0.58,
        clicked=0.2,
        networks=("192.0.2.0/24",),
        tags=("order",),
        some_tag="express",
    ),
    Part(
        name="Newsletter",
        share=0.32,
        template="demo-letter",
        sender="letter@news.shop.example",
        sender_name="The Corner Letter",
        route=PROVIDER,
        stream=Stream.BULK,
        opened=0.27,
        clicked=0.045,
        hard=0.011,
        complained=0.0009,
        unsubscribed=0.004,
        tags=("weekly",),
        variants=("Short subject", "Long subject"),
    ),
    Part(
        name="Password resets",
        share=0.12,
        template="demo-reset",
        sender="accounts@shop.example",
        sender_name="The Corner Shop",
        route=RELAY,
        opened=0.81,
        clicked=0.0,
        tracks_clicks=False,
        tags=("account",),
        quota_per_day=5000,
    ),
    Part(
        name="Invoices",
        share=0.05,
        template="demo-invoice",
        sender="billing@billing.example",
        sender_name="Corner Billing",
        route=PROVIDER,
        opened=0.66,
        clicked=0.31,
        state="expires",
    ),
    Part(
        name="Partner import",
        share=0.055,
        template="demo-letter",
        sender="partners@news.shop.example",
        sender_name="Friends of the Corner",
        route=PROVIDER,
        stream=Stream.BULK,
        opened=0.08,
        clicked=0.01,
        hard=0.083,
        complained=0.006,
        unsubscribed=0.012,
        active_days=(9, 2),
        state="paused",
    ),
    Part(
        name="Old CRM",
        share=0.015,
        template="demo-invoice",
        sender="crm@billing.example",
        sender_name="Corner Billing",
        route=RELAY,
        opened=0.3,
        active_days=(10_000, 17),
        state="revoked",
    ),
)


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A domain of recipients: its provider, its share of people, and how fast and kind it is."""

    domain: str
    provider: str
    share: int
    refuses_by_policy: float = 0.0005
    defers: float = 0.01
    proxies: bool = False


MAILBOXES: Final = (
    Mailbox("gmail.example", "gmail", 38),
    Mailbox("outlook.example", "microsoft", 16, refuses_by_policy=0.004, defers=0.03),
    Mailbox("yahoo.example", "yahoo", 9, defers=0.05),
    Mailbox("icloud.example", "icloud", 11, proxies=True),
    Mailbox("gmx.example", "gmx", 8),
    Mailbox("t-online.example", "telekom", 4, refuses_by_policy=0.008),
    Mailbox("proton.example", "proton", 3),
    Mailbox("northwind.example", "", 4),
    Mailbox("contoso.example", "mimecast", 4),
    Mailbox("university.example", "", 3),
)
WHEEL: Final = tuple(one for one in MAILBOXES for _ in range(one.share))


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST_NAMES: Final = _words(
    "ada ben carla dan elena finn grace hugo ines jonas kira leo mia noah olga paul rosa sam tara "
    "uwe vera will xenia yusuf zoe anna bruno clara david emma felix gina hanna ivan julia karl"
)
LAST_NAMES: Final = _words(
    "abel berg castro dietrich evans fischer garcia hansen ito jensen kowalski larsen moreau "
    "novak olsen petrov quinn rossi silva tanaka ulrich vogel weber xu young zimmer ahmed brown "
    "chen diaz eriksen fontaine green haas iqbal keller"
)
COUNTRIES: Final = _words("DE DE DE US US US GB FR NL AT CH ES IT PL SE CN BR")


NETWORKS: Final = ("192.0.2.0", "198.51.100.0", "203.0.113.0")


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a server says when it does not take a mail, and what that is called."""

    kind: Kind
    code: int
    enhanced: str
    text: str

    @property
    def words(self) -> str:
        """Return the reply as it is written into the history."""
        return f"{self.code} {self.enhanced} {self.text}"


HARD: Final = (
    Refusal(Kind.HARD, 550, "5.1.1", "The email account that you tried to reach does not exist"),
    Refusal(Kind.HARD, 550, "5.1.1", "Recipient address rejected: User unknown"),
    Refusal(Kind.HARD, 550, "5.1.10", "Recipient not found"),
    Refusal(Kind.DISABLED, 554, "5.2.1", "This mailbox is disabled"),
)
POLICY: Final = (
    Refusal(Kind.POLICY, 550, "5.7.1", "Message rejected due to local policy"),
    Refusal(Kind.POLICY, 554, "5.7.1", "Poor reputation of your address; see our postmaster page"),
)
LATER: Final = (
    Refusal(Kind.GREYLIST, 451, "4.7.1", "Greylisted, please try again later"),
    Refusal(Kind.THROTTLE, 421, "4.7.0", "Too many messages from your network; slow down"),
    Refusal(Kind.SOFT, 452, "4.2.2", "The recipient's mailbox is over its quota"),
    Refusal(Kind.TRANSIENT, 451, "4.3.0", "Temporary system problem, try again later"),
)

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/124.0.0.0 Safari/537.36"
)
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1"
)
ANDROID = (
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/124.0.0.0 Mobile Safari/537.36"
)
MAC = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.4 Safari/605.1.15"
)
THUNDERBIRD = "Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Thunderbird/115.9.0"
OUTLOOK = (
    "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; WOW64; Trident/7.0; .NET4.0C; "
    "Microsoft Outlook 16.0.17328; ms-office; MSOffice 16)"
)
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
APPLE_PRIVACY = "Mozilla/5.0"
# What people open mail with, and the browsers in which they follow its links.
READERS: Final = (CHROME, CHROME, IPHONE, IPHONE, ANDROID, MAC, THUNDERBIRD, OUTLOOK)
BROWSERS: Final = (CHROME, CHROME, IPHONE, IPHONE, ANDROID, MAC)


@dataclass(frozen=True, slots=True)
class Wording:
    """A template: its versions, oldest first, and the paths of the links of each."""

    slug: str
    name: str
    subjects: tuple[str, ...]
    heading: str
    text: str
    links: tuple[tuple[str, str], ...] = field(default=())

    def html(self) -> str:
        """Return the mail."""
        links = "".join(
            f'<p style="margin:0 0 12px"><a href="https://shop.example/{path}" '
            f'style="color:#2563eb">{words}</a></p>\n'
            for path, words in self.links
        )
        return (
            '<!doctype html>\n<html><body style="margin:0;padding:32px;background:#f3f4f6;'
            'font-family:Helvetica,Arial,sans-serif;color:#111827">\n'
            '<div style="max-width:560px;margin:auto;padding:32px;background:#fff;'
            'border-radius:8px">\n'
            f'<h1 style="margin:0 0 16px;font-size:24px">{self.heading}</h1>\n'
            f'<p style="line-height:1.5">Hello {{{{.API.name | default "there"}}}}, {self.text}'
            f"</p>\n{links}</div></body></html>\n"
        )


WORDINGS: Final = (
    Wording(
        "demo-order",
        "Order confirmation",
        ("Your order {{.API.number}}", "Thank you, {{.API.name}}: order {{.API.number}}"),
        "Thank you for your order",
        "we are packing order {{.API.number}} now.",
        (("orders/status", "Where is my order?"), ("orders/change", "Change the order"),
         ("help", "Help")),
    ),
    Wording(
        "demo-letter",
        "Weekly letter",
        ("What is new this week", "This week at the corner", "Five things for your weekend"),
        "This week",
        "here is what we picked for you.",
        (("offers/bread", "Bread of the week"), ("offers/garden", "Everything for the garden"),
         ("stories/baker", "The story of our baker"), ("offers/sale", "To the sale")),
    ),
    Wording(
        "demo-reset",
        "Password reset",
        ("Reset your password",),
        "A new password",
        "somebody, hopefully you, asked for a new password. The code is {{.API.number}}.",
    ),
    Wording(
        "demo-invoice",
        "Invoice",
        ("Invoice {{.API.number}}", "Your invoice {{.API.number}} is ready"),
        "Your invoice",
        "the invoice {{.API.number}} is ready.",
        (("invoices/view", "See the invoice"), ("invoices/pay", "Pay now")),
    ),
)  # fmt: skip
