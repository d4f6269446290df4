"""The form of the current request, which the shell has stored on disk."""

from typing import TypeVar

from flask import request
from pydantic import ValidationError

from api.errors import Finding
from api.util.files.stored_form import FORM, StoredForm
from api.util.http.validation import Strict, mistakes_in

Fields = TypeVar("Fields", bound=Strict)


def taken_form() -> StoredForm:
    """Return the texts of the form and the location of its file."""
    form: StoredForm = request.environ["asgi.scope"]["state"][FORM]
    return form


def read_fields(form: StoredForm, kind: type[Fields]) -> tuple[Fields | None, list[Finding]]:
    """Return the fields of a form beside its file, without empty ones; or None and the mistakes.

    An empty checksum counts as a mistake: otherwise the file would not be verified, although the client wanted that.
    """
    try:
        return kind.model_validate({name: text for name, text in form.texts.items() if text or name == "sha256"}), []
    except ValidationError as error:
        return None, mistakes_in(error)
