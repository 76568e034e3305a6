"""How language models decline in languages other than English: the first words of such answers.

Each phrase apologises, or says in the first person that the writer cannot or is a program. Descriptions of a thing
begin with none of them; words that a description may begin with ("unfortunately", "please") need a first person after.
"""

PHRASES: dict[str, tuple[str, ...]] = {
    "German": (
        r"(?:es )?tut mir (?:sehr |wirklich )?leid\b",
        r"(?:entschuldigung|entschuldigen sie|entschuldige|verzeihung)\b[,.!:]",
        r"ich (?:kann|konnte|darf|möchte|werde|habe|verstehe|weiß|sehe)\b[^.!?\n]{0,80}\b(?:nicht|keine?[nmrs]?)\b",
        r"ich bin (?:leider )?(?:nicht (?:in der lage|befugt|sicher)|ein (?:ki|sprachmodell|computerprogramm))",
        r"leider (?:kann|konnte|darf|bin|habe|ist es|liegt)\b[^.!?\n]{0,80}\b(?:ich|mir|nicht|keine?)\b",
        r"als (?:ein |eine )?(?:reine[sr]? )?(?:ki\b|künstliche intelligenz|(?:großes )?sprachmodell|textbasiert)",
    ),
    "French": (
        r"(?:je suis |nous sommes )?(?:vraiment |sincèrement )?(?:désolée?s?|navrée?s?)\b",
        r"(?:excusez-moi|veuillez m'excuser|toutes mes excuses|je m'excuse|je vous prie de m'excuser)\b",
        r"(?:malheureusement,? )?je (?:regrette\b|n(?:e |')[^.!?\n]{0,30}\b(?:pas|aucune?)\b)",
        r"en tant (?:que|qu')\s?(?:une? )?(?:ia\b|intelligence artificielle|(?:grand )?modèle|assistant)",
    ),
    "Spanish": (
        r"(?:lo siento|lo lamento|disculp[ae]|perdón|mis disculpas|te pido disculpas|le pido disculpas)\b",
        r"(?:lamentablemente|desafortunadamente|desgraciadamente),? (?:yo )?no (?:puedo|tengo|soy|me es|es posible)\b",
        r"(?:yo )?no (?:puedo|podría|soy capaz|estoy en (?:condiciones|posición)|me es posible|tengo acceso)\b",
        r"como (?:una? )?(?:ia\b|inteligencia artificial|(?:gran )?modelo de (?:lenguaje|ia)|asistente)",
    ),
    "Italian": (
        r"(?:mi dispiace|mi spiace|mi scuso|chiedo scusa|le chiedo scusa)\b",
        r"(?:purtroppo,? )?(?:io )?non (?:posso|sono in grado|sono capace|riesco|mi è possibile|ho accesso)\b",
        r"(?:in quanto|come) (?:un'? ?|una )?(?:ia\b|intelligenza artificiale|modello (?:linguistico|di linguaggio))",
    ),
    "Portuguese": (
        r"(?:desculpe|desculpa|sinto muito|lamento|peço desculpas?|minhas desculpas)\b",
        r"(?:infelizmente,? )?(?:eu )?não (?:posso|consigo|sou capaz|estou apto|me é possível|tenho acesso)\b",
        r"como (?:uma? )?(?:ia\b|inteligência artificial|(?:grande )?modelo de linguagem|assistente)",
    ),
    "Dutch": (
        r"het spijt (?:me|mij)\b",
        r"(?:helaas )?(?:ik kan|kan ik)\b[^.!?\n]{0,60}\b(?:niet|geen)\b",
        r"ik ben (?:niet in staat|een (?:ai|taalmodel))",
        r"als (?:een )?(?:ai\b|kunstmatige intelligentie|(?:groot )?taalmodel)",
    ),
    "Russian": (
        r"(?:извините|простите|приношу извинения|прошу прощения|мне (?:очень )?жаль)\b",
        r"(?:к сожалению,? )?я не (?:могу|смогу|в состоянии|имею|способ\w+)\b",
        r"как (?:ии\b|искусственный интеллект|(?:большая )?языковая модель)",
    ),
    "Chinese": (
        r"(?:非常|很|十分|真的)?(?:抱歉|遗憾|遺憾|对不起|對不起|不好意思)",
        r"我(?:暂时|目前|现在|現在|并|並)?(?:无法|無法|不能|没办法|沒辦法|没有办法|没有能力|不具备|不方便)",
        r"(?:作为|作為)(?:一个|一個|一名|一款)?\s?(?:ai|人工智能|人工智慧|大型|大语言|大語言|语言模型|語言模型)",
    ),
    "Japanese": (
        r"(?:大変|誠に)?(?:申し訳|申しわけ)(?:ありません|ございません|ない)",
        r"(?:すみません|すいません|ごめんなさい|恐れ入りますが|恐縮ですが|あいにく)",
        r"(?:私は|私には|残念ながら)[^。\n]{0,60}(?:できません|出来ません|できない|かねます|分かりません|わかりません)",
        r"(?:私は)?\s?(?:ai|人工知能|大規模言語モデル|言語モデル)(?:言語モデル|アシスタント)?(?:として|なので|ですので|のため)",
    ),
    "Korean": (
        r"(?:정말 |대단히 )?(?:죄송합니다|죄송하지만|미안합니다|미안하지만)",
        r"(?:저는|제가|아쉽게도|안타깝게도)[^.\n]{0,60}(?:수 없습니다|수 없어요|못합니다)",
        r"(?:저는 )?(?:ai|인공지능|언어 모델|대규모 언어 모델)[^.\n]{0,12}(?:로서|이기 때문에|이므로)",
    ),
}
