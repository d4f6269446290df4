"""Schema of the checklist."""

from api.system.setup_views import SetupChecklist
from api.web.schemas import Envelope


class SetupAnswer(Envelope[SetupChecklist]):
    """The answer with every step."""
