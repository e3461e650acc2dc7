"""Define the faults: what each breaks, at which moment, and how it is mended."""

from __future__ import annotations

import re
import signal
import time
from datetime import datetime

from tests.faults import provider, sink
from tests.faults.disk import small_disk
from tests.faults.rounds import BOTH, Fault, Scene, settle
from tests.faults.stage import LEASE_SECONDS
from tests.processes import stop, wait_until

# Line ends of every kind, controls, fields of their own, directions, length, nothing.
STRANGE_NAMES = (
    "a\r\nBcc: eve@recipient.example", "a\nb", "a\rb", "\r\n\r\nbody", "a\x0bb", "a\x0cb", "a\x1cb",
    "a\x1db", "a\x1eb", "a\x85b", "a\u2028b", "a\u2029b", "\x7f", "\x1b[31m", "\u202eevil",
    "=?utf-8?q?=0D=0ABcc:_eve?=", "=?utf-8?b?broken", "\ufeff", "é" * 2000, "x" * 8000, "😀" * 300,
    "a\tb", " ", "", "{{.API.name}}", "\"'<>&", "\u0301" * 500, ".", "..", "\n.\n",
)  # fmt: skip

# --- Processes ----------------------------------------------------------------------------------


def kill_all_workers(scene: Scene) -> None:
    """End every worker at once, twice, and start others."""
    for _ in range(2):
        scene.wait_for_flow(within=0.4)
        scene.crew.kill_all()
        scene.note_handed_off()
        scene.stage.bury()
        scene.crew.start(2)


def kill_one_worker(scene: Scene) -> None:
    """End one of two workers; the other one goes on and takes over."""
    scene.wait_for_flow()
    scene.crew.kill(scene.dice.choice(scene.crew.workers))
    scene.note_handed_off()


def freeze_a_worker(scene: Scene) -> None:
    """Stop a worker for longer than its lease and the sweep of the others, then let it go on."""
    scene.wait_for_flow()
    frozen = scene.dice.choice(scene.crew.workers)
    frozen.send_signal(signal.SIGSTOP)
    scene.note_handed_off()
    time.sleep(LEASE_SECONDS + 6)
    frozen.send_signal(signal.SIGCONT)


def terminate_workers(scene: Scene) -> None:
    """Deploy: end the workers politely under load, then start the next ones."""
    scene.wait_for_flow()
    for worker in list(scene.crew.workers):
        code = stop(worker, signal.SIGTERM)
        assert code == 0, f"a worker that was asked to stop ended with {code}"
        scene.crew.workers.remove(worker)
    assert not scene.stage.rows("SELECT 1 FROM sending_message WHERE status = 'sending'"), (
        "a worker that stopped in peace still holds messages"
    )
    scene.crew.start(2)


def start_many_sweepers(scene: Scene) -> None:
    """Run two schedulers and two workers more: a deployment that overlaps another."""
    for number in (1, 2):
        schedule = scene.stage.directory / f"beat-{number}"
        scene.crew.start(role=("beat", "--schedule", str(schedule), "--pidfile="))
    scene.crew.start(2)
    scene.accept(scene.messages)
    scene.wait_for_flow()


# --- Redis --------------------------------------------------------------------------------------


def accept_without_redis(scene: Scene) -> None:
    """Nobody is there to ring: the workers start without a broker and it never comes."""
    scene.stage.redis.end(signal.SIGKILL)
    scene.accept(scene.messages)
    scene.crew.start(2)


def restart_redis(scene: Scene) -> None:
    """End Redis, accept meanwhile, and bring it back empty."""
    scene.wait_for_flow()
    scene.stage.redis.end(signal.SIGKILL)
    scene.accept(50)
    scene.wait_for_more(20)
    scene.stage.bring_back_redis()
    scene.accept(50)


def flush_redis(scene: Scene) -> None:
    """Take away everything that Redis knows, several times."""
    for _ in range(5):
        scene.wait_for_flow(within=0.5)
        scene.stage.ask_redis("FLUSHALL")
        scene.accept(20)


def freeze_redis(scene: Scene) -> None:
    """Let Redis hold its connections and say nothing; accepting and sending go on meanwhile."""
    scene.wait_for_flow()
    scene.stage.redis.freeze()
    try:
        scene.accept(50)
        wait_until(lambda: scene.stage.at_work() == 0)
    finally:
        scene.stage.redis.thaw()
    scene.accept(50)


# --- PostgreSQL ---------------------------------------------------------------------------------


def crash_postgres(scene: Scene) -> None:
    """End the database in the middle of everything, twice, with callers who go on calling."""
    with scene.under_load():
        for _ in range(2):
            scene.wait_for_flow(within=0.4)
            scene.stage.postgres.end(signal.SIGQUIT)
            _wait_for_refusals(scene)
            scene.stage.bring_back_postgres()
            scene.wait_for_more(10)


def freeze_postgres(scene: Scene) -> None:
    """Stop every process of the database for a while; nobody is told."""
    scene.wait_for_flow()
    scene.stage.postgres.freeze()
    time.sleep(scene.dice.uniform(0.5, 3))
    scene.stage.postgres.thaw()


def forbid_writing(scene: Scene) -> None:
    """Make the database read-only, as a failover or a full disk does, then allow it again."""
    scene.wait_for_flow(within=0.4)
    with scene.under_load():
        _set_read_only(scene, "on")
        try:
            _wait_for_refusals(scene)
        finally:
            _set_read_only(scene, "off")
        scene.wait_for_more(5)


def fill_the_disk(scene: Scene) -> None:
    """Fill the disk that the messages are on, while mail flows, then make room again."""
    with small_disk(scene.stage) as disk:
        scene.accept(scene.messages)
        scene.wait_for_flow(within=0.4)
        with scene.under_load():
            disk.fill()
            _wait_for_refusals(scene)
            disk.free()
            scene.wait_for_more(5)
        settle(scene)


def _wait_for_refusals(scene: Scene) -> None:
    """Wait until some callers were told to come back later, or something else than that."""
    answers = scene.load.promises.answers
    refused = answers.get(503, 0)
    wait_until(lambda: answers.get(503, 0) > refused + 20 or set(answers) - {0, 200, 503})


def _set_read_only(scene: Scene, state: str) -> None:
    statement = "ALTER DATABASE billionmail SET default_transaction_read_only = {}"
    scene.stage.rows(statement.format(state))
    scene.stage.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = 'billionmail' AND pid <> pg_backend_pid()"
    )


# --- The next hop -------------------------------------------------------------------------------


def refuse_in_every_phase(scene: Scene) -> None:
    """Nothing more: the recipients ask for their mishaps themselves (`accept_mishaps`)."""


def accept_mishaps(scene: Scene) -> None:
    """Accept some messages for each mishap that a recipient can ask for, in a random order."""
    number = max(2, scene.messages // 60)
    kinds = list(sink.MISHAPS)
    scene.dice.shuffle(kinds)
    for kind in kinds:
        stalls = kind.endswith("stall")  # each of these costs a time-out
        recipients = [
            one
            for key in BOTH
            for one in scene.accept(2 if stalls else number, keys=[key], kind=kind)
        ]
        scene.outcomes[kind] = ("sent",)
        if kind in sink.AMBIGUOUS:
            scene.handed_off.update(set(recipients))
            scene.outcomes[kind] = ("sent", "unknown")
        if kind == "body-drop":  # so short a body has left before the drop: it looks ambiguous
            scene.outcomes[kind] = ("sent", "unknown")
        if kind in sink.REFUSED:
            scene.outcomes[kind] = ("rejected", "bounced", "failed")
    scene.accept(50)


def drop_connections(scene: Scene) -> None:
    """Misbehave before any recipient is named: at the greeting, at MAIL, in pipelining."""
    settle(scene)
    moods: list[dict[str, object]] = [
        {"connect": "drop"},
        {"connect": "421 4.3.2 too busy"},
        {"connect": "554 5.3.2 go away"},
        {"mail": "drop", "rate": 0.3},
        {"mail": "421 4.3.2 enough", "rate": 0.3},
        {"mail": "451 4.3.0 not now", "rate": 0.3},
        {"mail": "stall", "rate": 0.05},
        {"deaf": True, "rate": 0.05},
        {"no-pipelining": True},
    ]
    scene.dice.shuffle(moods)
    for mood in moods:
        if "connect" in mood:  # only new connections meet it, and nothing may be on the wire
            settle(scene)
            scene.stage.hop.end()
            scene.stage.hop.be(**mood)
            scene.stage.hop.start(seed=str(scene.dice.random()))
        scene.stage.hop.be(**mood)
        scene.accept(25)
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            scene.stage.let_time_pass()
            time.sleep(0.2)
        scene.stage.hop.be()


def kill_the_next_hop(scene: Scene) -> None:
    """End the next hop itself: what it had read may have been taken, nobody was told."""
    scene.wait_for_flow()
    scene.stage.hop.freeze()  # so that nothing more is handed off than is noted
    time.sleep(0.3)
    scene.note_handed_off()
    scene.stage.hop.end()
    time.sleep(1)
    scene.stage.hop.start(seed=str(scene.dice.random()))


def fail_at_the_provider(scene: Scene) -> None:
    """Nothing more: the recipients ask for the provider's failures (`accept_for_provider`)."""


def accept_for_provider(scene: Scene) -> None:
    """Accept mail for a provider's API that refuses, breaks and keeps silent."""
    keys = ("esp-retry", "esp-hold")
    for kind in ("plain", *provider.MISHAPS):
        number = 2 if kind == "esp-stall" else 5
        recipients = [one for key in keys for one in scene.accept(number, keys=[key], kind=kind)]
        scene.outcomes[kind] = ("sent",)
        if kind in provider.AMBIGUOUS:
            scene.handed_off.update(set(recipients))
            scene.outcomes[kind] = ("sent", "unknown")


# --- Messages -----------------------------------------------------------------------------------


def accept_poison(scene: Scene) -> None:
    """Accept one message that ends every worker that makes it, in the middle of others."""
    scene.accept(scene.messages // 2)
    scene.accept(1, kind="poison")
    scene.accept(scene.messages // 2)
    scene.outcomes["poison"] = ("failed",)


def nothing_more(scene: Scene) -> None:
    """The mail itself is the fault."""


def accept_broken_templates(scene: Scene) -> None:
    """Accept mail of twenty templates that cannot become one, among others."""
    broken = [key for key in scene.stage.secrets if key.startswith("broken-")]
    for key in broken:
        scene.accept(1, keys=[key], kind="broken")
    scene.accept(scene.messages // 2)
    scene.outcomes["broken"] = ("failed",)


def accept_strange_names(scene: Scene) -> None:
    """Accept mail whose subject holds what no header can, or hardly; each may fail, for good."""
    for name in STRANGE_NAMES:
        scene.accept(2, kind="strange", name=name)
    scene.accept(scene.messages // 2)
    scene.outcomes["strange"] = ("sent", "failed")


# --- The clock ----------------------------------------------------------------------------------


def accept_under_wrong_clocks(scene: Scene) -> None:
    """Accept for two workers whose clocks are an hour ahead and an hour behind."""
    for error in ("+1h", "-1h"):
        scene.crew.start(1, clock_error=error)
    scene.accept(scene.messages)


def look_at_the_clocks(scene: Scene) -> None:
    """Make sure that the clocks were wrong indeed, and that no time in the ledger is."""
    settle(scene)
    log = (scene.stage.directory / "work.log").read_text()
    told = [
        datetime.fromisoformat(one) for one in re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", log)
    ]
    now = datetime.now()  # noqa: DTZ005 - the log's own zone
    errors = [(one - now).total_seconds() for one in told]
    assert max(errors) > 3000, "no clock was ahead"
    assert min(errors) < -3000, "no clock was behind"
    assert not scene.stage.rows(
        "SELECT 1 FROM sending_attempt WHERE abs(extract(epoch FROM started_at - now())) > 3000"
    )


FAULTS = [
    Fault("redis-absent", "F1", accept_without_redis, workers=0, prepare=nothing_more),
    Fault("kill-all-workers", "F3", kill_all_workers),
    Fault("kill-one-worker", "F3", kill_one_worker),
    Fault("freeze-worker", "F4", freeze_a_worker),
    Fault("restart-redis", "F5", restart_redis),
    Fault("flush-redis", "F5", flush_redis),
    Fault("freeze-redis", "F5", freeze_redis),
    Fault("crash-postgres", "F6", crash_postgres),
    Fault("freeze-postgres", "F6", freeze_postgres),
    Fault("read-only-postgres", "F7", forbid_writing),
    Fault("disk-full", "F7", fill_the_disk, prepare=nothing_more),
    Fault("smtp-phases", "F8", refuse_in_every_phase, prepare=accept_mishaps,
          delay_ms=5),
    Fault("smtp-connections", "F8", drop_connections, delay_ms=5),
    Fault("kill-next-hop", "F8", kill_the_next_hop),
    Fault("provider", "F10", fail_at_the_provider, prepare=accept_for_provider),
    Fault("poison", "F11", nothing_more, prepare=accept_poison, is_supervised=True, delay_ms=5,
          environment={"DJANGO_SETTINGS_MODULE": "tests.faults.poison"}),
    Fault("broken-templates", "F12", nothing_more, prepare=accept_broken_templates,
          delay_ms=5),
    Fault("header-corpus", "F13", nothing_more, prepare=accept_strange_names, delay_ms=5),
    Fault("wrong-clocks", "F14", look_at_the_clocks, workers=0, prepare=accept_under_wrong_clocks),
    Fault("many-sweepers", "F18", start_many_sweepers),
    Fault("terminate-workers", "F19", terminate_workers),
]  # fmt: skip
BY_NAME = {fault.name: fault for fault in FAULTS}
