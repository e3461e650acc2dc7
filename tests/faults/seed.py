"""Make the database of a stage: the tables, the routes and the keys. Prints a JSON object.

Run as a program with the environment of the stage, so that the tests' own Django stays out of it.
"""

from __future__ import annotations

import json
import os
import sys

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "billionmail.settings"
django.setup()

from django.core.management import call_command  # noqa: E402

from sending.models import AmbiguityPolicy, Route, Template  # noqa: E402
from tests.factories.apikeys import key_with_secret  # noqa: E402
from tests.factories.sending import (  # noqa: E402
    RouteFactory,
    SendingProfileFactory,
    TemplateFactory,
)

# Each cannot become a mail: never closed, unknown words, wrong nesting.
BROKEN = (
    "{{",
    "{{.API.name",
    "{{if}}x{{end}}",
    "{{if .API.x}}",
    "{{end}}",
    "{{else}}",
    "{{with}}x{{end}}",
    "{{.API.name | nonsense}}",
    "{{nonsense .API.name}}",
    '{{template "x"}}',
    "{{range}}x{{end}}",
    "{{if eq}}x{{end}}",
    "{{if (eq .API.a}}x{{end}}",
    '{{"open}}',
    "{{.API.name}}{{",
    '{{block "x" .}}',
    "{{with .API.x}}{{else}}{{else}}{{end}}",
    "{{if .API.x}}{{end}}{{end}}",
    '{{define "x"}}',
    "{{ | }}",
)


def secret_of(**profile: object) -> str:
    """Make a key that sends what the profile says, and return its secret."""
    key, secret = key_with_secret()
    SendingProfileFactory.create(api_key=key, **profile)
    return secret


def main() -> None:
    """Fill an empty database."""
    sink_port, provider_port = (int(argument) for argument in sys.argv[1:])
    call_command("migrate", verbosity=0)
    template = TemplateFactory.create()
    route = RouteFactory.create(
        port=sink_port, is_default=True, connections=4, data_timeout_seconds=3,
        command_timeout_seconds=2,
    )  # fmt: skip
    options = {
        "server_token": "t",
        "api_url": f"http://127.0.0.1:{provider_port}/",
        "timeout": 2,
    }
    provider = RouteFactory.create(
        kind=Route.Kind.ANYMAIL,
        backend="anymail.backends.postmark.EmailBackend",
        options=json.dumps(options),
        data_timeout_seconds=3,
    )
    ways = {policy: {"template": template, "route": route, "ambiguity_policy": policy}
            for policy in AmbiguityPolicy.values}  # fmt: skip
    secrets = {
        **{policy: secret_of(**way) for policy, way in ways.items()},
        **{f"esp-{policy}": secret_of(**way | {"route": provider}) for policy, way in ways.items()},
        **{
            f"broken-{number}": secret_of(template=_broken(html), route=route)
            for number, html in enumerate(BROKEN)
        },
    }
    print(json.dumps(secrets))


def _broken(html: str) -> Template:
    return TemplateFactory.create(version__html=f"<p>Hello {html}</p>")


if __name__ == "__main__":
    main()
