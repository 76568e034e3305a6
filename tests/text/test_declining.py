"""Refusals in languages other than English, and descriptions in these languages that are no refusals."""

import tomllib
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from tgr_cli.text.answer_cleaning import sentence
from tgr_cli.text.declining_languages import PHRASES

PROMPTS = sorted((Path(__file__).parents[2] / "prompts").glob("*.toml"))
DECLINED = {
    "German": (
        "Es tut mir leid, aber ich kann dieses Bild nicht beschreiben.",
        "Als KI-Sprachmodell habe ich keinen Zugriff auf Bilder.",
        "Leider kann ich Ihnen dabei nicht helfen.",
        "Ich kann dazu keine Angaben machen.",
    ),
    "French": (
        "Je suis désolé, mais je ne peux pas décrire cette image.",
        "Désolée, je n’ai pas accès aux images.",
        "En tant qu'intelligence artificielle, je ne vois rien.",
        "Malheureusement, je ne suis pas en mesure de répondre.",
    ),
    "Spanish": (
        "Lo siento, pero no puedo ayudar con eso.",
        "No puedo describir esa imagen.",
        "Como modelo de lenguaje, no tengo ojos.",
        "Lamentablemente, no puedo responder.",
    ),
    "Italian": ("Mi dispiace, ma non posso aiutarti.", "Non sono in grado di descriverlo."),
    "Portuguese": ("Desculpe, mas não posso ajudar com isso.", "Infelizmente não consigo ver imagens."),
    "Dutch": ("Het spijt me, maar dat kan ik niet beschrijven.", "Ik kan hier geen beschrijving van geven."),
    "Russian": ("Извините, но я не могу это описать.", "К сожалению, я не могу помочь."),
    "Chinese": (
        "很抱歉，我无法描述这张图片。",
        "对不起，我不能回答这个问题。",
        "作为一个AI语言模型，我没有视觉。",
        "抱歉，我無法提供協助。",
    ),
    "Japanese": (
        "申し訳ありませんが、その画像を説明することはできません。",
        "すみません、お答えできません。",
        "AIとして、画像を見ることはできません。",
        "残念ながら、お手伝いできません。",
    ),
    "Korean": ("죄송합니다. 그 이미지를 설명할 수 없습니다.", "저는 이미지를 볼 수 없습니다."),
}
DESCRIBES = (
    "Ein Hund ist ein Tier mit vier Beinen, das man nicht allein lassen kann.",
    "Als Haustier hält man die Katze, leider oft ohne Auslauf.",
    "Ich-Form und Anrede stehen auf dem Schild.",
    "Un chat est un petit animal que je ne décrirais pas comme grand.",
    "En tant qu'animal domestique, le chat a des moustaches.",
    "Como animal doméstico, el gato tiene bigotes y no puede volar.",
    "Como modelo de coche, es bajo y rojo.",
    "No tiene alas, sino cuatro patas.",
    "Come animale domestico, il gatto ha i baffi.",
    "Als huisdier heeft de kat geen vleugels.",
    "Как домашнее животное, кошка не летает.",
    "一只坐在草地上的猫，看起来很抱歉。",
    "作为宠物，猫有柔软的毛。",
    "猫は四本足の動物で、空を飛ぶことはできません。",
    "고양이는 네 발 달린 동물이며 날 수 없습니다.",
    "A leader of the pack, such as no puedo mountain's goat.",
    "Aisle signs read 'Lo siento' and 'Désolé'.",
    "Comb-like teeth, as an iaido sword has none.",
)


def strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings(each)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize(("language", "answer"), [(name, each) for name, said in DECLINED.items() for each in said])
def test_an_answer_that_declines_in_another_language_is_no_description(language: str, answer: str, form: str) -> None:
    assert language in PHRASES
    assert sentence(unicodedata.normalize(form, answer)).status == "refused"  # type: ignore[arg-type]


def test_every_language_is_tested() -> None:
    assert PHRASES.keys() == DECLINED.keys()


@pytest.mark.parametrize("answer", DESCRIBES)
def test_descriptions_in_these_languages_stay(answer: str) -> None:
    assert sentence(answer).status == "ok"


def test_every_stored_description_stays() -> None:
    stored = [text for path in PROMPTS for text in strings(tomllib.loads(path.read_text())) if text.endswith(".")]
    assert len(stored) > 150
    assert [text for text in stored if sentence(text).status != "ok"] == []
