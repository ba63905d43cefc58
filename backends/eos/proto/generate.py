"""Makes the stubs from the `.proto` files: `python -m backends.eos.proto.generate`, with grpcio-tools installed."""

import sys
from importlib import import_module
from pathlib import Path

# The stubs subclass protobuf's untyped classes. Their own annotations stay in force for whoever imports them.
HEADER = "# mypy: ignore-errors\n"


def generate(root: Path) -> list[Path]:
    """Write the stubs of every `.proto` file in this directory below `root` and return their paths.

    `root` must hold the sources under their package path, as the checkout does. Raises `RuntimeError` with protoc's
    exit status.
    """
    protoc = import_module("grpc_tools.protoc")
    directory = Path(__file__).resolve().parent
    checkout = directory.parents[2]
    sources = [str(path.relative_to(checkout)) for path in sorted(directory.glob("*.proto"))]
    outputs = [f"--{kind}={root}" for kind in ("python_out", "pyi_out", "grpc_python_out")]
    status = protoc.main(["protoc", f"-I{checkout}", *outputs, *sources])
    if status != 0:
        raise RuntimeError(f"protoc ended with status {status}")
    made = [path for path in sorted((root / "backends/eos/proto").iterdir()) if "_pb2" in path.name]
    for path in made:
        # Services are in one file; the others' empty service modules are left out.
        if path.name == "console_pb2_grpc.py":
            path.unlink()
            continue
        path.write_text(HEADER + path.read_text(encoding="utf-8"), encoding="utf-8")
    return [path for path in made if path.exists()]


if __name__ == "__main__":
    for made in generate(Path(__file__).resolve().parents[3]):
        sys.stdout.write(f"{made}\n")
