"""Routes whose body may be left out: what it would say has defaults."""

from collections.abc import Callable
from typing import ParamSpec

from flask import Response

P = ParamSpec("P")

_MARK = "body_is_optional"


def body_is_optional(view: Callable[P, Response]) -> Callable[P, Response]:
    """Marks a view that takes an absent body as {}."""
    setattr(view, _MARK, True)
    return view


def may_have_no_body(view: Callable[..., object]) -> bool:
    """Whether the body of this view may be left out."""
    return getattr(view, _MARK, False)
