"""A file with an image in the places that the worker found, as it is to be committed."""

from __future__ import annotations

from bot.commits import content_of
from bot.forges.port import FileChange, Tree
from worker.domain.edits.images import retagged
from worker.domain.edits.places import NotEditable
from worker.domain.errors import Refused
from worker.domain.image_places import image_places
from worker.domain.image_update import NamingFile
from worker.domain.images import Image


def with_image(tree: Tree, revision: str, file: NamingFile, new: Image) -> FileChange:
    """The file with the image in the places that the worker found. Raises Refused with the file and the line."""
    content = content_of(tree, revision, file.path, file.blob)
    meant = {(each.document, each.path) for each in file.places}
    try:
        text = retagged(content, [each for each in image_places(content) if (each.document, each.path) in meant], new)
    except NotEditable as error:
        raise Refused(f"{file.path}, {error.reason}", error.next_step) from None
    return FileChange(file.path, text, file.mode, file.mode)
