"""Checkpoints by name: ``hf:OWNER/NAME@REVISION[/FILE]`` of a Hugging Face hub."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from geolrm.engine.errors import CheckpointError, GeoLRMError, InputError
from geolrm.engine.system.atomic import error_text
from geolrm.engine.system.extras import require
from geolrm.engine.system.shown_text import shown

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo

PREFIX = "hf:"
FORM = "hf:OWNER/NAME@REVISION or hf:OWNER/NAME@REVISION/FILE"
SUFFIXES = ".safetensors", ".ckpt"  # of checkpoints, the better one first
LICENSE_SECONDS = 5.0  # to wait for what can be done without
LOCAL = errno.ENOSPC, errno.EDQUOT, errno.EIO  # of writing, which name no file
COMMIT = re.compile(r"[0-9a-f]{40}")
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_NAME = re.compile(rf"hf:({_PART}/{_PART})@({_PART})(?:/(.+))?")


@dataclass(frozen=True, slots=True)
class HubName:
    """A checkpoint on a hub, as a user names it."""

    repository: str  # OWNER/NAME
    revision: str  # a commit, a tag or a branch
    file: str | None = None  # None: the only checkpoint that is there

    @property
    def model(self) -> str:
        """Return NAME, by which a bundle is called."""
        return self.repository.partition("/")[2]

    def __str__(self) -> str:
        file = "" if self.file is None else f"/{self.file}"
        return f"{PREFIX}{self.repository}@{self.revision}{file}"


@dataclass(frozen=True, slots=True)
class HubFile:
    """A checkpoint that was fetched, or was in the cache."""

    path: Path
    name: HubName  # its revision is the commit, its file is named: it is always this checkpoint
    license: str | None  # as the repository states it; None: it does not, or was not reached


def is_hub_name(checkpoint: str) -> bool:
    """Return whether a checkpoint is named as one of a hub."""
    return checkpoint.startswith(PREFIX)


def parse_hub_name(text: str) -> HubName:
    """Parse ``hf:OWNER/NAME@REVISION[/FILE]``.

    Raises:
        InputError: It has another form, or no revision.
    """
    match = _NAME.fullmatch(text)
    if match is None:
        example = "" if "@" in text else "; a revision is needed: a commit, a tag, or main"
        raise InputError(f"the checkpoint is {text!r}; it must be {FORM}{example}")
    name = HubName(*match.groups())
    if name.file is not None:
        _check_file(name.file)
    return name


def fetch(name: HubName) -> HubFile:
    """Fetch a checkpoint into the hub's cache, or find it there.

    A commit and a file that are in the cache need no network. The server is that of
    ``$HF_ENDPOINT``, the token that of ``$HF_TOKEN`` or ``hf auth login``.

    Raises:
        GeoLRMError: huggingface_hub is not installed, or its cache cannot be written.
        InputError: There is no such repository, revision or file, or several files to choose from.
        CheckpointError: The hub cannot be reached.
    """
    require("huggingface_hub", f"the checkpoint {name}")
    import huggingface_hub

    endpoint = os.environ.get("HF_ENDPOINT")
    api = huggingface_hub.HfApi(endpoint=endpoint)
    if name.file is not None and COMMIT.fullmatch(name.revision):
        found = huggingface_hub.try_to_load_from_cache(
            name.repository, name.file, revision=name.revision
        )
        if isinstance(found, str):
            license = None
            with suppress(Exception):  # of whatever kind: without a network it is just not known
                license = _license(api.model_info(
                    name.repository, revision=name.revision, timeout=LICENSE_SECONDS
                ))  # fmt: skip
            return HubFile(Path(found), name, license)
    with _errors(name):
        info = api.model_info(name.repository, revision=name.revision)
        file = name.file or choose_file([each.rfilename for each in info.siblings or ()], name)
        pinned = HubName(name.repository, str(info.sha), file)
        if not COMMIT.fullmatch(pinned.revision):
            raise CheckpointError(
                f"the hub says that {name} is commit {pinned.revision!r}, which is none; "
                "name a commit of 40 hexadecimal digits"
            )
        path = huggingface_hub.hf_hub_download(
            name.repository, file, revision=pinned.revision, endpoint=endpoint
        )
    return HubFile(Path(path), pinned, _license(info))


def _license(info: ModelInfo) -> str | None:
    stated = (info.card_data or {}).get("license")
    return shown(str(stated)) if stated else None


def choose_file(files: Sequence[str], name: HubName) -> str:
    """Return the only checkpoint among a repository's files, safetensors before others.

    Raises:
        InputError: There is none, or there are several.
    """
    for suffix in SUFFIXES:
        found = sorted(file for file in files if file.endswith(suffix))
        if len(found) > 1:
            some = [shown(file) for file in found[:4]]
            raise InputError(
                f"{name} holds {len(found)} checkpoints ({', '.join(some)}); name one: "
                f"{name}/{some[0]}"
            )
        if found:
            _check_file(found[0])
            return found[0]
    raise InputError(f"{name} holds no checkpoint (.safetensors or .ckpt); name another repository")


def _check_file(file: str) -> None:
    if not file.endswith(SUFFIXES) or {"", ".", ".."} & set(file.split("/")) or "\\" in file:
        raise InputError(
            f"the file is {file!r}; it must be a .safetensors or .ckpt file of the "
            "repository, such as model.safetensors"
        )


@contextmanager
def _errors(name: HubName) -> Iterator[None]:
    """Turn the errors of huggingface_hub into one sentence each."""
    from huggingface_hub import errors

    try:
        yield
    except GeoLRMError:
        raise
    except errors.GatedRepoError as error:
        raise InputError(
            f"{name} is given to those alone who agree to its terms; agree on its page, and set "
            "HF_TOKEN"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise InputError(
            f"there is no repository {name.repository} on the hub, or it is private; check its "
            "name, or set HF_TOKEN"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise InputError(
            f"{name.repository} has no revision {name.revision}; name a commit, a tag or main"
        ) from error
    except errors.RemoteEntryNotFoundError as error:
        raise InputError(
            f"{name.repository} has no file {name.file} at {name.revision}; leave the file out, or "
            "look for its name on the repository's page"
        ) from error
    except Exception as error:
        if isinstance(error, OSError) and (error.filename or error.errno in LOCAL):
            raise GeoLRMError(
                f"{name} cannot be kept in the hub's cache: {error_text(error)}; make room there, "
                "or name another folder by HF_HUB_CACHE"
            ) from error
        # Of the transport, whose library changed before: httpx, requests, hf_xet, OSError.
        raise CheckpointError(
            f"{name} is not in the cache, and the hub cannot be reached "
            f"({type(error).__name__}); check the network, HF_ENDPOINT and HF_HUB_OFFLINE, or give "
            "a file"
        ) from error
