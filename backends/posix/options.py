"""The plugin's options."""

from __future__ import annotations

from typing import Annotated

import msgspec


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file of `--backend-config` may say.

    Attributes:
        follow_symlinks: a symbolic link to a file is an object and one to a directory is walked into, wherever it
            leads, also out of the bucket. By default a symbolic link is no object and nothing lies behind it.
        file_mode: permission bits of new objects, in octal; the process's umask applies.
        directory_mode: permission bits of new directories, in octal; the process's umask applies.
        cached_names: how many names of listed directories a worker remembers (about 100 bytes each).
        watch: let the kernel tell what changes in large listed directories (inotify), so that they need not be read
            again after each change. Only used on local file systems.
        check_timeout: seconds after which a storage that does not answer counts as unavailable.
    """

    follow_symlinks: bool = False
    file_mode: Annotated[str, msgspec.Meta(pattern="^0?[0-7]{3}$")] = "0666"
    directory_mode: Annotated[str, msgspec.Meta(pattern="^0?[0-7]{3}$")] = "0777"
    cached_names: Annotated[int, msgspec.Meta(ge=0)] = 500_000
    watch: bool = True
    check_timeout: Annotated[float, msgspec.Meta(gt=0)] = 5.0
