"""Deliver due messages: claim, screen, render, hand over, record.

One deliverer runs in each worker process: a thread that looks for due messages when it is rung,
and every `SWEEP_SECONDS` by itself, whether or not the broker works.
"""

from sending.delivery.deliverer import Deliverer, deliver_soon, start, stop
from sending.delivery.run import deliver_due

__all__ = ["Deliverer", "deliver_due", "deliver_soon", "start", "stop"]
