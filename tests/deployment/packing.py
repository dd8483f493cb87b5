"""Packs a tree as `azd deploy` does, by two readings of .funcignore."""

import os
import shutil
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import pathspec

Excludes = Callable[[str], bool]
"""Whether a path is left out. Its parts are separated by /, and that of a folder ends with one."""


def read_like_git(lines: list[str]) -> Excludes:
    """The reading of azd 1.23.13 and newer, and of the Functions tools: that of .gitignore."""
    rules = pathspec.GitIgnoreSpec.from_lines(lines)
    return rules.match_file


def read_as_exclusions(lines: list[str]) -> Excludes:
    """The reading of older azd: each line only excludes, and ! brings nothing back."""
    patterns = [line for line in lines if line and line[0] not in "#!"]

    def excludes(path: str) -> bool:
        is_folder, path = path.endswith("/"), path.rstrip("/")
        name = PurePosixPath(path).name
        for pattern in patterns:
            bare = pattern.rstrip("/")
            if pattern.endswith("/") and not is_folder:
                continue
            where = path if "/" in bare else name
            if fnmatchcase(where, bare.lstrip("/")):
                return True
        return False

    return excludes


READINGS = {"like git": read_like_git, "as exclusions": read_as_exclusions}


def pack(tree: Path, target: Path, read: Callable[[list[str]], Excludes]) -> set[str]:
    """Copy what is not excluded; the paths of the files that were copied."""
    excludes = read((tree / ".funcignore").read_text().splitlines())
    packed = set()
    for here, folders, files in os.walk(tree):
        place = Path(here).relative_to(tree)
        folders[:] = [one for one in folders if not excludes(f"{(place / one).as_posix()}/")]
        for one in files:
            if not excludes((place / one).as_posix()):
                (target / place).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(tree / place / one, target / place / one)
                packed.add((place / one).as_posix())
    return packed
