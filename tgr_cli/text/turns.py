"""Removing special tokens of chat templates that a server left in: they end an answer, or mark whose turn it is."""

import re

# <|im_start|>assistant, <|start_header_id|>assistant<|end_header_id|>, <|start_of_role|>assistant<|end_of_role|>, …
TURN = re.compile(
    r"(?:<\|(?:im_start|start_header_id|header_start|start|begin|role_start|start_of_role|im_user|im_assistant|im_system)\|>|"
    r"<start_of_turn>|<\|turn>)\s{0,9}(?P<role>[A-Za-z]{0,20})\s{0,9}"
    r"(?:<\|(?:end_header_id|header_end|role_end|end_of_role|message|im_sep|im_middle|content)\|>)?"
    # <|assistant|>, <|user|>, <｜User｜>, [INST] … [/INST]
    r"|<[|｜](?P<named>user|assistant|system|human|observation|tool|model|bot|chatbot)[|｜]>"
    r"|<\|(?P<upper>USER|CHATBOT|SYSTEM)_TOKEN\|>"
    r"|(?P<inst>\[INST\])|\[/INST\]"
    # The same if the server removed the special tokens: the role remains on a line of its own.
    r"|\A\s{0,9}(?P<bare>assistant)\s{0,9}\n",
    re.IGNORECASE,
)
# <|im_end|>, <|eot_id|>, <|endoftext|>, <｜end▁of▁sentence｜>, <|END_OF_TURN_TOKEN|>, </s>, <end_of_turn>, <turn|> …
END = re.compile(
    r"<[|｜](?:im_end|eot_id|eom_id|eot|eom|eos|end|return|call|end[_▁]?of[_▁]?\w{1,20}|endoftext|role_end|sep|"
    r"end_header_id)[|｜]>|</s>|<(?:eos|end_of_turn|end_of_text|end_of_utterance|eot|eod)>|<turn\|>|"
    r"\[(?:EOS|SEP|END FINAL RESPONSE)\]",
    re.IGNORECASE,
)
# Other special tokens, within or before an answer: <s>, <bos>, <|begin_of_text|>, <pad>.
OTHER = re.compile(r"<[|｜][^<>|｜\n]{1,60}[|｜]>|<s>|<(?:bos|pad|unk|mask|cls|unused\d{1,3})>|\[(?:BOS|PAD|CLS|UNK)\]")
# A model without a chat template continues with the next turn itself.
NEXT_TURN = re.compile(r"\n\s{0,9}(?:#{1,4} ?)?(?:\*\*)?(?:user|human|instruction|question|input)(?:\*\*)?\s?:", re.I)
OURS = ("", "assistant", "model", "bot", "chatbot")


def one_turn(text: str) -> str:
    """Return the model's first turn in `text`, without special tokens."""
    marks = sorted([*TURN.finditer(text), *END.finditer(text)], key=lambda found: found.start())
    ours, start, said = True, 0, ""
    for found in marks:
        if ours and text[start : found.start()].strip():
            said = text[start : found.start()]
            break
        start = max(start, found.end())
        if found.re is TURN:
            ours = not found["inst"] and _role(found) in OURS
    else:
        said = text[start:] if ours else ""
    said = OTHER.sub("", said)
    following = NEXT_TURN.search(said)
    return said[: following.start()] if following and said[: following.start()].strip() else said


def _role(turn: re.Match[str]) -> str:
    return (turn["role"] or turn["named"] or turn["upper"] or "").lower()
