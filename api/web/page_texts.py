"""The page's Chinese texts, completed by those that stand beside their English ones in the service's code."""

import json

from api.trainers.failures.known_causes import chinese_texts

#: The file of the page that translates the service's messages.
CHINESE = "locales/zh.json"


def add_chinese(content: bytes) -> bytes:
    """Return the Chinese file of the page with the texts about the causes of failures."""
    texts = json.loads(content) | {f"service.{code}": text for code, text in chinese_texts()}
    return json.dumps(texts, ensure_ascii=False, separators=(",", ":")).encode()
