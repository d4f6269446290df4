"""A server that requires keys, and sign-in to its page."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from api.util.text.key_format import new_key
from tests.e2e.training_server import TrainingServer


class GuardedServer(TrainingServer):
    """Requires keys. Its client uses an administrator's key. No rate limits unless `settings` has them."""

    def __init__(self, directory: Path, **settings: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        file = directory / "admin-key"
        self.admin_key = new_key()[1]
        file.touch(0o600)
        file.write_text(self.admin_key)
        super().__init__(
            directory, **{"AUTH": "required", "ADMIN_KEY_FILE": str(file), "RATE_LIMITS": "off"} | settings
        )
        self.client.headers["Authorization"] = f"Bearer {self.admin_key}"

    def make_key(self, user_id: str, role: str | None = "trainer", **more: Any) -> dict[str, Any]:
        """Create a key; its secret is `api_key`."""
        return self.post(
            "/auth/generate-key", 201, json={"user_id": user_id, **({"role": role} if role else {}), **more}
        )

    def revoke(self, key: dict[str, Any]) -> None:
        assert self.client.delete(f"/api/v1/auth/keys/{key['key_id']}").status_code == 200

    def start_task_of(self, key: dict[str, Any], body: dict[str, Any]) -> str:
        """Start a training of the key's user."""
        headers = {"Authorization": f"Bearer {key['api_key']}"}
        return str(self.post("/training/start", 201, json=body, headers=headers)["task_id"])


def sign_in(page: Page, key: str) -> None:
    """Enter the key and wait until the sign-in has disappeared."""
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(".sign-in")).to_be_hidden()
