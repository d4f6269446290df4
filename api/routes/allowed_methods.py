"""Which methods each address takes, and by which route: the most specific one.

`/training/list` is no training that is called "list": what `/training/<task_id>` takes beyond it is not taken there.
"""

from collections.abc import Mapping

from werkzeug.routing import Map


class AllowedMethods:
    """The addresses of one app."""

    def __init__(self, url_map: Map) -> None:
        self._adapter = url_map.bind("localhost")
        fixed: dict[str, set[str]] = {}
        for rule in url_map.iter_rules():
            if not rule.arguments:
                fixed.setdefault(rule.rule, set()).update(rule.methods or ())
        self._fixed = {path: tuple(sorted(methods)) for path, methods in fixed.items()}

    def methods(self, path: str) -> tuple[str, ...]:
        """The methods in alphabetical order; empty when there is nothing at this address."""
        if path.startswith("//"):
            # Werkzeug would drop the first slash and find a route.
            return ()
        return self._fixed.get(path) or tuple(sorted(self._adapter.allowed_methods(path)))

    def find(self, path: str, method: str) -> tuple[str, Mapping[str, str]]:
        """The pattern of the route that takes this method at this address, and the variable parts of the address.

        Raises werkzeug's NotFound or MethodNotAllowed where `methods` has no such method.
        """
        if path in self._fixed:
            return path, {}
        rule, arguments = self._adapter.match(path, method, return_rule=True)
        return rule.rule, arguments
