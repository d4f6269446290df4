from flask import Response

from api.web.responses import body_is_optional, may_have_no_body


def test_only_a_marked_view_has_an_optional_body():
    def needs() -> Response:
        return Response()

    @body_is_optional
    def may() -> Response:
        return Response()

    assert (may_have_no_body(may), may_have_no_body(needs)) == (True, False)
