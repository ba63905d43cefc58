"""`shardgate eos-emulator`."""

import os
import sys

import click


@click.command(
    "eos-emulator",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True},
    short_help="Run an emulator of EOS, to try and test the EOS plugin without one.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def eos_emulator(arguments: tuple[str, ...]) -> None:
    """Become the emulator. It is a program of its own, which has nothing of the gateway in its process."""
    # -P keeps the working directory from being a place to import from.
    command = [sys.executable, "-P", "-m", "backends.eos.emulator", *arguments]
    os.execv(sys.executable, command)  # noqa: S606 (no shell is meant)
