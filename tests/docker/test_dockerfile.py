"""Hold both Dockerfiles and the build context to what docker/README.md promises."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(__file__).resolve().parents[2]
APP = ROOT / "docker" / "Dockerfile"
RELAY = ROOT / "docker" / "relay" / "Dockerfile"
KNOWN = {
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL",
    "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
}  # fmt: skip


def instructions(path: Path) -> list[tuple[str, str]]:
    """Return (instruction, arguments) pairs, continuation lines joined and comments left out."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    pairs = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(word, rest) for word, rest in pairs]


def arguments(path: Path, word: str) -> list[str]:
    return [rest for name, rest in instructions(path) if name == word]


def final_stage(path: Path) -> list[tuple[str, str]]:
    found = instructions(path)
    starts = [index for index, (word, _) in enumerate(found) if word == "FROM"]
    return found[starts[-1] :]


def copied_from_context(path: Path) -> list[str]:
    sources = []
    for rest in arguments(path, "COPY"):
        words = rest.split()
        if not any(word.startswith("--from=") for word in words):
            sources += [word for word in words if not word.startswith("--")][:-1]
    return sources


def allowed_in_context() -> set[str]:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return {line[1:] for line in lines if line.startswith("!")}


@pytest.mark.parametrize("path", [APP, RELAY], ids=["app", "relay"])
def test_every_instruction_is_one_that_docker_knows(path: Path):
    assert {word for word, _ in instructions(path)} <= KNOWN


@pytest.mark.parametrize("path", [APP, RELAY], ids=["app", "relay"])
def test_every_base_image_is_pinned_by_tag(path: Path):
    defaults = dict(rest.split("=", 1) for rest in arguments(path, "ARG"))
    for rest in arguments(path, "FROM"):
        image = re.sub(r"\$\{(\w+)\}", lambda match: defaults[match[1]], rest.split()[0])
        assert re.search(r":[\w.-]*\w$", image), image
        assert not image.endswith(":latest")


@pytest.mark.parametrize("path", [APP, RELAY], ids=["app", "relay"])
def test_everything_copied_exists(path: Path):
    context = ROOT if path == APP else path.parent
    assert copied_from_context(path)
    assert all((context / source).exists() for source in copied_from_context(path))


@pytest.mark.parametrize("path", [APP, RELAY], ids=["app", "relay"])
def test_copied_files_are_readable_whatever_the_umask_of_the_checkout(path: Path):
    from_context = [rest for rest in arguments(path, "COPY") if "--from=" not in rest]
    reread = [
        rest for rest in from_context if rest.split()[-1].startswith(("/opt", "/etc", "/usr"))
    ]
    assert reread
    assert all("--chmod=" in rest for rest in reread)


@pytest.mark.parametrize("path", [APP, RELAY], ids=["app", "relay"])
def test_image_tells_its_health(path: Path):
    (check,) = arguments(path, "HEALTHCHECK")
    command = json.loads(check[check.index("CMD ") + 4 :])
    assert all(isinstance(word, str) for word in command)


def test_process_is_not_root_and_receives_the_stop_signal():
    words = [word for word, _ in final_stage(APP)]
    assert words.index("USER") < words.index("ENTRYPOINT")
    user = arguments(APP, "USER")[-1]
    assert all(int(number) >= 1000 for number in user.split(":"))
    (entrypoint,) = json.loads(arguments(APP, "ENTRYPOINT")[0])
    assert os.access(ROOT / Path(entrypoint).relative_to("/opt/billionmail"), os.X_OK)


def test_code_belongs_to_root():
    assert not any("--chown" in rest for rest in arguments(APP, "COPY"))


def test_packages_are_installed_by_hash():
    (install,) = [rest for rest in arguments(APP, "RUN") if "pip install" in rest]
    assert "--require-hashes" in install


def test_no_secret_is_kept_in_a_layer():
    kept = " ".join(arguments(APP, "ENV") + arguments(APP, "ARG"))
    assert not re.search(r"SECRET|PASSWORD|_KEYS?=", kept)


def test_build_context_is_an_allow_list_without_settings_and_tests():
    lines = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert lines[0] == "*"
    assert not any(re.search(r"\.env|tests|\.git|var|\*", name) for name in allowed_in_context())


def test_build_context_has_every_app_and_what_the_image_runs():
    ours = {app.split(".")[0] for app in settings.INSTALLED_APPS}
    apps = {name for name in ours if (ROOT / name / "__init__.py").exists()}
    run = {"manage.py", "requirements.txt", "docker/entrypoint.sh", "docker/wait_for_database.py"}
    assert allowed_in_context() == apps | run
    assert all((ROOT / name).exists() for name in allowed_in_context())
