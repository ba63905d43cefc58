"""docs/settings.md, made from the table of settings: `shardgate config --markdown > docs/settings.md`."""

from itertools import groupby

from workers.settings_option import ENVIRONMENT_PREFIX, Option
from workers.settings_table import OPTIONS

_HEAD = f"""\
# Settings

Every setting can be given in three places. A later one wins:

1. a TOML file, named by `--config FILE` or `{ENVIRONMENT_PREFIX}CONFIG`, with the setting's name as key;
2. an environment variable; an empty one counts as not set;
3. a flag of `shardgate serve`. Secrets have none, since a command line can be read by everybody on the host.

Lists are arrays in TOML, separated by commas in a variable, and repeated flags on the command line. Relative paths in
the file count from the file's directory, others from the current directory. A secret's variable has a twin that ends
in `_FILE` and names a file with the value.

`shardgate config` prints the effective settings and where each came from. A wrong value stops the start with one line
and exit status 2. SIGHUP makes a running gateway read the file again; transfers in flight finish with the old settings.

This page is made from the table in `workers/settings_table.py`: `shardgate config --markdown > docs/settings.md`.
"""


def render_page() -> str:
    """The whole page as Markdown."""
    parts = [_HEAD]
    for title, options in groupby(OPTIONS, lambda option: option.section):
        parts.append(f"\n## {title}\n\n| setting | value | default | |\n| --- | --- | --- | --- |\n")
        parts.extend(_row(option) for option in options)
    return "".join(parts)


def _row(option: Option) -> str:
    names = [f"`{option.name}`", f"`{option.variable}`"]
    if option.flag:
        names.insert(1, f"`{option.flag}`")
    return f"| {'<br>'.join(names)} | {option.kind.hint} | {_default(option)} | {option.help} |\n"


def _default(option: Option) -> str:
    if option.default_text:
        return option.default_text
    shown = "" if option.default is None else option.kind.show(option.default)
    return f"`{shown}`" if shown else "none"
