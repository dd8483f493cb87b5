"""Packs a tree as `azd deploy` does, by two interpretations of .funcignore."""

import os
import shutil
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import pathspec

Excludes = Callable[[str], bool]
"""Whether a path is excluded. Paths have / as separator; the path of a folder ends with /."""


def read_like_git(lines: list[str]) -> Excludes:
    """The rules of .gitignore: azd 1.23.13 and newer, and Core Tools."""
    rules = pathspec.GitIgnoreSpec.from_lines(lines)
    return rules.match_file


def read_as_exclusions(lines: list[str]) -> Excludes:
    """The rules of older azd: every line excludes, and ! has no effect."""
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


INTERPRETATIONS = {"like git": read_like_git, "as exclusions": read_as_exclusions}


def pack(tree: Path, target: Path, parse: Callable[[list[str]], Excludes]) -> set[str]:
    """Copy the files that are not excluded. Returns their paths."""
    excludes = parse((tree / ".funcignore").read_text().splitlines())
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
