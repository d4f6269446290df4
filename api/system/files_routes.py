"""The server's directories and files, for choosing a path."""

from apiflask import APIBlueprint
from flask import Response

from api.domain.access import current_principal
from api.domain.read_scope import current_scope
from api.system.files_schemas import FileListingAnswer, FileQuery
from api.util.base_path import BASE_PATH
from api.web.responses import answer, services

files = APIBlueprint("files", __name__, url_prefix=f"{BASE_PATH}/files", tag="System")


@files.get("")
@files.input(FileQuery, location="query")
@files.output(FileListingAnswer)
@files.doc(responses=[404, 422])
def list_files(query_data: FileQuery) -> Response:
    """List a directory of the server, to choose a path.

    Directories first, then files, each by name. Without `path`, the directories in which to start: those of datasets
    and models, and for administrators those of `BROWSE_DIRECTORIES`. Nothing outside of them is listed, no hidden file,
    no file of the service, and no link that leads elsewhere.
    """
    principal, scope, page = current_principal.get(), current_scope.get(), query_data.page()
    only_directories = query_data.only_directories
    return answer(services().files.list(query_data.path, principal, scope, page, only_directories=only_directories))
