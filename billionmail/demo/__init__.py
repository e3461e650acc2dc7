"""Fill an installation with a made-up past, to try the dashboard and to measure it.

`cast` says who sends what to whom, `scene` makes the keys, templates and routes, `traffic` says
when mail is accepted, `lives` and `hits` what becomes of it, `writing` stores it, `surroundings`
makes what happened beside it, `removal` takes everything away.
"""

from billionmail.demo.performance import perform
from billionmail.demo.removal import remove
from billionmail.demo.scene import demo_keys, newest_at, taken_names

__all__ = ["demo_keys", "newest_at", "perform", "remove", "taken_names"]
