"""A thousand classes, a misbehaving server, five kills: the artifact equals that of an uninterrupted run."""

import re
import signal
import time
import zlib
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from llm_server import answer_to, serving
from processes import start, tgr

from tgr_cli.data.source import DataSource
from tgr_cli.steps import describe
from tgr_cli.text.answers import Answer, Answers, answers_file
from tgr_cli.text.endpoint import Endpoint
from tgr_cli.text.llm import LanguageModel
from tgr_cli.text.prompts import folder, read

CONCURRENCY = 32
KILLS = 5
QUESTION = "Describe what {a_class} looks like in a photo."
# Number of questions, of a thousand, whose first attempt ends in this way; the rest are answered well.
SHARES = {
    "slow": 20,
    "429 0": 20,
    "500": 20,
    "drop": 10,
    "malformed": 10,
    "empty": 10,
    "truncated": 10,
    "escapes": 10,
} | {
    "huge": 1,
    "redirect": 2,
}
FATES = [fate for fate, share in SHARES.items() for _ in range(share)]


def misbehaving(prompt: str, times: int) -> str:
    number = zlib.crc32(prompt.encode())
    if number % 500 == 7:
        return "empty"  # on every attempt
    fate = number // 500 % 1000
    return FATES[fate] if not times and fate < len(FATES) else "well"


@pytest.mark.long
def test_killed_five_times_nothing_is_lost_nor_paid_for_twice() -> None:
    out, prompts = Path("killed.parquet"), Path("one.toml")
    shipped = (folder() / "imagenet.toml").read_text(encoding="utf-8")  # its phrases, and one question a class
    prompts.write_text(re.sub(r"questions = \[.*?\]", f"questions = [{QUESTION!r}]", shipped, flags=re.DOTALL))
    with serving(misbehaving) as server:
        command = ["describe", "--yes", "--base-url", server.url, "--llm", "toy"]
        command += ["--concurrency", str(CONCURRENCY), "--out", str(out), "--quiet", "--timeout", "60"]
        command += ["--prompts", str(prompts)]
        kept = answers_file(out)
        for kill in range(1, KILLS + 1):
            running = start(*command, TGR_LLM_API_KEY="sk-0")
            while not kept.exists() or kept.stat().st_size < kill * 150 * 240:
                assert running.running(), running.wait()
                time.sleep(0.005)
            running.signal(signal.SIGKILL)
            running.wait()
        done = tgr(*command)
    assert done.code == 0, done.err
    assert server.most_at_once <= CONCURRENCY
    assert server.elsewhere == 0
    asked = LanguageModel(read(prompts), Endpoint(base_url="http://x", llm="toy"), out).questions(
        describe.class_names(DataSource())
    )
    # A kill may only lose requests in progress: every other request was necessary.
    needed = {q.prompt: 3 if _always_empty(q.prompt) else 1 + _asked_twice(q.prompt) for q in asked}
    assert set(server.asked) == set(needed)
    assert sum(needed.values()) <= server.asked.total() <= sum(needed.values()) + KILLS * CONCURRENCY
    rows = pq.read_table(out).to_pylist()
    assert [(r["class_index"], r["class_name"], r["question"], r["description"], r["status"]) for r in rows] == [
        (q.class_index, q.class_name, q.question, None, "empty")
        if _always_empty(q.prompt)
        else (q.class_index, q.class_name, q.question, answer_to(q.prompt), "ok")
        for q in asked
    ]
    # The bytes equal those of a run in which all answers arrived in order.
    undisturbed = Path("undisturbed.parquet")
    with Answers.open(answers_file(undisturbed)) as answers:
        for q in asked:
            empty = _always_empty(q.prompt)
            for _ in range(3 if empty else 1):
                status, text = ("empty", "") if empty else ("ok", answer_to(q.prompt))
                answers.add(Answer(key=q.key, status=status, text=text, max_tokens=256))
    describe.run(
        describe.Config(
            data=DataSource(), endpoint=Endpoint(base_url=server.url, llm="toy"), prompts=prompts, out=undisturbed
        )
    )
    assert out.read_bytes() == undisturbed.read_bytes()


def _always_empty(prompt: str) -> bool:
    return misbehaving(prompt, 9) == "empty"


def _asked_twice(prompt: str) -> bool:
    return misbehaving(prompt, 0) not in ("well", "slow", "escapes")
