r"""Compile and render templates: the part of Go's text/template that mails need, on plain data.

::

    {{.API.name}}  {{.Subscriber.Email}}  {{$.API.x}}  {{get .API "first-name"}}
    {{.API.name | default "friend"}}  {{default "friend" .API.name}}
    {{if eq .API.plan "pro" "team"}}…{{else if not .API.trial}}…{{else}}…{{end}}
    {{range $i, $item := .API.items}}{{$i}} {{.title}}{{else}}nothing{{end}}
    {{with .API.address}}{{.city}}{{end}}  {{$x := .API.x}}{{$x}}
    {{UnsubscribeURL .}}  __UNSUBSCRIBE_URL__  {{/* comment */}}  {{- trimmed -}}

MESSAGE_STEPS put ``{{$.Tracking.Link}}`` before the rest of a URL that they made, and
``{{tracked 3}}…{{end}}`` around one that depends on values, to be made of what it renders to.

A template can look up keys of dicts and nothing else; it cannot reach an object or run code.
Differences from Go: HTML is escaped by place (see ``escaping``), a missing value prints nothing,
values of different kinds are unequal rather than an error, whole numbers print without exponent.
"""

from sending.rendering.program import Program, Target, compile_source
from sending.rendering.text import text_from_html

__all__ = ["Program", "Target", "compile_source", "text_from_html"]
