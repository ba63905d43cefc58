"""docs/eos-emulator.md lists what there is."""

import dataclasses
import re
from pathlib import Path

import pytest
from click import Option

from backends.eos.emulator.faults import KINDS
from backends.eos.emulator.main import main
from backends.eos.emulator.quirks import CHOICES, RELEASES, Quirks

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "eos-emulator.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", KINDS)
def test_every_fault_with_its_parameters(name):
    kind = KINDS[name]
    parameters = ", ".join(f"`{key}` {value!r}" for key, value in kind.parameters.items()) or "–"
    assert f"| `{name}` | {kind.effect} | {parameters} |" in PAGE


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Quirks)])
def test_every_switch_with_its_values(name):
    (row,) = re.findall(rf"^\| `{name}` \| .*$", PAGE, re.MULTILINE)
    for value in CHOICES.get(name, ()):
        assert f"`{value}`" in row


def test_every_release_and_option():
    for release in RELEASES:
        assert f"`{release}`" in PAGE
    for parameter in main.params:
        if isinstance(parameter, Option):
            assert f"`{parameter.opts[0]}" in PAGE, parameter.opts
