"""Separating a reasoning model's chain of thought from its answer.

Servers that know the chat template remove the reasoning. Others leave it in, with all of the template's tags, some of
them (a template may emit the opening tag itself), or none.
"""

import re

LINE_SEEN = 200  # characters before a tag that are searched for the start of its line

# Tags look like <think>, </think>, [THINK], <|END_THINKING|>, <seed:think> or ◁think▷: a name in brackets.
MARK = re.compile(
    r"(?:<[|｜]?|\[|◁)\s?(?P<slash>/?)(?P<name>[A-Za-z][A-Za-z0-9_:.▁-]{1,40})(?P<more>\s[^<>\[\]▷]{0,200})?[|｜]?(?:>|\]|▷)"
)
# MedGemma's tokenizer calls its tags <unused94> and <unused95>.
THOUGHT = re.compile(
    r"thin?k|thought|reason|reflect|scratchpad|rationale|monologue|deliberat|analysis|brainstorm|inner_|(?:^|_)cot(?:$|_)|^unused9[45]$",
    re.IGNORECASE,
)
ENDING = re.compile(r"^end|_end$|_suffix$|^unused95$", re.IGNORECASE)
# Square brackets also occur in plain sentences, so inside them only these names count.
BARE_THOUGHT = re.compile(r"(?:think|thinking|thoughts?|reasoning)", re.IGNORECASE)

# Channels: <|channel|>analysis<|message|>…<|end|><|start|>assistant<|channel|>final<|message|>…<|return|> (harmony),
# and <|channel>thought …<channel|> followed by the answer.
CHANNEL = re.compile(
    r"<\|channel\|?>\s{0,9}(?P<name>[A-Za-z]*)(?:[^<\n]{0,200}(?:<\|constrain\|?>[^<\n]{0,100})?<\|message\|?>)?"
    r"|(?P<closed><channel\|>)|(?P<outside><\|(?:end|return|call|start)\|>)"
)
# Harmony with its special tokens removed: "analysisThe user wants …assistantfinalA round digit."
BARE_FINAL = "assistantfinal"
BARE_ANALYSIS = re.compile(r"\A\s*(?:assistant)?(?:analysis|commentary)(?=[A-Z])")

# Labels that announce the reasoning in words, and labels that announce the answer after it.
THOUGHTS_LABEL = re.compile(
    r"\A[*_#>\s]{0,9}(?:here(?:'s| is) my (?:thought|thinking|reasoning)(?: process)?|"
    r"(?:my |internal |step[- ]by[- ]step )?(?:thoughts?|thought process|thinking|thinking process|reasoning|"
    r"chain of thought|analysis|rationale|scratchpad|monologue))\W{0,3}:",
    re.IGNORECASE,
)
ANSWER_LABEL = re.compile(
    r"(?:^|\n|[.!?]\s)[*_#>\s]{0,9}(?:here(?:'s| is) my (?:response|answer)|"
    r"(?:(?:the |my )?final |the |my )?(?:answer|response|output|reply|description|sentence|conclusion))"
    r"\W{0,3}:[*_\s]{0,9}",
    re.IGNORECASE,
)
FINAL_LABEL = re.compile(
    r"(?:^|\n|[.!?]\s)[*_#>\s]{0,9}(?:the |my )?final (?:answer|response|output|description|sentence)"
    r"\W{0,3}:[*_\s]{0,9}|\[BEGIN FINAL RESPONSE\]\s{0,9}",  # the last is Apriel's mark
    re.IGNORECASE,
)
# Reasoning without tags. No description mentions a user, or what "I" need to write.
ALOUD = re.compile(
    r"\A(?:(?:okay|ok|alright|all right|hmm?m?|so|well|right|first|now|wait)\b[,.!…\s]{1,5}){0,4}"
    r"(?:the user(?:'s)? (?:\w+ ){0,2}?(?:want|ask|request|need|say|question|prompt|query|provid|instruct|message)|"
    r"(?:the|this) (?:question|prompt|task|instruction)s? (?:is (?:to|asking|about)|asks|says|wants|requires)|"
    r"we(?:'re| are) (?:asked|told|supposed) to|"
    r"(?:we|i) (?:need|have|should|must|want|just need|will need)(?: to)? "
    r"(?:answer|describe|output|produce|respond|write|provide|give|make|come up|craft|think|create|figure|consider)|"
    r"i(?:'m| am) (?:asked|supposed|being asked|trying|going) to|i was asked to|"
    r"let(?:'s| me| us) (?:think|see|start|break|try|consider|figure|recall|analy[sz]e|draft|craft|write|produce)\b)"
    r"|\Ahmm?m?[,.…]",
    re.IGNORECASE,
)


def without_thoughts(text: str) -> tuple[str, bool]:
    """Return the answer in `text`, and whether there was reasoning beside it; "" if there is only reasoning."""
    answer = _final_channel(text)
    answer = _outside_marks(answer)
    answer = _after_labels(answer)
    if ALOUD.match(answer.strip().replace("’", "'")):
        answer = ""
    return answer, len(answer) < len(text)


def _final_channel(text: str) -> str:
    """Return the content of the last "final" channel; the text itself if there are no channels."""
    if BARE_FINAL in text:
        return text.rpartition(BARE_FINAL)[2]
    if BARE_ANALYSIS.match(text):
        return ""
    if "<|channel" not in text and "<channel|>" not in text:
        return text
    answer, within, start = "", False, 0
    for found in CHANNEL.finditer(text):
        if within and text[start : found.start()].strip():
            answer = text[start : found.start()]
        within = bool(found["closed"]) or (found["name"] or "").lower() == "final"
        start = found.end()
    return text[start:] if within and text[start:].strip() else answer


def _outside_marks(text: str) -> str:
    """Return `text` without the reasoning inside tags.

    Everything before a closing tag is reasoning, opened or not; so is everything after an unclosed opening tag at the
    start of a line. An unclosed opening tag within a line is ordinary text.
    """
    marks = [found for found in MARK.finditer(text) if _is_thought(found)]
    last_end = max((found.start() for found in marks if _closes(found)), default=-1)
    kept: list[str] = []
    start, within = 0, ""
    for found in marks:
        if within or not _closes(found):
            if not within and (found.start() < last_end or _starts_line(text, found.start())):
                kept.append(text[start : found.start()])
                within = found["name"].lower()
            elif within and _closes(found):
                start, within = found.end(), ""
        else:
            kept, start = [], found.end()
    return "".join(kept) + ("" if within else text[start:])


def _starts_line(text: str, place: int) -> bool:
    return not text[max(0, place - LINE_SEEN) : place].rpartition("\n")[2].strip()


def _is_thought(mark: re.Match[str]) -> bool:
    name = mark["name"].lower()
    if mark[0].startswith("["):
        return bool(BARE_THOUGHT.fullmatch(name)) and not mark["more"]
    if name == "details":  # HTML's collapsible block, used by chat pages for reasoning
        return _closes(mark) or "reason" in (mark["more"] or "").lower()
    return bool(THOUGHT.search(name))


def _closes(mark: re.Match[str]) -> bool:
    return bool(mark["slash"]) or bool(ENDING.search(mark["name"]))


def _after_labels(text: str) -> str:
    """Return what follows the label of the answer, "" if only reasoning is announced."""
    thinking = THOUGHTS_LABEL.match(text.replace("’", "'"))
    label = ANSWER_LABEL if thinking else FINAL_LABEL
    labels = list(label.finditer(text.replace("’", "'")))
    if labels and text[labels[-1].end() :].strip():
        return text[labels[-1].end() :]
    return "" if thinking else text
