"""Finding a protocol: the built-in ones by name, a user's own by file."""

from __future__ import annotations

from pathlib import Path

from r2d_bench.documents import load
from r2d_bench.errors import UserError, did_you_mean
from r2d_bench.protocols.spec import Protocol


def builtin() -> dict[str, Path]:
    """Return the files of the built-in protocols by name."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "builtin").glob("*.yaml"))}


def load_protocol(name: str) -> Protocol:
    """Return a protocol by name or file.

    Raises:
        UserError: unknown name, absent file, or a file that does not fit the schema.
    """
    if name.endswith((".yaml", ".yml")):
        return load(Protocol, Path(name))
    files = builtin()
    if name not in files:
        raise UserError(f"unknown protocol '{name}'{did_you_mean(name, files)}; an own one is given as FILE.yaml")
    return load(Protocol, files[name])
