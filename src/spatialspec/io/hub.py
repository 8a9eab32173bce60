"""Files of the Hub: fetched by its client into its cache, with its progress bar, its token and its offline mode.

`HF_ENDPOINT`, `HF_HOME`, `HF_TOKEN` and `HF_HUB_OFFLINE` work as everywhere. Every problem is a :class:`BadInput`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TypeVar

from spatialspec.core.errors import BadInput, shown
from spatialspec.io.pipeline_folder import pipeline_folder

T = TypeVar("T")
PART = r"\w[\w.-]{0,95}"
NAME = re.compile(
    rf"(?:https?:/{{1,2}}(?:www\.)?huggingface\.co/|hf:/{{1,2}})?(?P<owner>{PART})/(?P<name>{PART})"
    rf"(?:@(?P<at>[\w./-]+)|/(?:tree|blob|resolve)/(?P<revision>[\w.-]+))?(?:/(?P<file>[\w.-]+(?:/[\w.-]+)*))?/?",
    re.ASCII,
)
CACHED = re.compile(r"models--(?P<owner>.+)--(?P<name>.+)")


@dataclass(frozen=True)
class HubAccess:
    """How files are fetched; the arguments of `from_pretrained` of transformers and diffusers.

    Attributes:
        revision: branch, tag or commit; None is `main`.
        cache_dir: folder of the cache; None is that of the Hub's client.
        token: of the Hub, or whether the stored one is sent; None sends it where there is one.
        local_files_only: whether only the cache is read.
    """

    revision: str | None = None
    cache_dir: str | None = None
    token: str | bool | None = None
    local_files_only: bool = False


USUAL, CACHE = HubAccess(), HubAccess(local_files_only=True)


@dataclass(frozen=True)
class Repository:
    """A repository of the Hub, as people write it.

    Attributes:
        name: OWNER/NAME.
        file: of the repository; "" for all of it.
        access: how it is fetched.
    """

    name: str
    file: str = ""
    access: HubAccess = USUAL

    @classmethod
    def read(cls, text: str, access: HubAccess = USUAL) -> Repository | None:
        """Read OWNER/NAME, OWNER/NAME@REVISION, or an address of the Hub, all of them with a file behind or without.

        Returns:
            None where it is none of these.
        """
        match = NAME.fullmatch(text)
        if match is None:
            return None
        revision = access.revision or match["at"] or match["revision"]
        return cls(f"{match['owner']}/{match['name']}", match["file"] or "", replace(access, revision=revision))

    def files(self) -> list[str]:
        """Names of its files, of which none is fetched; without the Hub those in the cache.

        Raises:
            BadInput: see `fetch`.
        """
        from huggingface_hub import HfApi

        how = self.access
        if _offline(how):
            folder = self.fetch(("*",))
            return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        return self._guarded(lambda: HfApi(token=how.token).list_repo_files(self.name, revision=how.revision))

    def fetch(self, patterns: Sequence[str]) -> Path:
        """Fetch files, or find them in the cache; files that it lacks are left out.

        Args:
            patterns: names, in which `*` is any text.

        Returns:
            The folder of the snapshot.

        Raises:
            BadInput: no such repository or revision, one that wants a licence or a token, or no way to the Hub and
                nothing in the cache.
        """
        return self._guarded(lambda: _snapshot(self, tuple(patterns)))

    def _guarded(self, call: Callable[[], T]) -> T:
        from huggingface_hub import errors

        what, log_in = f"{shown(self.name, 200)} of the Hub", "log in with `hf auth login`, or give a token"
        try:
            return call()
        except errors.GatedRepoError as error:
            advice = f"accept the licence on its page, then {log_in}"
            raise BadInput(what, "one that you have access to", advice) from error
        except errors.RevisionNotFoundError as error:
            got = f"revision {shown(self.access.revision)} of {what}"
            raise BadInput(got, "a branch, tag or commit", "leave it out for main") from error
        except errors.RepositoryNotFoundError as error:
            got = f"{shown(self.name, 200)}, which is no folder here and no public repository of the Hub"
            raise Unknown(got, "the name of one", f"check the name; if it is private, {log_in}") from error
        except Exception as error:  # of the Hub, the cache, the disk, or the client's HTTP library
            if _offline(self.access):
                advice = f"run `hf download {self.name}` while you are online"
                raise Unknown(f"{what}, while only the cache is read", "one in the cache, whole", advice) from error
            reason = str(error).strip().partition("\n")[0][:200] or type(error).__name__
            got = f"{what}, which could not be fetched ({reason})"
            raise BadInput(
                got, "a way to the Hub", "check the network, HF_ENDPOINT, or the room on the disk"
            ) from error


class Unknown(BadInput):
    """A name that the Hub, or offline its cache, does not have."""


def title(folder: Path) -> str:
    """Name of a model by its folder, or by its pipeline's; of a snapshot in the cache of the Hub its repository's."""
    name = cached_name(folder)
    return name.partition("/")[2].partition("@")[0] if name else pipeline_folder(folder).name


def cached_name(folder: Path) -> str:
    """OWNER/NAME@REVISION of a snapshot in the cache of the Hub; "" of another folder."""
    folder = pipeline_folder(folder).absolute()
    match = CACHED.fullmatch(folder.parents[1].name) if folder.parent.name == "snapshots" else None
    return f"{match['owner']}/{match['name']}@{folder.name}" if match else ""


def _offline(access: HubAccess) -> bool:
    from huggingface_hub import constants

    return access.local_files_only or constants.HF_HUB_OFFLINE


@cache
def _snapshot(repository: Repository, patterns: tuple[str, ...]) -> Path:
    """Fetched once in a process: a command resolves its model several times."""
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(repository.name, allow_patterns=[*patterns], **asdict(repository.access)))
