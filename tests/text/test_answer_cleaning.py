"""Extracting descriptions from answers: reasoning, special tokens, markup, phrases, refusals in words."""

import time

import pytest
from any_characters import CHARACTERS
from hypothesis import given, settings
from hypothesis import strategies as st

from tgr_cli.text.answer_cleaning import Sentence, sentence

GOOD = "A small object with clear edges and a plain colour."

# Reasoning tags of chat templates and servers, with the models that use them.
THOUGHTS = [
    f"Okay, the user wants a sentence.\n</think>\n\n{GOOD}",  # the template itself emits <think>: DeepSeek-R1, QwQ
    f"<think>\n\n</think>\n\n{GOOD}",  # Qwen3 with reasoning off
    f"<think>I may use <think> tags.</think> No.</think>{GOOD}",
    f"[THINK]Hm.[/THINK]{GOOD}",  # Magistral
    f"Hm.[/THINK]{GOOD}",
    f"◁think▷Hm.◁/think▷{GOOD}",  # Kimi-VL
    f"<seed:think>Hm.</seed:think>{GOOD}",  # Seed-OSS
    f"<|begin_of_thought|>Hm.<|end_of_thought|>\n<|begin_of_solution|>{GOOD}<|end_of_solution|>",  # OpenThinker
    f"<|START_THINKING|>Hm.<|END_THINKING|><|START_RESPONSE|>{GOOD}<|END_RESPONSE|>",  # Command A
    f"<longcat_think>Hm.</longcat_think>{GOOD}",
    f"<thinking>Hm.<reflection>No.</reflection>Yes.</thinking><output>{GOOD}</output>",
    f"<Thought>Hm.</Thought>\n<Output>{GOOD}</Output>",
    f'<details type="reasoning" done="true"><summary>Thought for 3 s</summary>Hm.</details>\n{GOOD}',
    f"<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>{GOOD}<|return|>",  # gpt-oss
    f"Hm.<|end|><|start|>assistant<|channel|>final<|message|>{GOOD}",
    f'<|channel|>final <|constrain|>json<|message|>{{"description": "{GOOD}"}}',
    f"analysisWe need a sentence.assistantfinal{GOOD}",  # gpt-oss without its special tokens
    f"<|channel>thought\nHm.<channel|>{GOOD}<turn|>",  # Gemma 4
    f"Here is my thought process: hm.\n\nHere is my response:\n{GOOD}",  # Granite 3
    f"**Thought:** Hm.\n**Answer:** {GOOD}",
    f"It is round. Final answer: {GOOD}",
    f"<think>Hm.</think><answer>{GOOD}</answer>",
    f"<unused94>thought\nHm.<unused95>{GOOD}",  # MedGemma
    f"Here are my reasoning steps:\nHm.\n[BEGIN FINAL RESPONSE]\n{GOOD}\n[END FINAL RESPONSE]\n<|end|>",  # Apriel
    rf"So it is $\boxed{{\text{{{GOOD}}}}}$",
]
TOKENS = [
    f"{GOOD}<|im_end|>",
    f"{GOOD}</s>",
    f"{GOOD}<|eot_id|>",
    f"{GOOD}<｜end▁of▁sentence｜>",
    f"<|im_start|>assistant\n{GOOD}<|im_end|>\n<|im_start|>user\nAnd a dog?",
    f"<|start_header_id|>assistant<|end_header_id|>\n\n{GOOD}<|eot_id|>",
    f"<|start_of_role|>assistant<|end_of_role|>{GOOD}<|end_of_text|>",  # Granite
    f"assistant\n\n{GOOD}",  # Llama 3 without its special tokens
    f"<start_of_turn>model\n{GOOD}<end_of_turn>",
    f"[INST] What is it? [/INST] {GOOD}</s>",
    f"{GOOD}\nUser: And a dog?",
]
MARKUP = [
    f'```json\n{{"description": "{GOOD}"}}\n```',
    f"```\n{GOOD}\n```",
    f'Here is the JSON:\n```json\n{{"description": "{GOOD}"}}\n```\nLet me know if you need more!',
    f'```json {{"description": "{GOOD}"}} ```',  # on one line, as stored by earlier versions
    f'{{"zero": {{"description": "{GOOD}"}}}}',
    f"{{'text': \"{GOOD}\"}}",
    f'{{"thought": "It is round and so on.", "answer": "{GOOD}"}}',
    f'["{GOOD}"]',
    f'{{"description": "{GOOD}",}}',
    f"# Zero\n\n{GOOD}",
    f"**Description:** {GOOD}",
    f"**Zero:** {GOOD}",
    f"**Zero**\n\n{GOOD}",
    f"- {GOOD}",
    f"1. {GOOD}",
    f"> **{GOOD}**",
    f"---\n{GOOD}\n---",
    f"<p>{GOOD.replace('clear', '<b>clear</b>')}</p>",
    f"`{GOOD}`",
]
PHRASES = [
    f"Sure! Here is a description:\n{GOOD}",
    f'Certainly, here’s a one-sentence description of a zero:\n\n"{GOOD}"',
    f"Of course! {GOOD}",
    f"Description: {GOOD}",
    f"A description of a zero: {GOOD}",
    f"“{GOOD}”",
    f"{GOOD} (9 words)",
    f"{GOOD}\n\nI hope this helps!",
    f"{GOOD}\n\n**Note:** I took zero for a digit.",
    f"Sure - {GOOD}",
    f"One possible sentence is: {GOOD}",
]


@pytest.mark.parametrize("answer", [*THOUGHTS, *TOKENS, *MARKUP, *PHRASES])
def test_what_surrounds_a_description_is_taken_off_and_counted(answer: str) -> None:
    found = sentence(answer)
    assert (found.status, found.text) == ("ok", GOOD)
    assert found.trimmed > 0
    assert sentence(found.text) == Sentence(status="ok", text=GOOD)


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        ("thoughts", "<think>Okay, the user wants"),
        ("thoughts", "It is round, so I would say that.</think>"),
        ("thoughts", "[THINK]Hm"),
        ("thoughts", "<|channel|>analysis<|message|>We need"),
        ("thoughts", "analysisWe need to write"),
        ("thoughts", "Okay, the user wants a sentence about this thing."),
        ("thoughts", "We need to answer in one sentence."),
        ("refused", "I'm sorry, but I can't help with that."),
        ("refused", "As an AI language model, I have no eyes."),
        ("refused", "I cannot provide a description of this."),
        ("refused", "Unfortunately, I’m unable to see the image."),
        ("refused", "Could you please clarify what you mean by zero?"),
        ("refused", "It seems you forgot to attach the image."),
        ("refused", "I don't have enough information."),
        ("refused", "N/A"),
        ("refused", "[Insert description here]"),
        ("refused", "There is no description available."),
        ("refused", "Impossible to describe without more context."),
        ("refused", "It looks like the image didn't load."),
        ("refused", "Do you mean the digit or the letter?"),
        ("refused", "Sure, I can help with that!"),
        ("refused", "This violates our content policy."),
        ("refused", "<html><body>502 Bad Gateway</body></html>"),
        ("refused", "Error: rate limit exceeded"),
        ("refused", "```\nI'm sorry, but I can't help with that.\n```"),
        ("refused", '{"description": "I cannot provide this."}'),
        ("refused", "<think>Unsafe?</think>Sorry, I can't."),
        ("unusable", "```python\nprint(0)\n```"),
        ("unusable", '{"label": 3, "class": "zero"}'),
        ("unusable", "| a | b |\n|---|---|\n| 1 | 2 |"),
        ("unusable", '{"error": "the model is overloaded right now"}'),
        ("unusable", "..."),
        ("empty", " \n"),
        ("empty", "Sure! Here is a description:"),
    ],
)
def test_what_holds_no_description_says_why(status: str, answer: str) -> None:
    found = sentence(answer)
    assert (found.status, found.text) == (status, "")


PLAIN = [
    GOOD,
    'A sign that reads "I can\'t stop" in red.',
    "A sign saying I'm sorry, in white on blue.",
    "A <think> tag on a screen.",
    "A shape where x < y and y > z.",
    "A traffic sign: a red border around white.",
    '"Zero" looks like the letter "O"',
    "I can't imagine a rounder digit than zero.",
    "A grid of 3*4*5 cells and a file_name_with underscores.",
    "AT&T's logo, R&D, {curly} and [square] brackets.",
    "A sure-footed goat; of course it climbs.",
    "Sorry-looking dog with wet fur.",
    "It looks like a round ring with no hole.",
    "Here is a dog with a red collar.",
    "An AI robot with silver arms, as an artificial hand.",
    "The analysis shows a thoughtful, reasoning face.",
    "Okay sign made by thumb and finger.",
    "Okay-looking trousers with two legs.",
    "Hi-vis vest in yellow with grey bands.",
    "Unable to fly, a penguin stands upright with a white belly.",
    "As an artificial flower, it has petals of red cloth.",
    "As a machine learning book, it shows a network on its cover.",
    "It looks like the image of a cat on a coin.",
    "A thermometer shows how warm it is: a glass tube with a red column.",
    "The text on a stop sign: STOP, in white on a red octagon.",
    "An error sign: a white cross on red.",
    "What a bird! Is it blue?",
    "naïve, 猫 and 🐶",
]


@pytest.mark.parametrize("text", PLAIN)
def test_a_description_stays_as_it_is(text: str) -> None:
    assert sentence(text) == Sentence(status="ok", text=text)


@settings(max_examples=50)
@given(st.lists(st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=9), min_size=3, max_size=20))
def test_plain_words_stay_as_they_are(words: list[str]) -> None:
    text = f"The {' '.join(words)}."
    assert sentence(text) == Sentence(status="ok", text=text)


PIECES = [
    *("<think>", "</think>", "```", "json", '{"description": "', '"}', "\n", "**", "*", "_", "`", '"', "'", "# ", "- "),
    *("1. ", "<|im_end|>", "<|channel|>final<|message|>", "assistantfinal", "Description: ", "Sure! ", ". ", "[", "]"),
    *("A round dog", "I can't help", "\\boxed{", "}", "&amp;", "&lt;", "<answer>", "</answer>", "| a |", "[INST]", "“"),
    *("Final answer: ", "Let me know", "(9 words)", "---", "> ", "\x1b[31m", "<p>", "”", "User: "),
]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text(CHARACTERS, max_size=80))
def test_reading_twice_is_reading_once(answer: str) -> None:
    found = sentence(answer)
    assert bool(found.text) == (found.status == "ok")
    if found.status == "ok":
        assert sentence(found.text) == Sentence(status="ok", text=found.text)


def test_items_of_a_list_are_told_apart() -> None:
    assert sentence("- round ring\n- dark oval\n").text == "round ring, dark oval"
    assert sentence('["A ring.", "dark oval", "thin line"]').text == "A ring. dark oval, thin line"


def test_a_secret_is_struck_out_wherever_it_hides() -> None:
    found = sentence('{"description": "it is sk\\u002d12345678 they say"}', "sk-12345678")
    assert (found.text, found.removed) == ("it is [key] they say", 1)


@pytest.mark.parametrize("piece", ["<think>", "\\boxed{", "- a\n", "<answer>", "**a", "&amp;amp;", '{"a":', "Sure! "])
def test_what_is_made_to_take_for_ever_does_not(piece: str) -> None:
    started = time.process_time()
    assert sentence(piece * (2**17 // len(piece))).status in ("ok", "unusable", "thoughts", "empty")
    assert time.process_time() - started < 5
