"""Read a user agent: which program, on which kind of device and which system, or which machine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from ua_parser import parse

MAX_LENGTH = 512

# Services that fetch images for a person who opens the mail, and hide who it is.
RELAYS = {
    "gmail_proxy": ("Gmail", r"GoogleImageProxy|ggpht\.com"),
    "yahoo_proxy": ("Yahoo Mail", r"YahooMailProxy"),
    "mail_ru_proxy": ("Mail.ru", r"Mail\.RU_Bot/Img"),
    "yandex_proxy": ("Yandex Mail", r"YandexImageResizer|YandexMail"),
    "seznam_proxy": ("Seznam Email", r"SeznamEmailProxy"),
    "image_proxy": ("", r"(?:image|mail)[ _-]?proxy"),
}
# Makers of mail gateways and of what checks links, by the names that their programs give.
SCANNERS = {
    "barracuda": r"barracuda|cudasvc",
    "cisco": r"ciscosecureemail|ironport|talos(?:intelligence)?",
    "cloudmark": r"cloudmark",
    "fireeye": r"fireeye|trellix",
    "forcepoint": r"forcepoint|websense",
    "fortinet": r"\bforti(?:mail|guard|sandbox|gate|net)?\b",
    "kaspersky": r"kaspersky|\bklav\b",
    "microsoft": r"bingpreview|safelinks|microsoftpreview|ms-?defender",
    "mimecast": r"mimecast",
    "proofpoint": r"proofpoint|\bpfpt|urldefense",
    "sophos": r"sophos",
    "symantec": r"symantec|messagelabs",
    "trend_micro": r"\btmes\b|trend ?micro",
    "other": (
        r"virustotal|urlscan|phish|ironscales|hornetsecurity|vade ?secure|avanan|agari|\bzix|"
        r"palo ?alto|check ?point|zscaler|umbrella|trustwave|spamtitan|netcraft|"
        r"google-?safety|safebrowsing|bitdefender|\beset\b|spamassassin"
    ),
}
# Programs that programs use; none of them shows a mail or a page to anybody.
TOOLS = re.compile(
    r"^(?:curl|wget|python|aiohttp|httpx|httpie|go-http-client|java|apache-httpclient|libwww|lwp|"
    r"perl|ruby|php|guzzlehttp|axios|node|undici|got|restsharp|reqwest|faraday|typhoeus|colly|"
    r"scrapy|postmanruntime|insomnia|winhttp|mechanize|http[_-]?client)\b|"
    r"headless|phantomjs|puppeteer|playwright|selenium|webdriver|powershell|"
    r"python-requests|urllib|pycurl|go-http-client|httpclient|httrack|nikto|nmap",
    re.IGNORECASE,
)
# Cubot makes telephones.
BOTS = re.compile(
    r"(?<!cu)bot(?![a-z])|crawl|spider|slurp|scan(?:ner|ning)?\b|fetch(?:er)?\b|"
    r"facebookexternalhit|link ?preview|skypeuripreview|^whatsapp/|embedly|validator|monitor|"
    r"archiver|check(?:er|link)|linkcheck|lighthouse|synthetics|uptime|mediapartners|"
    # Machines tell where to read about them; so does, alas, one kit for building browsers.
    r"https?://(?!(?:www\.)?bsalsa\.com)",
    re.IGNORECASE,
)
# Mail programs that the library does not know.
MAIL_PROGRAMS = re.compile(
    r"\b(Airmail|Apple ?Mail|BlueMail|Canary Mail|eM Client|Evolution|FairEmail|Geary|K-9 Mail|"
    r"KMail|Mail(?=/[\d.]+ .*CFNetwork)|Mailbird|Mailspring|Microsoft Outlook|MSOffice|"
    r"Outlook-Android|Outlook-iOS|Outlook(?=/)|PostboxApp|Postbox|Proton ?Mail|Spark|Superhuman|"
    r"Thunderbird|Tutanota|Windows Live Mail|Zimbra Desktop)\b"
)
# What Apple's Mail Privacy Protection sends, and what macOS fetches images with for it.
APPLE_PRIVACY = re.compile(r"Mozilla/5\.0|.*NetworkingExtension/.*", re.DOTALL)

# What every browser begins with, and some before there were any on telephones.
BROWSERS = re.compile(
    r"(?:Mozilla|Opera|Dalvik|MQQBrowser|\[FBAN|BlackBerry|Nokia|SonyEricsson|SAMSUNG|UCWEB|J2ME)\b"
)

_relays = [(name, client, re.compile(text, re.I)) for name, (client, text) in RELAYS.items()]
_scanners = [(name, re.compile(text, re.I)) for name, text in SCANNERS.items()]
_tablet = re.compile(r"\biPad\b|\bTablet\b(?! PC)|\bKindle\b|\bSilk/", re.I)
_phone = re.compile(r"\biPhone\b|\biPod\b|\bMobile\b|Windows Phone|Outlook-Android", re.I)
_desktops = {"Windows", "Mac OS X", "Linux", "Ubuntu", "Fedora", "Debian", "Chrome OS", "FreeBSD"}


@dataclass(frozen=True, slots=True)
class Agent:
    """What a user agent says it is; empty where it says nothing, or speaks for somebody else.

    `relay` and `machine` name the service or the kind of program that it is.
    """

    client: str = ""
    device: str = ""
    system: str = ""
    relay: str = ""
    machine: str = ""

    @property
    def is_known(self) -> bool:
        """Tell whether it is a browser or a mail program that people use."""
        return bool(self.client) and not self.machine


@lru_cache(maxsize=4096)
def read_agent(user_agent: str) -> Agent:
    """Return what the user agent says, as far as the first `MAX_LENGTH` characters tell it."""
    text = printable(user_agent, length=MAX_LENGTH)
    for name, client, pattern in _relays:
        if pattern.search(text):
            return Agent(client=client, relay=name)
    machine = _machine(text)
    if machine:
        return Agent(machine=machine)
    return _program(text)


def printable(text: str, *, length: int) -> str:
    """Return the beginning of what a client sent, without what no database and no regex takes."""
    return text[:length].replace("\0", "").encode("utf-8", "replace").decode().strip()


def _machine(text: str) -> str:
    """Return which kind of machine says that it is one."""
    for name, pattern in _scanners:
        if pattern.search(text):
            return f"scanner:{name}"
    if TOOLS.search(text):
        return "tool"
    return "bot" if BOTS.search(text) else ""


def _program(text: str) -> Agent:
    if not text or APPLE_PRIVACY.fullmatch(text):
        return Agent()
    found = parse(text)
    if found.device is not None and found.device.family == "Spider":
        return Agent(machine="bot")
    mail_program = MAIL_PROGRAMS.search(text)
    family = found.user_agent.family if found.user_agent else ""
    system = found.os.family if found.os else ""
    if mail_program:
        family = family if family in ("Outlook", "Apple Mail") else mail_program[1]
    elif not system and found.device is None and family != "The Bat!":
        # A library of some app, which nobody knows.
        return Agent()
    return Agent(client=family[:50], device=_device(text, system), system=system[:50])


def _device(text: str, system: str) -> str:
    """Return phone, tablet or desktop; empty for what is none of them or does not say."""
    if _tablet.search(text):
        return "tablet"
    if _phone.search(text):
        return "phone"
    if system == "Android":
        # Browsers say that they are on a telephone; what fetches images for an app does not.
        return "tablet" if text.startswith("Mozilla/") else ""
    return "desktop" if system in _desktops else ""
