"""The request body, adapted to a server by its rejections: parameter names and supported parameters."""

import re
from typing import Any

from tgr_cli import defaults
from tgr_cli.text.endpoint import LIMIT_NAMES, Endpoint
from tgr_cli.text.server_words import Told

UNKNOWN = re.compile(
    r"unsupported|n[o']t support|unrecogni|unknown|unexpected|extra (?:input|field|argument)|extra_forbidden|"
    r"not (?:permitted|allowed|accepted|available|valid|recogni)|forbidden|deprecated|instead|no longer|"
    r"invalid (?:param|arg|field|key|prop)",
    re.IGNORECASE,
)
# The parameter is known but its value is rejected: another name would not help.
BAD_VALUE = re.compile(
    r"too (?:large|big|high|long|many)|exceed|at most|context length|less than|greater than|between", re.I
)


class Request:
    """A request body in the form that the server accepts; starts from `endpoint` and learns from rejections."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        # OpenAI's newer models accept only the new name of the limit, other servers only the old one.
        first = LIMIT_NAMES[1] if endpoint.is_openai else LIMIT_NAMES[0]
        self.limit_name = endpoint.max_tokens_name or first
        self.temperature = endpoint.temperature
        self._refused: set[str] = set()

    def content(self, prompt: str) -> dict[str, Any]:
        """Return the request body for `prompt`."""
        content: dict[str, Any] = {
            "model": self.endpoint.model,
            "messages": [{"role": "user", "content": prompt}],
            self.limit_name: self.endpoint.max_tokens,
        }
        return content if self.temperature is None else content | {"temperature": self.temperature}

    def learn(self, refusal: Told, sent: dict[str, Any]) -> list[str] | None:
        """Return how later requests differ after the rejection of `sent`, in phrases; None if nothing helps.

        The list is empty if another question already led to the change. The limit's parameter name is changed unless
        the user set it. The temperature is dropped only if it is the protocol's default, which then applies anyway; any
        other value was the user's choice and is not replaced.
        """
        blamed = [name for name in (*LIMIT_NAMES, "temperature") if name in sent and _blames(refusal, name)]
        learned = []
        for name in blamed:
            if name in self._refused:
                continue
            if name == "temperature" and self.endpoint.temperature == defaults.TEMPERATURE:
                self.temperature = None
                learned.append("without a temperature (as with --temperature none)")
            elif name in LIMIT_NAMES and self.endpoint.max_tokens_name is None and not self._refused & set(LIMIT_NAMES):
                self.limit_name = next(other for other in LIMIT_NAMES if other != name)
                learned.append(f"with the limit named {self.limit_name} (as with --max-tokens-name {self.limit_name})")
            else:
                return None
            self._refused.add(name)
        changed = self.limit_name not in sent or ("temperature" in sent) != (self.temperature is not None)
        return learned if blamed and changed else None


def _blames(refusal: Told, name: str) -> bool:
    """Return whether the server rejects the parameter `name` itself rather than its value."""
    said = f"{refusal.words} {refusal.code}"
    if BAD_VALUE.search(refusal.words) or not UNKNOWN.search(said):
        return False
    return refusal.parameter == name or bool(re.search(rf"(?<![a-z_]){name}(?![a-z_])", said, re.IGNORECASE))
