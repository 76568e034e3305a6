"""Removing chat phrases around a sentence: prefaces, labels, closing remarks, quotation marks.

All patterns are anchored at the start or end: within a description the same words may be part of it.
"""

import re

PREFACES = (
    r"sure(?: thing)?|certainly|of course|absolutely|definitely|okay|ok|alright|all right|great(?: question)?|yes",
    r"no problem|got it|understood|gladly|good question|happy to help|my pleasure|thank you|thanks|hello|hi(?: there)?",
    r"(?:i'd|i would|i'll|i will|i am|i'm) (?:be )?(?:happy|glad|pleased|love|delighted)[^.!?:\n]{0,60}",
)
ANSWERS = r"(?:description|sentence|answer|response|caption|summary|output|result|reply|version|json|text|list)s?"
# The subset that cannot start a description ("The text on the board: …" can).
SENTENCES = r"(?:description|sentence|answer|response|summary|reply)s?"
LEAD = r"\A[*_#>\s]{0,6}"
PREFACE = re.compile(rf"{LEAD}(?:{'|'.join(PREFACES)})\b(?:\s?[!.,:;—–]+\s*|\s-+\s+|\s*\n\s*)", re.IGNORECASE)
HERE_IS = re.compile(
    rf"{LEAD}(?:here(?:'s| is| are)|below (?:is|are)|the following|this is|that's|let me)"
    rf"[^.!?:\n]{{0,80}}?\b(?:{ANSWERS}|describe|how)\b[^.!?:\n]{{0,100}}:\s*"
    rf"|{LEAD}(?:an?|one|the|my) (?:[\w-]+ ){{0,3}}?(?:{SENTENCES})\b[^.!?:\n]{{0,100}}:\s*"
    rf"|{LEAD}here (?:you go|it is)\s?[:!.]\s*",
    re.IGNORECASE,
)
KINDS = (
    r"one[- ]sentence|plain|short|brief|concise|simple|visual|image|photo|physical|text|english|final|possible|sample"
)
LABEL = re.compile(
    rf"{LEAD}(?:(?:{KINDS}|example|sample|my|the|your)\s+){{0,3}}"
    r"(?:description|answer|response|sentence|caption|output|result|summary|reply|assistant|model|bot|ai|chatbot)"
    r"(?:\s+(?:of|for)\s+[^:.!?\n]{1,60})?(?:\s?#?\d{1,2})?[*_]{0,3}\s?:[*_\s]{0,6}",
    re.IGNORECASE,
)
BOLD_LABEL = re.compile(
    r"\A\s*(?P<mark>\*\*|__)[^*_\n]{1,80}(?::(?P=mark)|(?P=mark)\s?(?::|\s[–—-]\s))\s*(?=\S)"  # **Zero:** or **Zero** –
)
REMARKS = (
    r"i hope (?:this|that|it)|hope (?:this|that)|(?:please |just )?(?:let me know|feel free)|would you like",
    r"do you want|is there anything",
    r"if you(?:'d| would)? (?:need|want|have|like)[^.!?\n]{0,80}(?:let me know|feel free|ask|just say)",
)
# After the description, on their own line.
NOTE = r"[(\[*_#\s]{0,6}(?:note|explanation|rationale|reasoning|disclaimer|p\.s\.)[*_]{0,3}\s?:[^\n]{1,600}"
LENGTH = r"[(\[*]{0,3}(?:word count:? ?\d+(?: words)?|(?:exactly |approximately |about )?\d+ words)[)\]*]{0,3}\.?"
CLOSING = re.compile(
    rf"(?:(?:(?<=[.!?\"'”’)*])|\n)\s*(?:{LENGTH}|(?:{'|'.join(REMARKS)})[^\n]{{0,300}})|\n{NOTE})\s*\Z", re.IGNORECASE
)
QUOTES = {'"': '"', "“": "”", "„": "“", "«": "»", "'": "'", "‘": "’", "「": "」", "`": "`"}


def without_phrases(text: str) -> str:
    """Return `text` without prefaces ("Sure! Here is a description:"), labels, closing remarks and quotes around it."""
    text = text.strip()
    for pattern in (PREFACE, HERE_IS, BOLD_LABEL, LABEL):
        found = pattern.match(straight(text))
        text = text[found.end() :].strip() if found else text
    closing = CLOSING.search(straight(text))
    if closing and text[: closing.start()].strip():
        text = text[: closing.start()].strip()
    return _unquoted(text)


def straight(text: str) -> str:
    """Return `text` with straight apostrophes, which the patterns expect; the length is unchanged."""
    return text.replace("’", "'")


def _unquoted(text: str) -> str:
    """Return `text` without quotation marks around the whole of it."""
    last = QUOTES.get(text[:1])
    if last is None or len(text) < 3 or not text.endswith(last):
        return text
    inside = text[1:-1]
    within_words = re.sub(r"(?<=\w)['’](?=\w)", "", inside)  # apostrophes are no quotation marks
    return text if {text[0], last} & set(within_words) else inside
