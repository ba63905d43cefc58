"""`python -m backends.eos.emulator`."""

from backends.eos.emulator.main import main

if __name__ == "__main__":
    main(prog_name="eos-emulator")
