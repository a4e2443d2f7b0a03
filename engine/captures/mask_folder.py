"""Masks that nothing lists, in a folder beside the images."""

from collections.abc import Sequence
from pathlib import Path

from geolrm.engine.captures.file_search import FileSearch, name_some
from geolrm.engine.captures.images import list_images
from geolrm.engine.captures.lazy_images import LazyImages

MASK_FOLDERS = ("masks", "mask")


def with_mask_folder(
    photographs: LazyImages, beside: Path, names: Sequence[str], *, allow_outside: bool = False
) -> tuple[LazyImages, list[str]]:
    """Give images without alpha the masks of a folder ``masks``, named like them.

    ``masks`` may hold ``000.png``, ``000.jpg`` or ``000.jpg.png`` for the image ``000.jpg``, in
    sub-folders like the images' own or in none.

    Args:
        photographs: V images.
        beside: The folder that the folder of masks is looked for in.
        names: [V] of the images, as they are listed.
        allow_outside: Take masks that lie outside that folder, too.

    Returns:
        The images, and a sentence on what was used or why nothing was; none without such a folder.

    Raises:
        InputError: A mask is no image, or of another size than its image.
    """
    folder = _mask_folder(beside, allow_outside)
    plain = [i for i, shape in enumerate(photographs.shapes) if shape[2] == 3]
    if folder is None or not plain:
        return photographs, []
    search = FileSearch(folder, allow_outside=allow_outside)
    pictures, unmasked = list(photographs.pictures), []
    for index in plain:
        mask = search.find_mask(names[index])
        if mask is None:
            unmasked.append(names[index])
            continue
        pictures[index] = photographs.reader.with_mask(pictures[index], mask)
    used = len(plain) - len(unmasked)
    if not used:
        if not list_images(folder):
            return photographs, []
        return photographs, [
            f"the masks of the folder {str(folder)!r} were not used, since none is named like an "
            f"image such as {name_some(names[:1])}: give them the images' names"
        ]
    note = f"masks of the folder {str(folder)!r} are used: {used}"
    if unmasked:
        note += f"; {len(unmasked)} images have none there ({name_some(unmasked)})"
    return LazyImages(photographs.reader, pictures), [note]


def _mask_folder(beside: Path, allow_outside: bool) -> Path | None:
    for name in MASK_FOLDERS:
        found = FileSearch(beside, allow_outside=allow_outside).descend([name])
        if found is not None:
            return found
    return None
