"""Know the addresses that belong to a duty, and so to nobody who asked for mail."""

from __future__ import annotations

# RFC 2142, and what else stands for an office or a machine everywhere.
_NAMES = """
    abuse accounting accounts admin administrator all anfrage anfragen billing bounce bounces
    buchhaltung careers compliance contact contacto contato customercare customerservice
    daemon devnull dns do-not-reply donotreply enquiries enquiry everyone feedback finance ftp
    help helpdesk hostmaster hr info information inquiries inquiry investorrelations
    ispfeedback ispsupport it jobs kontakt legal list list-request mail maildaemon
    mailer-daemon mailerdaemon marketing media news newsletter no-reply no.reply nobody noc
    noreply null office orders phish phishing post postmaster press privacy purchasing
    recruiting registrar reklamation remove request root sales security service spam staff
    subscribe support sysadmin team tech unsubscribe usenet uucp vertrieb webmaster webteam
    www
"""
NAMES = frozenset(_NAMES.split())


def is_role_account(local: str) -> bool:
    """Tell whether the part before the @ names a duty; a tag after + does not change that."""
    return local.partition("+")[0].casefold() in NAMES
