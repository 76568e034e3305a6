"""Unwrapping a sentence from code fences, JSON, answer tags, Markdown and HTML."""

import ast
import html
import json
import re
from typing import Any

WORDS = 3  # minimum number of words for a sentence
DEEPEST = 6  # nesting levels of JSON
LONGEST_LITERAL = 20_000  # characters of a Python literal: its parser is slow

FENCE = re.compile(r"(?:```+|~~~+)[ \t]{0,9}(?P<language>[\w+#.-]{0,20})(?P<inside>.*?)(?:```+|~~~+|\Z)", re.DOTALL)
PROSE = {"", "text", "txt", "plaintext", "plain", "markdown", "md", "json", "json5", "jsonc", "yaml", "yml", "xml"}
CODE = {"python", "py", "bash", "sh", "shell", "javascript", "js", "typescript", "ts", "java", "c", "cpp", "go", "rust"}
CODE |= {"sql", "css", "latex", "tex", "mermaid", "diff", "ruby", "php", "svg", "html"}

# JSON keys of an answer, the likeliest first; and keys of other content.
KEYS = (
    *("description", "sentence", "answer", "final", "response", "output", "caption", "text", "content", "result"),
    *("summary", "reply", "message", "value", "refusal"),
)
NO_ANSWER = re.compile(
    r"thought|think|reason|analysis|rationale|explan|error|question|prompt|class|name|label|title|note", re.IGNORECASE
)
LOOSE_VALUE = re.compile(
    r"""["'](?:\w{0,30}_)?(?:description|sentence|answer|text)["']\s{0,9}:\s{0,9}"((?:[^"\\]|\\.)*)"""
)
JSON_START = re.compile(r"\{\s*(?:[\"']|\Z|\})|\[\s*[\"'{\[]|\"")

ANSWER_TAG = re.compile(
    r"<(?:\|(?:begin_of_|START_))?(?P<name>(?:final_?|short_?|visual_?|class_?)?(?:answer|response|output|solution|"
    r"result|description|sentence|caption|conclusion|reply|box)|final)(?:\|)?>",
    re.IGNORECASE,
)
TAGS = "p|br|b|i|em|strong|u|span|div|h[1-6]|ul|ol|li|html|body|center|font|small|sup|sub|blockquote|code|pre|a|hr|mark"
TAGS += "|section|article|main|table|tbody|tr|td|th|img|q|s"
HTML_TAG = re.compile(
    rf"</?(?P<name>{TAGS})(?:\s[^<>]{{0,300}})?/?>|<!--[^<>]{{0,500}}-->|<!DOCTYPE[^<>]{{0,100}}>", re.I
)
BREAKS = re.compile(r"p|br|div|h\d|ul|ol|li|hr|tr|blockquote|pre", re.IGNORECASE)
ENTITY = re.compile(
    r"&(?:amp|lt|gt|quot|apos|nbsp|[lr][sd]quo|[mn]dash|hellip|deg|times|eacute|#\d{1,6}|#x[0-9a-f]{1,5});", re.I
)

RULE = re.compile(r"\s*(?:(?:[-_=*]\s?){3,})\Z")
HEADING = re.compile(r"\s{0,3}#{1,6}\s+(?P<text>.*?)[\s#]*\Z")
BOLD_LINE = re.compile(r"\s*(?P<mark>\*\*|__)(?P<text>[^*_]{1,80}[^*_.!?])(?P=mark):?\s*\Z")
TABLE_ROW = re.compile(r"\s*\|.*\|\s*\Z")
BULLET = re.compile(r"\s*(?:[-*+•‣◦▪–—·]|\(?\d{1,2}[.)])\s+(?=\S)")
QUOTED = re.compile(r"\A\s*>\s?(?=\S)")
LINK = re.compile(r"!?\[(?P<text>[^\[\]\n]{0,300})\]\([^()\s]{0,500}\)")
EMPHASIS = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?<![\w*])\*\*(?=\S)(?P<text>[^*\n]+?)(?<=\S)\*\*(?![*])",
        r"(?<![\w_])__(?=\S)(?P<text>[^_\n]+?)(?<=\S)__(?![\w_])",
        r"(?<![\w*])\*(?=\S)(?P<text>[^*\n]+?)(?<=\S)\*(?![\w*])",
        r"(?<![\w_])_(?=\S)(?P<text>[^_\n]+?)(?<=\S)_(?![\w_])",
        r"(?<!`)`(?=\S)(?P<text>[^`\n]+?)(?<=\S)`(?!`)",
        r"~~(?=\S)(?P<text>[^~\n]+?)(?<=\S)~~",
    )
)
MARKED = re.compile(r"[\[*_`~\\]")  # each of LINK, EMPHASIS and ESCAPED needs one of these
ESCAPED = re.compile(r"\\(?=[*_`#\[\]{}()!~>-])")
BOXED = re.compile(r"\\(?:boxed|fbox|text|textbf|textit|mathrm)\s?\{")


def without_markup(text: str) -> str | None:
    """Return the sentences in `text` without wrappers; None if it contains only data or code."""
    for unwrap in (_fenced, _tagged, _boxed, _json):
        inner = unwrap(text)
        if inner is None:
            return None
        text = inner
    return _plain_lines(_without_html(text))


def wordy(text: str) -> bool:
    """Return whether `text` has enough words for a sentence."""
    return len(re.findall(r"[^\W\d_]+", text)) >= WORDS


def _fenced(text: str) -> str | None:
    """Return the content of the first code fence with words in it, else the text around the fence."""
    if "```" not in text and "~~~" not in text:
        return text
    around, code = FENCE.sub("\n", text).strip(), False
    for fence in FENCE.finditer(text):
        inside, language = fence["inside"], fence["language"].lower()
        if language in CODE:
            code = True
            continue
        if language not in PROSE:  # an inline fence: its first word is not a language
            inside = fence["language"] + inside
        if JSON_START.match(inside.strip()):
            inside = _json(inside) or ""
        if wordy(inside):
            return inside
    if wordy(around) and not around.endswith(":"):
        return around
    return None if code or text.strip("`~ \n") else ""


def _tagged(text: str) -> str:
    """Return the content of the last answer tags, such as <answer>…</answer>."""
    tags = list(ANSWER_TAG.finditer(text))
    if not tags:
        return text
    opened = tags[-1]
    closing = re.compile(rf"</{opened['name']}>|<\|(?:end_of_|END_){opened['name']}\|>", re.IGNORECASE)
    inside = closing.split(text[opened.end() :], maxsplit=1)[0]
    return inside if inside.strip() or not text[: opened.start()].strip() else text[: opened.start()]


def _boxed(text: str) -> str:
    r"""Return the content of the last \boxed{} in `text`; \text{} and similar commands are unwrapped too."""
    found = None
    for found in BOXED.finditer(text):
        if "box" in found[0]:
            break
    if found is None:
        return text
    depth = 1
    for place in range(found.end(), len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if not depth:
            inside = text[found.end() : place]
            return inside if "box" in found[0] else text[: found.start()] + inside + text[place + 1 :]
    return text[found.end() :] if "box" in found[0] else text


def _json(text: str) -> str | None:
    """Return the sentence in a JSON text; other texts unchanged, None for JSON without a sentence."""
    stripped = text.strip()
    if not JSON_START.match(stripped):
        return text
    value = _parsed(stripped)
    if value is not None:
        return _value(value, 0)
    loose = LOOSE_VALUE.match(stripped) if stripped.startswith('"') else LOOSE_VALUE.search(stripped)
    if loose:
        return loose[1].replace('\\"', '"').replace("\\n", "\n")
    return None if stripped.startswith("{") else text


def _parsed(text: str) -> Any:
    """Return the value of a JSON text or Python literal, None if `text` is neither."""
    try:
        value, end = json.JSONDecoder(strict=False).raw_decode(text)
        # A sentence may start with a quoted word or a bracket; so a literal must be the whole text.
        return None if text[end:].strip() and not isinstance(value, dict) else value
    except (ValueError, RecursionError):
        pass
    if len(text) > LONGEST_LITERAL or text.startswith('"'):
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _value(value: Any, depth: int) -> str | None:
    if isinstance(value, str):
        return value
    if depth >= DEEPEST or not isinstance(value, dict | list | tuple):
        return None
    if not isinstance(value, dict):
        texts = [text for text in (_value(item, depth + 1) for item in value) if text and text.strip()]
        return _joined(texts) if texts else None
    entries = {str(name).lower(): item for name, item in value.items()}
    for key in KEYS:
        for name in sorted(entries, key=lambda name: (name != key, name)):
            if name == key or name.endswith(f"_{key}") or name.endswith(f" {key}"):
                text = _value(entries[name], depth + 1)
                if text and text.strip():
                    return text
    # {"zero": "A round digit."}: the key is the class name.
    if len(entries) == 1 and not NO_ANSWER.search(next(iter(entries))):
        return _value(next(iter(entries.values())), depth + 1)
    likely = [
        item for name, item in entries.items() if isinstance(item, str) and wordy(item) and not NO_ANSWER.search(name)
    ]
    return likely[0] if len(likely) == 1 else None


def _joined(texts: list[str]) -> str:
    """Return the texts joined, with a comma after those that have no final punctuation."""
    ended = [text if text.rstrip().endswith((".", "!", "?", ":", ";", ",")) else f"{text.rstrip()}," for text in texts]
    return " ".join([*ended[:-1], texts[-1]])


def _without_html(text: str) -> str:
    if "<" in text:
        text = HTML_TAG.sub(lambda tag: "\n" if tag["name"] and BREAKS.fullmatch(tag["name"]) else "", text)
    return ENTITY.sub(lambda entity: html.unescape(entity[0]), text) if "&" in text else text


def _plain_lines(text: str) -> str | None:
    """Return the lines of `text` without Markdown; headings are dropped if there is other text."""
    lines = [QUOTED.sub("", line) for line in text.splitlines() if line.strip()]
    rows = [line for line in lines if TABLE_ROW.match(line)]
    if rows and len(rows) == len([line for line in lines if not RULE.match(line)]):
        return None
    lines = [line for line in lines if not RULE.match(line) and not TABLE_ROW.match(line)]
    body = [line for line in lines if not HEADING.match(line) and not BOLD_LINE.match(line)]
    kept, bullets = [], []
    for line in body or lines:
        heading = HEADING.match(line)
        line = heading["text"] if heading else line
        bullet = BULLET.match(line)
        bullets.append(bullet is not None)
        kept.append(line[bullet.end() :] if bullet else line)
    for number in range(len(kept) - 1):  # separate list items by commas where they have no punctuation
        if bullets[number] and bullets[number + 1]:
            kept[number] = _joined([kept[number], ""]).rstrip()
    return "\n".join(_inline(line) for line in kept)


def _inline(line: str) -> str:
    if not MARKED.search(line):  # fast path: most lines are plain
        return line
    line = LINK.sub(r"\g<text>", line)
    for pattern in EMPHASIS:
        line = pattern.sub(r"\g<text>", line)
    return ESCAPED.sub("", line)
