"""Detecting answers in which a model refuses to describe, or asks back, in plain words.

Only the start of an answer counts, and only phrases with "I" or "you": a valid description may say that something
"can't be folded", or that a sign reads "I'm sorry".
"""

import re
import unicodedata

from tgr_cli.text.declining_languages import PHRASES
from tgr_cli.text.phrases import straight

ADVERBS = (
    r"(?:currently|really|actually|simply|directly|just|also|physically|safely|ethically|legally|still|not|personally|"
    r"possibly|in good conscience|be able to|able to)"
)
VERBS = (
    r"(?:help|assist|provide|describe|do (?:that|this|so|it)|answer|comply|fulfil|generate|create|see|view|access|"
    r"discuss|talk|share|give|offer|engage|continue|respond|process|support|identify|recogni[sz]e|determine|browse|tell|"
    r"write|produce|complete|think|feel|have|know|understand|find|participate|speak|say|satisfy|perform|open|display|"
    r"show|analy[sz]e|verify|look|perceive|accept|agree|reply|accommodate|facilitate|confirm|promote|depict|be of)"
)
CANNOT = r"(?:can't|cannot|can not|couldn't|could not|won't|will not|wouldn't|don't|do not|didn't|did not)"
OPENING = r"\A\W{0,3}(?:(?:oh|hmm|well|no|unfortunately|regrettably|sadly|however|hi|hello)\b[,.!]?\s+){0,2}"
# One kind of refusal per line; `I` below stands for "I" and "we".
WAYS = (
    r"(?:I(?:'m| am|'re| are) (?:\w+ )?)?sorry(?:[,.!;:—]|\s[–—-]|\s(?:but|i|we|that|for|about|to)\b|\s*\Z)",
    r"(?:I |my |our )?(?:\w+ )?apolog(?:y|ies|i[sz]e)\b",
    r"I(?:'m| am|'re| are) (?:\w+ )?(?:afraid|unable|not able|here to (?:help|provide|assist))",
    r"I(?:'m| am|'re| are) (?:\w+ )?not (?:sure|certain|familiar|aware|allowed|permitted|comfortable|capable|designed)",
    r"I(?:'m| am|'re| are) (?:\w+ )?not (?:programmed|trained|in a position|equipped)",
    r"I(?:'m| am|'re| are) (?:\w+ )?an? (?:ai|artificial|language|large language|text|chat|virtual|machine|computer)",
    rf"I(?:'m| am)? ?{CANNOT}(?: {ADVERBS}){{0,2}} {VERBS}\b",
    r"I(?:'d| would)? (?:rather|prefer) not\b",
    r"I (?:can't|cannot)\W*\Z",
    r"I (?:can only|(?:must )?(?:\w+ )?(?:decline|refuse)|lack|have no)\b",
    r"I (?:haven't|have not|regret|(?:would )?need (?:more|additional|further|some|the)|require (?:more|additional))\b",
    r"(?:could|can|would) you (?:please |kindly )?(?:provide|clarify|share|specify|upload|describe|tell|give|be more)",
    r"(?:could|can|would) you (?:please |kindly )?(?:elaborate|let me|rephrase)",
    r"(?:please|kindly) (?:provide|clarify|specify|share|upload|give|let me know|rephrase|note that (?:i|as an))",
    r"(?:it (?:seems|looks|appears)(?: like| that| as if)?|there (?:seems|appears) to be) (?:you\b|you'\w+)",
    r"(?:it (?:seems|looks|appears)(?: like| that| as if)?|there (?:seems|appears) to be) (?:there(?:'s| is| was)? )?"
    r"(?:no (?:image|photo|context|question)|an? (?:typo|mistake|misunderstanding|error)|"
    r"your (?:image|photo|question|message|prompt|request)|"
    r"the (?:image|photo|question|message|prompt|request)\b[^.\n]{0,40}(?:n't|\bnot|\bno|\bmissing|\bempty|\bcut)\b)",
    r"(?:there(?:'s| is| was) )?no (?:image|photo|picture|text|context|input)s?\b[^.\n]{0,40}"
    r"(?:provided|attached|included|uploaded|given|available|was|were|to describe)",
    r"(?:this|that|your|the) (?:request|question|query|prompt|content|response)\b[^.\n]{0,30}"
    r"(?:violat|can't be|cannot be|blocked|not (?:allowed|appropriate|permitted|available)|against|unclear|filtered)",
    rf"(?:cannot|can't|can not|won't|will not|(?:i was )?(?:unable|not able|impossible) to) {VERBS}\b",
    r"(?:that's|that is|it's|it is|this is)? ?not something I can\b",
    r"I (?:can|would be happy to|'d be happy to) (?:help|assist)\b",
    r"(?:it|this|that|describing \w+) (?:is|goes|would be) against (?:my|our|the)\b",
    r"(?:this|that|it) (?:would )?violates? (?:my|our|the|openai)\b",
    r"(?:there(?:'s| is| are) )?(?:no|not enough|insufficient) (?:further |more )?"
    r"(?:descriptions?|information|data|details)(?: (?:is|are|was|were|to describe|about|for|on)\b[^.\n]{0,60})?"
    r"(?: (?:available|found|provided|given))?\W*\Z",
    r"(?:description|content|data|response|answer) (?:is )?(?:unavailable|not (?:available|found))\W*\Z",
    # A question back is not a description.
    r"(?:what|which|who|where|how|do|does|did|could|can|would|should|shall|are|is|may)\b[^.!?\n]*\?\W*\Z",
    r"please (?:tell|send|describe|attach|ask)\b",
    # A gateway's replacement for an answer.
    r"error\s?(?::|\d|\Z)",
    r"(?:\d{3} )?(?:internal server error|bad gateway|service unavailable|gateway time-?out|too many requests)\W*\Z",
    r"(?:request|content|response|access|message) (?:was |is |has been )?(?:denied|blocked|refused|filtered|removed)",
    r"(?:n/?a|nan|none|null|unknown|undefined|refused|todo|ok|okay|done|yes|no answer|not applicable)\W*\Z",
    r"(?:(?:insert|your|the|a) )*(?:description|sentence|answer|text)(?: (?:of \w+|here))?\W*\Z",  # "[description]"
)
DECLINES = re.compile(OPENING + "(?:" + "|".join(way.replace("I", r"(?:i|we)") for way in WAYS) + ")", re.IGNORECASE)
IN_OTHER_LANGUAGES = re.compile(
    r"\A\W{0,3}(?:" + "|".join(phrase for phrases in PHRASES.values() for phrase in phrases) + ")", re.IGNORECASE
)
AS_AN_AI = re.compile(
    r"(?:\A|[.!?]\s+|\n)\W{0,3}(?:unfortunately,? |(?:please )?note that |but )?as an? "
    r"(?:ai\b|a\.i\.|artificial (?:general )?intelligence|(?:large )?language model|llm\b|text-based|"
    r"virtual assistant|machine learning (?:model|system))",
    re.IGNORECASE,
)


def declines(text: str) -> bool:
    """Return whether `text` refuses to describe or asks back."""
    plain = straight(unicodedata.normalize("NFC", text.strip()))
    return bool(DECLINES.match(plain) or IN_OTHER_LANGUAGES.match(plain) or AS_AN_AI.search(plain))
