"""Judge replies as servers of all kinds word them."""

from __future__ import annotations

import pytest

from sending.errors import Phase, Reply
from sending.replies import Kind, classify, retry_delay_seconds
from sending.transports.base import read_reply

REPLIES = [
    # The address does not exist.
    ("550 5.1.1 The email account that you tried to reach does not exist. - gsmtp", "hard"),
    ("550 5.1.1 <a@x.org>: Recipient address rejected: User unknown in virtual table", "hard"),
    ("550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP lookup", "hard"),
    ("550 5.1.1 RESOLVER.ADR.RecipNotFound; not found", "hard"),
    ("550 5.4.1 Recipient address rejected: Access denied. AS(201806281)", "hard"),
    ("550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302).", "hard"),
    ("550 5.1.1 <a@icloud.com>: user does not exist", "hard"),
    ("550 5.1.6 Recipient no longer on server", "hard"),
    ("550 5.1.3 Invalid address syntax", "hard"),
    ("556 5.1.10 Recipient address has a null MX", "hard"),
    ("554 delivery error: dd This user doesn't have a yahoo.com account (a@yahoo.com) [0]", "hard"),
    ("552 1 Requested mail action aborted, mailbox not found", "hard"),
    ("511 sorry, no mailbox here by that name (#5.1.1 - chkuser)", "hard"),
    ("550 sorry, no mailbox here by that name. (#5.1.1)", "hard"),
    ("550 Unknown user", "hard"),
    ("550 No such user here", "hard"),
    ("550 Unrouteable address", "hard"),
    ("550 Invalid Recipient - https://community.mimecast.com/docs/DOC-1369#550", "hard"),
    ("550 5.1.1 User Unknown (proofpoint)", "hard"),
    ("550 Requested action not taken: mailbox unavailable", "hard"),
    ("550 5.1.1 Not our Customer", "hard"),
    ("550 Mailbox not found. http://service.mail.qq.com/cgi-bin/help?id=1000728", "hard"),
    ("553 5.1.1 unknown or illegal alias: a@x.org", "hard"),
    ("550 5.0.0 <a@x.org>... User unknown", "hard"),
    ("554 5.1.1 recipient rejected: mailbox a@x.org does not exist", "hard"),
    # Its mailbox is closed, or full.
    ("550 5.2.1 The email account that you tried to reach is disabled. - gsmtp", "disabled"),
    ("550 5.2.1 Mailbox not available", "disabled"),
    (
        "554 30 Sorry, your message cannot be delivered. This mailbox is disabled (554.30).",
        "disabled",
    ),
    ("550 Account inactive", "disabled"),
    ("550 User a@x.org account is suspended", "disabled"),
    ("552 5.2.2 The recipient's inbox is out of storage space. - gsmtp", "soft"),
    ("452 4.2.2 The recipient's inbox is out of storage space. - gsmtp", "soft"),
    ("550 5.2.2 <a@x.org>: Recipient address rejected: Mailbox full", "soft"),
    ("552 5.2.2 STOREDRV.Deliver; mailbox full", "soft"),
    ("552 Requested mail action aborted: exceeded storage allocation", "soft"),
    ("550 user has exceeded the quota", "soft"),
    ("452 Mailbox full", "soft"),
    ("554 Message rejected: over quota", "soft"),
    # Its domain takes no mail.
    ("550 5.1.2 Host unknown (Name server: mx.x.org: no data known)", "domain"),
    ("550 5.4.4 Unable to route: host not found", "domain"),
    ("550 Domain x.org does not exist", "domain"),
    ("556 Domain does not accept mail", "domain"),
    ("451 4.4.4 Temporary server error. Please try again later", "domain"),
    # Later.
    ("450 4.2.1 The user you are trying to contact is receiving mail too quickly", "transient"),
    ("451 4.3.0 Mail server temporarily rejected message", "transient"),
    ("452 4.3.1 Insufficient system storage", "transient"),
    ("421 4.4.2 mx.x.org Error: timeout exceeded", "transient"),
    ("450 4.1.1 <a@x.org>: Recipient address rejected: unverified address", "transient"),
    ("451 Temporary local problem - please try later", "transient"),
    ("452 4.5.3 Too many recipients", "transient"),
    ("451 4.7.1 Greylisting in action, please come back later", "greylist"),
    ("450 4.2.0 <a@x.org>: Recipient address rejected: Greylisted", "greylist"),
    ("451 Temporarily greylisted, try again in 300 seconds", "greylist"),
    ("421 4.7.28 Our system has detected an unusual rate of unsolicited mail", "throttle"),
    ("421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred", "throttle"),
    ("451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited", "throttle"),
    ("421 RP-001 (SNT) Unfortunately, some messages were not sent: rate limit", "throttle"),
    ("450 Too many connections from your host", "throttle"),
    ("550 5.2.1 The user is receiving mail at a rate that prevents delivery", "throttle"),
    # We are not wanted.
    ("550 5.7.1 Our system has detected that this message is likely unsolicited mail", "policy"),
    ("550 5.7.26 Unauthenticated email from example.com is not accepted: DMARC policy", "policy"),
    ("550 5.7.515 Access denied, sending domain example.com does not meet the level", "policy"),
    ("550 5.7.25 The IP address sending this message does not have a PTR record", "policy"),
    ("550 5.7.606 Access denied, banned sending IP [192.0.2.1]", "policy"),
    ("554 5.7.1 Service unavailable; Client host blocked using zen.spamhaus.org", "policy"),
    ("554 5.7.9 Message not accepted for policy reasons. (Yahoo)", "policy"),
    ("554 Message not allowed - [PH01] Email not accepted for policy reasons.", "policy"),
    ("554 Reject due to policy restrictions. (GMX)", "policy"),
    ("554 HM:SPM rejected as spam (163)", "policy"),
    ("550 Connection frequency limited (QQ)", "policy"),
    ("550 5.1.1 <a@x.org>: rejected: your host is listed at spamhaus", "policy"),
    ("550 Administrative prohibition: message looks like spam", "policy"),
    ("554 5.7.1 [CS01] Message rejected due to local policy (icloud)", "policy"),
    ("550 5.7.1 User unknown", "policy"),
    # The message, or the way we sent it.
    ("552 5.3.4 Message size exceeds fixed limit", "content"),
    ("552 5.2.3 Message exceeds maximum fixed size", "content"),
    ("554 5.6.0 Malformed header", "content"),
    ("550 Message too large", "content"),
    ("553 5.1.8 <b@example.com>: Sender address rejected: Domain not found", "configuration"),
    ("450 4.1.8 <b@example.com>: Sender address rejected: Domain not found", "configuration"),
    ("554 5.7.1 <a@x.org>: Relay access denied", "configuration"),
    ("550 relay not permitted", "configuration"),
    ("550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain", "configuration"),
    ("530 5.7.57 Client not authenticated to send mail", "configuration"),
    ("550 5.7.60 SMTP; Client does not have permissions to send as this sender", "configuration"),
    ("550 Sender verify failed", "configuration"),
    ("550 5.1.1 <b@example.com>: Sender address rejected: User unknown", "configuration"),
    ("550 The sender address is invalid", "configuration"),
    ("550 Bad HELO: host unknown", "configuration"),
    ("554 5.7.8 Authentication credentials invalid", "configuration"),
    ("555 5.5.4 Unsupported option: RET=HDRS", "configuration"),
    ("501 Syntax error in parameters", "configuration"),
    # Nobody can know.
    ("550 5.0.0 Denied", "undetermined"),
    ("554 Transaction failed", "undetermined"),
    ("550 Mailbox unavailable or access denied (QQ)", "undetermined"),
    ("554 5.3.0 unknown mailer error 1", "undetermined"),
    ("571 Delivery not possible", "undetermined"),
]

OUTCOMES = {
    "hard": ("bounced", "now"),
    "domain": ("bounced", "after_2"),
    "disabled": ("bounced", "after_2"),
    "undetermined": ("bounced", "after_3"),
    "soft": ("bounced", "after_5"),
    "throttle": ("rejected", ""),
    "policy": ("rejected", ""),
    "content": ("rejected", ""),
    "configuration": ("rejected", ""),
}
PAUSING = ("530", "534", "535", "538", "5.7.8")


def reply_of(line: str) -> Reply:
    code, _, text = line.partition(" ")
    return read_reply(int(code), [text])


@pytest.mark.parametrize(("line", "kind"), REPLIES)
def test_the_kind_of_a_reply(line, kind):
    assert classify(reply_of(line), phase=Phase.RCPT).kind == kind


@pytest.mark.parametrize(("line", "kind"), [each for each in REPLIES if each[0][0] == "5"])
def test_a_5xx_ends_the_message_and_only_address_trouble_counts_against_the_address(line, kind):
    verdict = classify(reply_of(line), phase=Phase.RCPT)

    outcome, suppress = OUTCOMES[kind]
    if any(code in line for code in PAUSING):
        outcome = "deferred"
    assert (verdict.outcome, verdict.suppress) == (outcome, suppress)


@pytest.mark.parametrize(("line", "kind"), [each for each in REPLIES if each[0][0] == "4"])
def test_a_4xx_defers_the_message_and_never_suppresses_at_once(line, kind):
    verdict = classify(reply_of(line), phase=Phase.RCPT)

    assert verdict.outcome == "deferred"
    assert verdict.suppress == ("after_5" if kind == "soft" else "")


@pytest.mark.parametrize("phase", [Phase.CONNECT, Phase.GREETING, Phase.TLS, Phase.AUTH])
@pytest.mark.parametrize(("line", "kind"), REPLIES)
def test_a_failure_before_the_envelope_is_never_about_the_address(line, kind, phase):
    verdict = classify(reply_of(line), phase=phase)

    assert verdict.kind not in {Kind.HARD, Kind.DISABLED, Kind.SOFT, Kind.DOMAIN}
    assert (verdict.outcome, verdict.suppress) == ("deferred", "")


@pytest.mark.parametrize(("line", "kind"), REPLIES)
def test_a_refused_sender_is_never_about_the_recipient(line, kind):
    verdict = classify(reply_of(line), phase=Phase.MAIL)

    assert verdict.kind not in {Kind.HARD, Kind.DISABLED, Kind.UNDETERMINED} or line[0] == "4"
    assert verdict.suppress == ""


MULTI_LINE = [
    (
        550,
        [
            "5.7.26 Your email has been blocked because the sender is unauthenticated.",
            "5.7.26 Gmail requires all senders to authenticate with either SPF or DKIM.",
            "5.7.26 DKIM = did not pass - gsmtp",
        ],
        Kind.POLICY,
    ),
    (
        550,
        [
            "5.1.1 The email account that you tried to reach does not exist. Please try",
            "5.1.1 double-checking the recipient's email address for typos or",
            "5.1.1 unnecessary spaces. - gsmtp",
        ],
        Kind.HARD,
    ),
    (
        421,
        [
            "4.7.28 Gmail has detected an unusual rate of unsolicited mail originating",
            "4.7.28 from your IP address. To protect our users from spam, mail sent",
            "4.7.28 from your IP address has been temporarily rate limited. - gsmtp",
        ],
        Kind.THROTTLE,
    ),
    (
        452,
        [
            "4.2.2 The recipient's inbox is out of storage space. Please direct the",
            "4.2.2 recipient to their mail settings. - gsmtp",
        ],
        Kind.SOFT,
    ),
    # The status only in the last line, or only in one of them.
    (550, ["Sorry, no delivery to this address:", "5.1.1 it is not ours"], Kind.HARD),
    (554, ["mx.x.org", "5.7.1 Service unavailable; Client host blocked"], Kind.POLICY),
    # Two that differ: the first counts.
    (550, ["5.7.1 Message refused", "5.1.1 User unknown"], Kind.POLICY),
    # No status at all: the words of all lines count.
    (550, ["Verification failed for <b@example.com>", "Unrouteable address"], Kind.HARD),
    (550, ["Your message was refused.", "", "Mailbox full"], Kind.SOFT),
    (451, ["Temporary failure.", "Greylisted, see http://x.org/greylist"], Kind.GREYLIST),
    (554, ["Transaction failed", "See http://x.org/help"], Kind.UNDETERMINED),
]


@pytest.mark.parametrize(("code", "lines", "kind"), MULTI_LINE)
def test_a_reply_of_several_lines_is_read_as_one(code, lines, kind):
    assert classify(read_reply(code, lines), phase=Phase.RCPT).kind is kind


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("450 5.1.1 User unknown", Kind.TRANSIENT),
        ("451 5.7.1 Greylisted, come back", Kind.GREYLIST),
        ("450 5.2.2 Mailbox full", Kind.SOFT),
        ("421 5.7.0 Try later", Kind.THROTTLE),
        ("550 4.2.1 Mailbox disabled, not accepting messages", Kind.DISABLED),
        ("550 4.7.1 Listed by our reputation service", Kind.POLICY),
        ("554 4.4.7 Message expired", Kind.UNDETERMINED),
        ("550 2.1.5 No such user", Kind.HARD),
    ],
)
def test_where_code_and_status_disagree_the_code_decides_between_now_and_later(line, kind):
    verdict = classify(reply_of(line), phase=Phase.RCPT)

    assert verdict.kind is kind
    assert (verdict.outcome == "deferred") is (line[0] == "4")


@pytest.mark.parametrize("phase", list(Phase))
def test_silence_is_transient(phase):
    verdict = classify(Reply(text="the server closed the connection"), phase=phase)

    assert verdict.kind == (Kind.CONFIGURATION if phase is Phase.AUTH else Kind.TRANSIENT)
    assert (verdict.outcome, verdict.suppress) == ("deferred", "")


@pytest.mark.parametrize(
    ("reply", "kind", "outcome"),
    [
        (Reply(code=450, enhanced="5.1.1", text="User unknown"), Kind.TRANSIENT, "deferred"),
        (Reply(code=550, enhanced="4.2.2", text="Full"), Kind.SOFT, "bounced"),
        (Reply(code=550, enhanced="4.1.1", text="Unknown"), Kind.HARD, "bounced"),
        (Reply(enhanced="5.1.1"), Kind.HARD, "bounced"),
        (Reply(enhanced="5.0.0"), Kind.UNDETERMINED, "bounced"),
        (Reply(enhanced="4.4.7", text="delivery time expired"), Kind.TRANSIENT, "deferred"),
        (Reply(code=250, text="Ok?"), Kind.TRANSIENT, "deferred"),
    ],
)
def test_the_basic_code_says_whether_to_retry_when_the_two_disagree(reply, kind, outcome):
    verdict = classify(reply, phase=Phase.RCPT)

    assert (verdict.kind, verdict.outcome) == (kind, outcome)


def test_a_bare_552_is_about_the_size_at_mail_and_about_the_mailbox_later():
    reply = Reply(code=552, text="No")

    assert classify(reply, phase=Phase.MAIL).kind is Kind.CONTENT
    assert classify(reply, phase=Phase.RCPT).kind is Kind.SOFT


def test_a_verdict_names_the_rule_that_decided():
    verdict = classify(reply_of("550 5.7.1 Blocked"), phase=Phase.DOT)

    assert verdict.rule == "policy"


def test_hostile_text_is_judged_at_once():
    text = ("mailbox " + "x" * 50 + " ") * 30 + "message " * 60

    assert classify(Reply(code=550, text=text[:2000]), phase=Phase.RCPT).outcome == "bounced"


def test_the_waits_grow_to_four_hours():
    waits = [retry_delay_seconds(n, kind=Kind.TRANSIENT, jitter=0) / 60 for n in range(1, 10)]

    assert waits == [1, 5, 15, 30, 60, 120, 240, 240, 240]


def test_a_greylist_waits_five_minutes_at_least():
    waits = [retry_delay_seconds(n, kind=Kind.GREYLIST, jitter=0) / 60 for n in (1, 2, 3)]

    assert waits == [5, 5, 15]


def test_jitter_lengthens_a_wait_by_a_quarter_at_most():
    waits = [retry_delay_seconds(4, kind=Kind.SOFT, jitter=share) for share in (0, 0.5, 1)]

    assert waits == [1800, 2025, 2250]
