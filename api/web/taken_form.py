"""The form that the shell has taken to disk for the present request."""

from typing import TypeVar

from flask import request
from pydantic import ValidationError

from api.errors import Mistake
from api.util.taken_body import FORM, TakenForm
from api.util.validation import Strict, mistakes_in

Fields = TypeVar("Fields", bound=Strict)


def taken_form() -> TakenForm:
    """What the form said, and where its file is."""
    form: TakenForm = request.environ["asgi.scope"]["state"][FORM]
    return form


def read_fields(form: TakenForm, kind: type[Fields]) -> tuple[Fields | None, list[Mistake]]:
    """The fields of a form beside its file, without the empty ones; else None and what is wrong with them.

    An empty checksum stays, and is a mistake: the file would go unchecked although its sender wanted it checked.
    """
    try:
        return kind.model_validate({name: text for name, text in form.texts.items() if text or name == "sha256"}), []
    except ValidationError as error:
        return None, mistakes_in(error)
