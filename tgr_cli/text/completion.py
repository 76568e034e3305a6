"""Parsing chat completions: complete or streamed as server-sent events, with content as text or in parts."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tgr_cli.text.server_words import Told, told_in

# Finish reasons, as various servers spell them: length limit, refusal by filter or model, failure during generation.
CUT_SHORT = {"length", "max_tokens", "max_output_tokens", "max_length", "model_length", "model_context_window_exceeded"}
REFUSED = {"content_filter", "content_filtered", "safety", "refusal", "recitation", "prohibited_content", "blocklist"}
REFUSED |= {"sensitive", "spii", "guardrail_intervened"}
BROKEN_OFF = {"error", "network_error", "abort", "aborted", "cancelled", "insufficient_system_resource"}
THOUGHTS = ("reasoning_content", "reasoning", "thinking", "reasoning_details", "thoughts")
DEEPEST = 4  # nesting levels of parts


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A model's reply: its text, finish reason, whether it contained reasoning, and token counts.

    `finish` is the protocol's finish_reason; other servers' words are mapped to "length" and "content_filter".
    `with_temperature` is False where the model rejects the temperature that was requested.
    """

    text: str
    finish: str
    refused: bool
    tokens_in: int
    tokens_out: int
    thoughtful: bool = False
    tool_call: bool = False
    with_temperature: bool = True


class NoCompletionError(Exception):
    """A body that is not a chat completion; the message says what it is."""


class ToldError(Exception):
    """An error reported inside a 200 response."""

    def __init__(self, told: Told) -> None:
        super().__init__(told.words)
        self.told = told


def read(body: bytes, headers: Mapping[str, str]) -> Reply:
    """Return the reply in the body of a 200 response.

    Raises ToldError for an error object, NoCompletionError for anything else.
    """
    text = body.decode("utf-8", "replace").lstrip("\ufeff").strip()
    if "event-stream" in headers.get("content-type", "") or text.startswith(("data:", "event:", ":", "id:")):
        return _streamed(text)
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NoCompletionError("an answer that is no chat completion in JSON") from error
    return _whole(said)


def _whole(said: Any) -> Reply:
    if isinstance(said, list) and len(said) == 1:
        said = said[0]
    if not isinstance(said, dict):
        raise NoCompletionError("an answer that is no chat completion in JSON")
    choice = _choice(said)
    if choice is None:
        if said.get("error") or said.get("errors") or said.get("detail") or isinstance(said.get("message"), str):
            raise ToldError(told_in(said))
        raise NoCompletionError("an answer that is no chat completion in JSON: it has no choices")
    message = choice.get("message", choice.get("delta"))
    if message is None and isinstance(choice.get("text"), str):
        message = {"content": choice["text"]}
    if not isinstance(message, dict):
        raise NoCompletionError("an answer that is no chat completion in JSON: its choice has no message")
    _refuse_broken_off(choice)
    return _reply(message, choice.get("finish_reason"), said.get("usage"))


def _choice(said: dict[str, Any]) -> dict[str, Any] | None:
    choices = said.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return choices[0]
    return None


def _refuse_broken_off(choice: dict[str, Any]) -> None:
    """Raise ToldError if generation failed midway: a partial text is not an answer."""
    finish = str(choice.get("finish_reason") or "").lower()
    if finish not in BROKEN_OFF and (finish or not choice.get("error")):
        return
    found = told_in({"error": choice.get("error")})
    raise ToldError(
        found if found.words else Told(words=f"the answer broke off ({finish or 'error'})", status=found.status)
    )


def _reply(message: dict[str, Any], finish: Any, usage: Any) -> Reply:
    text, thoughtful, refusal = _content(message.get("content"), 0)
    refusal = refusal or bool(message.get("refusal"))
    ending = str(finish or "").lower()
    usage = usage if isinstance(usage, dict) else {}
    calls = bool(message.get("tool_calls") or message.get("function_call")) or ending in ("tool_calls", "function_call")
    refused = refusal or ending in REFUSED
    return Reply(
        text=text,
        finish="length" if ending in CUT_SHORT else "content_filter" if ending in REFUSED else ending,
        refused=refused,
        tokens_in=_tokens(usage.get("prompt_tokens", usage.get("input_tokens"))),
        tokens_out=_tokens(usage.get("completion_tokens", usage.get("output_tokens"))),
        thoughtful=thoughtful or any(bool(message.get(name)) for name in THOUGHTS),
        tool_call=calls and not text.strip(),
    )


def _content(content: Any, depth: int) -> tuple[str, bool, bool]:
    """Return the text of a content, whether it has reasoning parts, and whether a part is a refusal."""
    if content is None:
        return "", False, False
    if isinstance(content, str):
        return content, False, False
    if isinstance(content, list) and depth < DEEPEST:
        parts = [_content(part, depth + 1) for part in content]
        return "".join(text for text, _, _ in parts), any(t for _, t, _ in parts), any(r for _, _, r in parts)
    if not isinstance(content, dict) or depth >= DEEPEST:
        raise NoCompletionError("an answer whose content is neither text nor parts of it")
    kind = str(content.get("type") or "text").lower()
    if "think" in kind or "reason" in kind or "thought" in kind or content.get("thought") is True:
        return "", True, False
    if "refusal" in kind:
        return "", False, True
    text = content.get("text", content.get("content"))
    if isinstance(text, dict):  # {"type": "text", "text": {"value": …}}
        text = text.get("value")
    return (text if isinstance(text, str) else ""), False, False


def _tokens(count: Any) -> int:
    return count if isinstance(count, int) and not isinstance(count, bool) and 0 <= count < 2**31 else 0


def _streamed(text: str) -> Reply:
    """Return the reply assembled from server-sent events (WHATWG HTML standard)."""
    parts: list[str] = []
    message: dict[str, Any] = {}
    finish = usage = None
    ended = thoughtful = refused = False
    for data in _events(text):
        if data.strip() == "[DONE]":
            ended = True
            break
        try:
            said = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise NoCompletionError("a stream of events that is not whole, or not in JSON") from error
        if not isinstance(said, dict):
            raise NoCompletionError("a stream of events that are no chat completion")
        usage = said.get("usage") or usage
        choice = _choice(said)
        if choice is None:
            if said.get("error") or said.get("errors") or said.get("detail"):
                raise ToldError(told_in(said))
            continue  # the usage chunk has no choices
        _refuse_broken_off(choice)
        if choice.get("index") not in (0, None):
            continue
        delta = choice.get("delta", choice.get("message"))
        delta = delta if isinstance(delta, dict) else {"content": choice.get("text")}
        piece, thought, refusal = _content(delta.get("content"), 0)
        parts.append(piece)
        thoughtful = thoughtful or thought
        refused = refused or refusal
        message |= {name: value for name, value in delta.items() if name != "content" and value}
        finish = choice.get("finish_reason") or finish
    if not ended and finish is None:
        raise NoCompletionError("a stream of events that broke off before its end")
    if refused:
        message["refusal"] = True
    if thoughtful:
        message[THOUGHTS[0]] = True
    return _reply(message | {"content": "".join(parts)}, finish, usage)


def _events(text: str) -> Iterator[str]:
    """Yield the data of each event; comments, event names and ids are skipped."""
    data: list[str] = []
    for line in [*text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), ""]:
        if line.startswith("data:"):
            data.append(line.removeprefix("data:").removeprefix(" "))
        elif not line and data:
            yield "\n".join(data)
            data = []
