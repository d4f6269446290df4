"""Claims a GPU at the Diffusion-Pipe API while this ComfyUI has prompts. Copy this file into ComfyUI's `custom_nodes`.

The claim expires DPIPE_IDLE_SECONDS after the last prompt. Other variables: DPIPE_URL, DPIPE_KEY (if the service
requires keys, an administrator's), DPIPE_GPU (index or UUID), and DPIPE_CLAIM_MB, the memory that ComfyUI needs.
"""

import json
import logging
import os
import threading
import time
import urllib.request
from urllib.parse import quote

from server import PromptServer

#: Seconds between two looks at the queue, and between two renewals of the claim.
LOOK_SECONDS, RENEW_SECONDS = 2.0, 20.0

NODE_CLASS_MAPPINGS = {}  # It adds no node, but ComfyUI expects the name.


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None  # the answer counts as an error


# The key must not go through a proxy, nor to another address.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects)


def is_busy():
    """Return whether there are prompts, without those by which the service renders samples."""
    running, waiting = PromptServer.instance.prompt_queue.get_current_queue()
    # The service's sampler is a client of its own for each prompt, with the prompt's id.
    return any(item[3].get("client_id") != item[1] for item in [*running, *waiting])


def claim():
    """Claim the GPU, or renew the claim."""
    url = os.environ.get("DPIPE_URL", "http://127.0.0.1:8080").rstrip("/")
    memory = os.environ.get("DPIPE_CLAIM_MB")
    body = {
        "name": "ComfyUI",
        "memory_mb": int(memory) if memory else None,
        "ttl_seconds": max(2 * RENEW_SECONDS, float(os.environ.get("DPIPE_IDLE_SECONDS", "300"))),
    }
    headers = {"Content-Type": "application/json"}
    if os.environ.get("DPIPE_KEY"):
        headers["Authorization"] = f"Bearer {os.environ['DPIPE_KEY']}"
    address = f"{url}/api/v1/gpu/{quote(os.environ.get('DPIPE_GPU', '0'), safe='')}/claim"
    request = urllib.request.Request(address, json.dumps(body).encode(), headers)  # noqa: S310 - the operator's address
    with _opener.open(request, timeout=5):
        pass


def watch():
    """Claim the GPU while there are prompts. A service that does not answer never disturbs ComfyUI."""
    claimed_at, problem = float("-inf"), ""
    while True:
        try:
            if is_busy() and time.monotonic() - claimed_at >= RENEW_SECONDS:
                claimed_at = time.monotonic()
                claim()
                problem = ""
        except Exception as error:
            if str(error) != problem:
                problem = str(error)
                logging.warning("Diffusion-Pipe API: the GPU is not claimed: %s", problem)
        time.sleep(LOOK_SECONDS)


threading.Thread(target=watch, name="dpipe-claim", daemon=True).start()
