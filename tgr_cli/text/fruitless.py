"""Advice for the case that none of a language model's answers holds a description."""

from collections.abc import Mapping

from tgr_cli.text.endpoint import Endpoint

HELD = {
    "empty": "nothing",
    "thoughts": "thoughts alone",
    "truncated": "what was cut short by --max-tokens",
    "refused": "a refusal",
    "unusable": "code, data or a call of a tool, and no sentence",
    "failed": "no answer",
}


def what_to_change(endpoint: Endpoint, statuses: Mapping[str, int]) -> str:
    """Return a sentence with the counts of the answers by status, and what to change."""
    counted = sorted(statuses.items(), key=lambda status: -status[1])
    held = ", ".join(f"{HELD[status]} ({count})" for status, count in counted if count)
    total = sum(statuses.values())
    return f"none of {total} questions has a description: the answers hold {held}; {advice(endpoint, statuses)}"


def advice(endpoint: Endpoint, statuses: Mapping[str, int]) -> str:
    """Return what to change for the most frequent of these statuses."""
    commonest = max(statuses, key=lambda status: statuses[status])
    longer = f"raise --max-tokens (now {endpoint.max_tokens:,})"
    return {
        "truncated": f"{longer}; a model that thinks first needs a thousand or more, or has its thinking turned off",
        "thoughts": f"turn the model's thinking off at its server, or {longer}, so that it comes to an answer",
        "empty": f"take another --llm, or {longer}",
        "refused": "ask otherwise with --questions, or take another --llm",
        "unusable": "ask otherwise with --questions, or take another --llm",
        "failed": "run the same command again",
    }[commonest]
