"""The pages: their links lead somewhere, and the files, variables and commands that they name exist."""

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from dispatcher.cli import cli
from workers.settings_table import OPTIONS

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(ROOT)
    for place in ("*.md", "docs/**/*.md", "deploy/**/*.md", "loadtest/*.md")
    for path in ROOT.glob(place)
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCED = re.compile(r"```.*?```", re.DOTALL)
NAMED_FILE = re.compile(r"`((?:backends|deploy|dispatcher|docs|loadtest|script|tests|workers)/[\w./-]+\.\w+)`")
VARIABLE = re.compile(r"\bSHARDGATE_[A-Z][A-Z_]*[A-Z]\b")
OTHER_VARIABLES = {"SHARDGATE_CONFIG", "SHARDGATE_FAULT_POINTS"}


@pytest.fixture(params=PAGES, ids=str)
def page(request: pytest.FixtureRequest) -> Path:
    return request.param


def text_of(page: Path) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """What headings can be linked to by, as GitHub makes it of them."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def test_links_lead_somewhere(page: Path) -> None:
    wrong = []
    for link in LINK.findall(FENCED.sub("", text_of(page))):
        name, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = Path(os.path.normpath(page.parent / name)) if name else page
        if not (ROOT / target).exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    assert wrong == []


def test_files_that_are_named_exist(page: Path) -> None:
    named = NAMED_FILE.findall(text_of(page))
    assert [name for name in named if not (ROOT / name).exists() and not (ROOT / page.parent / name).exists()] == []


def test_variables_that_are_named_exist(page: Path) -> None:
    known = {option.variable for option in OPTIONS} | OTHER_VARIABLES
    known |= {option.variable + "_FILE" for option in OPTIONS if option.from_file}
    assert set(VARIABLE.findall(text_of(page))) - known == set()


def test_every_dependency_has_a_reason() -> None:
    required = re.findall(r"^ *\"([a-z][\w-]*)(?:\[\w+\])?[<>=]", (ROOT / "setup.py").read_text(), re.MULTILINE)
    required += re.findall(r"\"([a-z][\w-]*)[<>=]", (ROOT / "setup.py").read_text())
    words = set(re.findall(r"[\w-]+", text_of(Path("docs/dependencies.md"))))
    assert len(set(required)) > 40
    assert set(required) - words == set()


def test_programs_that_are_named_exist(page: Path) -> None:
    text = text_of(page)
    modules = re.findall(r"python3? -m ((?:backends|loadtest|tests|workers)[\w.]*\w)", text)
    files = [module.replace(".", "/") for module in modules]
    missing = [file for file in files if not (ROOT / f"{file}.py").exists() and not (ROOT / file).is_dir()]
    missing += [file for file in re.findall(r"python3? (\w[\w/]*\.py)", text) if not (ROOT / file).exists()]
    assert missing == []


def commands(text: str) -> Iterator[list[str]]:
    """The words of each `shardgate …` in a code block or between backquotes."""
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        block = re.match(r"(?: {4,}|\$ )?(?:sudo |\$ )?(shardgate [a-z].*)", line)
        found = [block[1]] if block and not line.startswith("shardgate gives") else []
        found += re.findall(r"`(shardgate [a-z][^`]*)`", line)
        for command in found:
            lexer = shlex.shlex(command, posix=True, punctuation_chars="|;&><")
            lexer.whitespace_split = True
            try:
                words = list(lexer)
            except ValueError:
                continue
            ends = [number for number, word in enumerate(words) if set(word) <= set("|;&><#")]
            yield words[1 : ends[0] if ends else len(words)]


def complaint(words: list[str]) -> str:
    """What is wrong with a command; empty when all of its words are known."""
    command: click.Command = cli
    rest = list(words)
    while isinstance(command, click.Group) and rest and re.fullmatch(r"[a-z][a-z-]*", rest[0]):
        found = command.get_command(click.Context(command), rest[0])
        if found is None:
            return f"no command {rest[0]}"
        command = found
        rest.pop(0)
    if command.ignore_unknown_options or command.context_settings.get("ignore_unknown_options"):
        return ""  # its arguments go to another program
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    unknown = [word for word in rest if word.startswith("--") and word.partition("=")[0] not in {*known, "--help"}]
    return f"no option {unknown[0]}" if unknown else ""


def test_commands_that_are_named_exist(page: Path) -> None:
    wrong = [f"shardgate {' '.join(words)}: {why}" for words in commands(text_of(page)) if (why := complaint(words))]
    assert wrong == []


def test_a_command_that_does_not_exist_is_noticed() -> None:
    assert [complaint(words) for words in commands("    shardgate serv DIR\n`shardgate serve --no-such DIR`\n")] == [
        "no command serv",
        "no option --no-such",
    ]
    assert sum(len(list(commands(text_of(page)))) for page in PAGES) > 80
