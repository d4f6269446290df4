"""Routes whose request body is optional, because all its fields have defaults."""

from collections.abc import Callable
from typing import ParamSpec

from flask import Response

P = ParamSpec("P")

_MARK = "body_is_optional"


def body_is_optional(view: Callable[P, Response]) -> Callable[P, Response]:
    """Mark a view whose missing body counts as {}."""
    setattr(view, _MARK, True)
    return view


def may_have_no_body(view: Callable[..., object]) -> bool:
    """Return whether the body of this view is optional."""
    return getattr(view, _MARK, False)
