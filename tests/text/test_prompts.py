"""The prompt files in the package, and the validation of a user's own."""

import hashlib
import re
import string
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tgr_cli.data.datasets import NAMED, DataSource, class_names
from tgr_cli.errors import TgrError
from tgr_cli.reporting import Reporter
from tgr_cli.text import prompts
from tgr_cli.text.encoders import Tfidf
from tgr_cli.text.generators import Stored, Template
from tgr_cli.text.initialise import class_embeddings, closest

DESCRIBED = ("cifar10", "digits", "fashion_mnist", "stl10")
# Exceptions, which need a phrase: "a" before a vowel letter, "an" before a consonant.
WRONG_ARTICLE = re.compile(r"\b(?:a(?= [aeio])(?! (?:one|Eu|eu))|an(?= [^aeiou8h]))\b", re.IGNORECASE)
SOUNDS = ("a unicycle", "a one", "a European", "an hour", "an 80", "an iPod")


def test_every_named_data_set_has_prompts() -> None:
    assert set(prompts.shipped()) == set(NAMED)
    assert prompts.with_descriptions() == DESCRIBED


@pytest.mark.parametrize("dataset", NAMED)
def test_every_question_and_template_renders_for_every_class(dataset: str) -> None:
    found = prompts.load(dataset)
    classes = class_names(DataSource(dataset=dataset))
    assert 4 <= len(found.questions) <= 6
    assert len(found.templates) >= 1
    rendered = {
        text: [found.render(text, n, name) for n, name in enumerate(classes)]
        for text in found.templates + found.questions
    }
    for text, lines in rendered.items():
        assert len(set(lines)) == len(classes), f'"{text}" does not tell all classes apart'
        for line in lines:
            assert "{" not in line
            assert "  " not in line
            assert "_" not in line
            wrong = WRONG_ARTICLE.search(line)
            assert not wrong or any(sound in line for sound in SOUNDS), line
    assert (
        not set(found.phrases)
        - set(classes)
        - {f"{n}:{name}" for n, name in enumerate(classes)}
        - {
            "Trouser",  # torchvision's spelling of two Fashion-MNIST classes, used in data sets of users
            "T-shirt/top",
        }
    )


def test_articles_in_rendered_prompts() -> None:
    classes = class_names(DataSource(dataset="imagenet"))
    found = prompts.load("imagenet")
    said = {name: found.phrase(n, name) for n, name in enumerate(classes)}
    assert said["hourglass"] == "an hourglass"
    assert said["unicycle"] == "a unicycle"
    assert said["jeans"] == "jeans"
    assert said["broccoli"] == "broccoli"
    assert said["iPod"] == "an iPod"
    assert len({found.phrase(n, name) for n, name in enumerate(classes)}) == 1000
    # Ambiguous names are distinguished, and no name contains text that does not belong into a sentence.
    assert (said["crane bird"], said["construction crane"]) == (
        "a crane, the tall bird",
        "a construction crane, the lifting machine",
    )
    assert not [phrase for phrase in said.values() if set(phrase) & set("()/_")]
    fashion = prompts.load("fashion_mnist")
    assert fashion.render("{a_class}; {class}", 1, "trouser") == "a pair of trousers; pair of trousers"
    assert fashion.render("{class}", 3, "lawn_mower {x}") == "lawn mower {x}"


@pytest.mark.parametrize("dataset", DESCRIBED)
def test_stored_descriptions_are_complete_and_tell_classes_apart(dataset: str) -> None:
    found = prompts.load(dataset)
    classes = class_names(DataSource(dataset=dataset))
    assert list(found.descriptions) == list(classes)
    texts = [text for name in classes for text in found.descriptions[name]]
    assert len(texts) == len(set(texts)) == len(classes) * len(found.questions)
    for name in classes:
        for text in found.descriptions[name]:
            # CLIP reads 77 tokens; 45 words stay below that.
            assert 8 <= len(text.split()) <= 45, text
            assert text[0].isupper()
            assert text.endswith(".")
            assert text.isascii()
        assert sum(name in text.lower() for text in found.descriptions[name]) >= 4, name
    rows_CE = class_embeddings(np.split(Tfidf().encode(texts), len(classes)))
    ((first, second, cosine),) = closest(rows_CE, 1)
    assert cosine < 0.5, f"{classes[first]} and {classes[second]} are described in much the same words"


def test_stored_descriptions_are_no_copies_between_data_sets() -> None:
    texts = [text for d in DESCRIBED for texts in prompts.load(d).descriptions.values() for text in texts]
    assert len(texts) == len(set(texts)) == 200


def test_stored_and_template_generators_answer_in_order() -> None:
    found = prompts.load("digits")
    stored = list(Stored(found).describe(["zero", "one"]))
    assert [(d.class_index, d.number) for d in stored] == [(c, n) for c in (0, 1) for n in range(5)]
    assert stored[5].question == "Which strokes make up the digit one when it is written by hand?"
    assert stored[5].text == found.descriptions["one"][0]
    (template,) = Template(found).describe(["eight"])
    assert (template.text, template.source) == ("a scan of the handwritten digit eight", "template")


GOOD = 'templates = ["a photo of {a_class}"]\n'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("templates = [", "not valid TOML"),
        ("", "templates is missing, empty"),
        ("templates = []", "templates is missing, empty"),
        ("templates = [3]", "something else than texts"),
        ('templates = ["a photo"]', '"a photo" needs {class} or {a_class}'),
        ('templates = ["a {klass}"]', "has no other placeholder"),
        ('templates = ["a {class:>9}"]', "has no other placeholder"),
        ('templates = ["a {class!x}"]', "has no other placeholder"),
        ('templates = ["a {class"]', "lone brace"),
        (GOOD + 'question = ["What is {a_class}?"]', 'Did you mean "questions"?'),
        (GOOD + 'phrases = ["a dog"]', "phrases is not a table"),
        (GOOD + "[phrases]\ndog = 3", 'phrases."dog" is not a text'),
        (
            GOOD + '[aliases]\npup = "dog"\n[descriptions]\ncat = ["furry"]',
            'aliases."pup" is no class that is described',
        ),
        (GOOD + '[descriptions]\ndog = "furry"', 'descriptions."dog" is missing, empty'),
        (GOOD + 'questions = ["{class}?", "{a_class}?"]\n[descriptions]\ndog = ["x"]', "1 texts for 2 questions"),
    ],
)
def test_bad_prompt_files_are_refused_in_a_sentence(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(TgrError, match=re.escape(words)) as caught:
        prompts.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_prompt_file_and_content_hash(tmp_path: Path) -> None:
    with pytest.raises(TgrError, match=r"none\.toml does not exist; mend it, or name a TOML file of prompts"):
        prompts.read(tmp_path / "none.toml")
    path = tmp_path / "mine.toml"
    path.write_text(GOOD, encoding="utf-8")
    assert prompts.read(path).sha256 == hashlib.sha256(GOOD.encode()).hexdigest()


def test_choice_of_prompts() -> None:
    class Heard(Reporter):
        notes: tuple[str, ...] = ()

        def note(self, text: str) -> None:
            self.notes += (text,)

    heard = Heard()
    assert prompts.for_dataset("cifar10", "my-cifar", None, heard).name == "cifar10"
    assert prompts.for_dataset("parquet:/x/stl10", "stl10", None, heard).name == "stl10"
    assert heard.notes == ()
    assert prompts.for_dataset("parquet:/x/toys", "toys", None, heard).name == "general"
    assert 'no prompts come with "toys"' in heard.notes[0]


def test_placeholders_are_the_documented_ones() -> None:
    used = {
        name
        for path in prompts.folder().glob("*.toml")
        for text in prompts.read(path).templates + prompts.read(path).questions
        for _, name, _, _ in string.Formatter().parse(text)
        if name is not None
    }
    assert used == set(prompts.PLACEHOLDERS)


def test_installed_package_brings_its_prompts(tmp_path: Path) -> None:
    """A folder with the layout of the wheel: tgr_cli/ with prompts/ inside, without a checkout around it."""
    installed = tmp_path / "site" / "tgr_cli"
    package = Path(prompts.__file__).parents[1]
    with zipfile.ZipFile(tmp_path / "wheel.zip", "w") as wheel:
        for path in package.rglob("*.py"):
            wheel.write(path, path.relative_to(package.parent))
        for path in prompts.folder().glob("*.toml"):
            wheel.write(path, Path("tgr_cli/prompts") / path.name)
    with zipfile.ZipFile(tmp_path / "wheel.zip") as wheel:
        wheel.extractall(installed.parent)
    code = "from tgr_cli.text import prompts; print(prompts.folder()); print(len(prompts.load('digits').descriptions))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=installed.parent, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == [str(installed / "prompts"), "10"], done.stderr


OFFICIAL = {
    "fashion_mnist": [
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle_boot"),
    ],
    "cifar10": ["plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
    "stl10": ["Airplane", "bird", "automobile", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"],
    "digits": [f"{number:02}" for number in range(10)],
}


@pytest.mark.parametrize("dataset", OFFICIAL)
def test_official_names_fit_the_stored_descriptions(dataset: str) -> None:
    found = prompts.load(dataset)
    assert found.described(OFFICIAL[dataset]) == list(found.descriptions)
    assert found.missing(OFFICIAL[dataset]) == ()
    described = list(Stored(found).describe(OFFICIAL[dataset]))
    assert [d.class_name for d in described[::5]] == OFFICIAL[dataset]
    assert described[4].text == next(iter(found.descriptions.values()))[4]


def test_names_that_miss_are_named() -> None:
    found = prompts.load("cifar10")
    assert found.missing(["Airplane", "elk", "1", "train_car"]) == ("elk", "1", "train_car")
    assert found.missing([str(number) for number in range(1, 11)]) != ()  # numbers from 1 are no labels
    assert prompts.load("gtsrb").phrase(0, "00014") == "a stop sign"
    assert prompts.load("cifar100").phrase(1, "Maple_tree") == "a Maple tree"
    assert prompts.load("mnist").phrase(3, "3") == "a 3"


def test_prompts_are_found_by_other_spellings_of_a_data_set() -> None:
    heard: list[str] = []

    class Heard(Reporter):
        def note(self, text: str) -> None:
            heard.append(text)

    assert prompts.for_dataset("imagefolder:x", "Fashion-MNIST", reporter=Heard()).name == "fashion_mnist"
    assert heard == ['the prompts of fashion_mnist are used for "Fashion-MNIST"; --prompts FILE takes your own']


def test_templates_of_codes_are_told() -> None:
    heard: list[str] = []

    class Heard(Reporter):
        def note(self, text: str) -> None:
            heard.append(text)

    for names in (["n01440764", "n01443537"], ["0", "17"], ["tench", "n01443537"]):
        list(Template(prompts.load("imagenet")).describe(names, Heard()))
    list(Template(prompts.load("mnist")).describe(["0", "1"], Heard()))
    assert [text.split(",")[0] for text in heard] == [
        'the classes are called by codes ("n01440764"',
        'the classes are called by codes ("0"',
    ]
