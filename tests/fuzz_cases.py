"""What the fuzzer tries, drawn at random: damaged files, pipes and links in their place, options, servers' answers."""

import json
import re
import shlex
from collections.abc import Callable
from fnmatch import fnmatch
from random import Random

from fuzz_damage import BYTES, TEXTS, edited
from fuzz_folder import ASK
from fuzz_inputs import Input
from fuzz_options import BASES, with_options, with_surroundings
from fuzz_places import PLACES
from fuzz_targets import TARGETS, Target
from llm_server import Said, answer_to, completion

Drawn = Callable[[Random, dict[str, bytes]], Input]
WRITTEN = re.compile(r"--out (\S+)")
HEADERS = {
    "Retry-After": ("0", "-1", "x", "9" * 30, "1e400", "Sun, 99 Foo 2026", "Sun, 06 Nov 1994 08:49:37 GMT", ""),
    "Content-Type": ("text/event-stream", "application/json; charset=x", "text/html", "\xff", "image/png"),
    "Content-Encoding": ("gzip", "x", "identity"),
    "Location": ("", "http://[", "/elsewhere", "javascript:x"),
    "x-ratelimit-reset-requests": ("0ms", "x", "9" * 30 + "d", "2026-13-45T99:00:00Z"),
}
STATUSES = (200, 200, 200, 204, 206, 301, 307, 400, 401, 403, 404, 408, 413, 422, 429, 500, 502, 503, 599)
REFUSALS = (
    {"error": {"message": "no such model", "type": "invalid_request_error", "code": "model_not_found"}},
    {"error": {"message": "max_tokens is not supported, use max_completion_tokens", "param": "max_tokens"}},
    {"error": "CUDA out of memory", "detail": [{"loc": ["body", "temperature"], "msg": "too large"}]},
    {"object": "error", "message": "try again in 0.01s", "code": 429},
)


def drawn(random: Random, whole: dict[str, bytes], only: str = "") -> Input:
    """Return one input; `only`: a part of its name, for inputs of one kind."""
    draws: dict[Drawn, float] = {
        with_damage: 0.62,
        with_options: 0.22,
        with_surroundings: 0.07,
        with_places: 0.04,
        with_answers: 0.05,
    }
    while True:
        found = random.choices(list(draws), list(draws.values()))[0](random, whole)
        if only in str(found):
            return found


def with_damage(random: Random, whole: dict[str, bytes]) -> Input:
    """Return a damaged file, or another in its place, for a command that reads it."""
    target, file = _target(random, whole)
    damage = random.choice(target.damages)
    content = whole[random.choice(sorted(whole))] if random.random() < 0.04 else damage(random, whole[file])
    changed: dict[str, bytes | None] = {file: None} | {target.called(file, content): content}
    command = random.choice(target.commands).replace("{file}", file)
    name = f"{damage.__name__} {target.file}"
    return Input(name, tuple(shlex.split(command)), changed, may_change=target.may_change)


def with_places(random: Random, whole: dict[str, bytes]) -> Input:
    """Return a command that finds a pipe, a link or a folder where its input, that one's folder, or its output is."""
    target, file = _target(random, whole)
    command, place = random.choice(target.commands).replace("{file}", file), random.choice(sorted(PLACES))
    written, chance = WRITTEN.search(command), random.random()
    if written and chance < 0.2:
        file = written[1]
    elif "/" in file and chance < 0.35:
        file = file.rpartition("/")[0]
    return Input(f"{place} at {file}", tuple(shlex.split(command)), places={file: place}, may_change=target.may_change)


def _target(random: Random, whole: dict[str, bytes]) -> tuple[Target, str]:
    target = random.choices(TARGETS, [target.weight for target in TARGETS])[0]
    return target, next(name for name in sorted(whole) if fnmatch(name, target.file))


def with_answers(random: Random, whole: dict[str, bytes]) -> Input:
    """Return questions to a language model whose server says anything."""
    answers = tuple(_answer(random) for _ in range(random.randint(1, 3)))
    return Input("answers", tuple(shlex.split(f"{ASK} --out new/d.parquet -q")), answers=answers)


def _answer(random: Random) -> str | Said | bytes:
    if random.random() < 0.2:
        return random.choice(("well", "drop", "huge", "nested", "escapes", "malformed", "html", "long", "redirect"))
    value = random.choice((completion(answer_to("x")), completion(random.choice(TEXTS)), *REFUSALS))
    body = json.dumps(edited(random, value)).encode()
    if random.random() < 0.2:
        events = (body, b'{"choices": [{"delta": {"content": "A dot."}}]}', b"[DONE]")
        body = b"".join(b"data: " + random.choice(events) + b"\n\n" for _ in range(4))
    if random.random() < 0.3:
        body = random.choice(BYTES)(random, body)
    names = random.sample(sorted(HEADERS), random.choice((0, 0, 1, 2)))
    said = Said(random.choice(STATUSES), body, {name: random.choice(HEADERS[name]) for name in names})
    return random.choice(BYTES)(random, said.response()) if random.random() < 0.2 else said


def covered() -> set[str]:
    """Return the commands that the inputs run."""
    return {command.split()[0] for target in TARGETS for command in target.commands} | set(BASES)
