"""Recognise what a program answered for a person (RFC 3834): never a bounce, whatever it says."""

from __future__ import annotations

import re
from email.message import Message

from tracking import mail

_SUBJECT = re.compile(
    r"^\W*(auto(matic)?[ -]?(reply|response|antwort)|auto:|out of (the )?office|on (annual )?leave"
    r"|(i am |i'm )?(on|away on) (vacation|holiday)|away from|vacation"
    r"|abwesen|automatische antwort|abwezig|automatisch antwoord|afwezig"
    r"|r[ée]ponse automatique|absen(t|ce)|respuesta autom[áa]tica|fuera de (la )?oficina"
    r"|risposta automatica|fuori sede|resposta autom[áa]tica|autosvar|automaattinen"
    r"|odpowied[źz] automatyczna|automatyczna|автоответ|автоматическ"
    r"|自動(応答|返信)|自动(回复|答复))",
    re.IGNORECASE,
)
_RESPONDER_FIELDS = (
    "X-Autoreply",
    "X-Autorespond",
    "X-Autoresponder",
    "X-Auto-Reply-From",
    "X-Mail-Autoreply",
    "X-AutoReply-From",
    "X-Vacation",
)
_PRECEDENCE = re.compile(r"auto[_-]?reply", re.IGNORECASE)


def is_auto_reply(message: Message) -> bool:
    """Tell whether a responder wrote the mail: by its header fields, then by its subject."""
    submitted = mail.header(message, "Auto-Submitted").lower()
    if submitted.startswith(("auto-replied", "auto-notified")):
        return True
    if "disposition-notification" in mail.header(message, "Content-Type").lower():
        return True
    if any(mail.header(message, name) for name in _RESPONDER_FIELDS):
        return True
    precedence = " ".join(mail.header(message, name) for name in ("Precedence", "Preference"))
    if _PRECEDENCE.search(precedence):
        return True
    return bool(_SUBJECT.search(mail.header(message, "Subject")))
