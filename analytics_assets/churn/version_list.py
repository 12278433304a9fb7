"""The versions of a model in a file next to the registry's database, in case that is damaged.

Belongs here: writing and reading the list. Does not belong here: MLflow (`registry`), whose
database remains the one that counts.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Version:
    """A registered version.

    Attributes:
        number: MLflow's number of the version.
        model_version: version of the model, from its data, settings and code.
        decision: promoted, refused or withdrawn; empty before the decision.
        reason: reason of the decision.
        candidate: name of the candidate.
        trained_to: end of the last label window in training.
        source: address of its files.
        sha256: hash of the model's bytes.
    """

    number: int
    model_version: str
    decision: str
    reason: str
    candidate: str
    trained_to: str
    source: str
    sha256: str


def list_file(folder: Path, name: str) -> Path:
    """The file with the versions of a model."""
    return folder / f"{name}.versions.json"


def write_list(
    folder: Path, name: str, good: Sequence[Version], versions: Sequence[Version]
) -> None:
    """Write the versions, and the numbers of those that may score, the champion's first."""
    file = list_file(folder, name)
    temporary = file.with_suffix(".part")
    content = {"good": [v.number for v in good], "versions": [asdict(v) for v in versions]}
    temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
    temporary.replace(file)


def read_list(folder: Path, name: str) -> tuple[list[Version], list[Version]]:
    """The versions that may score, the champion first, and all versions; none without a list."""
    try:
        content = json.loads(list_file(folder, name).read_text(encoding="utf-8"))
        versions = [Version(**fields) for fields in content["versions"]]
        by_number = {version.number: version for version in versions}
        return [by_number[number] for number in content["good"]], versions
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return [], []
